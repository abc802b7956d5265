"""
To have a job end early.

A job that nobody runs is cancelled by an entry in its log that stands only if nobody has claimed it meanwhile: so a
worker and a cancellation cannot both win. One that runs is told to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from siger.errors import Reason
from siger.jobs.catching import CatchUp
from siger.jobs.errors import ConflictError
from siger.jobs.events import BY_GATEWAYS, CANCELLATION, Event, fold, replay
from siger.jobs.model import Job
from siger.jobs.ports import AnyBroker
from siger.jobs.refusals import RETRY_AFTER, RefusedError
from siger.jobs.times import timestamp
from siger.messaging.errors import MessagingError

__all__ = ["Cancellation"]

_MOST_TRIES: Final = 5
"""How often a cancellation looks again after somebody else has written to the log."""
_UNANSWERED: Final = (
    "The store of jobs did not answer; the job may have been cancelled. Ask for it, or cancel it again."
)
_CONTENDED: Final = "The job changes too quickly to be cancelled just now; try again."


class Cancellation:
    """
    Cancels jobs.
    """

    def __init__(self, broker: AnyBroker, catch_up: CatchUp, now: Callable[[], float]) -> None:
        """
        @param now: the wall clock, in seconds.
        """
        self._broker = broker
        self._catch_up = catch_up
        self._now = now

    async def cancel(self, job: Job) -> tuple[Job, bool]:
        """
        Cancel a job.

        @return: the job as it is then, and whether it had ended before.
        @raise RefusedError: nobody knows whether it worked, or others were always faster.
        """
        last = job.event_seq
        try:
            for _ in range(_MOST_TRIES):
                if job.terminal:
                    return job, True
                try:
                    return await (self._stop_running(job) if job.running else self._withdraw(job, last))
                except ConflictError:
                    job, last = await self._reread(job, last)
        except MessagingError as error:
            raise RefusedError(Reason.STORE_UNAVAILABLE, _UNANSWERED, RETRY_AFTER) from error
        raise RefusedError(Reason.IN_PROGRESS, _CONTENDED)

    async def _withdraw(self, job: Job, last: int) -> tuple[Job, bool]:
        """
        Cancel a job that nobody runs, unless somebody claims it first.

        @param last: the last entry of its log that we know.
        """
        event = self._event(job, "cancelled", "Job cancelled before it was started")
        sequence = await self._broker.publish_event(event, last)
        return await self._show(job, event, sequence), False

    async def _stop_running(self, job: Job) -> tuple[Job, bool]:
        """
        Ask the worker of a job to stop, as often as its user does.

        @return: the job, and whether it had ended before. Only its log says which came first, so that nobody is told
            of a cancellation who will find a job that was completed.
        """
        if job.status != "cancelling":
            event = self._event(job, "cancelling", CANCELLATION)
            sequence = await self._broker.publish_event(event)
            job = await self._catch_up(job.job_id, [(sequence, event)])
        if not job.terminal:
            await self._broker.publish_control(job.job_id, "cancel")
        return job, job.status in ("completed", "failed")

    async def _show(self, job: Job, event: Event, sequence: int) -> Job:
        """
        Let the record show an entry that we made. If that fails, it will show it later.
        """
        try:
            return await self._catch_up(job.job_id, [(sequence, event)])
        except MessagingError:
            return fold(job, event, sequence)

    async def _reread(self, job: Job, last: int) -> tuple[Job, int]:
        """
        What the log makes of a job now, and its last entry.
        """
        while events := await self._broker.read_events(job.job_id, last):
            job, last = replay(job, events), events[-1][0]
        return job, last

    def _event(self, job: Job, status: str, message: str) -> Event:
        now = timestamp(self._now())
        ended = now if status == "cancelled" else None
        return Event(job.job_id, "status", BY_GATEWAYS, now, status=status, message=message, ended_at=ended)
