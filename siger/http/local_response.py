"""
The response of a local endpoint on its way to a stream.

The head is held until the response is complete, or until the handler lets go of the processor, whichever is first, so
that an ordinary response goes out in one piece and with its length, and one that is streamed is not kept waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from siger.http.problem import phrase

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from siger.http.stream import Stream

__all__ = ["LocalResponse"]

_HOLD_AT_MOST: Final = 65536
_log = Logger()


class LocalResponse:
    """
    One response. What the stream gets of it is never more than its head declared.

    @ivar begun: the head is out, so that nothing else can be answered.
    @ivar ended: nothing more is sent.
    """

    def __init__(self, stream: Stream, method: bytes, reactor: IReactorTime) -> None:
        self.begun = False
        self.ended = False
        self._stream = stream
        self._method = method
        self._reactor = reactor
        self._head: tuple[int, bytes, int | None] | None = None
        self._held: list[bytes] = []
        self._held_size = 0
        self._left: int | None = None
        self._handling = False
        self._flusher: IDelayedCall | None = None

    def hold(self) -> None:
        """
        The handler runs: send nothing until it has returned, unless it makes much, or all.
        """
        self._handling = True

    def release(self) -> None:
        """
        The handler has returned.
        """
        self._handling = False
        self.flush()

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        """
        Take the head. One that comes when no handler runs goes out in the next turn of the reactor.

        @param length: of the body, as far as it was declared.
        """
        self._head = status, lines, length
        self._left = None if self._is_bodyless(status) else length
        if not self._handling and self._flusher is None:
            self._flusher = self._reactor.callLater(0, self._flush_now)

    def _is_bodyless(self, status: int) -> bool:
        return self._method == b"HEAD" or status in (204, 304)

    def write(self, data: bytes) -> None:
        """
        Take some of the body; what exceeds the declared length is dropped.
        """
        if self.ended:
            return
        if self._left is not None:
            if len(data) > self._left:
                _log.error("a local endpoint wrote more than the length it declared")
                data = data[: self._left]
            self._left -= len(data)
        if self.begun:
            self._stream.send_body(data)
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > _HOLD_AT_MOST:
            self._send(False)

    @property
    def is_short(self) -> bool:
        """
        Whether less was written than was declared.
        """
        return bool(self._left)

    def finish(self) -> None:
        """
        End the response cleanly.
        """
        self.ended = True
        if self.begun:
            self._stream.end_response(b"")
        else:
            self._send(True)

    def stop(self) -> None:
        """
        Send nothing more of it.
        """
        self.ended = True
        self._held = []
        self._cancel_flusher()

    def flush(self) -> None:
        """
        Send what is held, if there is a head to begin with.
        """
        if not self.begun and not self.ended:
            self._send(False)

    def _flush_now(self) -> None:
        self._flusher = None
        self.flush()

    def _cancel_flusher(self) -> None:
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            flusher.cancel()

    def _send(self, end: bool) -> None:
        self._cancel_flusher()
        if self._head is None:
            return
        self.begun = True
        status, lines, length = self._head
        body = b"".join(self._held)
        self._held = []
        if end and length is None and not self._is_bodyless(status):
            length = len(body)
        self._stream.send_response(status, phrase(status), lines, length, body, end)
