"""
HTTP/2 connections to an instance: many exchanges on each, every one on a stream of its own (RFC 9113 section 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.http.deadlines import NEVER
from siger.http.h2.constants import (
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    LARGEST_STREAM,
    LARGEST_WINDOW,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
)
from siger.http.h2.errors import ConnectionFault, StreamFault
from siger.http.h2.response_sections import ResponseSections
from siger.http.h2.responses import ResponseReader
from siger.http.h2.streams import Http2Stream
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.transport import Transport
from siger.proxy.client_stream import ClientStream

if TYPE_CHECKING:
    from siger.proxy.owners import Http2Owner

__all__ = ["UNTOLD_STREAMS", "ClientConnection"]

_STREAM_WINDOW: Final = 1 << 17
_CONNECTION_WINDOW: Final = 1 << 22
_MAX_BLOCK: Final = 65536
_LARGEST_BLOCK: Final = 98304
_MAX_FIELDS: Final = 200
_BLOCK_SECONDS: Final = 10.0
"""How long a header block may take from its first frame to its last."""

# One client that reads slowly must not hold up the others, so nothing that waits slows down a whole connection.
_TERMS: Final = Terms(_STREAM_WINDOW, _CONNECTION_WINDOW, NEVER, _MAX_BLOCK, _MAX_FIELDS)

UNTOLD_STREAMS: Final = 100
"""How many streams are opened before an instance has ever said how many it takes (section 6.5.2)."""


class ClientConnection(ResponseSections):
    """
    One connection to an instance.

    @ivar load: streams that are open on it, or were promised to somebody.
    @ivar served: it has completed a response before.
    @ivar most: how many streams it may have at once: none any more, once it takes no others.
    @ivar usable: it takes more streams.
    """

    __slots__ = (
        "_heard",
        "_max_streams",
        "_next",
        "_owner",
        "_told",
        "_with_heads",
        "load",
        "most",
        "served",
        "usable",
    )

    def __init__(
        self, owner: Http2Owner, transport: Transport, reader: ResponseReader, batch: Batch, max_streams: int
    ) -> None:
        """
        @param max_streams: how many streams it may have, if the instance allows that many.
        """
        super().__init__(batch, transport, owner.deadlines, reader, _TERMS)
        # A section that is too large costs others nothing, unless it is so by far.
        self._max_block = _LARGEST_BLOCK
        self._owner = owner
        self._max_streams = max_streams
        self._next = 1
        self._heard = owner.deadlines.now
        self._with_heads: list[ClientStream] = []
        self._told = False
        self.peer_streams = owner.usual_streams
        self.most = min(max_streams, self.peer_streams)
        self.patient = True
        self.load = 0
        self.served = False
        self.usable = True
        transport.write(PREFACE)
        self._begin({ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: _STREAM_WINDOW, MAX_HEADER_LIST_SIZE: _MAX_BLOCK})

    def __repr__(self) -> str:
        return f"<ClientConnection [{len(self.streams)} streams, {'usable' if self.usable else 'retired'}]>"

    def _set(self, name: int, value: int) -> None:
        super()._set(name, value)
        if name == MAX_CONCURRENT_STREAMS:
            self._told = True
            self._owner.usual_streams = value
            self._settle_most()

    def _settle_most(self) -> None:
        # Rarely, so that nobody who looks for room has to.
        self.most = min(self._max_streams, self.peer_streams) if self.usable else 0

    @property
    def room(self) -> int:
        """
        How many more streams it takes now.
        """
        return self.most - self.load if self.usable else 0

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
        self.streams[number] = stream
        self.deadline = 0.0
        self.useful()
        if self._next > LARGEST_STREAM:
            self._retire()
        self.write_block(stream.identifier, block, end)
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

    def hold_head(self, stream: ClientStream) -> None:
        """
        Wait for what comes with a head in the same read.
        """
        self._with_heads.append(stream)

    def _read_through(self) -> None:
        self._heard = self.now
        if self._with_heads:
            streams, self._with_heads = self._with_heads, []
            for stream in streams:
                stream.deliver_head()

    def _check_push(self, value: int) -> None:
        if value:
            raise ConnectionFault(PROTOCOL_ERROR, "a server says that it takes pushes")

    def _settings_acknowledged(self) -> None:
        if not self._told:
            # It has no limit of its own, whatever an instance at this address once said.
            self._told = True
            self.peer_streams = LARGEST_WINDOW
            self._owner.usual_streams = UNTOLD_STREAMS
            self._settle_most()
        super()._settings_acknowledged()
        self._owner.released(self)

    def _count_reset(self) -> None:
        """
        See L{Http2Connection._count_reset}: an instance breaks off what it was asked for, and that is its right.
        """

    def _charge_stray(self) -> None:
        """
        See L{Http2Connection._charge_stray}: it is clients who leave while an instance has much on its way to them, and
        others who are on the connection, too.
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
            self._settle_most()
            self._owner.retired(self)

    def missed(self, since: float) -> None:
        """
        Something was waited for in vain since then. Where nothing at all has come meanwhile, the instance may be gone
        without a word, and others are not to wait on this connection as well.
        """
        if self._heard <= since:
            self._retire()

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
            self.closing_passed()
            return
        if self._block is not None and self._block_since + _BLOCK_SECONDS <= now:
            self.fail(PROTOCOL_ERROR, "a header block does not end in time")
            return
        if not self.streams and self._block is None:
            self.deadline = NEVER
            return
        for stream in list(self.streams.values()):
            if isinstance(stream, ClientStream):
                stream.look(now)
