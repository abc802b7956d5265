"""
Making connections to an instance, and joining them to their transports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import TimeoutError as TimedOut
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from siger.config.settings.services import Timeouts
from siger.errors import Reason
from siger.http.transport import Transport, keep_alive
from siger.proxy.connection import UpstreamConnection
from siger.proxy.multiplexed import ClientConnection
from siger.proxy.owners import Http1Owner
from siger.tls.upstream import HandshakeFailed

__all__ = ["DialFactory", "Dialler", "Http1Dialler", "Http2Dialler", "Http2Protocol", "Secure", "UpstreamProtocol"]


Secure = Callable[[ClientFactory, str, float], ClientFactory]
"""
Wraps the factory of a connection that is to be TLS; see L{siger.tls.upstream.UpstreamTLS.wrap}.
"""


class Dialler(Protocol):
    """
    What asked for a connection: a pool.
    """

    timeouts: Timeouts

    def make_protocol(self, factory: DialFactory) -> TwistedProtocol:
        """
        A connection is there: what is to be on it.
        """

    def dial_failed(self, factory: DialFactory, reason: Reason) -> None:
        """
        A connection could not be made.
        """


class Http1Dialler(Dialler, Http1Owner, Protocol):
    """
    One that has connections of HTTP/1.1.
    """

    def dialled(self, factory: DialFactory, connection: UpstreamConnection) -> None:
        """
        A connection was made.
        """


class Http2Dialler(Dialler, Protocol):
    """
    One that has connections of HTTP/2.
    """

    def made(self, factory: DialFactory, transport: Transport) -> ClientConnection:
        """
        A connection was made.
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

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:
        """
        The attempt succeeded.
        """
        self.settled = True
        return self._dialler.make_protocol(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """
        The attempt failed.
        """
        self.settled = True
        self._dialler.dial_failed(self, _connect_reason(reason))


class InstanceProtocol(TwistedProtocol):
    """
    Joins a connection to its transport, whose producer it is.

    @ivar reads_directly: the transport may call C{dataReceived} without Twisted's log context; see L{siger.transports}.
    """

    reads_directly = True

    _connection: UpstreamConnection | ClientConnection

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


class UpstreamProtocol(InstanceProtocol):
    """
    Joins an L{UpstreamConnection} to its transport.
    """

    _connection: UpstreamConnection

    def __init__(self, pool: Http1Dialler, factory: DialFactory) -> None:
        self._pool = pool
        self._factory = factory

    def connectionMade(self) -> None:
        """
        Put a connection on the transport, and give it to whoever waits.
        """
        transport: Any = self.transport
        self._connection = UpstreamConnection(self._pool, transport, self._pool.timeouts)
        self.dataReceived = self._connection.data_received  # type: ignore[method-assign]  # bound once, for speed
        transport.registerProducer(self, True)
        self._pool.dialled(self._factory, self._connection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self._connection.connection_lost(reason.check(ConnectionDone) is not None)


class Http2Protocol(InstanceProtocol):
    """
    Joins a L{ClientConnection} to its transport.
    """

    _connection: ClientConnection

    def __init__(self, pool: Http2Dialler, factory: DialFactory) -> None:
        self._pool = pool
        self._factory = factory

    def connectionMade(self) -> None:
        """
        Put a connection on the transport, and tell its pool.
        """
        transport: Any = self.transport
        keep_alive(transport)
        connection = self._connection = self._pool.made(self._factory, transport)
        self.dataReceived = connection.data_received  # type: ignore[method-assign]  # bound once, for speed
        if not connection.closed:
            # Nobody may want it any more, and a transport that closes waits for its producer.
            transport.registerProducer(self, True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self._connection.connection_lost()


def _connect_reason(failure: Failure) -> Reason:
    if failure.check(Refused):
        return Reason.UPSTREAM_REFUSED
    if failure.check(TimedOut):
        return Reason.CONNECT_TIMEOUT
    if failure.check(HandshakeFailed):
        return Reason.UPSTREAM_TLS
    return Reason.UPSTREAM_UNREACHABLE
