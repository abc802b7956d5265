"""
Measuring how late the reactor is.

Everything shares one thread, so whatever blocks it delays every connection. Once a second the watchdog asks to be
called, and notes by how much it was called too late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from siger.observe.metrics import Metrics

__all__ = ["Watchdog"]

_INTERVAL = 1.0
_STALL = 0.05
_WORTH_A_LINE = 0.5
_log = Logger()


class Watchdog:
    """
    Knows the reactor's lag.

    @ivar lag: by how many seconds the last call came too late.
    @ivar stalls: how many calls came more than 50 ms too late.
    """

    def __init__(self, clock: IReactorTime, seconds: Callable[[], float] = time.monotonic) -> None:
        self.lag = 0.0
        self.stalls = 0
        self._clock = clock
        self._seconds = seconds
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """
        Begin to measure.
        """
        self._due = self._seconds() + _INTERVAL
        self._call = self._clock.callLater(_INTERVAL, self._note)

    def stop(self) -> None:
        """
        Measure no more.
        """
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def show(self, metrics: Metrics) -> None:
        """
        Add what is measured to the metrics.
        """
        metrics.gauge("siger_reactor_lag_seconds", "By how much the last timer came too late.", lambda: self.lag)
        metrics.counter("siger_reactor_stalls_total", "Timers that came more than 50 ms too late.", lambda: self.stalls)

    def _note(self) -> None:
        """
        Note how late it is, and ask again.
        """
        self.lag = max(0.0, self._seconds() - self._due)
        if self.lag > _STALL:
            self.stalls += 1
        if self.lag > _WORTH_A_LINE:
            _log.warn("the reactor was blocked for {lag:.3f} seconds", lag=self.lag)
        self.start()
