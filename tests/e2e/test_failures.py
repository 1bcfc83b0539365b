"""What fails on the way leaves the site as it was, says where and why; a deploy mends it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from clients import Watch
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from shop import HOST, SITE_FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Site
    from shop import Declared, Machine, Operator

pytestmark = pytest.mark.e2e

# Something new in every container of the backend.
NEW: Declared = {"environment": {"TRY": "new"}}


def backend(**change: object) -> Declared:
    return {"services": {"backend": {**NEW, **change}}}


def break_dockerfile(shop: Operator) -> None:
    text = "FROM python:3.11-slim\nRUN echo broken on purpose && false\n"
    shop.edit("examples/shop/backend/Dockerfile.broken", text)
    shop.declare(backend(dockerfile="Dockerfile.broken"))


def break_health(shop: Operator) -> None:
    shop.declare(backend(health={"path": "/nowhere", "deadline": 2}))


def break_start(shop: Operator) -> None:
    shop.declare(backend(command=["python", "-c", "raise SystemExit('crashed on purpose')"]))


def break_migration(shop: Operator) -> None:
    shop.declare(backend(release_command=["python", "manage.py", "migrate", "no_such_app"]))


def break_nginx(shop: Operator) -> None:
    shop.replace("templates/nginx/site.conf.j2", "    gzip on;", "    gzip on;\n    no_such_thing;")


@dataclass(frozen=True)
class Fault:
    """Something wrong, and what the operator must be told of it."""

    make: Callable[[Operator], None]
    said: tuple[str, ...]


FAULTS = {
    "dockerfile": Fault(
        break_dockerfile,
        (
            "web-1: build rondo/shop/backend:",
            "web-2: build rondo/shop/backend:",
            "broken on purpose",
        ),
    ),
    "health": Fault(
        break_health,
        (
            "web-1: fill backend-1",
            "GET /nowhere answered 404 instead of 200 for 2",
            "the old container was not touched",
        ),
    ),
    "start": Fault(
        break_start,
        ("web-1: fill backend-1", "the container ended by itself", "crashed on purpose"),
    ),
    "migration": Fault(
        break_migration,
        ("web-1: run `python manage.py migrate no_such_app` of backend", "No installed app"),
    ),
    "nginx": Fault(
        break_nginx,
        (f"web-1: install {SITE_FILE}", 'unknown directive "no_such_thing"', "old one is back"),
    ),
}


def serving(machine: Machine) -> tuple[object, ...]:
    """Give what serves on a server, to be compared."""
    return (
        machine.containers(),
        machine.starts(),
        machine.current(),
        machine.run(
            "sha256sum /etc/nginx/conf.d/*; readlink /var/lib/rondo/shop/sockets/*/slot.sock"
        ),
    )


@pytest.mark.parametrize("name", FAULTS)
def test_what_fails_changes_nothing_for_visitors(
    shop: Operator, sites: tuple[Site, ...], name: str
) -> None:
    before = [serving(machine) for machine in shop.machines]
    releases = {site.ask("/api/whoami").headers["X-Shop-Release"] for site in sites}
    FAULTS[name].make(shop)
    with Watch(sites) as watch:
        done = shop.fab("deploy", code=1)
    assert [text for text in FAULTS[name].said if text not in done.said] == [], done.said
    assert watch.wrong == []
    assert watch.asked >= 10
    assert watch.releases == releases
    assert [serving(machine) for machine in shop.machines] == before
    assert shop.fab("status", code=None).code == 0
    shop.restore()
    assert "nothing to do" in shop.fab("deploy").out


def test_after_a_failure_the_mended_release_is_deployed(
    shop: Operator, sites: tuple[Site, ...]
) -> None:
    break_health(shop)
    shop.fab("deploy", code=1)
    shop.declare({"services": {"backend": {"health": {"path": "/health", "deadline": 20}}}})
    shop.adopt()
    with Watch(sites) as watch:
        shop.fab("deploy")
    assert watch.wrong == []
    for machine in shop.machines:
        said = machine.run(f"docker exec {machine.containers()['backend-3']} printenv TRY")
        assert said == "new"
        left = "docker ps --all --quiet --filter label=rondo.project=shop | wc -l"
        assert int(machine.run(left)) == len(machine.containers()), "no failed container is left"
    assert shop.fab("status").code == 0


def certificate(folder: Operator, names: list[str], days: tuple[int, int]) -> None:
    """Write a certificate that somebody signed himself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    folder.edit("bad.pem", made.public_bytes(pem).decode())
    folder.edit("bad.key", key.private_bytes(pem, form, serialization.NoEncryption()).decode())


def expired(shop: Operator) -> None:
    certificate(shop, [HOST], (-30, -2))


def of_another_name(shop: Operator) -> None:
    certificate(shop, ["other.example.com"], (-1, 30))


def with_another_key(shop: Operator) -> None:
    certificate(shop, [HOST], (-1, 30))
    stranger = ec.generate_private_key(ec.SECP256R1())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    shop.edit("bad.key", stranger.private_bytes(pem, form, serialization.NoEncryption()).decode())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (expired, "expired"),
        (of_another_name, HOST),
        (with_another_key, "key"),
    ],
    ids=["expired", "another-name", "another-key"],
)
def test_a_bad_certificate_is_refused_before_anything_is_sent(
    shop: Operator, make: Callable[[Operator], None], said: str
) -> None:
    before = [machine.state() for machine in shop.machines]
    make(shop)
    shop.declare({"sites": {"shop": {"tls": {"certificate": "bad.pem", "key": "bad.key"}}}})
    for words in (("deploy",), ("plan",)):
        done = shop.fab(*words, code=3)
        assert "bad." in done.err
        assert said in done.err
        assert "BEGIN" not in done.said
    assert [machine.state() for machine in shop.machines] == before
