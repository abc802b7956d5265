"""
Ports for programs that tests start.

The system gives ports of its own range to connections, so that one which was free a moment ago may be a client's by
the time a program listens on it. With a server that is killed and started again it is one of the very clients that try
to connect to it: a connection of a port to itself is a connection. And other tests, which run beside these, want ports.
"""

from __future__ import annotations

import fcntl
import functools
import os
import random
import socket
import tempfile
from pathlib import Path

__all__ = ["free_port"]

_LOWEST = 10_000
# A port that browsers refuse (Fetch standard, "bad ports"), the only one of this range.
_given: set[int] = {10_080}
_random = random.Random()


def free_port() -> int:
    """
    A port of loopback that nobody uses, for TCP or for UDP, and that neither the system gives to a connection as its
    own nor this function to anybody else while this process lasts.
    """
    while True:
        port = _random.randrange(_LOWEST, _end())
        if port not in _given and _claimed(port) and _unused(port):
            _given.add(port)
            return port


@functools.cache
def _end() -> int:
    """
    Where the ports end that the system gives to nobody; where it leaves too few, as some systems do, where all end.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return first if first > 2 * _LOWEST else 1 << 16


@functools.cache
def _claims() -> int:
    """
    A file in which each byte stands for a port: who has locked it may use that, until its process ends.
    """
    return os.open(Path(tempfile.gettempdir()) / f"siger-test-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600)


def _claimed(port: int) -> bool:
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _unused(port: int) -> bool:
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
