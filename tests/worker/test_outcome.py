"""
Tests of L{siger.worker.outcome}.
"""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from siger.worker.errors import JobCancelled, JobFailed
from siger.worker.outcome import back_off, end_of
from siger.worker.stopping import Reason
from tests.jobs.making import job
from tests.worker.memory import run


class EndTests(SynchronousTestCase):
    """
    What is written down.
    """

    def status(self, result: object, reason: Reason | None = None, attempt: int = 1) -> object:
        """
        The status that an attempt ends with.

        @param result: what the handler returned, or raised.
        """

        async def handle() -> object:
            if isinstance(result, BaseException):
                raise result
            return result

        async def end() -> object:
            handling = asyncio.create_task(handle())
            await asyncio.wait({handling})
            return end_of(job(max_retries=1, timeout=5), attempt, handling, reason)["status"]

        return run(end())

    def test_by_itself(self) -> None:
        """
        A handler that was not stopped has completed its job whatever it returns, or failed it, for good or not.
        """
        for result, attempt, expected in (
            (None, 1, "completed"),
            ("x", 1, "completed"),
            (ValueError(), 1, "retrying"),
            (ValueError(), 2, "failed"),
            (JobFailed("x", retry=False), 1, "failed"),
        ):
            self.assertEqual(self.status(result, None, attempt), expected)

    def test_stopped(self) -> None:
        """
        What it was stopped for decides, but for a result when its worker goes away.
        """
        expected: dict[Reason, tuple[str, str, str]] = {
            "cancel": ("cancelled", "cancelled", "cancelled"),
            "timeout": ("failed", "failed", "failed"),
            "return": ("retrying", "completed", "retrying"),
        }
        for reason, statuses in expected.items():
            for result, wanted in zip((None, "x", JobCancelled()), statuses, strict=True):
                self.assertEqual(self.status(result, reason), wanted, (reason, result))

    def test_back_off(self) -> None:
        """
        It doubles up to a minute.
        """
        self.assertEqual([back_off(n) for n in (1, 2, 5, 6, 7, 10_000)], [2.0, 4.0, 32.0, 60.0, 60.0, 60.0])
