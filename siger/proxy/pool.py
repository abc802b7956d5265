"""
The connections to one instance: kept open between exchanges, limited in number, handed out newest first.

Decisions are made here without waiting: L{Pool.checkout} answers at once with an idle connection or nothing, and who
got nothing calls L{Pool.wait} and is told later. Nothing allocates a Deferred on the way of a request.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from siger.errors import Reason
from siger.http.deadlines import Deadlines
from siger.http.response import ResponseParser
from siger.proxy.connection import UpstreamConnection
from siger.proxy.dialling import DialFactory, Secure, UpstreamProtocol
from siger.proxy.instance_pool import InstancePool
from siger.proxy.waiting import Waiter

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import ServiceSettings

__all__ = ["Pool"]

_PEEK_AFTER: Final = 0.5


class Pool(InstancePool):
    """
    One instance's connections.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Endpoint,
        settings: ServiceSettings,
        deadlines: Deadlines,
        parser: ResponseParser,
        secure: Secure | None = None,
    ) -> None:
        """
        @param secure: wraps the factory of a connection that is to be TLS.
        """
        super().__init__(reactor, endpoint, settings, deadlines, secure)
        self._limit = settings.max_connections
        self._idle: list[UpstreamConnection] = []
        self._open = 0
        self.parser = parser

    @property
    def idle(self) -> int:
        """
        See L{InstancePool.idle}.
        """
        return len(self._idle)

    @property
    def active(self) -> int:
        """
        See L{InstancePool.active}.
        """
        return self._open - self.idle - self.connecting

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

    def wait(self, waiter: Waiter, patience: float | None = None) -> None:
        """
        Ask for a connection that is not there yet.

        @param patience: for how many seconds the waiter can wait; as long as the service says, if it does not say.
        """
        if patience is None:
            patience = self.timeouts.connect
        if self._closed:
            waiter.connect_failed(Reason.NO_INSTANCE)
        elif self._open < self._limit:
            self._line.append(waiter, patience)
            self._dial(patience)
        elif self._idle:
            # An upgrade or a second attempt wants a new connection: the one that was idle longest makes room.
            self._line.append(waiter, patience)
            self._idle.pop(0).abort()
        elif self.waiting - self.connecting < self._max_waiting:
            self._line.append(waiter, patience)
        else:
            waiter.connect_failed(Reason.POOL_FULL)

    # Making one.

    def _dial(self, patience: float) -> None:
        self._open += 1
        super()._dial(patience)

    def make_protocol(self, factory: DialFactory) -> UpstreamProtocol:
        """
        See L{InstancePool.make_protocol}.
        """
        return UpstreamProtocol(self, factory)

    def dialled(self, factory: DialFactory, connection: UpstreamConnection) -> None:
        """
        A connection was made.
        """
        self._dialling.discard(factory)
        self.checkin(connection)

    def dial_failed(self, factory: DialFactory, reason: Reason) -> None:
        """
        A connection could not be made.
        """
        self._dialling.discard(factory)
        self._open -= 1
        # One that waited may have left meanwhile, or been served by another connection: then nobody misses this one.
        waiter = self._line.pop() if self.waiting > self.connecting else None
        if waiter is not None:
            waiter.connect_failed(reason)
        self._dial_for_waiting()

    def _dial_for_waiting(self) -> None:
        if not self._closed and self.waiting > self.connecting and self._open < self._limit:
            self._dial(self.timeouts.connect)

    # Giving one back.

    def checkin(self, connection: UpstreamConnection) -> None:
        """
        A connection is free: for whoever waits, else for later.
        """
        waiter = self._line.pop() if self._line else None
        if waiter is not None:
            waiter.connected(connection)
        elif self._closed:
            connection.abort()
        else:
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

    def _let_go(self) -> None:
        for connection in list(self._idle):
            connection.abort()
        self._idle.clear()


def _readable(descriptor: int) -> bool:
    # Bytes, an end of stream or an error are all reasons not to use the connection.
    with socket.socket(fileno=socket.dup(descriptor)) as duplicate:
        try:
            duplicate.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True
