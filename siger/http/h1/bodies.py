"""
What comes behind a head: bodies of requests, read as fast as they are wanted, and no slower than is allowed.
"""

from __future__ import annotations

from typing import Final

from siger.errors import Reason
from siger.http.body import BodyError, ChunkedDecoder, LengthDecoder
from siger.http.context import ChannelContext
from siger.http.h1.responses import Responses
from siger.http.h1.states import BODY, DRAIN, TUNNEL, WAIT
from siger.http.transport import Transport

__all__ = ["RequestBodies"]

_RATE_GRACE: Final = 5.0
"""Seconds for which no rate is asked of a body, at its beginning and after each pause."""


class RequestBodies(Responses):
    """
    A connection that reads bodies: the rest of L{siger.http.stream.Stream}.

    A body ends once, whole or failed, for the exchange that answers its request; a response that ends first leaves it
    none, and the rest is dropped. The clock runs only while the gateway is ready to read.
    """

    __slots__ = ("_body_due",)

    def __init__(self, context: ChannelContext, transport: Transport, peer: bytes, secure: bool) -> None:
        super().__init__(context, transport, peer, secure)
        self._body_due = 0.0

    def _expect_body(self, decoder: LengthDecoder | ChunkedDecoder, expects_continue: bool) -> None:
        self._decoder = decoder
        self._expects_continue = expects_continue
        self._state = BODY
        self._body_due = 0.0
        self.deadline = self._context.deadlines.now + self._context.limits.body_timeout

    def _read_body(self, data: bytes) -> bytes:
        # Returns what follows the body.
        decoder = self._decoder
        if decoder is None:
            return b""
        try:
            payload, rest = decoder.feed(data)
        except BodyError:
            self._fail_body(Reason.INVALID_FRAMING)
            return b""
        if self._state == DRAIN:
            self._drain_left -= len(payload)
            if self._drain_left < 0:
                self._start_linger()
                return b""
        else:
            self._note_progress(len(data))
            if payload and self._exchange is not None:
                self._exchange.body_received(payload)
        if rest is None or self._decoder is None:
            return b""
        self._body_complete(decoder.trailers)
        return rest

    def _note_progress(self, count: int) -> None:
        if self._reading_paused:
            # It was on its way before the pause, which stopped the clock.
            return
        limits = self._context.limits
        now = self._context.deadlines.now
        self.deadline = now + limits.body_timeout
        if limits.min_body_rate:
            if not self._body_due:
                self._body_due = now + _RATE_GRACE
            self._body_due += count / limits.min_body_rate
            self.deadline = min(self.deadline, self._body_due)

    def _body_complete(self, trailers: bytes) -> None:
        self._decoder = None
        if self._state == DRAIN:
            self._next_request()
            return
        self._state = WAIT
        self._await_reader()
        # Who paused the body wanted no more of it; now there is only the client's end to be seen.
        self._resume_reading()
        if self._exchange is not None:
            self._exchange.body_finished(trailers)

    def _fail_body(self, reason: Reason) -> None:
        self._keep = False
        if self._state == DRAIN:
            self._start_linger()
            return
        if self._exchange is not None:
            self._exchange.body_failed(reason)
        if not self._ended:
            self._abort()

    def pause_body(self) -> None:
        """
        See L{siger.http.stream.Stream.pause_body}.
        """
        if self._state == BODY or self._state == TUNNEL:
            self._pause_reading()
            self._await_reader()

    def resume_body(self) -> None:
        """
        See L{siger.http.stream.Stream.resume_body}.
        """
        if self._state == BODY:
            now = self._context.deadlines.now
            self._body_due = max(self._body_due, now + _RATE_GRACE)
            self.deadline = now + self._context.limits.body_timeout
            self._resume_reading()
        elif self._state == TUNNEL:
            self._resume_reading()

    def let_body_rest(self) -> None:
        """
        See L{siger.http.stream.Stream.let_body_rest}: no client that speaks HTTP/1.1 makes calls of that kind.
        """
