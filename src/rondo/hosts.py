"""Trust on first use as a decision: show the host keys that servers offer, pin those agreed to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from rondo import known_hosts
from rondo.errors import AccessError, InputError, RondoError
from rondo.fleet import Fleet
from rondo.verifier import HostKeyRefusedError, Offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rondo.inventory import Inventory
    from rondo.source import Loaded

_FIRST_USE: Final = (
    "This is what the network shows; whether it is the server's own key only the server can tell. "
    "Compare the fingerprint with what the command under it says on the server's console."
)


def trust(
    loaded: Loaded,
    names: Sequence[str],
    confirm: Callable[[str], bool],
    say: Callable[[str], None] = print,
) -> tuple[Offer, ...]:
    """Show the host keys of servers, pin those that the operator agrees to, and return these.

    Names are servers of the inventory or plain targets. New keys are one question, each changed
    key is one of its own. Servers behind a jump host are seen once the jump host is trusted.
    """
    path = loaded.root / Path(loaded.inventory.settings.ssh.known_hosts).expanduser()
    agreed: list[Offer] = []
    left = tuple(dict.fromkeys(names))
    while left:
        refused = _look(loaded, left, say)
        offers = tuple(dict.fromkeys(refused.values()))
        _show(offers, say)
        _agree(offers, confirm)
        for offer in offers:
            known_hosts.pin(path, offer.host, offer.key)
        agreed += offers
        # Who was stopped at a jump host has not been seen yet.
        left = tuple(name for name, offer in refused.items() if offer.name != name)
    return tuple(agreed)


def _look(loaded: Loaded, names: Sequence[str], say: Callable[[str], None]) -> Mapping[str, Offer]:
    """Ask servers for their keys; say which are known already, give the offers of the others."""
    inventory = loaded.inventory
    known = [name for name in names if name in inventory.servers]
    plain = [name for name in names if name not in inventory.servers]
    with Fleet(_strict(inventory), loaded.root, known, plain) as fleet:
        results = fleet.each(lambda remote: remote.open())
        verified = fleet.verified
    refused: dict[str, Offer] = {}
    failures: list[RondoError] = []
    for name, result in results.items():
        offer = result.error.offer if isinstance(result.error, HostKeyRefusedError) else None
        if name in verified:
            # Whether it lets us log in is another matter.
            say(f"{name}: its key is pinned already, nothing to do")
        elif offer:
            refused[name] = offer
        elif result.error:
            failures.append(result.error)
    if failures:
        raise AccessError("\n".join(str(failure) for failure in failures))
    return refused


def _strict(inventory: Inventory) -> Inventory:
    ssh = inventory.settings.ssh.model_copy(update={"host_keys": "strict"})
    settings = inventory.settings.model_copy(update={"ssh": ssh})
    return inventory.model_copy(update={"settings": settings})


def _show(offers: Iterable[Offer], say: Callable[[str], None]) -> None:
    for number, offer in enumerate(offers):
        if number == 0:
            say(_FIRST_USE)
        say(str(offer))


def _agree(offers: Sequence[Offer], confirm: Callable[[str], bool]) -> None:
    new = [offer.name for offer in offers if not offer.pinned]
    if new and not confirm(f"Trust {_and(new)} on first use, and pin the keys shown?"):
        raise InputError(f"nothing was pinned for {_and(new)}, as that was not agreed to")
    for offer in offers:
        question = f"The key of {offer.name} has CHANGED. Replace the pinned one?"
        if offer.pinned and not confirm(question):
            raise InputError(f"the pinned key of {offer.name} was kept; connections stay refused")


def _and(names: Sequence[str]) -> str:
    return ", ".join(names)
