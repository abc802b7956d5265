"""
To claim a job in its log before it is run, or to see that there is nothing to run.

The queue can deliver a job twice: when a lease has ended, when the server has forgotten in a crash what it had
delivered just before, or when a gateway put a job there twice. So the log decides. Whoever finds there that an attempt
is being made has to know that it is over:

 - The queue itself says so when it delivers the very message of that attempt again, by a server that has been up for a
   whole lease: it has not heard of the other worker for as long.
 - Else we listen for two thirds of a lease. A worker that is connected tells of itself every third, and one that is not
   has stopped the job by then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from attrs import evolve, frozen

from siger.jobs.errors import ConflictError
from siger.jobs.events import BY_GATEWAYS, Event, fold, next_attempt
from siger.jobs.members import BrokenError
from siger.jobs.model import Job
from siger.jobs.times import timestamp
from siger.messaging.errors import UnavailableError
from siger.worker.delivery import Delivery
from siger.worker.store import Entry, Store

__all__ = ["LOST", "Claim", "Claimer", "Elsewhere", "Ended"]

log = logging.getLogger("siger.worker")

LOST: Final = "worker lost"
_PAUSE: Final = 0.25


@frozen
class Claim:
    """
    The job is ours.

    @ivar sequence: of the entry that says so.
    """

    attempt: int
    sequence: int


@frozen
class Ended:
    """
    Nothing is to be run any more.

    @ivar job: how it ended.
    """

    job: Job


@frozen
class Elsewhere:
    """
    It runs elsewhere.

    @ivar duplicate: whether by another message, so that nobody needs this one.
    """

    duplicate: bool


class Claimer:
    """
    Claims one job.
    """

    def __init__(
        self,
        store: Store,
        delivery: Delivery,
        worker: str,
        instance: str,
        listen: Callable[[str], Awaitable[dict[str, Any] | None]],
        trusted: Callable[[], bool],
    ) -> None:
        """
        @param instance: what no other worker has, not even one of the same name.
        @param listen: waits for somebody else who runs a job for two thirds of a lease.
        @param trusted: whether the server is known to have been up for a lease.
        """
        self._store = store
        self._delivery = delivery
        self._job = delivery.job
        self._worker = worker
        self._instance = instance
        self._listen = listen
        self._trusted = trusted
        self._heard_nobody_of: tuple[int, str | None] | None = None
        self._sent: set[bytes] = set()

    async def claim(self) -> Claim | Ended | Elsewhere:
        """
        Claim it, whatever it takes.
        """
        entries: list[Entry] | None = None if self._delivery.again else []
        while True:
            try:
                if entries is None:
                    entries = await self._store.read(self._job.job_id)
                outcome = await self._attempt(entries)
                if outcome is not None:
                    return outcome
            except ConflictError:
                pass
            except UnavailableError as error:
                log.debug("the claim of job %s waits: %s", self._job.job_id, error)
                await asyncio.sleep(_PAUSE)
            entries = None

    async def _attempt(self, entries: list[Entry]) -> Claim | Ended | Elsewhere | None:
        """
        Decide by what the log says, and write down what was decided.
        """
        last = entries[-1].sequence if entries else 0
        job = replay(self._job, entries)
        if job.terminal:
            return Ended(job)
        for entry in entries:  # a claim of our own, whose acknowledgement was lost
            if entry.content in self._sent and _members(entry).get("attempt") == job.attempts and job.running:
                return Claim(job.attempts, last)
        if job.running and self._heard_nobody_of != (job.attempts, job.worker) and not self._expired(job, entries):
            return await self._look(job)
        if job.status == "cancelling" or await self._store.is_cancelled(job.job_id):
            return await self._end(job, last, status="cancelled")
        if next_attempt(job) > 1 + job.max_retries:
            why = job.error if job.between else LOST
            return await self._end(job, last, status="failed", error=why or LOST)
        return await self._take(next_attempt(job), last)

    async def _take(self, attempt: int, last: int) -> Claim:
        now = timestamp(time.time())
        event = self._event(attempt, now, status="processing", started_at=now)
        # The message by which it runs is for whoever may take over, see above; the instance makes the entry ours alone.
        more = {"delivery": self._delivery.sequence, "instance": self._instance}
        content = orjson.dumps(orjson.loads(event.to_json()) | more)
        return Claim(attempt, await self._append(content, last))

    async def _end(self, job: Job, last: int, **members: Any) -> Ended:
        now = timestamp(time.time())
        event = self._event(job.attempts, now, ended_at=now, **members)
        sequence = await self._append(event.to_json(), last)
        ended = fold(job, event, sequence)
        return Ended(ended if ended.terminal else evolve(job, status=str(event.status)))

    async def _append(self, content: bytes, last: int) -> int:
        self._sent.add(content)
        return await self._store.append(self._job.job_id, content, last)

    def _event(self, attempt: int, now: str, **members: Any) -> Event:
        worker = None if attempt == BY_GATEWAYS else self._worker
        return Event(job_id=self._job.job_id, event="status", attempt=attempt, worker=worker, timestamp=now, **members)

    def _expired(self, job: Job, entries: list[Entry]) -> bool:
        """
        Whether the queue itself has seen the lease of the attempt that runs end.
        """
        delivery = self._delivery
        return delivery.again and self._trusted() and _delivery_of(job.attempts, entries) == delivery.sequence

    async def _look(self, job: Job) -> Elsewhere | None:
        heard = await self._listen(job.job_id)
        if heard is not None:
            return Elsewhere(heard.get("delivery") not in (None, self._delivery.sequence))
        self._heard_nobody_of = (job.attempts, job.worker)
        return None


def replay(job: Job, entries: list[Entry]) -> Job:
    """
    What a log makes of a job.
    """
    for entry in entries:
        try:
            event = Event.from_json(entry.content)
        except BrokenError:
            continue
        job = fold(job, event, entry.sequence)
    return job


def _delivery_of(attempt: int, entries: list[Entry]) -> object:
    """
    By which message an attempt was last claimed.
    """
    for found in map(_members, reversed(entries)):
        if found.get("attempt") == attempt and found.get("status") == "processing":
            return found.get("delivery")
    return None


def _members(entry: Entry) -> dict[str, Any]:
    """
    All that an entry says, also what events do not have.
    """
    try:
        found = orjson.loads(entry.content)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
