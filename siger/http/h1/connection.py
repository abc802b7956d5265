"""
A connection from a client, whatever is said on it: whether it is read, how long it is waited for, and how it ends
(RFC 9112 section 9).
"""

from __future__ import annotations

from collections.abc import Callable

from siger.http.body import ChunkedDecoder, LengthDecoder
from siger.http.context import ChannelContext
from siger.http.deadlines import NEVER
from siger.http.h1.states import CLOSED, DRAIN_CAP, DRAIN_SECONDS, IDLE, LINGER
from siger.http.transport import Transport, close, half_close, unacknowledged

__all__ = ["Http1Connection"]


class Http1Connection:
    """
    A client's connection.

    Once it lingers or is closed, what comes is dropped.

    @ivar transport: what it is on.
    @ivar peer: the socket's peer address as text, without port.
    @ivar secure: whether the connection is TLS.
    @ivar deadline: when to give up waiting for the client; see L{siger.http.deadlines}.
    @ivar on_preface: takes over, with what has come, when the client speaks HTTP/2 (RFC 9113 section 3.4); C{None}
        where that is not spoken.
    """

    __slots__ = (
        "_buffer",
        "_context",
        "_decoder",
        "_drain_left",
        "_keep",
        "_read_ended",
        "_reading_paused",
        "_state",
        "_unacknowledged",
        "_write_paused",
        "deadline",
        "on_preface",
        "peer",
        "secure",
        "transport",
    )

    def __init__(self, context: ChannelContext, transport: Transport, peer: bytes, secure: bool) -> None:
        self._context = context
        self.transport = transport
        self.peer = peer
        self.secure = secure
        self.deadline = NEVER
        self.on_preface: Callable[[bytes], None] | None = None
        self._state = IDLE
        # Another request may follow.
        self._keep = True
        # What came before its turn, and what reads the rest of a body, if there is one.
        self._buffer = b""
        self._decoder: LengthDecoder | ChunkedDecoder | None = None
        self._drain_left = 0
        self._read_ended = False
        self._reading_paused = False
        self._write_paused = False
        self._unacknowledged = -1

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

    # Ends.

    def _drop_input(self, state: int) -> None:
        # C{DRAIN} or C{LINGER}.
        self._state = state
        self._drain_left = DRAIN_CAP
        self.deadline = self._context.deadlines.now + DRAIN_SECONDS
        self._resume_reading()

    def _start_linger(self) -> None:
        self._buffer = b""
        self._decoder = None
        self._unacknowledged = -1
        self._drop_input(LINGER)
        if self._read_ended or not half_close(self.transport):
            self._close()

    def _linger(self, count: int) -> None:
        self._drain_left -= count
        if self._drain_left < 0:
            self._abort()

    def _close(self) -> None:
        self._state = CLOSED
        self._buffer = b""
        self._decoder = None
        self.deadline = self._context.deadlines.now + self._context.limits.write_timeout
        close(self.transport)

    def _abort(self) -> None:
        self._state = CLOSED
        self._buffer = b""
        self._decoder = None
        self.transport.abortConnection()

    def _leave(self) -> None:
        # Whether the connection is gone, or goes on without this one. What refers to whoever has this one would keep
        # both until the next collection of garbage.
        self._state = CLOSED
        self.deadline = NEVER
        self.on_preface = None
        self._context.channels.discard(self)
        self._context.deadlines.discard(self)

    def drain(self, idle: bool) -> None:
        """
        Keep the connection for no further request.

        @param idle: close it now if no request is in progress on it.
        """
        if idle and (self._state == LINGER or (self._state == IDLE and not self._buffer)):
            self._close()
        self._keep = False

    def deadline_passed(self) -> None:
        """
        The client took too long.
        """
        raise NotImplementedError

    def _reader_late(self) -> None:
        # Who has not read everything gets more time as long as it reads.
        if self._still_reading():
            more = DRAIN_SECONDS if self._state == LINGER else self._context.limits.write_timeout
            self.deadline = self._context.deadlines.now + more
        else:
            self._abort()

    def _still_reading(self) -> bool:
        before, self._unacknowledged = self._unacknowledged, unacknowledged(self.transport)
        # Who has read everything, and only does not close, is not waited for.
        least = 1 if self._state == LINGER else 0
        return self._unacknowledged >= least and self._unacknowledged != before
