"""
Ports for servers that are killed and started again while clients go on trying to connect.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

__all__ = ["lasting_port"]

_LOWEST = 10_000


def lasting_port() -> int:
    """
    A TCP port on loopback that nobody listens on, and that the system gives to no connection as its own. One that it
    could give away is lost sooner or later, to one of the very clients that try to connect to it: a connection of a
    port to itself is a connection.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(_LOWEST, max(first, _LOWEST + 1))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
