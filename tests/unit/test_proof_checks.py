"""What single checks see, and what they must not take for a fault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import proofs
import pytest

from rondo.proof.checks import lost
from rondo.proof.configuration import differences
from rondo.proof.evidence import Installed, Member, Upstream
from rondo.proof.judge import judge
from rondo.proof.records import Lines
from rondo.proof.turns import split
from rondo.proof.verdict import Status

if TYPE_CHECKING:
    from rondo.proof.evidence import Evidence, Policy, Running, ServerWitness
    from rondo.proof.verdict import Check

PASS, FAIL = Status.PASS, Status.FAIL


def check(key: str, evidence: Evidence) -> Check:
    return next(each for each in judge(evidence).checks if each.key == key)


def first_log(evidence: Evidence, change: dict[str, Any], row: int = 0) -> Evidence:
    """Change columns of one row of the first server's log; texts may be given as such."""
    witness, *others = evidence.witnesses
    rows, texts = witness.lines.rows.copy(), list(witness.lines.texts)
    for column, value in change.items():
        if isinstance(value, str):
            texts.append(value)
        rows[column][row] = len(texts) - 1 if isinstance(value, str) else value
    changed = replace(witness, lines=Lines(rows, tuple(texts)))
    return replace(evidence, witnesses=(changed, *others))


def with_witness(evidence: Evidence, **change: Any) -> Evidence:  # noqa: ANN401 - its fields
    witness, *others = evidence.witnesses
    changed: ServerWitness = replace(witness, **change)
    return replace(evidence, witnesses=(changed, *others))


# -- a change of shape


@pytest.mark.parametrize("secret", [True, False])
@pytest.mark.parametrize("witnessed", [True, False])
@pytest.mark.parametrize(
    ("replicas", "weights", "before"),
    [(3, None, (1, 1)), (2, None, (1, 1, 1)), (3, (1, 1, 4), (1, 1, 1)), (2, (3, 1), (1, 1, 2))],
)
def test_a_change_of_slots_or_weights_is_judged_from_its_end_on(
    replicas: int,
    weights: tuple[int, ...] | None,
    before: tuple[int, ...],
    *,
    witnessed: bool,
    secret: bool,
) -> None:
    found = proofs.evidence(
        change=True,
        replicas=replicas,
        weights=weights,
        reshaped_from=before,
        witnessed=witnessed,
        secret=secret or not witnessed,
        reloads=2,
    )
    verdict = judge(found)
    assert verdict.status is PASS, verdict.sentence
    for key in ("everyone", "round_robin", "sticky"):
        said = [line for line in check(key, found).details if "were changed" in line]
        assert [line.split(":")[0] for line in said] == ["web-1 backend", "web-2 backend"]
    unknowing = replace(found, expected=replace(found.expected, former=()))
    assert judge(unknowing).status is FAIL


def test_a_slot_that_a_change_took_away_may_not_answer_after_it() -> None:
    found = proofs.evidence(change=True, replicas=2, reshaped_from=(1, 1, 1))
    gone = "unix:/var/lib/rondo/shop/sockets/backend-3/slot.sock"
    late = first_log(found, {"backend": gone}, len(found.witnesses[0].lines.rows) - 1)
    assert check("everyone", late).status is FAIL
    assert "backend-3" in check("everyone", late).sentence


def test_a_new_slot_that_never_serves_is_seen_though_the_change_gave_it_its_place() -> None:
    found = proofs.evidence(change=True, reshaped_from=(1, 1), dead=("backend-3",))
    assert "backend-3" in check("everyone", found).sentence
    assert check("round_robin", found).status is FAIL


def test_requests_of_others_do_not_count_where_it_is_not_known_when_they_came() -> None:
    found = proofs.evidence(change=True, reshaped_from=(1, 1), reloads=2)
    others = {
        f"unix:/var/lib/rondo/shop/sockets/backend-{slot}/slot.sock": count
        for slot, count in ((1, 900), (2, 900), (3, 200))
    }
    crowded = with_witness(found, others=others)
    assert check("round_robin", crowded).status is PASS
    assert "chance" in check("round_robin", crowded).bound


