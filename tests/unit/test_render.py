"""What is rendered, and that it is always the same and never something else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from inventories import EXAMPLES, ONE_NAME, TWO_NAMES, inventories

from rondo import nginx, render
from rondo.errors import InputError
from rondo.inventory import Inventory

TEMPLATES = Path(__file__).parents[2] / "templates"
GOLDEN = Path(__file__).parent / "golden"


def changed(base: dict[str, Any], path: str, value: object) -> Inventory:
    """Return an inventory with one thing different."""

    def replace(part: dict[str, Any], keys: list[str]) -> dict[str, Any]:
        first, *rest = keys
        return part | {first: replace(part.get(first, {}), rest) if rest else value}

    return Inventory.model_validate(replace(base, path.split(".")))


def site(inventory: Inventory, server: str = "web-1") -> str:
    return render.site_config(inventory, server, TEMPLATES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_rendered_is_what_was_reviewed(name: str) -> None:
    """RONDO_GOLDEN=write takes the files as they are now; read the difference before committing."""
    files = render.render_all(Inventory.model_validate(EXAMPLES[name]), TEMPLATES)
    if os.environ.get("RONDO_GOLDEN") == "write":
        render.write(files, GOLDEN / name)
    assert render.check(files, GOLDEN / name) == ""


@given(inventory=inventories())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_valid_inventory_renders_the_same_twice(inventory: Inventory) -> None:
    first = render.render_all(inventory, TEMPLATES)
    assert first == render.render_all(inventory, TEMPLATES)
    for path, content in first.items():
        text = content.decode()
        assert "{{" not in text, path
        assert "None" not in text, path


def test_every_slot_is_a_member_with_its_weight() -> None:
    text = site(changed(ONE_NAME, "services.backend.weights", [3, 2, 1]))
    sockets = "/var/lib/rondo/shop/sockets"
    for number, weight in ((1, 3), (2, 2), (3, 1)):
        assert f"server unix:{sockets}/backend-{number}/slot.sock weight={weight} " in text


def test_the_loopback_ports_follow_the_first() -> None:
    inventory = changed(ONE_NAME, "services.backend.listen", "tcp")
    text, gate = site(inventory), render.gate_config(inventory, "web-1", TEMPLATES)
    for number in (1, 2, 3):
        assert f"server 127.0.0.1:800{number} weight=1" in text
        assert f"location ~ ^/gate/backend-{number}/ {{" in gate
        assert f"uwsgi_pass 127.0.0.1:800{number};" in gate


@pytest.mark.parametrize(
    ("kind", "listen", "expected"),
    [("http", "tcp", True), ("http", "socket", False), ("uwsgi", "tcp", False)],
)
def test_connections_are_kept_only_where_a_rename_cannot_be_missed(
    kind: str, listen: str, expected: object
) -> None:
    service = {"kind": kind, "context": "code", "listen": listen}
    text = site(changed(ONE_NAME, "services.backend", service))
    assert ("    keepalive 64;" in text) is expected


@pytest.mark.parametrize(
    ("version", "there", "absent"),
    [
        ("1.18", ["443 ssl http2;", "ssl_session_tickets off;"], ["http2 on;", "_min_timeout"]),
        ("1.25.1", ["443 ssl;", "http2 on;"], ["ssl http2", "ssl_session_tickets", "_min_timeout"]),
        ("1.27.4", ["keepalive_min_timeout 10s;"], ["ssl http2"]),
    ],
)
def test_newer_directives_are_used_where_every_server_has_them(
    version: str, there: list[str], absent: list[str]
) -> None:
    text = site(changed(ONE_NAME, "settings.nginx.version", version))
    assert all(part in text for part in there)
    assert not [part for part in absent if part in text]


def test_ipv6_is_listened_on_when_it_is_wanted() -> None:
    assert "[::]:443" in site(changed(ONE_NAME, "settings.nginx.ipv6", value=True))
    assert "[::]" not in site(changed(ONE_NAME, "settings.nginx.ipv6", value=False))


def test_a_site_without_tls_answers_on_port_80_alone() -> None:
    text = site(changed(ONE_NAME, "sites.shop.tls", None))
    assert "443" not in text
    assert "ssl" not in text
    assert "X-Forwarded-Proto http;" in text


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ({"/": "backend"}, {"/": "pass"}),
        ({"/api/": "backend"}, {"/": "404", "/api/": "pass", "= /api": "308"}),
        ({"/api": "backend"}, {"/": "404", "/api/": "pass", "= /api": "pass"}),
        ({"/api": "backend", "/api/": "backend"}, {"/": "404", "/api/": "pass", "= /api": "pass"}),
        ({"/": "frontend"}, {"/": "pass", "/assets/": "cache"}),
        (
            {"/": "frontend", "/assets/": "backend"},
            {"/": "pass", "/assets/": "pass", "= /assets": "308"},
        ),
        (
            {"/a+b.c/": "frontend"},
            {"/": "404", "/a+b.c/": "pass", "/a+b.c/assets/": "cache", "= /a+b.c": "308"},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_a_route_covers_its_path_and_what_is_below(
    routes: dict[str, str], expected: dict[str, str]
) -> None:
    text = site(changed(ONE_NAME, "sites.shop.routes", routes)).rsplit("\nserver {", 1)[1]
    found = {
        path: body
        for path, body in re.findall(r"(?ms)^    location (\S.*?) \{\n(.*?)^    \}", text)
        if not path.startswith(("^~", "= /.rondo-", "@"))
    }
    kinds = {
        path: "cache"
        if "proxy_cache " in body
        else "pass"
        if "_pass " in body
        else re.search(r"return (\d+)", body)[1]  # type: ignore[index]
        for path, body in found.items()
    }
    assert kinds == expected


def test_a_service_that_another_server_runs_is_unavailable_here() -> None:
    raw = ONE_NAME | {"servers": {"web-1": {"address": "a"}, "web-2": {"address": "b"}}}
    inventory = changed(raw, "services.backend.servers", ["web-2"])
    assert "return 503;" in site(inventory, "web-1")
    assert "rondo_shop_backend" not in site(inventory, "web-1")
    assert "return 503;" not in site(inventory, "web-2")


def test_a_server_without_any_service_of_a_site_does_not_answer_for_it() -> None:
    raw = ONE_NAME | {"servers": {"web-1": {"address": "a"}, "web-2": {"address": "b"}}}
    raw = raw | {"services": {k: v | {"servers": ["web-2"]} for k, v in raw["services"].items()}}
    inventory = Inventory.model_validate(raw)
    assert "server {" not in site(inventory, "web-1")
    assert "server_name shop.example.com" in site(inventory, "web-2")


def test_a_declared_header_stands_in_for_the_applications() -> None:
    headers = {"X-Frame-Options": "DENY", "Vary": "Cookie", "X-Quote": 'a "b" \\ {c}; # d'}
    text = site(changed(ONE_NAME, "sites.shop.headers", headers))
    assert 'add_header X-Frame-Options "DENY" always;' in text
    assert "$rondo_shop_frame always" not in text
    assert "uwsgi_hide_header x-frame-options;" in text
    assert "hide_header vary" not in text
    assert r'add_header X-Quote "a \"b\" \\ {c}; # d" always;' in text


def test_a_header_that_belongs_to_the_protocol_is_refused() -> None:
    with pytest.raises(InputError, match=r"sites\.shop\.headers\.Content-Length"):
        site(changed(ONE_NAME, "sites.shop.headers", {"Content-Length": "0"}))


def test_assets_at_the_root_are_refused() -> None:
    inventory = changed(ONE_NAME, "services.frontend.assets", "/")
    with pytest.raises(InputError, match=r"services\.frontend\.assets"):
        site(inventory)
    with pytest.raises(InputError, match=r"services\.frontend\.assets"):
        render.overlay(inventory, "frontend", TEMPLATES)


@pytest.mark.parametrize("bad", ["a$b", "a\nb", "a\x00b", "x" * 4001], ids=ascii)
def test_what_nginx_cannot_quote_is_refused(bad: str) -> None:
    with pytest.raises(InputError):
        nginx.quote(bad)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "1ms"), (0.0001, "1ms"), (0.25, "250ms"), (1.5, "1500ms"), (2, "2s"), (86400, "86400s")],
)
def test_a_duration_is_never_zero(seconds: float, expected: str) -> None:
    assert nginx.time(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "0"), (1, "1"), (1024, "1k"), (50 * 2**20, "50m"), (1500, "1500")]
)
def test_a_size_is_written_short(size: int, expected: str) -> None:
    assert nginx.size(size) == expected


def test_a_long_name_does_not_need_a_larger_hash() -> None:
    name = f"{'a' * 40}.example.com"
    assert f"server_name ~^{'a' * 40}[.]example[.]com$;" in site(
        changed(ONE_NAME, "sites.shop.server_names", [name])
    )
    assert f"server_name ~^.+[.]{'a' * 40}[.]example[.]com$;" in site(
        changed(ONE_NAME, "sites.shop.server_names", [f"*.{name}"])
    )


def test_no_variable_is_longer_than_nginx_can_hash() -> None:
    text = site(changed(ONE_NAME, "project", "a" * 30))
    assert max(map(len, re.findall(r"\$(\w+)", text))) <= 46


def test_an_option_of_uwsgi_takes_the_place_of_ours() -> None:
    files = render.overlay(Inventory.model_validate(TWO_NAMES), "backend", TEMPLATES)
    lines = files[".rondo/uwsgi.ini"].content.decode().splitlines()
    assert [line for line in lines if line.startswith("harakiri")] == ["harakiri = 20"]
    assert "reload-on-rss = 300" in lines
    assert "lazy-apps = true" in lines
    assert b"--processes 4" in files[".rondo/start"].content
    assert files[".rondo/start"].mode == 0o755


LEAVING = """
import atexit

