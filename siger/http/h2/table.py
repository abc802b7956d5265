"""
The streams of a connection, from their beginning to their end (RFC 9113 section 5.1).
"""

from __future__ import annotations

from typing import Final

from siger.http.deadlines import Deadlines
from siger.http.h2.constants import (
    LARGEST_WINDOW,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
)
from siger.http.h2.costs import Costs
from siger.http.h2.errors import ConnectionFault, StreamFault
from siger.http.h2.streams import Http2Stream
from siger.http.h2.writing import Batch
from siger.http.transport import Transport

__all__ = ["StreamTable"]

_REMEMBERED: Final = 256
"""
Streams that this end has reset, and on which frames may still be on their way. Of those before them nobody knows, so
they get the benefit of the doubt.
"""


class StreamTable(Costs):
    """
    A connection that knows its streams.

    @ivar streams: those that are not over, by identifier.
    @ivar goaway_last: the last stream of the peer's that is dealt with.
    """

    __slots__ = (
        "_forgotten",
        "_highest",
        "_reset_streams",
        "goaway_last",
        "streams",
    )

    def __init__(self, batch: Batch, transport: Transport, deadlines: Deadlines) -> None:
        super().__init__(batch, transport, deadlines)
        self.streams: dict[int, Http2Stream] = {}
        self.goaway_last = LARGEST_WINDOW
        self._highest = 0
        self._reset_streams: dict[int, None] = {}
        self._forgotten = 0

    def _is_idle(self, number: int) -> bool:
        """
        Whether nobody has opened this stream yet.
        """
        raise NotImplementedError

    def _stray(self, number: int, stream: Http2Stream | None) -> None:
        # Something came that belongs to a stream on which nothing should come (section 5.1).
        self._charge_stray()
        if stream is not None:
            self._end_faulty(stream, StreamFault(STREAM_CLOSED, "a frame on a stream that the peer has ended"))
        elif self._is_idle(number):
            raise ConnectionFault(PROTOCOL_ERROR, "a frame on a stream that was never opened")
        elif number not in self._reset_streams and self._forgotten < number <= self.goaway_last:
            raise ConnectionFault(STREAM_CLOSED, "a frame on a stream that is closed")

    def _charge_stray(self) -> None:
        """
        A frame came to nothing.
        """
        self._charge(1)

    def _end_faulty(self, stream: Http2Stream, fault: StreamFault) -> None:
        # An error of the peer's counts like a reset of its own: it is just as cheap to make.
        self.reset(stream, fault.code)
        stream.fail(fault)
        self._count_reset()

    def reset(self, stream: Http2Stream, code: int) -> None:
        """
        End a stream at once.
        """
        stream.drop()
        if self.streams.get(stream.number) is not stream:
            return
        self.remember(stream.number)
        self.write_reset(stream.identifier, code)
        self.forget(stream)

    def remember(self, number: int) -> None:
        """
        Frames on this stream may still be on their way, and are to be ignored.
        """
        known = self._reset_streams
        known[number] = None
        if len(known) > _REMEMBERED:
            oldest = next(iter(known))
            del known[oldest]
            self._forgotten = max(self._forgotten, oldest)

    def local_end(self, stream: Http2Stream) -> None:
        """
        This end of the stream has sent all that it will.
        """
        raise NotImplementedError

    def forget(self, stream: Http2Stream) -> None:
        """
        The stream is over.
        """
        self.streams.pop(stream.number, None)
