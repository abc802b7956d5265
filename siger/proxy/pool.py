"""
The connections to one instance: kept open between exchanges, limited in number, handed out newest first.

Decisions are made here without waiting: L{Pool.checkout} answers at once with an idle connection or nothing, and who
got nothing calls L{Pool.wait} and is told later. Nothing allocates a Deferred on the way of a request.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Any, Final, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import TimeoutError as TimedOut
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from siger.balancing.instances import Endpoint
from siger.config.settings import ServiceSettings
from siger.errors import Reason
from siger.http.deadlines import NEVER, Deadlines
from siger.http.response import ResponseParser
from siger.proxy.connection import UpstreamConnection

__all__ = ["Pool", "Waiter"]

_PEEK_AFTER: Final = 0.5


class Waiter(Protocol):
    """
    An exchange that needs a connection.
    """

    def connected(self, connection: UpstreamConnection) -> None:
        """
        Here it is; it is the waiter's to begin on.
        """

    def connect_failed(self, reason: Reason) -> None:
        """
        There will be none from this pool. No byte of the request was sent.
        """


class Pool:
    """
    One instance's connections.

    @ivar timeouts: of the service.
    @ivar deadline: when the longest waiting exchange has waited too long.
    """

    def __init__(
        self, reactor: Any, endpoint: Endpoint, settings: ServiceSettings, deadlines: Deadlines, parser: ResponseParser
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._limit = settings.max_connections
        self._max_waiting = settings.max_waiting
        self._idle: list[UpstreamConnection] = []
        self._waiting: deque[tuple[float, Waiter]] = deque()
        self._dialling: set[IConnector] = set()
        self._open = 0
        self._closed = False
        self.timeouts = settings.timeouts
        self.deadlines = deadlines
        self.parser = parser
        self.deadline = NEVER

    def __repr__(self) -> str:
        return f"<Pool {self._endpoint.label.decode()} [{self.describe()}]>"

    def describe(self) -> str:
        """
        The state in words.
        """
        return f"{self.active} active, {self.idle} idle, {self.connecting} connecting, {self.waiting} waiting"

    @property
    def idle(self) -> int:
        """
        Connections that wait for an exchange.
        """
        return len(self._idle)

    @property
    def connecting(self) -> int:
        """
        Connections being made.
        """
        return len(self._dialling)

    @property
    def waiting(self) -> int:
        """
        Exchanges that wait for a connection.
        """
        return len(self._waiting)

    @property
    def active(self) -> int:
        """
        Connections with an exchange on them.
        """
        return self._open - len(self._idle) - len(self._dialling)

    # Getting a connection.

    def checkout(self) -> UpstreamConnection | None:
        """
        An idle connection, the one used last, or C{None}.
        """
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable and self._is_quiet(connection):
                return connection
            connection.abort()
        return None

    def _is_quiet(self, connection: UpstreamConnection) -> bool:
        # What came on an idle connection is noticed when the reactor polls. A connection that was idle for a while is
        # asked once more, to catch a close or an unasked response that came since.
        if self.deadlines.now - connection.idle_since < _PEEK_AFTER:
            return True
        handle: Any = getattr(connection.transport, "getHandle", None)
        if handle is None:
            return True
        try:
            return not _readable(handle().fileno())
        except (AttributeError, OSError):
            return True

    def wait(self, waiter: Waiter) -> None:
        """
        Ask for a connection that is not there yet.
        """
        if self._closed:
            waiter.connect_failed(Reason.NO_INSTANCE)
        elif self._open < self._limit:
            self._enqueue(waiter)
            self._dial()
        elif len(self._waiting) - len(self._dialling) < self._max_waiting:
            self._enqueue(waiter)
        else:
            waiter.connect_failed(Reason.POOL_FULL)

    def _enqueue(self, waiter: Waiter) -> None:
        if not self._waiting:
            self.deadlines.add(self)
            self.deadline = self.deadlines.now + self.timeouts.connect
        self._waiting.append((self.deadlines.now + self.timeouts.connect, waiter))

    def cancel(self, waiter: Waiter) -> None:
        """
        Wait no more.
        """
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not waiter)

    def _next_waiter(self) -> Waiter | None:
        if not self._waiting:
            return None
        _, waiter = self._waiting.popleft()
        if self._waiting:
            self.deadline = self._waiting[0][0]
        else:
            self.deadline = NEVER
            self.deadlines.discard(self)
        return waiter

    def deadline_passed(self) -> None:
        """
        The longest waiting exchange has waited too long.
        """
        reason = Reason.CONNECT_TIMEOUT if self._dialling else Reason.POOL_FULL
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.connect_failed(reason)

    # Dialling.

    def _dial(self) -> None:
        self._open += 1
        instance = self._endpoint.instance
        factory = _DialFactory(self)
        # The limit for waiters is the pool's deadline; the reactor's is only there to end the attempt itself.
        connector = self._reactor.connectTCP(
            instance.address, instance.port, factory, timeout=self.timeouts.connect + 1.0
        )
        if not factory.settled:
            factory.connector = connector
            self._dialling.add(connector)

    def dialled(self, factory: _DialFactory, connection: UpstreamConnection) -> None:
        """
        A connection was made.
        """
        self._dialling.discard(factory.connector)
        if self._closed:
            connection.abort()
        else:
            self.checkin(connection)

    def dial_failed(self, factory: _DialFactory, reason: Reason) -> None:
        """
        A connection could not be made.
        """
        self._dialling.discard(factory.connector)
        self._open -= 1
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.connect_failed(reason)
        self._dial_for_waiting()

    def _dial_for_waiting(self) -> None:
        if not self._closed and len(self._waiting) > len(self._dialling) and self._open < self._limit:
            self._dial()

    # Giving back.

    def checkin(self, connection: UpstreamConnection) -> None:
        """
        A connection is free: for whoever waits, else for later.
        """
        if self._waiting:
            waiter = self._next_waiter()
            if waiter is not None:
                waiter.connected(connection)
                return
        if self._closed:
            connection.abort()
            return
        now = self.deadlines.now
        connection.idle_since = now
        connection.deadline = now + connection.idle_limit
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """
        A connection is gone.
        """
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        self._dial_for_waiting()

    def close(self) -> None:
        """
        The instance is gone from discovery: idle connections close, running exchanges finish.
        """
        self._closed = True
        for connection in list(self._idle):
            connection.abort()
        self._idle.clear()
        while (waiter := self._next_waiter()) is not None:
            waiter.connect_failed(Reason.NO_INSTANCE)
        for connector in list(self._dialling):
            connector.stopConnecting()


class _DialFactory(ClientFactory):
    """
    One attempt to connect.
    """

    noisy = False

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.connector: Any = None
        self.settled = False

    def buildProtocol(self, addr: IAddress | None) -> UpstreamProtocol:
        """
        The attempt succeeded.
        """
        self.settled = True
        return UpstreamProtocol(self._pool, self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """
        The attempt failed.
        """
        self.settled = True
        self._pool.dial_failed(self, _connect_reason(reason))


class UpstreamProtocol(TwistedProtocol):
    """
    Joins an L{UpstreamConnection} to its transport.

    @ivar reads_directly: the transport may call C{dataReceived} without Twisted's log context; see L{siger.transports}.
    """

    reads_directly = True

    _connection: UpstreamConnection

    def __init__(self, pool: Pool, factory: _DialFactory) -> None:
        self._pool = pool
        self._factory = factory

    def connectionMade(self) -> None:
        """
        Put a connection on the transport, and give it to whoever waits.
        """
        transport: Any = self.transport
        self._connection = UpstreamConnection(self._pool, transport, self._pool.timeouts)
        self.dataReceived = self._connection.data_received  # type: ignore[method-assign]
        transport.registerProducer(self, True)
        self._pool.dialled(self._factory, self._connection)

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
    return Reason.UPSTREAM_UNREACHABLE


def _readable(descriptor: int) -> bool:
    # Bytes, an end of stream or an error are all reasons not to use the connection.
    with socket.socket(fileno=socket.dup(descriptor)) as duplicate:
        try:
            duplicate.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True
