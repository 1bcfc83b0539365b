"""What the load generators are told: one run, with all that its inventory left open decided.

A brief is plain data that goes to other processes and machines as JSON.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rondo.proof.visits import default_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic import JsonValue

    from rondo.inventory import Inventory
    from rondo.objectives import Proof, Scenario, Step
    from rondo.proof.evidence import Planned

PROBE = "probe"
FEWEST_USERS = 12
ASSETS = 2
"""Scripts and styles that a page is taken to name, for the share that its assets will have."""

_METHODS = ("get", "post", "put", "patch", "delete")
_LONGEST_WARM_UP = 2.0


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One kind of request; REQUEST.step is its place in `Brief.steps`."""

    name: str
    """Like "GET /api/products/"; unique in the run."""
    method: str
    path: str
    """With {braces}; empty for the assets that a page names."""
    share: float = 0.0
    """Share of the scheduled requests; 0 for the probe, which is not one of these."""
    status: int | None = None
    """Status that is right; None for any from 200 to 299."""
    contains: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: JsonValue = None
    save: Mapping[str, str] = field(default_factory=dict)
    assets: int | None = None
    """Place of the step under which the assets of this page are counted."""


@dataclass(frozen=True, slots=True)
class ScenarioPlan:
    """What one kind of user does, over and over."""

    name: str
    weight: int
    steps: tuple[int, ...]
    """Places in `Brief.steps`."""


@dataclass(frozen=True, slots=True)
class Brief:
    """One run of the load generators."""

    run: str
    """12 hexadecimal digits, sent with every request."""
    host: str
    """What is loaded, like https://shop.example.com; its name is Host, SNI and what is verified."""
    rate: float
    """Requests a second; with a ramp that of its last stage, without meaning if closed."""
    duration: float
    users: int
    steps: tuple[StepPlan, ...]
    """All that are asked for; the last is the probe's."""
    scenarios: tuple[ScenarioPlan, ...]
    secret: str = ""
    """Opens the server's mouth about the backend; "" without a witness there."""
    addresses: tuple[str, ...] = ()
    """HOST:PORT of each server to connect to, in turn by user; empty to resolve the host's name."""
    authority: str | None = None
    """Absolute path of the PEM file to verify with; None for what the machine trusts."""
    warm_up: float = 0.0
    timeout: float = 30.0
    began: float | None = None
    """First intended start, seconds since 1970; None for as soon as all users are there."""
    ramp: tuple[tuple[float, float], ...] | None = None
    """Stages of (requests a second, seconds) instead of one rate; `duration` is their sum."""
    closed: int | None = None
    """Connections that ask again as soon as they are answered, instead of a schedule."""

    @property
    def probe(self) -> int:
        """Place of the probe's step."""
        return len(self.steps) - 1

    def write(self, path: Path) -> None:
        """Write it as JSON that only the owner may read: it holds the run's secret."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump(asdict(self), file, indent=1)

    @classmethod
    def read(cls, path: Path) -> Brief:
        """Read what `write` has written."""
        return cls.from_plain(json.loads(path.read_text(encoding="utf-8")))

    def plain(self) -> dict[str, Any]:
        """Return it as what JSON knows."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Brief:
        """Make one from what `plain` returned, as it comes back from JSON or a message."""
        ramp = data["ramp"]
        scenarios = ({**each, "steps": tuple(each["steps"])} for each in data["scenarios"])
        nested = {
            "steps": tuple(StepPlan(**each) for each in data["steps"]),
            "scenarios": tuple(ScenarioPlan(**each) for each in scenarios),
            "addresses": tuple(data["addresses"]),
            "ramp": ramp and tuple((rate, seconds) for rate, seconds in ramp),
        }
        return cls(**{**data, **nested})

    def planned(self, *, workers: int = 1, server: str = "") -> Planned:
        """Say for the judge what load was meant."""
        # Load generators import this module, and have no use for numpy.
        from rondo.proof.evidence import Planned  # noqa: PLC0415

        return Planned(
            rate=self.rate,
            duration=self.duration,
            warm_up=self.warm_up,
            users=self.users,
            workers=workers,
            steps=tuple(step.name for step in self.steps),
            methods=tuple(step.method for step in self.steps),
            shares=tuple(step.share for step in self.steps),
            host=self.host,
            server=server,
        )


