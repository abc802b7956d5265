"""
Tests of L{siger.worker.rate}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.worker.rate import Rate


class RateTests(SynchronousTestCase):
    """
    So many a second.
    """

    def test_rate(self) -> None:
        """
        After a silence as many pass as in a second; then they pass as time does, and what is left does not pile up.
        """
        clock = Clock()
        rate = Rate(10, clock.seconds)
        self.assertEqual([rate.take() for _ in range(12)], [True] * 10 + [False] * 2)
        clock.advance(0.25)
        self.assertEqual([rate.take() for _ in range(3)], [True, True, False])
        clock.advance(100)
        self.assertEqual(sum(rate.take() for _ in range(30)), 10)
