"""The parts of the lab that need no engine."""

from __future__ import annotations

import datetime
import io
import ipaddress
import os
import stat
import subprocess
import tarfile
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import paramiko
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import verification
from hypothesis import given
from hypothesis import strategies as st

from rondo.errors import RondoError
from rondo.lab import LabError, authority, engine, images, keys, life, network, places, recipe
from rondo.lab import servers as lab_servers
from rondo.lab.images import Kitchen
from rondo.lab.model import Lab, LabServer
from rondo.lab.places import Place
from rondo.lab.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVER = LabServer("web-1", "172.30.77.11", "172.30.78.11", "running")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, places.default_name(tmp_path))


@pytest.fixture(autouse=True)
def fresh_engine() -> None:
    engine._stopping.clear()


def silent(_: str) -> None:
    """Report to nobody."""


# --- Places ---------------------------------------------------------------------------------------


def test_two_checkouts_have_labs_of_different_names(tmp_path: Path) -> None:
    assert places.default_name(tmp_path / "a") != places.default_name(tmp_path / "b")
    assert places.default_name(tmp_path) == places.default_name(tmp_path)


@pytest.mark.parametrize("mark", ["inventory.yaml", "fabfile", ".git"])
def test_the_lab_belongs_to_the_project_around_the_current_folder(
    mark: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deep = tmp_path / "deep" / "deeper"
    deep.mkdir(parents=True)
    (tmp_path / mark).mkdir()
    monkeypatch.chdir(deep)
    monkeypatch.delenv("RONDO_LAB", raising=False)
    assert places.find() == Place(tmp_path, places.default_name(tmp_path))
    assert places.find().folder == tmp_path / ".rondo" / "lab"


def test_a_lab_with_a_name_of_its_own_does_not_touch_the_usual_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "inventory.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RONDO_LAB", "second")
    assert places.find().name == "second"
    assert places.find().folder == tmp_path / ".rondo" / "lab-second"


