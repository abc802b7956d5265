"""
Tests for L{siger.jobs.marks}.
"""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.jobs import JobsSettings
from siger.jobs.identifiers import JobIds
from siger.jobs.marks import MOST, TICK, Marks
from siger.jobs.reconciler import NEVER, SETTLED, Reconciler
from siger.jobs.refusals import RefusedError
from siger.jobs.service import Jobs
from siger.jobs.submission import Submission
from siger.messaging.errors import TooLargeError
from tests.jobs.memory import MemoryBroker, MemoryRecords, MemoryStore
from tests.jobs.test_service import identity
from tests.messaging.memory_bucket import MemoryBucket


class MarksTests(SynchronousTestCase):
    """
    Two gateways that tell one another what is in the queue.
    """

    def setUp(self) -> None:
        """
        Have two of them.
        """
        self.clock = Clock()
        self.bucket = MemoryBucket("job_marks")
        self.ours, self.theirs = self.make(), self.make()
        self.ids = JobIds(tag=self.ours.tag)

    def make(self) -> Marks:
        """
        One more.
        """
        marks = Marks(self.bucket, self.clock)
        marks.start()
        return marks

    def begin(self) -> str:
        """
        Have us begin with a job.
        """
        job_id = self.ids.next()
        self.ours.begin(job_id)
        return job_id

    def covered(self, *job_ids: str) -> tuple[list[bool], list[bool]]:
        """
        What we know of jobs, and what the other gateway knows.
        """
        return list(map(self.ours.covers, job_ids)), list(map(self.theirs.covers, job_ids))

    def test_told(self) -> None:
        """
        We know at once what is in the queue, and the other gateway a moment later; neither while it is on its way.
        """
        job_id = self.begin()
        self.clock.advance(TICK)
        self.assertEqual(self.covered(job_id), ([False], [False]))
        self.ours.end(job_id)
        self.assertEqual(self.covered(job_id), ([True], [False]))
        self.clock.advance(TICK)
        self.assertEqual(self.covered(job_id), ([True], [True]))

    def test_overtaken(self) -> None:
        """
        What is still on its way stays in doubt, however many that were begun later have arrived.
        """
        first, slow, *others = [self.begin() for _ in range(10)]
        for job_id in (first, *others):
            self.ours.end(job_id)
        self.clock.advance(TICK)
        self.assertEqual(self.covered(first, slow, others[-1]), ([True, False, True], [True, False, False]))
        self.ours.end(slow)
        self.clock.advance(TICK)
        self.assertEqual(self.covered(first, slow, others[-1]), ([True] * 3, [True] * 3))

    def test_doubtful(self) -> None:
        """
        What may not have arrived is in doubt for all, until that is settled; what came after is not.
        """
        lost, later = self.begin(), self.begin()
        self.ours.end(lost, doubtful=True)
        self.ours.end(later)
        self.clock.advance(TICK)
        self.assertEqual(self.covered(lost, later), ([False, True], [False, True]))
        self.ours.settle(lost)
        self.clock.advance(TICK)
        self.assertEqual(self.covered(lost, later), ([True, True], [True, True]))

    def test_not_given_yet(self) -> None:
        """
        Names that were not given yet, or not here, or are of another kind, are in doubt.
        """
        self.ours.end(self.begin())
        self.clock.advance(TICK)
        unknown = (self.ids.next(), JobIds().next(), "x", "0" * 32, "~" * 36)
        self.assertEqual(self.covered(*unknown), ([False] * 5, [False] * 5))

    def test_written_seldom(self) -> None:
        """
        However many jobs come there is one write a moment, and none when none come.
        """
        for _ in range(100):
            self.ours.end(self.begin())
        before = self.bucket.writes
        for _ in range(10):
            self.clock.advance(TICK)
        self.assertEqual(self.bucket.writes, before + 1)

    def test_stopped(self) -> None:
        """
        A gateway that stops leaves nothing in doubt.
        """
        job_id = self.begin()
        self.ours.end(job_id)
        self.successResultOf(self.ours.stop())
        self.assertTrue(self.theirs.covers(job_id))
        self.assertTrue(self.make().covers(job_id))

    def test_away(self) -> None:
        """
        What could not be written while the store was away is written later.
        """
        job_id = self.begin()
        self.ours.end(job_id)
        self.bucket.available = False
        self.clock.advance(TICK)
        self.bucket.available = True
        self.assertFalse(self.theirs.covers(job_id))
        self.clock.advance(TICK)
        self.assertTrue(self.theirs.covers(job_id))

    def test_refused(self) -> None:
        """
        A line that is too long to be written is written when it is shorter again.
        """
        job_id = self.begin()
        self.ours.end(job_id)
        put, self.bucket.put = self.bucket.put, lambda key, value: fail(TooLargeError("too many bytes"))
        self.clock.advance(TICK)
        self.bucket.put = put
        self.clock.advance(TICK)
        self.assertTrue(self.theirs.covers(job_id))

    def test_many_doubts(self) -> None:
        """
        However much is in doubt, a line stays short: it tells of fewer jobs then, and never of one in doubt.
        """
        jobs = [self.begin() for _ in range(MOST + 50)]
        after = self.begin()
        for job_id in reversed(jobs):
            self.ours.end(job_id, doubtful=True)
        self.ours.end(after)
        self.clock.advance(TICK)
        self.assertEqual(self.covered(*jobs)[1], [False] * len(jobs))
        self.assertEqual(self.covered(after), ([True], [False]))
        self.assertLess(len(self.bucket._latest[self.ours.tag.hex()].value or b""), 50 * MOST)
        for job_id in jobs[:50]:
            self.ours.settle(job_id)
        self.clock.advance(TICK)
        self.assertEqual(self.covered(jobs[0], jobs[-1], after)[1], [True, False, True])

    def test_broken(self) -> None:
        """
        A line that cannot be read says nothing, and disturbs nobody.
        """
        job_id = self.begin()
        self.ours.end(job_id)
        for content in (b"{", b"[]", b"{}", b'{"below":"~"}', b'{"below":"~","but":3}'):
            self.successResultOf(self.bucket.put(self.ours.tag.hex(), content))
            self.assertFalse(self.theirs.covers(job_id))


