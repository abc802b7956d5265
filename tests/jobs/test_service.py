"""
Tests for L{siger.jobs.service}.
"""

from __future__ import annotations

from typing import Any

import orjson
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.jobs import JobQuotas, JobsSettings
from siger.errors import Reason
from siger.jobs.events import Event
from siger.jobs.intake import Receipt
from siger.jobs.marks import Marks
from siger.jobs.model import Job
from siger.jobs.query import Query
from siger.jobs.refusals import RefusedError
from siger.jobs.service import Jobs
from siger.jobs.submission import Submission
from siger.jobs.times import timestamp
from siger.policy.identity import Identity
from tests.jobs.memory import MemoryBroker, MemoryRecords, MemoryStore

__all__ = ["ServiceTestCase", "identity"]


def identity(name: str = "ada", *roles: str, issuer: str = "") -> Identity:
    """
    Somebody with a token.
    """
    return Identity(name, name.title(), roles or ("user",), "token", 0, 2e9, {}, issuer)


class Gateway:
    """
    A gateway's service of jobs.
    """

    def __init__(self, store: MemoryStore, settings: JobsSettings, now: Any) -> None:
        self.broker = MemoryBroker(store)
        self.records = MemoryRecords(store)
        self.records.start()
        self.clock = Clock()
        self.marks = Marks(store.marks, self.clock)
        self.marks.start()
        self.jobs = Jobs(self.broker, self.records, store.keys, self.marks, settings, now)


class ServiceTestCase(SynchronousTestCase):
    """
    Two gateways with one store.
    """

    def setUp(self) -> None:
        """
        Have two gateways.
        """
        self.time = 1000.0
        self.store = MemoryStore()
        self.gateway = self.make()
        self.other = self.make()
        self.ada = identity()
        self.jobs = self.gateway.jobs

    def make(self, **settings: Any) -> Gateway:
        """
        A gateway with this store.
        """
        return Gateway(self.store, JobsSettings(**settings), lambda: self.time)

    def submission(self, **fields: Any) -> Submission:
        """
        Something to do.
        """
        return Submission(**{"type": "ai_training", "name": "A job", **fields})

    def submit(self, key: str = "", jobs: Jobs | None = None, **fields: Any) -> Receipt:
        """
        Have a job accepted.
        """
        return self.successResultOf((jobs or self.jobs).submit(self.submission(**fields), self.ada, key))

    def refusal(self, deferred: Deferred[Any], reason: Reason) -> dict[str, Any]:
        """
        It is refused for this reason.

        @return: what more is said.
        """
        error = self.failureResultOf(deferred, RefusedError).value
        self.assertIs(error.reason, reason)
        return orjson.loads(b"{" + error.members[1:] + b"}")  # type: ignore[no-any-return]

    def record(self, job_id: str) -> Job:
        """
        The record that all gateways see.
        """
        found = self.gateway.records.get(job_id)
        assert found is not None
        self.assertEqual(self.other.records.get(job_id), found)
        return found

    def say(self, job_id: str, status: str, attempt: int = 1, **fields: Any) -> int:
        """
        Have a worker write to a job's log; its record does not show it yet.
        """
        return self.store.say(Event(job_id, "status", attempt, timestamp(self.time), status=status, **fields))

    def project(self, job_id: str) -> None:
        """
        Have the record show the log.
        """
        from siger.jobs.events import replay

        self.successResultOf(
            self.gateway.records.change(job_id, lambda job: replay(job, self.store.logs.get(job_id, ())))
        )


