"""The lab: N real servers as containers on this machine, with a registry of base images.

Everything the lab makes carries the label `rondo.lab=NAME`, so that `down` finds all of it by
label, never by guess; what it keeps on the operator's side is in `.rondo/lab/`.
"""

from __future__ import annotations

from rondo.lab.authority import Certificate
from rondo.lab.engine import LabError
from rondo.lab.life import certificate, down, reboot, renew, ssh_command, status, up
from rondo.lab.model import Lab, LabServer

__all__ = [
    "Certificate",
    "Lab",
    "LabError",
    "LabServer",
    "certificate",
    "down",
    "reboot",
    "renew",
    "ssh_command",
    "status",
    "up",
]