class NeverTests(SynchronousTestCase):
    """
    Submissions of which nothing came.
    """

    def setUp(self) -> None:
        """
        Have a gateway.
        """
        self.store, self.clock = MemoryStore(), Clock()
        broker, self.records = MemoryBroker(self.store), MemoryRecords(self.store)
        self.marks = Marks(self.store.marks, self.clock)
        self.jobs = Jobs(broker, self.records, self.store.keys, self.marks, JobsSettings(), self.clock.seconds)
        reconciler = Reconciler(
            broker, self.records, self.marks, JobsSettings(), self.clock, self.jobs.is_in_flight, self.clock.seconds
        )
        self.marks.start()
        reconciler.start()
        self.addCleanup(reconciler.stop)
        self.records.start()

    def pass_time(self, seconds: float) -> None:
        """
        Let some time go by.
        """
        self.clock.pump([seconds / 20] * 20)

    def submit(self) -> None:
        """
        Have a submission fail, as its store does not answer.
        """
        self.failureResultOf(self.jobs.submit(Submission("inference", "x"), identity()), RefusedError)

    def test_no_record(self) -> None:
        """
        A job whose record may have been written is in doubt, but not for ever if there is none. Time counts while the
        store can be seen.
        """
        self.store.records.available = False
        self.submit()
        self.pass_time(2 * NEVER)
        self.assertEqual(len(self.marks.doubts), 1)
        self.store.records.available = True
        self.pass_time(0.9 * NEVER)
        self.assertEqual(len(self.marks.doubts), 1)
        self.pass_time(0.2 * NEVER)
        self.assertEqual(self.marks.doubts, [])

    def test_record(self) -> None:
        """
        One with a record stays in doubt until it is in the queue.
        """
        self.store.silent = True
        self.submit()
        self.pass_time(2 * NEVER)
        self.assertEqual(len(self.marks.doubts), 1)
        self.store.silent = False
        self.pass_time(20)
        self.assertEqual((self.marks.doubts, len(self.store.queue)), ([], 1))


class CrashTests(SynchronousTestCase):
    """
    A gateway that crashes while it accepts jobs, and another that finds what it left.
    """

    def test_crashed(self) -> None:
        """
        Only what was accepted after the last line, or was on its way, is looked after: each is in the queue once.
        """
        store, clock = MemoryStore(), Clock()
        broker, records = MemoryBroker(store), MemoryRecords(store)
        marks = Marks(store.marks, clock)
        marks.start()
        records.start()
        jobs = Jobs(broker, records, store.keys, marks, JobsSettings(), clock.seconds)
        ada, submission = identity(), Submission("inference", "x")
        accepted = [self.successResultOf(jobs.submit(submission, ada)).job_id for _ in range(20)]
        clock.advance(TICK)
        accepted += [self.successResultOf(jobs.submit(submission, ada)).job_id for _ in range(3)]
        broker.held = []
        jobs.submit(submission, ada)
        broker.held.clear()
        marks._loop.stop()  # it crashed

        other = Marks(store.marks, clock)
        other.start()
        theirs, asked = MemoryRecords(store), MemoryBroker(store)
        reconciler = Reconciler(asked, theirs, other, JobsSettings(), clock, lambda _: False, clock.seconds)
        reconciler.start()
        self.addCleanup(reconciler.stop)
        theirs.start()
        for _ in range(20):
            clock.advance(SETTLED / 10)
        self.assertEqual(reconciler.requeued, 4)
        self.assertEqual([name for _, _, name in store.queue[:-1]], accepted)
        self.assertEqual(len(store.queue), 24)
        self.assertEqual(sum(job.published for job in theirs.all()), 4)
