# What the scripts that change a server share. Run as root, under sh -eu.
# shellcheck shell=sh

say() { printf '%s\n' "$*"; }

fail() {
    code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}

# Deadlines go by a clock that nobody can set back.
uptime_seconds() { cut -d. -f1 /proc/uptime; }

# What goes on when its client is gone holds up whoever takes the lock of the cluster next: two
# changes at a time would each take the other's half for what was there.
share_transactions() { # FOLDER-OF-THE-PROJECT
    exec 8>>"$1/lock.transaction"
    flock -s -w 600 8 || fail 13 "another change does not end; look at: ps -ef | grep rondo"
}

# The engine is asked over its socket where it is asked often: a docker command costs 40 ms more.
container_api() { curl --silent --max-time 20 --unix-socket /var/run/docker.sock "http://docker$1"; }

running() { container_api "/containers/$1/json" | grep -q '"Running":true'; }

# Whether the engine had to start a container again because it ended by itself.
restarted() { container_api "/containers/$1/json" | grep -q '"RestartCount":[1-9]'; }

# Count what is open on a backend's Unix socket.
# One that waits for a worker has no number yet, so ss leaves it out; it has a line here all the same.
# Connections belong to the network namespace of Nginx, the socket that listens to the container's.
connections() { # SOCKET
    awk -v path="$1" '$8 == path && $4 != "00010000" { open++ } END { print open + 0 }' /proc/net/unix
}

# Mounted secrets belong to the container's user and stay 0400; the folder above is root's alone.
own_secrets() { # IMAGE ENVIRONMENT-FOLDER
    [ -d "$2/secrets" ] || return 0
    described=$(container_api "/images/$1/json") || described=
    # No answer is not the answer that it is root's.
    case $described in *'"Id"'*) ;; *) fail 12 "the Docker Engine did not tell of $1" ;; esac
    # The last one: what older builders kept of their last step comes before what the image says.
    owner=$(printf '%s' "$described" | sed -n 's/.*"User":"\([^"]*\)".*/\1/p')
    case $owner in
        '') owner=0 ;;
        *[!0-9:]*) owner=$(docker run --rm --network none --entrypoint id "$1" -u) ;;
    esac
    chown -R "$owner" "$2/secrets"
    chmod 0400 "$2"/secrets/*
}

nginx_workers() {
    master=$(cat /run/nginx.pid 2>/dev/null) || return 0
    [ -n "$master" ] || return 0
    ps -o pid= --ppid "$master" 2>/dev/null | sort -n | tr '\n' ' '
}

# Reload and wait for the new workers: `nginx -t` accepts what a reload may still refuse.
reload_nginx() {
    if ! pid=$(cat /run/nginx.pid 2>/dev/null) || ! kill -0 "$pid" 2>/dev/null; then
        systemctl start nginx 2>&1 || return 1
        return 0
    fi
    before=$(nginx_workers)
    /usr/sbin/nginx -s reload 2>&1 || return 1
    limit=$(($(uptime_seconds) + 10))
    while :; do
        for worker in $(nginx_workers); do
            case " $before " in *" $worker "*) ;; *) return 0 ;; esac
        done
        [ "$(uptime_seconds)" -lt "$limit" ] || return 1
        sleep 0.05
    done
}

# A file becomes the new one whole or not at all.
replace_file() { # NEW PATH
    mv -f -T "$1" "$2"
    sync -f "$2" 2>/dev/null || :
}

has_network() { container_api "/networks/$1" | grep -q '"Id"'; }

# Asked for twice at the same time, the engine makes two networks of one name.
ensure_network() { # NAME PROJECT
    has_network "$1" || (
        flock -w 60 6 || :
        has_network "$1" || docker network create --label "rondo.project=$2" "$1" >/dev/null
    ) 6</var/lib/rondo
}
