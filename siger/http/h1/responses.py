"""
What is sent on a connection: the response to the one request that is in progress.
"""

from __future__ import annotations

from siger.errors import Reason
from siger.http.body import ChunkedDecoder, LengthDecoder
from siger.http.context import ChannelContext
from siger.http.deadlines import NEVER
from siger.http.h1.connection import Http1Connection
from siger.http.h1.states import BODY, CLOSED, DRAIN, DRAIN_CAP, IDLE, TUNNEL, WAIT
from siger.http.stream import Exchange
from siger.http.transport import Transport, unacknowledged
from siger.http.writer import ResponseWriter

__all__ = ["Responses"]


class Responses(Http1Connection):
    """
    A connection that answers: L{siger.http.stream.Stream}, but for the request's body.

    A response begins with its request and ends once, cleanly or not; what is sent between two is ignored.

    @ivar version: 10 or 11, the version of the present request.
    @ivar reason: why the gateway answered the last request by itself, if it did.
    @ivar request_id: the id of this request, which its response tells.
    @ivar added: field lines, each with its CRLF, that the response to this request gets whoever makes it.
    @ivar grpc: whether refusals of this request are gRPC statuses.
    """

    __slots__ = (
        "_ended",
        "_exchange",
        "_expects_continue",
        "_writer",
        "added",
        "grpc",
        "reason",
        "request_id",
        "version",
    )

    def __init__(self, context: ChannelContext, transport: Transport, peer: bytes, secure: bool) -> None:
        super().__init__(context, transport, peer, secure)
        self.version = 11
        self.reason: Reason | None = None
        self.request_id = b""
        self.added = b""
        self.grpc = False
        self._exchange: Exchange | None = None
        self._writer = ResponseWriter(transport)
        self._ended = True
        # The client may wait to be asked for the body that is still to come.
        self._expects_continue = False

    def _begin_response(self, version: int, head_only: bool, keep: bool) -> None:
        self.version = version
        self.request_id = self.added = b""
        self.grpc = False
        self._keep = keep
        self._ended = False
        self._writer.begin(version, head_only)

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
        short = isinstance(decoder, LengthDecoder) and decoder.remaining <= DRAIN_CAP
        return short and not self._expects_continue

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
        if self._state == CLOSED:
            # It was given up already, and whoever answered did not know yet.
            return
        if self._decoder is not None and self._keep:
            self._drop_input(DRAIN)
        elif self._keep:
            self._next_request()
        else:
            self._start_linger()

    def _next_request(self) -> None:
        self._state = IDLE
        self.deadline = self._context.deadlines.now + self._context.limits.keepalive_timeout
        if self._reading_paused:
            self._resume_reading()
        if self._buffer:
            self._read_held()

    def _read_held(self) -> None:
        # The turn of what has come early.
        raise NotImplementedError

    def connection_lost(self) -> None:
        """
        The connection is gone.
        """
        self._leave()
        exchange, self._exchange = self._exchange, None
        self._writer.stop()
        self._ended = True
        if exchange is not None:
            exchange.client_gone()

    # Backpressure.

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
            if self._buffer:
                self._read_held()
