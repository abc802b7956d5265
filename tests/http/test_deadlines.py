"""
Tests for L{siger.http.deadlines}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.http.deadlines import INTERVAL, NEVER, Deadlines


class Member:
    """
    Something with a deadline, which counts how often that passed.
    """

    def __init__(self, deadline: float, then: Callable[[Member], None] = lambda member: None) -> None:
        self.deadline = deadline
        self.passed = 0
        self._then = then

    def deadline_passed(self) -> None:
        """
        Note it.
        """
        self.passed += 1
        self._then(self)


class DeadlinesTests(SynchronousTestCase):
    """
    Tests for L{Deadlines}.
    """

    def setUp(self) -> None:
        """
        Begin at a time other than zero.
        """
        self.clock = Clock()
        self.clock.advance(100)
        self.deadlines = Deadlines(self.clock)

    def test_now(self) -> None:
        """
        The time is that of the last sweep.
        """
        self.assertEqual(self.deadlines.now, 100)
        self.clock.advance(5)
        self.assertEqual(self.deadlines.now, 100)
        self.deadlines.start()
        self.assertEqual(self.deadlines.now, 105)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.deadlines.now, 105 + INTERVAL)

    def test_in_time(self) -> None:
        """
        A deadline is noticed no sooner than it passes, and at most an interval later.
        """
        member = Member(102.1)
        self.deadlines.add(member)
        self.deadlines.start()
        self.clock.pump([INTERVAL] * 8)
        self.assertEqual(member.passed, 0)
        self.clock.pump([INTERVAL])
        self.assertEqual(member.passed, 1)

    def test_again(self) -> None:
        """
        Who does not set another deadline is told again.
        """
        member = Member(100)
        self.deadlines.add(member)
        self.deadlines.sweep()
        self.deadlines.sweep()
        self.assertEqual(member.passed, 2)

    def test_extended(self) -> None:
        """
        Who does, is told at that.
        """

        def extend(member: Member) -> None:
            member.deadline += 10

        member = Member(100, extend)
        self.deadlines.add(member)
        self.deadlines.start()
        self.clock.pump([INTERVAL] * 40)
        self.assertEqual(member.passed, 2)

    def test_never(self) -> None:
        """
        A deadline can be never.
        """
        member = Member(NEVER)
        self.deadlines.add(member)
        self.clock.advance(1e9)
        self.deadlines.sweep()
        self.assertEqual(member.passed, 0)

    def test_allowed(self) -> None:
        """
        Who is allowed so many seconds from now has a deadline on the clock, not on the last sweep.
        """
        member = Member(NEVER)
        self.deadlines.start()
        self.clock.advance(0.2)
        self.deadlines.allow(member, 1.0)
        self.assertEqual(member.deadline, 101.2)
        self.clock.advance(0.05)
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(member.passed, 0)
        self.clock.pump([INTERVAL])
        self.assertEqual(member.passed, 1)

    def test_allowed_little(self) -> None:
        """
        Who is allowed less than an interval is told in time, and not once more by the next sweep if that ended it.
        """
        self.deadlines.start()
        for seconds in (0.1, 0.0, -5.0):
            member = Member(NEVER, self.deadlines.discard)
            self.deadlines.allow(member, seconds)
            self.clock.advance(max(0.0, seconds) - 0.01 if seconds > 0 else 0)
            self.assertEqual(member.passed, int(seconds <= 0))
            self.clock.advance(0.02)
            self.assertEqual(member.passed, 1)
            self.clock.pump([INTERVAL] * 4)
            self.assertEqual(member.passed, 1)

    def test_allowed_in_any_order(self) -> None:
        """
        Of many who are allowed little, each is told at its time, in whatever order they came, and with one timer.
        """
        told: list[float] = []

        def tell(member: Member) -> None:
            self.deadlines.discard(member)
            told.append(round(self.clock.seconds() - 100, 2))

        for hundredths in (20, 5, 11, 5, 24, 1, 17):
            self.deadlines.allow(Member(NEVER, tell), hundredths / 100)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([0.01] * 30)
        self.assertEqual(told, [0.01, 0.05, 0.05, 0.11, 0.17, 0.2, 0.24])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_allowed_among_many(self) -> None:
        """
        Whoever is allowed little costs nobody a look at all the others.
        """

        class Looked(Member):
            looks = 0

            @property
            def deadline(self) -> float:
                Looked.looks += 1
                return NEVER

            @deadline.setter
            def deadline(self, deadline: float) -> None:
                pass

        self.deadlines.add(Looked(NEVER))
        for _ in range(10):
            self.deadlines.allow(Member(NEVER, self.deadlines.discard), 0.1)
            self.clock.advance(0.2)
        self.assertEqual(Looked.looks, 0)

    def test_allowed_by_one_that_is_told(self) -> None:
        """
        One that is told may begin something that is allowed little, too.
        """
        second = Member(NEVER, self.deadlines.discard)

        def begin(member: Member) -> None:
            self.deadlines.discard(member)
            self.deadlines.allow(second, 0.1)

        self.deadlines.allow(Member(NEVER, begin), 0.1)
        third = Member(NEVER, self.deadlines.discard)
        self.deadlines.allow(third, 0.15)
        self.clock.pump([0.01] * 16)
        self.assertEqual((second.passed, third.passed), (0, 1))
        self.clock.pump([0.01] * 6)
        self.assertEqual(second.passed, 1)

    def test_stopped_before_an_alarm(self) -> None:
        """
        When all is stopped, nothing is left to be called.
        """
        self.deadlines.start()
        self.deadlines.allow(Member(NEVER), 0.1)
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_allowed_and_ended(self) -> None:
        """
        Who has ended by then is told nothing.
        """
        member = Member(NEVER)
        self.deadlines.allow(member, 0.1)
        self.deadlines.discard(member)
        self.clock.advance(1)
        self.assertEqual(member.passed, 0)

    def test_discarded(self) -> None:
        """
        Who was discarded is told nothing; nobody needs to know whether it was there.
        """
        member = Member(0)
        self.deadlines.add(member)
        self.deadlines.discard(member)
        self.deadlines.discard(member)
        self.deadlines.sweep()
        self.assertEqual(member.passed, 0)

    def test_discarded_by_another(self) -> None:
        """
        That holds within a sweep: of two that end each other, one is told.
        """
        members: list[Member] = []

        def end_all(member: Member) -> None:
            for each in members:
                self.deadlines.discard(each)

        members.extend((Member(0, end_all), Member(0, end_all)))
        for member in members:
            self.deadlines.add(member)
        self.deadlines.sweep()
        self.assertEqual(sum(member.passed for member in members), 1)

    def test_extended_by_another(self) -> None:
        """
        Of two that extend each other's deadline, one is told.
        """
        members: list[Member] = []

        def extend_all(member: Member) -> None:
            for each in members:
                each.deadline = NEVER

        members.extend((Member(0, extend_all), Member(0, extend_all)))
        for member in members:
            self.deadlines.add(member)
        self.deadlines.sweep()
        self.assertEqual(sum(member.passed for member in members), 1)

    def test_added_in_a_sweep(self) -> None:
        """
        Who is added during a sweep has its turn in the next.
        """
        late = Member(0)
        self.deadlines.add(Member(0, lambda member: self.deadlines.add(late)))
        self.deadlines.sweep()
        self.assertEqual(late.passed, 0)
        self.deadlines.sweep()
        self.assertEqual(late.passed, 1)

    def test_failure(self) -> None:
        """
        What a member raises ends one sweep, not the sweeping: L7.
        """

        def fail(member: Member) -> None:
            member.deadline = NEVER
            raise RuntimeError("oops")

        self.deadlines.add(Member(0, fail))
        self.deadlines.start()
        self.assertRaises(RuntimeError, self.clock.advance, INTERVAL)
        member = Member(0)
        self.deadlines.add(member)
        self.clock.advance(INTERVAL)
        self.assertEqual(member.passed, 1)

    def test_stop(self) -> None:
        """
        After a stop nothing is left to happen; it may be said twice.
        """
        self.deadlines.start()
        self.deadlines.stop()
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
