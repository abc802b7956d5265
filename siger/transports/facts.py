"""
What can be asked of a connection, and set on its socket.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from siger.transports.addresses import Address, twisted_address
from siger.transports.sockets import TransportSocket

if TYPE_CHECKING:
    from siger.reactor import UvloopReactor

__all__ = ["Facts"]

# Reset the connection at close, whatever is queued: linger, for no time.
_RESET = struct.pack("ii", 1, 0)


class Facts:
    """
    Addresses, options and flags of a connection.

    @ivar connected: whether the protocol has been told of the connection, and not yet of its loss.
    @ivar disconnecting: whether the application asked for an orderly close.
    @ivar disconnected: whether the connection is gone.
    @ivar _uv: uvloop's transport, once there is one.
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

    @property
    def _loop(self) -> Any:
        """
        uvloop's loop.
        """
        return self.reactor.loop

    # To be provided by the layers above

    def forget(self) -> None:
        """
        Drop the connection without a word to the protocol.
        """
        raise NotImplementedError

    def failed(self, error: BaseException) -> None:
        """
        Log what application code raised, and close this connection for it.
        """
        raise NotImplementedError

    # The socket

    @property
    def socket(self) -> Any:
        """
        The connection's socket.

        @raise AttributeError: while there is none, as with Twisted's own transports.
        """
        if self._socket is None:
            if self._uv is None or self.disconnected:
                raise AttributeError("socket")
            self._socket = TransportSocket(self._uv.get_extra_info("socket"), self.forget)
        return self._socket

    def getHandle(self) -> Any:
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

    # Addresses

    def getHost(self) -> Any:
        """
        Return this end's address.
        """
        if self._host is None:
            self._host = twisted_address(self._sockaddr("sockname"))
        return self._host

    def getPeer(self) -> Any:
        """
        Return the other end's address.
        """
        if self._peer is None:
            self._peer = twisted_address(self._sockaddr("peername"))
        return self._peer

    def _sockaddr(self, which: str) -> Any:
        """
        Ask uvloop for an address. It remembers those of TCP connections.
        """
        with suppress(AttributeError, OSError):
            return None if self._uv is None else self._uv.get_extra_info(which)

    # Options

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
        with suppress(AttributeError, OSError):  # raised when it is gone already
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
