"""
Memory for idle connections: resident memory before and after, of a proxy started for this alone.
"""

from __future__ import annotations

import math
import resource
import socket
from contextlib import ExitStack

from benchmarks.backend import PREFIX
from benchmarks.processes import StartError
from benchmarks.running import Running

__all__ = ["CONNECTIONS", "allow_connections", "kib_per_thousand"]

CONNECTIONS = 2000
_WARM = 100
_FILES = 20_000


def allow_connections() -> None:
    """
    Raise the limit on open files as far as is allowed, for this process and its children.

    @raise StartError: that is not far enough.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if allowed < 4 * CONNECTIONS:
        raise StartError(f"{4 * CONNECTIONS} open files are needed, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def kib_per_thousand(running: Running) -> float:
    """
    KiB that a thousand idle keep-alive connections add, each having done one request; NaN when it refuses so many.

    The first hundred are opened before the first look, so that what a proxy loads or fills once does not count.
    """
    with ExitStack() as opened:
        try:
            _open(opened, running, _WARM)
            before = running.process.resident_bytes()
            _open(opened, running, CONNECTIONS)
            after = running.process.resident_bytes()
        except OSError:
            return math.nan
    return (after - before) / 1024 / (CONNECTIONS / 1000)


def _open(opened: ExitStack, running: Running, count: int) -> None:
    """
    Open connections and make one request on each, one after another.
    """
    port = running.spec.port
    request = f"GET {PREFIX}/small HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    for _ in range(count):
        connection = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        connection.sendall(request)
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            raise ConnectionError("no answer")
