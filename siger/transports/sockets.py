"""
The sockets of connections that uvloop owns.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

__all__ = ["TransportSocket"]

# What calls on a closed socket raise comes from this one.
_CLOSED = socket.socket()
_CLOSED.close()


class TransportSocket:
    """
    A connection's socket: all but the calls that would transfer bytes behind uvloop's back.

    @ivar _view: uvloop's view of the socket.
    @ivar _forget: drops the connection without a word to its protocol.
    """

    def __init__(self, view: Any, forget: Callable[[], None]) -> None:
        self._view = view
        self._forget = forget

    def __getattr__(self, name: str) -> Any:
        return getattr(_CLOSED if self._view.fileno() == -1 else self._view, name)

    def shutdown(self, how: int) -> None:
        """
        Shut down one direction, or both.
        """
        with self._view.dup() as duplicate:
            duplicate.shutdown(how)

    def close(self) -> None:
        """
        Close this descriptor and forget the connection, which may live on in a duplicate.
        """
        self._forget()
