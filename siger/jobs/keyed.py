"""
To take a job in once for each key, however often it is submitted with that.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from siger.errors import Reason
from siger.jobs.idempotency import Claim, Keys
from siger.jobs.intake import Intake, Receipt
from siger.jobs.marks import Marks
from siger.jobs.model import Job
from siger.jobs.ports import AnyRecords
from siger.jobs.quotas import Quotas
from siger.jobs.refusals import RefusedError, unavailable
from siger.messaging.errors import KeyExistsError, UnavailableError

__all__ = ["KeyedIntake"]

_AGAIN: Final = "The first submission with this key has not ended yet; try again."


class KeyedIntake:
    """
    Takes jobs in by the first submission with a key, and answers the others by what became of it.
    """

    def __init__(self, intake: Intake, keys: Keys, records: AnyRecords, marks: Marks, quotas: Quotas) -> None:
        """
        @param marks: which jobs are in the queue.
        """
        self._intake = intake
        self._keys = keys
        self._records = records
        self._marks = marks
        self._quotas = quotas

    async def submit(self, job: Job, fingerprint: str, key: str) -> Receipt:
        """
        Take a job in, unless that was done.

        @param fingerprint: what was submitted.
        """
        try:
            claim = await self._claim(job, fingerprint, key)
        except UnavailableError as error:
            raise unavailable() from error
        if not claim.new:
            return await self._again(claim, evolve(job, job_id=claim.job_id))
        return await self._finish(job, key)

    async def _claim(self, job: Job, fingerprint: str, key: str) -> Claim:
        """
        Take a key for a job. Whoever may have no more jobs may still ask what became of an earlier one.
        """
        try:
            self._quotas.check(job.user_id, job.gpu_count)
        except RefusedError:
            found = await self._keys.find(job.user_id, key, fingerprint)
            if found is None:
                raise
            return found
        return await self._keys.claim(job.user_id, key, fingerprint, job.job_id)

    async def _finish(self, job: Job, key: str) -> Receipt:
        """
        Carry out the first submission with a key. Nothing that is refused for good shall hold its key.
        """
        try:
            receipt = await self._intake.submit(job)
        except RefusedError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                await self._release(job, key)
            raise
        await self._intake.mark(job.job_id)
        return receipt

    async def _release(self, job: Job, key: str) -> None:
        try:
            await self._keys.release(job.user_id, key)
        except UnavailableError as error:  # then its next submission finishes this one
            raise unavailable() from error

    async def _again(self, claim: Claim, job: Job) -> Receipt:
        """
        Answer a submission whose key is known, after finishing it if need be.

        @param job: as it would be if it were submitted now.
        """
        if self._intake.is_in_flight(claim.job_id):
            raise RefusedError(Reason.IN_PROGRESS, _AGAIN)
        try:
            known = await self._records.fetch(claim.job_id)
        except UnavailableError as error:
            raise unavailable(claim.job_id) from error
        if known is not None and self._is_queued(known):
            return Receipt(known.job_id, known.submitted_at, replayed=True)
        if claim.busy or self._intake.is_in_flight(claim.job_id):
            raise RefusedError(Reason.IN_PROGRESS, _AGAIN)
        return await self._resume(job, known)

    def _is_queued(self, job: Job) -> bool:
        """
        Whether a job is in the queue, or was.
        """
        return job.published or job.status != "queued" or self._marks.covers(job.job_id)

    async def _resume(self, job: Job, known: Job | None) -> Receipt:
        with self._intake.in_flight(job.job_id):
            try:
                return await self._intake.resume(job, known)
            except KeyExistsError as error:
                raise RefusedError(Reason.IN_PROGRESS, _AGAIN) from error
