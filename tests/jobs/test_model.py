"""
Tests of L{siger.jobs.model}, and of how it reads and names things.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
from attrs import evolve, fields_dict
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.identifiers import JobIds, is_job_id
from siger.jobs.members import BrokenError, deeper, is_plain
from siger.jobs.model import LANES, MAX_RESULT, STATES, TERMINAL, Job, bounded_result, lane
from siger.jobs.times import canonical, is_canonical, timestamp
from tests.jobs.making import JOB_ID, job

FULL = job(
    description="d\n",
    gpu_type="H100",
    gpu_count=8,
    priority=9,
    params={"model": "bert", "deep": [{"x": [1, 2.5, None, True]}], "": "é"},
    tags=("a", "b/c"),
    max_retries=0,
    timeout=60,
    status="processing",
    message="Epoch 1",
    progress=7,
    attempts=2,
    worker="w1",
    started_at=timestamp(1001),
    ended_at=timestamp(1002),
    result={"loss": 0.1},
    error="no",
    event_seq=12,
    between="retry",
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def nested(levels: int) -> list[Any]:
    """
    A list with so many levels.
    """
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


class JobTests(SynchronousTestCase):
    """
    A record.
    """

    def test_round_trip(self) -> None:
        """
        What is written down is read as the same.
        """
        for one in (job(), FULL):
            self.assertEqual(one, Job.from_json(one.to_json()))

    def test_every_field(self) -> None:
        """
        Every field is written.
        """
        self.assertEqual(set(fields_dict(Job)), set(json.loads(FULL.to_json())))

    def test_later_versions(self) -> None:
        """
        Members that are not known are passed over.
        """
        tree = json.loads(FULL.to_json()) | {"colour": "red"}
        self.assertEqual(FULL, Job.from_json(orjson.dumps(tree)))

    def test_earlier_versions(self) -> None:
        """
        A record that does not say what is between attempts says that nothing is.
        """
        tree = json.loads(FULL.to_json())
        del tree["between"]
        self.assertEqual("", Job.from_json(orjson.dumps(tree)).between)

    def test_missing(self) -> None:
        """
        Without any other of its members that cannot be nothing, a record is broken.
        """
        optional = {"worker", "started_at", "ended_at", "result", "error", "between"}
        for name in fields_dict(Job).keys() - optional:
            tree = json.loads(FULL.to_json())
            del tree[name]
            with self.assertRaises(BrokenError, msg=name) as raised:
                Job.from_json(orjson.dumps(tree))
            self.assertIn(name, str(raised.exception))

    def test_broken(self) -> None:
        """
        Members that are not what they have to be break it.
        """
        for name, value in [
            ("job_id", "a.b"),
            ("job_id", ""),
            ("user_id", 1),
            ("worker", 1),
            ("gpu_count", 1.0),
            ("gpu_count", True),
            ("gpu_count", -1),
            ("priority", 11),
            ("progress", 101),
            ("event_seq", "1"),
            ("params", []),
            ("params", {"x": nested(64)}),
            ("tags", "a"),
            ("tags", [1]),
            ("status", "retrying"),
            ("between", "meals"),
            ("published", 1),
            ("submitted_at", "yesterday"),
            ("updated_at", "2027-01-01T00:00:00Z"),
            ("result", nested(65)),
            ("result", "x" * MAX_RESULT),
        ]:
            tree = json.loads(FULL.to_json()) | {name: value}
            with self.assertRaises(BrokenError, msg=name) as raised:
                Job.from_json(orjson.dumps(tree))
            self.assertIn(name, str(raised.exception))

    def test_no_object(self) -> None:
        """
        What is no JSON object is broken.
        """
        for content in (b"", b"\xff", b"{", b"[]", b"null", b"[" * 100_000, b'{"a": NaN}'):
            self.assertRaises(BrokenError, Job.from_json, content)

    @given(st.dictionaries(st.sampled_from(sorted(fields_dict(Job))), VALUES, max_size=4))
    def test_any(self, changes: dict[str, Any]) -> None:
        """
        Whatever stands there, it is a record that can be written again or it is broken.
        """
        tree = json.loads(FULL.to_json()) | changes
        try:
            found = Job.from_json(json.dumps(tree).encode())
        except BrokenError:
            return
        self.assertEqual(found, Job.from_json(found.to_json()))

    def test_public(self) -> None:
        """
        The owner sees all but the bookkeeping, with lists for tuples.
        """
        shown = FULL.public()
        self.assertEqual(set(fields_dict(Job)) - {"published", "between"}, set(shown))
        self.assertEqual((JOB_ID, ["a", "b/c"], {"loss": 0.1}), (shown["job_id"], shown["tags"], shown["result"]))

    def test_words(self) -> None:
        """
        It says whether it has ended, and whether it runs.
        """
        self.assertEqual({"completed", "failed", "cancelled"}, {s for s in STATES if job(status=s).terminal})
        self.assertEqual(TERMINAL, {s for s in STATES if job(status=s).terminal})
        self.assertEqual(
            {"processing", "cancelling", "queued"}, {s for s in STATES if job(status=s, attempts=1).running}
        )
        self.assertFalse(job().running)
        self.assertFalse(FULL.running)
        self.assertTrue(evolve(FULL, between="").running)

    def test_lanes(self) -> None:
        """
        Priorities have their lanes.
        """
        self.assertEqual(["low"] * 3 + ["normal"] * 4 + ["high"] * 4, [lane(priority) for priority in range(11)])
        self.assertEqual(set(LANES), {lane(priority) for priority in range(11)})
        self.assertEqual("high", FULL.lane)

    def test_results(self) -> None:
        """
        A result that could not be written, or would make too long a record, is told.
        """
        for result in (None, 1, "x" * (MAX_RESULT - 2), nested(64), {"a": [1.5]}):
            self.assertTrue(bounded_result(result))
        for result in ("x" * (MAX_RESULT - 1), nested(65), nested(100_000), {1: 2}, 2**70, "\ud800", object()):
            self.assertFalse(bounded_result(result))


class JobIdsTests(SynchronousTestCase):
    """
    Names.
    """

    def test_version(self) -> None:
        """
        A name is a UUID of version 7 with the time in front (RFC 9562 section 5.7, and its example in appendix A.6).
        """
        ids = JobIds(lambda: 0x017F22E279B0 / 1000, lambda count: b"\xff" * count)
        self.assertEqual("017f22e2-79b0-77ff-bfff-ffffffffffff", ids.next())

    def test_real(self) -> None:
        """
        Many, made at once, are all different, in order, and names of jobs.
        """
        ids = JobIds()
        made = [ids.next() for _ in range(20_000)]
        self.assertEqual(made, sorted(set(made)))
        self.assertTrue(all(map(is_job_id, made)))
        self.assertNotEqual(JobIds().next()[-12:], JobIds().next()[-12:])

    @given(st.lists(st.floats(0, 2e9), min_size=1, max_size=20))
    def test_clock(self, times: list[float]) -> None:
        """
        Whatever the clock does, each name sorts above the one before.
        """
        moments = iter([moment for moment in times for _ in range(3)])
        ids = JobIds(lambda: next(moments))
        made = [ids.next() for _ in range(3 * len(times))]
        self.assertEqual(made, sorted(set(made)))

    def test_full_millisecond(self) -> None:
        """
        When a millisecond is counted full, the next one is begun.
        """
        ids = JobIds(lambda: 5.0, lambda count: b"\x00" * count)
        made = [ids.next() for _ in range(4097)]
        self.assertEqual(made, sorted(set(made)))
        self.assertEqual(["00000000-1388-7fff-8000-000000000000", "00000000-1389-7000-8000-000000000000"], made[4095:])

    def test_names(self) -> None:
        """
        Row K11: what is no single token of a subject is no name of a job.
        """
        for text in (JOB_ID, "a", "A-1", "0" * 64, "0123456789abcdef" * 2):
            self.assertTrue(is_job_id(text), text)
        for text in ("", "a.b", "*", ">", "a b", "a\r\n", "a\n", "é", "0" * 65, "a/b", "a_b", "\u0661"):
            self.assertFalse(is_job_id(text), text)


class TimesTests(SynchronousTestCase):
    """
    Times.
    """

    def test_form(self) -> None:
        """
        All of them are of one form.
        """
        self.assertEqual("1970-01-01T00:00:00.000Z", timestamp(0))
        self.assertEqual("2027-01-31T12:00:00.250Z", timestamp(1801396800.25))

    @given(st.floats(0, 4e9), st.floats(0, 4e9))
    def test_order(self, one: float, other: float) -> None:
        """
        They sort as texts, and are in the form that is read.
        """
        self.assertTrue(timestamp(min(one, other)) <= timestamp(max(one, other)))
        self.assertTrue(is_canonical(timestamp(one)))

    def test_canonical(self) -> None:
        """
        Any time of RFC 3339 is brought into that form.
        """
        for text, expected in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00.000Z"),
            ("2027-01-31t12:00:00.5z", "2027-01-31T12:00:00.500Z"),
            ("2027-01-31 12:00:00.123456789+02:00", "2027-01-31T10:00:00.123Z"),
            ("2027-01-01T00:30:00.999999-00:30", "2027-01-01T01:00:00.999Z"),
            ("0002-01-01T00:00:00Z", "0002-01-01T00:00:00.000Z"),
        ]:
            self.assertEqual(expected, canonical(text))
            self.assertTrue(is_canonical(expected))

    def test_none(self) -> None:
        """
        What is no time is told.
        """
        for text in (
            *("", "2027-01-31", "2027-01-31T12:00Z", "2027-01-31T12:00:00", "2027-02-30T12:00:00Z"),
            *("2027-01-31T25:00:00Z", "2027-01-31T12:00:00+99:00", "0001-01-01T00:00:00+01:00", "1801396800"),
            *("2027-01-31T12:00:00Z\n", "2027-01-31T12:00:00.Z", "\u0662027-01-31T12:00:00Z", "20270131T120000Z"),
        ):
            self.assertRaises(ValueError, canonical, text)
            self.assertFalse(is_canonical(text))
        self.assertFalse(is_canonical("2027-01-31T12:00:00Z"))


class DocumentTests(SynchronousTestCase):
    """
    What JSON may hold.
    """

    def test_deeper(self) -> None:
        """
        Levels are counted, however many there are.
        """
        for value, levels in (
            (1, 0),
            ("[[", 0),
            ([], 1),
            ({}, 1),
            ([1, [2]], 2),
            ({"a": [{}]}, 3),
            (nested(100_000), 100_000),
        ):
            self.assertFalse(deeper(value, levels))
            self.assertFalse(deeper(value, levels + 1))
            if levels:
                self.assertTrue(deeper(value, levels - 1))

    def test_plain(self) -> None:
        """
        Row F10: what JSON does not have, or not everybody can hold, is told.
        """
        for value in (None, True, 0, -(2**63), 2**64 - 1, 1.5, "é\U0001f600", [[]], {"a": {"": []}}):
            self.assertTrue(is_plain(value), value)
        wrong = (float("nan"), float("inf"), 2**64, -(2**63) - 1, "\ud800", (1,), b"", object())
        for value in (*wrong, *([one] for one in wrong), *({"a": one} for one in wrong), {1: 2}, {"\udfff": 1}):
            self.assertFalse(is_plain(value), value)
