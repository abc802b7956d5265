"""
Tests of L{siger.worker.running}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.submission import message_bytes
from siger.worker.context import Handler, JobContext
from siger.worker.delivery import Delivery
from siger.worker.errors import JobCancelled, JobFailed
from siger.worker.outcome import MAX_RESULT
from siger.worker.running import Run, Terms
from tests.jobs.making import job, status
from tests.worker.memory import MemoryStore, run


class RunTests(SynchronousTestCase):
    """
    What becomes of a delivery.
    """

    def setUp(self) -> None:
        self.store = MemoryStore()

    def see(
        self,
        handler: Handler,
        meanwhile: Callable[[Run], None] | None = None,
        lease: float = 30.0,
        grace: float = 0.1,
        **fields: Any,
    ) -> Run:
        """
        See a delivery through.

        @param meanwhile: called a moment after the handler has begun.
        """
        one = job(max_retries=fields.pop("max_retries", 1), **fields)
        delivery = Delivery("reply", 7, False, one, message_bytes(one))

        async def nobody(job_id: str) -> None:
            return None

        async def go() -> Run:
            since = asyncio.get_running_loop().time()
            terms = Terms("w", "instance", lease, grace)
            found = Run(self.store, delivery, handler, (), terms, since, nobody, lambda: True)
            if meanwhile is not None:
                asyncio.get_running_loop().call_later(0.05, meanwhile, found)
            await found.go()
            return found

        return run(go())

    def end(self) -> tuple[str | None, object]:
        """
        How the log says that it ended.
        """
        last = self.store.events()[-1]
        return last.status, last.error or last.result

    async def wait(self, job: JobContext) -> object:
        """
        A handler that ends when it is told to.
        """
        while True:
            await job.check()
            await asyncio.sleep(0.005)

    def test_completed(self) -> None:
        """
        A result is written first, then the message is acknowledged.
        """

        async def handle(job: JobContext) -> object:
            return {"type": job.type, "name": job.name}

        self.see(handle)
        self.assertEqual(self.end(), ("completed", {"type": "ai_training", "name": "A job"}))
        self.assertEqual(self.store.told, [("+ACK", "reply")])

    def test_failures(self) -> None:
        """
        What a handler raises decides about another attempt.
        """
        for error, retries, expected in (
            (ValueError("bad"), 1, ("retrying", "ValueError: bad")),
            (ValueError(), 0, ("failed", "ValueError")),
            (JobFailed("later"), 1, ("retrying", "later")),
            (JobFailed("never", retry=False), 1, ("failed", "never")),
            (SystemExit(3), 1, ("retrying", "the handler exits: 3")),
            (asyncio.CancelledError(), 1, ("retrying", "JobCancelled: the handler was cancelled")),
            (JobCancelled(), 0, ("failed", "JobCancelled")),
        ):
            self.setUp()

            async def handle(job: JobContext, error: BaseException = error) -> object:
                raise error

            self.see(handle, max_retries=retries)
            self.assertEqual(self.end(), expected)
            if expected[0] == "retrying":
                self.assertEqual(self.store.told, [("-NAK", "reply", 2.0)])
            else:
                [(_, buried), acknowledged] = self.store.told
                assert isinstance(buried, bytes)
                self.assertEqual(orjson.loads(buried)["reason"], expected[1])
                self.assertEqual(acknowledged, ("+ACK", "reply"))

    def test_results(self) -> None:
        """
        A result that cannot be kept fails the job.
        """
        deep: object = None
        for _ in range(80):
            deep = [deep]
        for result, expected in (
            ("x" * (MAX_RESULT - 2), "completed"),
            ("x" * MAX_RESULT, "failed"),
            (deep, "failed"),
            (object(), "failed"),
            ({1: 2}, "failed"),
            (float("nan"), "completed"),
        ):
            self.setUp()

            async def handle(job: JobContext, result: object = result) -> object:
                return result

            self.see(handle)
            self.assertEqual(self.store.events()[-1].status, expected)

    def test_cancelled(self) -> None:
        """
        A cancelled job ends as such, however its handler takes it; a result is kept.
        """

        async def result(job: JobContext) -> object:
            await job.cancelled.wait()
            return "partial"

        async def stubborn(job: JobContext) -> object:
            return await asyncio.sleep(30)

        for handler, said in ((self.wait, None), (result, "partial"), (stubborn, None)):
            self.setUp()
            self.see(handler, Run.cancel)
            self.assertEqual(self.end(), ("cancelled", said))
            self.assertEqual(self.store.told, [("+ACK", "reply")])

    def test_handed_back(self) -> None:
        """
        A job is handed back without counting the attempt, unless it has a result by then.
        """

        async def early(job: JobContext) -> object:
            await job.cancelled.wait()
            return None

        async def result(job: JobContext) -> object:
            await job.cancelled.wait()
            return "done"

        for handler in (self.wait, early):
            self.setUp()
            self.see(handler, Run.hand_back)
            self.assertTrue(self.store.events()[-1].returned)
            self.assertEqual(self.store.told, [("-NAK", "reply", 0.0)])
        self.setUp()
        self.see(result, Run.hand_back)
        self.assertEqual(self.end(), ("completed", "done"))

    def test_fence(self) -> None:
        """
        Without an answer for two thirds of the lease it is stopped, and nothing is said about it.
        """

        def lose(run: Run) -> None:
            self.store.away = True

        ended: list[float] = []

        async def handle(job: JobContext) -> object:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            try:
                return await asyncio.sleep(30)
            finally:
                ended.append(loop.time() - begun)

        self.see(handle, lose, lease=0.6, grace=30)
        self.assertEqual([event.status for event in self.store.events()], ["processing"])
        self.assertEqual([told for told in self.store.told if told[0] != "+WPI"], [])
        self.assertLess(ended[0], 0.6)

    def test_end_after_fence(self) -> None:
        """
        What ended in time is still written when the connection comes back late; the log would refuse it if somebody
        else had the job.
        """

        def away(run: Run) -> None:
            self.store.away = True
            asyncio.get_running_loop().call_later(0.7, setattr, self.store, "away", False)

        async def handle(job: JobContext) -> object:
            await asyncio.sleep(0.1)
            return "late"

        self.see(handle, away, lease=0.6)
        self.assertEqual(self.end(), ("completed", "late"))

    def test_superseded(self) -> None:
        """
        Somebody else's job is dropped without a word; one that has ended is acknowledged.
        """
        for event, told in (
            (status("processing", 2, worker="v"), []),
            (status("failed", 0, error="lost"), [("+ACK", "reply")]),
        ):
            self.setUp()

            async def handle(job: JobContext) -> object:
                while True:
                    await job.log("x")
                    await asyncio.sleep(0.01)

            self.see(handle, lambda run, event=event: self.store.add(event))  # type: ignore[misc]
            self.assertEqual(self.store.log[-1].content, event.to_json())
            self.assertEqual(self.store.told, told)

    def test_timeout(self) -> None:
        """
        A timeout is final.
        """
        self.see(self.wait, timeout=1)
        self.assertEqual(self.end(), ("failed", "timeout: the job took longer than 1 s"))
