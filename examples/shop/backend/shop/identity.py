"""Who we are: the slot, the release and the server that this process runs for."""

from __future__ import annotations

import os
import socket

BACKEND = os.environ.get("RONDO_SLOT", "local")
RELEASE = os.environ.get("RONDO_RELEASE", "dev")
SERVER = os.environ.get("RONDO_SERVER", socket.gethostname())

HEADERS = {
    "X-Shop-Backend": BACKEND,
    "X-Shop-Release": RELEASE,
    "X-Shop-Server": SERVER,
}