# -- lost


@pytest.mark.parametrize(
    ("text", "count", "allowed"),
    [("0", 1000, 0), ("5", 1000, 5), ("0.1%", 5000, 5), ("50%", 3, 1.5)],
)
def test_an_error_budget_is_a_number_or_a_share(text: str, count: int, allowed: float) -> None:
    assert lost.budget(text, count) == pytest.approx(allowed)


TWO = "unix:/a.sock, unix:/b.sock"


@pytest.mark.parametrize(
    ("method", "addresses", "statuses", "status"),
    [
        ("POST", TWO, "504, 201", FAIL),  # the first had read it, and was given up
        ("POST", TWO, "500, 201", FAIL),
        ("POST", TWO, "502, 201", PASS),  # the first refused the connection
        ("GET", TWO, "504, 200", PASS),
        ("POST", "10.0.0.1:80, 10.0.0.2:80", "504, 201", PASS),  # may not even have connected
        ("POST", "unix:/a.sock", "500", PASS),
    ],
)
def test_an_order_that_two_backends_began_to_execute_is_a_fault(
    method: str, addresses: str, statuses: str, status: Status
) -> None:
    change = {"method": method, "backend": addresses, "backend_status": statuses}
    found = check("lost", first_log(proofs.evidence(duration=5), change))
    assert found.status is status, found.sentence


def test_failures_on_fresh_and_on_reused_connections_are_told_apart() -> None:
    found = check("lost", proofs.evidence(dropped=0.3))
    assert any("on a fresh connection" in each for each in found.details)
    assert any("on a reused connection" in each for each in found.details)


def test_retries_inside_nginx_are_counted_but_no_fault() -> None:
    found = check("lost", proofs.evidence(killed={"backend-1": 0.5}))
    assert found.status is PASS
    assert "Nginx asked a second backend for 10 of them" in found.sentence


# -- everyone


def test_a_backend_that_is_not_of_the_inventory_is_named() -> None:
    found = check("everyone", first_log(proofs.evidence(), {"backend": "10.0.0.9:8001"}))
    assert found.status is FAIL
    assert "10.0.0.9:8001 is no slot of the inventory" in found.sentence


def test_a_server_that_is_not_of_the_inventory_is_named() -> None:
    evidence = proofs.evidence()
    texts = tuple(each.replace("web-2;", "web-9;") for each in evidence.requests.texts)
    found = check("everyone", replace(evidence, requests=replace(evidence.requests, texts=texts)))
    assert found.status is FAIL
    assert any("web-9 is no server" in each for each in (found.sentence, *found.details))


def test_the_name_of_an_upstream_without_a_backend_left_is_no_backend() -> None:
    found = check("everyone", first_log(proofs.evidence(), {"backend": "rondo_shop_backend"}))
    assert found.status is PASS


def test_a_service_that_the_scenario_never_reaches_is_named_and_no_fault() -> None:
    evidence = proofs.evidence()
    spare = Upstream(
        "web-1", "admin", "rondo_shop_admin", "round_robin", {"admin-1": 1}, {"unix:/x": "admin-1"}
    )
    expected = replace(evidence.expected, upstreams=(*evidence.expected.upstreams, spare))
    found = check("everyone", replace(evidence, expected=expected))
    assert found.status is PASS
    assert "admin was not loaded: no request of the scenario reaches it." in found.details


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", ()),
        ("-", ()),
        ("unix:/a", ("unix:/a",)),
        ("unix:/a, 10.0.0.1:80", ("unix:/a", "10.0.0.1:80")),
        ("unix:/a : unix:/b", ("unix:/a", "unix:/b")),
    ],
)
def test_a_list_of_addresses_is_read_in_order(text: str, addresses: tuple[str, ...]) -> None:
    assert split(text) == addresses


