"""
The way out: producers, who are told when to write.
"""

from __future__ import annotations

from typing import Any

from siger.transports.writing import HIGH_WATER, Writing

__all__ = ["Producing"]


class Producing(Writing):
    """
    A connection that a producer may feed.

    @ivar producer: who is to be told to pause and resume, or C{None}.
    @ivar streamingProducer: whether that pushes (and may be paused) or is pulled.
    @ivar producerPaused: whether a pushing one was told to pause.
    @ivar _buffer_size: how much may be queued, where the application has said so.
    """

    producer: Any = None
    streamingProducer = False
    producerPaused = False

    _buffer_size: int | None = None

    @property
    def bufferSize(self) -> int:
        """
        How much may be queued before a push producer is paused.

        Once assigned, what is written in one call counts as queued at first, as it does on Twisted's own transports.
        """
        return HIGH_WATER if self._buffer_size is None else self._buffer_size

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        self._buffer_size = size
        self._watch()

    def _watch(self) -> None:
        """
        Watch each write where uvloop's marks are not enough: pulled producers wait for each to be sent.
        """
        watched = self.producer is not None and (not self.streamingProducer or self._buffer_size is not None)
        if watched != self._watched:
            self._watched = watched
            if self._open:
                self._bind()
        if not self._awaiting_flush:
            self._set_high_mark(self._buffer_size)

    # Registration

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
        self._watch()
        if not streaming:
            producer.resumeProducing()
            # If anything was written just before, which cannot be known, that makes for another call when it is sent.
            self._await_flush()
        elif self._blocked:
            self._pause_producer()

    def unregisterProducer(self) -> None:
        """
        Forget the producer, and do what was put off until it is finished.
        """
        if self.producer is None:
            return  # then nothing was put off
        self.producer = None
        if self.connected:
            self._watch()
            self._producer_finished()

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

    def _producer_finished(self) -> None:
        """
        Do what was put off.
        """
        raise NotImplementedError

    # Pauses

    def pause_writing(self) -> None:
        """
        uvloop has more queued than the high-water mark.
        """
        self._blocked = True
        if self.producer is not None and self.streamingProducer:
            self._pause_producer()

    def resume_writing(self) -> None:
        """
        uvloop has little queued any more: nothing, if that is what we wait for.
        """
        self._blocked = False
        if self._awaiting_flush:
            self._flushed()
        elif self.producerPaused:
            self._resume_producer()

    def _written(self, size: int) -> None:
        """
        Pause a push producer that wrote too much in one call; and have it, or a pulled one, resumed once that is sent.
        """
        if self.producer is None:
            return
        if self.streamingProducer:
            if size <= self.bufferSize:
                return
            self._pause_producer()
        self._await_flush()

    def _flushed(self) -> None:
        """
        Let the producer go on.
        """
        super()._flushed()
        self._set_high_mark(self._buffer_size)
        if self.producer is not None and (self.producerPaused or not self.streamingProducer):
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
        Resume the producer, or pull.
        """
        self.producerPaused = False
        if self.producer is not None:
            self.producer.resumeProducing()
