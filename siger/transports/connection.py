"""
The life of a connection: one object that is uvloop's protocol on one side and Twisted's transport on the other.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    ILoggingContext,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from siger.transports.tls import Securing

__all__ = ["Connection"]

# Shared by all connections, as Twisted's reactors share theirs: to make a failure costs more than to parse a request.
_DONE = Failure(ConnectionDone())
_LOST = Failure(ConnectionLost())


@implementer(
    ITLSTransport,
    ITCPTransport,
    ISystemHandle,
    IConsumer,
    IPushProducer,
    IHalfCloseableDescriptor,
    ILoggingContext,
)
class Connection(Securing):
    """
    A connection over uvloop's transport.

    @ivar _reason: why the connection was or will be lost, where uvloop cannot know.
    @ivar _aborting: whether C{abortConnection} was called.
    """

    _log = Logger()

    _reason: Failure | None = None
    _aborting = False

    # Beginning

    def connection_made(self, uv: asyncio.Transport) -> None:
        """
        uvloop is ready.
        """
        self._uv = uv
        try:
            self._begin()
        except BaseException as error:
            # uvloop would leave the connection open, and never read from it.
            self.failed(error)

    def _begin(self) -> None:
        """
        Build the protocol and L{_connect} it.
        """
        raise NotImplementedError

    def _connect(self, protocol: Any) -> None:
        """
        Tell C{protocol} of the connection.
        """
        self._protocol = protocol
        self.connected = 1
        self.reactor.transports.add(self)
        self._bind()
        protocol.makeConnection(self)
        if not self.disconnected:
            self._begin_reading()

    # The application's end

    def loseConnection(self) -> None:
        """
        Close once everything is sent and the producer, if any, is finished.
        """
        if self.connected and not self.disconnecting:
            self.disconnecting = 1
            if self.producer is None:
                self._close()
            elif self._uv is not None:
                self._uv.pause_reading()

    def _producer_finished(self) -> None:
        """
        Close, if that waited for the producer.
        """
        if self.disconnecting:
            self._close()
        else:
            super()._producer_finished()

    def _close(self) -> None:
        """
        Close once everything is sent; uvloop does the waiting.
        """
        self._mute()
        assert self._uv is not None
        self._uv.close()

    def abortConnection(self) -> None:
        """
        Close at once, drop what is not sent, and let the peer see a reset.
        """
        if self.disconnected or self._aborting or self._uv is None:
            return
        self._aborting = True
        if self._reason is None:
            self._reason = Failure(ConnectionAborted())
        self._reset_on_close()
        self._mute()
        self._uv.abort()

    def stopProducing(self) -> None:
        """
        Close: the producer that this connection is shall produce no more.
        """
        self.loseConnection()

    # Other ends

    def failed(self, error: BaseException) -> None:
        """
        Log what application code raised, and close this connection for it.

        uvloop calls the loop's exception handler with what C{dataReceived} raises, and the reactor's calls this: so an
        error closes its own connection only, without a frame around each call to catch it.
        """
        self._reason = Failure(error)
        self._log.failure("Unhandled error in {protocol}", self._reason, protocol=self._protocol_prefix())
        self._mute()
        if self._uv is not None:
            self._uv.abort()
        if not isinstance(error, Exception):
            # KeyboardInterrupt and SystemExit end the loop, as they do on other reactors.
            self._loop.call_soon(_reraise, error)

    def connection_lost(self, error: BaseException | None) -> None:
        """
        uvloop is about to close: tell the protocol.
        """
        try:
            if self._reason is None and error is not None:
                self._failed_or_reset(error)
            self._finish(self._reason or (_DONE if error is None else _LOST))
        except Exception:
            self._log.failure("Unhandled error in connectionLost")

    def _failed_or_reset(self, error: BaseException) -> None:
        """
        Tell an error of application code's from one of the connection's.
        """
        if error.__traceback__ is not None:
            # An OSError; uvloop logs none of those. What it makes itself was never raised.
            self.failed(error)
            return
        try:
            self._deliver_last_words()
        except BaseException as raised:
            self.failed(raised)

    def connectionLost(self, reason: Failure) -> None:
        """
        End the connection from outside: the reactor stops.
        """
        self._mute()
        if self._uv is not None:
            self._uv.abort()
        self._finish(reason)

    def readConnectionLost(self, reason: Failure) -> None:
        """
        Tell the protocol that no more will come.
        """
        self.eof_received()

    def writeConnectionLost(self, reason: Failure) -> None:
        """
        End the connection because nothing can be sent.
        """
        self.connectionLost(reason)

    def forget(self) -> None:
        """
        Drop the connection without a word to the protocol.
        """
        self._detach()
        self._protocol = None
        if self._uv is not None:
            self._uv.abort()

    def _finish(self, reason: Failure) -> None:
        """
        Tell the producer and the protocol, once, and let go of them.
        """
        protocol, producer, was_connected = self._protocol, self.producer, self.connected
        self._detach()
        self._protocol = self.producer = None
        if producer is not None:
            try:
                producer.stopProducing()
            except Exception:
                self._log.failure("Unhandled error in stopProducing")
        if was_connected:
            protocol.connectionLost(reason)

    def _detach(self) -> None:
        """
        Be disconnected: ignore writes, and deliver no more.
        """
        self.connected = 0
        self.disconnected = 1
        self.reactor.transports.discard(self)
        self._mute()
        self._leave_tls()
        self._held = None
        self._socket = None
        with suppress(AttributeError):
            del self.data_received


def _reraise(error: BaseException) -> None:
    """
    Raise C{error} out of the event loop.
    """
    raise error
