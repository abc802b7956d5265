"""
The way in: when nothing shall come.

uvloop stops and starts to read at once when told, with two exceptions that need care: it starts by itself after
C{connection_made}, and it stops for good when a write has failed.
"""

# mypy: allow-untyped-calls
# (IReactorTime has no annotations yet.)

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

from siger.transports.reading import Reading

__all__ = ["Pausing"]


class Pausing(Reading):
    """
    A connection whose reading can be paused.

    @cvar _settles: whether nothing is delivered before a turn of the loop has passed since C{connectionMade}.
    @ivar _paused: whether the application asked for silence.
    @ivar _held: what was read in spite of a pause, or C{None} while nothing needs to be kept.
    @ivar _held_end: whether the peer's end was read in spite of a pause.
    """

    _settles = False

    _paused = False
    _held: deque[bytes] | None = None
    _held_end = False

    @property
    def reading(self) -> bool:
        """
        Whether bytes are delivered as they come.
        """
        return bool(self.connected) and not (self._paused or self.disconnecting or self._ended)

    def pauseProducing(self) -> None:
        """
        Deliver nothing until L{resumeProducing}; the kernel's buffer fills and the peer has to wait.
        """
        self._paused = True
        if self._uv is not None:
            self._uv.pause_reading()

    def resumeProducing(self) -> None:
        """
        Deliver again. Ignored after C{loseConnection}.
        """
        if self.disconnected or self.disconnecting:
            return
        self._paused = False
        if self._held is not None or self._held_end:
            self._loop.call_soon(self._release_or_fail)
        elif self._uv is not None and not self._ended:
            self._uv.resume_reading()

    stopReading = pauseProducing
    startReading = resumeProducing

    # Before uvloop reads

    def _begin_reading(self) -> None:
        """
        Let the bytes come, at the end of C{connection_made}.

        uvloop starts to read when that returns, even when the protocol asked for a pause meanwhile. Then what comes
        before L{_settle}, one read at most, is held.
        """
        if self._paused or self._settles:
            self._held = deque()
            # By the reactor, not the loop, since it is the reactor's delayed calls that shall come first.
            self.reactor.callLater(0, self._settle)
        self._route()

    def _settle(self) -> None:
        """
        Make a pause real that was asked for before uvloop read; or let go.
        """
        if self.disconnected:
            return
        if not self._paused:
            self._release_or_fail()
        elif self._uv is not None:
            self._uv.pause_reading()

    def _receiver(self) -> Callable[[bytes], None]:
        """
        Hold what comes while something is held: the order matters.
        """
        return self._hold if self._held is not None else super()._receiver()

    def _hold(self, data: bytes) -> None:
        """
        Keep what was read during a pause, and read no more.
        """
        assert self._uv is not None
        self._uv.pause_reading()
        assert self._held is not None
        self._held.append(data)

    def eof_received(self) -> bool:
        """
        Keep the peer's end too, if it came during a pause.
        """
        if self._paused or self._held:
            self._held_end = True
            return True
        return super().eof_received()

    def _release_or_fail(self) -> None:
        """
        Deliver what was held; what that raises closes the connection, as it does when uvloop calls.
        """
        try:
            self._release()
        except BaseException as error:
            self.failed(error)

    def _release(self) -> None:
        """
        Deliver what was held, unless there is another pause.
        """
        while self._held and self.reading:
            super()._receiver()(self._held.popleft())
        if not self.reading:
            return
        self._held = None
        self._route()
        if self._held_end:
            self._held_end = False
            self.eof_received()
        elif self._uv is not None:
            self._uv.resume_reading()

    # After uvloop has read

    def _deliver_last_words(self) -> None:
        """
        Deliver what the peer sent before it reset the connection.

        Somebody who answers early and closes makes our next write fail, and uvloop then reads no more. The answer is
        still in the kernel.
        """
        if self._held:
            self._release()
        while self.reading and (data := self._read_rest()):
            self._receiver()(data)

    def _read_rest(self) -> bytes:
        """
        Read once from a connection that uvloop is done with.
        """
        try:
            return os.read(self.fileno(), 65536)
        except OSError:
            return b""
