"""
The HTTP/2 connections to one instance: a few, each shared by many exchanges.

An exchange gets a stream of the connection that has the fewest. Another connection is made when those that there are
have no room left, or are half full: so a quiet service has one, and a busy one no more than it may have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from siger.errors import Reason
from siger.http.deadlines import Deadlines
from siger.http.h2.responses import ResponseReader
from siger.http.h2.writing import Batch
from siger.http.transport import Transport
from siger.proxy.client_stream import ClientStream
from siger.proxy.dialling import DialFactory, Http2Protocol, Secure
from siger.proxy.instance_pool import InstancePool
from siger.proxy.multiplexed import UNTOLD_STREAMS, ClientConnection
from siger.proxy.waiting import Waiter

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import ServiceSettings

__all__ = ["MultiplexedPool"]


class MultiplexedPool(InstancePool):
    """
    One instance's connections.

    @ivar usual_streams: how many streams the instance let its last connection have.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Endpoint,
        settings: ServiceSettings,
        deadlines: Deadlines,
        reader: ResponseReader,
        batch: Batch,
        secure: Secure | None = None,
    ) -> None:
        """
        @param secure: wraps the factory of a connection that is to be TLS.
        """
        super().__init__(reactor, endpoint, settings, deadlines, secure)
        self._reader = reader
        self._batch = batch
        self._max_streams = settings.max_streams
        self._max_connections = settings.h2_connections
        self._connections: list[ClientConnection] = []
        self._retired: set[ClientConnection] = set()
        self.usual_streams = UNTOLD_STREAMS

    @property
    def active(self) -> int:
        """
        See L{InstancePool.active}.
        """
        return len([connection for connection in self._all() if connection.load])

    @property
    def idle(self) -> int:
        """
        See L{InstancePool.idle}.
        """
        return len([connection for connection in self._all() if not connection.load])

    def _all(self) -> list[ClientConnection]:
        return [*self._connections, *self._retired]

    # Getting a stream.

    def checkout(self) -> ClientStream | None:
        """
        A stream for an exchange, or C{None} if there is no room.
        """
        best = self._roomiest()
        if best is None:
            return None
        if best.load >= self._max_streams >> 1:
            self._dial_another()
        return best.reserve()

    def _roomiest(self) -> ClientConnection | None:
        best: ClientConnection | None = None
        most = 0
        for connection in self._connections:
            room = connection.room
            if room > most:
                best, most = connection, room
        return best

    def wait(self, waiter: Waiter, patience: float | None = None) -> None:
        """
        Ask for a stream that is not there yet.

        @param patience: for how many seconds the waiter can wait; as long as the service says, if it does not say.
        """
        stream = None if self._closed else self.checkout()
        if self._closed:
            waiter.connect_failed(Reason.NO_INSTANCE)
        elif stream is not None:
            waiter.connected(stream)
        elif self.waiting >= self._max_waiting:
            waiter.connect_failed(Reason.POOL_FULL)
        else:
            self._line.append(waiter, self.timeouts.connect if patience is None else patience)
            self._dial_another()

    # Making a connection.

    def _dial_another(self) -> None:
        # One at a time: what waits can often use the one that is being made.
        if not self._closed and not self._dialling and len(self._connections) < self._max_connections:
            self._dial(self.timeouts.connect)

    def make_protocol(self, factory: DialFactory) -> Http2Protocol:
        """
        See L{InstancePool.make_protocol}.
        """
        return Http2Protocol(self, factory)

    def made(self, factory: DialFactory, transport: Transport) -> ClientConnection:
        """
        A connection was made.
        """
        self._dialling.discard(factory)
        connection = ClientConnection(self, transport, self._reader, self._batch, self._max_streams)
        if self._closed:
            connection.retire()
        else:
            self._connections.append(connection)
            self.released(connection)
            if self._line:
                self._dial_another()
        return connection

    def dial_failed(self, factory: DialFactory, reason: Reason) -> None:
        """
        A connection could not be made. Those who waited for it try another instance; where there are connections, they
        wait for room on those.
        """
        self._dialling.discard(factory)
        if self._connections:
            return
        # Only those who wait now: some may come back.
        for _ in range(len(self._line)):
            waiter = self._line.pop()
            if waiter is not None:
                waiter.connect_failed(reason)

    # What connections tell.

    def released(self, connection: ClientConnection) -> None:
        """
        There is room on a connection: for those who wait.
        """
        while self._line and connection.room > 0:
            waiter = self._line.pop()
            if waiter is not None:
                waiter.connected(connection.reserve())

    def retired(self, connection: ClientConnection) -> None:
        """
        A connection takes no more streams.
        """
        if connection in self._connections:
            self._connections.remove(connection)
            self._retired.add(connection)
            if self._line:
                self._dial_another()

    def forget_connection(self, connection: ClientConnection) -> None:
        """
        A connection is gone.
        """
        self._retired.discard(connection)

    def _let_go(self) -> None:
        for connection in list(self._connections):
            connection.retire()
