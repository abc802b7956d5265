"""
Tests of L{siger.jobs.records} and L{siger.jobs.index}.
"""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs import records as module
from siger.jobs.errors import ConflictError, UnknownJobError
from siger.jobs.index import Counts
from siger.jobs.model import LANES, STATES, Job
from siger.jobs.query import Query, read_cursor
from siger.jobs.records import Records
from siger.jobs.times import timestamp
from siger.messaging.errors import KeyExistsError, RevisionError, UnavailableError
from tests.jobs.making import job
from tests.messaging.memory_bucket import MemoryBucket


def named(number: int, **fields: Any) -> Job:
    """
    A job with a name, and a time, of its own.
    """
    at = timestamp(5000 + number)
    return job(**{"job_id": f"job-{number:03}", "submitted_at": at, "updated_at": at, **fields})


def done(record: Job) -> Job:
    """
    It ended.
    """
    return evolve(record, status="completed")


class RecordsCase(SynchronousTestCase):
    """
    What these tests need.
    """

    def setUp(self) -> None:
        """
        Two gateways share a bucket.
        """
        self.bucket = MemoryBucket("jobs")
        self.records, self.others = Records(self.bucket), Records(self.bucket)
        for records in (self.records, self.others):
            records.start()
            self.addCleanup(records.stop)

    def make(self, *jobs: Job) -> None:
        """
        Write records.
        """
        for each in jobs:
            self.successResultOf(self.records.create(each))


class WritingTests(RecordsCase):
    """
    Records are written with care.
    """

    def test_create(self) -> None:
        """
        A record is known to all gateways, with its revision, and cannot be made again.
        """
        revision = self.successResultOf(self.records.create(named(1)))
        for records in (self.records, self.others):
            self.assertEqual((records.get("job-001"), records.revision("job-001")), (named(1), revision))
            self.failureResultOf(records.create(named(1)), KeyExistsError)
        self.assertEqual(
            (len(self.others), self.records.get("job-002"), self.records.revision("job-002")), (1, None, 0)
        )

    def test_at_once(self) -> None:
        """
        What was written here is known here before the store tells of it, and once only.
        """
        heard: list[Job] = []
        self.records.on_change(heard.append)
        self.bucket.held = True
        self.make(named(1))
        self.successResultOf(self.records.change("job-001", done))
        self.assertEqual(self.records.get("job-001"), done(named(1)))
        self.assertIsNone(self.others.get("job-001"))
        self.bucket.held = False
        self.assertEqual(self.others.get("job-001"), done(named(1)))
        self.assertEqual(heard, [named(1), done(named(1))])

    def test_unchanged(self) -> None:
        """
        What is right already is not written.
        """
        self.make(named(1))
        self.assertEqual(self.successResultOf(self.records.change("job-001", lambda known: known)), named(1))
        self.assertEqual(self.bucket.writes, 1)

    def test_behind(self) -> None:
        """
        Row K10: a gateway that does not know the latest version reads it, and loses nothing of it.
        """
        self.make(named(1))
        self.bucket.held = True
        self.successResultOf(self.records.change("job-001", lambda known: evolve(known, progress=50)))
        changed = self.successResultOf(self.others.change("job-001", lambda known: evolve(known, worker="w")))
        self.assertEqual((changed.progress, changed.worker), (50, "w"))
        self.bucket.held = False
        self.assertEqual(self.records.get("job-001"), changed)

    def test_two_writers(self) -> None:
        """
        Row K10: two who change a record a thousand times lose none of their changes.
        """
        self.make(named(1))
        random = Random(1)
        for _ in range(1000):
            self.bucket.held = random.random() < 0.5
            records = random.choice((self.records, self.others))
            self.successResultOf(records.change("job-001", lambda known: evolve(known, event_seq=known.event_seq + 1)))
        fetched = self.successResultOf(self.records.fetch("job-001"))
        assert fetched is not None
        self.assertEqual(fetched.event_seq, 1000)

    def test_contended(self) -> None:
        """
        Where others always come before, it ends some time.
        """
        self.make(named(1))

        def change(known: Job) -> Job:
            self.successResultOf(self.bucket.put("job-001", known.to_json()))
            return done(known)

        self.failureResultOf(self.records.change("job-001", change, tries=5), ConflictError)
        self.assertEqual(self.bucket.writes, 6)

    def test_unknown(self) -> None:
        """
        A record that is not there cannot change; one that this gateway has not heard of can.
        """
        self.failureResultOf(self.records.change("job-001", done), UnknownJobError)
        self.bucket.held = True
        self.make(named(1))
        self.assertEqual(self.successResultOf(self.others.change("job-001", done)), done(named(1)))

    def test_fetch(self) -> None:
        """
        What the store has is read from there, and known from then on.
        """
        self.bucket.held = True
        self.make(named(1))
        self.assertIsNone(self.others.get("job-001"))
        self.assertEqual(self.successResultOf(self.others.fetch("job-001")), named(1))
        self.assertEqual(self.others.get("job-001"), named(1))
        self.assertIsNone(self.successResultOf(self.others.fetch("job-002")))

    def test_remove(self) -> None:
        """
        What is taken away is gone everywhere; what has changed meanwhile is not taken away.
        """
        self.make(named(1), named(2))
        self.successResultOf(self.records.remove("job-001"))
        self.assertEqual((self.records.get("job-001"), len(self.others)), (None, 1))
        self.assertEqual(self.others.list(Query()), ([named(2)], None))
        self.bucket.held = True
        self.successResultOf(self.records.change("job-002", done))
        self.failureResultOf(self.others.remove("job-002"), RevisionError)

    def test_away(self) -> None:
        """
        While the store is away nothing can be written, and what is known is stale and goes on to be read.
        """
        self.make(named(1))
        self.assertEqual((self.records.current, self.records.stale), (True, False))
        self.bucket.available = False
        deferreds: list[Deferred[Any]] = [
            self.records.create(named(2)),
            self.records.change("job-001", done),
            self.records.remove("job-001"),
            self.records.fetch("job-001"),
        ]
        for deferred in deferreds:
            self.failureResultOf(deferred, UnavailableError)
        self.assertEqual((self.records.get("job-001"), self.records.stale), (named(1), True))
        self.assertEqual((self.records.counts("1").queued, len(self.records.list(Query())[0])), (1, 1))
        self.bucket.forget("job-001")
        self.bucket.available = True
        self.assertEqual((self.records.counts("1").queued, self.records.list(Query())), (0, ([], None)))

    def test_broken(self) -> None:
        """
        What cannot be read, or is another job's, is as if it were not there, and said once.
        """
        for key, content in (("a", b"{"), ("b", named(1).to_json())):
            self.successResultOf(self.bucket.put(key, content))
            self.assertIsNone(self.successResultOf(self.records.fetch(key)))
            self.failureResultOf(self.records.change(key, done), UnknownJobError)
        self.make(named(1))
        self.successResultOf(self.bucket.put("job-001", b"[]"))
        self.assertEqual(
            (self.records.get("job-001"), self.records.counts("1"), len(self.records)), (None, Counts(), 0)
        )
        self.assertGreater(self.records.broken, 0)

    def test_listeners(self) -> None:
        """
        Whoever listens hears of each change until they do no longer, and one that fails stops no other.
        """
        heard: list[Job] = []

        def fail(_: Job) -> None:
            raise RuntimeError("no")

        self.records.on_change(fail)
        forget = self.records.on_change(heard.append)
        self.make(named(1))
        forget()
        forget()
        self.make(named(2))
        self.assertEqual(heard, [named(1)])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_read_once(self) -> None:
        """
        A record that is asked for again is not read again, unless it is long, or many were asked for meanwhile.
        """
        self.patch(module, "_READ", 3)
        self.make(*(named(number) for number in range(4)), named(9, description="x" * 2000, params={"x": "y" * 9000}))
        self.assertIs(self.records.get("job-003"), self.records.get("job-003"))
        self.assertIsNot(self.records.get("job-009"), self.records.get("job-009"))
        last = self.records.get("job-003")
        for number in range(3):
            self.records.get(f"job-{number:03}")
        self.assertIsNot(self.records.get("job-003"), last)


