"""
Tests of L{siger.jobs.catching}.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs import catching
from siger.jobs.catching import CatchUp
from siger.jobs.errors import UnknownJobError
from siger.jobs.events import BY_GATEWAYS, Event, replay
from siger.jobs.logs import Entries
from siger.jobs.records import Records
from siger.messaging.errors import UnavailableError
from tests.jobs.making import JOB_ID, event, job, status
from tests.jobs.memory import MemoryBroker, MemoryStore


class CountingBroker(MemoryBroker):
    """
    @ivar reads: after which sequence logs were read.
    """

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.reads: list[int] = []

    def read_events(self, job_id: str, after: int, limit: int = 100, at_least: int | None = None) -> Deferred[Entries]:
        self.reads.append(after)
        return super().read_events(job_id, after, limit, at_least)


EVENTS = st.one_of(
    st.builds(
        status,
        st.sampled_from(["processing", "retrying", "completed", "failed", "cancelled"]),
        st.integers(1, 3),
        returned=st.booleans(),
    ),
    st.builds(status, st.sampled_from(["cancelling", "cancelled"]), st.just(BY_GATEWAYS)),
    st.builds(event, st.just("log"), st.integers(1, 3)),
    st.builds(event, st.just("progress"), st.integers(1, 3), progress=st.integers(0, 100)),
)


class CatchUpTests(SynchronousTestCase):
    """
    Records become what logs say.
    """

    def setUp(self) -> None:
        """
        Two gateways share a store.
        """
        self.store = MemoryStore()
        self.broker = CountingBroker(self.store)
        self.records, self.others = Records(self.store.records), Records(self.store.records)
        for records in (self.records, self.others):
            records.start()
            self.addCleanup(records.stop)
        self.catch_up = CatchUp(self.broker, self.records)

    def log(self, *events: Event) -> Entries:
        """
        A job with these events in its log.
        """
        self.successResultOf(self.records.create(job()))
        return [(self.store.say(each), each) for each in events]

    def test_late(self) -> None:
        """
        An event that comes after a later one is not lost: that one brought it along.
        """
        claim, failed, again = self.log(status("processing"), status("retrying", returned=True), status("processing"))
        record = self.successResultOf(self.catch_up(JOB_ID, [again]))
        self.assertEqual((record.event_seq, record.between), (again[0], ""))
        for late in (claim, failed):
            self.assertEqual(self.successResultOf(CatchUp(self.broker, self.others)(JOB_ID, [late])), record)
        self.assertEqual(self.store.records.writes, 2)

    @given(st.lists(EVENTS, max_size=12), st.data())
    def test_any_order(self, events: list[Event], data: st.DataObject) -> None:
        """
        Row K10: however events are shared between two gateways, whichever comes first or twice, and however late each
        hears of the other's writes, the record is the straight replay of the log.
        """
        store = MemoryStore()
        both = [Records(store.records) for _ in range(2)]
        for records in both:
            records.start()
        self.successResultOf(both[0].create(job()))
        left = list(events)
        log: Entries = []
        todo: Entries = []
        while left or todo:
            if left and (not todo or data.draw(st.booleans())):
                each = left.pop(0)
                log.append((store.say(each), each))
                todo += [log[-1]] * data.draw(st.integers(1, 2))
                continue
            taken = [todo.pop(data.draw(st.integers(0, len(todo) - 1))) for _ in range(min(len(todo), 2))]
            store.records.held = data.draw(st.booleans())
            catch_up = CatchUp(MemoryBroker(store), both[data.draw(st.integers(0, 1))])
            self.successResultOf(catch_up(JOB_ID, sorted(taken, key=lambda entry: entry[0])))
        store.records.held = False
        for records in both:
            self.assertEqual(records.get(JOB_ID), replay(job(), log))
            records.stop()

    def test_together(self) -> None:
        """
        Several events of a job become one write.
        """
        log = self.log(status("processing"), event("progress", 1, progress=5), event("progress", 1, progress=9))
        self.successResultOf(self.catch_up(JOB_ID, log))
        self.assertEqual(self.store.records.writes, 2)

    def test_to_the_end(self) -> None:
        """
        Without any event a record is brought to the end of its log.
        """
        self.log(status("processing"), status("completed"))
        self.assertEqual(self.successResultOf(self.catch_up(JOB_ID)).status, "completed")

    def test_output(self) -> None:
        """
        A line of output of a known attempt costs nothing: neither a read nor a write.
        """
        self.log(status("processing"))
        self.successResultOf(self.catch_up(JOB_ID))
        self.broker.reads.clear()
        line = event("log", 1, message="x")
        self.successResultOf(self.catch_up(JOB_ID, [(self.store.say(line), line)]))
        self.assertEqual((self.broker.reads, self.store.records.writes), ([], 2))
        line = event("log", 2, message="x")
        self.assertEqual(self.successResultOf(self.catch_up(JOB_ID, [(self.store.say(line), line)])).attempts, 2)

    def test_ended(self) -> None:
        """
        What has ended is looked at no more.
        """
        self.log(status("processing"), status("completed"))
        record = self.successResultOf(self.catch_up(JOB_ID))
        self.broker.reads.clear()
        late = status("failed", 2)
        self.assertEqual(self.successResultOf(self.catch_up(JOB_ID, [(self.store.say(late), late)])), record)
        self.assertEqual(self.broker.reads, [])

    def test_gone(self) -> None:
        """
        An event that is gone from the log by now counts all the same.
        """
        log = self.log(status("processing", worker="w"), status("completed"))
        self.store.logs[JOB_ID] = log[1:]
        record = self.successResultOf(self.catch_up(JOB_ID, log))
        self.assertEqual((record.status, record.worker), ("completed", "w"))
        self.store.logs.clear()
        self.assertEqual(self.successResultOf(CatchUp(self.broker, self.others)(JOB_ID, log)), record)

    def test_long(self) -> None:
        """
        A long log is read in parts.
        """
        self.patch(catching, "_BATCH", 4)
        numbers = count(1)
        log = self.log(*(event("progress", 1, progress=next(numbers)) for _ in range(11)))
        record = self.successResultOf(self.catch_up(JOB_ID, [log[8]]))
        self.assertEqual(self.broker.reads, [0, 4, 8])
        self.assertEqual((record.progress, record.event_seq), (11, 11))

    def test_unknown(self) -> None:
        """
        Where there is no record there is nothing to bring up to date.
        """
        self.failureResultOf(self.catch_up("nobody", [(1, status("processing"))]), UnknownJobError)
        self.failureResultOf(self.catch_up("nobody"), UnknownJobError)

    def test_away(self) -> None:
        """
        While the store is away it fails, and nothing is half done.
        """
        log = self.log(status("processing"))
        self.store.available = False
        self.failureResultOf(self.catch_up(JOB_ID, log), UnavailableError)
        self.store.available = True
        record: Any = self.records.get(JOB_ID)
        self.assertEqual(record, job())
