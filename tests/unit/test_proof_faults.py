"""The fault matrix on made-up evidence: what each fault makes of the verdict, and by which check.

This table is the judge's promise. `inv prove.selftest` makes the same faults for real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import proofs
import pytest

from rondo.proof.judge import KEYS, judge
from rondo.proof.verdict import Status

if TYPE_CHECKING:
    from rondo.proof.verdict import Verdict

PASS, FAIL, INVALID = Status.PASS, Status.FAIL, Status.INVALID

HEALTHY: dict[str, dict[str, Any]] = {
    "zone, 1 worker": {"nginx_workers": 1},
    "zone, 2 workers": {},
    "no zone, 1 worker": {"zone": False, "nginx_workers": 1},
    "no zone, 2 workers": {"zone": False},
    "no zone, 8 workers": {"zone": False, "nginx_workers": 8},
    "one server": {"servers": 1},
    "weights 3:2:1": {"weights": (3, 2, 1)},
    "random as declared": {"policy": "random"},
    "least_conn as declared": {"policy": "least_conn"},
    "ip_hash as declared": {"policy": "ip_hash"},
    "a deploy": {"change": True, "duration": 40},
    "a deploy with a limit on gaps": {"change": True, "limits": {"gap": 0.25}},
    "a few reloads": {"reloads": 3},
    "others on the site": {"foreign": 500},
    "clients alone": {"witnessed": False},
    "logs alone": {"secret": False},
    "neither": {"secret": False, "witnessed": False},
    "no TLS": {"tls": False},
    "12 users in step with the turns": {"users": 12},
    "6 seconds": {"duration": 6, "rate": 150, "servers": 1},
    "one slot a service": {"replicas": 1},
    "1 request a second": {"rate": 1},
    "errors within the budget": {"wrong": 0.005, "limits": {"errors": "2%"}},
}

FAULTS: dict[str, tuple[dict[str, Any], Status, set[str]]] = {
    "dead from the start": ({"dead": ("backend-2",)}, FAIL, {"everyone", "round_robin"}),
    "killed in mid-run": ({"killed": {"backend-2": 0.5}}, FAIL, {"round_robin"}),
    "killed, of two": (
        {"killed": {"backend-2": 0.5}, "replicas": 2},
        FAIL,
        {"round_robin"},
    ),
    "weights 2:1:1": ({"real_weights": (2, 1, 1)}, FAIL, {"round_robin"}),
    "weights 2:1:1 by counts alone": (
        {"real_weights": (2, 1, 1), "read_configuration": False},
        FAIL,
        {"round_robin"},
    ),
    "weights 11:10:10": (
        {"real_weights": (11, 10, 10), "read_configuration": False},
        FAIL,
        {"round_robin"},
    ),
    "ip_hash": (
        {"balance": "ip_hash", "read_configuration": False},
        FAIL,
        {"everyone", "round_robin", "sticky"},
    ),
    "random": ({"balance": "random", "read_configuration": False}, FAIL, {"round_robin"}),
    "least_conn, idle": ({"balance": "least_conn"}, FAIL, {"round_robin"}),
    "2x slower, 10 s": (
        {"slow": {"backend-2": 2}, "servers": 1, "duration": 10, "rate": 150},
        FAIL,
        {"slow_backend"},
    ),
    "1.3x slower, 60 s": ({"slow": {"backend-2": 1.3}, "duration": 60}, FAIL, {"slow_backend"}),
    "old release on one slot": ({"stray": {"backend-3": "0ld"}}, FAIL, {"one_release"}),
    "1 % of answers 500": ({"wrong": 0.01}, FAIL, {"lost"}),
    "10 % of GETs dropped": ({"dropped": 0.1}, FAIL, {"lost", "throughput"}),
    "1 s of 5 stalled": ({"stall": 1}, FAIL, {"throughput"}),
    "unknown CA": ({"tls_error": "unable to get local issuer certificate"}, FAIL, {"tls"}),
    "expired soon": ({"days_left": 3}, FAIL, {"tls"}),
    "TLS 1.0 offered": ({"tls_versions": ("TLSv1.0", "TLSv1.2", "TLSv1.3")}, FAIL, {"tls"}),
    "no redirect": ({"redirect": "200"}, FAIL, {"tls"}),
    "no HTTP/2": ({"http2": False}, FAIL, {"tls"}),
    "a server of two missing": ({"missing_server": "web-2"}, FAIL, {"everyone", "sound"}),
    "old answers after a deploy": ({"change": True, "late_old": 1}, FAIL, {"one_release"}),
    "a deploy that slows": ({"change": True, "change_factor": 5}, FAIL, {"one_release"}),
    "resent on the way": ({"doubled": 1}, FAIL, {"reconcile"}),
    "a line missing in a whole log": ({"unlogged": 1}, FAIL, {"reconcile"}),
    "client too slow": ({"cpu": 0.95, "sent_share": 0.9}, INVALID, {"sound", "throughput"}),
    "client late": ({"lag": 0.02}, INVALID, {"sound"}),
    "a worker killed": (
        {"lost_worker": True, "sent_share": 0.6},
        INVALID,
        {"sound", "throughput"},
    ),
    "no requests": ({"rate": 0}, INVALID, {"sound"}),
    "log truncated": ({"complete": False, "unlogged": 500}, INVALID, {"sound", "reconcile"}),
    "clock off": ({"clock": 60}, INVALID, {"sound"}),
    "clock off in a deploy": ({"clock": 60, "change": True, "secret": False}, INVALID, {"sound"}),
    "clock behind": ({"clock": -60}, INVALID, {"sound"}),
    "lost and unsound": ({"wrong": 0.01, "cpu": 0.95}, FAIL, {"lost", "sound"}),
    "wrong shares and a slow client": (
        {"real_weights": (2, 1, 1), "lag": 0.02},
        FAIL,
        {"round_robin", "sound"},
    ),
}


def spoke(verdict: Verdict) -> set[str]:
    return {each.key for each in verdict.checks if each.status in {FAIL, INVALID}}


@pytest.mark.parametrize("knobs", HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_run_passes(knobs: dict[str, Any]) -> None:
    for seed in (1, 2):
        verdict = judge(proofs.evidence(seed=seed, **knobs))
        assert verdict.status is PASS, verdict.sentence
        assert verdict.exit_code == 0


@pytest.mark.parametrize(("knobs", "status", "keys"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_called_by_its_name_and_no_other(
    knobs: dict[str, Any], status: Status, keys: set[str]
) -> None:
    for seed in (1, 2):
        verdict = judge(proofs.evidence(seed=seed, **knobs))
        assert (verdict.status, spoke(verdict)) == (status, keys), verdict.sentence


def test_each_verdict_has_the_ten_checks_in_order_and_each_says_four_things() -> None:
    for knobs in ({}, {"rate": 0}, {"witnessed": False, "secret": False}, {"change": True}):
        verdict = judge(proofs.evidence(**knobs))
        assert tuple(each.key for each in verdict.checks) == KEYS
        for check in verdict.checks:
            said = (check.sentence, check.expected, check.observed, check.bound, check.power)
            assert all(said), check.key
            assert check.sentence.rstrip(")").endswith((".", "below")), check.sentence


def test_the_sentence_of_a_failed_run_begins_with_the_first_check_that_failed() -> None:
    verdict = judge(proofs.evidence(wrong=0.01, tls_error="unknown CA"))
    assert verdict.sentence.startswith("Nothing lost: ")
    assert verdict.sentence.endswith("Also: TLS.")


def test_a_fault_that_an_unsound_run_can_feign_is_no_fault_of_the_site() -> None:
    verdict = judge(proofs.evidence(stall=1, lag=0.05))
    slow = next(each for each in verdict.checks if each.key == "throughput")
    assert (verdict.status, slow.status) == (INVALID, INVALID)
    assert "not sound enough" in slow.sentence


def test_users_who_wait_for_a_slow_site_are_no_fault_of_the_client() -> None:
    """Unsent requests make a run unsound; a site that held its users up fails all the same."""
    verdict = judge(proofs.evidence(sent_share=0.7, users=4, slow={"backend-1": 40}))
    assert verdict.status is FAIL
    assert "throughput" in spoke(verdict)


def test_anomalies_are_capped_and_counted_to_the_last_one() -> None:
    verdict = judge(proofs.evidence(wrong=0.3, dropped=0.2, rate=400))
    assert len(verdict.anomalies) <= 210
    assert sum(each.count for each in verdict.anomalies) == verdict.anomaly_count
    assert {each.kind for each in verdict.anomalies} == {"wrong answer", "connection lost"}
    assert verdict.anomaly_count == verdict.figures["errors"]


def test_figures_have_what_was_asked_answered_and_how_fast() -> None:
    figures = judge(proofs.evidence()).figures
    assert figures["requests"] == figures["logged"] == 4200
    assert figures["rate_planned"] == figures["rate_answered"] == 200
    assert 0 < figures["p50"] < figures["p95"] < figures["p99"] <= figures["max"]
    assert figures["service_p50"] < figures["p50"]
