"""The inventory's words, what goes together in it, and the files that it names."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rondo import words
from rondo.checks import check
from rondo.errors import InputError
from rondo.inventory import Inventory
from rondo.layout import Layout
from rondo.problems import dotted
from rondo.reference import SMALLEST
from rondo.source import load
from rondo.units import bytes_of, duration_text, seconds_of, size_text

if TYPE_CHECKING:
    from pathlib import Path

ACCEPTED = {
    "Name": ["a", "web-1", "a" * 30],
    "User": ["root", "_apt", "deploy-1"],
    "UserId": ["0", "1000:1000"],
    "Host": ["web-1", "shop.example.com", "203.0.113.10", "2001:db8::1"],
    "Address": ["10.0.0.1", "fd00::1"],
    "Jump": ["web-1", "bastion.example.com", "me@[2001:db8::1]:2222", "root@10.0.0.1:22"],
    "ServerName": ["example.com", "*.example.com", "localhost"],
    "LocalPath": ["backend", "../shop", "~/a b/$c", "C:\\shop", "."],
    "ContextPath": ["Dockerfile", "docker/web.Dockerfile", "dist/", ".env.example"],
    "AbsolutePath": ["/data", "/var/lib/a_b@c+d.e"],
    "UrlPath": ["/", "/health?full=1&x=%20"],
    "Route": ["/", "/api", "/api/", "/a/b-c.d/"],
    "VariableName": ["A", "_a1"],
    "SecretName": ["a", "database_password"],
    "HeaderName": ["X-Frame-Options"],
    "HeaderValue": ["default-src 'self'; img-src *", 'a "b" \\ {c}'],
    "OptionName": ["reload-on-rss"],
    "Image": [
        "postgres:15",
        "nginx",
        "ghcr.io/a/b_c:v1.0",
        "localhost:5000/x@sha256:" + "0" * 64,
    ],
    "VolumeSource": ["data", "/srv/data"],
    "Module": ["app:application", "shop.wsgi"],
    "PythonVersion": ["3.9", "3.14"],
    "NodeVersion": ["24", "22.1.0"],
    "NginxVersion": ["1.18", "1.26.3"],
    "TimeZone": ["UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+1"],
    "Url": ["https://mirror.example.com:8443/a?b=c"],
    "Text": ["", "any 'text' $with; {all}", "日本"],
}
REFUSED = {
    "Name": ["", "A", "1a", "a_b", "a" * 31, "-a", "a.b"],
    "User": ["Root", "-o", "a b", "a" * 33],
    "UserId": ["root", "-1", "1:", "\u0661"],
    "Host": [
        "-oProxyCommand=x",
        "a..b",
        "999.1.1.1",
        "fe80::1%eth0",
        "a_b",
        "a" * 64,
        "a." * 127 + "ab",
    ],
    "Address": ["web-1", "10.0.0.1/8", "10.0.0", "::g"],
    "Jump": ["me@", "-x", "me@host:99999", "a b", "host:0", "ssh://host"],
    "ServerName": ["*.", "*", "a.*.b", "shop.example.com.", "~^x$"],
    "LocalPath": ["", "a\0b"],
    "ContextPath": ["", "/etc", "../x", "a/../b", "-f", "a//b", "a b", "a/."],
    "AbsolutePath": ["data", "/", "/a/../b", "/a//b", "/a b", "/a:ro", "//a"],
    "UrlPath": ["health", "/a b", "/a#b", "/a?b?c"],
    "Route": ["api", "/a//b", "/../", "/a b", "/a?b", "/" + "a" * 60 + "!"],
    "VariableName": ["1A", "A-B", "", "A=B"],
    "SecretName": ["A", "a-b", "", "1a"],
    "HeaderName": ["", "X Y", "1X", "X:"],
    "HeaderValue": ["$host", "é", ""],
    "OptionName": ["A", "a=b", "-a"],
    "Image": ["", "Postgres", "-v/x", "a b", "a@sha256:00", "a:", "a//b"],
    "VolumeSource": ["", "/", "../a", "/a/../b", "A", "a:b"],
    "Module": ["", "1a", "a-b", "a:b:c", "a b"],
    "PythonVersion": ["2.7", "3", "3.x", "3.\u0661"],
    "NodeVersion": ["v24", "lts", ""],
    "NginxVersion": ["2.0", "1", "1.x"],
    "TimeZone": ["../etc/passwd", "Europe//Berlin", "/UTC", ""],
    "Url": ["ftp://a", "https://a b", "https://a;b", "https://"],
    "Text": ["a\x1bb", "a\x85b"],
}
HOSTILE = ["\n", "a\n", "\n/a", "a\r", "/a\nb", "$(id)", "`id`", "a;b", "a'b", 'a"b', "a{b}", "a|b"]


def accepts(word: str, value: str) -> bool:
    try:
        TypeAdapter(getattr(words, word)).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("word", ACCEPTED)
def test_a_word_accepts_what_is_meant(word: str) -> None:
    assert [value for value in ACCEPTED[word] if not accepts(word, value)] == []


@pytest.mark.parametrize("word", REFUSED)
def test_a_word_refuses_what_could_break_out(word: str) -> None:
    free = {"LocalPath", "HeaderValue", "Text"}
    hostile = [text for text in HOSTILE if word not in free or "\n" in text or "\r" in text]
    assert [value for value in REFUSED[word] + hostile if accepts(word, value)] == []


@pytest.mark.parametrize("word", sorted(set(ACCEPTED) - {"LocalPath", "HeaderValue", "Text"}))
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_whatever_a_word_accepts_stays_one_word_everywhere(word: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(ACCEPTED[word]))
    at = data.draw(st.integers(0, len(seed)))
    value = seed[:at] + data.draw(st.text(max_size=3)) + seed[at:]
    if accepts(word, value):
        # An & is a URL's own; none of these ends a directive, a scalar or a quoted word.
        assert not re.search(r"[\s;{}'\"`$<>|\\\x00-\x1f\x7f]", value)
        assert shlex.split(value) == [value]
        assert value.isascii()


def test_durations_and_sizes_are_written_as_they_are_read() -> None:
    for text in ("0s", "250ms", "1.5s", "90s", "5m", "2h", "30d"):
        assert duration_text(float(seconds_of(text))) == text  # type: ignore[arg-type]
    for text in ("0", "1000", "6m", "512k", "3g"):
        assert size_text(int(bytes_of(text))) == text  # type: ignore[call-overload]


def test_the_longest_names_fit_into_a_socket_path() -> None:
    layout, slot = Layout("p" * 30), f"{'s' * 30}-64"
    for path in (
        layout.gate,
        layout.slot_socket(slot),
        layout.instance(slot, "0" * 8) + "/app.sock",
        layout.slot_socket(slot).replace("slot.sock", "candidate.sock"),
    ):
        assert len(path) <= 107


def test_the_smallest_inventory_is_useful_and_about_15_lines(tmp_path: Path) -> None:
    assert len(SMALLEST.splitlines()) <= 15
    (tmp_path / "inventory.yaml").write_text(SMALLEST)
    inventory = load(start=tmp_path).inventory
    assert inventory.services["backend"].replicas == 3
    assert inventory.sites["shop"].tls is not None


values = st.text(
    alphabet=st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029"),
    max_size=12,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(st.from_regex(r"[A-Z_]{1,6}", fullmatch=True), values, max_size=4),
    st.lists(values, min_size=1, max_size=4),
    st.integers(1, 64),
    st.sampled_from([0, 0.25, 1, 90, 86400]),
)
def test_a_valid_inventory_comes_back_as_it_was_written(
    tmp_path: Path,
    environment: dict[str, str],
    command: list[str],
    replicas: int,
    drain: float,
) -> None:
    document = yaml.safe_load(SMALLEST)
    backend = document["services"]["backend"]
    backend |= {"environment": environment, "command": command}
    backend |= {"replicas": replicas, "drain": drain}
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
    first = load(start=tmp_path).inventory
    assert first.services["backend"].environment == environment
    assert first.services["backend"].command == tuple(command)
    dumped = first.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(dumped))
    assert load(start=tmp_path).inventory == first


HOUSE = """
project: shop
servers:
  web-1: {address: 192.0.2.1, groups: [web]}
  web-2: {address: 192.0.2.2, groups: [web]}
