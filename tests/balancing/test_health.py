"""
Tests for L{siger.balancing.health}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.health import DOWN, UP, WARMING, Health, usable
from siger.balancing.instances import Endpoint, Instance
from tests.http.generators import properties


def endpoints(*states: tuple[str, int]) -> list[Endpoint]:
    """
    Endpoints in these states and with these weights.
    """
    return [Endpoint(Instance(f"10.0.0.{n}", 80, weight), "h2c", word) for n, (word, weight) in enumerate(states)]


class HealthTests(SynchronousTestCase):
    """
    Tests for L{Health}.
    """

    def words(self, begin: str, answers: str, rise: int = 2, fall: int = 3) -> str:
        """
        The first letters of what an endpoint is after each answer: C{+} for a good one.
        """
        health = Health(begin)
        found = ""
        for answer in answers:
            before = health.word
            changed = health.note(answer == "+", rise, fall)
            self.assertEqual(changed, health.word != before)
            found += health.word[0]
        return found

    def test_up(self) -> None:
        """
        Who is well is ill after so many bad answers in a row, and not before.
        """
        self.assertEqual(Health().word, UP)
        self.assertEqual(self.words(UP, "+--+--+---+"), "uuuuuuuuudd")
        self.assertEqual(self.words(UP, "-", fall=1), "d")

    def test_down(self) -> None:
        """
        Who is ill is well after so many good answers in a row, and not before.
        """
        self.assertEqual(self.words(DOWN, "-+-+-++-"), "dddddduu")
        self.assertEqual(self.words(DOWN, "+", rise=1), "u")

    def test_warming(self) -> None:
        """
        Who is new is well with the first good answer, and ill after as many bad ones as anybody else.
        """
        self.assertEqual(self.words(WARMING, "+"), "u")
        self.assertEqual(self.words(WARMING, "--+"), "wwu")
        self.assertEqual(self.words(WARMING, "---+-++"), "wwddddu")

    def test_begins_anew(self) -> None:
        """
        What was counted before a change does not count after it.
        """
        self.assertEqual(self.words(WARMING, "--+--+---++---"), "wwuuuuuudduuud")

    @properties
    @given(st.lists(st.booleans(), max_size=30), st.integers(1, 4), st.integers(1, 4))
    def test_any_answers(self, answers: list[bool], rise: int, fall: int) -> None:
        """
        Whatever is answered, a change of state follows as many equal answers as it takes.
        """
        health = Health(WARMING)
        for count, good in enumerate(answers, 1):
            before = health.word
            if health.note(good, rise, fall):
                needed = fall if not good else 1 if before == WARMING else rise
                self.assertEqual(answers[count - needed : count], [good] * needed)
                self.assertEqual(health.word, UP if good else DOWN)


class UsableTests(SynchronousTestCase):
    """
    Tests for L{usable}.
    """

    def used(self, *states: tuple[str, int] | str) -> list[int]:
        """
        Which of the endpoints in these states are used.
        """
        all_of_them = endpoints(*(state if isinstance(state, tuple) else (state, 1) for state in states))
        return [all_of_them.index(endpoint) for endpoint in usable(all_of_them)]

    def test_none(self) -> None:
        """
        Of none there is none.
        """
        self.assertEqual(self.used(), [])

    def test_half(self) -> None:
        """
        The ill are left out while at least half are well.
        """
        self.assertEqual(self.used(UP, DOWN), [0])
        self.assertEqual(self.used(DOWN, UP, UP, DOWN), [1, 2])

    def test_fewer_than_half(self) -> None:
        """
        When fewer are well, all are used.
        """
        self.assertEqual(self.used(UP, DOWN, DOWN), [0, 1, 2])
        self.assertEqual(self.used(DOWN), [0])

    def test_warming(self) -> None:
        """
        Who is warming is not used while anybody is well, and does not call the panic.
        """
        self.assertEqual(self.used(UP, WARMING, WARMING, WARMING), [0])
        self.assertEqual(self.used(UP, DOWN, DOWN, WARMING), [0, 1, 2])
        self.assertEqual(self.used(DOWN, WARMING), [0, 1])
        self.assertEqual(self.used(WARMING, WARMING), [0, 1])

    def test_weights(self) -> None:
        """
        What takes no requests counts neither as well nor as ill.
        """
        self.assertEqual(self.used((UP, 0), DOWN), [1])
        self.assertEqual(self.used((UP, 1), (DOWN, 0), (DOWN, 0)), [0])