class SubmitTests(ServiceTestCase):
    """
    Jobs that come.
    """

    def test_submit(self) -> None:
        """
        What is accepted is recorded for its user, and in the queue with all that was submitted.
        """
        receipt = self.submit(priority=8, gpu_count=4, params={"epochs": 3})
        job = self.record(receipt.job_id)
        self.assertEqual((job.user_id, job.username, job.status), ("ada", "Ada", "queued"))
        self.assertTrue(self.gateway.marks.covers(job.job_id))
        ((subject, message, name),) = self.store.queue
        self.assertEqual((subject, name), ("jobs.submit.ai_training.high", receipt.job_id))
        said = orjson.loads(message)
        self.assertEqual((said["job_id"], said["params"], said["gpu_count"]), (receipt.job_id, {"epochs": 3}, 4))
        self.assertEqual(receipt, Receipt(job.job_id, job.submitted_at))
        self.assertEqual(self.jobs.outcomes["accepted"], 1)

    def test_acknowledged_first(self) -> None:
        """
        Row K1: a job is not accepted before the queue has acknowledged it, and in doubt until then (row K4).
        """
        self.gateway.broker.held = []
        submitted = self.jobs.submit(self.submission(), self.ada)
        self.assertNoResult(submitted)
        (job,) = self.gateway.records.all()
        self.assertFalse(self.gateway.marks.covers(job.job_id))
        self.assertTrue(self.jobs.is_in_flight(job.job_id))
        self.gateway.broker.held.pop()()
        self.assertEqual(self.successResultOf(submitted).job_id, job.job_id)
        self.assertTrue(self.gateway.marks.covers(job.job_id))
        self.assertFalse(self.jobs.is_in_flight(job.job_id))

    def test_away(self) -> None:
        """
        While the store is away everything is refused at once, and nothing is kept for later (row K5).
        """
        self.store.available = False
        said = self.refusal(self.jobs.submit(self.submission(), self.ada), Reason.STORE_UNAVAILABLE)
        self.assertEqual(said, {})
        self.refusal(self.jobs.submit(self.submission(), self.ada, "key"), Reason.STORE_UNAVAILABLE)
        self.store.available = True
        self.assertEqual((list(self.gateway.records.all()), self.store.queue), ([], []))

    def test_lost_acknowledgement(self) -> None:
        """
        Row K1: what was not acknowledged may have been accepted, so the refusal says under which name to look.
        """
        self.gateway.broker.held = []
        submitted = self.jobs.submit(self.submission(), self.ada)
        self.store.silent = True
        self.gateway.broker.held.pop()()
        said = self.refusal(submitted, Reason.STORE_UNAVAILABLE)
        (job,) = self.gateway.records.all()
        self.assertEqual(said, {"job_id": job.job_id, "status": "unknown"})
        self.assertFalse(self.gateway.marks.covers(job.job_id))
        self.assertEqual(self.jobs.outcomes["unknown"], 1)

    def test_lost_with_store(self) -> None:
        """
        A store that goes away between record and queue leaves a record that is in doubt.
        """
        self.gateway.broker.held = []
        submitted = self.jobs.submit(self.submission(), self.ada)
        self.store.available = False
        self.gateway.broker.held.pop()()
        self.refusal(submitted, Reason.STORE_UNAVAILABLE)
        self.store.available = True
        (job,) = self.gateway.records.all()
        self.assertEqual((job.status, self.store.queue), ("queued", []))
        self.assertFalse(self.gateway.marks.covers(job.job_id))

    def test_full(self) -> None:
        """
        Row K7: a full queue refuses, and leaves neither record nor key behind.
        """
        self.store.full = True
        self.refusal(self.jobs.submit(self.submission(), self.ada, "key"), Reason.QUEUE_FULL)
        self.assertEqual(list(self.gateway.records.all()), [])
        self.assertEqual(len(self.gateway.marks._doubtful), 0)
        self.store.full = False
        self.assertFalse(self.submit("key").replayed)

    def test_too_large(self) -> None:
        """
        Row K6: what the server would not take is refused before anything is written.
        """
        self.gateway.broker.max_payload = 4000
        for key in ("", "key"):
            submitted = self.jobs.submit(self.submission(params={"x": "y" * 2000}), self.ada, key)
            self.refusal(submitted, Reason.BODY_TOO_LARGE)
        self.assertEqual((list(self.gateway.records.all()), self.store.queue), ([], []))
        self.assertTrue(self.submit("key").job_id)

    def test_lost_meanwhile(self) -> None:
        """
        When the connection is lost while a key is looked up, nothing is known of what the server would take: that is
        no reason to call a job too large.
        """
        self.gateway.broker.max_payload = 0
        for key in ("", "key"):
            self.refusal(self.jobs.submit(self.submission(), self.ada, key), Reason.STORE_UNAVAILABLE)
        self.gateway.broker.max_payload = 1024 * 1024
        self.assertTrue(self.submit("key").job_id)

    def test_drained(self) -> None:
        """
        Row K16: a service that stops waits for what was begun, and begins nothing more.
        """
        self.gateway.broker.held = []
        submitted = self.jobs.submit(self.submission(), self.ada)
        stopped = self.jobs.stop()
        self.refusal(self.jobs.submit(self.submission(), self.ada), Reason.DRAINING)
        self.assertNoResult(stopped)
        self.gateway.broker.held.pop()()
        self.successResultOf(stopped)
        self.assertEqual([name for _, _, name in self.store.queue], [self.successResultOf(submitted).job_id])

    def test_order(self) -> None:
        """
        Names of jobs rise in the order of their submission.
        """
        names = [self.submit().job_id for _ in range(50)]
        self.assertEqual(names, sorted(names))


