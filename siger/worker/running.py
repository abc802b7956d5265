"""
One delivery of a job, from its arrival until the queue has been told what became of it.

Theory of operation. A task prolongs the lease by asking the queue to, every third of it, and counts from when it asked.
After two thirds without an answer it I{fences}: what runs is stopped before the lease ends, for then somebody else may
begin. Meanwhile the job is claimed, handled, and its end written into its log; only then the message is taken out of
the queue. An end that waits for the connection is still written after the fence: the log refuses it if anybody has
taken the job over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import orjson
from attrs import frozen

from siger.jobs.events import MAX_ERROR
from siger.jobs.members import MAX_DEPTH, deeper
from siger.jobs.times import timestamp
from siger.messaging.errors import UnavailableError
from siger.worker.claiming import FENCE, Claim, Claimer, Delivery, Elsewhere, Ended
from siger.worker.context import Handler, JobContext
from siger.worker.errors import JobCancelled, JobFailed, Superseded
from siger.worker.store import Store
from siger.worker.writing import Journal

__all__ = ["MAX_BACK_OFF", "MAX_RESULT", "Run", "Terms", "back_off"]

log = logging.getLogger("siger.worker")

MAX_RESULT: Final = 64 * 1024
"""
The longest result, in bytes of JSON.
"""
MAX_BACK_OFF: Final = 60.0
#: Seconds before something that needs a connection is tried again.
_PAUSE: Final = 0.25
#: Seconds between complaints of a handler that does not end.
_COMPLAIN: Final = 30.0

Reason = Literal["cancel", "timeout", "return", "fence", "superseded"]
_WEIGHT: Final = {"timeout": 1, "return": 2, "cancel": 3, "fence": 4, "superseded": 4}


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


def back_off(attempt: int) -> float:
    """
    Seconds before the next attempt after this one.
    """
    return float(min(MAX_BACK_OFF, 2.0 ** min(attempt, 10)))


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
        self.claimed: Claim | None = None
        self._store = store
        self._delivery = delivery
        self._reply = delivery.reply
        self._handler = handler
        self._terms = terms
        self._confirmed = since
        self._claimer = Claimer(store, delivery, terms.worker, terms.instance, listen, trusted)
        self._reason: Reason | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Run {self.job.job_id} {self._reason or 'on'}>"

    # What others want of it

    def cancel(self) -> None:
        """
        The job is to be cancelled.
        """
        self._stop_for("cancel")

    def hand_back(self, hurry: bool = False) -> None:
        """
        The worker goes away.

        @param hurry: at once.
        """
        self._stop_for("return")
        if hurry:
            self._hurry.set()

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
        if self._reason == "fence":
            return False
        self._reply = delivery.reply
        return True

    async def check_orders(self) -> None:
        """
        See whether an order has been missed, such as while there was no connection.
        """
        with contextlib.suppress(UnavailableError):
            if await self._store.is_cancelled(self.job.job_id):
                self.cancel()

    def _stop_for(self, reason: Reason) -> None:
        if self._reason is None or _WEIGHT[reason] > _WEIGHT[self._reason]:
            self._reason = reason
        if reason in ("fence", "superseded"):
            self._hurry.set()
        self._stop.set()

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
        lease = self._terms.lease
        clock = asyncio.get_running_loop().time
        wait = max(0.0, self._confirmed + lease / 3 - clock())
        while True:
            await asyncio.sleep(wait)
            deadline = self._confirmed + FENCE * lease
            asked = clock()
            if asked >= deadline:
                break
            try:
                await self._store.in_progress(self._reply, min(lease / 4, deadline - asked))
            except UnavailableError:
                wait = min(lease / 15, max(0.0, deadline - clock()))
                continue
            self._confirmed = asked
            wait = lease / 3
            await self.say_alive()
        if not self._ended:
            log.warning("job %s is stopped: its lease could not be prolonged", self.job.job_id)
        self._stop_for("fence")

    async def say_alive(self) -> None:
        """
        Tell whoever listens that the job runs here.
        """
        if self.claimed is None:
            return
        said = {
            "job_id": self.job.job_id,
            "attempt": self.claimed.attempt,
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
            self.claimed = outcome
            await self.say_alive()
            await self._attempt(outcome)
        elif isinstance(outcome, Ended):
            await self._leave_queue(outcome.job.status, outcome.job.error, outcome.job.attempts)
        elif isinstance(outcome, Elsewhere) and outcome.duplicate:
            await self._acknowledge()
        elif isinstance(outcome, Elsewhere):
            await self._give_back(self._terms.lease)
        elif self._reason == "return":
            await self._give_back(0.0)

    async def _claim(self) -> Claim | Ended | Elsewhere | None:
        """
        Claim it, unless the worker goes away first, or the lease ends.
        """
        claiming = asyncio.create_task(self._claimer.claim())
        try:
            await self._wait(claiming, self._stop, None)
            if self._reason == "cancel":  # the claim itself may see to that
                await self._wait(claiming, self._hurry, None)
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
            if self._reason == "fence":
                return
            end = self._end(handling, claim.attempt)
            if self._reason != "superseded":
                journal.end(**end)
            await writing
            await self._close(claim, end)
        except Superseded as superseded:
            log.warning("job %s is given up: %s", self.job.job_id, superseded)
            if superseded.ended:
                await self._acknowledge()
        finally:
            writing.cancel()
            await asyncio.wait({writing})

    def _written(self, writing: asyncio.Task[None]) -> None:
        if not writing.cancelled() and writing.exception() is not None:
            self._stop_for("superseded")

    async def _handle(self, context: JobContext) -> asyncio.Task[object]:
        """
        Have it handled.

        @return: the handler's task, which has ended, by itself or not.
        """
        handling = asyncio.create_task(_called(self._handler, context, self._stop.is_set()))
        try:
            await self._wait(handling, self._stop, self.job.timeout or None)
            if not handling.done():
                self._stop_for(self._reason or "timeout")
                context.cancelled.set()
                await self._wait(handling, self._hurry, self._terms.grace)
        finally:
            while not handling.done():
                handling.cancel()
                await asyncio.wait({handling}, timeout=_COMPLAIN)
                if not handling.done():
                    log.error("the handler of job %s does not end although it was cancelled", self.job.job_id)
            self._ended = True
        return handling

    async def _wait(self, task: asyncio.Task[Any], event: asyncio.Event, timeout: float | None) -> None:
        """
        Wait for a task or an event, whichever comes first.
        """
        waiting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait({task, waiting}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    # The end

    def _end(self, handling: asyncio.Task[object], attempt: int) -> dict[str, Any]:
        """
        What to write down about the end of the attempt. Whoever was told to stop has completed the job only if there
        is a result.
        """
        result, failure = _outcome(handling)
        if self._reason == "cancel":
            error = None if failure is None or isinstance(failure, JobCancelled) else _said(failure)
            return {"status": "cancelled", "result": result, "error": error}
        if self._reason == "timeout":
            return {"status": "failed", "error": f"timeout: the job took longer than {self.job.timeout} s"}
        if failure is None and (result is not None or not self._stop.is_set()):
            return {"status": "completed", "progress": 100, "result": result}
        if self._reason == "return":
            return {"status": "retrying", "returned": True, "message": "handed back: the worker is stopping"}
        return self._failed(failure or JobCancelled(), attempt)

    def _failed(self, failure: BaseException, attempt: int) -> dict[str, Any]:
        error = _said(failure)
        final = isinstance(failure, JobFailed) and not failure.retry
        if final or attempt > self.job.max_retries:
            return {"status": "failed", "error": error}
        return {"status": "retrying", "error": error, "message": f"trying again in {back_off(attempt):.0f} s"}

    async def _close(self, claim: Claim, end: dict[str, Any]) -> None:
        """
        The end is written; tell the queue.
        """
        log.info("job %s ends: %s", self.job.job_id, end["status"])
        if end["status"] == "retrying":
            await self._give_back(0.0 if end.get("returned") else back_off(claim.attempt))
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
            if not await self._tell(lambda: self._store.bury(self.job.type, self.job.job_id, content)):
                return
        await self._acknowledge()

    async def _acknowledge(self) -> None:
        await self._tell(lambda: self._store.acknowledge(self._reply))

    async def _give_back(self, delay: float) -> None:
        await self._tell(lambda: self._store.give_back(self._reply, delay))

    async def _tell(self, tell: Callable[[], Awaitable[None]]) -> bool:
        """
        Tell the queue something, again and again until the lease ends.

        @return: whether it was heard. If not, it finds out by the end of the lease.
        """
        clock = asyncio.get_running_loop().time
        while True:
            try:
                await tell()
                return True
            except UnavailableError as error:
                if clock() + _PAUSE > self._confirmed + self._terms.lease:
                    log.warning("job %s: the queue does not hear of it: %s", self.job.job_id, error)
                    return False
            await asyncio.sleep(_PAUSE)


async def _called(handler: Handler, context: JobContext, stopped: bool) -> object:
    """
    Call a handler, unless its job is to stop before it has begun.
    """
    if stopped:
        raise JobCancelled
    try:
        return await handler(context)
    except SystemExit as leaving:  # which would end the worker
        raise JobFailed(f"the handler exits: {leaving}") from leaving


def _outcome(handling: asyncio.Task[object]) -> tuple[object, BaseException | None]:
    """
    What a handler returned, as plain JSON, or what it raised.
    """
    if handling.cancelled():
        return None, JobCancelled("the handler was cancelled")
    failure = handling.exception()
    if failure is not None:
        return None, failure
    try:
        written = orjson.dumps(handling.result())
    except (orjson.JSONEncodeError, RecursionError):
        return None, JobFailed("the result is no JSON", retry=False)
    if len(written) > MAX_RESULT:
        return None, JobFailed(f"the result is longer than {MAX_RESULT} bytes", retry=False)
    result: object = orjson.loads(written)
    if deeper(result, MAX_DEPTH):
        return None, JobFailed(f"the result has more than {MAX_DEPTH} levels", retry=False)
    return result, None


def _said(failure: BaseException) -> str:
    """
    What to tell of a failure: what handlers say on purpose as it is, else with its kind.
    """
    text = str(failure)
    if not isinstance(failure, JobFailed):
        text = f"{type(failure).__name__}: {text}" if text else type(failure).__name__
    return text[:MAX_ERROR].encode("utf-8", "replace").decode("utf-8")
