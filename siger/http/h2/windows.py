"""
How much each end of a connection may send (RFC 9113 sections 5.2 and 6.9).
"""

from __future__ import annotations

from typing import Final

from siger.http.deadlines import Deadlines
from siger.http.h2.constants import (
    DEFAULT_WINDOW,
    FLOW_CONTROL_ERROR,
    LARGEST_WINDOW,
    PROTOCOL_ERROR,
)
from siger.http.h2.errors import ConnectionFault
from siger.http.h2.streams import Http2Stream
from siger.http.h2.table import StreamTable
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.transport import Transport

__all__ = ["Windows"]

_WHOLE: Final = b"\0\0\0\0"
"""The identifier of the connection itself."""


class Windows(StreamTable):
    """
    A connection that controls its flow.

    @ivar send_window: how much the peer takes, on all streams together.
    @ivar peer_window: what the send window of a new stream begins with.
    @ivar stream_window: what the receive window of a new stream begins with.
    @ivar closed: nothing more is read.
    @ivar progressed: when some of what waited was sent last, of any stream.
    """

    __slots__ = (
        "_connection_window",
        "_held",
        "_largest_held",
        "_owed",
        "_receive_window",
        "_waiting",
        "closed",
        "peer_window",
        "progressed",
        "send_window",
        "stream_window",
    )

    def __init__(self, batch: Batch, transport: Transport, deadlines: Deadlines, terms: Terms) -> None:
        super().__init__(batch, transport, deadlines)
        self.closed = False
        self.progressed = deadlines.now
        self.send_window = DEFAULT_WINDOW
        self.peer_window = DEFAULT_WINDOW
        self.stream_window = terms.stream_window
        self._connection_window = terms.connection_window
        self._receive_window = terms.connection_window
        self._owed = 0
        self._held = 0
        self._largest_held = terms.largest_held
        self._waiting: dict[int, Http2Stream] = {}

    def _open_window(self) -> None:
        self.write_window_update(_WHOLE, self._connection_window - DEFAULT_WINDOW)

    def _received(self, size: int) -> None:
        # So much came in a frame of DATA.
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        if size:
            self._owe(size)

    def _owe(self, size: int) -> None:
        # Credit for the whole connection is returned at once: a paused reader holds back its own stream. But what
        # all of them hold together is bounded.
        self._owed += size
        if self._owed >= self._connection_window >> 1 and self._held <= self._largest_held:
            owed, self._owed = self._owed, 0
            self._receive_window += owed
            self.write_window_update(_WHOLE, owed)

    def hold(self, size: int) -> None:
        """
        A paused reader has so much more that waits for it.
        """
        self._held += size

    def release(self, size: int) -> None:
        """
        It does not wait any more.
        """
        self._held -= size
        if not self.closed:
            self._owe(0)

    def _window_updated(self, increment: int) -> None:
        if not increment:
            raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        self.send_window += increment
        if self.send_window > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "the connection's window is too large")
        self.pump()

    def _set_peer_window(self, value: int) -> None:
        # Section 6.9.2: it changes the windows of streams that are open too, which may become negative.
        change = value - self.peer_window
        self.peer_window = value
        for stream in self.streams.values():
            stream.send_window += change
            if stream.send_window > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "a stream's window is too large")

    def await_room(self, stream: Http2Stream) -> None:
        """
        This stream has something to send for which there is no room now.
        """
        self._waiting[stream.number] = stream

    def found_room(self, stream: Http2Stream) -> None:
        """
        All of it was sent.
        """
        self._waiting.pop(stream.number, None)

    def pump(self) -> None:
        """
        Send what waits, a frame of each stream in turn.
        """
        waiting = self._waiting
        while waiting and self.send_window > 0 and not self.choked:
            before = self.send_window
            for stream in list(waiting.values()):
                queued = stream.queued
                stream.pump(self.peer_max_frame)
                if not stream.queued:
                    self.found_room(stream)
                    stream.sending_resumed()
                elif stream.queued < queued:
                    # Where there is room for a few only, the next time it is the others' turn.
                    self.found_room(stream)
                    self.await_room(stream)
            if self.send_window == before:
                return  # those that are left wait for windows of their own

    def writing_paused(self) -> None:
        """
        The transport holds more than it should: the peer reads slowly.
        """
        self.choked = True

    def writing_resumed(self) -> None:
        """
        The transport can take more.
        """
        self.choked = False
        self._unread = 0
        self._batch.enter()
        try:
            self.pump()
        finally:
            self._batch.leave()

    def forget(self, stream: Http2Stream) -> None:
        """
        See L{StreamTable.forget}.
        """
        super().forget(stream)
        self._waiting.pop(stream.number, None)
