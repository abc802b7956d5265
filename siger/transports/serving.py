"""
Connections that somebody else began: accepted by a port, or adopted.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from siger.transports.addresses import twisted_address
from siger.transports.connection import Connection
from siger.transports.handover import hand_over

if TYPE_CHECKING:
    from siger.reactor import UvloopReactor

__all__ = ["AcceptedConnection", "AdoptedConnection", "adopt"]


class ServerConnection(Connection):
    """
    A connection of which this end is the server.

    @ivar server: the port, if one accepted it.
    @ivar sessionno: which of the port's connections this is.
    """

    server: Any = None
    sessionno = 0

    @property
    def hostname(self) -> Any:
        """
        The peer's address without its port, or the path of a UNIX socket.
        """
        peer = self.getPeer()
        return peer.host if hasattr(peer, "host") else peer.name

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
        where = host.port if hasattr(host, "port") else host.name
        return f"<{type(self._protocol).__name__} #{self.sessionno} on {where}>"


class AcceptedConnection(ServerConnection):
    """
    A connection that a port accepted.
    """

    def __init__(self, reactor: UvloopReactor, server: Any) -> None:
        self.reactor = reactor
        self.server = server

    def _begin(self) -> None:
        """
        Build the protocol now that the peer is known.
        """
        assert self._uv is not None
        peername = self._uv.get_extra_info("peername")
        if peername is None:
            # Reset by the peer since; on some systems accept() itself would have failed then, with ECONNABORTED.
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


class AdoptedConnection(ServerConnection):
    """
    A connection that was accepted elsewhere.
    """

    def __init__(self, reactor: UvloopReactor, protocol: Any, peer: Any) -> None:
        super().__init__(reactor)
        self._adopting = protocol
        self._peer = peer
        self.sessionno = getattr(peer, "port", 0)

    def _begin(self) -> None:
        """
        Connect the protocol that was built at adoption.
        """
        protocol, self._adopting = self._adopting, None
        self._connect(protocol)


def adopt(reactor: UvloopReactor, connected: socket.socket, factory: Any) -> AdoptedConnection | None:
    """
    Serve a connection that was accepted elsewhere, unless C{factory} wants none.
    """
    peer = twisted_address(connected.getpeername())
    protocol = factory.buildProtocol(peer)
    if protocol is None:
        connected.close()
        return None
    adopted = AdoptedConnection(reactor, protocol, peer)
    hand_over(reactor.loop, adopted, connected)
    return adopted