class FindingTests(RecordsCase):
    """
    Jobs are found without looking at all of them.
    """

    def test_list(self) -> None:
        """
        A page has the newest first, and a cursor that goes on behind its last.
        """
        jobs = [named(number) for number in range(7)]
        for each in Random(1).sample(jobs, 7):
            self.make(each)
        page, cursor = self.records.list(Query(limit=3))
        self.assertEqual(page, jobs[:3:-1])
        assert cursor is not None
        page, cursor = self.records.list(Query(limit=3, after=read_cursor(cursor)))
        self.assertEqual(page, jobs[3:0:-1])
        assert cursor is not None
        self.assertEqual(self.records.list(Query(limit=3, after=read_cursor(cursor))), (jobs[:1], None))
        self.assertIsNone(self.records.list(Query(limit=7))[1])

    def test_between_pages(self) -> None:
        """
        Jobs that come and go between two pages shift no others.
        """
        self.make(*(named(number) for number in range(6)))
        _, cursor = self.records.list(Query(limit=2))
        assert cursor is not None
        self.make(named(9))
        self.successResultOf(self.records.remove("job-005"))
        self.successResultOf(self.records.remove("job-004"))
        page, _ = self.records.list(Query(limit=2, after=read_cursor(cursor)))
        self.assertEqual(page, [named(3), named(2)])

    @given(st.data())
    def test_like_a_scan(self, data: st.DataObject) -> None:
        """
        Whatever happened to jobs and whatever one asks for, one gets what looking at each would find.
        """
        bucket = MemoryBucket("jobs")
        records = Records(bucket)
        records.start()
        random = Random(data.draw(st.integers(0, 10**6)))
        jobs: dict[str, Job] = {}
        for number in random.sample(range(40), 25):
            each = named(
                number,
                user_id=random.choice("ab"),
                type=random.choice(("t", "u")),
                priority=random.randint(0, 10),
                gpu_count=random.randint(0, 3),
                tags=tuple(random.sample(("x", "y"), random.randint(0, 2))),
                submitted_at=timestamp(5000 + number // 3),
            )
            self.successResultOf(records.create(each))
            for status in random.sample(STATES, random.randint(0, 3)):
                each = evolve(each, status=status)
                self.successResultOf(records.change(each.job_id, lambda _, each=each: each))
            jobs[each.job_id] = each
            if random.random() < 0.2:
                self.successResultOf(records.remove(each.job_id))
                del jobs[each.job_id]
        known = sorted(jobs.values(), key=lambda each: each.key, reverse=True)
        self.check_pages(records, known, random)
        self.check_counts(records, known)
        records.stop()

    def check_pages(self, records: Records, known: list[Job], random: Random) -> None:
        """
        Compare all pages of some queries.
        """
        for _ in range(10):
            query = Query(
                owner=random.choice((None, "a", "c")),
                statuses=frozenset(random.sample(STATES, random.randint(0, 3))),
                types=frozenset(random.sample(("t", "u", "v"), random.randint(0, 2))),
                tags=frozenset(random.sample(("x", "y"), random.randint(0, 1))),
                created_after=random.choice((None, timestamp(5003))),
                created_before=random.choice((None, timestamp(5009))),
                limit=random.randint(1, 6),
            )
            found: list[Job] = []
            while True:
                page, cursor = records.list(query)
                self.assertLessEqual(len(page), query.limit)
                found += page
                if cursor is None:
                    break
                query = evolve(query, after=read_cursor(cursor))
            self.assertEqual(found, [each for each in known if query.matches(each)])

    def check_counts(self, records: Records, known: list[Job]) -> None:
        """
        Compare what is counted.
        """
        for user in "abc":
            queued = [each for each in known if each.user_id == user and each.status == "queued"]
            running = [each for each in known if each.user_id == user and each.status in ("processing", "cancelling")]
            gpus = sum(each.gpu_count for each in queued + running)
            kept = sum(each.user_id == user for each in known)
            self.assertEqual(records.counts(user), Counts(len(queued), len(running), gpus, kept))
        for each in known:
            before = [
                other
                for other in known
                if other.status == "queued"
                and other.type == each.type
                and (LANES.index(other.lane), other.key) < (LANES.index(each.lane), each.key)
            ]
            self.assertEqual(records.ahead(each), len(before))
        self.assertEqual(sorted(each.job_id for each in records.all()), sorted(each.job_id for each in known))
        for status in STATES:
            self.assertEqual(records.count(status), sum(each.status == status for each in known))

    def test_bounded(self) -> None:
        """
        A page that looked at too many ends, even with nothing on it, and the next goes on from there.
        """
        self.patch(module, "_MOST", 4)
        self.make(*(named(number, tags=("x",) if number == 1 else ()) for number in range(10)))
        query = Query(tags=frozenset(("x",)))
        pages = []
        while True:
            page, cursor = self.records.list(query)
            pages.append(page)
            if cursor is None:
                break
            query = evolve(query, after=read_cursor(cursor))
        self.assertEqual([len(page) for page in pages], [0, 0, 1])

    def test_short(self) -> None:
        """
        A page of long records ends early, so that nobody's list keeps others waiting, but has one at least.
        """
        self.patch(module, "_MOST_BYTES", 10_000)
        longer = {number: {"x": "x" * 4000} for number in (2, 3, 4, 5)} | {7: {"x": "x" * 20_000}}
        self.make(*(named(number, params=longer.get(number, {})) for number in range(10)))
        query = Query(limit=5)
        pages = []
        while True:
            page, cursor = self.records.list(query)
            pages.append([int(each.job_id[-3:]) for each in page])
            if cursor is None:
                break
            query = evolve(query, after=read_cursor(cursor))
        self.assertEqual(pages, [[9, 8], [7], [6, 5, 4], [3, 2, 1, 0]])

    def test_ended(self) -> None:
        """
        Row K17: those that ended before a time are found; never one that has not ended, however old it is.
        """
        self.make(
            named(1, status="completed", ended_at=timestamp(6000)),
            named(2, status="failed", ended_at=timestamp(7000)),
            named(3, status="queued"),
            named(4, status="processing"),
            named(5, status="cancelled"),
            named(6, status="completed", ended_at=timestamp(5500)),
        )
        self.assertEqual(self.records.ended_before(timestamp(6500), 10), ["job-005", "job-001", "job-006"])
        self.assertEqual(self.records.ended_before(timestamp(6500), 2), ["job-005", "job-001"])
        self.assertEqual(self.records.ended_before(timestamp(5000), 10), [])
