"""
What a channel needs of a transport: the part of Twisted's C{ITCPTransport} that it calls.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any, Protocol

__all__ = ["Transport", "close", "half_close", "unacknowledged"]


class Transport(Protocol):
    """
    A connection's transport. Writes after its end are ignored.
    """

    def write(self, data: bytes, /) -> None: ...

    def loseConnection(self) -> None: ...

    def unregisterProducer(self) -> None: ...

    def abortConnection(self) -> None: ...

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...


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
