"""
Tests of L{siger.worker.handlers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.worker.context import JobContext
from siger.worker.handlers import Handlers


async def first(job: JobContext) -> object:
    return 1


async def second(job: JobContext) -> object:
    return 2


class HandlersTests(SynchronousTestCase):
    """
    Who handles what.
    """

    def test_given(self) -> None:
        """
        They are given by type, or one for all, or not at all.
        """
        for given, expected in ((None, (None, None)), (first, (first, first)), ({"a": first}, (first, None))):
            handlers = Handlers(given)
            self.assertEqual((handlers.find("a"), handlers.find("b")), expected)

    def test_registered(self) -> None:
        """
        Types come before what is for all, and the last word counts.
        """
        handlers = Handlers({"a": first})
        self.assertIs(handlers.register(["a", "b"])(second), second)
        handlers.register([])(first)
        self.assertEqual([handlers.find(type_) for type_ in "abc"], [second, second, first])
