"""
Tests of L{siger.jobs.submission}.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
from attrs import evolve, fields_dict
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.jobs import JobsSettings
from siger.jobs.members import BrokenError
from siger.jobs.model import SUBMITTED, Job
from siger.jobs.submission import (
    MAX_FAULTS,
    MAX_PARAMS,
    Fault,
    Submission,
    SubmissionError,
    message_bytes,
    new_job,
    parse,
    pointer,
    read_message,
)
from siger.jobs.times import timestamp
from tests.jobs.making import JOB_ID, job
from tests.jobs.test_model import nested

SETTINGS = JobsSettings()
LEAST = {"type": "ai_training", "name": "Train BERT"}
FULL = {
    "type": "ai_training",
    "name": "Train BERT",
    "description": "Fine-tuning\nin two lines",
    "gpu_type": "H100",
    "gpu_count": 4,
    "priority": 8,
    "params": {"model": "bert-base", "epochs": 3, "rates": [0.1, {"x": None}]},
    "tags": ["nlp", "team:a", "v1.2/x-y_z"],
    "max_retries": 0,
    "timeout": 3600,
}
TAG_RULE = "must be a string of 1 to 64 characters of A-Z, a-z, 0-9 and _ . : / -"


def faults_of(document: object, settings: JobsSettings = SETTINGS) -> list[Fault]:
    """
    What is wrong with a document.
    """
    try:
        parse(document, settings)
    except SubmissionError as error:
        return error.faults
    return []


class ParseTests(SynchronousTestCase):
    """
    Submissions are checked.
    """

    def test_least(self) -> None:
        """
        A type and a name are enough.
        """
        expected = Submission("ai_training", "Train BERT", "", "any", 1, 5, {}, (), 2, 0)
        self.assertEqual(expected, parse(LEAST, SETTINGS))

    def test_full(self) -> None:
        """
        Each member sets its field.
        """
        tags = ("nlp", "team:a", "v1.2/x-y_z")
        self.assertEqual(Submission(**{**FULL, "tags": tags}), parse(FULL, SETTINGS))  # type: ignore[arg-type]
        self.assertEqual(set(FULL), set(fields_dict(Submission)))

    def test_edges(self) -> None:
        """
        What is just allowed is.
        """
        for name, values in {
            "name": ("x", "x" * 200, "Ünï codé 模型"),
            "description": ("", "x" * 2000, "\ttab"),
            "gpu_count": (0, 64),
            "priority": (0, 10),
            "max_retries": (0, 10),
            "timeout": (0, 604800),
            "tags": ([], ["a"] * 20, ["x" * 64]),
            "params": ({}, {"x": nested(31)}, {"x": "y" * (MAX_PARAMS - 8)}, {"n": 2**63 - 1}),
        }.items():
            for value in values:
                self.assertEqual([], faults_of({**LEAST, name: value}), name)

    def test_bad_values(self) -> None:
        """
        Each member refuses what it cannot be: no number is taken for another kind of number, and no text for either.
        """
        of_numbers = ("1", 1.0, 1.5, True, False, None, [], {}, -1, 10**7, 10**30)
        for name, values in {
            "type": ("", "AI_TRAINING", "unknown", None, 1, ["inference"], {}),
            "name": ("", " ", "x" * 201, "a\nb", "a\x00", "a\u2028b", "\ud800", None, 1, []),
            "description": ("x" * 2001, "\ud800", None, 1, []),
            "gpu_type": ("", "a100", "B200", None, 1, []),
            "gpu_count": (*of_numbers, 65),
            "priority": (*of_numbers, 11),
            "max_retries": (*of_numbers, 11),
            "timeout": (*of_numbers, 604801),
            "params": ([], "x", None, 1, {"x": "y" * (MAX_PARAMS - 7)}),
            "tags": ("a", {}, None, 1, ["a"] * 21),
        }.items():
            for value in values:
                found = faults_of({**LEAST, name: value})
                self.assertEqual([f"/{name}"], [place for place, _ in found], (name, value))

    def test_integers_only(self) -> None:
        """
        A priority is a whole number, not one that merely equals it.
        """
        rule = "must be a whole number from 0 to 10"
        for value in (5.0, True, "5"):
            self.assertEqual([("/priority", rule)], faults_of({**LEAST, "priority": value}))

    def test_params(self) -> None:
        """
        Row F10: parameters have their bounds in depth, length and numbers.
        """
        deep, long = "must not have more than 32 levels", f"must not be longer than {MAX_PARAMS} bytes"
        kind = "must be made of JSON values, with numbers of at most 64 bits"
        for params, rule in [
            ({"x": nested(32)}, deep),
            ({"x": nested(100_000)}, deep),
            ({"x": ["y" * MAX_PARAMS]}, long),
            ({"x": "é" * (MAX_PARAMS // 2)}, long),
            ({"x": float("nan")}, kind),
            ({"x": [float("inf")]}, kind),
            ({"x": 2**64}, kind),
            ({"\ud800": 1}, kind),
        ]:
            self.assertEqual([("/params", rule)], faults_of({**LEAST, "params": params}))

    def test_tags(self) -> None:
        """
        Each wrong tag is named.
        """
        for tag in ("", "a b", "é", "x" * 65, "a,b", "a\n", None, 1, ["a"]):
            self.assertEqual([("/tags/1", TAG_RULE)], faults_of({**LEAST, "tags": ["fine", tag]}))
        found = faults_of({**LEAST, "tags": ["", "fine", " "]})
        self.assertEqual([("/tags/0", TAG_RULE), ("/tags/2", TAG_RULE)], found)

    def test_all_at_once(self) -> None:
        """
        Everything that is wrong is told, each at its place, and nothing of it is repeated.
        """
        document = {"name": 1, "gpu_count": "hush", "tags": ["a b", "c"], "a/b~c": 1, "params": []}
        found = faults_of(document)
        expected = {"/type", "/name", "/gpu_count", "/tags/0", "/a~1b~0c", "/params"}
        self.assertEqual(expected, {place for place, _ in found})
        self.assertIn(("/type", "is required"), found)
        self.assertIn(("/a~1b~0c", "is not a member of a job"), found)
        self.assertNotIn("hush", str(found))

    def test_very_many(self) -> None:
        """
        Not more than a hundred faults are told.
        """
        self.assertEqual(MAX_FAULTS, len(faults_of({f"x{i}": i for i in range(10_000)})))

    def test_no_object(self) -> None:
        """
        What is no object has one fault, as a whole.
        """
        for document in (None, [], "x", 1, True, [LEAST]):
            self.assertEqual([("", "must be an object")], faults_of(document))

    def test_configured(self) -> None:
        """
        Types, types of GPUs and their number are those of the settings.
        """
        settings = JobsSettings(types=("render",), gpu_types=("T4", "any"), max_gpus=2)
        found = parse({"type": "render", "name": "x", "gpu_type": "T4", "gpu_count": 2}, settings)
        self.assertEqual(("render", "T4", 2), (found.type, found.gpu_type, found.gpu_count))
        document = {**LEAST, "gpu_type": "A100", "gpu_count": 3}
        self.assertEqual(
            [
                ("/type", "must be one of render"),
                ("/gpu_type", "must be one of T4, any"),
                ("/gpu_count", "must be a whole number from 0 to 2"),
            ],
            faults_of(document, settings),
        )

    def test_tokens(self) -> None:
        """
        Row K11: what is no single token of a subject is no type, not even when settings made by hand have it.
        """
        words = ("x y\r\nPUB a 1", ">", "*", "a.b", "", "a\n", "é", "x" * 65)
        settings = JobsSettings(types=(*words, "fine"))
        for word in words:
            self.assertEqual([("/type", "must be one of fine")], faults_of({**LEAST, "type": word}, settings))

    @given(
        st.dictionaries(
            st.sampled_from([*FULL, "x"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                max_leaves=6,
            ),
        )
    )
    def test_anything(self, members: dict[str, Any]) -> None:
        """
        Whatever is sent, it has faults, or it makes a job that can be written down and read again.
        """
        try:
            found = parse({**FULL, **members}, SETTINGS)
        except SubmissionError as error:
            self.assertTrue(error.faults)
            return
        record = new_job(found, JOB_ID, "1", "alice", timestamp(0))
        self.assertEqual(record, Job.from_json(record.to_json()))
        self.assertEqual(evolve(record, username="", published=True), read_message(message_bytes(record)))


class PointerTests(SynchronousTestCase):
    """
    JSON pointers.
    """

    def test_escapes(self) -> None:
        """
        They are escaped as in RFC 6901 section 5.
        """
        for path, expected in [
            ((), ""),
            (("foo", 0), "/foo/0"),
            (("",), "/"),
            (("a/b",), "/a~1b"),
            (("m~n",), "/m~0n"),
            (("~1",), "/~01"),
            ((" ",), "/ "),
        ]:
            self.assertEqual(expected, pointer(*path))


class FingerprintTests(SynchronousTestCase):
    """
    Two submissions that ask for the same have one fingerprint.
    """

    def of(self, document: object) -> str:
        """
        The fingerprint of a document.
        """
        return parse(document, SETTINGS).fingerprint()

    def test_same(self) -> None:
        """
        Neither the order of members nor defaults that are spelt out make a difference.
        """
        turned = json.loads(json.dumps(dict(reversed(FULL.items()))))
        turned["params"] = dict(reversed(turned["params"].items()))
        self.assertEqual(self.of(FULL), self.of(turned))
        self.assertEqual(self.of(LEAST), self.of({**LEAST, "priority": 5, "params": {}, "tags": []}))
        self.assertRegex(self.of(FULL), r"\A[0-9a-f]{64}\Z")

    def test_different(self) -> None:
        """
        Any other value makes one, and so does the order of a list.
        """
        others: list[dict[str, object]] = [
            {"type": "inference"},
            {"name": "Train GPT"},
            {"description": ""},
            {"gpu_type": "any"},
            {"gpu_count": 5},
            {"priority": 7},
            {"params": {}},
            {"tags": list(reversed(FULL["tags"]))},  # type: ignore[call-overload]
            {"max_retries": 1},
            {"timeout": 0},
        ]
        self.assertEqual(set(FULL), {name for other in others for name in other})
        found = {self.of({**FULL, **other}) for other in others}
        self.assertEqual(len(others), len(found - {self.of(FULL)}))


class MessageTests(SynchronousTestCase):
    """
    The message in the queue.
    """

    def record(self) -> Job:
        """
        The record of a full submission.
        """
        return new_job(parse(FULL, SETTINGS), JOB_ID, "7", "alice", timestamp(1000))

    def test_new_job(self) -> None:
        """
        A new record is queued, and not yet published.
        """
        found = self.record()
        self.assertEqual(
            ("queued", SUBMITTED, 0, False), (found.status, found.message, found.attempts, found.published)
        )
        self.assertEqual((timestamp(1000),) * 2, (found.submitted_at, found.updated_at))
        self.assertEqual((JOB_ID, "7", "alice"), (found.job_id, found.user_id, found.username))

    def test_members(self) -> None:
        """
        It has the members that workers know, and no others.
        """
        expected = {**FULL, "job_id": JOB_ID, "user_id": "7", "timestamp": timestamp(1000)}
        self.assertEqual(expected, json.loads(message_bytes(self.record())))

    def test_again(self) -> None:
        """
        It is the same whenever it is made, however far the job has come.
        """
        later = evolve(self.record(), status="processing", attempts=1, event_seq=9, published=True)
        self.assertEqual(message_bytes(self.record()), message_bytes(Job.from_json(later.to_json())))

    def test_read(self) -> None:
        """
        A worker reads it as a record as it was at first, without the name of its user.
        """
        self.assertEqual(evolve(self.record(), username="", published=True), read_message(message_bytes(self.record())))

    def test_broken(self) -> None:
        """
        What is no such message is told.
        """
        good = json.loads(message_bytes(job()))
        self.assertEqual(JOB_ID, read_message(orjson.dumps(good)).job_id)
        for name in good:
            with self.assertRaises(BrokenError):
                read_message(orjson.dumps({key: value for key, value in good.items() if key != name}))
        for name, value in [
            *(("job_id", "a.b"), ("type", ">"), ("timestamp", "now"), ("gpu_count", True), ("priority", 11)),
            *(("params", []), ("tags", [1]), ("max_retries", 11), ("timeout", -1)),
        ]:
            with self.assertRaises(BrokenError, msg=name):
                read_message(orjson.dumps(good | {name: value}))
        for content in (b"", b"[]", b"{", b"[" * 100_000):
            self.assertRaises(BrokenError, read_message, content)
