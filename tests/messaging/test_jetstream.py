"""
Tests of buckets on JetStream against what a server may say; what one does say is tested with a real one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.nats import NatsSettings
from siger.messaging.bucket import Entry
from siger.messaging.connection import NatsConnection
from siger.messaging.errors import (
    KeyExistsError,
    NobodyAnswersError,
    RevisionError,
    TooLargeError,
    UnavailableError,
)
from siger.messaging.jetstream import JetStreamBucket, stream_config, stream_difference
from tests.messaging.links import FakeDialler, FakeLink

CREATE = "$JS.API.STREAM.CREATE.KV_users"
INFO = "$JS.API.STREAM.INFO.KV_users"
UPDATE = "$JS.API.STREAM.UPDATE.KV_users"
GET = "$JS.API.STREAM.MSG.GET.KV_users"
WRITE = "$KV.users.alice"


def error(number: int, text: str = "no") -> dict[str, Any]:
    """
    An answer that says no.
    """
    return {"error": {"code": 400, "err_code": number, "description": text}}


def stored(value: bytes | None, revision: int) -> dict[str, Any]:
    """
    An answer with what is stored.
    """
    message: dict[str, Any] = {"subject": WRITE, "seq": revision, "data": base64.b64encode(value or b"").decode()}
    if value is None:
        message["hdrs"] = base64.b64encode(b"NATS/1.0\r\nKV-Operation: DEL\r\n\r\n").decode()
    return {"message": message}


class ConfigTests(SynchronousTestCase):
    """
    How streams are set up.
    """

    def test_for_ever(self) -> None:
        """
        A stream takes the subjects of its bucket and keeps the last of each, in files, for ever.
        """
        config = stream_config("users", 0, 1, 3)
        expected = {
            "name": "KV_users",
            "subjects": ["$KV.users.>"],
            "storage": "file",
            "max_msgs_per_subject": 1,
            "max_age": 0,
            "num_replicas": 3,
            "duplicate_window": 120_000_000_000,
            "discard": "new",
        }
        self.assertEqual(config, {**config, **expected})

    def test_time_to_live(self) -> None:
        """
        The server remembers identifiers no longer than messages, as it insists on.
        """
        short, long = stream_config("users", 0.5, 1, 1), stream_config("users", 3600, 1, 1)
        self.assertEqual((short["max_age"], short["duplicate_window"]), (500_000_000, 500_000_000))
        self.assertEqual((long["max_age"], long["duplicate_window"]), (3_600_000_000_000, 120_000_000_000))

    def test_difference(self) -> None:
        """
        Only what may be changed is compared.
        """
        config = stream_config("users", 60, 1, 1)
        self.assertEqual(stream_difference({**config, "new_in_2.99": 1, "storage": "memory"}, config), {})
        self.assertEqual(stream_difference({**config, "max_age": 5}, config), {"max_age": 60_000_000_000})
        found = {key: value for key, value in stream_config("users", 0, 1, 1).items() if key != "max_age"}
        self.assertEqual(stream_difference(found, stream_config("users", 0, 1, 1)), {})


class JetStreamBucketTests(SynchronousTestCase):
    """
    L{JetStreamBucket}.
    """

    def setUp(self) -> None:
        """
        Make a bucket whose server says what is in C{answers}, each once or for ever.
        """
        self.answers: dict[str, list[Any]] = {INFO: [{"config": stream_config("users", 0, 1, 1)}]}
        self.payloads: list[Any] = []
        self.headers: list[Mapping[str, str]] = []
        dialler = FakeDialler()
        self.connection = NatsConnection(Clock(), ["a:1"], NatsSettings(), dialler=dialler)
        self.connection.start()
        self.link = dialler.reaches(FakeLink(answer=self.answer))
        self.bucket: JetStreamBucket = self.connection.bucket("users")

    def answer(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> Any:
        """
        The next answer for a subject; the last is for ever.
        """
        self.payloads.append(payload)
        self.headers.append(headers)
        answers = self.answers[subject]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def test_found(self) -> None:
        """
        A stream that is there, and right, is used as it is; once for a connection.
        """
        self.answers[WRITE] = [{"stream": "KV_users", "seq": 7}]
        self.assertEqual(self.successResultOf(self.bucket.put("alice", b"1")), 7)
        self.successResultOf(self.bucket.put("alice", b"1"))
        self.assertEqual(self.link.asked, [INFO, WRITE, WRITE])
        self.assertEqual(self.headers[-1], {"Nats-Expected-Stream": "KV_users"})

    def test_made(self) -> None:
        """
        A stream that is missing is made.
        """
        self.answers |= {INFO: [error(10059)], CREATE: [{"config": {}}], WRITE: [{"stream": "KV_users", "seq": 1}]}
        self.successResultOf(self.bucket.put("alice", b"1"))
        self.assertEqual(self.link.asked, [INFO, CREATE, WRITE])
        self.assertEqual(json.loads(self.payloads[1]), stream_config("users", 0, 1, 1))

    def test_made_by_another(self) -> None:
        """
        When another gateway is first to make it, that is as good.
        """
        self.answers |= {INFO: [error(10059)], CREATE: [error(10058)], WRITE: [{"stream": "KV_users", "seq": 1}]}
        self.successResultOf(self.bucket.put("alice", b"1"))

    def test_changed(self) -> None:
        """
        Of a stream that differs, only what differs is changed; what this version does not know of stays.
        """
        found = {**stream_config("users", 60, 1, 1), "new_in_2.99": {"x": 1}}
        self.answers |= {INFO: [{"config": found}], UPDATE: [{}], WRITE: [{"stream": "KV_users", "seq": 1}]}
        self.successResultOf(self.bucket.put("alice", b"1"))
        self.assertEqual(json.loads(self.payloads[1]), {**stream_config("users", 0, 1, 1), "new_in_2.99": {"x": 1}})

    def test_gone(self) -> None:
        """
        A stream that was deleted is made again, and the write repeated once: nobody had taken it.
        """
        self.answers |= {
            INFO: [{"config": stream_config("users", 0, 1, 1)}, error(10059)],
            CREATE: [{}],
            WRITE: [NobodyAnswersError(), {"stream": "KV_users", "seq": 1}],
        }
        self.assertEqual(self.successResultOf(self.bucket.put("alice", b"1")), 1)
        self.assertEqual(self.link.asked, [INFO, WRITE, INFO, CREATE, WRITE])

    def test_nobody(self) -> None:
        """
        Where nobody answers though the stream is said to be there, it is given up after the second time.
        """
        self.answers[WRITE] = [NobodyAnswersError()]
        self.failureResultOf(self.bucket.put("alice", b"1"), UnavailableError)
        self.assertEqual(self.link.asked, [INFO, WRITE] * 2)

    def test_no_jetstream(self) -> None:
        """
        Without JetStream, or without a leader, nothing is written, and the stream is asked for again next time.
        """
        for answer in (NobodyAnswersError(), UnavailableError("slow"), error(10008), error(10039), error(10076)):
            self.answers[INFO] = [answer]
            self.failureResultOf(self.bucket.put("alice", b"1"), UnavailableError)
        self.assertEqual(self.link.asked, [INFO] * 5)

    def test_no_acknowledgement(self) -> None:
        """
        Row K1: an answer that is not the acknowledgement of the stream is none.
        """
        for answer in (
            *({"stream": "OTHER", "seq": 1}, {"stream": "KV_users"}, {"stream": "KV_users", "seq": "1"}, {}),
            *({"error": "no"}, {"error": {}}, error(10060)),
        ):
            self.answers[WRITE] = [answer]
            self.failureResultOf(self.bucket.put("alice", b"1"), UnavailableError)
        for answer in (b"", b"OK", b"[]", b"\xff"):
            self.answers[WRITE] = [answer]
            self.failureResultOf(self.bucket.put("alice", b"1"), UnavailableError)

    def test_errors(self) -> None:
        """
        What a server says is told by its number: two of them say that the revision is another.
        """
        for number, expected in ((10071, RevisionError), (10164, RevisionError), (10054, TooLargeError)):
            self.answers[WRITE] = [error(number)]
            self.failureResultOf(self.bucket.update("alice", b"1", 5), expected)
        self.assertEqual(self.headers[-1]["Nats-Expected-Last-Subject-Sequence"], "5")

    def test_get(self) -> None:
        """
        Reading asks the stream's leader for the last message of the key.
        """
        self.answers[GET] = [stored(b"1", 9), stored(None, 10), error(10037)]
        self.assertEqual(self.successResultOf(self.bucket.get("alice")), Entry("alice", b"1", 9))
        self.assertIsNone(self.successResultOf(self.bucket.get("alice")))
        self.assertIsNone(self.successResultOf(self.bucket.get("alice")))
        self.assertEqual(json.loads(self.payloads[-1]), {"last_by_subj": "$KV.users.alice"})

    def test_get_nonsense(self) -> None:
        """
        What cannot be read is not taken for nothing.
        """
        for answer in ({}, {"message": []}, {"message": {"seq": "x"}}, {"message": {"seq": 1, "data": "x"}}):
            self.answers[GET] = [answer]
            self.failureResultOf(self.bucket.get("alice"), UnavailableError)

    def test_create_over_deleted(self) -> None:
        """
        Over a deletion, a key is created with the deletion's revision; whoever else does so first wins.
        """
        self.answers |= {WRITE: [error(10071), {"stream": "KV_users", "seq": 11}], GET: [stored(None, 10)]}
        self.assertEqual(self.successResultOf(self.bucket.create("alice", b"1")), 11)
        self.assertEqual(self.headers[-1]["Nats-Expected-Last-Subject-Sequence"], "10")
        self.answers[WRITE] = [error(10071)]
        self.failureResultOf(self.bucket.create("alice", b"1"), KeyExistsError)

    def test_create_over_expired(self) -> None:
        """
        When what was in the way is gone a moment later, the key is created after all.
        """
        self.answers |= {WRITE: [error(10071), {"stream": "KV_users", "seq": 11}], GET: [error(10037)]}
        self.assertEqual(self.successResultOf(self.bucket.create("alice", b"1")), 11)
        self.assertEqual(self.headers[-1]["Nats-Expected-Last-Subject-Sequence"], "0")
