"""
The way in: who gets the bytes, and when not.

uvloop calls C{data_received}, which is looked up once when the protocol is set. So it is an instance attribute here, bound
to whatever shall get the bytes, and uvloop is told whenever that changes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ILoggingContext
from twisted.python.log import callWithContext

from siger.transports.direct import has_log_prefix, reads_directly
from siger.transports.facts import Facts

__all__ = ["Reading"]


class Reading(Facts):
    """
    The half of a connection that receives.

    @ivar _paused: whether the application asked for silence.
    @ivar _ended: whether the peer has closed its half, and the protocol was told.
    @ivar _held: what was read in spite of a pause, or C{None} while nothing needs to be kept. See L{_begin_reading}.
    @cvar _settles: whether nothing is delivered before a turn of the loop has passed since C{connectionMade}.
    """

    _paused = False
    _ended = False
    _held: deque[bytes] | None = None
    _held_end = False
    _settles = False
    _protocol: Any = None
    _logstr: str | None = None

    # The protocol

    @property
    def protocol(self) -> Any:
        """
        The protocol that gets the bytes. Assigning another makes it the receiver, as on Twisted's transports.
        """
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self.switch_protocol(protocol)

    def switch_protocol(self, protocol: Any) -> None:
        """
        Deliver what comes from now on to C{protocol}, which may be the same one with another C{dataReceived}.
        """
        self._protocol = protocol
        if self._uv is not None and not self.disconnected:
            self._route()

    @property
    def logstr(self) -> str:
        """
        What names this connection in the log.
        """
        if self._logstr is None:
            if self._protocol is None:
                return "Uninitialized"
            self._logstr = self._describe(self._protocol_prefix())
        return self._logstr

    def logPrefix(self) -> str:
        """
        Return what names this connection in the log.
        """
        return self.logstr

    def _describe(self, prefix: str) -> str:
        """
        Make L{logstr} from the name of the protocol.
        """
        return prefix

    def _protocol_prefix(self) -> str:
        """
        Ask the protocol for its name.
        """
        protocol = self._protocol
        if ILoggingContext.providedBy(protocol):
            return str(protocol.logPrefix())
        return type(protocol).__name__

    # The bytes

    def _route(self) -> None:
        """
        Bind C{data_received} to who shall have the bytes, and have uvloop look it up again.
        """
        self.data_received = self._hold if self._held is not None else self._receiver()
        assert self._uv is not None
        self._uv.set_protocol(self)  # type: ignore[arg-type]

    def _receiver(self) -> Callable[[bytes], None]:
        """
        Find how the protocol gets its bytes.
        """
        if reads_directly(self._protocol):
            receive: Callable[[bytes], None] = self._protocol.dataReceived
            return receive
        return self._receive_in_context if has_log_prefix(self._protocol) else self._receive

    def _receive(self, data: bytes) -> None:
        """
        Deliver to whatever is the protocol's C{dataReceived} at this moment.
        """
        self._protocol.dataReceived(data)

    def _receive_in_context(self, data: bytes) -> None:
        """
        Deliver so that what is logged meanwhile carries the protocol's prefix.
        """
        callWithContext({"system": self.logstr}, self._protocol.dataReceived, data)

    def eof_received(self) -> bool:
        """
        The peer closed its half: the end of all for most protocols, as on every reactor of Twisted's.

        @return: C{True}; what is left open is closed by ourselves, where it shall be.
        """
        if self._paused or self._held:
            # Read before a pause took hold; told when that is over.
            self._held_end = True
            return True
        self._ended = True
        half_closeable = IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is not None:
            half_closeable.readConnectionLost()
        elif self._uv is not None:
            self._uv.abort()
        return True

    # Pauses

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

    @property
    def _loop(self) -> Any:
        """
        uvloop's loop.
        """
        return self.reactor.loop

    def _begin_reading(self) -> None:
        """
        Let the bytes come, at the end of C{connection_made}.

        uvloop starts to read when that returns, even when the protocol asked for a pause meanwhile. Then what comes before
        L{_settle}, one read at most, is held.
        """
        if self._paused or self._settles:
            self._held = deque()
            self._loop.call_soon(self._settle)
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

    def _hold(self, data: bytes) -> None:
        """
        Keep what was read during a pause, and read no more.
        """
        assert self._uv is not None
        self._uv.pause_reading()
        assert self._held is not None
        self._held.append(data)

    def _release_or_fail(self) -> None:
        """
        Deliver what was held; what that raises closes the connection, as it does when uvloop calls.
        """
        try:
            self._release()
        except BaseException as error:
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """
        Log what application code raised, and close this connection for it.
        """
        raise NotImplementedError

    def _release(self) -> None:
        """
        Deliver what was held, unless there is another pause.
        """
        while self._held and self.reading:
            self._receiver()(self._held.popleft())
        if not self.reading:
            return
        self._held = None
        self._route()
        if self._held_end:
            self._held_end = False
            self.eof_received()
        elif self._uv is not None:
            self._uv.resume_reading()

    def _deliver_last_words(self) -> None:
        """
        Deliver what the peer sent before it reset the connection.

        Somebody who answers early and closes makes our next write fail, and uvloop then reads no more. The answer is still
        there.
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
