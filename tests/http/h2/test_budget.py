"""
Tests for L{siger.http.h2.budget}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.h2.budget import Budget
from tests.http.generators import properties


class BudgetTests(SynchronousTestCase):
    """
    Tests for L{Budget}.
    """

    def spend_all(self, budget: Budget, now: float) -> int:
        """
        How often something can be spent.
        """
        count = 0
        while budget.spend(1, now):
            count += 1
        return count

    def test_capacity(self) -> None:
        """
        So much can be spent at once, and no more.
        """
        self.assertEqual(self.spend_all(Budget(10, 1.0, 50.0), 50.0), 10)

    def test_costs(self) -> None:
        """
        Some things cost more than others.
        """
        budget = Budget(10, 1.0, 0.0)
        self.assertTrue(budget.spend(7, 0.0))
        self.assertFalse(budget.spend(4, 0.0))

    def test_refill(self) -> None:
        """
        Time refills it, as far as there is room.
        """
        budget = Budget(10, 2.0, 0.0)
        for _ in range(10):
            budget.spend(1, 0.0)
        self.assertTrue(budget.spend(1, 3.0))
        self.assertEqual(budget.left, 5)
        budget = Budget(10, 2.0, 0.0)
        self.assertLessEqual(self.spend_all(budget, 1000.0), 21)

    def test_earned(self) -> None:
        """
        So does what is useful.
        """
        budget = Budget(10, 1.0, 0.0)
        budget.spend(8, 0.0)
        budget.earn(3)
        self.assertEqual(budget.left, 5)
        budget.earn(30)
        self.assertEqual(budget.left, 10)

    @properties
    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5)), max_size=60))
    def test_bound(self, steps: list[tuple[float, int]]) -> None:
        """
        However it is spent, what was spent is never more than twice what there was at first and what time added.
        """
        budget = Budget(20, 4.0, 0.0)
        now = spent = 0.0
        for wait, cost in steps:
            now += wait
            if not budget.spend(cost, now):
                break
            spent += cost
        self.assertLessEqual(spent, 20 * 2 + 4 * now)
