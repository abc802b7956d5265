"""
Tests of L{siger.jobs.broker}, and of what it is made of, against what a server may say; what one does say is tested
with a real one.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.jobs import JobsSettings
from siger.jobs.broker import Broker
from siger.jobs.errors import ConflictError, FullError
from siger.jobs.events import Event
from siger.jobs.logs import UNREADABLE
from siger.jobs.streams import stream_configs
from siger.messaging.errors import NobodyAnswersError, TooLargeError, UnavailableError
from tests.jobs.making import JOB_ID, event, job, status
from tests.jobs.scripted import ScriptedConnection, refusal, stored

CLAIM = status("processing")
ANY = "$JS.API.DIRECT.GET.JOB_EVENTS"
LEADER = "$JS.API.STREAM.MSG.GET.JOB_EVENTS"
CONFIGS = {config["name"]: config for config in stream_configs(1, 7)}


class BrokerCase(SynchronousTestCase):
    """
    A broker and a server that has everything.

    @ivar answers: what the server says to a subject: an object, an exception, or a list of these, in turn.
    @ivar questions: what it was asked: the subject, the content and the head.
    """

    def setUp(self) -> None:
        """
        Prepare.
        """
        self.answers: dict[str, Any] = {}
        self.questions: list[tuple[str, bytes, str]] = []
        self.connection = ScriptedConnection(self.answer)
        self.broker = Broker(self.connection, JobsSettings(types=("t",)), now=lambda: 5000.0)

    def answer(self, subject: str, content: bytes, head: str) -> Any:
        """
        Say something.
        """
        self.questions.append((subject, content, head))
        if subject in self.answers:
            answer = self.answers[subject]
            return answer.pop(0) if isinstance(answer, list) and answer else answer
        if subject.startswith("$JS.API.STREAM.INFO."):
            return {"config": CONFIGS[subject.rpartition(".")[2]]}
        return {"stream": {"submit": "JOBS", "events": "JOB_EVENTS"}.get(subject.split(".")[1], ""), "seq": 7}

    def publish(self) -> Any:
        """
        Publish a claim.
        """
        return self.broker.publish_event(CLAIM, 0)

    def prepared(self) -> None:
        """
        Let everything be looked at.
        """
        self.successResultOf(self.broker.preparation.prepare())
        self.connection.link.asked.clear()
        self.questions.clear()


class PublishingTests(BrokerCase):
    """
    What is sent, and what answers mean.
    """

    def test_job(self) -> None:
        """
        Rows K1, K2: a job has its name, and the stream where it belongs, in its head.
        """
        self.prepared()
        self.assertEqual(self.successResultOf(self.broker.publish_job(b"{}", "t", "high", JOB_ID)), 7)
        head = f"NATS/1.0\r\nNats-Msg-Id: {JOB_ID}\r\nNats-Expected-Stream: JOBS\r\n\r\n"
        self.assertEqual(self.questions, [("jobs.submit.t.high", b"{}", head)])

    def test_event(self) -> None:
        """
        An event may name the one that it follows, even if that is none.
        """
        self.prepared()
        self.successResultOf(self.publish())
        self.successResultOf(self.broker.publish_event(CLAIM))
        (subject, content, first), (_, _, second) = self.questions
        self.assertEqual((subject, Event.from_json(content)), (f"jobs.events.{JOB_ID}", CLAIM))
        self.assertIn("\r\nNats-Expected-Last-Subject-Sequence: 0\r\n", first)
        self.assertNotIn("Last", second)

    def test_dead(self) -> None:
        """
        What failed for good is kept with its reason.
        """
        self.prepared()
        self.answers["jobs.dlq.ai_training"] = {"stream": "JOB_DLQ", "seq": 1}
        self.successResultOf(self.broker.publish_dead(job(attempts=2), "lost"))
        content = json.loads(self.questions[0][1])
        self.assertEqual((content["job_id"], content["reason"], content["attempts"]), (JOB_ID, "lost", 2))
        self.assertEqual(content["ended_at"], "1970-01-01T01:23:20.000Z")

    def test_refusals(self) -> None:
        """
        Rows K1, K6, K7: each way of saying no has its meaning; what has none leaves it unknown.
        """
        self.prepared()
        meanings = {
            10071: ConflictError,
            10164: ConflictError,
            10077: FullError,
            10047: FullError,
            10054: TooLargeError,
        }
        for number, error in {**meanings, 10008: UnavailableError, 10060: UnavailableError}.items():
            self.answers[f"jobs.events.{JOB_ID}"] = refusal(number)
            self.failureResultOf(self.publish(), error)
        self.assertEqual(self.connection.errors, 2)

    def test_strange_acknowledgements(self) -> None:
        """
        Row K1: what is not the acknowledgement of the stream is none.
        """
        self.prepared()
        for answer in (
            {"stream": "OTHER", "seq": 1},
            {"stream": "JOB_EVENTS"},
            {"stream": "JOB_EVENTS", "seq": True},
            5,
        ):
            self.answers[f"jobs.events.{JOB_ID}"] = answer
            self.failureResultOf(self.publish(), UnavailableError)
        self.assertEqual(self.broker.published, 0)

    def test_duplicate(self) -> None:
        """
        Row K2: a duplicate has the place of the first, and is counted.
        """
        self.prepared()
        self.answers["jobs.submit.t.low"] = {"stream": "JOBS", "seq": 3, "duplicate": True}
        self.assertEqual(self.successResultOf(self.broker.publish_job(b"{}", "t", "low", "a")), 3)
        self.assertEqual((self.broker.published, self.broker.duplicates), (1, 1))

    def test_away(self) -> None:
        """
        Row K5: without a connection nothing is sent, and all fails at once.
        """
        self.connection.link = None
        for deferred in (
            self.publish(),
            self.broker.publish_job(b"{}", "t", "low", "a"),
            self.broker.publish_control("a", "cancel"),
            self.broker.read_events("a", 0),
            self.broker.last_event("a"),
        ):
            self.failureResultOf(deferred, UnavailableError)
        self.assertEqual((self.questions, self.connection.errors), ([], 5))
        self.assertEqual((self.broker.connected, self.broker.max_payload), (False, 0))

    def test_injection(self) -> None:
        """
        Row K11: nothing becomes part of what is sent that could be more than it should.
        """
        self.prepared()
        self.assertRaises(ValueError, self.broker.publish_job, b"{}", "t", "high", "a\r\nX: y")
        self.assertRaises(ValueError, self.broker.publish_job, b"{}", "t x", "high", "a")
        self.assertRaises(ValueError, self.broker.publish_control, "a b", "cancel")
        self.assertEqual(self.questions, [])


class PreparationTests(BrokerCase):
    """
    Streams and consumers are made when they are needed.
    """

    def test_once(self) -> None:
        """
        The first to publish sees that everything is there, later ones do not.
        """
        self.successResultOf(self.publish())
        first = len(self.questions)
        self.assertEqual(first, 4 + 3 + 1 + 1)
        self.successResultOf(self.publish())
        self.assertEqual(len(self.questions), first + 1)

    def test_made(self) -> None:
        """
        What is missing is made; that another process makes it at the same moment does no harm.
        """
        self.answers["$JS.API.STREAM.INFO.JOBS"] = refusal(10059)
        for answer in ({}, refusal(10058)):
            self.answers["$JS.API.STREAM.CREATE.JOBS"] = answer
            self.broker.preparation.forget()
            self.successResultOf(self.broker.preparation.prepare())
        made = [json.loads(content) for subject, content, _ in self.questions if "STREAM.CREATE" in subject]
        self.assertEqual(made, [CONFIGS["JOBS"]] * 2)

    def test_cannot_be_made(self) -> None:
        """
        Where a stream cannot be made nothing is published.
        """
        self.answers["$JS.API.STREAM.INFO.JOBS"] = refusal(10059)
        self.answers["$JS.API.STREAM.CREATE.JOBS"] = refusal(10074, "no space")
        self.failureResultOf(self.publish(), UnavailableError)
        self.assertNotIn(f"jobs.events.{JOB_ID}", self.connection.link.asked)

    def test_cannot_be_changed(self) -> None:
        """
        A stream that cannot be changed serves as it is; what is asked for leaves the rest as it was found.
        """
        self.answers["$JS.API.STREAM.INFO.JOBS"] = {
            "config": {**CONFIGS["JOBS"], "max_msgs": 5, "metadata": {"a": "b"}}
        }
        self.answers["$JS.API.STREAM.UPDATE.JOBS"] = refusal(10052)
        self.successResultOf(self.publish())
        [asked] = [json.loads(content) for subject, content, _ in self.questions if "UPDATE" in subject]
        self.assertEqual((asked["max_msgs"], asked["metadata"]), (1_000_000, {"a": "b"}))

    def test_nobody(self) -> None:
        """
        Where nobody stores it, everything is looked at again, and it is published once more; then it has failed.
        """
        self.prepared()
        nobody = NobodyAnswersError("nobody")
        self.answers[f"jobs.events.{JOB_ID}"] = [nobody, {"stream": "JOB_EVENTS", "seq": 2}]
        self.assertEqual(self.successResultOf(self.publish()), 2)
        self.assertEqual(self.connection.link.asked[1], "$JS.API.STREAM.INFO.JOBS")
        self.answers[f"jobs.events.{JOB_ID}"] = nobody
        self.failureResultOf(self.publish(), UnavailableError)


class LogsTests(BrokerCase):
    """
    Logs are read whole, whichever server answers.
    """

    def end(self, code: str = "204", pending: int = 0) -> Any:
        """
        The last message of a batch.
        """
        message = stored(0, b"", 0, pending)
        message.headers["Status"] = code
        return message

    def from_leader(self, sequence: int, entry: Event) -> dict[str, Any]:
        """
        What the leader says.
        """
        data = base64.b64encode(entry.to_json()).decode()
        return {"message": {"subject": f"jobs.events.{JOB_ID}", "seq": sequence, "data": data}}

    def read(self, after: int = 0, limit: int = 100, at_least: int | None = None) -> list[int]:
        """
        Read a log.
        """
        return [
            sequence for sequence, _ in self.successResultOf(self.broker.read_events(JOB_ID, after, limit, at_least))
        ]

    def lines(self, *sequences: int, last: int = 0, pending: int = 0) -> list[Any]:
        """
        The messages of a batch.
        """
        found = []
        for left, sequence in enumerate(sequences, 1 - len(sequences)):
            found.append(stored(sequence, event("log", 1).to_json(), last, pending - left))
            last = sequence
        return [*found, self.end(pending=pending)]

    def test_batches(self) -> None:
        """
        What does not fit into one answer comes with the next.
        """
        self.prepared()
        self.answers[ANY] = [self.lines(3, 5, pending=2), self.lines(8, 9, last=5)]
        self.answers[LEADER] = refusal(10037)
        self.assertEqual(self.read(), [3, 5, 8, 9])
        asked = [json.loads(content) for subject, content, _ in self.questions if subject == ANY]
        self.assertEqual([(question["seq"], question["batch"]) for question in asked], [(1, 100), (6, 98)])

    def test_behind(self) -> None:
        """
        A server that is behind is not the last word: the leader has the rest.
        """
        self.prepared()
        self.answers[ANY] = [[self.end("404")]]
        self.answers[LEADER] = [self.from_leader(3, CLAIM), self.from_leader(4, CLAIM), refusal(10037)]
        self.assertEqual(self.read(), [3, 4])
        self.answers[ANY] = [self.lines(3)]
        self.answers[LEADER] = [self.from_leader(4, CLAIM), refusal(10037)]
        self.assertEqual(self.read(at_least=4), [3, 4])

    def test_enough(self) -> None:
        """
        The leader is not asked for what nobody needs.
        """
        self.prepared()
        self.answers[ANY] = [self.lines(3, 5), self.lines(3, 5), self.lines(5, last=3)]
        self.assertEqual((self.read(0, 2), self.read(0, 9, 5), self.read(3, 9, 4)), ([3, 5], [3, 5], [5]))
        self.assertNotIn(LEADER, self.connection.link.asked)

    def test_old_server(self) -> None:
        """
        A server that knows no batches answers with one at a time.
        """
        self.prepared()
        one, two = stored(3, CLAIM.to_json()), stored(4, CLAIM.to_json())
        self.answers[ANY] = [[one], [two], [self.end("404")]]
        self.answers[LEADER] = refusal(10037)
        self.assertEqual(self.read(), [3, 4])

    def test_lost(self) -> None:
        """
        A batch of which something did not arrive is not taken for the log.
        """
        self.prepared()
        first, _, third, end = self.lines(3, 5, 7)
        self.answers[ANY] = [[first, third, end]]
        self.answers[LEADER] = refusal(10037)
        self.failureResultOf(self.broker.read_events(JOB_ID, 0), UnavailableError)

    def test_nonsense(self) -> None:
        """
        What makes no sense fails; what is no event has its place.
        """
        self.prepared()
        for answer in ([self.end("408")], [stored(1, b"")], NobodyAnswersError("nobody")):
            if isinstance(answer, list) and answer[0].headers.get("Nats-Sequence") == "1":
                answer[0].headers["Nats-Sequence"] = "x"
            self.answers[ANY] = [answer]
            self.answers[LEADER] = {"message": {"seq": "x"}}
            self.failureResultOf(self.broker.read_events(JOB_ID, 0), UnavailableError)
        self.answers[LEADER] = self.from_leader(4, CLAIM)
        self.answers[LEADER]["message"]["data"] = base64.b64encode(b"\xff").decode()
        last = self.successResultOf(self.broker.last_event(JOB_ID))
        assert last is not None
        self.assertEqual((last[0].event, last[0].job_id, last[1]), (UNREADABLE, JOB_ID, 4))
