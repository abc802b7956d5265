"""
Jobs as users see them: submitted, looked at, listed, cancelled.

What was begun is done to its end whether or not its client is still there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from siger.config.settings.jobs import JobsSettings
from siger.errors import Reason
from siger.jobs.cancelling import Cancellation
from siger.jobs.catching import CatchUp
from siger.jobs.idempotency import Keys
from siger.jobs.identifiers import JobIds
from siger.jobs.intake import Intake, Receipt
from siger.jobs.keyed import KeyedIntake
from siger.jobs.marks import Marks
from siger.jobs.model import Job
from siger.jobs.ports import AnyBroker, AnyRecords
from siger.jobs.query import Query
from siger.jobs.quotas import Quotas
from siger.jobs.refusals import RefusedError, unavailable
from siger.jobs.submission import Submission, new_job
from siger.jobs.times import timestamp
from siger.messaging.bucket import Bucket
from siger.messaging.errors import UnavailableError
from siger.policy.identity import Identity

__all__ = ["Jobs"]


class Jobs:
    """
    The jobs that all gateways share, as one of them serves them.

    @ivar outcomes: how many submissions ended how.
    """

    def __init__(
        self,
        broker: AnyBroker,
        records: AnyRecords,
        keys: Bucket,
        marks: Marks,
        settings: JobsSettings,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param keys: where keys of idempotency are kept.
        @param marks: which jobs are in the queue.
        @param now: the wall clock, in seconds.
        """
        self.outcomes = dict.fromkeys(("accepted", "replayed", "refused", "unknown", "failed"), 0)
        self._broker = broker
        self._records = records
        self._now = now
        self._marks = marks
        self._ids = JobIds(now, tag=marks.tag)
        self._quotas = Quotas(settings.quotas, records.counts)
        self._intake = Intake(broker, records, self._quotas)
        self._keyed = KeyedIntake(self._intake, Keys(keys, now), records, marks, self._quotas)
        self._cancellation = Cancellation(broker, CatchUp(broker, records), now)
        self._open: set[Deferred[Any]] = set()
        self._closed = False

    @property
    def stale(self) -> bool:
        """
        Whether what is told of jobs may be old.
        """
        return self._records.stale

    def is_in_flight(self, job_id: str) -> bool:
        """
        Whether a submission of this job goes on here.
        """
        return self._intake.is_in_flight(job_id)

    def stop(self) -> Deferred[Any]:
        """
        Accept nothing more.

        @return: fires when all that was begun has ended.
        """
        self._closed = True
        return Deferred.fromCoroutine(self._settle())

    async def _settle(self) -> None:
        while self._open:
            await DeferredList(list(self._open), consumeErrors=True)

    def _start(self, work: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        done = Deferred.fromCoroutine(work)
        if not done.called:
            self._open.add(done)
            done.addBoth(self._ended, done)
        return done

    def _ended(self, result: Any, done: Deferred[Any]) -> Any:
        self._open.discard(done)
        return result

    # Submitting.

    def submit(self, submission: Submission, identity: Identity, key: str = "") -> Deferred[Receipt]:
        """
        Accept a job.

        @param key: under which the same is accepted only once; C{""} for none.
        @return: fails with L{RefusedError}.
        """
        return self._start(self._submit(submission, identity, key)).addCallbacks(self._accepted, self._refused)

    def _accepted(self, receipt: Receipt) -> Receipt:
        self.outcomes["replayed" if receipt.replayed else "accepted"] += 1
        return receipt

    def _refused(self, failure: Failure) -> Failure:
        error = failure.value
        if not isinstance(error, RefusedError):
            self.outcomes["failed"] += 1
        else:
            self.outcomes["unknown" if _is_unknown(error) else "refused"] += 1
        return failure

    async def _submit(self, submission: Submission, identity: Identity, key: str) -> Receipt:
        self._check_open()
        job = new_job(submission, self._ids.next(), identity.user_id, identity.name, timestamp(self._now()))
        self._marks.begin(job.job_id)
        doubtful = True
        try:
            with self._intake.in_flight(job.job_id):
                receipt = await self._take_in(job, submission, key)
            doubtful = False
        except RefusedError as error:
            # Even if only its key was written: the next submission with that writes the record under this name.
            doubtful = error.reason is Reason.STORE_UNAVAILABLE
            raise
        finally:
            self._marks.end(job.job_id, doubtful)
        return receipt

    async def _take_in(self, job: Job, submission: Submission, key: str) -> Receipt:
        if key:
            return await self._keyed.submit(job, submission.fingerprint(), key)
        return await self._intake.submit(job)

    def _check_open(self) -> None:
        if self._closed:
            raise RefusedError(Reason.DRAINING)
        if not self._broker.connected:
            raise unavailable()

    def verdict(self, submission: Submission, identity: Identity) -> dict[str, Any]:
        """
        What would become of a submission.
        """
        job = new_job(submission, self._ids.next(), identity.user_id, identity.name, timestamp(self._now()))
        return {
            "valid": True,
            "queue": {"type": job.type, "lane": job.lane, "ahead": self._records.ahead(job)},
            "quota": self._quotas.verdict(job.user_id, job.gpu_count),
        }

    # Looking.

    def find(self, job_id: str, identity: Identity) -> Deferred[Job]:
        """
        A job of one's own, or for an administrator anybody's. One that was submitted elsewhere just now is found too.

        @return: fails with L{RefusedError}.
        """
        return Deferred.fromCoroutine(self._find(job_id, identity))

    async def _find(self, job_id: str, identity: Identity) -> Job:
        job = self._records.get(job_id)
        if job is None:
            try:
                job = await self._records.fetch(job_id)
            except UnavailableError as error:
                raise unavailable() from error
        # To whom it does not belong, a job does not exist (row K14).
        if job is None or not (job.user_id == identity.user_id or identity.is_admin):
            raise RefusedError(Reason.UNKNOWN_JOB)
        return job

    def version(self, job: Job) -> str:
        """
        What changes whenever something does that can be seen, and is the same on all gateways: the state as well, for
        the end counts even if it comes late.
        """
        return f"{job.event_seq}-{job.status}"

    def describe(self, job: Job) -> dict[str, Any]:
        """
        All that its owner may see of a job.
        """
        said: dict[str, Any] = job.public()
        said["timestamp"] = job.updated_at
        if job.status == "queued":
            ahead = self._records.ahead(job)
            said["queue"] = {"type": job.type, "lane": job.lane, "position": ahead + 1, "ahead": ahead}
        if self.stale:
            said["stale"] = True
        return said

    def page(self, query: Query) -> tuple[list[Job], str | None]:
        """
        A page of jobs, and the cursor for the next.

        @raise RefusedError: nothing is known yet.
        """
        if not self._records.current:
            raise unavailable()
        return self._records.list(query)

    # Cancelling.

    def cancel(self, job_id: str, identity: Identity) -> Deferred[tuple[Job, bool]]:
        """
        Have a job end early.

        @return: the job as it is then, and whether it had ended before; fails with L{RefusedError}.
        """
        return self._start(self._cancel(job_id, identity))

    async def _cancel(self, job_id: str, identity: Identity) -> tuple[Job, bool]:
        self._check_open()
        return await self._cancellation.cancel(await self._find(job_id, identity))


def _is_unknown(error: RefusedError) -> bool:
    """
    Whether a job may have been accepted all the same, which is named then.
    """
    return b'"job_id"' in error.members
