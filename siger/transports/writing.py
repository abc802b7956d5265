"""
The way out: uvloop's C{write}.

uvloop sends what the kernel takes at once and queues the rest. Above a high-water mark queued it calls
C{pause_writing}, and once there is little left, C{resume_writing}. Whoever has to know that nothing at all is queued
(a pull producer, a half-close) sets these marks to nothing meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

from siger.transports.pausing import Pausing

__all__ = ["HIGH_WATER", "Sink", "Writing"]

HIGH_WATER = 64 * 1024
"""
How much may be queued before a push producer is paused: uvloop's default, and that of Twisted's own transports.
"""


class Sink:
    """
    Where C{write} and C{writelines} are uvloop's own while a connection is up; these are for the time before and after.
    """

    def write(self, data: bytes) -> None:
        """
        Do nothing: there is no connection yet, or no more.
        """

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """
        Do nothing, likewise.
        """


class Writing(Pausing, Sink):
    """
    A connection that sends.

    @ivar _below: where writes go to the socket once there is TLS above; before, that is this object itself.
    @ivar _open: whether writes reach the socket.
    @ivar _watched: whether L{_written} is to be called for each write.
    @ivar _blocked: whether more is queued than uvloop's high-water mark.
    @ivar _high_mark: what uvloop was told of that mark; C{None} for its default.
    @ivar _awaiting_flush: whether L{_flushed} shall be called once nothing is queued.
    """

    _below: Sink | None = None
    _open = False
    _watched = False
    _blocked = False
    _high_mark: int | None = None
    _awaiting_flush = False

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        Send many pieces in order.

        @raise TypeError: when one of them is not bytes; nothing is sent then.
        """
        pieces = list(iovec)
        for piece in pieces:
            if not isinstance(piece, bytes):
                raise TypeError("Data must be bytes")
        (self._below or self).writelines(pieces)

    @property
    def writing(self) -> bool:
        """
        Whether something is queued that the kernel has not taken.
        """
        return self._uv is not None and not self.disconnected and self._uv.get_write_buffer_size() > 0

    # What write is

    def _bind(self) -> None:
        """
        Make C{write} uvloop's own, or one that tells of each call if somebody has to know.
        """
        assert self._uv is not None
        sink = self._below or self
        if self._watched:
            sink.write = self._watched_write  # type: ignore[method-assign]
            sink.writelines = self._watched_writelines  # type: ignore[method-assign]
        else:
            sink.write = self._uv.write  # type: ignore[method-assign]
            sink.writelines = self._uv.writelines  # type: ignore[method-assign, assignment]
        self._open = True

    def _mute(self) -> None:
        """
        Ignore writes from now on: uvloop would queue them behind a close, or raise.
        """
        if self._open:
            self._open = False
            sink = self._below or self
            del sink.write
            del sink.writelines

    def _watched_write(self, data: bytes) -> None:
        """
        Send, and tell.
        """
        assert self._uv is not None
        self._uv.write(data)
        self._written(len(data))

    def _watched_writelines(self, pieces: Iterable[bytes]) -> None:
        """
        Send many pieces, and tell.
        """
        pieces = list(pieces)
        assert self._uv is not None
        self._uv.writelines(pieces)
        self._written(sum(map(len, pieces)))

    def _written(self, size: int) -> None:
        """
        So much was written in one call.
        """
        raise NotImplementedError

    # When all is sent

    def _set_high_mark(self, high: int | None) -> None:
        """
        Tell uvloop how much queued is too much.
        """
        if high != self._high_mark and self._open:
            assert self._uv is not None
            self._high_mark = high
            self._uv.set_write_buffer_limits(high, 0 if high == 0 else None)

    def _await_flush(self) -> None:
        """
        Have L{_flushed} called once nothing is queued, in a later turn of the loop.
        """
        if self._awaiting_flush:
            return
        self._awaiting_flush = True
        self._set_high_mark(0)
        if not self._blocked:
            self._loop.call_soon(self._flushed_unless_blocked)

    def _flushed_unless_blocked(self) -> None:
        """
        Nothing was queued a turn ago; if something is now, C{resume_writing} will tell.
        """
        if self._awaiting_flush and not self._blocked:
            try:
                self._flushed()
            except BaseException as error:
                self.failed(error)

    def _flushed(self) -> None:
        """
        Nothing is queued.
        """
        self._awaiting_flush = False
