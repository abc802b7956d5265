"""
Tests for L{siger.jobs.cursor}.
"""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.cursor import KINDS, Cursor
from siger.jobs.events import Event, fold, is_stale, replay
from siger.jobs.model import SUBMITTED, Job
from siger.jobs.times import timestamp
from tests.jobs.making import event, job, status

Log = list[tuple[int, Event]]

LOGS = st.lists(
    st.one_of(
        st.builds(
            status,
            st.sampled_from(("processing", "retrying", "completed", "failed", "cancelled", "cancelling", "odd")),
            st.integers(0, 3),
            returned=st.booleans(),
        ),
        st.builds(event, st.sampled_from(("progress", "log", "odd")), st.integers(0, 3)),
    ),
    max_size=25,
).map(lambda events: list(enumerate(events, 1)))


def told(record: Job, log: Log, after: int = 0) -> Log:
    """
    What a reader is told of a log, once it is all there.
    """
    cursor = Cursor(record, after)
    found = []
    for sequence, entry in log:
        said = cursor.take(sequence, entry)
        if said is not None:
            found.append((sequence, said))
    return found


def numbered(*events: Event) -> Log:
    """
    A log.
    """
    return list(enumerate(events, 1))


class CursorTests(SynchronousTestCase):
    """
    What is told of a log.
    """

    def test_everything_in_order(self) -> None:
        """
        A log is told as it is.
        """
        log = numbered(status("processing"), event("progress", 1, progress=5), event("log", 1), status("completed"))
        self.assertEqual(told(job(), log), log)

    def test_nothing_twice(self) -> None:
        """
        An entry that comes again, or after a later one, is not told.
        """
        log = numbered(event("log", 1), event("log", 1), event("log", 1))
        self.assertEqual(told(job(), [log[0], log[0], log[2], log[1]]), [log[0], log[2]])

    def test_not_what_comes_too_late(self) -> None:
        """
        What a worker says whose attempt is over is not told, as it makes nothing of the record.
        """
        log = numbered(
            status("processing", 1),
            status("processing", 2),
            event("log", 1, message="a ghost"),
            status("completed", 1),
            event("log", 2),
            status("completed", 2),
        )
        self.assertEqual([sequence for sequence, _ in told(job(), log)], [1, 2, 5, 6])

    def test_not_what_nobody_knows(self) -> None:
        """
        Kinds of events that readers do not know, and events of other jobs, are not told.
        """
        other = evolve(event("log", 1), job_id="another")
        log = numbered(event("metric", 1), other, event("unreadable", 0), event("log", 1))
        self.assertEqual([sequence for sequence, _ in told(job(), log)], [4])

    def test_nothing_after_the_end(self) -> None:
        """
        Once the job has ended nothing is told.
        """
        log = numbered(status("processing"), status("failed"), event("log", 1), status("completed", 2))
        self.assertEqual([sequence for sequence, _ in told(job(), log)], [1, 2])

    def test_an_end_that_does_not_count(self) -> None:
        """
        That a job was completed is not told when it is no worker who says so.
        """
        log = numbered(status("processing"), status("completed", 0), event("log", 1))
        self.assertEqual([sequence for sequence, _ in told(job(), log)], [1, 3])

    def test_what_was_being_cancelled_is_cancelled(self) -> None:
        """
        What completes while it is being cancelled is told as the record has it: it was cancelled, with its result.
        """
        log = numbered(status("processing"), status("cancelling", 0), status("completed", result={"loss": 1}))
        _, last = told(job(), log)[-1]
        record = replay(job(), log)
        self.assertEqual((last.status, last.message, last.result), ("cancelled", record.message, {"loss": 1}))

    def test_goes_on_where_the_reader_is(self) -> None:
        """
        A record that has seen no second attempt, no cancellation and no end spares the reader the log's beginning.
        """
        log = numbered(status("processing"), event("log", 1), event("log", 1))
        record = replay(job(), log)
        self.assertEqual(Cursor(evolve(record, event_seq=3), 2).position, 2)
        for changes in (
            {"attempts": 2, "event_seq": 3},
            {"status": "cancelling", "event_seq": 3},
            {"status": "completed", "event_seq": 3},
            {"event_seq": 1},
        ):
            self.assertEqual(Cursor(evolve(record, **changes), 2).position, 0, changes)

    def test_knows_who_has_everything(self) -> None:
        """
        Somebody who has the end is known by a record that has it; not by another.
        """
        ended = job(status="completed", event_seq=7)
        cases = ((ended, 7, True), (ended, 9, True), (ended, 6, False), (ended, 0, False), (job(event_seq=7), 9, False))
        for record, after, expected in cases:
            self.assertEqual(Cursor(record, after).ended, expected, (record.status, after))
        self.assertFalse(Cursor(job(status="cancelled", event_seq=0), 0).ended)

    def test_begins_with_the_submission(self) -> None:
        """
        Before everything that is in the log it was queued, whatever the record says by now.
        """
        record = job(status="failed", attempts=3, message="no", event_seq=9)
        first = Cursor(record, 0).beginning()
        self.assertEqual(
            (first.event, first.status, first.message, first.timestamp, first.attempt),
            ("status", "queued", SUBMITTED, record.submitted_at, 0),
        )

    def test_a_log_that_is_gone(self) -> None:
        """
        The record tells how a job ended whose log is not there any more; nothing, of one that has not.
        """
        record = job(
            status="failed", attempts=2, message="no", error="why", event_seq=9, ended_at=timestamp(9), result=[1]
        )
        cursor = Cursor(record, 0)
        found = cursor.give_up()
        assert found is not None
        sequence, last = found
        self.assertEqual((sequence, last.status, last.message, last.error), (9, "failed", "no", "why"))
        self.assertEqual((last.ended_at, last.result, last.attempt), (record.ended_at, [1], 2))
        self.assertTrue(cursor.ended)
        self.assertIs(cursor.give_up(), None)
        self.assertIs(Cursor(job(status="processing", event_seq=9), 0).give_up(), None)

    @given(log=LOGS)
    @settings(max_examples=200, deadline=None)
    def test_tells_what_counts(self, log: Log) -> None:
        """
        What is told is what is not stale when it comes, of the known kinds, until the job ends; and it ends as the
        record does.
        """
        expected, record = [], job()
        for sequence, entry in log:
            before, record = record, fold(record, entry, sequence)
            if before.terminal or is_stale(before, entry) or entry.event not in KINDS:
                continue
            if entry.status not in ("completed", "failed", "cancelled") or record.terminal:
                expected.append(sequence)
        found = told(job(), log)
        self.assertEqual([sequence for sequence, _ in found], expected)
        if record.terminal:
            self.assertEqual(found[-1][1].status, record.status)

    @given(log=LOGS, data=st.data())
    @settings(max_examples=300, deadline=None)
    def test_goes_on_as_if_never_away(self, log: Log, data: st.DataObject) -> None:
        """
        Wherever a reader goes on, and however much the record knows by then, it is told what it would have been told.
        """
        everything = told(job(), log)
        after = data.draw(st.integers(0, len(log)))
        record = replay(job(), log[: data.draw(st.integers(0, len(log)))])
        self.assertEqual(told(record, log, after), [each for each in everything if each[0] > after])
