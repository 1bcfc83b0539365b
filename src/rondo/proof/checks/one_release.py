"""Tell whether only the recorded release answered; in a change, each in its time and fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rondo.proof import latency, phases, phrases, releases
from rondo.proof.finding import ON_CLIENT, ON_CLOCK, Fault, Finding, skipped
from rondo.proof.phrases import many, number, time
from rondo.proof.sightings import Sightings, sight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.proof.case import Case
    from rondo.proof.phases import Phase
    from rondo.proof.releases import Answers, Stray

KEY, TITLE = "one_release", "One release"


def judge(case: Case) -> Finding:
    """Compare what answered with what the servers have on record."""
    known = {each.release for each in (*case.expected.before, *case.expected.after)} - {""}
    if not known and not case.change:
        why = "No server said which release it runs."
        return skipped(KEY, TITLE, _expected(case), why)
    witnesses = list(releases.answers(case))
    strays = [(each, stray) for each in witnesses for stray in releases.strays(case, each)]
    stretches = phases.phases(case)
    faults = [
        *_unrecorded(case),
        *_mixed(case),
        *(_stray(case, stray) for _, stray in strays),
        *_slow(case, stretches),
        *_gap(case),
    ]
    return Finding(
        KEY,
        TITLE,
        _good(case, witnesses),
        _expected(case),
        _observed(case, witnesses),
        _bound(case),
        _power(case, witnesses),
        tuple(faults),
        tuple(_details(case, stretches)),
        sightings=tuple(_sighting(case, each, stray) for each, stray in strays),
    )


def _expected(case: Case) -> str:
    final = case.expected.after or case.expected.before
    said = phrases.listed(dict.fromkeys(each.release for each in final if each.release))
    if case.change:
        return (
            f"release {said} from every slot once the old one is drained, and users who hardly"
            " notice"
        )
    return f"release {said or 'on record'} from every slot, as the servers have it on record"


def _unrecorded(case: Case) -> Iterator[Fault]:
    final = case.expected.after or case.expected.before
    for each in final:
        if not each.recorded:
            runs = f"release {each.release}" if each.release else "a container"
            yield Fault(
                f"{each.server}: {each.slot} runs {runs}, which is not what the server's release"
                " record names. Deploy again, or roll back."
            )


def _mixed(case: Case) -> Iterator[Fault]:
    """Hold all servers to one release in force, which they keep without a change.

    The slots of one server may have been started by several: a release that adds a slot leaves
    those as they are whose containers it did not change.
    """
    found: dict[str, dict[str, None]] = {}
    for each in case.expected.after or case.expected.before:
        if each.in_force:
            found.setdefault(each.in_force, {})[each.server] = None
    if len(found) > 1:
        said = (f"{release} on {phrases.listed(where)}" for release, where in found.items())
        yield Fault(f"The cluster has {len(found)} releases in force: {'; '.join(said)}.")
    if not case.change:
        yield from _changed(case)


def _changed(case: Case) -> Iterator[Fault]:
    before = {(each.server, each.slot): each.release for each in case.expected.before}
    for each in case.expected.after:
        was = before.get((each.server, each.slot), each.release)
        if was != each.release:
            yield Fault(
                f"{each.server}: {each.slot} changed from release {was} to {each.release} during"
                " the run, though no change was under way."
            )


def _stray(case: Case, stray: Stray) -> Fault:
    place = case.places[stray.place]
    release = f"release {stray.release}" if stray.release else "no release"
    if stray.stale:
        return Fault(
            f"{place.name} answered {many(stray.count, 'request')} with {release} after it was"
            f" drained, the first at {phrases.clock(stray.first)}.",
            ON_CLOCK,
        )
    due = _due(case, stray)
    return Fault(
        f"{place.name} answered {many(stray.count, 'request')} with {release} instead of {due}."
    )


def _due(case: Case, stray: Stray) -> str:
    place = case.places[stray.place]
    due = [
        each.release
        for each in (*case.expected.before, *case.expected.after)
        if (each.server, each.slot) == (place.server, place.slot)
    ]
    return phrases.listed(dict.fromkeys(due))


def _slow(case: Case, stretches: tuple[Phase, ...]) -> Iterator[Fault]:
    if not stretches:
        return
    factor, steady = case.limits.change_p99, stretches[0]
    for each in phases.too_slow(stretches, factor):
        yield Fault(
            f"In the phase {each.name!r} p99 was {time(each.p99.estimate)} (at least"
            f" {time(each.p99.low)}), before the change {time(steady.p99.estimate)}; the limit is"
            f" {time(phases.limit(steady, factor))}.",
            ON_CLIENT,
        )


def _gap(case: Case) -> Iterator[Fault]:
    if not case.change or case.limits.gap is None or not case.count:
        return
    gap, at = latency.longest_gap(case)
    if gap > case.limits.gap:
        yield Fault(
            f"For {time(gap)} from {phrases.clock(at)} no request was answered rightly; the limit"
            f" is {time(case.limits.gap)}.",
            ON_CLIENT,
        )


def _answered(case: Case, witnesses: list[Answers]) -> dict[str, int]:
    """Count the answers of slots by release."""
    del case
    found: dict[str, int] = {}
    for each in witnesses:
        counts = np.bincount(each.release[each.place >= 0], minlength=len(each.names))
        for index in np.flatnonzero(counts):
            name = each.names[index] or "without a release"
            found[name] = found.get(name, 0) + int(counts[index])
    return found


def _good(case: Case, witnesses: list[Answers]) -> str:
    total = sum(_answered(case, witnesses).values())
    if not case.change:
        return f"All {many(total, 'answer')} came from the release on record."
    begin, end = case.change
    return (
        f"The change took {time(end - begin)}; no slot answered with its old release once drained,"
        " and no phase was much slower than before."
    )


def _observed(case: Case, witnesses: list[Answers]) -> str:
    found = _answered(case, witnesses)
    return "; ".join(f"{name}: {many(count, 'answer')}" for name, count in found.items()) or "none"


def _bound(case: Case) -> str:
    if not case.change:
        return "not one answer of another release"
    gap = "" if case.limits.gap is None else f"; no gap over {time(case.limits.gap)}"
    return (
        f"not one answer of the old release 0.1 s after its slot was drained; p99 of a phase under"
        f" {case.limits.change_p99:g} times that before, or {time(phases.FLOOR)} more{gap}"
    )


def _power(case: Case, witnesses: list[Answers]) -> str:
    silent = _answered(case, witnesses).get("without a release", 0)
    if silent:
        return f"{many(silent, 'answer')} named no release; a stray one among them is not seen."
    if not case.change:
        return "A single answer of another release would have been seen."
    return (
        "A single late answer of the old release would have been seen; a phase is judged from"
        f" {phases.LEAST} requests on, by what its p99 was at least."
    )


def _details(case: Case, stretches: tuple[Phase, ...]) -> Iterator[str]:
    for each in stretches:
        few = "" if each.count >= phases.LEAST else ", too few to judge"
        late = time(each.p99.estimate)
        yield f"{each.name}: {many(each.count, 'request')}, p99 {late}{few}"
    if case.count:
        gap, at = latency.longest_gap(case)
        yield f"longest time without a right answer: {time(gap)}, from {phrases.clock(at)}"
    unknown = [each for each in case.expected.before if not each.release]
    if unknown:
        yield f"{number(len(unknown))} slots run a container that does not say its release"


def _sighting(case: Case, found: Answers, stray: Stray) -> Sightings:
    kind = "old release" if stray.stale else "foreign release"
    name = case.places[stray.place].name
    return sight(
        kind,
        stray.rows,
        lambda n: float(found.end[n]),
        lambda _: f"{name} answered with release {stray.release or 'unknown'} ({found.by} say so)",
    )
