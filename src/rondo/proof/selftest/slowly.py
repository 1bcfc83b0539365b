"""Stand between Nginx and backends, and make them slower or wrong: MODE VALUE SOCKET...

Runs in a container on a server of the lab, from the application's own image: standard library
only, and nothing of Rondo. Each socket was moved aside to SOCKET.real before. `delay` holds every
answer back by VALUE seconds, `errors` turns that share of them into 500.
"""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from pathlib import Path

PIECE = 65536
WRONG = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 6\r\n\r\nsorry\n"
)


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what is said until its end; whoever went away is the other side's to notice."""
    try:
        while piece := source.recv(PIECE):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def answer(client: socket.socket, path: str, mode: str, value: float) -> None:
    """Take one request to the backend, and its answer back with the fault in it."""
    with client, socket.socket(socket.AF_UNIX) as backend:
        try:
            backend.connect(f"{path}.real")
        except OSError:
            return
        threading.Thread(target=pump, args=(client, backend), daemon=True).start()
        first = backend.recv(PIECE)
        if mode == "delay":
            time.sleep(value)
        elif random.random() < value:  # noqa: S311 - no secret
            first, release = WRONG, _release(first)
            first = first.replace(b"\r\n", release, 1)
            while backend.recv(PIECE):
                pass
        try:
            client.sendall(first)
        except OSError:
            return
        pump(backend, client)


def _release(first: bytes) -> bytes:
    """Give the header by which Nginx knows who answered, as the backend wrote it."""
    lines = [line for line in first.split(b"\r\n") if line.lower().startswith(b"x-rondo-release:")]
    return b"\r\n".join((b"", *lines, b""))


def listen(path: str, mode: str, value: float) -> None:
    """Take the place of a backend's socket."""
    with socket.socket(socket.AF_UNIX) as front:
        front.bind(path)
        Path(path).chmod(0o666)
        front.listen(1024)
        while True:
            client, _ = front.accept()
            threading.Thread(target=answer, args=(client, path, mode, value), daemon=True).start()


def main() -> None:
    """Serve every socket until the container is stopped."""
    mode, value, *paths = sys.argv[1:]
    for path in paths:
        threading.Thread(target=listen, args=(path, mode, float(value)), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
