"""
Tests of L{siger.jobs.ordering}.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs import ordering
from siger.jobs.ordering import Key, Ordered


def key(number: int) -> Key:
    """
    A key.
    """
    return (f"{number:06}", "x")


class OrderedTests(SynchronousTestCase):
    """
    L{Ordered} does what one sorted list does.
    """

    def setUp(self) -> None:
        """
        Make blocks short, so that there are many.
        """
        self.patch(ordering, "_LONGEST", 4)

    def check(self, ordered: Ordered, expected: list[Key]) -> None:
        """
        Compare.
        """
        self.assertEqual(len(ordered), len(expected))
        self.assertEqual(list(ordered.rising()), expected)
        self.assertEqual(list(ordered.falling()), expected[::-1])
        for number in range(-1, 32):
            at = bisect_left(expected, key(number))
            self.assertEqual(ordered.rank(key(number)), at)
            self.assertEqual(list(ordered.falling(key(number))), expected[:at][::-1])

    @given(st.lists(st.integers(0, 30), max_size=80))
    def test_like_a_list(self, numbers: list[int]) -> None:
        """
        Whatever comes and goes in whatever order: a number that comes again goes.
        """
        ordered = Ordered()
        expected: list[Key] = []
        for number in numbers:
            if key(number) in expected:
                ordered.remove(key(number))
                expected.remove(key(number))
            else:
                ordered.add(key(number))
                insort(expected, key(number))
        self.check(ordered, expected)

    def test_missing(self) -> None:
        """
        What is not there cannot go.
        """
        ordered = Ordered()
        self.assertRaises(KeyError, ordered.remove, key(1))
        ordered.add(key(2))
        for number in (1, 3):
            self.assertRaises(KeyError, ordered.remove, key(number))
        self.check(ordered, [key(2)])

    def test_full_blocks(self) -> None:
        """
        Keys that come in their order fill blocks to the brim.
        """
        ordered = Ordered()
        for number in range(30):
            ordered.add(key(number))
        self.assertEqual([len(block) for block in ordered._blocks], [4] * 7 + [2])
