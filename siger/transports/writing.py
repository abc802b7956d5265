"""
The way out: uvloop's C{write}, and the producers that are told when to pause.

uvloop sends what the kernel takes at once and queues the rest. Above 64 KiB queued it calls C{pause_writing}, and once the
kernel has taken all, C{resume_writing}: that is what a push producer needs. Whoever has to know that nothing at all is
queued (a pull producer, a half-close) sets these marks to nothing meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol

from siger.transports.reading import Reading

__all__ = ["HIGH_WATER", "Writing"]

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


class Writing(Reading, Sink):
    """
    The half of a connection that sends.

    @ivar producer: who is to be told to pause and resume, or C{None}.
    @ivar streamingProducer: whether that pushes (and may be paused) or is pulled.
    @ivar _sink: whose C{write} goes to the socket: this connection's, or with TLS that of the layer below.
    @ivar _open: whether writes reach the socket.
    @ivar _high_mark: what uvloop was told of its high-water mark; C{None} for its default.
    @ivar _blocked: whether more is queued than uvloop's high-water mark.
    @ivar _awaiting_flush: whether L{_flushed} shall be called once nothing is queued.
    @ivar _half_closing: whether the application asked to close this half.
    @ivar _half_closed: whether that is done.
    """

    producer: Any = None
    streamingProducer = False
    producerPaused = False

    _sink: Sink
    _open = False
    _buffer_size: int | None = None
    _high_mark: int | None = None
    _blocked = False
    _awaiting_flush = False
    _half_closing = False
    _half_closed = False

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        Send many pieces in order.

        @raise TypeError: when one of them is not bytes; nothing is sent then.
        """
        pieces = list(iovec)
        for piece in pieces:
            if not isinstance(piece, bytes):
                raise TypeError("Data must be bytes")
        self._sink.writelines(pieces)

    @property
    def writing(self) -> bool:
        """
        Whether something is queued that the kernel has not taken.
        """
        return self._uv is not None and not self.disconnected and self._uv.get_write_buffer_size() > 0

    # What write is

    def _bind(self) -> None:
        """
        Make C{write} what the moment asks for: uvloop's own, as long as nobody has to be told of each call.
        """
        assert self._uv is not None
        watched = self.producer is not None and (not self.streamingProducer or self._buffer_size is not None)
        sink = self._sink
        sink.write = self._watched_write if watched else self._uv.write  # type: ignore[method-assign]
        sink.writelines = self._watched_writelines if watched else self._uv.writelines  # type: ignore[method-assign]
        self._open = True
        self._set_marks()

    def _mute(self) -> None:
        """
        Ignore writes from now on: uvloop would queue them behind a close, or raise.
        """
        if self._open:
            self._open = False
            del self._sink.write
            del self._sink.writelines

    def _set_marks(self) -> None:
        """
        Have uvloop tell when something is queued at all, or when it is too much.
        """
        exact = self._awaiting_flush or (self.producer is not None and not self.streamingProducer)
        high = 0 if exact else self._buffer_size
        if high != self._high_mark:
            assert self._uv is not None
            self._high_mark = high
            self._uv.set_write_buffer_limits(high, 0 if exact else None)

    @property
    def bufferSize(self) -> int:
        """
        How much may be queued before a push producer is paused.

        Once assigned, what is written in one turn of the loop counts as queued, as it is on Twisted's transports.
        """
        return HIGH_WATER if self._buffer_size is None else self._buffer_size

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        self._buffer_size = size
        if self._open:
            self._bind()

    # Producers

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Let C{producer} be paused and resumed (C{streaming}), or pulled, as the peer reads.

        @raise RuntimeError: when there is one already.
        """
        if self.producer is not None:
            raise RuntimeError(f"Cannot register {producer}: {self.producer} was never unregistered.")
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = streaming
        self.producerPaused = False
        if self._open:
            self._bind()
        if not streaming:
            producer.resumeProducing()
            # Whether something was written just before cannot be known; that would make for another call.
            self._await_flush()
        elif self._blocked:
            self._pause_producer()

    def unregisterProducer(self) -> None:
        """
        Forget the producer, and do what was put off until it is finished.
        """
        self.producer = None
        if not self.connected:
            return
        if self._open:
            self._bind()
        if self.disconnecting:
            self._close()
        elif self._half_closing:
            self._await_flush()

    def stopConsuming(self) -> None:
        """
        Forget the producer and close.
        """
        self.unregisterProducer()
        self.loseConnection()

    def loseConnection(self) -> None:
        """
        Close once everything is sent and the producer, if any, is finished.
        """
        raise NotImplementedError

    def _close(self) -> None:
        """
        Close once everything is sent.
        """
        raise NotImplementedError

    def pause_writing(self) -> None:
        """
        uvloop has more queued than the high-water mark.
        """
        self._blocked = True
        if self.producer is not None and self.streamingProducer:
            self._pause_producer()

    def resume_writing(self) -> None:
        """
        uvloop has nothing queued any more.
        """
        self._blocked = False
        if self._awaiting_flush:
            self._flushed()
        elif self.producerPaused:
            self._resume_producer()

    def _pause_producer(self) -> None:
        """
        Pause a push producer, once.
        """
        if not self.producerPaused:
            self.producerPaused = True
            self.producer.pauseProducing()

    def _resume_producer(self) -> None:
        """
        Resume the producer.
        """
        self.producerPaused = False
        if self.producer is not None:
            self.producer.resumeProducing()

    # Watched writes

    def _watched_write(self, data: bytes) -> None:
        """
        Send for a producer that has to be told when this has gone out.
        """
        assert self._uv is not None
        self._uv.write(data)
        self._written(len(data))

    def _watched_writelines(self, pieces: Iterable[bytes]) -> None:
        """
        Send many pieces, likewise.
        """
        assert self._uv is not None
        pieces = list(pieces)
        self._uv.writelines(pieces)
        self._written(sum(map(len, pieces)))

    def _written(self, size: int) -> None:
        """
        Pause a push producer that wrote too much in one go; and wait until all has gone out.
        """
        if self.producer is None:
            return
        if self.streamingProducer:
            if size <= self.bufferSize:
                return
            self._pause_producer()
        self._await_flush()

    def _await_flush(self) -> None:
        """
        Have L{_flushed} called once nothing is queued, in a later turn of the loop.
        """
        if self._awaiting_flush:
            return
        self._awaiting_flush = True
        self._set_marks()
        if not self._blocked:
            self._loop.call_soon(self._flushed_unless_blocked)

    def _flushed_unless_blocked(self) -> None:
        """
        Nothing was queued a turn ago; if something is now, L{resume_writing} will tell.
        """
        if self._awaiting_flush and not self._blocked:
            try:
                self._flushed()
            except BaseException as error:
                self.failed(error)

    def _flushed(self) -> None:
        """
        Nothing is queued: go on with what waits for that.
        """
        self._awaiting_flush = False
        if self.disconnected:
            return
        if self._open:
            self._set_marks()
        if self.producer is not None:
            if self.producerPaused or not self.streamingProducer:
                self._resume_producer()
        elif self._half_closing and not self._half_closed:
            self._close_half()

    # Half-close

    def loseWriteConnection(self) -> None:
        """
        Close this half once everything is sent and the producer, if any, is finished; go on reading.
        """
        if not self.connected or self.disconnecting or self._half_closing:
            return
        self._half_closing = True
        if self.producer is None:
            self._await_flush()

    def _close_half(self) -> None:
        """
        End what the peer reads.
        """
        if self.disconnecting or not self._open:
            return
        self._half_closed = True
        self._mute()
        assert self._uv is not None
        self._uv.write_eof()
        half_closeable = IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is not None:
            half_closeable.writeConnectionLost()
