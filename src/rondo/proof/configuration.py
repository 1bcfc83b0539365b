"""The installed upstreams against the declared ones: what counts cannot show on an idle site. Pure.

least_conn looks exactly like round robin while no requests overlap, and a backup server like one
that was not needed. A zone is no part of the policy: with or without one the turns are right, only
their bound is another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondo.proof import phrases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondo.proof.evidence import Installed, Member, Upstream


def differences(declared: Upstream, installed: tuple[Installed, ...]) -> Iterator[str]:
    """Yield a sentence for each way in which the server's configuration is not the declared one."""
    found = next((each for each in installed if each.name == declared.name), None)
    where = f"{declared.server}: upstream {declared.name}"
    if found is None:
        yield f"{where} is not in the installed configuration."
        return
    if found.policy != declared.policy:
        yield f"{where} is installed with {found.policy}, the inventory says {declared.policy}."
    yield from _members(where, declared, found)


def _members(where: str, declared: Upstream, found: Installed) -> Iterator[str]:
    there = {each.address: each for each in found.members}
    missing = [slot for address, slot in declared.addresses.items() if address not in there]
    strange = [address for address in there if address not in declared.addresses]
    if missing:
        yield f"{where} is installed without {phrases.listed(missing)}."
    if strange:
        yield f"{where} is installed with {phrases.listed(strange)}, no slot of the inventory."
    for address, slot in declared.addresses.items():
        if address in there:
            yield from _member(where, slot, declared.slots[slot], there[address])


def _member(where: str, slot: str, weight: int, found: Member) -> Iterator[str]:
    if found.weight != weight:
        yield f"{where} gives {slot} weight {found.weight}, the inventory says {weight}."
    if found.down:
        yield f"{where} has {slot} marked down."
    if found.backup:
        yield f"{where} has {slot} as backup only."
