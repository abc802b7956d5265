"""
Tests of those who wait.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.waiting import Waiters


class WaitersTests(SynchronousTestCase):
    """
    L{Waiters}.
    """

    def test_fire(self) -> None:
        """
        Those who wait are told, once; those who come later wait for the next time.
        """
        waiters = Waiters()
        first = waiters.wait()
        waiters.fire()
        second = waiters.wait()
        self.successResultOf(first)
        self.assertNoResult(second)
        waiters.fire()
        self.successResultOf(second)
        self.assertEqual(len(waiters), 0)

    def test_cancel(self) -> None:
        """
        Whoever cancels waits no longer, also when another is being told just then.
        """
        waiters = Waiters()
        first, second, third = (waiters.wait() for _ in range(3))
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.assertEqual(len(waiters), 2)
        first.addCallback(lambda _: second.cancel())
        waiters.fire()
        self.failureResultOf(second, CancelledError)

    def test_forget(self) -> None:
        """
        Those who are forgotten are not told.
        """
        waiters = Waiters()
        forgotten = waiters.wait()
        waiters.forget()
        waiters.fire()
        self.assertNoResult(forgotten)