services:
  frontend: {kind: static, context: frontend}
  backend: {kind: uwsgi, context: backend}
  queue: {kind: worker, context: backend, servers: [web-1]}
sites:
  shop:
    server_names: [shop.example.com]
    routes: {/: frontend, /api/: backend}
"""
DIGEST = "@sha256:" + "0" * 64
TCP = "services: {frontend: {listen: tcp, first_port: 8003}, backend: {listen: tcp}}"
DATABASE = "accessories: {database: {image: 'postgres:15', server: web-1, port: 5432}}"
CHECKS = {
    "sound": ("", []),
    "reserved project": (
        "project: rondo",
        ["project: rondo is a name that Rondo uses itself; give another"],
    ),
    "project like a gate": (
        "project: shop-gate",
        ["project: shop-gate is a name that Rondo uses itself; give another"],
    ),
    "reserved names": (
        "services: {localhost: {kind: worker, context: a}}",
        ["services.localhost: is a name that Rondo uses itself; give another"],
    ),
    "reserved server": (
        "servers: {all: {address: c}}",
        ["servers.all: is a name that Rondo uses itself; give another"],
    ),
    "same address": (
        "servers: {web-2: {address: 192.0.2.1}}",
        ["servers.web-2.address: is the address and port of web-1, too; give each server its own"],
    ),
    "same address, other port": ("servers: {web-2: {address: 192.0.2.1, port: 2222}}", []),
    "group like a server": (
        "servers: {web-2: {groups: [web-1]}}",
        ["servers.web-2.groups[0]: web-1 is a name of a server, too; give the group another"],
    ),
    "jump over nobody": (
        "servers: {web-2: {jump: web-3}}",
        ["servers.web-2.jump: web-3 is neither user@host:port nor a server; did you mean web-1?"],
    ),
    "jump in a circle": (
        "servers: {web-1: {jump: web-2}, web-2: {jump: web-1}}",
        [
            (
                "servers.web-1.jump: goes round in a circle (web-1 -> web-2 -> web-1);"
                " let one be reached directly"
            ),
            (
                "servers.web-2.jump: goes round in a circle (web-2 -> web-1 -> web-2);"
                " let one be reached directly"
            ),
        ],
    ),
    "jump over itself": (
        "servers: {web-2: {jump: web-2}}",
        [
            (
                "servers.web-2.jump: goes round in a circle (web-2 -> web-2);"
                " let one be reached directly"
            )
        ],
    ),
    "jump over others": ("servers: {web-2: {jump: web-1}, web-1: {jump: me@bastion.example}}", []),
    "context and image": (
        f"services: {{backend: {{image: 'a{DIGEST}'}}}}",
        ["services.backend.image: there is a context, too; keep one of image and context"],
    ),
    "neither context nor image": (
        "services: {backend: {context: null}}",
        [
            (
                "services.backend.context: is missing;"
                " give the folder with the source, or `image: NAME@sha256:...`"
            )
        ],
    ),
    "image by tag": (
        "services: {backend: {context: null, image: 'a:1'}}",
        [
            (
                "services.backend.image: names no digest, so servers could run different images;"
                " give NAME@sha256:..."
            )
        ],
    ),
    "image that is built": (
        f"services: {{backend: {{context: null, image: 'a{DIGEST}', dockerfile: a}}}}",
        ["services.backend.dockerfile: means nothing for an image that is not built; remove it"],
    ),
    "unknown server": (
        "services: {queue: {servers: [wbe]}}",
        ["services.queue.servers[0]: wbe is no server or group; did you mean web?"],
    ),
    "group": ("services: {backend: {servers: [web]}}", []),
    "no server": (
        (
            "servers: {web-1: {edge: true, private_address: 10.0.0.1},"
            " web-2: {private_address: 10.0.0.2}}"
        ),
        ["services.queue.servers: runs on no server; edge servers run no services"],
    ),
    "weights": (
        "services: {backend: {weights: [1, 2]}}",
        ["services.backend.weights: 2 weights for 3 replicas; give one for each, or none"],
    ),
    "port without tcp": (
        "services: {backend: {first_port: 9000}}",
        ["services.backend.first_port: means nothing on a socket; add `listen: tcp` or remove it"],
    ),
    "ports beyond the last": (
        "services: {backend: {listen: tcp, first_port: 65534}}",
        ["services.backend.first_port: leaves no ports for 3 slots; give a smaller one"],
    ),
    "ports overlap": (
        TCP,
        [
            f"services.backend.first_port: the port 8003 belongs to frontend on {on}; give another"
            for on in ("web-1", "web-2")
        ],
    ),
    "port of Nginx": (
        (
            "servers: {web-1: {private_address: 10.0.0.1},"
            " web-2: {edge: true, private_address: 10.0.0.2}}\n"
            "services: {backend: {listen: tcp, first_port: 78}}"
        ),
        ["services.backend.first_port: the port 80 belongs to Nginx on web-1; give another"],
    ),
    "assets everywhere": (
        "services: {frontend: {assets: /}}",
        [
            (
                "services.frontend.assets: / would keep index.html for a year;"
                " give the folder of the hashed files"
            )
        ],
    ),
    "secret without a source": (
        "services: {backend: {secrets: {key: {}}}}",
        ["services.backend.secrets.key: has no source; give one of env, file and command"],
    ),
    "secret of two sources": (
        "services: {backend: {secrets: {key: {env: A, file: b}}}}",
        ["services.backend.secrets.key: has 2 sources; keep one of env and file"],
    ),
    "secret that is a variable": (
        "services: {backend: {environment: {K_FILE: a}, secrets: {k: {env: A}}}}",
        ["services.backend.secrets.k: sets K_FILE, which stands under environment, too; keep one"],
    ),
    "variable of Rondo's": (
        "services: {backend: {environment: {RONDO_A: a}}}",
        [
            (
                "services.backend.environment.RONDO_A: begins with RONDO_, which Rondo sets itself;"
                " give it another name"
            )
        ],
    ),
    "volumes in one place": (
        "services: {backend: {volumes: [{source: a, target: /a}, {source: b, target: /a/}]}}",
        [
            (
                "services.backend.volumes[1].target: /a is the target of volumes[0], too;"
                " give each its own"
            )
        ],
    ),
    "logs in a volume": (
        "services: {backend: {logs: {directory: /a}, volumes: [{source: a, target: /a}]}}",
        [
            (
                "services.backend.volumes[0].target: /a is the target of logs.directory, too;"
                " give each its own"
            )
        ],
    ),
    "accessory on no server": (
        "accessories: {cache: {image: redis, server: web-11}}",
        ["accessories.cache.server: web-11 is no server; did you mean web-1?"],
    ),
    "accessory out of reach": (
        DATABASE,
        [
            (
                "accessories.database.server: the service backend runs on other servers, too:"
                " give web-1 a private_address by which they reach it"
            )
        ],
    ),
    "accessory in reach": (DATABASE + "\nservers: {web-1: {private_address: 10.0.0.1}}", []),
    "accessory without a port": ("accessories: {cron: {image: a, server: web-1}}", []),
    "accessories on one port": (
        (
            "servers: {web-1: {private_address: 10.0.0.1}}\naccessories:\n"
            "  a: {image: a, server: web-1, port: 443}\n  b: {image: a, server: web-1, port: 443}\n"
            "  c: {image: a, server: web-1, port: 543}\n  d: {image: a, server: web-1, port: 543}\n"
        ),
        [
            "accessories.a.port: the port 443 belongs to Nginx on web-1; give another",
            "accessories.b.port: the port 443 belongs to Nginx on web-1; give another",
            "accessories.d.port: the port 543 belongs to c on web-1; give another",
        ],
    ),
    "accessory like a service": (
        "accessories: {backend: {image: a, server: web-1}}",
        ["accessories.backend: is the name of the service backend, too; give another"],
    ),
    "accessory like a slot": (
        "accessories: {backend-3: {image: a, server: web-1}}",
        ["accessories.backend-3: is the name of a slot of the service backend, too; give another"],
    ),
    "accessory beyond the slots": ("accessories: {backend-4: {image: a, server: web-1}}", []),
    "service like a slot": (
        "services: {backend-1: {kind: worker, context: a}}",
        ["services.backend-1: is the name of a slot of the service backend, too; give another"],
    ),
    "route to nobody": (
        "sites: {shop: {routes: {/x/: backnd}}}",
        ["sites.shop.routes./x/: backnd is no service; did you mean backend?"],
    ),
    "route to a worker": (
        "sites: {shop: {routes: {/x/: queue}}}",
        [
            (
                "sites.shop.routes./x/: queue is a worker, which answers no requests;"
                " there are frontend, backend"
            )
        ],
    ),
    "routes in one place": (
        "sites: {shop: {routes: {/api: backend}}}",
        [
            (
                "sites.shop.routes./api: is the same place as /api/;"
                " keep one (a final slash changes nothing)"
            )
        ],
    ),
    "route over the assets": (
        "sites: {shop: {routes: {/assets/: backend}}}",
        [
            (
                "sites.shop.routes./assets/: hides the assets of frontend;"
                " give it or services.frontend.assets another path"
            )
        ],
    ),
    "site on half of its servers": (
        "services: {backend: {servers: [web-2]}}",
        [
            (
                "sites.shop.routes./api/: backend does not run on web-1, where the site's other"
                " services do; let all of them run on the same servers"
            )
        ],
    ),
    "name of two sites": (
        "sites: {b: {server_names: [a.example, Shop.example.com], routes: {/: backend}}}",
        ["sites.b.server_names[1]: shop.example.com is in shop, too; a name leads to one site"],
    ),
    "name given twice": (
        "sites: {shop: {server_names: [a, a]}}",
        ["sites.shop.server_names[1]: a is twice in this site, too; a name leads to one site"],
    ),
    "HSTS without TLS": (
        "sites: {shop: {hsts: {}}}",
        [
            (
                "sites.shop.hsts: makes browsers insist on TLS, and the site has none;"
                " add tls or remove it"
            )
        ],
    ),
}


def laid_over(base: Any, top: Any) -> Any:  # noqa: ANN401 - any part of a document
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    merged = base | {key: laid_over(base.get(key), value) for key, value in top.items()}
    return {key: value for key, value in merged.items() if value is not None}


@pytest.mark.parametrize(("change", "expected"), CHECKS.values(), ids=CHECKS.keys())
def test_what_does_not_go_together_is_told(change: str, expected: list[str]) -> None:
    document = laid_over(yaml.safe_load(HOUSE), yaml.safe_load(change) or {})
    inventory = Inventory.model_validate(document)
    found = [f"{dotted(problem.path)}: {problem.message}" for problem in check(inventory)]
    assert found == expected


def test_what_does_not_go_together_is_told_with_its_line(tmp_path: Path) -> None:
    text = HOUSE.replace("/: frontend", "/: frontnd").replace("[web-1]", "[web-9]")
    (tmp_path / "inventory.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load(start=tmp_path)
    assert str(caught.value).split("\n") == [
        "The inventory has 2 problems:",
        (
            "  services.queue.servers[0] (inventory.yaml line 9): web-9 is no server or group;"
            " did you mean web-2?"
        ),
        (
            "  sites.shop.routes./ (inventory.yaml line 13): frontnd is no service;"
            " did you mean frontend?"
        ),
    ]


def test_files_that_are_not_there_are_told_when_asked(tmp_path: Path) -> None:
    text = (
        SMALLEST.replace(
            "    module:",
            "    secrets: {key: {file: keys/key}}\n    dockerfile: Docker\n    module:",
        ).replace("203.0.113.10", "203.0.113.10, key: id")
        + "settings: {time_zone: Mars/Base}\n"
    )
    (tmp_path / "inventory.yaml").write_text(text)
    (tmp_path / "backend").mkdir()
    (tmp_path / "id").mkdir()
    load(start=tmp_path)
    with pytest.raises(InputError) as caught:
        load(start=tmp_path, check_files=True)
    told = str(caught.value).replace(f"{tmp_path}/", "").split("\n  ")[1:]
    assert told == [
        "servers.web-1.key (inventory.yaml line 3): id is no file; give one",
        (
            "services.frontend.context (inventory.yaml line 5): frontend is no folder;"
            " give the one with the source"
        ),
        (
            "services.backend.secrets.key.file (inventory.yaml line 9): keys/key is not there;"
            " mend the path or make the file"
        ),
        "services.backend.dockerfile (inventory.yaml line 10): Docker is not in"
        f" {tmp_path}/backend; add it, or set dockerfile".replace(f"{tmp_path}/", ""),
        (
            "sites.shop.tls.certificate (inventory.yaml line 16): tls/shop.pem is not there;"
            " mend the path or make the file"
        ),
        (
            "sites.shop.tls.key (inventory.yaml line 16): tls/shop.key is not there;"
            " mend the path or make the file"
        ),
        (
            "settings.time_zone (inventory.yaml line 18): Mars/Base is no time zone known here;"
            " give one like Europe/Berlin"
        ),
    ]


def test_files_that_are_there_are_no_problem(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(SMALLEST)
    for name in (
        "frontend/package.json",
        "backend/requirements.txt",
        "tls/shop.pem",
        "tls/shop.key",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    load(start=tmp_path, check_files=True)


def test_list_whose_items_are_wrong_is_not_called_empty_as_well(tmp_path: Path) -> None:
    wrong = SMALLEST.replace("[shop.example.com]", '["a b"]')
    (tmp_path / "inventory.yaml").write_text(wrong)
    with pytest.raises(InputError) as caught:
        load(start=tmp_path)
    assert "server_names[0]" in str(caught.value)
    assert "is empty" not in str(caught.value)