@pytest.mark.parametrize("name", ["Upper", "with space", "../up", "-dash", "a;b", "x" * 60])
def test_a_name_that_docker_would_refuse_is_refused_with_a_sentence(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RONDO_LAB", name)
    with pytest.raises(LabError, match="is no name; use lower-case"):
        places.find()


def test_a_private_file_is_never_readable_for_others(place: Place) -> None:
    path = place.write("secret", "x", 0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "x"
    assert sorted(os.listdir(place.folder)) == ["secret"]  # noqa: PTH208 - names are enough


@contextmanager
def _other_command(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """Hold the lab's lock in another process, until its standard input ends."""
    place.folder.mkdir(parents=True)
    hold = ("flock", place.folder / "lock", "sh", "-c", "echo held; exec cat")
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield other


def test_two_lab_commands_do_not_run_at_the_same_time(place: Place) -> None:
    with _other_command(place) as other:
        said: list[str] = []

        def hear(text: str) -> None:
            said.append(text)
            assert other.poll() is None
            assert other.stdin is not None
            other.stdin.close()  # we were told that we wait: now the other may go

        with places.locked(place, hear):
            assert said == ["another command is changing the lab; waiting for it"]
            assert other.wait(30) == 0


def test_a_lock_that_was_removed_with_the_lab_is_taken_anew(place: Place) -> None:
    with places.locked(place, silent):
        place.forget()
        with places.locked(place, silent):
            assert (place.folder / "lock").exists()


# --- Networks -------------------------------------------------------------------------------------

RANGES = st.integers(8, 32).flatmap(
    lambda length: st.integers(0, 2**32 - 1).map(
        lambda bits: ipaddress.ip_network((bits, length), strict=False),
    ),
)


@given(st.lists(RANGES, max_size=8))
def test_the_networks_overlap_nothing_that_is_taken(taken: list[ipaddress.IPv4Network]) -> None:
    for front, private in islice(network.free_pairs(taken), 5):
        assert not front.overlaps(private)
        assert not any(range_.overlaps(other) for range_ in (front, private) for other in taken)


def test_the_first_choice_of_ranges_is_always_the_same() -> None:
    first = next(network.free_pairs([]))
    assert [str(range_) for range_ in first] == ["172.30.77.0/24", "172.30.78.0/24"]


def test_a_taken_range_leads_to_the_next_pair() -> None:
    front, _ = next(network.free_pairs([ipaddress.IPv4Network("172.30.78.128/25")]))
    assert str(front) == "172.30.79.0/24"


def test_the_kernels_routes_count_as_taken_but_not_the_default_route() -> None:
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "tun0\t004D1EAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert network.routes(table) == [ipaddress.IPv4Network("172.30.77.0/24")]


def test_every_server_has_addresses_of_its_own() -> None:
    networks = network.Networks("lab", *next(network.free_pairs([])))
    numbers = range(1, network.MAX_SERVERS + 1)
    front = {networks.addresses(number)[0] for number in numbers}
    # The upper half is for whatever else is put on the network.
    assert all(
        ipaddress.ip_address(address) in network.Range("172.30.77.0/25") for address in front
    )
    assert len(front | {networks.registry}) == network.MAX_SERVERS + 1


@pytest.mark.parametrize("count", [0, -1, network.MAX_SERVERS + 1])
def test_a_number_of_servers_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(LabError, match="Give a number from 1 to 100"):
        life.up(count, report=silent)


# --- Recipes --------------------------------------------------------------------------------------


def test_a_changed_recipe_makes_another_image() -> None:
    one = Recipe("registry", (("BASE", "a"),))
    others = [
        Recipe("registry", (("BASE", "b"),)),
        Recipe("registry", (("BASE", "a"),), {"more": b""}),
        Recipe("registry", (("BASE", "a"),), {"config.yml": b"other"}),
        Recipe("registry", (("BASE", "a"),), salt="2"),
        Recipe("nginx", (("BASE", "a"),)),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == len(others) + 1
    assert one.digest == Recipe("registry", (("BASE", "a"),)).digest


def _members(wanted: Recipe) -> dict[str, int]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        wanted.pack(archive)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        return {member.name: member.mode for member in archive.getmembers()}


def test_scripts_are_executable_in_a_context_however_they_were_installed() -> None:
    assert _members(Recipe("nginx")) == {
        "Dockerfile": 0o644,
        "default.conf": 0o644,
        "docker-entrypoint.sh": 0o755,
        "index.html": 0o644,
        "nginx.conf": 0o644,
    }


def test_everything_derives_from_the_base_and_so_changes_with_it(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kitchen = Kitchen(place, official=False, report=silent)
    before = {name: kitchen.substitute(name).digest for name in recipe.PUBLISHED}
    monkeypatch.setattr(recipe, "operator_authorities", lambda: b"another bundle")
    after = {name: kitchen.substitute(name).digest for name in recipe.PUBLISHED}
    assert all(before[name] != after[name] for name in recipe.PUBLISHED)


def test_substitutes_say_that_they_are_and_the_real_ones_do_not(place: Place) -> None:
    made = dict(Kitchen(place, official=False, report=silent).base.arguments)
    real = dict(Kitchen(place, official=True, report=silent).base.arguments)
    assert made["SUBSTITUTE"] == "made from Debian packages; not the official image"
    assert real["SUBSTITUTE"] == ""
    assert real["FROM"].startswith("docker.io/library/debian:")


def test_a_full_disk_is_told_before_anything_is_built(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "_NEEDED", 10**18)
    with pytest.raises(
        LabError, match=r"the lab needs .* GB on the disk of .* are free; make room"
    ):
        images.require_space({"DockerRootDir": str(tmp_path)})


def test_a_disk_that_cannot_be_seen_from_here_is_not_judged() -> None:
    images.require_space({"DockerRootDir": "/nowhere/at/all"})


# --- The authority --------------------------------------------------------------------------------


def _verify(place: Place, name: str, chain: Path) -> None:
    trusted = x509.load_pem_x509_certificate((place.folder / "ca.pem").read_bytes())
    leaf, *rest = x509.load_pem_x509_certificates(chain.read_bytes())
    store = verification.Store([trusted])
    builder = verification.PolicyBuilder().store(store)
    builder.build_server_verifier(x509.DNSName(name)).verify(leaf, rest)


def test_a_certificate_is_valid_for_each_of_its_names_and_no_other(place: Place) -> None:
    made = authority.issue(place, ["shop.example.com", "www.example.com"])
    _verify(place, "shop.example.com", made.chain)
    _verify(place, "www.example.com", made.chain)
    with pytest.raises(verification.VerificationError):
        _verify(place, "api.example.com", made.chain)


def test_the_key_belongs_to_the_certificate_and_is_private(place: Place) -> None:
    made = authority.issue(place, ["shop.example.com"])
    key = serialization.load_pem_private_key(made.key.read_bytes(), password=None)
    leaf = x509.load_pem_x509_certificate(made.chain.read_bytes())
    assert key.public_key() == leaf.public_key()
    for path in (made.key, place.folder / "ca.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_addresses_and_wildcards_are_names_too(place: Place) -> None:
    made = authority.issue(place, ["*.example.com", "172.30.77.11", "fd00::1"])
    leaf = x509.load_pem_x509_certificate(made.chain.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.example.com"]
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == [
        "172.30.77.11",
        "fd00::1",
    ]
    _verify(place, "shop.example.com", made.chain)


def test_a_good_certificate_is_given_again(place: Place) -> None:
    first = authority.issue(place, ["shop.example.com"]).chain.read_bytes()
    assert authority.issue(place, ["shop.example.com"]).chain.read_bytes() == first


def _age(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "_RENEW_DAYS", 90)


def _lose_the_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "certificates" / "shop.example.com.key").unlink()


def _swap_the_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    other = authority.issue(place, ["other.example.com"]).key.read_bytes()
    (place.folder / "certificates" / "shop.example.com.key").write_bytes(other)


def _cut_the_chain(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "certificates" / "shop.example.com.pem").write_text("-----BEGIN")


def _change_the_authority(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "ca.key").unlink()


@pytest.mark.parametrize(
    "spoil",
    [_age, _lose_the_key, _swap_the_key, _cut_the_chain, _change_the_authority],
)
def test_a_certificate_that_is_no_good_any_more_is_issued_anew(
    spoil: Callable[[Place, pytest.MonkeyPatch], None],
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = authority.issue(place, ["shop.example.com"]).chain.read_bytes()
    spoil(place, monkeypatch)
    again = authority.issue(place, ["shop.example.com"])
    assert again.chain.read_bytes() != first
    _verify(place, "shop.example.com", again.chain)


def test_other_names_get_another_certificate(place: Place) -> None:
    first = authority.issue(place, ["shop.example.com"]).chain.read_bytes()
    again = authority.issue(place, ["shop.example.com", "api.example.com"])
    assert again.chain.read_bytes() != first
    _verify(place, "api.example.com", again.chain)


def test_the_authority_signs_nothing_but_servers_certificates(place: Place) -> None:
    authority.make(place)
    own = x509.load_pem_x509_certificate((place.folder / "ca.pem").read_bytes())
    constraints = own.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert isinstance(own.signature_hash_algorithm, hashes.SHA256)
    assert own.not_valid_after_utc > datetime.datetime.now(datetime.UTC)


# --- Keys -----------------------------------------------------------------------------------------


def test_the_operators_key_is_made_once_and_works_with_ssh(place: Place) -> None:
    line = keys.public_key(place)
    assert keys.public_key(place) == line
    private = place.folder / "id_ed25519"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert paramiko.Ed25519Key.from_private_key_file(str(private)).get_base64() in line
    told = subprocess.run(
        ["ssh-keygen", "-y", "-f", private],
        capture_output=True,
        check=True,
        text=True,
    )
    assert told.stdout.split()[:2] == line.split()[:2]


@pytest.mark.parametrize("host", ["web-1", "172.30.77.11", "172.30.78.11"])
def test_a_servers_host_key_is_pinned_under_all_that_it_is_called(
    host: str, tmp_path: Path
) -> None:
    blob = paramiko.RSAKey.generate(2048).get_base64()
    path = tmp_path / "known_hosts"
    path.write_text("\n".join(keys.known_hosts_lines(SERVER, [f"ssh-rsa {blob} root@web-1", ""])))
    found = paramiko.HostKeys(str(path)).lookup(host)
    assert found is not None
    assert found["ssh-rsa"].get_base64() == blob


def test_the_facts_of_the_servers_are_what_an_inventory_wants() -> None:
    stopped = replace(SERVER, name="web-2", state="exited")
    assert yaml.safe_load(life.facts([SERVER, stopped], ".rondo/lab/id_ed25519"))["web-1"] == {
        "address": "172.30.77.11",
        "private_address": "172.30.78.11",
        "user": "deploy",
        "port": 22,
        "key": ".rondo/lab/id_ed25519",
    }


def test_a_lab_knows_its_files(place: Place) -> None:
    lab = Lab("lab", (SERVER,), "127.0.0.1:5000", place.folder)
    assert {lab.key.name, lab.known_hosts.name, lab.authority.name} == {
        "id_ed25519",
        "known_hosts",
        "ca.pem",
    }
    assert SERVER.running
    assert not replace(SERVER, state="exited").running


# --- Servers --------------------------------------------------------------------------------------


def test_no_way_of_starting_a_server_gives_it_the_right_to_set_the_clock() -> None:
    *listed, last = lab_servers.ACCESS.values()
    assert all("--cap-drop=SYS_TIME" in options for options in listed)
    assert last == ("--privileged",)
    script = (recipe.FOLDER / "server" / "init.sh").read_text()
    assert "exec setpriv --bounding-set=-sys_time" in script


def test_inner_engines_are_told_name_servers_that_they_can_reach(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("# systemd-resolved\nnameserver 127.0.0.53\noptions edns0\n")
    real.write_text("search lan\nnameserver 192.0.2.53\nnameserver ::1\nnameserver 192.0.2.54\n")
    assert lab_servers.name_servers([stub, real]) == ["192.0.2.53", "192.0.2.54"]
    assert lab_servers.name_servers([tmp_path / "none", stub]) == []


# --- The engine -----------------------------------------------------------------------------------


def test_a_failed_command_tells_its_last_words() -> None:
    with pytest.raises(LabError, match="sh -c failed: two / three / four"):
        engine.run(["sh", "-c", "for word in one two three four; do echo $word >&2; done; exit 3"])


def test_a_silent_failure_says_that_it_was_silent() -> None:
    with pytest.raises(LabError, match="failed: it said nothing"):
        engine.run(["false"])


def test_a_missing_program_names_the_remedy() -> None:
    with pytest.raises(LabError, match="no-such-program is not installed; run scripts/docker"):
        engine.run(["no-such-program"])


def test_a_command_that_hangs_is_ended_at_its_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(LabError, match="sleep 60 took longer than 0 s and was ended"):
        engine.run(["sleep", "60"], deadline=0.2)
    assert time.monotonic() - began < 10


def test_the_first_failure_ends_what_runs_beside_it() -> None:
    began = time.monotonic()
    with pytest.raises(LabError, match="sh -c failed: no"):
        engine.parallel(
            [
                lambda: engine.run(["sleep", "60"]),
                lambda: engine.run(["sh", "-c", "sleep 0.2; echo no; exit 1"]),
            ],
        )
    assert time.monotonic() - began < 10
    assert engine.stopping()


def test_an_engine_that_does_not_answer_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(LabError, match="no Docker Engine answers; run scripts/docker") as caught:
        engine.require()
    assert isinstance(caught.value, RondoError)
    assert caught.value.exit_code == 1
