"""
To put one job into the queue.

That is done in an order that a crash may interrupt anywhere: first the record, then the message that makes the job run,
and only when JetStream has acknowledged that one, the answer (rows K1, K4). What nobody knows to be in the queue is in
doubt, and L{siger.jobs.reconciler} finishes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from attrs import evolve, frozen

from siger.errors import Reason
from siger.jobs.errors import FullError
from siger.jobs.model import Job
from siger.jobs.ports import AnyBroker, AnyRecords
from siger.jobs.quotas import Quotas
from siger.jobs.refusals import RETRY_AFTER, RefusedError, unavailable
from siger.jobs.submission import message_bytes
from siger.messaging.errors import MessagingError, TooLargeError, UnavailableError

__all__ = ["Intake", "Receipt"]

_ROOM: Final = 2048
"""Bytes by which a record is longer than a message at most, with the head that comes with either."""


@frozen
class Receipt:
    """
    That a job was accepted.

    @ivar submitted_at: when.
    @ivar replayed: that was said before, for the same key.
    """

    job_id: str
    submitted_at: str
    replayed: bool = False


class Intake:
    """
    Writes the records and the messages of jobs, and keeps quotas.
    """

    def __init__(self, broker: AnyBroker, records: AnyRecords, quotas: Quotas) -> None:
        self._broker = broker
        self._records = records
        self._quotas = quotas
        self._in_flight: set[str] = set()

    def is_in_flight(self, job_id: str) -> bool:
        """
        Whether a submission of this job goes on here.
        """
        return job_id in self._in_flight

    @contextmanager
    def in_flight(self, job_id: str) -> Iterator[None]:
        """
        A submission goes on for as long as this is entered.
        """
        self._in_flight.add(job_id)
        try:
            yield
        finally:
            self._in_flight.discard(job_id)

    async def submit(self, job: Job) -> Receipt:
        """
        Take a new job in.

        @raise RefusedError: its C{reason} is L{Reason.STORE_UNAVAILABLE} where nobody knows what became of it.
        """
        message = self._message(job)
        self._quotas.reserve(job.user_id, job.gpu_count)
        await self._record(job)
        await self._enqueue(job, message)
        return Receipt(job.job_id, job.submitted_at)

    async def resume(self, job: Job, known: Job | None) -> Receipt:
        """
        Take a job in of which nobody knows how far that came.

        @param job: as it would be if it were submitted now.
        @param known: its record, if there is one already.
        @raise KeyExistsError: somebody else does the same.
        """
        if known is None:
            self._quotas.reserve(job.user_id, job.gpu_count)
            await self._record(job)
        found = known or job
        await self._enqueue(found, self._message(found))
        await self.mark(job.job_id)
        return Receipt(job.job_id, found.submitted_at, replayed=known is not None)

    async def mark(self, job_id: str) -> None:
        """
        Write down that a job is in the queue, for whoever asks next, and wherever. For most jobs nobody does, and
        L{siger.jobs.marks} is enough.
        """
        with suppress(MessagingError):
            await self._records.change(job_id, lambda job: job if job.published else evolve(job, published=True))

    async def _record(self, job: Job) -> None:
        """
        Write the record of a job for which there is a reservation.
        """
        try:
            await self._records.create(job)
        except TooLargeError as error:
            raise RefusedError(Reason.BODY_TOO_LARGE) from error
        except UnavailableError as error:
            raise unavailable(job.job_id) from error
        finally:
            self._quotas.release(job.user_id, job.gpu_count)

    def _message(self, job: Job) -> bytes:
        """
        What makes a job run.

        @raise RefusedError: the server would not take it, or not the record, which is a little longer (row K6).
        """
        message = message_bytes(job)
        most = self._broker.max_payload
        if not most:  # the connection was lost while a key was looked up
            raise unavailable()
        if len(message) + 6 * len(job.username) + _ROOM > most:
            raise RefusedError(Reason.BODY_TOO_LARGE)
        return message

    async def _enqueue(self, job: Job, message: bytes) -> None:
        try:
            await self._broker.publish_job(message, job.type, job.lane, job.job_id)
        except FullError as error:
            await self._forget(job)
            raise RefusedError(Reason.QUEUE_FULL, retry_after=RETRY_AFTER) from error
        except UnavailableError as error:
            raise unavailable(job.job_id) from error

    async def _forget(self, job: Job) -> None:
        """
        Take away the record of a job that was not accepted.
        """
        try:
            await self._records.remove(job.job_id)
        except MessagingError as error:
            # It stays as one whose message was not acknowledged, and may run after all.
            raise unavailable(job.job_id) from error
