"""
Ports: Twisted's own, but for who accepts.

Binding, messages, lock files, adoption of descriptors and the end of a port are inherited. uvloop accepts on a duplicate of
the port's descriptor, so that a port can be paused and resumed while the kernel goes on queueing connections.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix

from siger.transports.addresses import twisted_address
from siger.transports.connection import Connection
from siger.transports.handover import hand_over, serve

if TYPE_CHECKING:
    from siger.reactor import UvloopReactor

__all__ = ["TCPPort", "UNIXPort", "adopt"]


class ServerConnection(Connection):
    """
    A connection that a port accepted, or that was adopted.

    @ivar server: the port, or C{None}.
    @ivar sessionno: which of the port's connections this is.
    """

    sessionno = 0

    def __init__(self, reactor: UvloopReactor, server: _Accepting | None) -> None:
        super().__init__(reactor)
        self.server = server

    def _begin(self) -> None:
        """
        Build the protocol now that the peer is known.
        """
        assert self._uv is not None and self.server is not None
        peername = self._uv.get_extra_info("peername")
        if peername is None:
            # Reset by the peer since it was accepted; where accept() sees that it fails, with ECONNABORTED.
            self._uv.abort()
            return
        self._peer = twisted_address(peername)
        protocol = self.server.factory.buildProtocol(self._peer)
        if protocol is None:
            self._uv.abort()
            return
        self.sessionno = self.server.sessionno
        self.server.sessionno += 1
        self._connect(protocol)

    @property
    def hostname(self) -> Any:
        """
        The peer's address, as text.
        """
        peer = self.getPeer()
        return getattr(peer, "host", None) or getattr(peer, "name", None)

    def _describe(self, prefix: str) -> str:
        """
        Name the protocol, the session and the peer.
        """
        return f"{prefix},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        """
        Name the protocol, the session and the port.
        """
        host = self.getHost()
        return f"<{type(self._protocol).__name__} #{self.sessionno} on {getattr(host, 'port', host)}>"


class AdoptedConnection(ServerConnection):
    """
    A connection that somebody else accepted.
    """

    def __init__(self, reactor: UvloopReactor, protocol: Any, peer: Any) -> None:
        super().__init__(reactor, None)
        self._adopted = protocol
        self._peer = peer
        self.sessionno = getattr(peer, "port", 0)

    def _begin(self) -> None:
        """
        Connect the protocol that was built at adoption.
        """
        protocol, self._adopted = self._adopted, None
        self._connect(protocol)


def adopt(reactor: UvloopReactor, connected: socket.socket, factory: Any) -> AdoptedConnection | None:
    """
    Serve a connection that was accepted elsewhere.
    """
    peer = twisted_address(connected.getpeername())
    protocol = factory.buildProtocol(peer)
    if protocol is None:
        connected.close()
        return None
    adopted = AdoptedConnection(reactor, protocol, peer)
    hand_over(reactor.loop, adopted, connected)
    return adopted


class _Accepting(tcp.Port):
    """
    A port that has uvloop accept.
    """

    reactor: UvloopReactor
    socket: socket.socket
    factory: Any

    writing = False
    _uv_server: asyncio.AbstractServer | None = None

    @property
    def reading(self) -> bool:
        """
        Whether connections are accepted.
        """
        return self._uv_server is not None

    def startReading(self) -> None:
        """
        Accept connections.
        """
        if self._uv_server is None:
            # An adopted port's backlog is unknown; the kernel cuts it to its own limit.
            backlog = self.backlog or socket.SOMAXCONN
            self._uv_server = serve(self.reactor.loop, self._accepted, self.socket.dup(), backlog)
            self.reactor.transports.add(self)

    def stopReading(self) -> None:
        """
        Accept no more; the kernel queues connections while the port is open.
        """
        server, self._uv_server = self._uv_server, None
        if server is not None:
            server.close()
        self.reactor.transports.discard(self)

    def _accepted(self) -> ServerConnection:
        """
        Make what uvloop takes for the protocol of a connection that it accepted.
        """
        return ServerConnection(self.reactor, self)


class TCPPort(_Accepting):
    """
    A TCP port.
    """


class UNIXPort(_Accepting, unix.Port):
    """
    A UNIX port, for protocols that need no file descriptors.
    """
