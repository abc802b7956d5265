"""
Tests of L{siger.jobs.events}.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson
from attrs import evolve, fields_dict
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.events import CANCELLATION, MAX_ERROR, MAX_MESSAGE, Event, fold, is_stale, next_attempt, replay
from siger.jobs.members import BrokenError
from siger.jobs.model import MAX_RESULT, TERMINAL, Job
from siger.jobs.times import timestamp
from tests.jobs.making import JOB_ID, event, job, status
from tests.jobs.test_model import VALUES, nested

STEPS = {
    "queued": {"processing", "cancelling", "cancelled"},
    "processing": {"completed", "failed", "cancelling"},
    "cancelling": {"cancelled"},
}
"""
The steps that the design allows.
"""


def reachable(state: str) -> set[str]:
    """
    The states that one can come to from a state, itself among them.
    """
    found = {state}
    for step in STEPS.get(state, ()):
        found |= reachable(step)
    return found


def after(*events: Event, start: Job | None = None) -> Job:
    """
    What a log of these events makes of a queued job.
    """
    return replay(start or job(), enumerate(events, 1))


class JsonTests(SynchronousTestCase):
    """
    Events are written and read.
    """

    FULL = event(
        "status",
        2,
        worker="w",
        status="retrying",
        message="m",
        progress=0,
        started_at=timestamp(1),
        ended_at=timestamp(2),
        result={"a": [1]},
        error="e",
        level="error",
        returned=True,
    )

    def test_round_trip(self) -> None:
        """
        What is written is read as the same.
        """
        for one in (self.FULL, status("cancelling", 0), event("log", 1, message="x", level="info")):
            self.assertEqual(one, Event.from_json(one.to_json()))

    def test_said(self) -> None:
        """
        Only what is said is written; nought is said.
        """
        self.assertEqual(set(fields_dict(Event)), set(json.loads(self.FULL.to_json())))
        written = json.loads(event("progress", 1, progress=0).to_json())
        self.assertEqual(
            {"job_id": JOB_ID, "event": "progress", "attempt": 1, "progress": 0, "timestamp": timestamp(2000)}, written
        )

    def test_times(self) -> None:
        """
        A worker's own way of writing times is brought into ours.
        """
        tree = json.loads(self.FULL.to_json()) | {"timestamp": "2027-01-01T01:00:00+01:00"}
        self.assertEqual("2027-01-01T00:00:00.000Z", Event.from_json(orjson.dumps(tree)).timestamp)

    def test_later_versions(self) -> None:
        """
        Neither unknown members nor unknown words break an event.
        """
        tree = json.loads(self.FULL.to_json()) | {"event": "metric", "status": "paused", "colour": "red"}
        found = Event.from_json(orjson.dumps(tree))
        self.assertEqual(("metric", "paused"), (found.event, found.status))

    def test_broken(self) -> None:
        """
        What is no event is told.
        """
        for name in ("job_id", "event", "attempt", "timestamp"):
            tree = json.loads(self.FULL.to_json())
            del tree[name]
            self.assertRaises(BrokenError, Event.from_json, orjson.dumps(tree))
        for name, value in [
            *(
                ("job_id", "a.b"),
                ("event", 1),
                ("attempt", -1),
                ("attempt", True),
                ("attempt", 1.0),
                ("attempt", 2**40),
            ),
            *(
                ("timestamp", "now"),
                ("started_at", "now"),
                ("ended_at", 5),
                ("worker", 1),
                ("status", []),
                ("level", 1),
            ),
            *(
                ("progress", 101),
                ("progress", -1),
                ("progress", 1.5),
                ("progress", "1"),
                ("returned", 1),
                ("error", {}),
            ),
        ]:
            tree = json.loads(self.FULL.to_json()) | {name: value}
            with self.assertRaises(BrokenError, msg=name):
                Event.from_json(orjson.dumps(tree))
        for content in (b"", b"[]", b"{", b"[" * 100_000, b"\xff"):
            self.assertRaises(BrokenError, Event.from_json, content)

    def test_deep_result(self) -> None:
        """
        Row F10: of an event with a very deep result all but the result is read, since it may be how a job ended.
        """
        tree = json.loads(self.FULL.to_json()) | {"result": nested(65)}
        self.assertEqual(evolve(self.FULL, result=None), Event.from_json(json.dumps(tree).encode()))

    @given(st.dictionaries(st.sampled_from(sorted(fields_dict(Event))), VALUES, max_size=4))
    def test_any(self, changes: dict[str, Any]) -> None:
        """
        Whatever comes, it is an event that can be folded and written down again, or it is broken.
        """
        tree = json.loads(self.FULL.to_json()) | {"status": "completed"} | changes
        try:
            found = Event.from_json(json.dumps(tree).encode())
        except BrokenError:
            return
        self.assertEqual(found, Event.from_json(found.to_json()))
        record = after(found)
        self.assertEqual(record, Job.from_json(record.to_json()))


class LifeTests(SynchronousTestCase):
    """
    What becomes of a job.
    """

    def test_claimed(self) -> None:
        """
        A claim makes it run.
        """
        found = after(status("processing", worker="w"))
        expected = evolve(
            job(),
            status="processing",
            message="Job is currently processing",
            attempts=1,
            worker="w",
            started_at=timestamp(2000),
            updated_at=timestamp(2000),
            event_seq=1,
        )
        self.assertEqual(expected, found)

    def test_completed(self) -> None:
        """
        It ends with its result and all of its progress.
        """
        found = after(
            status("processing"),
            event("progress", 1, 2001, progress=40, message="Epoch 2"),
            status("completed", 1, 2002, result={"loss": 0.5}, ended_at=timestamp(2001.5)),
        )
        self.assertEqual(("completed", "Job completed", 100), (found.status, found.message, found.progress))
        self.assertEqual(({"loss": 0.5}, timestamp(2001.5), None), (found.result, found.ended_at, found.error))
        self.assertEqual((timestamp(2002), 3), (found.updated_at, found.event_seq))

    def test_failed(self) -> None:
        """
        It ends with its error, and the progress that there was.
        """
        found = after(status("processing"), event("progress", 1, progress=40), status("failed", error="boom"))
        self.assertEqual(("failed", "Job failed", 40), (found.status, found.message, found.progress))
        self.assertEqual(("boom", timestamp(2000)), (found.error, found.ended_at))

    def test_cancelled_queued(self) -> None:
        """
        A queued one is cancelled at once.
        """
        found = after(status("cancelled", 0))
        self.assertEqual(("cancelled", "Job cancelled", 0), (found.status, found.message, found.attempts))

    def test_cancelled_running(self) -> None:
        """
        A running one is cancelling until its worker says so; progress does not hide that.
        """
        found = after(status("processing"), status("cancelling", 0), event("progress", 1, progress=5, message="on"))
        self.assertEqual(("cancelling", CANCELLATION, 5), (found.status, found.message, found.progress))
        found = fold(found, status("cancelled", 1), 4)
        self.assertEqual(("cancelled", "Job cancelled"), (found.status, found.message))

    def test_too_late(self) -> None:
        """
        What ends by itself while it is cancelling is cancelled; what it came to is kept.
        """
        cancelling = after(status("processing"), status("cancelling", 0))
        found = fold(cancelling, status("completed", result=5), 3)
        self.assertEqual(
            ("cancelled", "Job was completed before it could be cancelled", 5, 100),
            (found.status, found.message, found.result, found.progress),
        )
        found = fold(cancelling, status("failed", error="boom"), 3)
        self.assertEqual(
            ("cancelled", "Job failed before it could be cancelled", "boom"), (found.status, found.message, found.error)
        )

    def test_lost(self) -> None:
        """
        A gateway gives up a job whose worker is lost.
        """
        found = after(status("processing"), status("failed", 0, error="worker lost", message="The worker is gone"))
        self.assertEqual(
            ("failed", "The worker is gone", "worker lost", 1),
            (found.status, found.message, found.error, found.attempts),
        )

    def test_retrying(self) -> None:
        """
        Between attempts it shows the state that it had, and why; the next one starts anew.
        """
        first = after(
            status("processing", worker="a"), event("progress", 1, progress=40), status("retrying", error="boom")
        )
        self.assertEqual(("processing", "retry", 0, "boom"), (first.status, first.between, first.progress, first.error))
        self.assertEqual(("Attempt 1 failed; trying again", 2), (first.message, next_attempt(first)))
        self.assertIs(first, fold(first, event("progress", 1, progress=50), 9))
        self.assertIs(first, fold(first, status("processing", 1), 9))
        second = fold(first, status("processing", 2, 3000, worker="b"), 4)
        self.assertEqual(("processing", "", None, "b"), (second.status, second.between, second.error, second.worker))
        self.assertEqual(
            (2, timestamp(2000), "Job is currently processing"), (second.attempts, second.started_at, second.message)
        )

    def test_returned(self) -> None:
        """
        An attempt that was handed back does not count: the next has its number.
        """
        first = after(status("processing", worker="a"), status("retrying", returned=True, message="Handed back"))
        self.assertEqual(("returned", "Handed back", 1), (first.between, first.message, next_attempt(first)))
        second = fold(first, status("processing", 1, worker="b"), 3)
        self.assertEqual(("processing", "", 1, "b"), (second.status, second.between, second.attempts, second.worker))
        self.assertEqual("completed", fold(second, status("completed"), 4).status)

    def test_cancelled_between(self) -> None:
        """
        While no attempt runs, it can be cancelled, and whoever claims it does not make it run again.
        """
        found = after(status("processing"), status("retrying"), status("cancelling", 0), status("processing", 2))
        self.assertEqual(("cancelling", CANCELLATION, 2), (found.status, found.message, found.attempts))
        self.assertEqual("cancelled", fold(found, status("cancelled", 2), 5).status)

    def test_said_twice(self) -> None:
        """
        What is asked for or told once more changes nothing, in whatever words.
        """
        found = after(status("processing"), status("cancelling", 0))
        self.assertIs(found, fold(found, status("cancelling", 0, message="again"), 3))
        found = after(status("processing"), status("retrying", error="boom"))
        self.assertIs(found, fold(found, status("retrying", error="bang", returned=True), 3))

    def test_handed_back_while_cancelling(self) -> None:
        """
        A worker that goes away does not hide that the job is being cancelled.
        """
        found = after(status("processing"), status("cancelling", 0), status("retrying", returned=True))
        self.assertEqual(("cancelling", CANCELLATION, "returned"), (found.status, found.message, found.between))

    def test_end_of_unseen_attempt(self) -> None:
        """
        The progress of one attempt is not taken for that of the next, whose claim is gone.
        """
        found = after(status("processing"), event("progress", 1, progress=40), status("failed", 2))
        self.assertEqual(("failed", 2, 0), (found.status, found.attempts, found.progress))

    def test_first_attempt(self) -> None:
        """
        The first claim has number 1.
        """
        self.assertEqual(1, next_attempt(job()))

    def test_claim_unseen(self) -> None:
        """
        Whoever works has claimed, even if that entry of the log is gone.
        """
        for one in (event("progress", 1, progress=5), event("log", 1, message="x"), status("retrying")):
            self.assertEqual(("processing", 1), (after(one).status, after(one).attempts))
        self.assertEqual(("completed", 1), (after(status("completed")).status, after(status("completed")).attempts))

    def test_logs(self) -> None:
        """
        A log line changes nothing: the record is the very same object.
        """
        running = after(status("processing"))
        self.assertIs(running, fold(running, event("log", 1, message="x", level="info"), 2))

    def test_bounds(self) -> None:
        """
        What a worker says cannot make a record that is too long to be written.
        """
        found = after(
            status("processing", message="m" * 5000),
            status("completed", error="e" * 9000, result="x" * MAX_RESULT),
        )
        self.assertEqual((None, MAX_ERROR), (found.result, len(found.error or "")))
        self.assertEqual(MAX_MESSAGE, len(after(status("failed", message="m" * 5000)).message))
        self.assertEqual("the result was too large to keep", after(status("completed", result="x" * MAX_RESULT)).error)


class PassedOverTests(SynchronousTestCase):
    """
    What does not count.
    """

    def test_terminal(self) -> None:
        """
        Row K10: what has ended has ended, whatever comes.
        """
        for word in TERMINAL:
            ended = after(status("processing"), status(word))
            for word_after in ("processing", "retrying", "cancelling", "completed", "failed", "cancelled", "queued"):
                for attempt in (0, 1, 2):
                    self.assertIs(ended, fold(ended, status(word_after, attempt), 9))
            self.assertIs(ended, fold(ended, event("progress", 1, progress=1), 9))

    def test_zombies(self) -> None:
        """
        A worker whose attempt is over says nothing that counts.
        """
        second = after(status("processing"), status("processing", 2))
        for word in ("processing", "retrying", "completed", "failed", "cancelled"):
            self.assertIs(second, fold(second, status(word, 1), 9))
        self.assertIs(second, fold(second, event("progress", 1, progress=99), 9))
        self.assertTrue(is_stale(second, event("log", 1)))
        self.assertFalse(is_stale(second, event("log", 2)) or is_stale(second, status("cancelling", 0)))

    def test_again(self) -> None:
        """
        An entry that was seen is passed over.
        """
        found = after(status("processing"), event("progress", 1, progress=5), event("progress", 1, message="x"))
        for sequence in (1, 2, 3):
            self.assertIs(found, fold(found, event("progress", 1, progress=99), sequence))

    def test_late_ends(self) -> None:
        """
        Row K10: two gateways that fold entries at the same time lose neither an end nor a cancellation.
        """
        running = after(status("processing"), start=evolve(job(), event_seq=0))
        ahead = fold(running, event("progress", 1, progress=5), 9)
        for one, expected in [
            (status("failed", 0), "failed"),
            (status("completed", 1), "completed"),
            (status("cancelling", 0), "cancelling"),
        ]:
            found = fold(ahead, one, 5)
            self.assertEqual((expected, 9), (found.status, found.event_seq))

    def test_wrong_speaker(self) -> None:
        """
        Neither gateways nor workers say what is the other's to say.
        """
        running = after(status("processing"))
        for one in (
            *(status(word, 0) for word in ("processing", "retrying", "completed", "queued")),
            *(event(kind, 0, progress=9) for kind in ("progress", "log")),
            *(status(word) for word in ("cancelling", "queued", "paused")),
            *(event("metric", 1), event("status", 1)),
        ):
            self.assertIs(running, fold(running, one, 2))

    def test_other_job(self) -> None:
        """
        Events of another job are not this one's.
        """
        found = job()
        self.assertIs(found, fold(found, evolve(status("processing"), job_id="other"), 1))

    def test_progress_rises(self) -> None:
        """
        Progress only rises within an attempt.
        """
        found = after(status("processing"), event("progress", 1, progress=40))
        self.assertIs(found, fold(found, event("progress", 1, progress=40), 3))
        self.assertIs(found, fold(found, event("progress", 1, progress=39), 3))
        found = fold(found, event("progress", 1, progress=39, message="back"), 3)
        self.assertEqual((40, "back"), (found.progress, found.message))

    def test_clocks(self) -> None:
        """
        A worker whose clock is behind does not turn back when the record changed.
        """
        self.assertEqual(timestamp(1000), after(status("processing", at=500)).updated_at)


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[int, Event]]:
    """
    A log as it can come to be: claims and ends of workers are made against the state of the log, a gateway cancels or
    gives up, and workers that were given up long ago go on talking.
    """
    record, log = job(), []
    for sequence in range(1, draw(st.integers(1, 25)) + 1):
        one = draw(st.sampled_from(_possible(record, draw(st.integers(0, 100)))))
        log.append((sequence, evolve(one, timestamp=timestamp(2000 + sequence))))
        record = fold(record, log[-1][1], sequence)
    return log


def _possible(record: Job, progress: int) -> list[Event]:
    """
    The events that somebody could append now.
    """
    last = record.attempts
    said = [event("log", attempt, message="x") for attempt in range(1, last + 1)]
    said += [event("progress", attempt, progress=progress) for attempt in range(1, last + 1)]
    said += [status(word, attempt) for word in ("completed", "failed", "retrying") for attempt in range(1, last)]
    if record.terminal:
        return [*said, status("cancelling", 0), event("metric", 1)]
    said += [status("cancelling" if last else "cancelled", 0), status("processing", next_attempt(record), worker="w")]
    if record.running:
        said += [status(word, last, result=progress) for word in ("completed", "failed", "cancelled")]
        said += [status("retrying", last), status("retrying", last, returned=True), status("failed", 0, error="lost")]
    return said


EVENTS = st.builds(
    lambda kind, attempt, word, progress, at, returned: event(
        kind, attempt, at, status=word, progress=progress, returned=returned
    ),
    st.sampled_from(["status", "status", "status", "progress", "log", "metric"]),
    st.integers(0, 4),
    st.sampled_from(["processing", "retrying", "completed", "failed", "cancelling", "cancelled", "queued", "paused"]),
    st.none() | st.integers(0, 100),
    st.floats(0, 10_000),
    st.booleans(),
)
NUMBERED = st.lists(st.tuples(st.integers(1, 30), EVENTS), max_size=30)


class AnyLogTests(SynchronousTestCase):
    """
    What holds for every log.
    """

    def walk(self, start: Job, log: Iterable[tuple[int, Event]]) -> Job:
        """
        Fold, and look at every step that is taken.
        """
        record = start
        for sequence, one in log:
            found = fold(record, one, sequence)
            if found is not record:
                self.look(record, found)
                self.assertTrue(found.event_seq >= sequence)
                self.assertFalse(is_stale(record, one))
            record = found
        return record

    def look(self, before: Job, now: Job) -> None:
        """
        A step is one that there can be.
        """
        self.assertFalse(before.terminal)
        self.assertIn(now.status, reachable(before.status))
        self.assertTrue(now.event_seq >= before.event_seq)
        self.assertTrue(now.attempts >= before.attempts)
        self.assertTrue(now.updated_at >= before.updated_at)
        self.assertEqual(now.terminal, now.ended_at is not None)
        self.assertEqual(now, Job.from_json(now.to_json()))
        if (now.attempts, now.between, before.between) == (before.attempts, "", ""):
            self.assertTrue(now.progress >= before.progress)

    @settings(max_examples=200)
    @given(NUMBERED)
    def test_any_events(self, log: list[tuple[int, Event]]) -> None:
        """
        Row K10: whatever events come, in whatever order and however often, states go one way, and what has ended has
        ended.
        """
        self.walk(job(), log)

    @settings(max_examples=200)
    @given(logs(), st.data())
    def test_replay(self, log: list[tuple[int, Event]], data: st.DataObject) -> None:
        """
        Parts of a log that come again, from wherever, make no difference: the record is the same as from one reading.
        """
        expected = self.walk(job(), log)
        record, position = job(), 0
        for _ in range(data.draw(st.integers(0, 5))):
            back = data.draw(st.integers(0, position))
            position = data.draw(st.integers(position, len(log)))
            record = self.walk(Job.from_json(record.to_json()), log[back:position])
        record = self.walk(record, log[position:])
        self.assertEqual(expected, record)
        self.assertEqual(expected, self.walk(record, log))

    @settings(max_examples=200)
    @given(logs(), st.data())
    def test_disorder(self, log: list[tuple[int, Event]], data: st.DataObject) -> None:
        """
        Row K10: in any order, with any entry any number of times, a job that has ended is found to have ended.
        """
        again = data.draw(st.lists(st.sampled_from(log), max_size=10))
        mixed = data.draw(st.permutations(log + again))
        found = self.walk(job(), mixed)
        self.assertTrue(found.terminal or not replay(job(), log).terminal)

    @settings(max_examples=200)
    @given(logs())
    def test_design(self, log: list[tuple[int, Event]]) -> None:
        """
        Entries in their order take the steps of the design alone.
        """
        record = job()
        for sequence, one in log:
            found = fold(record, one, sequence)
            steps = STEPS.get(record.status, set())
            if record.running or one.attempt == 0:
                steps = steps | {"cancelled"}  # the worker has the control message before the log has the reason
            self.assertIn(found.status, {record.status} | steps)
            record = found
