"""
The way in: who gets the bytes.

uvloop calls C{data_received}, which it looks up once, when the protocol is set. So that is an instance attribute here,
bound to whatever shall get the bytes, and uvloop is told whenever it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, ILoggingContext
from twisted.python.log import callWithContext

from siger.transports.direct import has_log_prefix, reads_directly
from siger.transports.facts import Facts

__all__ = ["Reading"]


class Reading(Facts):
    """
    A connection's protocol, and how it gets its bytes.

    @ivar data_received: what uvloop calls.
    @ivar _ended: whether the peer has closed its half, and the protocol was told.
    """

    data_received: Callable[[bytes], None]

    _protocol: Any = None
    _logstr: str | None = None
    _ended = False

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

    # Delivery

    def _route(self) -> None:
        """
        Bind C{data_received} to who shall have the bytes, and have uvloop look it up again.
        """
        self.data_received = self._receiver()
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

        @return: C{True}: uvloop shall close nothing, it would wait for what is queued to be taken.
        """
        self._ended = True
        half_closeable = IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is not None:
            half_closeable.readConnectionLost()
        elif self._uv is not None:
            self._uv.abort()
        return True

    # The log

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
        raise NotImplementedError

    def _protocol_prefix(self) -> str:
        """
        Ask the protocol for its name.
        """
        if ILoggingContext.providedBy(self._protocol):
            return str(self._protocol.logPrefix())
        return type(self._protocol).__name__
