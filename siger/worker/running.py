"""
One delivery of a job, from its arrival until the queue has been told what became of it.

The job is claimed, handled, and its end written into its log; only then the message is taken out of the queue. Its
lease is prolonged meanwhile. An end that waits for the connection is still written after the fence
(L{siger.worker.lease}): the log refuses it if anybody has taken the job over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from attrs import frozen

from siger.jobs.times import timestamp
from siger.messaging.errors import UnavailableError
from siger.worker.claiming import Claim, Claimer, Elsewhere, Ended
from siger.worker.context import Handler, JobContext
from siger.worker.delivery import Delivery
from siger.worker.errors import Superseded
from siger.worker.handling import handle
from siger.worker.lease import Lease
from siger.worker.outcome import back_off, end_of
from siger.worker.stopping import Stop, first_of
from siger.worker.store import Store
from siger.worker.writing import Journal

__all__ = ["Run", "Terms"]

log = logging.getLogger("siger.worker")


@frozen
class Terms:
    """
    Under which jobs are run.

    @ivar worker: the name of the worker.
    @ivar instance: what no other worker has, not even one of the same name.
    @ivar lease: seconds that the queue waits for a sign of life.
    @ivar grace: seconds that a job gets to end by itself once it is to stop.
    """

    worker: str
    instance: str
    lease: float
    grace: float


class Run:
    """
    Sees a delivery through.
    """

    def __init__(
        self,
        store: Store,
        delivery: Delivery,
        handler: Handler,
        gpus: tuple[int, ...],
        terms: Terms,
        since: float,
        listen: Callable[[str], Awaitable[dict[str, Any] | None]],
        trusted: Callable[[], bool],
    ) -> None:
        """
        @param since: the moment, on the loop's clock, since when the lease certainly runs.
        """
        self.job = delivery.job
        self.gpus = gpus
        self._claimed: Claim | None = None
        self._store = store
        self._delivery = delivery
        self._handler = handler
        self._terms = terms
        self._lease = Lease(store, delivery, terms.lease, since)
        self._claimer = Claimer(store, delivery, terms.worker, terms.instance, listen, trusted)
        self._stop = Stop()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Run {self.job.job_id} {self._stop.reason or 'on'}>"

    # What others want of it

    def cancel(self) -> None:
        """
        The job is to be cancelled.
        """
        self._stop.ask("cancel")

    def hand_back(self, hurry: bool = False) -> None:
        """
        The worker goes away.

        @param hurry: at once.
        """
        self._stop.ask("return", hurry)

    def runs_by(self, delivery: Delivery) -> bool:
        """
        Whether a delivery is of the very message by which the job runs.
        """
        return delivery.sequence == self._delivery.sequence

    def adopt(self, delivery: Delivery) -> bool:
        """
        The same message has come again, although the job runs here.

        @return: whether it goes on by this one; not when it is being stopped because the lease is over.
        """
        if self._stop.reason == "fence":
            return False
        self._lease.adopt(delivery)
        return True

    async def check_orders(self) -> None:
        """
        See whether an order has been missed, such as while there was no connection.
        """
        with contextlib.suppress(UnavailableError):
            if await self._store.is_cancelled(self.job.job_id):
                self.cancel()

    # The lease

    async def go(self) -> None:
        """
        See it through.
        """
        beating = asyncio.create_task(self._beat())
        try:
            await self._go()
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        await self._lease.keep(self._say_alive)
        if not self._ended:
            log.warning("job %s is stopped: its lease could not be prolonged", self.job.job_id)
        self._stop.ask("fence")

    async def _say_alive(self) -> None:
        """
        Tell whoever listens that the job runs here.
        """
        if self._claimed is None:
            return
        said = {
            "job_id": self.job.job_id,
            "attempt": self._claimed.attempt,
            "worker": self._terms.worker,
            "delivery": self._delivery.sequence,
            "instance": self._terms.instance,
        }
        with contextlib.suppress(UnavailableError):
            await self._store.say_alive(self.job.job_id, orjson.dumps(said))

    # The job

    async def _go(self) -> None:
        outcome = await self._claim()
        if isinstance(outcome, Claim):
            self._claimed = outcome
            await self._say_alive()
            await self._attempt(outcome)
        elif isinstance(outcome, Ended):
            await self._leave_queue(outcome.job.status, outcome.job.error, outcome.job.attempts)
        elif isinstance(outcome, Elsewhere) and outcome.duplicate:
            await self._lease.acknowledge()
        elif isinstance(outcome, Elsewhere):
            await self._lease.give_back(self._terms.lease)
        elif self._stop.reason == "return":
            await self._lease.give_back(0.0)

    async def _claim(self) -> Claim | Ended | Elsewhere | None:
        """
        Claim it, unless the worker goes away first, or the lease ends.
        """
        claiming = asyncio.create_task(self._claimer.claim())
        try:
            await first_of(claiming, self._stop.asked)
            if self._stop.reason == "cancel":  # the claim itself may see to that
                await first_of(claiming, self._stop.hurry)
        finally:
            if not claiming.done():
                claiming.cancel()
                await asyncio.wait({claiming})
        return None if claiming.cancelled() else claiming.result()

    async def _attempt(self, claim: Claim) -> None:
        journal = Journal(self._store, self.job.job_id, claim.attempt, self._terms.worker, claim.sequence, self.cancel)
        writing = asyncio.create_task(journal.write())
        writing.add_done_callback(self._written)
        log.info("job %s begins, attempt %d", self.job.job_id, claim.attempt)
        try:
            handling = await self._handle(JobContext(self.job, claim.attempt, self.gpus, journal))
            if self._stop.reason == "fence":
                return
            end = end_of(self.job, claim.attempt, handling, self._stop.reason)
            if self._stop.reason != "superseded":
                journal.end(**end)
            await writing
            await self._close(claim, end)
        except Superseded as superseded:
            log.warning("job %s is given up: %s", self.job.job_id, superseded)
            if superseded.ended:
                await self._lease.acknowledge()
        finally:
            writing.cancel()
            await asyncio.wait({writing})

    def _written(self, writing: asyncio.Task[None]) -> None:
        if not writing.cancelled() and writing.exception() is not None:
            self._stop.ask("superseded")

    async def _handle(self, context: JobContext) -> asyncio.Task[object]:
        try:
            return await handle(self._handler, context, self._stop, self._terms.grace)
        finally:
            self._ended = True

    # The end

    async def _close(self, claim: Claim, end: dict[str, Any]) -> None:
        """
        The end is written; tell the queue.
        """
        log.info("job %s ends: %s", self.job.job_id, end["status"])
        if end["status"] == "retrying":
            await self._lease.give_back(0.0 if end.get("returned") else back_off(claim.attempt))
        else:
            await self._leave_queue(end["status"], end.get("error"), claim.attempt)

    async def _leave_queue(self, status: str, error: str | None, attempts: int) -> None:
        """
        The job has ended, here or elsewhere, so it is taken out of the queue, but not before it is among the dead if it
        belongs there. Whoever gets it again finds the end in the log, and comes here again.
        """
        if status == "failed":
            about = {"reason": error, "attempts": attempts, "ended_at": timestamp(time.time())}
            content = orjson.dumps(orjson.loads(self._delivery.content) | about)
            if not await self._lease.insist(lambda: self._store.bury(self.job.type, self.job.job_id, content)):
                return
        await self._lease.acknowledge()
