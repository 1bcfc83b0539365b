"""One user of the site, and the probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
from locust import User, task
from locust.exception import CatchResponseError, StopUser

from rondo.proof.load.crew import GRACE
from rondo.proof.load.line import FAILURES, Line, told
from rondo.proof.load.pace import PROBES, turns
from rondo.proof.load.scenario import Ask, Journey, Values, wrong
from rondo.proof.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from rondo.proof.load.crew import Crew
    from rondo.proof.load.line import Answer

_PAUSE_AFTER_FAILURE = 0.05


class Person:
    """Somebody with a connection, whose requests are recorded."""

    def __init__(self, crew: Crew, environment: Environment, number: int) -> None:
        self.crew = crew
        self.number = number
        self.cookies: dict[str, str] = {}
        self.values = Values(crew.brief.run, number)
        self.line = Line(crew.doors[number % len(crew.doors)])
        self._fire: Callable[..., None] = environment.events.request.fire

    def request(self, ask: Ask, intended: float, journey: Journey | None = None) -> Outcome:
        """Make one request and record it, whatever becomes of it."""
        crew, plan = self.crew, self.crew.brief.steps[ask.step]
        number = crew.next_id()
        words = (
            crew.wording.request(ask, self.values, self.cookies, number)
            if journey
            else crew.wording.probe(number)
        )
        start = crew.clock.now()
        answer, outcome, error = None, Outcome.UNFINISHED, f"{plan.name}: cut off"
        timer = gevent.Timeout.start_new(crew.brief.timeout)
        try:
            answer = self.line.exchange(plan.method, words)
            outcome = Outcome.RIGHT
        except gevent.Timeout as timeout:
            if timeout is not timer:
                raise
            outcome = Outcome.TIMEOUT
            error = f"{plan.name}: no whole answer in {crew.brief.timeout:g} s"
        except FAILURES as failure:
            outcome, error = Outcome.TRANSPORT, f"{plan.name}: {told(failure)}"
        finally:
            timer.close()
            end = crew.clock.now()
            if answer is not None:
                error = self._judged(ask, answer, journey)
                outcome = Outcome.WRONG if error else Outcome.RIGHT
            self._record(number, ask, (intended, start, end), (answer, outcome, error))
        return outcome

    def _judged(self, ask: Ask, answer: Answer, journey: Journey | None) -> str:
        plan = self.crew.brief.steps[ask.step]
        if "set-cookie" in answer:
            keep_cookies(self.cookies, answer)
        try:
            error = wrong(plan, answer.get_code(), answer.body)
            return error or (journey.learn(ask, answer.body) if journey else "")
        except ValueError as broken:
            return f"{plan.name}: {broken}"

    def _record(
        self,
        number: int,
        ask: Ask,
        times: tuple[float, float, float],
        ended: tuple[Answer | None, Outcome, str],
    ) -> None:
        recorder = self.crew.recorder
        answer, outcome, error = ended
        seen = str(answer.get("x-rondo-backend", "")) if answer is not None else ""
        size = answer.size if answer is not None else 0
        recorder.add(
            number,
            *times,
            ask.step,
            self.number,
            answer.get_code() if answer is not None else 0,
            outcome,
            self.line.wire,
            recorder.backend(seen) if seen else 0,
            recorder.error(error) if error else 0,
            size,
        )
        plan = self.crew.brief.steps[ask.step]
        self._fire(
            request_type=plan.method,
            name=plan.name,
            response_time=(times[2] - times[0]) * 1000,
            response_length=size,
            exception=CatchResponseError(error) if error else None,
            context={},
        )


def keep_cookies(cookies: dict[str, str], answer: Answer) -> None:
    """Take what a server wants kept, until the visitor is gone."""
    given = answer.get("set-cookie") or ()
    for line in [given] if isinstance(given, str) else given:
        pair, _, attributes = line.partition(";")
        name, _, value = pair.strip().partition("=")
        if "max-age=0" in attributes.lower().replace(" ", ""):
            cookies.pop(name, None)
        else:
            cookies[name] = value


class SiteUser(User):
    """A user of the site: walks through its scenario at the moments that the schedule says.

    Each turn of Locust's is one request; `wait_time` is the time until the next one is due. One
    that comes late starts at once and is never left out.
    """

    crew: Crew | None = None
    """Set before users are made."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        crew = self.crew
        self._number = crew.seat() if crew else None
        self._intended = 0.0

    def on_start(self) -> None:
        """Wait for the moment at which the first request is due."""
        crew = self.crew
        if crew is None or self._number is None:
            return
        self._person = Person(crew, self.environment, self._number)
        scenario = crew.brief.scenarios[crew.kinds[self._number]]
        self._journey = Journey(crew.brief, scenario.steps, self._person.values)
        self._turns = turns(crew.brief, self._number)
        crew.begun.wait()
        if (delay := self._delay()) is not None:
            gevent.sleep(delay)

    def on_stop(self) -> None:
        """Give the seat back."""
        if self.crew and self._number is not None:
            self._person.line.close()
            self._number = None
            self.crew.leave()

    def wait_time(self) -> float:
        """Return the seconds until the next request is due."""
        delay = self._delay()
        if delay is None:
            raise StopUser
        return delay

    def _delay(self) -> float | None:
        crew = self._person.crew
        now = crew.clock.now()
        if crew.brief.closed:
            self._intended = max(now, crew.began)
            return self._intended - now if now < crew.end else None
        number = next(self._turns, None)
        if number is None or now > crew.end + GRACE:
            self._intended = 0.0
            return None
        self._intended = crew.began + crew.schedule.due(number)
        return max(0.0, self._intended - now)

    @task
    def turn(self) -> None:
        """Make the request that is due."""
        if self._number is None or not self._intended:
            raise StopUser
        ask, is_new_visitor = self._journey.ask()
        if is_new_visitor:
            self._person.cookies.clear()
        outcome = self._person.request(ask, self._intended, self._journey)
        if self._person.crew.brief.closed and outcome is Outcome.TRANSPORT:
            gevent.sleep(_PAUSE_AFTER_FAILURE)


def probe(crew: Crew, environment: Environment) -> None:
    """Ask for the same page again and again, on a fresh connection each time, one at a time."""
    person = Person(crew, environment, crew.brief.users)
    ask = Ask(crew.brief.probe)
    crew.begun.wait()
    number = 0
    try:
        while (intended := crew.began + number / PROBES) < crew.end:
            gevent.sleep(max(0.0, intended - crew.clock.now()))
            person.request(ask, intended)
            person.line.close()
            # What was due while it waited is left out: it asks one thing after the other.
            number = max(number + 1, int((crew.clock.now() - crew.began) * PROBES))
    finally:
        person.line.close()
        crew.leave()


def start_probe(crew: Crew, environment: Environment) -> gevent.Greenlet | None:
    """Start the probe of the run where it belongs."""
    return gevent.spawn(probe, crew, environment) if crew.has_probe else None