class Client:
    def __del__(self):
        print("collected", flush=True)

client = Client()
client.itself = client
del client
atexit.register(print, "flushed", flush=True)
"""


@pytest.mark.parametrize(("ours", "said"), [(True, ["flushed"]), (False, ["flushed", "collected"])])
def test_a_process_that_ends_calls_what_the_application_registered_and_collects_nothing(
    tmp_path: Path, *, ours: bool, said: list[str]
) -> None:
    overlay = render.overlay(Inventory.model_validate(TWO_NAMES), "backend", TEMPLATES)
    (tmp_path / "at_exit.py").write_bytes(overlay[".rondo/at_exit.py"].content)
    first = "import at_exit\n" if ours else ""
    done = subprocess.run(
        (sys.executable, "-c", f"{first}{LEAVING}"),
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == said


def test_build_arguments_are_the_mirrors_the_time_zone_and_the_users() -> None:
    raw = TWO_NAMES | {
        "settings": {
            "time_zone": "Asia/Shanghai",
            "build": {
                "mirrors": {"pypi": "https://pypi.example/simple", "npm": "https://npm.example"}
            },
        }
    }
    assert render.build_arguments(Inventory.model_validate(raw), "frontend") == {
        "PYPI_MIRROR": "https://pypi.example/simple",
        "NPM_MIRROR": "https://npm.example",
        "TIME_ZONE": "Asia/Shanghai",
        "VITE_API": "https://api.example.com",
    }


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"kind": "uwsgi"}, ".rondo/Dockerfile"),
        ({"kind": "static", "dockerfile": "docker/Dockerfile"}, "docker/Dockerfile"),
        ({"kind": "http"}, "Dockerfile"),
        ({"kind": "worker"}, "Dockerfile"),
    ],
)
def test_the_dockerfile_is_the_users_or_ours(service: dict[str, str], expected: str) -> None:
    raw = changed(ONE_NAME, "services.backend", service | {"context": "code"})
    assert render.dockerfile_path(raw.services["backend"]) == expected


def test_check_shows_what_is_out_of_date(tmp_path: Path) -> None:
    files = render.render_all(Inventory.model_validate(ONE_NAME), TEMPLATES)
    assert "+++ servers/web-1/rondo-shop.conf" in render.check(files, tmp_path)
    assert set(render.write(files, tmp_path)) == files.keys()
    assert render.check(files, tmp_path) == ""
    assert render.write(files, tmp_path) == ()
    (tmp_path / "servers/web-1/rondo-shop.conf").write_text("mine\n")
    (tmp_path / "services/old").mkdir()
    (tmp_path / "services/old/left").write_text("over\n")
    shown = render.check(files, tmp_path)
    assert "-mine" in shown
    assert "-over" in shown
    assert set(render.write(files, tmp_path)) == {
        "servers/web-1/rondo-shop.conf",
        "services/old/left",
    }
    assert render.check(files, tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% if %}", r"site\.conf\.j2, line 1: the template cannot be read"),
        ("{{ nothing }}", "the template failed: 'nothing' is undefined"),
        ('{% include "gone.j2" %}', r"gone\.j2 is missing"),
    ],
)
def test_a_broken_template_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "nginx").mkdir()
    (tmp_path / "nginx/site.conf.j2").write_text(text)
    with pytest.raises(InputError, match=said):
        render.site_config(Inventory.model_validate(ONE_NAME), "web-1", tmp_path)


def test_rendering_is_fast() -> None:
    inventory = Inventory.model_validate(ONE_NAME)
    render.render_all(inventory, TEMPLATES)
    began = time.perf_counter()
    for _ in range(10):
        render.render_all(inventory, TEMPLATES)
    assert (time.perf_counter() - began) / 10 < 0.03


def test_an_edited_template_is_not_served_from_what_was_compiled_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "nginx").mkdir()
    for text in ("one", "two"):
        (tmp_path / "nginx/site.conf.j2").write_text(text)
        render._environment.cache_clear()
        rendered = render.site_config(Inventory.model_validate(ONE_NAME), "web-1", tmp_path)
        assert rendered == text
    assert len(list((tmp_path / "cache/rondo/templates").iterdir())) == 1


def test_nowhere_to_keep_compiled_templates_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    render._environment.cache_clear()
    assert "server {" in site(Inventory.model_validate(ONE_NAME))
    render._environment.cache_clear()


def test_jinja_is_imported_only_to_render() -> None:
    code = "import sys, rondo.render; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run((sys.executable, "-c", code), check=False).returncode == 0
