"""
An instance of a service, for tests: what dials it, and its side of each connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from tests.http.fakes import FakeTransport

__all__ = ["FakeInstance", "FakeWire"]


class FakeWire:
    """
    One connection, from the instance's side.

    @ivar host: whom it was made to.
    """

    def __init__(self, factory: Any, host: str, handle: Any = None, stalled: bool = False) -> None:
        self.host = host
        self.transport = FakeTransport(handle)
        self.transport.stalled = stalled
        self.lost = False
        self._protocol = factory.buildProtocol(IPv4Address("TCP", "192.0.2.9", 80))
        self._protocol.makeConnection(self.transport)

    @property
    def received(self) -> bytes:
        """
        What arrived here.
        """
        return self.transport.written

    def say(self, data: bytes) -> None:
        """
        Send something, if there is somebody to hear it.
        """
        if not self.transport.closed:
            self._protocol.dataReceived(data)

    def lose(self, clean: bool = True) -> None:
        """
        Let the connection be gone, once.
        """
        if not self.lost:
            self.lost = True
            self._protocol.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))

    def settle(self) -> None:
        """
        Let the connection be gone if this program has closed it.
        """
        if self.transport.closed:
            self.lose(clean=not self.transport.aborted)


class FakeInstance:
    """
    Everything that is dialled on a reactor, attempt by attempt.

    @ivar wires: the connections made, in order.
    """

    def __init__(self, reactor: MemoryReactorClock) -> None:
        self._reactor = reactor
        self._settled = 0
        self.wires: list[FakeWire] = []

    @property
    def attempts(self) -> int:
        """
        Attempts to connect that nobody has answered yet.
        """
        return len(self._reactor.tcpClients) - self._settled

    def _next(self) -> tuple[str, Any, Any]:
        index = self._settled
        self._settled += 1
        host, _, factory, *_ = self._reactor.tcpClients[index]
        return host, factory, self._reactor.connectors[index]

    def accept(self, handle: Any = None, stalled: bool = False) -> FakeWire:
        """
        Let the oldest attempt succeed.

        @param handle: what stands for the socket.
        @param stalled: the instance does not read.
        """
        host, factory, _ = self._next()
        wire = FakeWire(factory, host, handle, stalled)
        self.wires.append(wire)
        return wire

    def refuse(self, error: Exception) -> None:
        """
        Let the oldest attempt fail.
        """
        _, factory, connector = self._next()
        factory.clientConnectionFailed(connector, Failure(error))

    def settle(self) -> None:
        """
        Let everything be gone that this program has closed.
        """
        for wire in self.wires:
            wire.settle()
