"""
A reader's place in the log of a job, and what of the log is told.

Every reader comes to the same stream of events, whichever gateway it asks and wherever it goes on: what is told of an
entry depends on nothing but the entries before it. So a reader who goes on in the middle may have to look at the log
from its beginning, to know which attempts were over by then.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from siger.jobs.events import BY_GATEWAYS, Event, fold, is_stale
from siger.jobs.model import SUBMITTED, TERMINAL, Job

__all__ = ["KINDS", "Cursor"]

KINDS: Final = frozenset(("status", "progress", "log"))
"""
The events that readers know.
"""


class Cursor:
    """
    Where one reader is.

    @ivar position: the sequence of the last entry that was looked at.
    @ivar after: that of the last entry that the reader has; 0 for none.
    """

    __slots__ = ("_job", "_record", "after", "position")

    def __init__(self, record: Job, after: int) -> None:
        """
        @param record: what is known of the job; it may be older than the reader's last entry, and newer.
        """
        self.after = after
        self.position = after if _had_nothing_special(record, after) else 0
        self._record = record
        self._job = record if _is_over(record, after) else _as_submitted(record)

    @property
    def job_id(self) -> str:
        """
        Whose log it is.
        """
        return self._job.job_id

    @property
    def ended(self) -> bool:
        """
        Whether the job has ended, by what was looked at or what the reader has. There is nothing after that.
        """
        return self._job.terminal

    def take(self, sequence: int, event: Event) -> Event | None:
        """
        Look at the next entry.

        @return: what the reader is told.
        """
        if sequence <= self.position or self.ended:
            return None
        self.position = sequence
        before, self._job = self._job, fold(self._job, event, sequence)
        if sequence <= self.after or event.job_id != self.job_id or event.event not in KINDS or is_stale(before, event):
            return None
        return self._as_it_counts(event) if event.event == "status" and event.status in TERMINAL else event

    def _as_it_counts(self, event: Event) -> Event | None:
        """
        What says that the job ended, as the record has it: what completes while it is cancelled is cancelled.
        """
        if not self.ended:
            return None  # nobody may end it like that
        if event.status == self._job.status:
            return event
        return evolve(event, status=self._job.status, message=self._job.message)

    def beginning(self) -> Event:
        """
        What comes before everything in the log: it was queued.
        """
        job = self._job
        return Event(job.job_id, "status", BY_GATEWAYS, job.submitted_at, status="queued", message=SUBMITTED)

    def give_up(self) -> tuple[int, Event] | None:
        """
        What remains to be told when the log turns out to have nothing more: how the job ended, if the record knows.
        Logs and records are not kept for ever, and a log can be gone first.
        """
        record = self._record
        if self.ended or not record.terminal:
            return None
        self._job, self.position = record, max(self.position, record.event_seq)
        return self.position, Event(
            record.job_id,
            "status",
            record.attempts,
            record.updated_at,
            status=record.status,
            message=record.message,
            ended_at=record.ended_at,
            result=record.result,
            error=record.error,
        )


def _is_over(record: Job, after: int) -> bool:
    """
    Whether the reader has the end, as far as the record knows.
    """
    return record.terminal and after >= record.event_seq > 0


def _had_nothing_special(record: Job, after: int) -> bool:
    """
    Whether what follows an entry can be told without a look at what was before: the record has seen the entry, and
    knows of no second attempt, of no wish to cancel, and of no end, which may have been anywhere.
    """
    return after <= record.event_seq and record.attempts <= 1 and record.status in ("queued", "processing")


def _as_submitted(record: Job) -> Job:
    """
    The record as the log begins, without what no reader needs.
    """
    return Job(
        job_id=record.job_id,
        user_id=record.user_id,
        username=record.username,
        type=record.type,
        name=record.name,
        submitted_at=record.submitted_at,
        updated_at=record.submitted_at,
    )
