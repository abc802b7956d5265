"""
Tests for L{siger.observe.watchdog}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from siger.observe.metrics import Metrics
from siger.observe.observer import Observer
from siger.observe.watchdog import Watchdog


class WatchdogTests(SynchronousTestCase):
    """
    Tests for L{Watchdog}.
    """

    def setUp(self) -> None:
        """
        A watchdog over a reactor that can be late: C{late} seconds pass that it does not see.
        """
        self.clock = Clock()
        self.late = 0.0
        self.watchdog = Watchdog(self.clock, lambda: self.clock.seconds() + self.late)
        self.watchdog.start()

    def test_in_time(self) -> None:
        """
        A reactor in time has no lag.
        """
        self.clock.pump([1.0] * 5)
        self.assertEqual((self.watchdog.lag, self.watchdog.stalls), (0.0, 0))

    def test_late(self) -> None:
        """
        A reactor that is late has that lag until the next measurement, and a stall if it was long.
        """
        self.late += 0.25
        self.clock.advance(1.0)
        self.assertEqual((self.watchdog.lag, self.watchdog.stalls), (0.25, 1))
        self.late += 0.03125
        self.clock.advance(1.0)
        self.assertEqual((self.watchdog.lag, self.watchdog.stalls), (0.03125, 1))
        self.clock.advance(1.0)
        self.assertEqual((self.watchdog.lag, self.watchdog.stalls), (0.0, 1))

    def test_early(self) -> None:
        """
        A timer that comes a little early is no negative lag.
        """
        self.late -= 0.01
        self.clock.advance(1.0)
        self.assertEqual(self.watchdog.lag, 0.0)

    def test_long_stall_is_logged(self) -> None:
        """
        A stall that everybody felt is worth a line.
        """
        messages: list[str] = []

        def observe(event: LogEvent) -> None:
            messages.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for late in (0.25, 2.0):
            self.late += late
            self.clock.advance(1.0)
        self.assertEqual(messages, ["the reactor was blocked for 2.000 seconds"])

    def test_stop(self) -> None:
        """
        A watchdog that was stopped asks for nothing more; stopping again does nothing.
        """
        self.watchdog.stop()
        self.watchdog.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_metrics(self) -> None:
        """
        Lag and stalls are shown as metrics.
        """
        metrics = Metrics(Observer())
        self.watchdog.show(metrics)
        self.late += 0.25
        self.clock.advance(1.0)
        lines = metrics.exposition("")[1].decode().splitlines()
        self.assertIn("siger_reactor_lag_seconds 0.25", lines)
        self.assertIn("siger_reactor_stalls_total 1.0", lines)
