"""
A protocol that speaks TLS below, and is the transport of another protocol above.

That other protocol is connected once the handshake is complete, and finds C{negotiatedProtocol} settled. Below may be
any stream transport of Twisted's. What is written above is encrypted and handed down at once, nothing is queued here:
so producers are the concern of the transport below, which tells them directly, with its own marks.
"""

# mypy: allow-untyped-calls
# (IReactorTime has no annotations yet.)

from __future__ import annotations

from collections.abc import Callable, Iterable
from ssl import SSLContext, SSLError
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    INegotiated,
    IPushProducer,
    ISSLTransport,
    ISystemHandle,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from siger.tls.facts import Facts
from siger.tls.records import Records

__all__ = ["TLSLayer"]


@implementer(ISSLTransport, INegotiated, ISystemHandle, IConsumer, IPushProducer, IHalfCloseableProtocol)
class TLSLayer(Facts):
    """
    One end of a TLS connection.

    @ivar reads_directly: the transport may call C{dataReceived} without Twisted's log context; see L{siger.transports}.
    @ivar application: the protocol above, once there is one.
    @ivar negotiatedProtocol: what was agreed on by ALPN, or C{None} for nothing.
    @ivar disconnecting: whether the application asked for an orderly close.
    """

    reads_directly = True

    application: Any = None
    negotiatedProtocol: bytes | None = None
    disconnecting = False

    _records: Records
    _deliver: Callable[[bytes], None]
    _fed = False
    _paused = False
    _half_closing = False
    _finished = False
    _peer_left = False

    def __init__(self, clock: Any) -> None:
        """
        @param clock: C{IReactorTime}.
        """
        self._clock = clock

    # The handshake.

    def secured(self) -> Any:
        """
        The handshake is complete. To be provided by either end.

        @return: the protocol above, which is connected next; or C{None}, when there is to be none after all.
        """
        raise NotImplementedError

    def refused(self, error: Exception) -> None:
        """
        The handshake has failed, which ends the connection. To be provided by either end.
        """
        raise NotImplementedError

    def begin(self, context: SSLContext, server: bool, name: str | None = None) -> None:
        """
        Begin the handshake.
        """
        self._records = Records(context, server, name)
        self._switch(self._shake)

    def _shake(self, data: bytes) -> None:
        self._records.feed(data)
        try:
            complete = self._records.shake()
        except SSLError as error:
            self._send(self._records.take())  # an alert
            self.refuse(error)
            return
        self._send(self._records.take())
        if complete:
            self._connect()

    def refuse(self, error: Exception) -> None:
        """
        End a connection whose handshake has failed.
        """
        self._switch(_ignore)
        self.refused(error)
        self.transport.loseConnection()

    def _connect(self) -> None:
        self.negotiatedProtocol = self._records.protocol
        application = self.secured()
        if application is None:
            return
        self.application = application
        self._switch(self._open)
        application.makeConnection(self)
        self._deliver = application.dataReceived
        if not self._paused:
            self._open(b"")

    # What comes.

    def _switch(self, receive: Callable[[bytes], None]) -> None:
        # Transports that keep the method that takes their bytes are to be told of another; see siger.transports.
        self.dataReceived = receive  # type: ignore[method-assign, assignment]
        switch = getattr(self.transport, "switch_protocol", None)
        if switch is not None:
            switch(self)

    def switch_protocol(self, protocol: Any) -> None:
        """
        Deliver what comes from now on to C{protocol}, which may be the same one with another C{dataReceived}.
        """
        self.application = protocol
        self._deliver = protocol.dataReceived

    def _open(self, data: bytes) -> None:
        records = self._records
        records.feed(data)
        if self._paused:
            return
        try:
            opened = records.open()
        except SSLError:
            self._send(records.take())
            self.transport.abortConnection()
            return
        answer = records.take()
        if answer:
            self._send(answer)
        if opened:
            self._deliver(opened)
        if records.ended and not (self._paused or self.disconnecting):
            self._peer_ended()

    def _peer_ended(self) -> None:
        """
        The peer will send no more: the end of all for most protocols, as on every transport of Twisted's.
        """
        application, self._peer_left = self.application, True
        self._switch(_ignore)
        half_closeable = IHalfCloseableProtocol(application, None)
        if half_closeable is not None:
            half_closeable.readConnectionLost()
        elif application is not None:
            # Nobody is left to whom a producer could be of use.
            self._fed = False
            self.transport.unregisterProducer()
            self.loseConnection()

    def readConnectionLost(self) -> None:
        """
        The peer closed its half of the connection below. If it did not say so above, what it sent may be incomplete
        (RFC 8446 section 6.1).
        """
        if self.application is None:
            self.transport.abortConnection()
        elif not self._peer_left:
            self._peer_ended()

    def writeConnectionLost(self) -> None:
        """
        This end's half is closed, as the application wanted it.
        """
        half_closeable = IHalfCloseableProtocol(self.application, None)
        if half_closeable is not None:
            half_closeable.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        application, self.application = self.application, None
        if application is not None:
            application.connectionLost(self._told(reason))

    def _told(self, reason: Failure) -> Failure:
        # Who merely closes the connection below could be somebody on the way.
        cut_short = self._peer_left and not self._records.ended
        return Failure(ConnectionLost()) if cut_short and reason.check(ConnectionDone) else reason

    # What goes.

    def _send(self, data: bytes) -> None:
        if data:
            self.transport.write(data)

    def write(self, data: bytes) -> None:
        """
        Send. Ignored after the end, as on every transport.
        """
        if data and not self._finished:
            try:
                self.transport.write(self._records.seal(data))
            except SSLError:
                self.transport.abortConnection()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        Send many pieces in order.
        """
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """
        Close once everything is sent and the producer, if any, is finished.
        """
        if not self.disconnecting:
            self.disconnecting = True
            self._switch(_ignore)
            self._close_if_finished()

    def loseWriteConnection(self) -> None:
        """
        Close this half once everything is sent and the producer, if any, is finished; go on reading.
        """
        if not self._half_closing:
            self._half_closing = True
            self._close_if_finished()

    def _close_if_finished(self) -> None:
        if self._fed or not (self.disconnecting or self._half_closing):
            return
        if not self._finished:
            self._finished = True
            self._send(self._records.finish())
            if not self.disconnecting:
                self.transport.loseWriteConnection()
        if self.disconnecting:
            self.transport.loseConnection()

    def abortConnection(self) -> None:
        """
        Close at once, drop what is not sent, and let the peer see a reset.
        """
        self.transport.abortConnection()

    # Producers: of what goes, somebody; of what comes, this.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let C{producer} be paused and resumed, or pulled, as the peer reads.
        """
        self._fed = True
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """
        Forget the producer, and do what was put off until it is finished.
        """
        self._fed = False
        self.transport.unregisterProducer()
        self._close_if_finished()

    def pauseProducing(self) -> None:
        """
        Deliver nothing until L{resumeProducing}.
        """
        self._paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Deliver again.
        """
        self._paused = False
        if self._records.pending or self._records.ended:
            self._clock.callLater(0, self._release)
        self.transport.resumeProducing()

    def _release(self) -> None:
        if self.application is not None and not (self._paused or self._peer_left):
            self._open(b"")

    def stopProducing(self) -> None:
        """
        Close: the producer that this is shall produce no more.
        """
        self.loseConnection()

    def getPeerCertificate(self) -> bytes | None:
        """
        Return the peer's certificate in DER, if it has shown one.
        """
        return self._records.peer_certificate


def _ignore(data: bytes) -> None:
    """
    Take what comes when nobody wants it any more.
    """
