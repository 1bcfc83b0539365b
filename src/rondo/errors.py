"""Everything that can go wrong, as one small tree; each kind has its exit code.

RondoError                 1   a step failed; what was serving still serves
├── InputError             3   the inventory, a template, a certificate or a command line is wrong
│   └── UsageError         2   the same, in a proof, where 3 says that it was not sound
├── AccessError            4   a server could not be reached, verified or logged in to
├── PreflightError         5   a server is not ready; nothing was touched
├── LockedError            6   somebody else is changing the cluster
├── RemoteError            1   a command on a server failed
│   └── DeadlineError      1   a command on a server took longer than it may
├── FaultError            70   a fault of Rondo, in a step; what had moved went back
└── Interrupted          130   Ctrl-C; the state is sound and was told

Exit code 0 means done, or nothing to do; 2 means that `fab plan` found something to do.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_CHANGES = 2
EXIT_FAULT = 70


class RondoError(Exception):
    """A failure told in one sentence: where, what was tried, what to do next."""

    exit_code: ClassVar[int] = EXIT_FAILED


class FaultError(RondoError):
    """An error in a step that nobody foresaw; it ends the step like any other, with its trace."""

    exit_code = EXIT_FAULT


class InputError(RondoError):
    """Something the operator wrote is wrong; nothing was touched."""

    exit_code = 3


class UsageError(InputError):
    """The same, told by a proof: its code 3 means a run that was not sound."""

    exit_code = 2


@contextmanager
def of_a_proof() -> Iterator[None]:
    """Raise what was written wrongly as a proof tells it."""
    try:
        yield
    except InputError as error:
        raise UsageError(str(error)) from None


class AccessError(RondoError):
    """A server could not be reached, its host key verified, or the login made."""

    exit_code = 4


class PreflightError(RondoError):
    """A server lacks something that a deploy needs; nothing was touched."""

    exit_code = 5


class LockedError(RondoError):
    """Somebody else is changing the cluster."""

    exit_code = 6


class RemoteError(RondoError):
    """A command on a server ended with a code that is not zero."""


class DeadlineError(RemoteError):
    """A command on a server took longer than it may."""


class Interrupted(RondoError):  # noqa: N818 - it is no error of anybody's
    """The operator pressed Ctrl-C."""

    exit_code = 130
