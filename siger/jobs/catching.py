"""
Bringing a record up to date with its job's log.

The log decides, in its order. Several gateways take events from one consumer at the same time, so events of one job may
come to them in any order; and a record that was brought to an event has passed over all before it for good. So what is
folded is never just the event that came, but the log: everything after the last event that the record shows, up to the
one that came, read from where it is kept. Whoever comes first applies the others' events too, and those find nothing
left to do. Two who do it at once write the same record, and only one of them succeeds (row K10).

One kind of event may be taken as it comes: a line of output of an attempt that the record shows, or of an earlier one,
or of a job that has ended. It changes nothing now, and nothing that can come before it or after it will change that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from siger.jobs.events import Event, replay
from siger.jobs.logs import Entries
from siger.jobs.model import Job
from siger.jobs.records import Change

__all__ = ["CatchUp", "is_idle"]

_BATCH: Final = 500


class _Broker(Protocol):
    def read_events(
        self, job_id: str, after: int, limit: int = 100, at_least: int | None = None
    ) -> Deferred[Entries]: ...


class _Records(Protocol):
    def get(self, job_id: str) -> Job | None: ...

    def fetch(self, job_id: str) -> Deferred[Job | None]: ...

    def change(self, job_id: str, change: Change) -> Deferred[Job]: ...


def is_idle(job: Job, event: Event) -> bool:
    """
    Whether an event changes nothing about a job, whatever other events there are.
    """
    return event.event == "log" and (job.terminal or event.attempt <= job.attempts)


class CatchUp:
    """
    Brings records up to date.
    """

    def __init__(self, broker: _Broker, records: _Records) -> None:
        self._broker = broker
        self._records = records

    def __call__(self, job_id: str, events: Sequence[tuple[int, Event]] = ()) -> Deferred[Job]:
        """
        Bring one up to date.

        @param events: entries of its log that are known to be there, with their sequences. Without any, it is brought
            to the end that the log has now.
        @return: the record; or L{UnknownJobError<siger.jobs.errors.UnknownJobError>} where there is none, or an error
            of reading or writing.
        """
        return Deferred.fromCoroutine(self._catch_up(job_id, events))

    async def _catch_up(self, job_id: str, events: Sequence[tuple[int, Event]]) -> Job:
        job = self._records.get(job_id) or await self._records.fetch(job_id)
        if job is not None and events and all(is_idle(job, event) for _, event in events):
            return job
        log: Entries = []
        if job is not None and not job.terminal:
            log = await self._read(job, max((sequence for sequence, _ in events), default=None))
        # With what came, in case it is so old that it is gone from the log by now.
        whole = sorted(dict([*events, *log]).items())
        return await self._records.change(job_id, lambda known: replay(known, whole))

    async def _read(self, job: Job, until: int | None) -> Entries:
        """
        What a log has after the last event that a record shows.
        """
        log: Entries = []
        after = job.event_seq
        while until is None or after < until:
            batch = await self._broker.read_events(job.job_id, after, _BATCH, until)
            log += batch
            if len(batch) < _BATCH:
                break
            after = batch[-1][0]
        return log
