"""Everything that goes wrong in a deploy, as data: where, when, and what has to become of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fault_acts import cut, deaf, fill_disk, kill, power_loss, reboot, small_disk, told
from faulting import Case, Moment
from shop import merged

if TYPE_CHECKING:
    from shop import Declared


def _says(text: str, server: str = "") -> Moment:
    return Moment(text, server, kind="line")


COMMAND = Moment("run `python manage.py migrate", "web-1", name="release command")
SITE = {
    name: Moment("install /etc/nginx/conf.d/rondo-shop.conf", name, name="install the site")
    for name in ("web-1", "web-2")
}

# From the first thing that is sent to the last thing that is tidied up.
STEPS = (
    Moment("send 1 environment"),
    Moment("send the context of backend"),
    Moment("build rondo/shop/backend"),
    COMMAND,
    Moment("fill backend-1", "web-1"),
    _says("started shop-backend-1-", "web-1"),
    _says("healthy shop-backend-1-", "web-1"),
    _says("switched shop-backend-1-", "web-1"),
    _says("drained backend-1", "web-1"),
    _says("switched shop-backend-2-", "web-1"),
    Moment("fill backend-1", "web-2"),
    _says("started shop-backend-2-", "web-2"),
    _says("drained backend-3", "web-2"),
    SITE["web-1"],
    SITE["web-2"],
    Moment("see the replaced containers off"),
    Moment("record release"),
    Moment("prune what no kept release needs"),
)
IN_PLACE: Declared = {"services": {"backend": {"replace": "in_place"}}}
KILLS = (
    *(
        Case(
            f"killed: {moment}",
            edits=moment.text.startswith(("send the context", "build")),
            reloads=True,
            moment=moment,
            act=kill,
            codes=frozenset({-9}),
            back=False,
        )
        for moment in STEPS
    ),
    *(
        Case(
            f"killed: {moment}, in place",
            change=IN_PLACE,
            moment=moment,
            act=kill,
            codes=frozenset({-9}),
            back=False,
        )
        for moment in (Moment("fill backend-2", "web-1"), _says("started shop-backend-1-", "web-2"))
    ),
)

# Without a word from the operator's machine, which may be gone with its network.
VANISHED = Case(
    "killed, and no server hears of it: switched shop-backend-2",
    moment=STEPS[9],
    before=deaf,
    act=kill,
    codes=frozenset({-9}),
    back=False,
)

# As ever, but on one slot of one server.
ELSEWHERE = 'if [ "$RONDO_SERVER/$RONDO_SLOT" = {place} ]; then {what}; fi; exec /rondo/start'
PLACES = tuple(
    f"{server}/backend-{number}" for server in ("web-1", "web-2") for number in (1, 2, 3)
)
DEADLINE: Declared = {"services": {"backend": {"health": {"deadline": 6}}}}
STAYS: Declared = {"settings": {"roll": {"min_healthy": 4}}}


def _container(name: str, what: str, said: str, settings: Declared | None = None) -> list[Case]:
    """Let a container do something else, on each of the places in turn."""
    cases = []
    for place in PLACES:
        server, slot = place.split("/")
        command = ["sh", "-c", ELSEWHERE.format(place=place, what=what)]
        change: Declared = {"services": {"backend": {"command": command}}}
        where = f"{server}: fill {slot} failed"
        nothing = place == PLACES[0] and settings is not STAYS
        end = (
            "Nothing was switched"
            if nothing
            else "Everything that had moved is back|Nothing was switched"
        )
        cases.append(
            Case(
                f"{name}: {place}",
                change=merged(change, settings or {}),
                said=(where, said, end),
                # What it had in hand dies with it: of each visitor one request at most.
                may_lose={server: 1} if settings is STAYS else {},
            )
        )
    return cases


CONTAINERS = (
    *_container("crashes", "echo crashed on purpose; exit 3", "crashed on purpose"),
    *_container("hangs", "echo hangs on purpose; exec sleep 600", "hangs on purpose", DEADLINE),
    *_container(
        "fails the gate",
        "export DATABASE_HOST=127.0.0.1",
        r"GET /health answered 503 instead of 200 for 6",
        DEADLINE,
    ),
    *_container(
        "passes, then dies",
        '/rondo/start & until [ -S "$RONDO_SOCKET" ]; do sleep 0.1; done; sleep 2; '
        "echo died on purpose; exit 3",
        r"(?s)within 4s of the switch.*died on purpose|died on purpose.*within 4s of the switch",
        STAYS,
    ),
)

# A lost connection is noticed after three of these.
NOTICED: Declared = {"settings": {"ssh": {"keepalive": "1s", "connect_timeout": 3}}}
FAILED = frozenset({1, 4})
SWITCHED = {name: _says("switched shop-backend-1-", name) for name in ("web-1", "web-2")}
FILLING = {name: Moment("fill backend-2", name) for name in ("web-1", "web-2")}
ALL: dict[str, int | None] = {"web-1": None, "web-2": None}


def _cut(server: str, moment: Moment, *, back: str = "") -> Case:
    return Case(
        f"SSH cut on {server}: {moment}",
        change=NOTICED,
        reloads=True,
        moment=moment,
        act=cut(server),
        codes=FAILED,
        said=(f"{server}: ", back),
        back=bool(back),
    )


CUTS = (
    VANISHED,
    _cut("web-2", SWITCHED["web-2"]),
    _cut("web-2", COMMAND, back="Everything that had moved is back"),
    _cut("web-1", COMMAND, back="Nothing was switched"),
    _cut("web-1", Moment("fill backend-1", "web-1")),
    _cut("web-1", FILLING["web-1"]),
    _cut("web-2", FILLING["web-2"]),
    _cut("web-2", SITE["web-2"]),
    _cut("web-2", Moment("record release")),
    Case(
        "SSH cut for 2 s on web-2: switched shop-backend-1 on web-2",
        change={"settings": {"ssh": {"connect_timeout": 3}}},
        moment=SWITCHED["web-2"],
        act=cut("web-2", 2),
        codes=frozenset({0}),
        back=False,
    ),
)

STOPS = (
    *(
        Case(
            f"Docker restarted on {name}: fill backend-2",
            change=NOTICED,
            moment=FILLING[name],
            act=told(name, "systemctl restart docker"),
            # What asks the engine meanwhile may just have to wait for it.
            codes=FAILED | {0},
            # The database is on web-1, and all backends need it.
            may_lose=ALL if name == "web-1" else {"web-2": None},
            back=False,
        )
        for name in ("web-2", "web-1")
    ),
    Case(
        "Docker stopped on web-2: fill backend-2",
        change=NOTICED,
        moment=FILLING["web-2"],
        act=told(
            "web-2",
            "systemctl stop docker.socket docker",
            "systemctl start docker.socket docker",
        ),
        codes=FAILED,
        said=("web-2: fill backend-2",),
        may_lose={"web-2": None},
        back=False,
    ),
    *(
        Case(
            f"Nginx stopped on {name}: fill backend-2",
            change=merged(NOTICED, DEADLINE),
            moment=FILLING[name],
            act=told(name, "systemctl stop nginx", "systemctl start nginx"),
            codes=FAILED,
            said=(f"{name}: fill backend-[23]", "Nginx does not run on this server"),
            may_lose={name: None},
            back=False,
        )
        for name in ("web-2", "web-1")
    ),
    *(
        Case(
            f"{name} rebooted: fill backend-2",
            change=NOTICED,
            moment=FILLING[name],
            act=reboot(name),
            codes=FAILED,
            said=(f"{name}: fill backend-2",),
            may_lose=ALL if name == "web-1" else {"web-2": None},
            back=False,
        )
        for name in ("web-2", "web-1")
    ),
    *(
        Case(
            f"web-2 loses its power: fill backend-2{name}",
            change=merged(NOTICED, change),
            moment=FILLING["web-2"],
            act=power_loss("web-2"),
            codes=FAILED,
            said=("web-2: fill backend-2",),
            may_lose={"web-2": None},
            back=False,
        )
        for name, change in (("", {}), (", in place", IN_PLACE))
    ),
)


NO_SPACE = "[Nn]o space left"


def _full(moment: Moment, back: str = "", *, reloads: bool = False) -> Case:
    return Case(
        f"disk full on web-2: {moment}",
        reloads=reloads,
        moment=moment,
        act=fill_disk,
        before=small_disk,
        codes=FAILED,
        said=("web-2: ", NO_SPACE, back),
        back=bool(back),
    )


DISKS = (
    _full(COMMAND, "Everything that had moved is back"),
    _full(SWITCHED["web-2"]),
    _full(SITE["web-1"], reloads=True),
)

FAULTS = (*CONTAINERS, *CUTS, *STOPS, *DISKS)
CASES = {case.name: case for case in (*KILLS, *FAULTS)}
