"""A release: what is the same, what is another, and what `docker run` is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from house import inventory, parts, release

from rondo.docker import Container, Instance, run_options
from rondo.release import Release, Source, image_reference, make_release, servers_of

INSTANCE = Instance(id="abcd1234", server="web-1", release="r1")


def container(wanted: Release, name: str, server: str = "web-1") -> Container:
    return next(each for each in wanted.servers[server].containers if each.name == name)


def specs(wanted: Release) -> dict[str, str]:
    return {each.name: each.digest for each in wanted.servers["web-1"].containers}


def test_version_begins_tags_and_releases() -> None:
    declared = inventory(version="1.4.2", settings={"image_prefix": "acme/web"})
    assert image_reference(declared, "backend", "cafe") == "acme/web/shop/backend:1.4.2-cafe"
    assert image_reference(inventory(), "backend", "cafe") == "rondo/shop/backend:cafe"
    named = replace(release(), source=Source("0123456789abcdef", version="1.4.2"))
    assert named.id == f"1.4.2-0123456789.{named.content[:8]}"


def test_same_parts_make_the_same_release() -> None:
    assert release().content == release().content
    assert release().id == release().id


def test_id_tells_commit_clean_tree_and_content() -> None:
    clean = release()
    assert clean.id == f"0123456789.{clean.content[:8]}"
    dirty = replace(clean, source=replace(clean.source, dirty=True))
    assert dirty.id == f"0123456789-dirty.{clean.content[:8]}"
    assert replace(clean, source=type(clean.source)()).id == f"nogit.{clean.content[:8]}"


@pytest.mark.parametrize(
    "change",
    [
        {"environment": {"A": "1"}},
        {"limits": {"memory": "512m"}},
        {"stop_grace": "5s"},
        {"command": ["uwsgi", "--version"]},
        {"volumes": [{"source": "media", "target": "/srv/media"}]},
        {"logs": {"max_files": 5}},
        {"user": "1000"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_setting_of_a_container_is_in_its_digest(change: dict[str, object]) -> None:
    declared = inventory(services={"backend": change})
    digests = {"environment": {"backend": "environment-2"}} if "environment" in change else {}
    read = parts(declared)
    if digests:
        read = replace(read, environments={**read.environments, **digests["environment"]})
    other = specs(make_release(declared, read))
    before = specs(release())
    assert other["backend-1"] != before["backend-1"]
    assert other["frontend-1"] == before["frontend-1"]


def test_health_check_and_drain_do_not_replace_containers() -> None:
    declared = inventory(services={"backend": {"drain": "5s", "health": {"path": "/up"}}})
    assert specs(make_release(declared, parts(declared))) == specs(release())


def test_accessories_are_reached_by_name_from_every_server() -> None:
    wanted = release()
    assert "--add-host=database:10.0.0.1" in container(wanted, "backend-1", "web-2").options
    here = container(wanted, "backend-1", "web-1").options
    assert not [option for option in here if option.startswith("--add-host")]
    accessory = wanted.servers["web-1"].accessories[0].container
    assert "--network-alias=database" in accessory.options
    assert not wanted.servers["web-2"].accessories


def test_accessory_is_published_on_the_private_address_only() -> None:
    options = release().servers["web-1"].accessories[0].container.options
    published = [option for option in options if option.startswith("--publish")]
    assert published == ["--publish=10.0.0.1:5432:5432"]


def test_socket_slot_publishes_nothing_and_sees_its_socket_under_the_same_path() -> None:
    options = run_options("shop", container(release(), "backend-2"), INSTANCE)
    folder = "/var/lib/rondo/shop/sockets/backend-2/abcd1234"
    assert f"--volume={folder}:{folder}" in options
    assert f"--env=RONDO_SOCKET={folder}/app.sock" in options
    assert not [option for option in options if option.startswith("--publish")]


def test_tcp_slots_are_published_on_loopback_one_port_each() -> None:
    declared = inventory(services={"backend": {"listen": "tcp"}})
    wanted = make_release(declared, parts(declared))
    published = [
        option
        for number in (1, 2, 3)
        for option in run_options("shop", container(wanted, f"backend-{number}"), INSTANCE)
        if option.startswith("--publish")
    ]
    assert published == [f"--publish=127.0.0.1:{port}:8000" for port in (8001, 8002, 8003)]


def test_command_line_names_secrets_but_never_their_values() -> None:
    declared = inventory(services={"backend": {"secrets": {"token": {"env": "TOKEN"}}}})
    options = run_options(
        "shop", container(make_release(declared, parts(declared)), "backend-1"), INSTANCE
    )
    folder = "/var/lib/rondo/shop/environments/environment-1"
    assert f"--env-file={folder}/env" in options
    mount = f"type=bind,source={folder}/secrets/token,target=/run/secrets/token,readonly"
    assert f"--mount={mount}" in options


def test_labels_say_all_that_is_known_of_a_container() -> None:
    wanted = container(release(), "backend-1")
    labels = {
        option.removeprefix("--label=")
        for option in run_options("shop", wanted, INSTANCE)
        if option.startswith("--label=")
    }
    assert labels == {
        "rondo.project=shop",
        "rondo.service=backend",
        "rondo.slot=backend-1",
        "rondo.kind=uwsgi",
        f"rondo.spec={wanted.digest}",
        "rondo.instance=abcd1234",
        "rondo.release=r1",
    }


def test_no_container_may_gain_privileges() -> None:
    for each in release().servers["web-1"].containers:
        assert "--security-opt=no-new-privileges" in each.options


def test_services_run_where_they_are_declared_and_never_on_an_edge() -> None:
    declared = inventory(
        servers={"edge-1": {"address": "192.0.2.9", "edge": True}},
        services={"backend": {"servers": ["web-2"]}, "frontend": {"servers": ["web"]}},
    )
    assert servers_of(declared, declared.services["backend"]) == ("web-2",)
    assert servers_of(declared, declared.services["frontend"]) == ("web-1", "web-2")
    assert servers_of(inventory(), inventory().services["backend"]) == ("web-1", "web-2")


def test_gate_asks_with_the_site_s_own_host() -> None:
    slot = next(each for each in release().servers["web-1"].slots if each.name == "backend-1")
    assert slot.gate.host == "shop.example.com"
