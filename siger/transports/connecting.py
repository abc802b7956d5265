"""
Clients: a socket that connects, and is then handed to uvloop.
"""

# mypy: allow-untyped-calls
# (IReactorTime has no annotations yet.)

from __future__ import annotations

import os
import socket
from contextlib import suppress
from errno import EAGAIN, EINPROGRESS, EISCONN
from socket import AddressFamily
from typing import TYPE_CHECKING, Any

from twisted.internet import error
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from siger.transports.connection import Connection
from siger.transports.handover import hand_over

if TYPE_CHECKING:
    from siger.reactor import UvloopReactor

__all__ = ["ClientConnection"]

RETRY = 0.01
"""
How long to wait, in seconds, when a UNIX listener's queue is full: nothing tells when it no longer is.
"""


class ClientConnection(Connection):
    """
    A connection being attempted, and then the connection.

    @ivar connector: who is to be told; C{None} once told of the end.
    @ivar _attempt: the connecting socket, until uvloop has it.
    """

    _tls_client = True
    # Twisted's connecting helpers fire their Deferred a turn after connectionMade, and rely on nothing coming before.
    _settles = True

    _attempt: socket.socket | None = None

    def __init__(self, reactor: UvloopReactor, connector: Any) -> None:
        super().__init__(reactor)
        self.connector = connector

    @property
    def socket(self) -> Any:
        """
        The connecting socket, or the connected one.
        """
        return super().socket if self._attempt is None else self._attempt

    @property
    def writing(self) -> bool:
        """
        Whether something is under way: an attempt, or bytes that the kernel has not taken.
        """
        return self._attempt is not None or super().writing

    def _describe(self, prefix: str) -> str:
        """
        Name the protocol.
        """
        return f"{prefix},client"

    # The attempt

    def _begin_attempt(self, family: AddressFamily) -> None:
        """
        Make the socket; the rest, and any failure, comes after the factory was told of the start.
        """
        try:
            self._prepare(family)
        except OSError as failed:
            reason = error.ConnectBindError(failed.errno, failed.strerror)
            self.reactor.callLater(0, self.failIfNotConnected, reason)
        else:
            self.reactor.callLater(0, self._go_on)

    def _prepare(self, family: AddressFamily) -> None:
        """
        Make the socket.
        """
        self._attempt = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

    def _go_on(self) -> None:
        """
        Find the address and connect, unless stopped already.
        """
        if self.connector is not None:
            try:
                self._find_and_connect()
            except Exception:
                self.failIfNotConnected(Failure())

    def _find_and_connect(self) -> None:
        """
        Find the address, and L{_connect_socket} to it.
        """
        raise NotImplementedError

    def _connect_socket(self, sockaddr: Any) -> None:
        """
        Ask the kernel to connect, and wait if it takes time.
        """
        if self._attempt is None:
            return
        result = self._attempt.connect_ex(sockaddr)
        if result in (0, EISCONN):
            self._connected()
        elif result == EINPROGRESS:
            self.reactor.transports.add(self)
            self._loop.add_writer(self._attempt.fileno(), self._writable)
        elif result == EAGAIN:
            self._loop.call_later(RETRY, self._connect_socket, sockaddr)
        else:
            self._refused(result)

    def _writable(self) -> None:
        """
        The kernel has finished, well or not.
        """
        assert self._attempt is not None
        self._loop.remove_writer(self._attempt.fileno())
        result = self._attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result:
            self._refused(result)
        else:
            self._connected()

    def _connected(self) -> None:
        """
        Give the socket to uvloop.
        """
        connected, self._attempt = self._attempt, None
        assert connected is not None
        try:
            hand_over(self._loop, self, connected)
        except OSError as failed:
            connected.close()
            self.failIfNotConnected(error.getConnectError(failed))

    # Success

    def _begin(self) -> None:
        """
        Build the protocol, unless it is too late.
        """
        assert self._uv is not None
        if self.connector is None:
            self._uv.abort()
            return
        protocol = self.connector.buildProtocol(self.getPeer())
        # The connector has to hear of the loss even if the factory wants no connection.
        self._connect(Protocol() if protocol is None else protocol)
        if protocol is None:
            self.loseConnection()

    def _finish(self, reason: Failure) -> None:
        """
        Tell the connector too.
        """
        was_connected = self.connected
        super()._finish(reason)
        if was_connected:
            # Let go of it: it holds this transport, and cycles have to wait for the collector.
            connector, self.connector = self.connector, None
            connector.connectionLost(reason)

    # Failure

    def _refused(self, number: int) -> None:
        """
        Fail with the exception that stands for an error number.
        """
        self.failIfNotConnected(error.getConnectError((number, os.strerror(number))))

    def failIfNotConnected(self, reason: Any) -> None:
        """
        Give up the attempt, if it still is one, and tell the connector.

        @param reason: an exception or a failure.
        """
        if self.connected or self.disconnected or self.connector is None:
            return
        connector, self.connector = self.connector, None
        self._give_up()
        connector.connectionFailed(Failure(reason))

    def _give_up(self) -> None:
        """
        Close the connecting socket. If uvloop has it already, L{_begin} will see to it.
        """
        self.reactor.transports.discard(self)
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            with suppress(OSError):
                self._loop.remove_writer(attempt.fileno())
            attempt.close()

    def stopConnecting(self) -> None:
        """
        Give up the attempt because the application wants so.
        """
        self.failIfNotConnected(error.UserError())

    def connectionLost(self, reason: Failure) -> None:
        """
        End the connection, or the attempt, from outside.
        """
        if self.connected:
            super().connectionLost(reason)
        else:
            self.failIfNotConnected(error.ConnectError(string=reason))
