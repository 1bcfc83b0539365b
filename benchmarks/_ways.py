"""The ways of others to change containers behind Nginx, as scripts that run on a server.

All of them get the very image that Rondo deploys, whose uWSGI finishes what it has begun when it is
told to stop, in a site of their own on another port of the same Nginx, with Nginx's defaults. So
what differs is the way alone, mostly in their favour: many an image just dies.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from _common import DATA, HOST

from rondo.docker import Instance, run_options

if TYPE_CHECKING:
    from rondo.release import Container

PORT = 8443
"""Of their site; Rondo's is on 443 of the same servers."""
FOLDER = "/run/zero-loss"
SITE = "/etc/nginx/conf.d/zero-loss.conf"
LABEL = "zero-loss"
SLOTS = (1, 2, 3)
INNER = 8000

# Asked in the application's own protocol, for its images hold no curl.
HEALTH = f"""
import socket, struct, sys
asked = {{"REQUEST_METHOD": "GET", "PATH_INFO": "/health", "HTTP_HOST": "{HOST}",
         "HTTP_X_FORWARDED_PROTO": "https", "QUERY_STRING": "", "SERVER_NAME": "{HOST}",
         "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTP/1.1"}}
words = b"".join(struct.pack("<H", len(each)) + each.encode()
                 for pair in asked.items() for each in pair)
with socket.create_connection(("127.0.0.1", {INNER}), 2) as line:
    line.settimeout(2)
    line.sendall(struct.pack("<BHB", 0, len(words), 0) + words)
    sys.exit(b" 200 " not in line.recv(64))
"""

SITE_FILE = f"""
include {FOLDER}/upstream.conf;
server {{
    listen {PORT} ssl;
    server_name {HOST};
    ssl_certificate {DATA}/tls/shop.pem;
    ssl_certificate_key {DATA}/tls/shop.key;
    ssl_session_cache shared:zero_loss:1m;
    access_log off;
    location / {{
        proxy_pass http://rondo_shop_frontend;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-Proto $scheme;
    }}
    location /api/ {{
        include uwsgi_params;
        uwsgi_param HTTP_X_FORWARDED_PROTO $scheme;
        uwsgi_pass zero_loss;
    }}
}}
"""

# What every script begins with; a container's number is its place in the upstream.
HEAD = """
healthy() { docker exec "$1" python /health.py; }
wait_for() {
    tries=0
    until healthy "$1" 2>/dev/null; do
        tries=$((tries + 1)); [ $tries -lt 300 ]; sleep 0.2
    done
}
"""

ARTICLE = """
for number in 1 2 3; do
    docker stop zero-$number >/dev/null
    docker start zero-$number >/dev/null
    WAITING
    nginx -s reload
done
"""

# A stand-in for docker-gen as nginx-proxy starts it: at each event of a container the upstream is
# written anew, of all that run, and Nginx reloaded if it differs.
WATCH = f"""
render() {{
    {{
        echo 'upstream zero_loss {{'
        docker ps --quiet --filter label={LABEL} | xargs -r docker inspect --format \\
            'server {{{{range .NetworkSettings.Networks}}}}{{{{.IPAddress}}}}{{{{end}}}}:{INNER};'
        echo '}}'
    }} >{FOLDER}/upstream.new
    if ! grep -q server {FOLDER}/upstream.new; then return; fi
    if cmp -s {FOLDER}/upstream.new {FOLDER}/upstream.conf; then return; fi
    mv {FOLDER}/upstream.new {FOLDER}/upstream.conf
    nginx -s reload
}}
docker events --filter type=container --filter label={LABEL} --filter event=start \\
    --filter event=stop --filter event=die --format x | while read -r _; do render; done
"""

# What `docker rollout` does: twice as many, wait until the new ones are healthy, stop the old ones.
ROLLOUT = """
old=$(docker ps --quiet --filter label=zero-loss)
for number in 1 2 3; do
    docker run --detach --name "zero-$number-$(date +%s)" CONTAINER >/dev/null &
done
wait
fresh=$(docker ps --quiet --filter label=zero-loss | grep -vxF "$old")
for _ in $(seq 1 60); do
    well=0
    for each in $fresh; do
        state=$(docker inspect --format '{{.State.Health.Status}}' "$each")
        if [ "$state" = healthy ]; then well=$((well + 1)); fi
    done
    if [ $well -eq 3 ]; then break; fi
    sleep 1
done
[ $well -eq 3 ]
docker stop $old >/dev/null
docker rm $old >/dev/null
"""

