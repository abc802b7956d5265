"""
HTTP/2 connections from clients: each of their streams is a request (RFC 9113 section 8).

A L{ServerStream} offers L{siger.http.stream.Stream} to whatever answers its request, as an HTTP/1.1 channel does, so
everything behind is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.http.deadlines import NEVER
from siger.http.fields import HeadError
from siger.http.h2.connection import Http2Connection
from siger.http.h2.constants import (
    CANCEL,
    DEFAULT_WINDOW,
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
from siger.http.h2.server_stream import ServerStream
from siger.http.h2.streams import Http2Stream
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.hpack.encoder import NO_TABLE, LinePacker
from siger.http.transport import Transport, close, unacknowledged

if TYPE_CHECKING:
    from siger.config.settings.limits import Limits
    from siger.http.channel import ChannelContext
    from siger.http.request import RequestHead

__all__ = ["ServerConnection", "ServerContext"]

_CONNECTION_WINDOW: Final = 1 << 20
_LARGEST_HELD: Final = 1 << 20
_PSEUDO_FIELDS: Final = 4
_REMEMBERED_GAPS: Final = 16
_KEPT_BLOCK: Final = 1024
_KEPT_IN_ALL: Final = 16384
"""How much a connection keeps of blocks, by what they unpack to: a block may be a hundredth of that."""


class ServerContext:
    """
    What all connections of a gateway share, besides what HTTP/1.1 channels share too.
    """

    __slots__ = ("batch", "packer", "reader", "streams", "terms")

    def __init__(self, reader: RequestReader, batch: Batch, limits: Limits) -> None:
        """
        @param limits: what clients may cost.
        """
        self.reader = reader
        self.batch = batch
        self.streams = limits.streams
        fields = limits.header_count + _PSEUDO_FIELDS
        self.terms = Terms(DEFAULT_WINDOW, _CONNECTION_WINDOW, _LARGEST_HELD, limits.header_bytes, fields)
        self.packer = LinePacker()


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
        "_greeted",
        "_heads",
        "_idle_due",
        "_kept",
        "_open_heads",
        "_preface",
        "_requests",
        "_skipped",
        "_unacknowledged",
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
        super().__init__(server.batch, transport, context.deadlines, server.reader.static, server.terms)
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
        self._kept = 0
        self._skipped: list[tuple[int, int]] = []
        self._greeted = False
        self._unacknowledged = -1
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
            if any(first <= number < last for first, last in self._skipped):
                raise ConnectionFault(PROTOCOL_ERROR, "a stream is opened after one with a higher number")
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
        if number > self._highest + 2:
            self._skip(number)
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

    def _skip(self, number: int) -> None:
        # Streams that were never opened are closed now (section 5.1.1). Honest clients skip some at the beginning.
        self._skipped.append((self._highest + 1, number))
        del self._skipped[:-_REMEMBERED_GAPS]

    def _turn_away(self, number: int) -> None:
        # The request may be sent again, elsewhere or later (section 8.7).
        if number <= self.goaway_last:
            self.remember(number)
            if self._acknowledged:
                self._count_reset()
            else:
                self._charge(1)  # it cannot know yet how many are too many
            self.write_reset(number.to_bytes(4, "big"), REFUSED_STREAM)
        else:
            self._charge(1)

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
        except MalformedError as malformed:
            self.remember(stream.number)
            self.write_reset(stream.identifier, PROTOCOL_ERROR)
            stream.drop()  # an answer goes nowhere, but it is told that there was a request
            stream.refuse(HeadError(Reason.MALFORMED_REQUEST, str(malformed)))
            self._count_reset()
            return None
        except HeadError as error:
            self._open(stream)
            stream.refuse(error)
            return None
        if self.repeatable and len(block) <= _KEPT_BLOCK:
            self._keep(block, end, head)
        return head

    def _check_target(self, head: RequestHead) -> None:
        if len(head.path) + len(head.query) > self.limits.request_line:
            raise HeadError(Reason.URI_TOO_LONG)

    def _keep(self, block: bytes, end: bool, head: RequestHead) -> None:
        size = len(block) + self._decoder.size
        if size > _KEPT_IN_ALL:
            return
        if self._kept + size > _KEPT_IN_ALL:
            self._forget_blocks()
        self._kept += size
        known = self._heads if end else self._open_heads
        known[block] = head

    def _forget_blocks(self) -> None:
        self._heads.clear()
        self._open_heads.clear()
        self._kept = 0

    def _settings_acknowledged(self) -> None:
        super()._settings_acknowledged()
        if not self._greeted:
            # It has begun, and may have connected ahead of its first request.
            self._greeted = True
            self._idle_due = self.now + self.limits.keepalive_timeout

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
            if idle:
                close(self.transport)  # who has not closed by now is not waited for
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
            self.closing_passed()
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
        moving = self.progressed > limit or (self.choked and self._is_read())
        for stream in list(self.streams.values()):
            # One that only waits for its turn among others is not the client's fault.
            if stream.stalled_since <= limit and not (moving and stream.send_window > 0):
                self._give_up(stream, moving)
            elif stream.deadline <= now and isinstance(stream, ServerStream):
                stream.deadline_passed()

    def _is_read(self) -> bool:
        # What the kernel holds may take the client as long as all else, and it tells nobody until much of it is gone.
        before, self._unacknowledged = self._unacknowledged, unacknowledged(self.transport)
        if self._unacknowledged < 0 or self._unacknowledged == before:
            return False
        self.progressed = self.now
        return True

    def writing_paused(self) -> None:
        """
        See L{Http2Connection.writing_paused}.
        """
        super().writing_paused()
        self._unacknowledged = unacknowledged(self.transport)

    def _give_up(self, stream: Http2Stream, moving: bool) -> None:
        # The client lets nothing through: on this stream, or at all.
        if self.choked and not moving:
            self.abort()
        else:
            self.reset(stream, CANCEL)
            stream.reset_received(CANCEL)