class QuotaTests(ServiceTestCase):
    """
    How much one user may have.
    """

    def limited(self, **limits: int) -> Jobs:
        """
        A service with quotas.
        """
        self.gateway = self.make(quotas=JobQuotas(**limits))
        return self.gateway.jobs

    def test_queued(self) -> None:
        """
        So many jobs may wait, and no more; others' do not count, and what ends makes room.
        """
        jobs = self.limited(queued=2)
        first = self.submit(jobs=jobs)
        self.submit(jobs=jobs)
        said = self.refusal(jobs.submit(self.submission(), self.ada), Reason.QUOTA_EXCEEDED)
        self.assertEqual(said, {"quota": "queued", "limit": 2})
        self.successResultOf(jobs.submit(self.submission(), identity("bob")))
        self.successResultOf(jobs.cancel(first.job_id, self.ada))
        self.submit(jobs=jobs)
        self.assertEqual(len(self.store.queue), 4)

    def test_at_once(self) -> None:
        """
        Submissions that are on their way count too.
        """
        jobs = self.limited(queued=2)
        self.store.records.held = True
        results = []
        for _ in range(4):
            self.gateway.broker.held = []
            results.append(jobs.submit(self.submission(), self.ada))
        refused = [result for result in results if result.called and result.addErrback(lambda _: None)]
        self.assertEqual(len(refused), 2)

    def test_replay_is_free(self) -> None:
        """
        Whoever has as many as they may can still send the last one again.
        """
        jobs = self.limited(queued=1)
        first = self.submit("key", jobs)
        self.assertEqual(self.submit("key", jobs), evolve(first, replayed=True))
        self.refusal(jobs.submit(self.submission(), self.ada, "other"), Reason.QUOTA_EXCEEDED)
        self.successResultOf(jobs.cancel(first.job_id, self.ada))
        self.assertFalse(self.submit("other", jobs).replayed)

    def test_dry_run(self) -> None:
        """
        What would become of a submission is told without one.
        """
        jobs = self.limited(queued=1, gpus=2)
        verdict = jobs.verdict(self.submission(), self.ada)
        self.assertEqual(verdict["queue"], {"type": "ai_training", "lane": "normal", "ahead": 0})
        self.assertEqual(verdict["quota"]["queued"], {"used": 0, "limit": 1})
        self.assertIs(verdict["quota"]["within"], True)
        self.assertIs(jobs.verdict(self.submission(gpu_count=3), self.ada)["quota"]["within"], False)
        self.submit(jobs=jobs)
        verdict = jobs.verdict(self.submission(), self.ada)
        self.assertEqual((verdict["quota"]["within"], verdict["queue"]["ahead"]), (False, 1))
        self.assertEqual(len(self.store.queue), 1)


