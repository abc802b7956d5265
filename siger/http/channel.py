"""
One HTTP/1.1 connection from a client: requests read strictly and in order, responses framed anew (RFC 9112).

Theory of operation. A channel is in one of these states:

    IDLE    between requests, or in the middle of a head
    BODY    a request was handed to the application and more of its body is to come
    WAIT    the request is complete, its response is not
    DRAIN   the response is complete, the request's body is not: its rest is read and dropped, up to a cap
    TUNNEL  the connection was upgraded; bytes pass as they are
    LINGER  everything was said; input is dropped until the client closes too, or for a moment, so that the last
            response is not lost by a reset (RFC 9112 section 9.6)
    CLOSED  nothing more happens

One request is in progress at a time; what a client pipelines waits in a bounded buffer, so responses are in order. A
connection on which anything was unclear is never read as HTTP again: the answer says C{Connection: close}, and
C{LINGER} ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from siger.errors import Reason
from siger.http.body import BodyError, ChunkedDecoder, LengthDecoder
from siger.http.context import ChannelContext
from siger.http.deadlines import NEVER
from siger.http.faults import first_fault
from siger.http.fields import HeadError
from siger.http.h2.constants import PREFACE
from siger.http.request import RequestFields, RequestHead
from siger.http.stream import Exchange
from siger.http.transport import Transport, close, half_close, unacknowledged
from siger.http.writer import ResponseWriter

__all__ = ["Channel"]

IDLE: Final = 0
BODY: Final = 1
WAIT: Final = 2
DRAIN: Final = 3
TUNNEL: Final = 4
LINGER: Final = 5
CLOSED: Final = 6

_PIPELINE_BUFFER: Final = 65536
_DRAIN_CAP: Final = 65536
_DRAIN_SECONDS: Final = 5.0
_RATE_GRACE: Final = 5.0
_MAX_BLANK_LINES: Final = 4

_NO_FIELDS: Final = RequestFields(b"")
_NO_SECTION: Final = b"\n"
"""
What no header section is. The first on a connection is always parsed, even if it is empty: what is kept with a section
tells of this connection's client.
"""


class Channel:
    """
    The state of one connection; offers L{siger.http.stream.Stream} to whatever answers its requests.

    @ivar peer: the socket's peer address as text, without port.
    @ivar secure: whether the connection is TLS.
    @ivar version: 10 or 11, the version of the present request.
    @ivar reason: why the gateway answered the last request by itself, if it did.
    @ivar request_id: the id of this request, which its response tells.
    @ivar added: field lines, each with its CRLF, that the response to this request gets whoever makes it.
    @ivar grpc: whether refusals of this request are gRPC statuses.
    @ivar deadline: when to give up waiting for the client; see L{siger.http.deadlines}.
    @ivar on_preface: takes over, with what has come, when the client speaks HTTP/2 (RFC 9113 section 3.4); C{None}
        where that is not spoken.
    """

    __slots__ = (
        "_blank_lines",
        "_body_due",
        "_buffer",
        "_context",
        "_decoder",
        "_drain_left",
        "_ended",
        "_exchange",
        "_fields",
        "_keep",
        "_looping",
        "_raw",
        "_read_ended",
        "_reading_paused",
        "_requests",
        "_scanned",
        "_state",
        "_unacknowledged",
        "_write_paused",
        "_writer",
        "added",
        "deadline",
        "grpc",
        "on_preface",
        "peer",
        "reason",
        "request_id",
        "secure",
        "transport",
        "version",
    )

    def __init__(self, context: ChannelContext, transport: Transport, peer: bytes, secure: bool) -> None:
        self._context = context
        self.transport = transport
        self.peer = peer
        self.secure = secure
        self.version = 11
        self.reason: Reason | None = None
        self.request_id = b""
        self.added = b""
        self.grpc = False
        self.on_preface: Callable[[bytes], None] | None = None
        self._state = IDLE
        self._buffer = b""
        self._scanned = 0
        self._blank_lines = 0
        self._raw = _NO_SECTION
        self._fields = _NO_FIELDS
        self._exchange: Exchange | None = None
        self._decoder: LengthDecoder | ChunkedDecoder | None = None
        self._requests = 0
        self._writer = ResponseWriter(transport)
        self._keep = True
        self._ended = True
        self._read_ended = False
        self._looping = False
        self._reading_paused = False
        self._write_paused = False
        self._unacknowledged = -1
        self._drain_left = 0
        self._body_due = 0.0
        self.deadline = context.deadlines.now + context.limits.header_timeout
        context.channels.add(self)
        context.deadlines.add(self)

    def __repr__(self) -> str:
        state = ("idle", "body", "wait", "drain", "tunnel", "linger", "closed")[self._state]
        return f"<Channel {self.peer.decode('latin-1')} [{state}, {self._requests} requests]>"

    # What arrives.

    def data_received(self, data: bytes) -> None:
        """
        Take bytes from the connection.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self._looping = True
        try:
            while data:
                state = self._state
                if state == IDLE and not self._write_paused:
                    if data[0] == 13:
                        data = self._skip_blank_lines(data)
                    end = data.find(b"\r\n\r\n")
                    if end < 0:
                        self._await_head(data)
                        return
                    data = self._begin(data, end)
                elif state == BODY or state == DRAIN:  # noqa: SIM109  (a tuple costs a lookup each)
                    data = self._read_body(data)
                else:
                    self._take_other(data)
                    return
        finally:
            self._looping = False

    def _take_other(self, data: bytes) -> None:
        # What comes while no request can be read.
        state = self._state
        if state == WAIT or state == IDLE:  # noqa: SIM109
            self._buffer = data
            if len(data) > _PIPELINE_BUFFER:
                self._pause_reading()
        elif state == TUNNEL and self._exchange is not None:
            self._exchange.body_received(data)
        elif state == LINGER:
            self._drain_left -= len(data)
            if self._drain_left < 0:
                self._abort()

    def _skip_blank_lines(self, data: bytes) -> bytes:
        # RFC 9112 section 2.2 asks to ignore at least one; a flood of them is not a request.
        while data.startswith(b"\r\n") and self._blank_lines < _MAX_BLANK_LINES:
            self._blank_lines += 1
            data = data[2:]
        return data

    def _await_head(self, data: bytes) -> None:
        # A head that can no longer become valid is refused now, not when its time is over.
        if not data:
            return
        if self.on_preface is not None and not self._requests and PREFACE.startswith(data):
            self._buffer = data
            return
        fault = first_fault(data, self._scanned, self._context.limits, self._context.parser)
        if fault is not None:
            self._refuse(fault.reason, fault.detail)
            return
        if not self._scanned:
            self.deadline = self._context.deadlines.now + self._context.limits.header_timeout
        self._scanned = len(data)
        self._buffer = data

    def _begin(self, data: bytes, end: int) -> bytes:
        # Hands one request to the application; returns what follows its head.
        context = self._context
        limits = context.limits
        line_end = data.find(b"\r\n", 0, end + 2)
        try:
            if line_end > limits.request_line:
                raise HeadError(Reason.URI_TOO_LONG)
            if end - line_end > limits.header_bytes:
                raise HeadError(Reason.HEADERS_TOO_LARGE)
            # No slice may begin behind its end: compiled, that is an error.
            raw = data[line_end + 2 : end] if line_end < end else b""
            if raw != self._raw:
                self._fields = context.parser.fields(raw, self._fields)
                self._raw = raw
            fields = self._fields
            head = context.parser.head(data[:line_end], fields)
        except HeadError as error:
            if self._speaks_http2(data):
                return b""
            self._raw = _NO_SECTION
            self._fields = _NO_FIELDS
            fault = first_fault(data[: end + 4], 0, limits, context.parser) or error
            self._refuse(fault.reason, fault.detail)
            return b""
        self._scanned = self._blank_lines = 0
        self._requests += 1
        self.version = head.version
        self.request_id = self.added = b""
        self.grpc = False
        self._writer.begin(head.version, head.method == b"HEAD")
        # What follows a WebSocket handshake may be meant for a tunnel that never comes, so nothing is read after it.
        self._keep = not (
            fields.close
            or head.version == 10
            or context.draining
            or fields.upgrade == b"websocket"
            or self._requests >= limits.max_requests
        )
        self._ended = False
        if fields.chunked:
            self._expect_body(ChunkedDecoder())
        elif fields.content_length:
            self._expect_body(LengthDecoder(fields.content_length))
        else:
            self._state = WAIT
            self.deadline = NEVER
        self._hand_over(head)
        return data[end + 4 :]

    def _speaks_http2(self, data: bytes) -> bool:
        # Looked for only where a head cannot be read, so that no request of HTTP/1.1 pays for it.
        take_over = self.on_preface
        if take_over is None or self._requests or not data.startswith(PREFACE[:18]):
            return False
        self.leave()
        take_over(data)
        return True

    def leave(self) -> None:
        """
        Have nothing more to do with the connection, which goes on without this channel.
        """
        self._state = CLOSED
        self.deadline = NEVER
        self._let_go()

    def _let_go(self) -> None:
        # What refers to whoever has this channel would keep both until the next collection of garbage.
        self.on_preface = None
        self._context.channels.discard(self)
        self._context.deadlines.discard(self)

    def _expect_body(self, decoder: LengthDecoder | ChunkedDecoder) -> None:
        self._decoder = decoder
        self._state = BODY
        self._body_due = 0.0
        self.deadline = self._context.deadlines.now + self._context.limits.body_timeout

    def _hand_over(self, head: RequestHead) -> None:
        exchange = self._context.application(head, self)
        if not self._ended:
            self._exchange = exchange
            if self._write_paused and exchange is not None:
                exchange.pause_response()

    def _read_body(self, data: bytes) -> bytes:
        # Returns what follows the body.
        decoder = self._decoder
        if decoder is None:
            return b""
        try:
            payload, rest = decoder.feed(data)
        except BodyError:
            self._fail_body(Reason.INVALID_FRAMING)
            return b""
        if self._state == DRAIN:
            self._drain_left -= len(payload)
            if self._drain_left < 0:
                self._start_linger()
                return b""
        else:
            self._note_progress(len(data))
            if payload and self._exchange is not None:
                self._exchange.body_received(payload)
        if rest is None or self._decoder is None:
            return b""
        self._body_complete(decoder.trailers)
        return rest

    def _note_progress(self, count: int) -> None:
        if self._reading_paused:
            # It was on its way before the pause, which stopped the clock.
            return
        limits = self._context.limits
        now = self._context.deadlines.now
        self.deadline = now + limits.body_timeout
        if limits.min_body_rate:
            if not self._body_due:
                self._body_due = now + _RATE_GRACE
            self._body_due += count / limits.min_body_rate
            self.deadline = min(self.deadline, self._body_due)

    def _body_complete(self, trailers: bytes) -> None:
        self._decoder = None
        if self._state == DRAIN:
            self._next_request()
            return
        self._state = WAIT
        self._await_reader()
        # Who paused the body wanted no more of it; now there is only the client's end to be seen.
        self._resume_reading()
        if self._exchange is not None:
            self._exchange.body_finished(trailers)

    def _fail_body(self, reason: Reason) -> None:
        self._keep = False
        if self._state == DRAIN:
            self._start_linger()
            return
        if self._exchange is not None:
            self._exchange.body_failed(reason)
        if not self._ended:
            self._abort()

    def _refuse(self, reason: Reason, detail: str = "") -> None:
        self._requests += 1
        self.request_id = self.added = b""
        self.grpc = False
        self._keep = self._ended = False
        self._writer.begin(11, False)
        self._state = WAIT
        self._context.application.refuse(self, reason, detail)

    def read_ended(self) -> None:
        """
        The client will send no more.
        """
        state = self._state
        self._read_ended = True
        if state == IDLE and self._buffer:
            self._refuse(Reason.MALFORMED_REQUEST, "The request head ended early.")
        elif state == BODY:
            self._fail_body(Reason.INCOMPLETE_BODY)
        elif state == WAIT or state == TUNNEL:  # noqa: SIM109
            # Whether it closed or only half-closed cannot be told; nobody waiting is the rule, so work is stopped.
            self._abort()
        else:
            self._close()

    def connection_lost(self) -> None:
        """
        The connection is gone.
        """
        self._state = CLOSED
        self.deadline = NEVER
        self._let_go()
        exchange, self._exchange = self._exchange, None
        self._writer.stop()
        self._ended = True
        if exchange is not None:
            exchange.client_gone()

    # What is sent: siger.http.stream.Stream.

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_interim}.
        """
        self._writer.interim(status, lines)

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        See L{siger.http.stream.Stream.send_response}.
        """
        writer = self._writer
        if writer.responded:
            return
        if self._decoder is not None and not self._rest_is_short(self._decoder):
            self._keep = False
        if self.request_id:
            lines = b"%bX-Request-ID: %b\r\n%b" % (lines, self.request_id, self.added)
        writer.head(status, phrase, lines, length, body, end, not self._keep)
        if end:
            self._end()

    def _rest_is_short(self, decoder: LengthDecoder | ChunkedDecoder) -> bool:
        # A response that overtakes its request's body keeps the connection only if the rest is known to be short
        # and already on its way (RFC 9112 section 9.3).
        short = isinstance(decoder, LengthDecoder) and decoder.remaining <= _DRAIN_CAP
        return short and not self._fields.expect_continue

    def send_body(self, data: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_body}.
        """
        if not self._ended:
            self._writer.body(data)

    def end_response(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Stream.end_response}.
        """
        if not self._ended:
            self._writer.last(trailers)
            self._end()

    def abort_response(self) -> None:
        """
        See L{siger.http.stream.Stream.abort_response}.
        """
        if self._ended:
            return
        self._ended = True
        self._exchange = None
        if self._writer.delimited_by_close:
            self._abort()
        else:
            # What was written still goes out; the missing rest is what tells the client.
            self._close()

    def pause_body(self) -> None:
        """
        See L{siger.http.stream.Stream.pause_body}.
        """
        if self._state == BODY or self._state == TUNNEL:
            self._pause_reading()
            self._await_reader()

    def resume_body(self) -> None:
        """
        See L{siger.http.stream.Stream.resume_body}.
        """
        if self._state == BODY:
            now = self._context.deadlines.now
            self._body_due = max(self._body_due, now + _RATE_GRACE)
            self.deadline = now + self._context.limits.body_timeout
            self._resume_reading()
        elif self._state == TUNNEL:
            self._resume_reading()

    def let_body_rest(self) -> None:
        """
        See L{siger.http.stream.Stream.let_body_rest}: no client that speaks HTTP/1.1 makes calls of that kind.
        """

    def upgrade(self, lines: bytes) -> bytes:
        """
        Answer 101 and pass bytes as they are from now on (RFC 9110 section 7.8).

        @return: what the client sent behind its request.
        """
        early, self._buffer = self._buffer, b""
        self._state = TUNNEL
        self._keep = False
        self.deadline = NEVER
        self._writer.switch(lines)
        self._resume_reading()
        return early

    def _end(self) -> None:
        self._ended = True
        self._exchange = None
        if self._decoder is not None and self._keep:
            self._state = DRAIN
            self._drain_left = _DRAIN_CAP
            self.deadline = self._context.deadlines.now + _DRAIN_SECONDS
            self._resume_reading()
        elif self._keep:
            self._next_request()
        else:
            self._start_linger()

    def _next_request(self) -> None:
        self._state = IDLE
        self.deadline = self._context.deadlines.now + self._context.limits.keepalive_timeout
        if self._reading_paused:
            self._resume_reading()
        if self._buffer and not self._looping:
            self._read_held()

    def _read_held(self) -> None:
        data, self._buffer = self._buffer, b""
        self.data_received(data)

    # Ends.

    def _start_linger(self) -> None:
        self._buffer = b""
        self._decoder = None
        self._state = LINGER
        self._drain_left = _DRAIN_CAP
        self._unacknowledged = -1
        self.deadline = self._context.deadlines.now + _DRAIN_SECONDS
        self._resume_reading()
        if self._read_ended or not half_close(self.transport):
            self._close()

    def _close(self) -> None:
        self._state = CLOSED
        self._buffer = b""
        self._decoder = None
        self.deadline = self._context.deadlines.now + self._context.limits.write_timeout
        close(self.transport)

    def _abort(self) -> None:
        self._state = CLOSED
        self._decoder = None
        self.transport.abortConnection()

    def deadline_passed(self) -> None:
        """
        The client took too long.
        """
        state = self._state
        if state == IDLE and self._scanned:
            self._refuse(Reason.REQUEST_TIMEOUT)
        elif state == BODY and not self._reading_paused:
            self._fail_body(Reason.REQUEST_TIMEOUT)
        elif state == IDLE:
            self._close()
        elif state == DRAIN:
            self._start_linger()
        elif self._still_reading():
            more = _DRAIN_SECONDS if state == LINGER else self._context.limits.write_timeout
            self.deadline = self._context.deadlines.now + more
        else:
            self._abort()

    def _still_reading(self) -> bool:
        before, self._unacknowledged = self._unacknowledged, unacknowledged(self.transport)
        # Who has read everything, and only does not close, is not waited for.
        least = 1 if self._state == LINGER else 0
        return self._unacknowledged >= least and self._unacknowledged != before

    def drain(self, idle: bool) -> None:
        """
        Keep the connection for no further request.

        @param idle: close it now if no request is in progress on it.
        """
        if idle and (self._state == LINGER or (self._state == IDLE and not self._buffer)):
            self._close()
        self._keep = False

    # Backpressure.

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pauseProducing()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resumeProducing()

    def _await_reader(self) -> None:
        # Nothing is expected of the client now but, if it reads slowly, that it reads.
        paused = self._write_paused
        self.deadline = self._context.deadlines.now + self._context.limits.write_timeout if paused else NEVER

    def writing_paused(self) -> None:
        """
        The transport holds more than it should: the client reads slowly.
        """
        self._write_paused = True
        self._unacknowledged = unacknowledged(self.transport)
        if self._state != BODY or self._reading_paused:
            self._await_reader()
        if self._exchange is not None:
            self._exchange.pause_response()

    def writing_resumed(self) -> None:
        """
        The transport can take more.
        """
        self._write_paused = False
        state = self._state
        if state in (WAIT, TUNNEL) or (state == BODY and self._reading_paused):
            self.deadline = NEVER
        if self._exchange is not None:
            self._exchange.resume_response()
        elif state == IDLE:
            self._resume_reading()
            if self._buffer and not self._looping:
                self._read_held()
