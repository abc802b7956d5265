"""
Tests for L{siger.proxy.waiting}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.deadlines import INTERVAL, Deadlines
from siger.proxy.connection import UpstreamConnection
from siger.proxy.waiting import Waiter, WaitingLine


class Someone:
    """
    Somebody in line.
    """

    def connected(self, connection: UpstreamConnection) -> None:
        """
        Never said by a line.
        """

    def connect_failed(self, reason: Reason) -> None:
        """
        Never said by a line.
        """


class WaitingLineTests(SynchronousTestCase):
    """
    Tests for L{WaitingLine}.
    """

    def setUp(self) -> None:
        """
        Make a line, and three who may stand in it.
        """
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.deadlines.start()
        self.expired: list[Waiter] = []
        self.line = WaitingLine(self.deadlines, self.expired.append)
        self.people = [Someone(), Someone(), Someone()]

    def later(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.pump([INTERVAL] * round(seconds / INTERVAL))

    def test_first_come(self) -> None:
        """
        First come, first served.
        """
        for someone in self.people:
            self.line.append(someone, 5)
        self.assertEqual(len(self.line), 3)
        self.assertEqual([self.line.pop() for _ in range(4)], [*self.people, None])
        self.assertEqual(len(self.line), 0)

    def test_empty(self) -> None:
        """
        An empty line has no deadline; nobody is missed in it.
        """
        self.line.remove(self.people[0])
        self.assertIsNone(self.line.pop())
        self.later(10)
        self.assertEqual(self.line.deadline, float("inf"))

    def test_patience(self) -> None:
        """
        Each waits for as long as it can, whatever the others can; who has waited too long is in line no more.
        """
        for someone, patience in zip(self.people, (5, 1, 3), strict=True):
            self.line.append(someone, patience)
        first, second, third = self.people
        for seconds, expired in ((0.75, []), (0.5, [second]), (1.5, [second]), (0.5, [second, third])):
            self.later(seconds)
            self.assertEqual(self.expired, expired)
            self.assertGreater(self.line.deadline, self.deadlines.now)
        self.assertIs(self.line.pop(), first)
        self.later(10)
        self.assertEqual(len(self.expired), 2)

    def test_many_at_once(self) -> None:
        """
        All whose time is over are told at once.
        """
        for _ in range(100):
            self.line.append(Someone(), 1)
        self.later(1.25)
        self.assertEqual((len(self.expired), len(self.line)), (100, 0))

    def test_removed(self) -> None:
        """
        Who leaves is told nothing, and changes nothing for the others.
        """
        first, second, third = self.people
        self.line.append(first, 1)
        self.line.append(second, 3)
        self.line.append(third, 2)
        self.line.remove(first)
        self.later(1.5)
        self.assertEqual(self.expired, [])
        self.assertGreater(self.line.deadline, self.deadlines.now)
        self.later(0.75)
        self.assertEqual(self.expired, [third])
        self.later(1)
        self.assertEqual(self.expired, [third, second])

    def test_last_removed(self) -> None:
        """
        When the last has left, nothing is watched.
        """
        self.line.append(self.people[0], 1)
        self.line.remove(self.people[0])
        self.assertEqual(self.line.deadline, float("inf"))
        self.later(5)
        self.line.append(self.people[1], 1)
        self.later(1.25)
        self.assertEqual(self.expired, [self.people[1]])

    def test_again(self) -> None:
        """
        Who was told may stand in line again, at once.
        """
        line: list[WaitingLine] = []
        told: list[Waiter] = []

        def again(waiter: Waiter) -> None:
            told.append(waiter)
            line[0].append(waiter, 1)

        line.append(WaitingLine(self.deadlines, again))
        line[0].append(self.people[0], 1)
        self.later(4.5)
        self.assertEqual(told, [self.people[0]] * 4)