class LookTests(ServiceTestCase):
    """
    Jobs that are looked at.
    """

    def test_owner(self) -> None:
        """
        Row K14: a job is its owner's and the administrators'; to others it does not exist, not even to the user whom
        another issuer calls the same.
        """
        job_id = self.submit().job_id
        for who in (self.ada, identity("root", "admin")):
            self.assertEqual(self.successResultOf(self.jobs.find(job_id, who)).job_id, job_id)
        for who in (identity("bob"), identity("ada", issuer="https://issuer.test")):
            self.refusal(self.jobs.find(job_id, who), Reason.UNKNOWN_JOB)
            self.refusal(self.jobs.cancel(job_id, who), Reason.UNKNOWN_JOB)
        self.refusal(self.jobs.find("0", self.ada), Reason.UNKNOWN_JOB)
        self.assertEqual(self.record(job_id).status, "queued")

    def test_just_submitted(self) -> None:
        """
        A job that another gateway accepted just now is found, although nobody told of it yet.
        """
        self.store.records.held = True
        job_id = self.submit().job_id
        self.assertIsNone(self.other.records.get(job_id))
        self.assertEqual(self.successResultOf(self.other.jobs.find(job_id, self.ada)).job_id, job_id)
        self.refusal(self.other.jobs.find(job_id, identity("bob")), Reason.UNKNOWN_JOB)

    def test_away(self) -> None:
        """
        While the store is away, what is known is told, as possibly old; of what is not known nothing is claimed.
        """
        job_id = self.submit().job_id
        self.store.available = False
        job = self.successResultOf(self.jobs.find(job_id, self.ada))
        self.assertIs(self.jobs.describe(job)["stale"], True)
        self.refusal(self.jobs.find("0", self.ada), Reason.STORE_UNAVAILABLE)
        self.assertEqual([each.job_id for each in self.jobs.page(Query(owner="ada"))[0]], [job_id])

    def test_never_read(self) -> None:
        """
        A gateway that could read nothing yet does not say that there is nothing.
        """
        self.store.available = False
        with self.assertRaises(RefusedError) as caught:
            self.make().jobs.page(Query(owner="ada"))
        self.assertIs(caught.exception.reason, Reason.STORE_UNAVAILABLE)

    def test_described(self) -> None:
        """
        A queued job is shown with its place in the queue, and without what is only bookkeeping.
        """
        self.submit()
        job = self.record(self.submit().job_id)
        said = self.jobs.describe(job)
        self.assertEqual(said["queue"], {"type": "ai_training", "lane": "normal", "position": 2, "ahead": 1})
        self.assertEqual((said["status"], said["timestamp"]), ("queued", job.updated_at))
        self.assertNotIn("stale", said)
        self.assertNotIn("published", said)

    def test_version(self) -> None:
        """
        The version changes with the record.
        """
        job_id = self.submit().job_id
        before = self.jobs.version(self.record(job_id))
        self.say(job_id, "processing")
        self.project(job_id)
        self.assertNotEqual(self.jobs.version(self.record(job_id)), before)


