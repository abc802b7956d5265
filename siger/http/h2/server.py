"""
HTTP/2 connections from clients: each of their streams is a request (RFC 9113 section 8).

A L{ServerStream} offers L{siger.http.stream.Stream} to whatever answers its request, as an HTTP/1.1 channel does, so
everything behind is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.http.fields import HeadError
from siger.http.h2.constants import (
    DEFAULT_WINDOW,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
)
from siger.http.h2.errors import ConnectionFault, MalformedError, StreamFault
from siger.http.h2.request_sections import RequestSections
from siger.http.h2.requests import RequestReader
from siger.http.h2.server_stream import ServerStream
from siger.http.h2.streams import Http2Stream
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.hpack.encoder import LinePacker
from siger.http.transport import Transport

if TYPE_CHECKING:
    from siger.config.settings.limits import Limits
    from siger.http.context import ChannelContext
    from siger.http.request import RequestHead

__all__ = ["ServerConnection", "ServerContext"]

_CONNECTION_WINDOW: Final = 1 << 20
_LARGEST_HELD: Final = 1 << 20
_PSEUDO_FIELDS: Final = 4
_REMEMBERED_GAPS: Final = 16


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


class ServerConnection(RequestSections):
    """
    A client's connection.

    @ivar peer: the socket's peer address as text, without port.
    @ivar secure: whether the connection is TLS.
    @ivar server: what it shares with other connections of HTTP/2.
    """

    __slots__ = (
        "_preface",
        "_requests",
        "_skipped",
        "peer",
        "secure",
        "server",
    )

    def __init__(
        self, context: ChannelContext, server: ServerContext, transport: Transport, peer: bytes, secure: bool
    ) -> None:
        super().__init__(server.batch, transport, context, server.reader, server.terms)
        self.server = server
        self.peer = peer
        self.secure = secure
        self._preface = b""
        self._requests = 0
        self._skipped: list[tuple[int, int]] = []
        self._begin({MAX_CONCURRENT_STREAMS: server.streams, MAX_HEADER_LIST_SIZE: self.limits.header_bytes})

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
        head = self.known_head(block, end)
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
        try:
            return self.read_head(block, end)
        except MalformedError as malformed:
            self.remember(stream.number)
            self.write_reset(stream.identifier, PROTOCOL_ERROR)
            stream.drop()  # an answer goes nowhere, but it is told that there was a request
            stream.refuse(HeadError(Reason.MALFORMED_REQUEST, str(malformed)))
            self._count_reset()
        except HeadError as error:
            self._open(stream)
            stream.refuse(error)
        return None

    def goaway_received(self, last: int, code: int) -> None:
        """
        See L{Http2Connection.goaway_received}: this end opens no streams. The client opens no more either.
        """

    # Sending.

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
