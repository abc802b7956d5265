"""
What finishes that nobody else will finish.

 - A record whose message may not have been acknowledged (L{siger.jobs.marks}): its gateway crashed in between, or lost
   its connection. The message is sent again, under the same name (row K4).
 - A job whose worker has gone without a word, and that no other worker took: it has failed. One that was to be
   cancelled is cancelled.
 - A job that is being cancelled, and whose worker may never have been told: it is told again.
 - Records of jobs that ended longer ago than they are kept.

All gateways do this at once. Each step is one that two may take: the same message twice is one, an entry in a log
stands only behind the one that was seen, and what is gone cannot be taken away again. Silence is measured by this
gateway's own clock, and only while it could have heard something.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from siger.config.settings.jobs import JobsSettings
from siger.jobs.catching import CatchUp
from siger.jobs.errors import ConflictError, FullError, UnknownJobError
from siger.jobs.events import BY_GATEWAYS, Event
from siger.jobs.marks import Marks
from siger.jobs.model import Job
from siger.jobs.ports import AnyBroker, AnyRecords
from siger.jobs.streams import KEYS_TTL
from siger.jobs.submission import message_bytes
from siger.jobs.times import timestamp
from siger.messaging.errors import MessagingError, RevisionError, TooLargeError

__all__ = ["LOST", "TICK", "Reconciler"]

TICK: Final = 2.0
"""Seconds from one look to the next."""

SETTLED: Final = 15.0
"""Seconds after which a submission that goes on elsewhere is believed to have ended, one way or the other."""

NEVER: Final = KEYS_TTL + 3600.0
"""Seconds after which nobody makes a record any more that is missing: as long as there is its key, somebody may."""

SWEEP: Final = 600.0
"""Seconds from one look for old records to the next."""

MOST: Final = 200
"""How many jobs are dealt with at one look."""

LOST: Final = "worker lost"
"""Why a job failed whose worker has gone."""

_LEASES: Final = 3
_DAY: Final = 86400.0


class Reconciler:
    """
    Looks after the jobs that somebody left.

    @ivar requeued: messages that were sent again.
    @ivar lost: jobs whose worker was given up.
    @ivar swept: records that were taken away.
    """

    log = Logger(namespace="siger.jobs")

    def __init__(
        self,
        broker: AnyBroker,
        records: AnyRecords,
        marks: Marks,
        settings: JobsSettings,
        clock: IReactorTime,
        busy: Callable[[str], bool],
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param marks: which jobs are in the queue.
        @param busy: whether this gateway is submitting a job just now.
        @param now: the wall clock, in seconds.
        """
        self.requeued = self.lost = self.swept = 0
        self._broker = broker
        self._records = records
        self._marks = marks
        self._settings = settings
        self._clock = clock
        self._catch_up = CatchUp(broker, records)
        self._busy = busy
        self._now = now
        self._unpublished: dict[str, float] = {}
        self._running: dict[str, float] = {}
        self._cancelling: dict[str, float] = {}
        self._missing: dict[str, float] = {}
        self._sequences: dict[str, int] = {}
        self._swept_at = 0.0
        self._forget: list[Callable[[], None]] = []
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """
        Begin to look. It has to come before records are read, as it looks only at what it is told of.
        """
        self._forget = [self._records.on_change(self._changed), self._broker.on_alive(self._alive)]
        self._swept_at = self._clock.seconds()
        self._loop.start(TICK, now=False)

    def stop(self) -> None:
        """
        Look no longer.
        """
        for forget in self._forget:
            forget()
        self._forget = []
        if self._loop.running:
            self._loop.stop()

    # What it is told.

    def _changed(self, job: Job) -> None:
        now = self._clock.seconds()
        if job.status == "queued" and not job.published and not self._marks.covers(job.job_id):
            self._unpublished.setdefault(job.job_id, now if self._busy(job.job_id) else now - self._age(job))
        else:
            self._unpublished.pop(job.job_id, None)
            self._marks.settle(job.job_id)
        if job.running:
            self._running[job.job_id] = now
        else:
            self._running.pop(job.job_id, None)
            self._sequences.pop(job.job_id, None)
        if job.running and job.status == "cancelling":
            self._cancelling.setdefault(job.job_id, now)
        else:
            self._cancelling.pop(job.job_id, None)

    def _age(self, job: Job) -> float:
        """
        How long ago a job was submitted, by the wall clocks: what a crash left is finished right after a start. Should
        they differ, a message is sent that is there already.
        """
        return max(0.0, self._now() - datetime.fromisoformat(job.submitted_at).timestamp())

    def _alive(self, job_id: str, attempt: int) -> None:
        if job_id in self._running:
            self._running[job_id] = self._clock.seconds()

    # What it does.

    def _look(self) -> Deferred[None] | None:
        if not self._broker.connected or self._records.stale:
            self._pause()
            return None
        return Deferred.fromCoroutine(self._reconcile())

    def _pause(self) -> None:
        """
        Nothing is heard now, so nobody is silent.
        """
        now = self._clock.seconds()
        for silent in (self._unpublished, self._running, self._cancelling, self._missing):
            for job_id in silent:
                silent[job_id] = now

    async def _reconcile(self) -> None:
        for job_id in list(filter(self._marks.covers, self._unpublished)):
            del self._unpublished[job_id]
        self._drop_doubts()
        try:
            for job in self._silent(self._unpublished, lambda _: SETTLED):
                await self._requeue(job)
            for job in self._silent(self._cancelling, lambda _: SETTLED):
                await self._tell_again(job)
            for job in self._silent(self._running, self._patience):
                await self._give_up(job)
            await self._sweep()
        except MessagingError as error:
            self.log.debug("jobs could not be looked after: {error}", error=error)
        except Exception:
            self.log.failure("jobs could not be looked after")

    def _drop_doubts(self) -> None:
        """
        Doubt no more about what was not even written down.
        """
        now = self._clock.seconds()
        missing = [job_id for job_id in self._marks.doubts if self._records.get(job_id) is None]
        self._missing = {job_id: self._missing.get(job_id, now) for job_id in missing}
        for job_id, since in self._missing.items():
            if now - since >= NEVER:
                self._marks.settle(job_id)

    def _silent(self, table: dict[str, float], patience: Callable[[Job], float]) -> list[Job]:
        """
        Jobs for which nothing has happened for longer than one would wait.
        """
        now = self._clock.seconds()
        least = min(SETTLED, _LEASES * self._settings.lease)
        found = []
        for job_id in [job_id for job_id, since in table.items() if now - since >= least]:
            job = self._records.get(job_id)
            if job is None:
                del table[job_id]
            elif now - table[job_id] >= patience(job):
                found.append(job)
        return found[:MOST]

    async def _requeue(self, job: Job) -> None:
        if self._busy(job.job_id):
            return
        self._unpublished[job.job_id] = self._clock.seconds()  # in case it does not succeed
        try:
            if await self._broker.last_event(job.job_id) is None:
                await self._broker.publish_job(message_bytes(job), job.type, job.lane, job.job_id)
                self.requeued += 1
                self.log.info("job {job_id} was not in the queue and is now", job_id=job.job_id)
            await self._records.change(job.job_id, _as_published)
        except (FullError, UnknownJobError, TooLargeError) as error:
            self.log.warn("job {job_id} cannot be queued yet: {error!r}", job_id=job.job_id, error=error)

    async def _tell_again(self, job: Job) -> None:
        self._cancelling[job.job_id] = self._clock.seconds()
        await self._broker.publish_control(job.job_id, "cancel")

    def _patience(self, job: Job) -> float:
        """
        How long a worker may be silent. Whoever cancelled a job does not want to wait for another worker to take it.
        """
        silence = _LEASES * self._settings.lease
        return silence if job.status == "cancelling" else max(silence, self._settings.lost_after)

    async def _give_up(self, job: Job) -> None:
        last = await self._broker.last_event(job.job_id)
        if last is not None and last[1] != self._sequences.setdefault(job.job_id, job.event_seq):
            # It has said something that is not in its record, such as a line of its log.
            self._sequences[job.job_id] = last[1]
            self._running[job.job_id] = self._clock.seconds()
            return
        await self._end(job, 0 if last is None else last[1])

    async def _end(self, job: Job, expected: int) -> None:
        now = timestamp(self._now())
        status = "cancelled" if job.status == "cancelling" else "failed"
        event = Event(job.job_id, "status", BY_GATEWAYS, now, status=status, error=LOST, ended_at=now)
        try:
            sequence = await self._broker.publish_event(event, expected)
        except ConflictError:
            self._running[job.job_id] = self._clock.seconds()
            return
        self.lost += 1
        self.log.warn("job {job_id} is lost: its worker {worker} has gone", job_id=job.job_id, worker=job.worker)
        ended = await self._catch_up(job.job_id, [(sequence, event)])
        if ended.status == "failed":
            await self._broker.publish_dead(ended, LOST)

    async def _sweep(self) -> None:
        """
        Take away what ended long ago: some of it, and more at the next look.
        """
        if self._clock.seconds() - self._swept_at < SWEEP:
            return
        old = timestamp(self._now() - self._settings.retention_days * _DAY)
        found = self._records.ended_before(old, MOST)
        for job_id in found:
            try:
                await self._records.remove(job_id)
            except RevisionError:  # another gateway was faster
                continue
            self.swept += 1
        if len(found) < MOST:
            self._swept_at = self._clock.seconds()


def _as_published(job: Job) -> Job:
    return job if job.published else evolve(job, published=True)
