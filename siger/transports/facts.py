"""
What can be asked of a connection's socket, and set on it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

from siger.transports.addresses import Address, twisted_address

if TYPE_CHECKING:
    from siger.reactor import UvloopReactor

__all__ = ["Facts", "TransportSocket"]

# Reset the connection at close, whatever is queued: linger, for no time.
_RESET = struct.pack("ii", 1, 0)


# What every call on a closed socket raises, comes from one.
_CLOSED = socket.socket()
_CLOSED.close()


class TransportSocket:
    """
    The socket of a connection that uvloop owns: all but the calls that would transfer bytes behind its back.

    @ivar _facts: the connection.
    @ivar _socket: uvloop's view of the socket.
    """

    def __init__(self, facts: Facts, view: Any) -> None:
        self._facts = facts
        self._socket = view

    def __getattr__(self, name: str) -> Any:
        return getattr(_CLOSED if self._socket.fileno() == -1 else self._socket, name)

    def shutdown(self, how: int) -> None:
        """
        Shut down one direction, or both.
        """
        with self._socket.dup() as duplicate:
            duplicate.shutdown(how)

    def close(self) -> None:
        """
        Close this descriptor and forget the connection, which may live on in a duplicate.
        """
        self._facts.forget()


class Facts:
    """
    Addresses, options and flags of a connection.

    @ivar connected: whether the protocol has been told of the connection, and not yet of its loss.
    @ivar disconnecting: whether the application asked for an orderly close.
    @ivar disconnected: whether the connection is gone.
    """

    connected = 0
    disconnecting = 0
    disconnected = 0

    _uv: asyncio.Transport | None = None
    _host: Address | None = None
    _peer: Address | None = None
    _socket: TransportSocket | None = None

    def __init__(self, reactor: UvloopReactor) -> None:
        self.reactor = reactor

    def forget(self) -> None:
        """
        Drop the connection without a word to the protocol.
        """
        raise NotImplementedError

    @property
    def socket(self) -> TransportSocket:
        """
        The connection's socket.

        @raise AttributeError: while there is none, as with Twisted's own transports.
        """
        if self._socket is None:
            view = None if self._uv is None else self._uv.get_extra_info("socket")
            if view is None:
                raise AttributeError("socket")
            self._socket = TransportSocket(self, view)
        return self._socket

    def getHandle(self) -> TransportSocket:
        """
        Return the connection's socket.
        """
        return self.socket

    def fileno(self) -> int:
        """
        Return the socket's descriptor, or -1 when there is none.
        """
        try:
            descriptor: int = self.socket.fileno()
        except AttributeError:
            return -1
        return descriptor

    def getHost(self) -> Address:
        """
        Return this end's address.
        """
        if self._host is None:
            self._host = twisted_address(self._sockaddr("sockname"))
        return self._host

    def getPeer(self) -> Address:
        """
        Return the other end's address.
        """
        if self._peer is None:
            self._peer = twisted_address(self._sockaddr("peername"))
        return self._peer

    def _sockaddr(self, which: str) -> Any:
        """
        Ask uvloop for an address.
        """
        return None if self._uv is None else self._uv.get_extra_info(which)

    def getTcpNoDelay(self) -> bool:
        """
        Tell whether small segments are sent at once. uvloop sets that on every TCP connection.
        """
        return self._is_tcp() and bool(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Send small segments at once, or let the kernel collect them. Without effect on UNIX sockets.
        """
        if self._is_tcp():
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def getTcpKeepAlive(self) -> bool:
        """
        Tell whether the kernel probes an idle connection.
        """
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Have the kernel probe an idle connection, or not.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _is_tcp(self) -> bool:
        """
        Tell TCP from UNIX sockets.
        """
        return bool(self.socket.family != socket.AF_UNIX)

    def _reset_on_close(self) -> None:
        """
        Have the kernel send a reset instead of an orderly end.
        """
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except (AttributeError, OSError):
            pass  # gone already
