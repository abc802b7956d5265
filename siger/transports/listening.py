"""
Ports: Twisted's own, but for who accepts.

Binding, messages, lock files, adoption of descriptors and the end of a port are inherited. uvloop accepts on a
duplicate of the port's descriptor, so that a port can be paused and resumed while the kernel goes on queueing.

When the process runs out of descriptors, libuv closes what is queued by means of one that it keeps in reserve, as
Twisted does; so a port neither spins nor dies.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix

from siger.transports.handover import hand_over, serve
from siger.transports.serving import AcceptedConnection

if TYPE_CHECKING:
    from siger.reactor import UvloopReactor

__all__ = ["TCPPort", "UNIXPort"]


class AcceptingPort(tcp.Port):
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
            # An adopted port's backlog is unknown; the kernel cuts this to its own limit.
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

    def accept_queued(self) -> int:
        """
        Accept what the kernel has queued; to be called just before C{stopListening}, which would reset it.

        @return: how many connections that were.
        """
        count = 0
        while True:
            try:
                connected, _ = self.socket.accept()
            except OSError:
                return count
            hand_over(self.reactor.loop, self._accepted(), connected)
            count += 1

    def _accepted(self) -> AcceptedConnection:
        """
        Make what uvloop takes for the protocol of a connection that it accepts.
        """
        return AcceptedConnection(self.reactor, self)


class TCPPort(AcceptingPort):
    """
    A TCP port.
    """


class UNIXPort(AcceptingPort, unix.Port):
    """
    A UNIX port, for protocols that need no file descriptors.
    """
