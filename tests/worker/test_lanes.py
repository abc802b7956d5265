"""
Tests of L{siger.worker.lanes}.
"""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.model import LANES
from siger.worker.lanes import Rounds


class RoundsTests(SynchronousTestCase):
    """
    Who is asked when.
    """

    def test_weights(self) -> None:
        """
        Of any twelve rounds in a row eight begin with the high lane, three with the normal one, one with the low one.
        """
        rounds = Rounds(["a"])
        first = [rounds.next()[0][1] for _ in range(60)]
        for start in range(48):
            self.assertEqual(Counter(first[start : start + 12]), {"high": 8, "normal": 3, "low": 1})

    def test_all(self) -> None:
        """
        Each round has every queue once, the other lanes by their urgency, and types take turns.
        """
        rounds = Rounds(["a", "b", "c"])
        found = [rounds.next() for _ in range(12)]
        for order in found:
            self.assertEqual(sorted(order), sorted((type_, lane) for type_ in "abc" for lane in LANES))
            rest = list(dict.fromkeys(lane for _, lane in order[3:]))
            self.assertEqual(rest, [lane for lane in LANES if lane in rest])
        self.assertEqual({order[0][0] for order in found}, {"a", "b", "c"})
