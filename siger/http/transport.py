"""
What a channel needs of a transport: the part of Twisted's C{ITCPTransport} that it calls.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Iterable
from typing import Any, Final, Protocol

__all__ = ["Transport", "close", "half_close", "keep_alive", "unacknowledged"]

# A peer that is gone is found out within two minutes, also if something is on its way to it: the kernel asks nobody who
# owes it an acknowledgement, and waits a quarter of an hour for that.
_PROBE_AFTER: Final = 60
_PROBE_EVERY: Final = 15
_PROBES: Final = 4
_PATIENCE: Final = _PROBE_AFTER + _PROBES * _PROBE_EVERY


class Transport(Protocol):
    """
    A connection's transport. Writes after its end are ignored.
    """

    def write(self, data: bytes, /) -> None: ...

    def writeSequence(self, pieces: Iterable[bytes], /) -> None: ...

    def loseConnection(self) -> None: ...

    def unregisterProducer(self) -> None: ...

    def abortConnection(self) -> None: ...

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...


def keep_alive(transport: Transport) -> None:
    """
    Have the kernel find out whether the peer is still there, where that can be done: a connection that may be silent
    for hours would not be missed otherwise.
    """
    get_handle: Any = getattr(transport, "getHandle", None)
    try:
        handle = get_handle()
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER)
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY)
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _PATIENCE * 1000)
    except (AttributeError, TypeError, OSError):
        return


def close(transport: Transport) -> None:
    """
    Close once everything is written. Whoever feeds the transport is taken off first: a transport waits for a producer.
    """
    transport.unregisterProducer()
    transport.loseConnection()


def half_close(transport: Transport) -> bool:
    """
    Close the write side once everything is written, if this transport can.
    """
    lose = getattr(transport, "loseWriteConnection", None)
    if lose is None:
        return False
    transport.unregisterProducer()
    lose()
    return True


def unacknowledged(transport: Transport) -> int:
    """
    How many bytes the kernel holds that the peer has not acknowledged, or -1 where that cannot be told.

    Two equal answers some time apart mean that the peer reads nothing.
    """
    get_handle: Any = getattr(transport, "getHandle", None)
    try:
        descriptor = get_handle().fileno()
        (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0"))
    except (AttributeError, TypeError, OSError, ValueError):
        return -1
    return int(count)
