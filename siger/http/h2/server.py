"""
HTTP/2 connections from clients: each of their streams is a request (RFC 9113 section 8).

A L{ServerStream} offers L{siger.http.stream.Stream} to whatever answers its request, as an HTTP/1.1 channel does, so
everything behind is the same. What a request of HTTP/1.1 says by its connection, one of HTTP/2 says by its stream: a
response that is to look incomplete is reset, and so is a request of which no more is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.http.deadlines import NEVER
from siger.http.fields import HeadError
from siger.http.grammar import decimal
from siger.http.h2.connection import Http2Connection
from siger.http.h2.constants import (
    CANCEL,
    DEFAULT_WINDOW,
    INTERNAL_ERROR,
    LARGEST_STREAM,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
)
from siger.http.h2.errors import ConnectionFault, MalformedError, StreamFault
from siger.http.h2.requests import RequestReader
from siger.http.h2.streams import Http2Stream
from siger.http.h2.writing import Batch
from siger.http.hpack.encoder import NO_TABLE, LinePacker, pack_field, pack_length
from siger.http.transport import Transport, close

if TYPE_CHECKING:
    from siger.config.settings import Limits
    from siger.http.channel import ChannelContext
    from siger.http.request import RequestHead
    from siger.http.stream import Exchange

__all__ = ["ServerConnection", "ServerContext", "ServerStream"]

_CONNECTION_WINDOW: Final = 1 << 20
_LARGEST_HELD: Final = 1 << 20
_RATE_GRACE: Final = 5.0
_LINGER_SECONDS: Final = 1.0
_KEPT_HEADS: Final = 64
_KEPT_BLOCK: Final = 1024
_REQUEST_ID: Final = b"\x00\x0cx-request-id"
_STATUSES: Final = {status: pack_field(b":status", b"%d" % status) for status in range(100, 600)}


def pack_status(status: int) -> bytes:
    """
    The pseudo-header field of a response (section 8.3.2).
    """
    packed = _STATUSES.get(status)
    return pack_field(b":status", b"%d" % status) if packed is None else packed


class ServerContext:
    """
    What all connections of a gateway share, besides what HTTP/1.1 channels share too.
    """

    __slots__ = ("batch", "packer", "reader", "streams")

    def __init__(self, reader: RequestReader, batch: Batch, streams: int) -> None:
        """
        @param streams: how many requests a connection may have in progress.
        """
        self.reader = reader
        self.batch = batch
        self.streams = streams
        self.packer = LinePacker()


class ServerStream(Http2Stream):
    """
    One request and its response; L{siger.http.stream.Stream}.

    @ivar reason: why the gateway answered by itself, if it did.
    @ivar request_id: the request's id, which its response tells.
    @ivar added: field lines, each with its CRLF, that the response gets whoever makes it.
    @ivar grpc: whether refusals are gRPC statuses.
    """

    __slots__ = (
        "_body_due",
        "_bodyless",
        "_exchange",
        "_responded",
        "_server",
        "added",
        "grpc",
        "peer",
        "reason",
        "request_id",
        "secure",
        "version",
    )

    def __init__(self, server: ServerConnection, number: int, bodied: bool) -> None:
        super().__init__(server)
        self._server = server
        self.number = number
        self.identifier = number.to_bytes(4, "big")
        self.remote_ended = not bodied
        self.peer = server.peer
        self.secure = server.secure
        self.version = 20
        self.reason: Reason | None = None
        self.request_id = b""
        self.added = b""
        self.grpc = False
        self._exchange: Exchange | None = None
        self._responded = False
        self._bodyless = False
        self._body_due = 0.0

    def __repr__(self) -> str:
        state = "over" if self.local_gone else "responding" if self._responded else "waiting"
        return f"<ServerStream {self.number} [{state}]>"

    def begin(self, head: RequestHead) -> None:
        """
        Hand the request to the application.
        """
        fields = head.fields
        self._bodyless = head.method == b"HEAD"
        if not self.remote_ended:
            declared = fields.owned.get(b"content-length")
            if declared is not None:
                self._expected = decimal(declared)
            if not fields.grpc:
                # A call of gRPC may be silent for as long as it likes: deadlines are what ends those.
                self.deadline = self.connection.now + self._server.limits.body_timeout
        exchange = self._server.context.application(head, self)
        if self.response_ended:
            return
        self._exchange = exchange
        if self.queued and exchange is not None:
            exchange.pause_response()

    def refuse(self, error: HeadError) -> None:
        """
        Answer a request whose head could not be read.
        """
        self._server.context.application.refuse(self, error.reason, error.detail)

    # What arrives: siger.http.h2.streams.

    def headers_received(self, block: bytes, end: bool) -> None:
        """
        See L{Http2Stream.headers_received}: these are trailers.

        @raise StreamFault: they are malformed, or do not end the stream.
        """
        entries = self.connection.decode(block)
        if not end:
            raise StreamFault(PROTOCOL_ERROR, "trailers do not end the stream")
        if self.connection.oversized:
            raise StreamFault(PROTOCOL_ERROR, "the trailers are too large")
        try:
            lines = self._server.server.reader.trailers(entries)
        except MalformedError as error:
            raise StreamFault(PROTOCOL_ERROR, str(error)) from None
        self.end_of_body()
        self._body_ended()
        if self._exchange is not None:
            self._exchange.body_finished(lines)
        self._settle()

    def payload_received(self, data: bytes, end: bool) -> None:
        """
        See L{Http2Stream.payload_received}.
        """
        exchange = self._exchange
        if end:
            self._body_ended()
        elif self.deadline != NEVER:
            self._note_progress(len(data))
        if exchange is not None:
            if data:
                exchange.body_received(data, end)
            else:
                exchange.body_finished(b"")
        if end:
            self._settle()

    def _body_ended(self) -> None:
        self.deadline = NEVER

    def _settle(self) -> None:
        # Both sides may have ended by now.
        if self.local_gone:
            self._server.completed(self)

    def _note_progress(self, count: int) -> None:
        if self._paused:
            return
        limits = self._server.limits
        now = self.connection.now
        self.deadline = now + limits.body_timeout
        if limits.min_body_rate:
            if not self._body_due:
                self._body_due = now + _RATE_GRACE
            self._body_due += count / limits.min_body_rate
            self.deadline = min(self.deadline, self._body_due)

    def reset_received(self, code: int) -> None:
        """
        See L{Http2Stream.reset_received}.
        """
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def fail(self, fault: StreamFault) -> None:
        """
        See L{Http2Stream.fail}: the request will never be complete.
        """
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.body_failed(Reason.INVALID_FRAMING)

    def linger(self) -> None:
        """
        The response is complete, and the rest of the request of no use to anybody. What is on its way of it is waited
        for a moment: many clients take a reset for a failure, even with no error (section 8.1).
        """
        self.pause_receiving()
        self.deadline = self.connection.now + _LINGER_SECONDS

    def deadline_passed(self) -> None:
        """
        The client took too long with its body.
        """
        self.deadline = NEVER
        if self.local_ended:
            self.connection.reset(self, NO_ERROR)
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.body_failed(Reason.REQUEST_TIMEOUT)
        if not self.local_ended and not self.queued:
            self.connection.reset(self, CANCEL)

    # What is sent: siger.http.stream.Stream.

    @property
    def response_ended(self) -> bool:
        """
        Whether nothing can be added to the response any more, though some of it may still wait to be sent.
        """
        return self.local_ended or self._queue_end

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_interim}.
        """
        if not self._responded and not self.local_ended:
            block = pack_status(status) + self._server.server.packer.pack(lines)
            self._server.write_block(self.identifier, block, False)

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        See L{siger.http.stream.Stream.send_response}.
        """
        if self._responded or self.local_ended:
            return
        self._responded = True
        if status == 204 or status == 304:
            self._bodyless = True
        pieces = [pack_status(status), self._server.server.packer.pack(lines)]
        if length is not None and status != 204:
            pieces.append(pack_field(b"content-length", b"%d" % length))
        if self.request_id:
            pieces.append(_REQUEST_ID)
            pieces.append(pack_length(self.request_id))
            pieces.append(self.request_id)
        if self.added:
            pieces.append(self._server.server.packer.pack(self.added))
        if self._bodyless:
            body = b""
        if end:
            self._exchange = None
        ending = end and not body
        self._server.write_block(self.identifier, b"".join(pieces), ending)
        if body:
            self.send(body, end)
        elif ending:
            self._sent_all()

    def send_body(self, data: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_body}.
        """
        if data and not self._bodyless and not self.response_ended:
            self.send(data, False)

    def end_response(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Stream.end_response}.
        """
        if not self.response_ended:
            self._exchange = None
            self.finish(self._server.server.packer.pack(trailers) if trailers and not self._bodyless else b"")

    def abort_response(self) -> None:
        """
        See L{siger.http.stream.Stream.abort_response}.
        """
        if not self.response_ended:
            self._exchange = None
            self.connection.reset(self, INTERNAL_ERROR)

    def pause_body(self) -> None:
        """
        See L{siger.http.stream.Stream.pause_body}.
        """
        if not self.remote_ended and not self.local_ended:
            self.pause_receiving()
            self.deadline = NEVER

    def resume_body(self) -> None:
        """
        See L{siger.http.stream.Stream.resume_body}.
        """
        if self._paused and not self.local_ended:
            self.resume_receiving()
            if self._body_due or not self.grpc:
                now = self.connection.now
                self._body_due = max(self._body_due, now + _RATE_GRACE)
                self.deadline = now + self._server.limits.body_timeout

    # Backpressure.

    def sending_paused(self) -> None:
        """
        See L{Http2Stream.sending_paused}.
        """
        if self._exchange is not None:
            self._exchange.pause_response()

    def sending_resumed(self) -> None:
        """
        See L{Http2Stream.sending_resumed}.
        """
        if self._exchange is not None:
            self._exchange.resume_response()


class ServerConnection(Http2Connection):
    """
    A client's connection.

    @ivar peer: the socket's peer address as text, without port.
    @ivar secure: whether the connection is TLS.
    @ivar context: what it shares with HTTP/1.1 channels.
    @ivar server: what it shares with other connections of HTTP/2.
    @ivar limits: what clients may cost.
    """

    __slots__ = (
        "_drained_at",
        "_first_block",
        "_heads",
        "_idle_due",
        "_open_heads",
        "_preface",
        "_requests",
        "context",
        "limits",
        "peer",
        "secure",
        "server",
    )

    def __init__(
        self, context: ChannelContext, server: ServerContext, transport: Transport, peer: bytes, secure: bool
    ) -> None:
        limits: Limits = context.limits
        super().__init__(
            server.batch,
            transport,
            context.deadlines,
            server.reader.static,
            DEFAULT_WINDOW,
            _CONNECTION_WINDOW,
            limits.header_bytes,
            limits.header_count + 4,
            _LARGEST_HELD,
        )
        self.context = context
        self.server = server
        self.limits = limits
        self.peer = peer
        self.secure = secure
        self._preface = b""
        self._first_block = True
        self._requests = 0
        self._drained_at = NEVER
        self._heads: dict[bytes, RequestHead] = {}
        self._open_heads: dict[bytes, RequestHead] = {}
        self.deadline = self._idle_due = context.deadlines.now + limits.header_timeout
        context.channels.add(self)
        self._begin({MAX_CONCURRENT_STREAMS: server.streams, MAX_HEADER_LIST_SIZE: limits.header_bytes})

    def __repr__(self) -> str:
        state = f"{len(self.streams)} streams, {self._requests} requests"
        return f"<ServerConnection {self.peer.decode('latin-1')} [{state}]>"

    # Reading.

    def _read(self, data: bytes) -> None:
        if len(self._preface) < len(PREFACE):
            wanted = len(PREFACE) - len(self._preface)
            self._preface += data[:wanted]
            if not PREFACE.startswith(self._preface):
                raise ConnectionFault(PROTOCOL_ERROR, "the connection does not begin with the preface")
            if len(data) <= wanted:
                return
            data = data[wanted:]
        super()._read(data)

    def _is_idle(self, number: int) -> bool:
        return number > self._highest or not number & 1

    def _take_block(self, number: int, block: bytes, end: bool) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            self._take_trailers(stream, block, end)
        elif number <= self._highest:
            self.decode(block)
            self._stray(number, None)
        elif not number & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "a client opens streams with odd numbers")
        else:
            self._take_request(number, block, end)

    def _take_trailers(self, stream: Http2Stream, block: bytes, end: bool) -> None:
        if stream.remote_ended:
            self.decode(block)
            self._stray(stream.number, stream)
            return
        try:
            stream.headers_received(block, end)
        except StreamFault as fault:
            self._end_faulty(stream, fault)

    def _take_request(self, number: int, block: bytes, end: bool) -> None:
        self._highest = number
        if self.choked:
            self._answer()
        known = self._heads if end else self._open_heads
        head = known.get(block)
        if number > self.goaway_last or len(self.streams) >= self.server.streams:
            if head is None:
                self.decode(block)
            self._turn_away(number)
            return
        self.useful()
        stream = ServerStream(self, number, not end)
        if head is None:
            head = self._read_request(stream, block, end)
            if head is None:
                return
        self._open(stream)
        stream.begin(head)

    def _turn_away(self, number: int) -> None:
        # The request may be sent again, elsewhere or later (section 8.7).
        if number <= self.goaway_last:
            self.remember(number)
            self._count_reset()
            self.write_reset(number.to_bytes(4, "big"), REFUSED_STREAM)

    def _open(self, stream: ServerStream) -> None:
        self.streams[stream.number] = stream
        self._requests += 1
        self.deadline = 0.0
        if self._requests == self.limits.max_requests:
            self.drain(False)

    def _read_request(self, stream: ServerStream, block: bytes, end: bool) -> RequestHead | None:
        entries = self.decode(block)
        try:
            if self._decoder.oversized:
                raise HeadError(Reason.HEADERS_TOO_LARGE)
            head = self.server.reader.head(entries, not end)
            self._check_target(head)
        except MalformedError as error:
            self.remember(stream.number)
            self.write_reset(stream.identifier, PROTOCOL_ERROR)
            stream.drop()  # an answer goes nowhere, but it is told that there was a request
            stream.refuse(HeadError(Reason.MALFORMED_REQUEST, str(error)))
            self._count_reset()
            return None
        except HeadError as error:
            self._open(stream)
            stream.refuse(error)
            return None
        self._keep(block, end, head)
        return head

    def _check_target(self, head: RequestHead) -> None:
        if len(head.path) + len(head.query) > self.limits.request_line:
            raise HeadError(Reason.URI_TOO_LONG)

    def _keep(self, block: bytes, end: bool, head: RequestHead) -> None:
        if self.repeatable and len(block) <= _KEPT_BLOCK:
            known = self._heads if end else self._open_heads
            if len(known) >= _KEPT_HEADS:
                known.clear()
            known[block] = head

    def _forget_blocks(self) -> None:
        self._heads.clear()
        self._open_heads.clear()

    def goaway_received(self, last: int, code: int) -> None:
        """
        See L{Http2Connection.goaway_received}: this end opens no streams. The client opens no more either.
        """

    # Sending.

    def write_block(self, stream: bytes, block: bytes, end: bool) -> None:
        """
        A section of a response.
        """
        if self._first_block:
            self._first_block = False
            block = NO_TABLE + block
        self.write_headers(stream, block, end)

    def local_end(self, stream: Http2Stream) -> None:
        """
        See L{Http2Connection.local_end}.
        """
        if stream.remote_ended:
            self.completed(stream)
        elif isinstance(stream, ServerStream):
            stream.linger()

    def completed(self, stream: Http2Stream) -> None:
        """
        A request was answered.
        """
        if self.streams.get(stream.number) is stream:
            self._resets.earn(1)
            self.forget(stream)

    def forget(self, stream: Http2Stream) -> None:
        """
        See L{Http2Connection.forget}.
        """
        super().forget(stream)
        if not self.streams and not self.closed:
            self._idle_due = self.now + self.limits.keepalive_timeout
            if self._drained_at == NEVER and self._block is None:
                self.deadline = self._idle_due

    # Ends.

    def read_ended(self) -> None:
        """
        The client will send no more. Nobody waiting is the rule, as on HTTP/1.1, so work is stopped.
        """
        if self.streams:
            self.abort()
        else:
            self.end()
            close(self.transport)

    def connection_lost(self) -> None:
        """
        See L{Http2Connection.connection_lost}.
        """
        self.context.channels.discard(self)
        super().connection_lost()

    def drain(self, idle: bool) -> None:
        """
        Take no further request, in two steps, so that no request that is on its way is lost (section 6.8).

        @param idle: take the second step now: name the last request that is answered, and close when it has been.
        """
        if self.closed:
            return
        if self._drained_at == NEVER:
            self._drained_at = self.now + 1.0
            self.write_goaway(LARGEST_STREAM, NO_ERROR)
            self.deadline = 0.0
        if idle and not self.goaway_sent:
            self.goaway_sent = True
            self.goaway_last = self._highest
            self.write_goaway(self._highest, NO_ERROR)
        if self.goaway_sent and not self.streams:
            self.end()

    def deadline_passed(self) -> None:
        """
        Look after the streams, or give up an idle connection.
        """
        now = self.now
        if self.closed:
            self.transport.abortConnection()
            return
        if self._drained_at <= now:
            self.drain(True)
        if not self._settled or self._block is not None:
            self._watch_beginning(now)
        if self.streams:
            self._watch_streams(now)
        elif self._drained_at == NEVER:
            self._watch_idleness(now)

    def _watch_beginning(self, now: float) -> None:
        # A connection has to begin, and a header block to end, in the time that HTTP/1.1 has for a head.
        if self._block_since + self.limits.header_timeout <= now:
            self.fail(PROTOCOL_ERROR, "what was begun does not end in time")

    def _watch_idleness(self, now: float) -> None:
        if self._idle_due <= now:
            self.drain(False)
            self.drain(True)
        elif self._block is None:
            self.deadline = self._idle_due

    def _watch_streams(self, now: float) -> None:
        limit = now - self.limits.write_timeout
        for stream in list(self.streams.values()):
            if stream.stalled_since <= limit:
                self._give_up(stream)
            elif stream.deadline <= now and isinstance(stream, ServerStream):
                stream.deadline_passed()

    def _give_up(self, stream: Http2Stream) -> None:
        # The client lets nothing through: on this stream, or at all.
        if self.choked:
            self.abort()
        else:
            self.reset(stream, CANCEL)
            stream.reset_received(CANCEL)