def make_brief(  # noqa: PLR0913 - what the inventory cannot know, by name
    proof: Proof,
    inventory: Inventory | None,
    *,
    run: str,
    secret: str = "",
    host: str,
    addresses: Sequence[str] = (),
    authority: str | None = None,
    rate: float | None = None,
    duration: float | None = None,
    ramp: tuple[tuple[float, float], ...] | None = None,
    closed: int | None = None,
    began: float | None = None,
) -> Brief:
    """Decide all that the inventory leaves open; without an inventory the host's / is loaded."""
    rate = ramp[-1][0] if ramp else rate or proof.rate
    duration = math.fsum(seconds for _, seconds in ramp) if ramp else duration or proof.duration
    users = closed or proof.users or max(FEWEST_USERS, math.ceil(rate / 2))
    declared = proof.scenario or default_scenario(proof, inventory, host)
    steps, scenarios = _plans(declared)
    brief = Brief(
        run=run,
        secret=secret,
        host=host.rstrip("/"),
        addresses=tuple(addresses),
        authority=authority,
        rate=rate,
        duration=duration,
        warm_up=min(_LONGEST_WARM_UP, duration / 5),
        timeout=proof.timeout,
        users=users,
        began=began,
        steps=steps,
        scenarios=scenarios,
        ramp=ramp,
        closed=closed,
    )
    return replace(brief, steps=_with_shares(brief))


def kinds(brief: Brief) -> tuple[int, ...]:
    """Allot the users to the scenarios in proportion to the weights, interleaved.

    Users take the addresses in turn, so those of each address are allotted by themselves:
    otherwise two scenarios and two servers would pair up.
    """
    addresses = max(1, len(brief.addresses))
    order = _interleaved(
        [each.weight for each in brief.scenarios], math.ceil(brief.users / addresses)
    )
    return tuple(order[user // addresses] for user in range(brief.users))


def _interleaved(weights: Sequence[int], count: int) -> list[int]:
    """Spread by weight as Nginx does: each gains its weight, the highest goes and pays the sum."""
    credit = [0] * len(weights)
    order = []
    for _ in range(count):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        chosen = max(range(len(weights)), key=credit.__getitem__)
        credit[chosen] -= sum(weights)
        order.append(chosen)
    return order


def _plans(
    declared: Mapping[str, Scenario],
) -> tuple[tuple[StepPlan, ...], tuple[ScenarioPlan, ...]]:
    steps: list[StepPlan] = []
    scenarios = []
    for name, scenario in declared.items():
        places = []
        for step in scenario.steps:
            places.append(len(steps))
            steps.extend(_step_plans(step, len(steps)))
        scenarios.append(ScenarioPlan(name, scenario.weight, tuple(places)))
    return _named(steps, _probe(steps)), tuple(scenarios)


def _step_plans(step: Step, place: int) -> Iterator[StepPlan]:
    method, path = next(
        (method, path) for method in _METHODS if (path := getattr(step, method)) is not None
    )
    plan = StepPlan(
        name=step.name or f"{method.upper()} {path}",
        method=method.upper(),
        path=path,
        status=step.status,
        contains=step.contains,
        headers=dict(step.headers),
        body=step.body,
        save=dict(step.save),
        assets=place + 1 if step.assets else None,
    )
    yield plan
    if step.assets:
        yield StepPlan(name=f"assets of {plan.name}", method="GET", path="")


def _probe(steps: Sequence[StepPlan]) -> StepPlan:
    """Ask for the first page that needs nothing known; / where there is none."""
    plain = (step for step in steps if step.method == "GET" and step.path and not _open(step))
    first = next(plain, StepPlan(name="", method="GET", path="/"))
    return replace(first, name=PROBE, save={}, assets=None)


def _open(step: StepPlan) -> bool:
    return "{" in step.path or any("{" in value for value in step.headers.values())


def _named(steps: Sequence[StepPlan], probe: StepPlan) -> tuple[StepPlan, ...]:
    """Tell steps of the same name apart by a number."""
    met: Counter[str] = Counter({PROBE: 1})
    named = []
    for step in steps:
        met[step.name] += 1
        again = f" #{met[step.name]}" if met[step.name] > 1 else ""
        named.append(replace(step, name=step.name + again))
    return (*named, probe)


def _with_shares(brief: Brief) -> tuple[StepPlan, ...]:
    """Work out the share of each step: users ask equally often, and walk through their steps."""
    users = Counter(kinds(brief))
    shares = [0.0] * len(brief.steps)
    for number, scenario in enumerate(brief.scenarios):
        turns = dict.fromkeys(scenario.steps, 1)
        turns |= {
            assets: ASSETS
            for place in scenario.steps
            if (assets := brief.steps[place].assets) is not None
        }
        for place, count in turns.items():
            shares[place] = users[number] / brief.users * count / sum(turns.values())
    return tuple(
        replace(step, share=share) for step, share in zip(brief.steps, shares, strict=True)
    )
