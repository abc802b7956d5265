"""
What streams of both roles have in common (RFC 9113 sections 5.1 and 5.2).

What a stream has to send goes out at once while the windows and the transport allow it; the rest waits in the stream,
in order, and whoever makes more is asked to pause. What comes is passed on at once; how much more may come is said when
it has been, so that a reader who pauses holds back its own stream and no other.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from siger.http.deadlines import NEVER
from siger.http.h2.constants import (
    FLOW_CONTROL_ERROR,
    LARGEST_WINDOW,
    PROTOCOL_ERROR,
)
from siger.http.h2.errors import StreamFault

if TYPE_CHECKING:
    from siger.http.h2.connection import Http2Connection

__all__ = ["Http2Stream"]

_MUCH: Final = 65536


class Http2Stream:
    """
    The state of one stream.

    @ivar number: its identifier.
    @ivar identifier: the same as four bytes, for frames.
    @ivar local_ended: this end has sent its last frame, or has nothing more to do with the stream.
    @ivar remote_ended: the peer has sent its last frame.
    @ivar send_window: how much the peer takes, as far as this stream is concerned.
    @ivar queued: bytes that wait to be sent.
    @ivar deadline: when to give up waiting; see L{siger.http.deadlines}.
    @ivar stalled_since: since when the peer has taken nothing of what waits; L{NEVER} while nothing waits.
    """

    __slots__ = (
        "_expected",
        "_held",
        "_owed",
        "_paused",
        "_queue",
        "_queue_end",
        "_queue_trailers",
        "_receive_window",
        "_sent",
        "connection",
        "deadline",
        "identifier",
        "local_ended",
        "number",
        "queued",
        "remote_ended",
        "send_window",
        "stalled_since",
    )

    def __init__(self, connection: Http2Connection) -> None:
        self.connection = connection
        self.number = 0
        self.identifier = b""
        self.local_ended = False
        self.remote_ended = False
        self.send_window = connection.peer_window
        self.queued = 0
        self.deadline = NEVER
        self.stalled_since = NEVER
        self._receive_window = connection.stream_window
        self._owed = 0
        self._held = 0
        self._paused = False
        self._expected = -1
        self._queue: deque[bytes] | None = None
        self._queue_end = False
        self._queue_trailers = b""
        self._sent = 0

    # What arrives.

    def headers_received(self, block: bytes, end: bool) -> None:
        """
        A header or trailer section has come on a stream that is open.
        """
        raise NotImplementedError

    def payload_received(self, data: bytes, end: bool) -> None:
        """
        Some of the body has come; C{data} is empty only at its end.
        """
        raise NotImplementedError

    def reset_received(self, code: int) -> None:
        """
        The peer has ended the stream, and this end of it is closed by now.
        """
        raise NotImplementedError

    def fail(self, fault: StreamFault) -> None:
        """
        The peer did something that the stream does not survive; it has been told, and this end is closed by now.
        """
        raise NotImplementedError

    def data_received(self, data: bytes, size: int, end: bool) -> None:
        """
        Take the payload of a DATA frame.

        @param size: what it counts for in windows, padding included.
        @raise StreamFault: it is more than the window or the declared length allow.
        """
        self._receive_window -= size
        if self._receive_window < 0:
            raise StreamFault(FLOW_CONTROL_ERROR, "more data than the stream's window allows")
        if self._expected >= 0:
            self._expected -= len(data)
            if self._expected < 0 or (end and self._expected):
                raise StreamFault(PROTOCOL_ERROR, "the body's length is not what Content-Length says")
        if end:
            self._receiving_over()
        elif self._paused:
            self._held += size
            self.connection.hold(size)
        else:
            self._owe(size)
        if data or end:
            self.payload_received(data, end)

    def end_of_body(self) -> None:
        """
        The body ends with a section of trailers, or before it began.

        @raise StreamFault: the declared length says that there is more.
        """
        self._receiving_over()
        if self._expected > 0:
            raise StreamFault(PROTOCOL_ERROR, "the body's length is not what Content-Length says")

    def _receiving_over(self) -> None:
        # Nothing more can come, so nothing has to be held back.
        self.remote_ended = True
        self._paused = False
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, 0
        if held:
            self.connection.release(held)

    def _owe(self, size: int) -> None:
        # Small amounts are not worth a frame.
        self._owed += size
        if self._owed >= self.connection.stream_window >> 1:
            self._give_credit()

    def _give_credit(self) -> None:
        owed, self._owed = self._owed, 0
        self._receive_window += owed
        self.connection.write_window_update(self.identifier, owed)

    def pause_receiving(self) -> None:
        """
        Let no more come than the window allows already.
        """
        self._paused = True

    def resume_receiving(self) -> None:
        """
        Let it come again.
        """
        self._paused = False
        held = self._held
        if held:
            self._release()
            if not self.remote_ended:
                self._owe(held)

    @property
    def local_gone(self) -> bool:
        """
        Whether the connection knows the stream no more.
        """
        return self.local_ended and self.remote_ended

    # What is sent.

    def send(self, data: bytes, end: bool) -> None:
        """
        Send some of a body, now or when the peer lets it.

        @param end: it ends this side of the stream.
        """
        connection = self.connection
        size = len(data)
        if (
            not self.queued
            and size <= self.send_window
            and size <= connection.send_window
            and size <= connection.peer_max_frame
            and not connection.choked
        ):
            self.send_window -= size
            connection.send_window -= size
            connection.write_data(self.identifier, data, end)
            connection.useful()
            if end:
                self._sent_all()
            return
        if self._queue is None:
            self._queue = deque()
        self._queue.append(data)
        self._queue_end = end
        self.queued += size
        if self.stalled_since == NEVER:
            self.stalled_since = connection.now
        self.pump(LARGEST_WINDOW)
        if self.queued:
            connection.await_room(self)
            self.sending_paused()

    def finish(self, trailers: bytes) -> None:
        """
        End this side of the stream, after what waits.

        @param trailers: a packed section, or C{b""} for none.
        """
        if self.queued:
            self._queue_end = True
            self._queue_trailers = trailers
        else:
            self._finish(trailers)

    def _finish(self, trailers: bytes) -> None:
        if trailers:
            self.connection.write_headers(self.identifier, trailers, True)
        else:
            self.connection.write_data(self.identifier, b"", True)
        self._sent_all()

    def pump(self, most: int) -> None:
        """
        Send what waits, as far as the windows and the transport allow.

        @param most: bytes after which others have their turn.
        """
        connection = self.connection
        queue = self._queue
        while queue and not connection.choked:
            room = min(most, self.send_window, connection.send_window, connection.peer_max_frame)
            if room <= 0:
                return
            data = self._next_piece(queue, room)
            size = len(data)
            most -= size
            self.queued -= size
            self.send_window -= size
            connection.send_window -= size
            self.stalled_since = connection.progressed = connection.now
            last = not queue and self._queue_end and not self._queue_trailers
            connection.write_data(self.identifier, data, last)
            connection.useful()
            if connection.gathered >= _MUCH:
                connection.flush()  # which tells whether the transport takes more
            if last:
                self._sent_all()
        if not queue:
            self.stalled_since = NEVER
            if self._queue_end and self._queue_trailers and not self.local_ended:
                self._finish(self._queue_trailers)

    def _next_piece(self, queue: deque[bytes], room: int) -> bytes:
        # The first piece, or so much of it as there is room for. What was sent of a large one is not cut off each time.
        data = queue[0]
        begin = self._sent
        end = begin + room
        if end < len(data):
            self._sent = end
            return data[begin:end]
        queue.popleft()
        self._sent = 0
        return data[begin:] if begin else data

    def window_updated(self, increment: int) -> None:
        """
        The peer takes more.

        @raise StreamFault: than there can be.
        """
        self.send_window += increment
        if self.send_window > LARGEST_WINDOW:
            raise StreamFault(FLOW_CONTROL_ERROR, "the stream's window is too large")
        if self.queued:
            self.pump(LARGEST_WINDOW)
            if not self.queued:
                self.connection.found_room(self)
                self.sending_resumed()

    def drop(self) -> None:
        """
        Forget what waits, and what the peer is owed: the stream is over.
        """
        self.local_ended = self.remote_ended = True
        self._queue = None
        self.queued = 0
        self.stalled_since = NEVER
        self._release()

    def sending_paused(self) -> None:
        """
        The peer takes less than there is.
        """
        raise NotImplementedError

    def sending_resumed(self) -> None:
        """
        Nothing waits any more.
        """
        raise NotImplementedError

    def _sent_all(self) -> None:
        self.local_ended = True
        self.connection.local_end(self)