# What `docker compose up --detach` does with services whose configuration has changed: all at once,
# each by a new container that is started when the old one is gone.
COMPOSE = """
recreate() {
    docker create --name "new-zero-$1" --publish "127.0.0.1:800$1:8000" CONTAINER >/dev/null
    docker stop "zero-$1" >/dev/null
    docker rm "zero-$1" >/dev/null
    docker rename "new-zero-$1" "zero-$1"
    docker start "zero-$1" >/dev/null
}
for number in 1 2 3; do recreate $number & done
wait
"""

# Stopped first: the watcher would see the containers go.
REMOVE = f"""
if [ -e {FOLDER}/watch.pid ]; then kill -s TERM -- "-$(cat {FOLDER}/watch.pid)" || :; fi
docker ps --all --quiet --filter label={LABEL} | xargs -r docker rm --force >/dev/null
if [ -e {SITE} ]; then rm {SITE}; nginx -t 2>/dev/null; nginx -s reload; fi
rm -rf {FOLDER}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How others change the containers of one server."""

    name: str
    title: str
    change: str
    """Script with CONTAINER for the options of `docker run`."""
    published: bool = True
    """Whether Nginx goes to published ports, not to the containers' own addresses."""
    watched: bool = False


WAYS = tuple(
    Way(*words)
    for words in (
        ("article", "stop, start, reload", ARTICLE.replace("WAITING", ":")),
        (
            "patient",
            "stop, start, wait until it answers, reload",
            ARTICLE.replace("WAITING", "wait_for zero-$number"),
        ),
        ("rollout", "docker-rollout behind nginx-proxy", ROLLOUT, False, True),
        ("compose", "`docker compose up -d`", COMPOSE),
    )
)


def options(container: Container, server: str, *, checked: bool) -> str:
    """Give the options of `docker run` for one of their containers: those of the product."""
    instance = Instance("other", server, "other")
    plain = replace(container, traffic=False)
    dropped = ("--label=", "--name=")
    kept = [each for each in run_options("shop", plain, instance) if not each.startswith(dropped)]
    more = [f"--label={LABEL}", f"--env=RONDO_PORT={INNER}"]
    more.append(f"--volume={FOLDER}/health.py:/health.py:ro")
    if checked:
        more += ["--health-cmd=python /health.py", "--health-interval=2s", "--health-timeout=3s"]
    return shlex.join([*more, *kept])


def set_up(way: Way, words: str) -> str:
    """Write the script that starts their containers and their site."""
    starts = (
        f"docker run --detach --name zero-{number} "
        f"{f'--publish 127.0.0.1:800{number}:{INNER} ' if way.published else ''}{words} >/dev/null"
        for number in SLOTS
    )
    ports = "".join(f" server 127.0.0.1:800{number};" for number in SLOTS)
    return "\n".join(
        (
            *(REMOVE, HEAD, f"mkdir -p {FOLDER}"),
            f"cat >{FOLDER}/health.py <<'END'\n{HEALTH}\nEND",
            f"cat >{FOLDER}/watch.sh <<'END'\n{WATCH}\nEND",
            f"echo 'upstream zero_loss {{{ports} }}' >{FOLDER}/upstream.conf",
            *starts,
            *(f"wait_for zero-{number}" for number in SLOTS),
            f"cat >{SITE} <<'END'\n{SITE_FILE}\nEND",
            _begin_watching() if way.watched else "",
            "nginx -t 2>/dev/null; nginx -s reload",
        )
    )


def _begin_watching() -> str:
    """Write the upstream of the containers' addresses once, then keep it."""
    once = WATCH[: WATCH.index("docker events")].replace("nginx -s reload", ":")
    return (
        f"{once}\nrender\n"
        f"setsid sh {FOLDER}/watch.sh </dev/null >{FOLDER}/watch.log 2>&1 & "
        f"echo $! >{FOLDER}/watch.pid"
    )


def change(way: Way, words: str) -> str:
    """Write the script of one change of a server."""
    return f"{HEAD}\n{way.change.replace('CONTAINER', words)}"
