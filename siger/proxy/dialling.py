"""
Making connections to an instance, and joining them to their transports.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import TimeoutError as TimedOut
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from siger.config.settings import Timeouts
from siger.errors import Reason
from siger.proxy.connection import Owner, UpstreamConnection
from siger.tls.upstream import HandshakeFailed

__all__ = ["DialFactory", "Dialler", "UpstreamProtocol"]


class Dialler(Owner, Protocol):
    """
    What asked for a connection: a pool.
    """

    timeouts: Timeouts

    def dialled(self, factory: DialFactory, connection: UpstreamConnection) -> None:
        """
        A connection was made.
        """

    def dial_failed(self, factory: DialFactory, reason: Reason) -> None:
        """
        A connection could not be made.
        """


class DialFactory(ClientFactory):
    """
    One attempt to connect.

    @ivar connector: the attempt, while it lasts.
    @ivar settled: it has succeeded or failed.
    """

    noisy = False

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self.connector: Any = None
        self.settled = False

    def buildProtocol(self, addr: IAddress | None) -> UpstreamProtocol:
        """
        The attempt succeeded.
        """
        self.settled = True
        return UpstreamProtocol(self._dialler, self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """
        The attempt failed.
        """
        self.settled = True
        self._dialler.dial_failed(self, _connect_reason(reason))


class UpstreamProtocol(TwistedProtocol):
    """
    Joins an L{UpstreamConnection} to its transport.

    @ivar reads_directly: the transport may call C{dataReceived} without Twisted's log context; see L{siger.transports}.
    """

    reads_directly = True

    _connection: UpstreamConnection

    def __init__(self, dialler: Dialler, factory: DialFactory) -> None:
        self._dialler = dialler
        self._factory = factory

    def connectionMade(self) -> None:
        """
        Put a connection on the transport, and give it to whoever waits.
        """
        transport: Any = self.transport
        self._connection = UpstreamConnection(self._dialler, transport, self._dialler.timeouts)
        self.dataReceived = self._connection.data_received  # type: ignore[method-assign]  # bound once, for speed
        transport.registerProducer(self, True)
        self._dialler.dialled(self._factory, self._connection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self._connection.connection_lost(reason.check(ConnectionDone) is not None)

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full.
        """
        self._connection.writing_paused()

    def resumeProducing(self) -> None:
        """
        The transport's buffer has room.
        """
        self._connection.writing_resumed()

    def stopProducing(self) -> None:
        """
        The transport is closing; C{connectionLost} says so too.
        """


def _connect_reason(failure: Failure) -> Reason:
    if failure.check(Refused):
        return Reason.UPSTREAM_REFUSED
    if failure.check(TimedOut):
        return Reason.CONNECT_TIMEOUT
    if failure.check(HandshakeFailed):
        return Reason.UPSTREAM_TLS
    return Reason.UPSTREAM_UNREACHABLE
