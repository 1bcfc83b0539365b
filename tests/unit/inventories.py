"""Arbitrary valid inventories, for hypothesis; and the three that the golden files show."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rondo import checks
from rondo.inventory import Inventory

ONE_NAME: dict[str, Any] = {
    "project": "shop",
    "servers": {"web-1": {"address": "192.0.2.1"}},
    "services": {
        "frontend": {"kind": "static", "context": "frontend"},
        "backend": {
            "kind": "uwsgi",
            "context": "backend",
            "module": "shop.wsgi:application",
            "health": {"path": "/health"},
        },
    },
    "sites": {
        "shop": {
            "server_names": ["shop.example.com"],
            "tls": {"certificate": "shop.pem", "key": "shop.key"},
            "routes": {"/": "frontend", "/api/": "backend", "/health": "backend"},
        }
    },
}

TWO_NAMES: dict[str, Any] = {
    "project": "shop",
    "servers": {"web-1": {"address": "192.0.2.1"}},
    "services": {
        "frontend": {
            "kind": "static",
            "context": "frontend",
            "build": {"args": {"VITE_API": "https://api.example.com"}},
            "single_page": False,
        },
        "backend": {
            "kind": "uwsgi",
            "context": "backend",
            "requirements": "requirements/live.txt",
            "processes": 4,
            "lazy": True,
            "max_requests": 5000,
            "options": {"reload-on-rss": "300", "harakiri": "20"},
        },
    },
    "sites": {
        "www": {
            "server_names": ["www.example.com", "example.com"],
            "tls": {"certificate": "www.pem", "key": "www.key"},
            "routes": {"/": "frontend"},
            "hsts": {"max_age": "365d", "include_subdomains": True},
        },
        "api": {
            "server_names": ["api.example.com"],
            "tls": {"certificate": "api.pem", "key": "api.key"},
            "routes": {"/": "backend"},
            "body_size": "200m",
            "gzip": False,
            "headers": {"Access-Control-Allow-Origin": "https://www.example.com"},
        },
    },
    "settings": {"nginx": {"version": "1.28", "ipv6": False}},
}

LIVE: dict[str, Any] = {
    "project": "live",
    "servers": {"web-1": {"address": "192.0.2.1"}},
    "services": {
        "chat": {
            "kind": "http",
            "context": "chat",
            "listen": "tcp",
            "first_port": 9001,
            "replicas": 3,
            "weights": [3, 2, 1],
            "balance": "least_conn",
            "health": {"timeout": "1500ms"},
        },
        "queue": {"kind": "worker", "context": "chat"},
    },
    "sites": {
        "chat": {
            "server_names": ["chat.example.com"],
            "routes": {"/chat": "chat"},
            "security_headers": False,
            "timeouts": {"connect": "250ms", "read": "1h"},
        }
    },
    "proof": {"allow": ["203.0.113.9/24", "2001:db8::/32"]},
}

EDGE: dict[str, Any] = {
    "project": "spread",
    "servers": {
        "web-1": {"address": "192.0.2.1", "private_address": "10.0.0.1"},
        "web-2": {"address": "192.0.2.2", "private_address": "fd00::2"},
        "edge-1": {"address": "192.0.2.9", "private_address": "10.0.0.9", "edge": True},
    },
    "services": {
        "chat": {"kind": "http", "context": "chat"},
        "backend": {"kind": "uwsgi", "context": "backend", "health": {"path": "/health"}},
    },
    "sites": {
        "spread": {
            "server_names": ["spread.example.com"],
            "tls": {"certificate": "site.pem", "key": "site.key", "authority": "ca.pem"},
            "routes": {"/": "backend", "/chat/": "chat"},
            "hsts": {"max_age": "30d"},
            "maintenance_allow": ["203.0.113.0/24", "2001:db8::1"],
        },
        "plain": {"server_names": ["plain.example.com"], "routes": {"/": "backend"}},
    },
}

EXAMPLES = {"one-name": ONE_NAME, "two-names": TWO_NAMES, "live": LIVE, "edge": EDGE}

_names = st.from_regex(r"[a-z][a-z0-9]{0,9}(-[a-z]{1,8}){0,2}", fullmatch=True)
_labels = st.from_regex(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
_hosts = st.lists(_labels, min_size=1, max_size=6).map(".".join)
_parts = st.from_regex(r"[A-Za-z0-9._~@+-]{1,12}", fullmatch=True).filter(
    lambda part: part not in {".", ".."}
)
_routes = st.builds(
    lambda parts, slash: "/" + "/".join(parts) + ("/" if parts and slash else ""),
    st.lists(_parts, max_size=3),
    st.booleans(),
)
_durations = st.sampled_from(["10ms", "1500ms", 1, "2s", "1m", "24h"])
_header_names = st.from_regex(r"X-[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
# Two braces are what a template that was not rendered would be told by.
_header_values = st.from_regex(r"[ -#%-~]{1,80}", fullmatch=True).filter(
    lambda value: "{{" not in value
)


@st.composite
def _slot_services(draw: st.DrawFn, number: int) -> dict[str, Any]:
    replicas = draw(st.integers(1, 64))
    weights = st.lists(st.integers(1, 1000), min_size=replicas, max_size=replicas)
    service: dict[str, Any] = {
        "kind": draw(st.sampled_from(["static", "uwsgi", "http"])),
        "context": "code",
        "replicas": replicas,
        "weights": draw(weights | st.just([])),
        "balance": draw(st.sampled_from(["round_robin", "least_conn", "random", "ip_hash"])),
        "health": {"path": draw(_routes), "timeout": draw(_durations)},
        "servers": draw(st.sampled_from([[], ["one"], ["both"]])),
    }
    if service["kind"] != "static" and draw(st.booleans()):
        service |= {"listen": "tcp", "first_port": 9000 + 100 * number}
    if service["kind"] == "static":
        service["assets"] = draw(_routes.filter(lambda route: route != "/"))
    if service["kind"] == "http":
        service["websocket"] = draw(st.booleans())
    return service


@st.composite
def _sites(draw: st.DrawFn, names: list[str], services: list[str]) -> dict[str, Any]:
    wild = draw(st.booleans())
    timeouts = st.fixed_dictionaries(
        {"connect": _durations, "read": _durations, "send": _durations}
    )
    site: dict[str, Any] = {
        "server_names": [f"*.{name}" if wild and "." in name else name for name in names],
        "routes": draw(st.dictionaries(_routes, st.sampled_from(services), min_size=1, max_size=6)),
        "gzip": draw(st.booleans()),
        "security_headers": draw(st.booleans()),
        "headers": draw(st.dictionaries(_header_names, _header_values, max_size=3)),
        "body_size": draw(st.integers(0, 2**40)),
        "timeouts": draw(timeouts),
        "maintenance_allow": draw(st.sampled_from([[], ["203.0.113.7/24", "2001:db8::1"]])),
    }
    if draw(st.booleans()):
        site["tls"] = {"certificate": "site.pem", "key": "site.key"}
        if draw(st.booleans()):
            site["hsts"] = {"max_age": draw(st.integers(0, 10**8))}
    return site


_EDGE = {"edge": {"address": "192.0.2.3", "private_address": "10.0.0.3", "edge": True}}


@st.composite
def inventories(draw: st.DrawFn, version: str | None = None) -> Inventory:
    """Draw an inventory that passes every check, whatever is in it."""
    names = draw(st.lists(_names, min_size=1, max_size=4, unique=True))
    services = {name: draw(_slot_services(number)) for number, name in enumerate(names)}
    hosts = draw(st.lists(_hosts, min_size=2, max_size=6, unique=True))
    half = len(hosts) // 2
    sites = {
        "first": draw(_sites(hosts[:half], names)),
        "second": draw(_sites(hosts[half:], names)),
    }
    versions = st.sampled_from(["1.18", "1.22.1", "1.23.2", "1.25.1", "1.27.4", "1.30"])
    raw = {
        "project": draw(_names),
        "servers": {
            "one": {"address": "192.0.2.1", "private_address": "10.0.0.1", "groups": ["both"]},
            "two": {"address": "192.0.2.2", "private_address": "10.0.0.2", "groups": ["both"]},
            **draw(st.sampled_from([{}, _EDGE])),
        },
        "services": services,
        "sites": sites,
        "settings": {
            "nginx": {
                "version": version or draw(versions),
                "ipv6": draw(st.booleans()),
                "asset_cache": draw(st.sampled_from([0, "1m", "2g"])),
            }
        },
    }
    inventory = Inventory.model_validate(raw)
    assume_valid(inventory)
    return inventory


def assume_valid(inventory: Inventory) -> None:
    """Leave out what the cross checks would refuse."""
    from hypothesis import assume  # noqa: PLC0415

    assume(not list(checks.check(inventory)))
