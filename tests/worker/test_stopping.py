"""
Tests of L{siger.worker.stopping}.
"""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from siger.worker.stopping import Stop, first_of
from tests.worker.memory import run


class StopTests(SynchronousTestCase):
    """
    What a job is told.
    """

    def test_weight(self) -> None:
        """
        The weightiest reason stays, the first of those that weigh the same.
        """
        stop = Stop()
        self.assertEqual((stop.reason, stop.asked.is_set()), (None, False))
        for reason, left in (
            ("return", "return"),
            ("timeout", "return"),
            ("cancel", "cancel"),
            ("superseded", "superseded"),
            ("fence", "superseded"),
        ):
            stop.ask(reason)  # type: ignore[arg-type]
            self.assertEqual(stop.reason, left)
        self.assertTrue(stop.asked.is_set())

    def test_hurry(self) -> None:
        """
        There is no time where the job is somebody else's, or soon may be, or where it is said so.
        """
        for reason, hurry, expected in (
            ("cancel", False, False),
            ("return", False, False),
            ("return", True, True),
            ("fence", False, True),
            ("superseded", False, True),
        ):
            stop = Stop()
            stop.ask(reason, hurry)  # type: ignore[arg-type]
            self.assertEqual(stop.hurry.is_set(), expected)

    def test_first_of(self) -> None:
        """
        Whichever comes first ends the wait, and nothing happens to the task.
        """

        async def wait(timeout: float | None, after: float) -> bool:
            event = asyncio.Event()
            task = asyncio.create_task(asyncio.sleep(after))
            asyncio.get_running_loop().call_later(0.05 if timeout is None else 5, event.set)
            await first_of(task, event, timeout)
            done = task.done()
            task.cancel()
            return done

        self.assertEqual([run(wait(*each)) for each in ((None, 0.0), (None, 5), (0.01, 5))], [True, False, False])
