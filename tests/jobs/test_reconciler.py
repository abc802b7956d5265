"""
Tests for L{siger.jobs.reconciler}.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.jobs import JobsSettings
from siger.jobs.events import Event, replay
from siger.jobs.marks import Marks
from siger.jobs.model import Job
from siger.jobs.reconciler import LOST, SETTLED, SWEEP, TICK, Reconciler
from siger.jobs.submission import message_bytes
from siger.jobs.times import timestamp
from tests.jobs.making import job
from tests.jobs.memory import MemoryBroker, MemoryRecords, MemoryStore

DAY = 86400.0


class Gateway:
    """
    A gateway that looks after jobs.
    """

    def __init__(self, store: MemoryStore, settings: JobsSettings, clock: Clock) -> None:
        self.broker = MemoryBroker(store)
        self.records = MemoryRecords(store)
        self.marks = Marks(store.marks, clock)
        self.marks.start()
        self.busy: set[str] = set()
        self.reconciler = Reconciler(
            self.broker,
            self.records,
            self.marks,
            settings,
            clock,
            self.busy.__contains__,
            lambda: 1e6 + clock.seconds(),
        )
        self.reconciler.start()
        self.records.start()


class ReconcilerTests(SynchronousTestCase):
    """
    A gateway and what others left.
    """

    def setUp(self) -> None:
        """
        Have a gateway.
        """
        self.clock = Clock()
        self.store = MemoryStore()
        self.settings = JobsSettings(lease=30, lost_after=300, retention_days=7)
        self.gateway = self.make()

    def make(self) -> Gateway:
        """
        A gateway with this store.
        """
        gateway = Gateway(self.store, self.settings, self.clock)
        self.addCleanup(gateway.reconciler.stop)
        return gateway

    def left(self, number: int = 1, **fields: Any) -> Job:
        """
        A record that somebody wrote.
        """
        found = job(job_id=f"job-{number}", submitted_at=timestamp(1e6), updated_at=timestamp(1e6), **fields)
        self.successResultOf(self.gateway.records.create(found))
        return found

    def say(self, job_id: str, kind: str, attempt: int = 1, **fields: Any) -> int:
        """
        Have a worker write to a job's log.
        """
        return self.store.say(Event(job_id, kind, attempt, timestamp(1e6 + self.clock.seconds()), **fields))

    def status(self, job_id: str, status: str, attempt: int = 1, **fields: Any) -> None:
        """
        Have a worker write to a job's log, and the record show that.
        """
        self.say(job_id, "status", attempt, status=status, **fields)
        log = self.store.logs[job_id]
        self.successResultOf(self.gateway.records.change(job_id, lambda known: replay(known, log)))

    def running(self, number: int = 1, **fields: Any) -> str:
        """
        A job that a worker has claimed.
        """
        job_id = self.left(number, **fields).job_id
        self.status(job_id, "processing", worker="w1")
        return job_id

    def pass_time(self, seconds: float) -> None:
        """
        Let time go by as it does.
        """
        for _ in range(int(seconds / TICK) + 1):
            self.clock.advance(TICK)

    def record(self, job_id: str) -> Job:
        """
        The record of a job.
        """
        found = self.gateway.records.get(job_id)
        assert found is not None
        return found


class UnpublishedTests(ReconcilerTests):
    """
    Row K4: records whose message was not acknowledged.
    """

    def test_queued(self) -> None:
        """
        The message is sent once the submission cannot go on any more, the very same, and the record says so.
        """
        left = self.left(published=False, priority=9)
        self.pass_time(SETTLED - 2 * TICK)
        self.assertEqual(self.store.queue, [])
        self.pass_time(3 * TICK)
        self.assertEqual(self.store.queue, [("jobs.submit.ai_training.high", message_bytes(left), "job-1")])
        self.assertEqual(self.record("job-1"), evolve(left, published=True))
        self.pass_time(60)
        self.assertEqual((len(self.store.queue), self.gateway.reconciler.requeued), (1, 1))

    def test_found_at_start(self) -> None:
        """
        A gateway that starts finds what was left before, and finishes it at once if it is old enough.
        """
        self.left(published=False)
        self.gateway.reconciler.stop()
        self.clock.advance(10)
        self.gateway = self.make()
        self.clock.advance(TICK)
        self.assertEqual(self.store.queue, [])
        self.pass_time(SETTLED - 10)
        self.assertEqual(len(self.store.queue), 1)

    def test_claimed(self) -> None:
        """
        A job that somebody has claimed was in the queue, and does not get there again.
        """
        self.left(published=False)
        self.say("job-1", "status", status="processing")
        self.pass_time(SETTLED + TICK)
        self.assertEqual(self.store.queue, [])
        self.assertTrue(self.record("job-1").published)

    def test_cancelled(self) -> None:
        """
        A job that was cancelled meanwhile never starts.
        """
        self.left(published=False)
        self.status("job-1", "cancelled", 0)
        self.pass_time(60)
        self.assertEqual(self.store.queue, [])

    def test_busy(self) -> None:
        """
        What this gateway is submitting just now it leaves alone, however long that takes.
        """
        self.left(published=False)
        self.gateway.busy.add("job-1")
        self.pass_time(120)
        self.assertEqual(self.store.queue, [])
        self.gateway.busy.clear()
        self.pass_time(SETTLED + TICK)
        self.assertEqual(len(self.store.queue), 1)

    def test_full(self) -> None:
        """
        While the queue is full it is tried again.
        """
        self.left(published=False)
        self.store.full = True
        self.pass_time(60)
        self.assertFalse(self.record("job-1").published)
        self.store.full = False
        self.pass_time(SETTLED + TICK)
        self.assertTrue(self.record("job-1").published)

    def test_two_gateways(self) -> None:
        """
        Two gateways that do it at once do it once.
        """
        self.left(published=False)
        self.make()
        self.pass_time(60)
        self.assertEqual(len(self.store.queue), 1)

    def test_away(self) -> None:
        """
        While the store is away nothing is tried; afterwards it is.
        """
        self.left(published=False)
        self.store.available = False
        self.pass_time(60)
        self.store.available = True
        self.assertEqual(self.store.queue, [])
        self.pass_time(SETTLED + TICK)
        self.assertEqual(len(self.store.queue), 1)


class LostTests(ReconcilerTests):
    """
    Jobs whose worker is gone: nothing stays as it is for ever.
    """

    def test_lost(self) -> None:
        """
        A job of which nothing was heard for long has failed, with its reason, and is kept with what failed for good.
        """
        job_id = self.running()
        self.pass_time(296)
        self.assertEqual(self.record(job_id).status, "processing")
        self.pass_time(6)
        found = self.record(job_id)
        self.assertEqual((found.status, found.error), ("failed", LOST))
        self.assertEqual([(each.job_id, reason) for each, reason in self.store.dead], [(job_id, LOST)])
        self.pass_time(600)
        self.assertEqual((len(self.store.logs[job_id]), self.gateway.reconciler.lost), (2, 1))

    def test_alive(self) -> None:
        """
        A worker that gives signs of life is never given up.
        """
        job_id = self.running()
        for _ in range(30):
            self.pass_time(30)
            for heard in self.gateway.broker.alive:
                heard(job_id, 1)
        self.assertEqual(self.record(job_id).status, "processing")
        self.pass_time(302)
        self.assertEqual(self.record(job_id).status, "failed")

    def test_talking(self) -> None:
        """
        Lines of output, which change no record, are signs of life too.
        """
        job_id = self.running()
        for _ in range(10):
            self.pass_time(290)
            self.say(job_id, "log", message="epoch done")
        self.assertEqual(self.record(job_id).status, "processing")

    def test_taken_over(self) -> None:
        """
        Another worker that takes over begins anew.
        """
        job_id = self.running()
        self.pass_time(290)
        self.status(job_id, "processing", 2, worker="w2")
        self.pass_time(290)
        self.assertEqual(self.record(job_id).status, "processing")

    def test_ended_meanwhile(self) -> None:
        """
        A job that ended, which its record does not show yet, stays as it ended.
        """
        job_id = self.running()
        self.pass_time(290)
        self.say(job_id, "status", status="completed")
        self.pass_time(60)
        self.assertEqual([event.status for _, event in self.store.logs[job_id]], ["processing", "completed"])

    def test_cancelling(self) -> None:
        """
        A job that is being cancelled, of whose worker nothing was heard for three leases, is cancelled.
        """
        job_id = self.running()
        self.status(job_id, "cancelling", 0)
        self.pass_time(86)
        self.assertEqual(self.record(job_id).status, "cancelling")
        self.pass_time(6)
        self.assertEqual(self.record(job_id).status, "cancelled")
        self.assertEqual(self.store.dead, [])

    def test_order_lost(self) -> None:
        """
        A gateway may crash, or lose its connection, after it wrote that a job is to be cancelled and before it told its
        worker so. One that runs on all the same is told again, by any gateway, until it has ended.
        """
        job_id = self.running()
        self.status(job_id, "cancelling", 0)
        self.pass_time(SETTLED - 3 * TICK)
        self.assertEqual(self.store.orders, [])
        self.pass_time(3 * TICK)
        self.assertEqual(self.store.orders, [(job_id, "cancel")])
        self.make()
        self.pass_time(SETTLED + TICK)
        self.assertGreater(len(self.store.orders), 2)
        self.status(job_id, "cancelled")
        self.store.orders.clear()
        self.pass_time(2 * SETTLED)
        self.assertEqual(self.store.orders, [])

    def test_waiting(self) -> None:
        """
        A job that waits, for its first attempt or its next, waits as long as it takes.
        """
        queued = self.left(1).job_id
        retried, returned = self.running(2), self.running(3)
        self.status(retried, "retrying")
        self.status(returned, "retrying", returned=True)
        self.pass_time(2000)
        states = [self.record(job_id).status for job_id in (queued, retried, returned)]
        self.assertEqual(states, ["queued", "processing", "processing"])

    def test_outage(self) -> None:
        """
        While the store is away nobody can be heard, so nobody is silent.
        """
        job_id = self.running()
        self.pass_time(200)
        self.store.available = False
        self.pass_time(1000)
        self.store.available = True
        self.pass_time(200)
        self.assertEqual(self.record(job_id).status, "processing")
        self.pass_time(110)
        self.assertEqual(self.record(job_id).status, "failed")

    def test_started(self) -> None:
        """
        A gateway that starts knows nothing of the silence before.
        """
        job_id = self.running()
        self.pass_time(290)
        self.gateway.reconciler.stop()
        self.gateway = self.make()
        self.pass_time(290)
        self.assertEqual(self.record(job_id).status, "processing")

    def test_two_gateways(self) -> None:
        """
        Two gateways that give a worker up do it once.
        """
        job_id = self.running()
        self.make()
        self.pass_time(400)
        self.assertEqual(len(self.store.logs[job_id]), 2)


class SweepTests(ReconcilerTests):
    """
    Records of jobs that have ended.
    """

    def test_swept(self) -> None:
        """
        What ended longer ago than it is kept is taken away; what ended later, or did not end, stays.
        """
        self.left(1, status="completed", ended_at=timestamp(1e6 - 7 * DAY))
        self.left(2, status="failed", ended_at=timestamp(1e6 - 6 * DAY))
        self.left(3)
        self.left(4, status="processing", attempts=1, between="retry")
        self.pass_time(SWEEP + TICK)
        self.assertEqual(sorted(each.job_id for each in self.gateway.records.all()), ["job-2", "job-3", "job-4"])
        self.assertEqual(self.gateway.reconciler.swept, 1)

    def test_many(self) -> None:
        """
        Of many some are taken away at a time, until all are gone.
        """
        for number in range(450):
            self.left(number, status="completed", ended_at=timestamp(1e6 - 8 * DAY))
        self.pass_time(SWEEP - 2 * TICK)
        self.clock.advance(TICK)
        counts = []
        for _ in range(3):
            self.clock.advance(TICK)
            counts.append(len(self.gateway.records.all()))
        self.assertEqual(sorted({*counts, 0}, reverse=True)[-2:], [50, 0])
        self.pass_time(2 * TICK)
        self.assertEqual(self.gateway.records.all(), [])