# -- round robin

DECLARED = Upstream(
    "web-1",
    "api",
    "api",
    "round_robin",
    {"api-1": 2, "api-2": 1},
    {"unix:/1": "api-1", "b": "api-2"},
)


@pytest.mark.parametrize(
    ("policy", "members", "said"),
    [
        ("round_robin", (Member("unix:/1", 2), Member("b")), ""),
        ("least_conn", (Member("unix:/1", 2), Member("b")), "installed with least_conn"),
        ("round_robin", (Member("unix:/1", 2),), "installed without api-2"),
        ("round_robin", (Member("unix:/1", 2), Member("b"), Member("c")), "installed with c"),
        ("round_robin", (Member("unix:/1"), Member("b")), "gives api-1 weight 1"),
        ("round_robin", (Member("unix:/1", 2, down=True), Member("b")), "api-1 marked down"),
        ("round_robin", (Member("unix:/1", 2), Member("b", backup=True)), "api-2 as backup"),
    ],
)
@pytest.mark.parametrize("zone", [True, False])
def test_a_configuration_that_is_not_the_declared_one_is_told_in_a_sentence(
    policy: Policy, members: tuple[Member, ...], said: str, *, zone: bool
) -> None:
    found = list(differences(DECLARED, (Installed("api", policy, members, zone),)))
    assert len(found) == bool(said)
    assert all(said in each for each in found)


def test_requests_of_others_take_turns_and_are_counted_in() -> None:
    """Others took every second turn of one slot: by our requests alone it looks short."""
    evidence = proofs.evidence(servers=1, users=99)
    witness = evidence.witnesses[0]
    address = "unix:/var/lib/rondo/shop/sockets/backend-1/slot.sock"
    theirs = witness.lines.rows["backend"] == witness.lines.texts.index(address)
    theirs &= np.cumsum(theirs) % 2 == 0
    ours = replace(witness.lines, rows=witness.lines.rows[~theirs])
    alone = with_witness(evidence, lines=ours)
    told = with_witness(evidence, lines=ours, others={address: int(theirs.sum())})
    assert check("round_robin", alone).status is FAIL
    assert check("round_robin", told).status is PASS


def test_the_bound_is_that_of_the_installed_zone() -> None:
    evidence = proofs.evidence(zone=False, nginx_workers=4)
    upstreams = tuple(replace(each, zone=True) for each in evidence.expected.upstreams)
    expected = replace(evidence.expected, upstreams=upstreams)
    found = check("round_robin", replace(evidence, expected=expected))
    assert found.status is PASS
    assert "2 x 4" in found.bound


# -- one release


def test_a_container_that_no_record_names_is_a_fault() -> None:
    evidence = proofs.evidence()
    first, *rest = evidence.expected.after
    after = (replace(first, recorded=False), *rest)
    found = check(
        "one_release", replace(evidence, expected=replace(evidence.expected, after=after))
    )
    assert found.status is FAIL
    assert "not what the server's release record names" in found.sentence


def test_two_releases_in_force_are_a_mixed_cluster_though_each_is_recorded() -> None:
    evidence = proofs.evidence()

    def enforced(running: Running) -> Running:
        return replace(running, in_force=proofs.OLD if running.server == "web-1" else proofs.NEW)

    expected = evidence.expected
    before, after = (tuple(map(enforced, each)) for each in (expected.before, expected.after))
    found = check(
        "one_release", replace(evidence, expected=replace(expected, before=before, after=after))
    )
    assert found.status is FAIL
    assert f"2 releases in force: {proofs.OLD} on web-1; {proofs.NEW} on web-2" in found.sentence


