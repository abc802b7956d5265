"""
Jobs as users see them: submitted, looked at, listed, cancelled.

A submission is carried out in an order that a crash may interrupt anywhere: first the record, then the message that
makes the job run, and only when JetStream has acknowledged that one, the answer (rows K1, K4). What was begun is done
to its end whether or not its client is still there. What nobody knows to be in the queue is in doubt, and
L{siger.jobs.reconciler} finishes it.

A job that nobody runs is cancelled by an entry in its log that stands only if nobody has claimed it meanwhile: so a
worker and a cancellation cannot both win. One that runs is told to stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from siger.config.settings.jobs import JobsSettings
from siger.errors import Reason
from siger.jobs.catching import CatchUp
from siger.jobs.errors import ConflictError, FullError
from siger.jobs.events import BY_GATEWAYS, CANCELLATION, Event, fold, replay
from siger.jobs.idempotency import Claim, Keys
from siger.jobs.identifiers import JobIds
from siger.jobs.marks import Marks
from siger.jobs.model import Job
from siger.jobs.ports import AnyBroker, AnyRecords
from siger.jobs.query import Query
from siger.jobs.quotas import Quotas
from siger.jobs.refusals import RETRY_AFTER, RefusedError, unavailable
from siger.jobs.submission import Submission, message_bytes, new_job
from siger.jobs.times import timestamp
from siger.messaging.bucket import Bucket
from siger.messaging.errors import KeyExistsError, MessagingError, TooLargeError, UnavailableError
from siger.policy.identity import Identity

__all__ = ["Jobs", "Receipt"]

_MOST_TRIES: Final = 5
"""How often a cancellation looks again after somebody else has written to the log."""
_ROOM: Final = 2048
"""Bytes by which a record is longer than a message at most, with the head that comes with either."""
_AGAIN: Final = "The first submission with this key has not ended yet; try again."
_UNANSWERED: Final = (
    "The store of jobs did not answer; the job may have been cancelled. Ask for it, or cancel it again."
)
_CONTENDED: Final = "The job changes too quickly to be cancelled just now; try again."


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
        self._keys = Keys(keys, now)
        self._now = now
        self._marks = marks
        self._ids = JobIds(now, tag=marks.tag)
        self._quotas = Quotas(settings.quotas, records.counts)
        self._catch_up = CatchUp(broker, records)
        self._in_flight: set[str] = set()
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
        return job_id in self._in_flight

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
        self._in_flight.add(job.job_id)
        self._marks.begin(job.job_id)
        doubtful = True
        try:
            if key:
                receipt = await self._submit_once(job, submission, key)
            else:
                receipt = await self._submit_now(job)
            doubtful = False
        except RefusedError as error:
            # Even if only its key was written: the next submission with that writes the record under this name.
            doubtful = error.reason is Reason.STORE_UNAVAILABLE
            raise
        finally:
            self._in_flight.discard(job.job_id)
            self._marks.end(job.job_id, doubtful)
        return receipt

    async def _submit_now(self, job: Job) -> Receipt:
        message = self._message(job)
        self._quotas.reserve(job.user_id, job.gpu_count)
        await self._record(job)
        await self._enqueue(job, message)
        return Receipt(job.job_id, job.submitted_at)

    def _check_open(self) -> None:
        if self._closed:
            raise RefusedError(Reason.DRAINING)
        if not self._broker.connected:
            raise unavailable()

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

    async def _mark(self, job_id: str) -> None:
        """
        Write down that a job is in the queue, for whoever asks next, and wherever. For most jobs nobody does, and
        L{siger.jobs.marks} is enough.
        """
        with suppress(MessagingError):
            await self._records.change(job_id, lambda job: job if job.published else evolve(job, published=True))

    # With a key.

    async def _submit_once(self, job: Job, submission: Submission, key: str) -> Receipt:
        try:
            claim = await self._claim(job, submission.fingerprint(), key)
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
            receipt = await self._submit_now(job)
        except RefusedError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                await self._release(job, key)
            raise
        await self._mark(job.job_id)
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
        if claim.job_id in self._in_flight:
            raise RefusedError(Reason.IN_PROGRESS, _AGAIN)
        try:
            known = await self._records.fetch(claim.job_id)
        except UnavailableError as error:
            raise unavailable(claim.job_id) from error
        if known is not None and self._is_queued(known):
            return Receipt(known.job_id, known.submitted_at, replayed=True)
        if claim.busy or claim.job_id in self._in_flight:
            raise RefusedError(Reason.IN_PROGRESS, _AGAIN)
        return await self._resume(job, known)

    def _is_queued(self, job: Job) -> bool:
        """
        Whether a job is in the queue, or was.
        """
        return job.published or job.status != "queued" or self._marks.covers(job.job_id)

    async def _resume(self, job: Job, known: Job | None) -> Receipt:
        self._in_flight.add(job.job_id)
        try:
            if known is None:
                self._quotas.reserve(job.user_id, job.gpu_count)
                await self._record(job)
            await self._enqueue(known or job, self._message(known or job))
            await self._mark(job.job_id)
        except KeyExistsError as error:
            raise RefusedError(Reason.IN_PROGRESS, _AGAIN) from error
        finally:
            self._in_flight.discard(job.job_id)
        return Receipt(job.job_id, (known or job).submitted_at, replayed=known is not None)

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
        job = await self._find(job_id, identity)
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


def _is_unknown(error: RefusedError) -> bool:
    """
    Whether a job may have been accepted all the same, which is named then.
    """
    return b'"job_id"' in error.members
