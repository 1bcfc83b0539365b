"""What a server tells of a run, line by line, and when that is not the whole."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondo.proof import witness
from rondo.proof.witness import Heard, Place

SOUND = (
    "#marks 1 1",
    "#other 3 unix:/a.sock",
    "#other 2 unix:/a.sock, unix:/b.sock",
    "#other 1 ",
    "#code 308",
    "#reloads 2",
    "#workers 4",
    "#nginx 1.22.1",
    "#whole",
)


def heard(*lines: str) -> Heard:
    found = Heard()
    for line in lines:
        found.take(line)
    return found


def test_a_server_that_told_all_is_believed() -> None:
    found = heard(*SOUND)
    assert found.reason == ""
    assert (found.workers, found.reloads, found.nginx) == (4, 2, "1.22.1")
    assert found.others == {"unix:/a.sock": 3, "unix:/a.sock, unix:/b.sock": 2, "": 1}


@pytest.mark.parametrize(
    ("line", "instead", "reason"),
    [
        ("#whole", "#other 1 x", "cut short"),
        ("#marks 1 1", "#marks 0 1", "emptied"),
        ("#marks 1 1", "#marks 1 0", "last lines"),
        ("#reloads 2", "#reloads lost", "connection that held it"),
        ("#code 308", "#code 000", "did not answer"),
        ("#code 308", "#code ", "did not answer"),
    ],
)
def test_what_keeps_a_log_from_being_whole_is_told(line: str, instead: str, reason: str) -> None:
    assert reason in heard(*(instead if each == line else each for each in SOUND)).reason


def test_a_server_that_told_nothing_is_not_believed() -> None:
    assert Heard().reason


def test_the_marks_of_a_site_over_tls_reach_no_backend() -> None:
    secure, plain = (Place("shop", "shop.example.com", tls=tls) for tls in (True, False))
    assert secure.marks("abc") == "/rondo-proof-abc-"
    assert plain.marks("abc").startswith("/.well-known/acme-challenge/rondo-proof-abc-")


@given(
    lines=st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=20),
    size=st.integers(1, 50),
)
def test_lines_are_the_same_however_the_network_cuts_them(lines: list[bytes], size: int) -> None:
    packed = gzip.compress(b"".join(line + b"\n" for line in lines))
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert list(witness._lines(pieces)) == lines
