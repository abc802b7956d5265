"""
HTTP/2 connections to an instance: many exchanges on each, every one on a stream of its own (RFC 9113 section 8).

To its exchange, a L{ClientStream} is what an L{UpstreamConnection} is that serves nobody else. It delivers a response's
head together with what came of the body in the same read, so that a small response goes on in one piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from siger.errors import Reason
from siger.http.deadlines import NEVER, Deadlines
from siger.http.h2.connection import Http2Connection
from siger.http.h2.constants import (
    CANCEL,
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    LARGEST_STREAM,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
)
from siger.http.h2.errors import ConnectionFault, MalformedError, StreamFault
from siger.http.h2.responses import ResponseReader
from siger.http.h2.streams import Http2Stream
from siger.http.h2.writing import Batch
from siger.http.hpack.encoder import NO_TABLE, LinePacker
from siger.http.response import ResponseHead
from siger.http.transport import Transport

if TYPE_CHECKING:
    from siger.config.settings import Timeouts
    from siger.proxy.connection import Recipient

__all__ = ["ClientConnection", "ClientStream", "Http2Owner"]

_STREAM_WINDOW: Final = 1 << 17
_CONNECTION_WINDOW: Final = 1 << 22
_MAX_BLOCK: Final = 65536
_MAX_FIELDS: Final = 200
_MAX_INTERIM: Final = 16
_BLOCK_SECONDS: Final = 10.0
"""How long a header block may take from its first frame to its last."""

_KEPT_SECTIONS: Final = 64
_KEPT_BLOCK: Final = 1024
_UNTOLD_STREAMS: Final = 100
"""How many streams are opened before the instance has said how many it takes (section 6.5.2)."""

_packer: Final = LinePacker()


class Http2Owner(Protocol):
    """
    What a connection reports to: its pool.
    """

    deadlines: Deadlines

    def released(self, connection: ClientConnection) -> None:
        """
        A stream of this connection is over, so that there is room for another.
        """

    def retired(self, connection: ClientConnection) -> None:
        """
        The connection takes no more streams.
        """

    def forget_connection(self, connection: ClientConnection) -> None:
        """
        The connection is gone.
        """


class ClientStream(Http2Stream):
    """
    One exchange's part of a connection.

    @ivar multiplexed: requests are begun with a packed header section.
    @ivar exclusive: as for L{UpstreamConnection}; an upgrade cannot be asked for here.
    @ivar request_open: more of the request is to be sent.
    @ivar request_paused: the instance reads slowly, so no more should be sent now.
    @ivar timeouts: of the exchange.
    """

    multiplexed: Final = True

    __slots__ = (
        "_client",
        "_head",
        "_head_only",
        "_interim",
        "_recipient",
        "_responded",
        "_streaming",
        "_touched",
        "exclusive",
        "request_open",
        "request_paused",
        "timeouts",
    )

    def __init__(self, client: ClientConnection) -> None:
        super().__init__(client)
        self._client = client
        self._recipient: Recipient | None = None
        self._head: ResponseHead | None = None
        self._head_only = False
        self._responded = False
        self._streaming = False
        self._touched = False
        self._interim = 0
        self.exclusive = False
        self.request_open = False
        self.request_paused = False
        self.timeouts: Timeouts | None = None

    def __repr__(self) -> str:
        state = "over" if self.local_gone else "responding" if self._responded else "waiting"
        return f"<ClientStream {self.number} [{state}]>"

    # The request: what an exchange calls.

    def begin(
        self,
        recipient: Recipient,
        request: bytes,
        head_only: bool,
        request_open: bool,
        timeouts: Timeouts,
        chunked: bool = False,
    ) -> None:
        """
        Send a request's header section.

        @param request: packed.
        @param head_only: the response will have no body whatever it says: the method is HEAD.
        @param request_open: a body follows by L{send_body}.
        @param timeouts: for this exchange.
        @param chunked: of no concern to HTTP/2.
        """
        self._recipient = recipient
        self._streaming = recipient.streaming
        self._head_only = head_only
        self.request_open = request_open
        self.timeouts = timeouts
        self._client.open(self, request, not request_open)
        self._restart_clock()

    def send_body(self, data: bytes, end: bool = False) -> None:
        """
        Send more of the request's body.

        @param end: it is complete with that.
        """
        if self.local_ended:
            return
        if end:
            self.request_open = False
        self.send(data, end)
        if end and not self._responded:
            self._restart_clock()

    def request_sent(self, trailers: bytes = b"") -> None:
        """
        The request is complete: now the instance is to answer.
        """
        if self.local_ended or not self.request_open:
            return
        self.request_open = False
        self.finish(_packer.pack(trailers) if trailers else b"")
        if not self._responded:
            self._restart_clock()

    def pause_response(self) -> None:
        """
        Let no more of the response come.
        """
        if not self.remote_ended:
            self.pause_receiving()
            self._restart_clock()

    def resume_response(self) -> None:
        """
        Let it come again.
        """
        if self._paused:
            self.resume_receiving()
            self._restart_clock()

    def abort(self) -> None:
        """
        Give up, telling the exchange nothing.
        """
        self._recipient = None
        self.connection.reset(self, CANCEL)

    def hang_up(self) -> None:
        """
        The same: there are no tunnels here.
        """
        self.abort()

    # The clock.

    def _restart_clock(self) -> None:
        # Whose turn is it? As for HTTP/1.1, while the client does not read, or has more to send, nothing is held
        # against the instance.
        timeouts = self.timeouts
        if timeouts is None or self._paused:
            self.deadline = NEVER
        elif self._responded or self.request_paused:
            self.deadline = NEVER if self._streaming else self.connection.now + timeouts.idle
        elif self.request_open:
            self.deadline = NEVER
        else:
            self.deadline = self.connection.now + timeouts.response

    def deadline_passed(self) -> None:
        """
        The instance took too long.
        """
        self._fail(Reason.UPSTREAM_TIMEOUT, CANCEL)

    # The response: siger.http.h2.streams.

    def headers_received(self, block: bytes, end: bool) -> None:
        """
        See L{Http2Stream.headers_received}.
        """
        self._touched = True
        if self._responded:
            self._trailers_received(self._client.read_trailers(block), end)
            return
        head = self._client.read_head(block)
        if head.status < 200:
            self._interim_received(head, end)
            return
        self._responded = True
        if head.bodyless:
            self._head_only = True
        elif head.length is not None and not self._head_only:
            self._expected = head.length
        if end:
            self.end_of_body()
            self._complete(head, b"")
        else:
            self._head = head
            self._client.hold_head(self)
            self._restart_clock()

    def _interim_received(self, head: ResponseHead, end: bool) -> None:
        self._interim += 1
        if end or head.status == 101 or self._interim > _MAX_INTERIM:
            raise StreamFault(PROTOCOL_ERROR, "an interim response is not one")
        if self._recipient is not None:
            self._recipient.interim_received(head)

    def _trailers_received(self, lines: bytes, end: bool) -> None:
        if not end:
            raise StreamFault(PROTOCOL_ERROR, "trailers do not end the stream")
        self.end_of_body()
        self.deliver_head()
        self._finish_response(lines)

    def payload_received(self, data: bytes, end: bool) -> None:
        """
        See L{Http2Stream.payload_received}.
        """
        if not self._responded:
            raise StreamFault(PROTOCOL_ERROR, "a body comes before its head")
        head = self._head
        if data and self._head_only:
            raise StreamFault(PROTOCOL_ERROR, "a response that can have no body has one")
        if head is not None:
            self._head = None
            if end:
                self._complete(head, data)
            elif self._recipient is not None:
                self._recipient.response_received(head, data, False)
            return
        if self.deadline != NEVER:
            self._restart_clock()
        if data and self._recipient is not None:
            self._recipient.response_data(data)
        if end:
            self._finish_response(b"")

    def deliver_head(self) -> None:
        """
        Pass on a head that nothing came with.
        """
        head, self._head = self._head, None
        if head is not None and self._recipient is not None:
            self._recipient.response_received(head, b"", False)

    def _complete(self, head: ResponseHead, body: bytes) -> None:
        recipient = self._over()
        if recipient is not None:
            recipient.response_received(head, body, True)

    def _finish_response(self, trailers: bytes) -> None:
        recipient = self._over()
        if recipient is not None:
            recipient.response_finished(trailers)

    def _over(self) -> Recipient | None:
        # The response is complete. Whatever is left of the request is of no use to anybody.
        recipient, self._recipient = self._recipient, None
        self._client.finished(self)
        return recipient

    def _fail(self, reason: Reason, code: int) -> None:
        recipient, self._recipient = self._recipient, None
        self.connection.reset(self, code)
        if recipient is not None:
            recipient.upstream_failed(reason, False)

    def reset_received(self, code: int) -> None:
        """
        See L{Http2Stream.reset_received}.
        """
        self.deliver_head()
        recipient, self._recipient = self._recipient, None
        if recipient is None:
            return
        if code == REFUSED_STREAM and not self._touched:
            recipient.upstream_refused(Reason.UPSTREAM_RESET)
        else:
            recipient.upstream_reset(code)

    def refused(self) -> None:
        """
        The instance will not deal with the stream: it says so of all above one (section 6.8).
        """
        if self._touched:
            self.lost()  # it says so, and did
            return
        recipient, self._recipient = self._recipient, None
        if recipient is not None:
            recipient.upstream_refused(Reason.UPSTREAM_RESET)

    def lost(self) -> None:
        """
        The connection is gone.
        """
        self.deliver_head()
        recipient, self._recipient = self._recipient, None
        if recipient is None:
            return
        if self._responded:
            recipient.upstream_failed(Reason.UPSTREAM_TRUNCATED, False)
        else:
            recipient.upstream_failed(Reason.UPSTREAM_RESET, not self._touched and self._client.served)

    def fail(self, fault: StreamFault) -> None:
        """
        See L{Http2Stream.fail}.
        """
        self.deliver_head()
        recipient, self._recipient = self._recipient, None
        if recipient is not None:
            recipient.upstream_failed(Reason.UPSTREAM_MALFORMED, False)

    # Backpressure.

    def sending_paused(self) -> None:
        """
        See L{Http2Stream.sending_paused}.
        """
        if not self.request_paused:
            self.request_paused = True
            self._restart_clock()
            if self._recipient is not None:
                self._recipient.pause_request()

    def sending_resumed(self) -> None:
        """
        See L{Http2Stream.sending_resumed}.
        """
        if self.request_paused:
            self.request_paused = False
            self._restart_clock()
            if self._recipient is not None:
                self._recipient.resume_request()


class ClientConnection(Http2Connection):
    """
    One connection to an instance.

    @ivar load: streams that are open on it, or were promised to somebody.
    @ivar served: it has completed a response before.
    @ivar usable: it takes more streams.
    """

    __slots__ = (
        "_first_block",
        "_heads",
        "_max_streams",
        "_next",
        "_owner",
        "_reader",
        "_trailers",
        "_with_heads",
        "load",
        "served",
        "usable",
    )

    def __init__(
        self, owner: Http2Owner, transport: Transport, reader: ResponseReader, batch: Batch, max_streams: int
    ) -> None:
        """
        @param max_streams: how many streams it may have, if the instance allows that many.
        """
        super().__init__(
            batch,
            transport,
            owner.deadlines,
            reader.static,
            _STREAM_WINDOW,
            _CONNECTION_WINDOW,
            _MAX_BLOCK,
            _MAX_FIELDS,
            NEVER,  # one client that reads slowly must not hold up the others
        )
        self._owner = owner
        self._reader = reader
        self._max_streams = max_streams
        self._next = 1
        self._first_block = True
        self._heads: dict[bytes, ResponseHead] = {}
        self._trailers: dict[bytes, bytes] = {}
        self._with_heads: list[ClientStream] = []
        self.peer_streams = _UNTOLD_STREAMS
        self.patient = True
        self.load = 0
        self.served = False
        self.usable = True
        transport.write(PREFACE)
        self._begin({ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: _STREAM_WINDOW, MAX_HEADER_LIST_SIZE: _MAX_BLOCK})

    def __repr__(self) -> str:
        return f"<ClientConnection [{len(self.streams)} streams, {'usable' if self.usable else 'retired'}]>"

    @property
    def room(self) -> int:
        """
        How many more streams it takes now.
        """
        return min(self._max_streams, self.peer_streams) - self.load if self.usable else 0

    # Streams of exchanges.

    def reserve(self) -> ClientStream:
        """
        A stream for an exchange that is about to begin.
        """
        self.load += 1
        return ClientStream(self)

    def open(self, stream: ClientStream, block: bytes, end: bool) -> None:
        """
        Send a stream's request.
        """
        number = self._next
        self._next = number + 2
        stream.number = number
        stream.identifier = number.to_bytes(4, "big")
        stream.send_window = self.peer_window
        self._highest = number
        self.streams[number] = stream
        self.deadline = 0.0
        if self._next > LARGEST_STREAM:
            self._retire()
        if self._first_block:
            self._first_block = False
            block = NO_TABLE + block
        self.write_headers(stream.identifier, block, end)
        if end:
            stream.local_ended = True

    def finished(self, stream: ClientStream) -> None:
        """
        A response is complete.
        """
        self.served = True
        stream.remote_ended = True
        if stream.local_ended:
            self.forget(stream)
        else:
            self.reset(stream, NO_ERROR)

    def local_end(self, stream: Http2Stream) -> None:
        """
        See L{Http2Connection.local_end}: the response is still to come.
        """

    def forget(self, stream: Http2Stream) -> None:
        """
        See L{Http2Connection.forget}.
        """
        if self.streams.get(stream.number) is not stream:
            return
        super().forget(stream)
        self.load -= 1
        if self.usable:
            self._owner.released(self)
        elif not self.streams and not self.closed:
            self.end()

    def _end_streams(self) -> None:
        streams = list(self.streams.values())
        self.streams.clear()
        self._waiting.clear()
        self._retire()
        for stream in streams:
            stream.drop()
            if isinstance(stream, ClientStream):
                stream.lost()

    # Reading.

    def _is_idle(self, number: int) -> bool:
        return number >= self._next or not number & 1

    def _take_block(self, number: int, block: bytes, end: bool) -> None:
        stream = self.streams.get(number)
        if stream is None or stream.remote_ended:
            self.decode(block)
            self._stray(number, stream)
            return
        self.useful()
        try:
            stream.headers_received(block, end)
        except StreamFault as fault:
            self._end_faulty(stream, fault)

    def read_head(self, block: bytes) -> ResponseHead:
        """
        The head that a block holds.
        """
        head = self._heads.get(block)
        if head is None:
            entries = self.decode(block)
            try:
                if self._decoder.oversized:
                    raise MalformedError("the section is too large")
                head = self._reader.head(entries)
            except MalformedError as error:
                raise StreamFault(PROTOCOL_ERROR, str(error)) from None
            if self.repeatable and len(block) <= _KEPT_BLOCK:
                if len(self._heads) >= _KEPT_SECTIONS:
                    self._heads.clear()
                self._heads[block] = head
        return head

    def read_trailers(self, block: bytes) -> bytes:
        """
        The trailer lines that a block holds.
        """
        lines = self._trailers.get(block)
        if lines is None:
            entries = self.decode(block)
            try:
                if self._decoder.oversized:
                    raise MalformedError("the section is too large")
                lines = self._reader.trailers(entries)
            except MalformedError as error:
                raise StreamFault(PROTOCOL_ERROR, str(error)) from None
            if self.repeatable and len(block) <= _KEPT_BLOCK:
                if len(self._trailers) >= _KEPT_SECTIONS:
                    self._trailers.clear()
                self._trailers[block] = lines
        return lines

    def _forget_blocks(self) -> None:
        self._heads.clear()
        self._trailers.clear()

    def hold_head(self, stream: ClientStream) -> None:
        """
        Wait for what comes with a head in the same read.
        """
        self._with_heads.append(stream)

    def _read_through(self) -> None:
        if self._with_heads:
            streams, self._with_heads = self._with_heads, []
            for stream in streams:
                stream.deliver_head()

    def _check_push(self, value: int) -> None:
        if value:
            raise ConnectionFault(PROTOCOL_ERROR, "a server says that it takes pushes")

    def _settings_acknowledged(self) -> None:
        super()._settings_acknowledged()
        self._owner.released(self)

    def _count_reset(self) -> None:
        """
        See L{Http2Connection._count_reset}: an instance breaks off what it was asked for, and that is its right.
        """

    def goaway_received(self, last: int, code: int) -> None:
        """
        See L{Http2Connection.goaway_received}.
        """
        self._retire()
        # The first of two steps concerns no stream: what is on its way is still taken.
        for stream in [stream for number, stream in self.streams.items() if number > last]:
            self.streams.pop(stream.number)
            self._waiting.pop(stream.number, None)
            self.load -= 1
            stream.drop()
            if isinstance(stream, ClientStream):
                stream.refused()
        if not self.streams:
            self.end()

    # Ends.

    def _retire(self) -> None:
        if self.usable:
            self.usable = False
            self._owner.retired(self)

    def retire(self) -> None:
        """
        Take no more streams, and close when those that are open are over.
        """
        self._retire()
        if not self.streams and not self.closed:
            self.write_goaway(0, NO_ERROR)
            self.end()

    def connection_lost(self) -> None:
        """
        See L{Http2Connection.connection_lost}.
        """
        super().connection_lost()
        self._owner.forget_connection(self)

    def deadline_passed(self) -> None:
        """
        End what takes too long.
        """
        now = self.now
        if self.closed:
            self.transport.abortConnection()
            return
        if self._block is not None and self._block_since + _BLOCK_SECONDS <= now:
            self.fail(PROTOCOL_ERROR, "a header block does not end in time")
            return
        if not self.streams and self._block is None:
            self.deadline = NEVER
            return
        for stream in list(self.streams.values()):
            if stream.deadline <= now and isinstance(stream, ClientStream):
                stream.deadline_passed()
