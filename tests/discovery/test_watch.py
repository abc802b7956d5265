"""
Tests for L{siger.discovery.watch}.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.discovery.client import NoLeader
from siger.discovery.watch import DOUBT, RETRY_MOST, Counters, Watch, backoff


class BackoffTests(SynchronousTestCase):
    """
    Tests for L{backoff}.
    """

    def test_grows(self) -> None:
        """
        The first wait is a second or a little less, each later one twice as long, and none more than 30 seconds.
        """
        random = Random(1)
        for failures, longest in ((1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (7, 30), (10_000, 30)):
            waits = [backoff(failures, random) for _ in range(200)]
            self.assertTrue(longest / 2 <= min(waits) and max(waits) <= longest, (failures, min(waits), max(waits)))
            self.assertGreater(max(waits) - min(waits), longest / 3)


class WatchTests(SynchronousTestCase):
    """
    Tests for L{Watch}.
    """

    def setUp(self) -> None:
        """
        A watch of a set of numbers, whose queries wait for the test to answer them.
        """
        self.clock = Clock()
        self.asked: list[tuple[int, float]] = []
        self.pending: Deferred[Any] | None = None
        self.cancelled = 0
        self.told: list[tuple[set[int] | None, bool]] = []
        self.watch: Watch[set[int]] = Watch(
            self.clock,
            Random(1),
            query=self.query,
            read=set,
            keep=set.union,
            told=lambda watch, changed: self.told.append((watch.value, changed)),
            counters=Counters(),
        )
        self.watch.start()
        self.addCleanup(self.watch.stop)

    def query(self, index: int, wait: float) -> Deferred[Any]:
        """
        Ask the test.
        """
        self.asked.append((index, wait))
        self.pending = Deferred(self.cancel)
        return self.pending

    def cancel(self, deferred: Deferred[Any]) -> None:
        """
        Count the queries that were given up.
        """
        self.cancelled += 1

    def answer(self, index: Any, *numbers: int, pause: float = 1.0) -> None:
        """
        Answer the query, and let time pass for the next.
        """
        assert self.pending is not None
        pending, self.pending = self.pending, None
        pending.callback((index, numbers))
        self.clock.advance(pause)

    def fail(self, error: Exception | None = None, pause: float = RETRY_MOST) -> None:
        """
        Fail the query, and let time pass for the next.
        """
        assert self.pending is not None
        pending, self.pending = self.pending, None
        pending.errback(error or OSError("lost"))
        self.clock.advance(pause)

    def test_first(self) -> None:
        """
        The first query has no index, and its answer is the value.
        """
        self.assertEqual((self.asked, self.watch.settled), ([(0, 300.0)], False))
        self.answer("7", 1, 2)
        self.assertEqual((self.watch.value, self.watch.settled, self.told), ({1, 2}, True, [({1, 2}, True)]))
        self.assertEqual(self.asked[1:], [(7, 300.0)])

    def test_empty_first(self) -> None:
        """
        A first answer without anything is news too.
        """
        self.answer("7")
        self.assertEqual(self.told, [(set(), True)])

    def test_unchanged(self) -> None:
        """
        An answer with another index and the same content changes nothing.
        """
        self.answer("7", 1)
        self.answer("9", 1)
        self.assertEqual(self.told[1:], [({1}, False)])
        self.assertEqual(self.asked[-1], (9, 300.0))
        self.assertEqual(self.watch._counters, Counters(queries=3, errors=0, changes=1))

    def test_backwards(self) -> None:
        """
        An index that went backwards is not used; the next one is.
        """
        self.answer("7", 1)
        self.answer("5", 1)
        self.assertEqual(self.asked[-1][0], 0)
        self.answer("5", 1)
        self.assertEqual(self.asked[-1][0], 5)

    def test_not_positive(self) -> None:
        """
        An index that is not positive is not used.
        """
        for index in ("0", "-3"):
            self.answer(index, 1)
            self.assertEqual(self.asked[-1][0], 0)

    def test_pace(self) -> None:
        """
        After news the next query follows in a tenth of a second, else in half a second, less what the answer took.
        """
        self.answer("7", 1, pause=0.09)
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(0.02)
        self.assertEqual(len(self.asked), 2)
        self.clock.advance(0.3)
        self.answer("8", 1, pause=0.15)
        self.assertEqual(len(self.asked), 2)
        self.clock.advance(0.1)
        self.assertEqual(len(self.asked), 3)
        self.clock.advance(60)
        self.answer("9", 1, pause=0)
        self.assertEqual(len(self.asked), 4)

    def test_error(self) -> None:
        """
        An error keeps the value, is told, and makes the next query ask afresh, later.
        """
        self.answer("7", 1)
        self.fail(pause=0.4)
        self.assertEqual((self.watch.value, self.watch.failures, str(self.watch.error)), ({1}, 1, "lost"))
        self.assertEqual(self.told[-1], ({1}, False))
        self.assertEqual(len(self.asked), 2)
        self.clock.advance(0.7)
        self.assertEqual(self.asked[-1][0], 0)
        self.answer("7", 1)
        self.assertEqual((self.watch.failures, self.watch.error), (0, None))

    def test_error_first(self) -> None:
        """
        A watch whose first query failed is settled, and believes its first answer without reserve.
        """
        self.fail()
        self.assertTrue(self.watch.settled)
        self.answer("7", 1, 2)
        self.answer("8", 2)
        self.assertEqual(self.watch.value, {2})

    def test_unreadable(self) -> None:
        """
        An answer that cannot be read is an error.
        """
        self.answer("7", 1)
        pending, self.pending = self.pending, None
        assert pending is not None
        pending.callback(("8", None))
        self.assertEqual((self.watch.value, self.watch.failures), ({1}, 1))
        self.clock.advance(1)
        self.answer("soon", 2)
        self.assertEqual((self.watch.value, self.watch.failures), ({1}, 2))

    def test_doubt_after_error(self) -> None:
        """
        After an error, what an answer adds is believed at once, and what it lacks when the doubt is over.
        """
        self.answer("7", 1, 2)
        self.fail()
        self.answer("8", 2, 3)
        self.assertEqual(self.watch.value, {1, 2, 3})
        self.assertLessEqual(self.asked[-1][1], DOUBT)
        self.clock.advance(DOUBT)
        self.answer("8", 2, 3)
        self.assertEqual(self.watch.value, {2, 3})
        self.assertEqual(self.asked[-1], (8, 300.0))

    def test_doubt_after_backwards(self) -> None:
        """
        So it is with a store whose index went backwards.
        """
        self.answer("700", 1, 2)
        self.answer("8", 2)
        self.answer("8", 2)
        self.assertEqual(self.watch.value, {1, 2})
        self.clock.advance(DOUBT)
        self.answer("9", 2)
        self.assertEqual(self.watch.value, {2})

    def test_doubt_unfounded(self) -> None:
        """
        An answer that lacks nothing ends the doubt.
        """
        self.answer("7", 1, 2)
        self.fail()
        self.answer("8", 1, 2)
        self.assertEqual(self.asked[-1][1], 300.0)
        self.answer("9", 2)
        self.assertEqual(self.watch.value, {2})

    def test_no_leader(self) -> None:
        """
        A server without a leader is believed only by who knows nothing.
        """
        self.fail(NoLeader(("7", (1, 2))), pause=1)
        self.assertEqual((self.watch.value, self.watch.failures), ({1, 2}, 0))
        self.fail(NoLeader(("8", (1,))))
        self.assertEqual((self.watch.value, self.watch.failures), ({1, 2}, 1))

    def test_foreign_cancellation(self) -> None:
        """
        A query that somebody else cancelled failed, and is no reason to stop asking.
        """
        self.fail(CancelledError())
        self.assertEqual(self.watch.failures, 1)
        self.answer("7", 1)
        self.assertEqual(self.watch.value, {1})

    def test_stop_while_asking(self) -> None:
        """
        Stopping gives up the query, which is no failure.
        """
        self.watch.stop()
        self.assertEqual((self.cancelled, self.watch.failures, self.told), (1, 0, []))
        self.clock.advance(1000)
        self.assertEqual(len(self.asked), 1)

    def test_stop_while_waiting(self) -> None:
        """
        Stopping between two queries ends the wait.
        """
        self.fail(pause=0)
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_told(self) -> None:
        """
        Whoever is told may stop the watch.
        """
        self.watch._told = lambda watch, changed: watch.stop()
        self.answer("7", 1)
        self.assertEqual((len(self.asked), self.clock.getDelayedCalls()), (1, []))

    def test_stop_unstarted(self) -> None:
        """
        A watch that never started can be stopped, and one that stopped again.
        """
        idle: Watch[set[int]] = Watch(self.clock, Random(1), self.query, set, set.union, print, Counters())
        idle.stop()
        self.watch.stop()
        self.watch.stop()
        self.assertEqual(self.cancelled, 1)