def test_a_slot_that_a_later_release_added_is_no_mixed_cluster() -> None:
    evidence = proofs.evidence(stray={"backend-3": proofs.NEW})
    expected = evidence.expected

    def added(running: Running) -> Running:
        release = proofs.NEW if running.slot == "backend-3" else running.release
        return replace(running, release=release, in_force=proofs.NEW)

    before, after = (tuple(map(added, each)) for each in (expected.before, expected.after))
    found = check(
        "one_release", replace(evidence, expected=replace(expected, before=before, after=after))
    )
    assert found.status is PASS


def test_a_gap_is_judged_while_the_cluster_changes_and_told_otherwise() -> None:
    limits = {"gap": 0.01}
    assert check("one_release", proofs.evidence(change=True, limits=limits)).status is FAIL
    steady = check("one_release", proofs.evidence(limits=limits))
    assert steady.status is PASS
    assert any("longest time without a right answer" in each for each in steady.details)


def test_a_rise_of_a_few_milliseconds_in_a_change_is_nothing() -> None:
    """A p99 of 4 ms may become 12: nobody notices."""
    evidence = proofs.evidence(change=True, change_factor=2.5, shared=0, noise=0.05)
    rows = evidence.requests.rows
    rows["end"] = rows["start"] + (rows["end"] - rows["start"]) / 3
    assert check("one_release", replace(evidence, witnesses=())).status is PASS


# -- the other ones


def test_an_answer_with_another_status_on_the_way_is_a_fault_of_reconciling() -> None:
    found = check("reconcile", first_log(proofs.evidence(), {"status": 503}))
    assert found.status is FAIL
    assert "logged 503 and the client saw" in found.sentence


def test_frames_of_a_chunked_answer_are_no_difference_but_a_cut_answer_is() -> None:
    evidence = proofs.evidence()
    sent = int(evidence.witnesses[0].lines.rows["bytes"][0])
    assert check("reconcile", first_log(evidence, {"bytes": sent + 20})).status is PASS
    assert check("reconcile", first_log(evidence, {"bytes": sent + 5000})).status is FAIL


def test_a_server_whose_tls_was_not_looked_at_is_not_taken_for_right() -> None:
    evidence = proofs.evidence()
    found = check("tls", replace(evidence, tls=evidence.tls[:1]))
    assert found.status is FAIL
    assert "web-2" in found.sentence


def test_a_percentile_over_its_limit_is_told_with_its_interval() -> None:
    found = check("throughput", proofs.evidence(limits={"p50": 0.001}))
    assert found.status is FAIL
    assert found.sentence.startswith("p50 was ")


def test_slots_on_other_servers_are_not_compared() -> None:
    """Another server is another machine, another way off: its slots may be slower."""
    found = check("slow_backend", proofs.evidence(replicas=1))
    assert found.status is Status.SKIPPED


def test_a_client_clock_that_agrees_with_no_server_makes_a_run_unsound() -> None:
    evidence = proofs.evidence()
    rows = evidence.requests.rows.copy()
    for column in ("intended", "start", "end"):
        rows[column] += 5
    found = check("sound", replace(evidence, requests=replace(evidence.requests, rows=rows)))
    assert found.status is Status.INVALID
    assert "off the clients' clock" in found.sentence


def test_too_few_load_generators_make_a_run_unsound() -> None:
    evidence = proofs.evidence()
    found = check("sound", replace(evidence, planned=replace(evidence.planned, workers=2)))
    assert found.status is Status.INVALID


def test_a_slot_that_was_late_too_unevenly_to_be_sure_is_told_so() -> None:
    found = check("slow_backend", proofs.evidence(duration=10, slow={"backend-2": 1.14}))
    assert found.status is PASS
    assert "No slot was surely 1.1 times slower" in found.sentence
    assert "Load for longer" in found.sentence


def test_slots_that_keep_pace_are_told_with_the_slowest() -> None:
    found = check("slow_backend", proofs.evidence(duration=20))
    assert found.status is PASS
    assert "No slot was 1.1 times slower than the others; the slowest" in found.sentence
