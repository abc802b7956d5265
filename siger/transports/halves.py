"""
Half-close: the way out ends, the way in goes on.
"""

from __future__ import annotations

from twisted.internet.interfaces import IHalfCloseableProtocol

from siger.transports.producing import Producing

__all__ = ["HalfClosing"]


class HalfClosing(Producing):
    """
    A connection whose sending half can be closed alone.

    @ivar _half_closing: whether the application asked for that.
    """

    _half_closing = False

    def loseWriteConnection(self) -> None:
        """
        Close this half once everything is sent and the producer, if any, is finished; go on reading.
        """
        if self.connected and not self.disconnecting and not self._half_closing:
            self._half_closing = True
            if self.producer is None:
                self._await_flush()

    def _producer_finished(self) -> None:
        """
        Close this half, if that waited for the producer.
        """
        if self._half_closing:
            self._await_flush()

    def _flushed(self) -> None:
        """
        Close this half, if nothing else is to be sent.
        """
        super()._flushed()
        if self._half_closing and self.producer is None and self._open:
            self._close_half()

    def _close_half(self) -> None:
        """
        End what the peer reads.
        """
        self._mute()
        assert self._uv is not None
        self._uv.write_eof()
        half_closeable = IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is not None:
            half_closeable.writeConnectionLost()
