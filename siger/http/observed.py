"""
Watching an exchange that does not report itself: what a local endpoint answered, and to how much.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from siger.errors import Reason
from siger.http.stream import Exchange, Stream

__all__ = ["Observed"]


class Observed:
    """
    Stands between a channel and an exchange: a L{Stream} to the one, an L{Exchange} to the other.

    @ivar status: what was answered; 0 before that.
    @ivar first_byte: when, by C{time.monotonic}.
    @ivar bytes_in: size of the request's body so far.
    @ivar bytes_out: size of the response's body so far.
    @ivar reason: why the gateway answered by itself, or why there was no answer.
    """

    __slots__ = (
        "_exchange",
        "_report",
        "_stream",
        "bytes_in",
        "bytes_out",
        "first_byte",
        "peer",
        "reason",
        "secure",
        "status",
    )

    def __init__(self, stream: Stream, report: Callable[[Observed], None]) -> None:
        """
        @param report: called once, when the exchange has ended.
        """
        self._stream = stream
        self._report: Callable[[Observed], None] | None = report
        self._exchange: Exchange | None = None
        self.peer = stream.peer
        self.secure = stream.secure
        self.status = 0
        self.first_byte = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.reason: Reason | None = None

    def watch(self, exchange: Exchange | None) -> Exchange | None:
        """
        @param exchange: what answers the request; C{None} if it is answered already.
        @return: what the channel is to talk to.
        """
        if exchange is None:
            return None
        self._exchange = exchange
        return self

    def _end(self) -> None:
        report, self._report = self._report, None
        if report is not None:
            report(self)

    # Stream.

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        See L{Stream}.
        """
        self._stream.send_interim(status, lines)

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        See L{Stream}.
        """
        self.status = status
        self.first_byte = monotonic()
        self.bytes_out += len(body)
        self._stream.send_response(status, phrase, lines, length, body, end)
        if end:
            self._end()

    def send_body(self, data: bytes) -> None:
        """
        See L{Stream}.
        """
        self.bytes_out += len(data)
        self._stream.send_body(data)

    def end_response(self, trailers: bytes) -> None:
        """
        See L{Stream}.
        """
        self._stream.end_response(trailers)
        self._end()

    def abort_response(self) -> None:
        """
        See L{Stream}.
        """
        self._stream.abort_response()
        self._end()

    def pause_body(self) -> None:
        """
        See L{Stream}.
        """
        self._stream.pause_body()

    def resume_body(self) -> None:
        """
        See L{Stream}.
        """
        self._stream.resume_body()

    # Exchange.

    def body_received(self, data: bytes) -> None:
        """
        See L{Exchange}.
        """
        self.bytes_in += len(data)
        if self._exchange is not None:
            self._exchange.body_received(data)

    def body_finished(self, trailers: bytes) -> None:
        """
        See L{Exchange}.
        """
        if self._exchange is not None:
            self._exchange.body_finished(trailers)

    def body_failed(self, reason: Reason) -> None:
        """
        See L{Exchange}.
        """
        self.reason = reason
        if self._exchange is not None:
            self._exchange.body_failed(reason)

    def client_gone(self) -> None:
        """
        See L{Exchange}.
        """
        self.reason = Reason.CLIENT_GONE
        self.status = self.status or Reason.CLIENT_GONE.status
        if self._exchange is not None:
            self._exchange.client_gone()
        self._end()

    def pause_response(self) -> None:
        """
        See L{Exchange}.
        """
        if self._exchange is not None:
            self._exchange.pause_response()

    def resume_response(self) -> None:
        """
        See L{Exchange}.
        """
        if self._exchange is not None:
            self._exchange.resume_response()