class CancelTests(ServiceTestCase):
    """
    Jobs that end early.
    """

    def cancel(self, job_id: str, jobs: Jobs | None = None) -> tuple[str, bool]:
        """
        Cancel a job.

        @return: its state then, and whether it had ended before.
        """
        job, ended = self.successResultOf((jobs or self.jobs).cancel(job_id, self.ada))
        return job.status, ended

    def test_queued(self) -> None:
        """
        A queued job is cancelled at once; its log says so before anybody could claim it.
        """
        job_id = self.submit().job_id
        self.assertEqual(self.cancel(job_id), ("cancelled", False))
        self.assertEqual(self.record(job_id).status, "cancelled")
        ((_, event),) = self.store.logs[job_id]
        self.assertEqual((event.status, event.attempt), ("cancelled", 0))
        self.assertEqual(self.store.orders, [])

    def test_running(self) -> None:
        """
        A running job is being cancelled, and its worker is told, as often as the user asks.
        """
        job_id = self.submit().job_id
        self.say(job_id, "processing")
        self.project(job_id)
        for _ in range(2):
            self.assertEqual(self.cancel(job_id), ("cancelling", False))
        self.assertEqual(self.store.orders, [(job_id, "cancel")] * 2)
        self.assertEqual([event.status for _, event in self.store.logs[job_id]], ["processing", "cancelling"])
        self.assertEqual(self.record(job_id).status, "cancelling")

    def test_claimed_meanwhile(self) -> None:
        """
        A job that a worker claimed just now, of which the record knows nothing, is told to stop.
        """
        job_id = self.submit().job_id
        self.say(job_id, "processing")
        self.assertEqual(self.cancel(job_id, self.other.jobs), ("cancelling", False))
        self.assertEqual(self.store.orders, [(job_id, "cancel")])

    def test_ended_meanwhile(self) -> None:
        """
        A job that ended just now stays as it ended.
        """
        job_id = self.submit().job_id
        self.say(job_id, "processing")
        self.say(job_id, "completed")
        self.assertEqual(self.cancel(job_id), ("completed", True))
        self.assertEqual(len(self.store.logs[job_id]), 2)

    def test_ended_unseen(self) -> None:
        """
        A job that has ended, of which its record still says that it runs, stays as it ended: whoever cancels it is not
        told that it will be cancelled.
        """
        for status in ("completed", "failed"):
            job_id = self.submit().job_id
            self.say(job_id, "processing")
            self.project(job_id)
            self.say(job_id, status)
            self.assertEqual(self.cancel(job_id), (status, True))
            self.assertEqual(self.record(job_id).status, status)
        self.assertEqual(self.store.orders, [])

    def test_between(self) -> None:
        """
        A job that waits for its next attempt is cancelled at once, unless somebody has just claimed that.
        """
        for status, fields in (("retrying", {}), ("retrying", {"returned": True})):
            job_id = self.submit().job_id
            self.say(job_id, "processing")
            self.say(job_id, status, **fields)
            self.project(job_id)
            self.assertEqual(self.cancel(job_id), ("cancelled", False))
        job_id = self.submit().job_id
        self.say(job_id, "processing")
        self.say(job_id, "retrying")
        self.project(job_id)
        self.say(job_id, "processing", attempt=2)
        self.assertEqual(self.cancel(job_id), ("cancelling", False))

    def test_ended(self) -> None:
        """
        A job that has ended stays as it is, however often it is cancelled.
        """
        job_id = self.submit().job_id
        self.assertEqual(self.cancel(job_id), ("cancelled", False))
        for jobs in (self.jobs, self.other.jobs):
            self.assertEqual(self.cancel(job_id, jobs), ("cancelled", True))
        self.assertEqual(len(self.store.logs[job_id]), 1)

    def test_at_once(self) -> None:
        """
        Two gateways that cancel one job at the same time, neither of which knows of the other, cancel it once.
        """
        job_id = self.submit().job_id
        self.store.records.held = True
        self.assertEqual(self.cancel(job_id), ("cancelled", False))
        self.assertEqual(self.cancel(job_id, self.other.jobs), ("cancelled", True))
        self.assertEqual(len(self.store.logs[job_id]), 1)

    def test_away(self) -> None:
        """
        While the store is away nothing is cancelled.
        """
        job_id = self.submit().job_id
        self.store.available = False
        self.refusal(self.jobs.cancel(job_id, self.ada), Reason.STORE_UNAVAILABLE)
        self.store.available = True
        self.assertEqual((self.record(job_id).status, self.store.logs), ("queued", {}))

    def test_unanswered(self) -> None:
        """
        When the store does not answer, nobody is told that nothing was done: the job may well be cancelled.
        """
        job_id = self.submit().job_id
        self.store.silent = True
        error = self.failureResultOf(self.jobs.cancel(job_id, self.ada), RefusedError).value
        self.assertIs(error.reason, Reason.STORE_UNAVAILABLE)
        self.assertIn("may have been cancelled", error.detail)
        self.store.silent = False
        self.assertEqual(self.cancel(job_id), ("cancelled", True))
