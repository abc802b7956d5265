"""
Tests for L{siger.health.check}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger import __version__
from siger.balancing.instances import Endpoint, Instance
from siger.config.settings.services import HealthCheck, ServiceSettings
from siger.errors import Reason
from siger.grpc.health import LONGEST_ANSWER, Finding
from siger.health.check import Check, Question
from siger.http.response import ResponseHead
from tests.health.fakes import FakePool, FakeStream, answer

OK = ResponseHead(200, b"OK")
STATUS_OK = b"grpc-status: 0\r\n"


def make_question(protocol: str = "h2c", grpc: str = "", timeout: float = 2.0, **settings: Any) -> Question:
    """
    A question to 10.0.0.1:50051.
    """
    endpoint = Endpoint(Instance("10.0.0.1", 50051), protocol)
    return Question(HealthCheck(grpc, timeout=timeout), endpoint, ServiceSettings(**settings))


class CheckCase(SynchronousTestCase):
    """
    A question to an instance that the test plays.
    """

    def setUp(self) -> None:
        """
        Begin to ask.
        """
        self.clock = Clock()
        self.pool = FakePool()
        self.told: list[Finding] = []
        self.check = self.begin(make_question())

    def begin(self, question: Question) -> Check:
        """
        Ask this.
        """
        check = Check(self.clock, self.pool, question, self.told.append)
        check.begin()
        return check

    def results(self) -> list[tuple[str, str]]:
        """
        What came of it; and nothing is left of a check that is over.
        """
        if self.told:
            self.assertEqual((self.pool.waiters, self.clock.getDelayedCalls()), ([], []))
        return [(finding.result, finding.detail) for finding in self.told]


class QuestionTests(CheckCase):
    """
    What an instance is asked.
    """

    def sent(self, question: Question) -> FakeStream:
        """
        What arrives of it.
        """
        self.pool.waiters.clear()
        self.begin(question)
        return self.pool.connect()

    def test_request(self) -> None:
        """
        The request is that of a unary call, with the fields that gRPC asks for in their order, and is sent whole.
        """
        stream = self.sent(make_question())
        expected = {
            b":method": b"POST",
            b":scheme": b"http",
            b":path": b"/grpc.health.v1.Health/Check",
            b":authority": b"10.0.0.1:50051",
            b"te": b"trailers",
            b"content-type": b"application/grpc",
            b"user-agent": b"siger/" + __version__.encode(),
            b"grpc-timeout": b"2000000u",
        }
        self.assertEqual([*stream.fields.items()], [*expected.items()])
        self.assertEqual((stream.body, stream.ended), (b"\0\0\0\0\0", True))
        self.assertEqual((stream.timeouts.response, stream.timeouts.idle), (float("inf"), float("inf")))

    def test_service(self) -> None:
        """
        It may be about one service.
        """
        self.assertEqual(self.sent(make_question(grpc="a.v1.B")).body, b"\0\0\0\0\x08\x0a\x06a.v1.B")

    def test_secure(self) -> None:
        """
        Over TLS, the scheme is another.
        """
        self.assertEqual(self.sent(make_question("h2")).fields[b":scheme"], b"https")

    def test_host(self) -> None:
        """
        An instance goes by the name that its service gives it.
        """
        for host, expected in (("instance", b"10.0.0.1:50051"), ("inner.example.com", b"inner.example.com")):
            self.assertEqual(self.sent(make_question(host=host)).fields[b":authority"], expected)

    def test_rest_of_the_time(self) -> None:
        """
        The instance is told what is left of the time once there is a connection.
        """
        self.clock.advance(1.5)
        self.assertEqual(self.pool.connect().fields[b"grpc-timeout"], b"500000u")


class AnswerTests(CheckCase):
    """
    What comes of it.
    """

    def setUp(self) -> None:
        """
        Let the question arrive.
        """
        super().setUp()
        self.stream = self.pool.connect()

    def test_serving(self) -> None:
        """
        A good answer, in one piece or in several, and after interim responses.
        """
        recipient = self.stream.recipient
        recipient.interim_received(ResponseHead(103, b""))
        recipient.response_received(OK, answer(1)[:3], False)
        recipient.response_data(answer(1)[3:])
        self.assertEqual(self.results(), [])
        recipient.response_finished(STATUS_OK)
        self.assertEqual(self.results(), [("serving", "SERVING")])
        self.assertFalse(self.stream.aborted)

    def test_not_serving(self) -> None:
        """
        An instance that says that it is not well.
        """
        self.stream.answer(2)
        self.assertEqual(self.results(), [("not_serving", "NOT_SERVING")])

    def test_trailers_only(self) -> None:
        """
        An answer that is no more than a status.
        """
        head = ResponseHead(200, b"OK")
        head.relay = b"content-type: application/grpc\r\ngrpc-status: 12\r\n"
        self.stream.recipient.response_received(head, b"", True)
        self.assertEqual(self.results(), [("failed", "UNIMPLEMENTED")])
        self.assertFalse(self.stream.aborted)

    def test_other_status(self) -> None:
        """
        What has another HTTP status is no answer, and the rest of it is not waited for.
        """
        self.stream.recipient.response_received(ResponseHead(404, b"Not Found"), b"<html>", False)
        self.assertEqual(self.results(), [("failed", "HTTP status 404")])
        self.assertTrue(self.stream.aborted)

    def test_too_long(self) -> None:
        """
        No more is kept of an answer than one can have.
        """
        self.stream.recipient.response_received(OK, bytes(LONGEST_ANSWER), False)
        self.assertEqual(self.results(), [])
        self.stream.recipient.response_data(b"\0")
        self.assertEqual(self.results(), [("failed", "malformed answer")])
        self.assertTrue(self.stream.aborted)

    def test_too_long_at_once(self) -> None:
        """
        The same for what comes with the head.
        """
        self.stream.recipient.response_received(OK, bytes(LONGEST_ANSWER + 1), False)
        self.assertEqual((self.results(), self.stream.aborted), ([("failed", "malformed answer")], True))

    def test_without_end(self) -> None:
        """
        An answer that does not end takes too long.
        """
        self.stream.recipient.response_received(OK, answer(1), False)
        self.clock.advance(2)
        self.assertEqual(self.results(), [("timeout", "no answer within 2 s")])
        self.assertTrue(self.stream.aborted)

    def test_broken_off(self) -> None:
        """
        An instance can break off its answer, or lose the connection, or say what is no HTTP.
        """
        self.check.cancel()
        for name, arguments, expected in (
            ("upstream_reset", (2,), ("failed", "upstream_reset")),
            ("upstream_failed", (Reason.UPSTREAM_RESET, False), ("unreachable", "upstream_reset")),
            ("upstream_failed", (Reason.UPSTREAM_TRUNCATED, False), ("unreachable", "upstream_truncated")),
            ("upstream_failed", (Reason.UPSTREAM_MALFORMED, False), ("failed", "upstream_malformed")),
        ):
            self.told.clear()
            self.begin(make_question())
            stream = self.pool.connect()
            getattr(stream.recipient, name)(*arguments)
            self.assertEqual(self.results(), [expected], name)
            self.assertFalse(stream.aborted)

    def test_upgrade(self) -> None:
        """
        Nothing was asked for that a connection could be switched to, and one message needs no pauses.
        """
        recipient = self.stream.recipient
        self.assertFalse(recipient.switched(ResponseHead(101, b"")))
        recipient.pause_request()
        recipient.resume_request()
        self.stream.answer()
        self.assertEqual(self.results(), [("serving", "SERVING")])


class ConnectionTests(CheckCase):
    """
    Who may not be there at all.
    """

    def test_nobody(self) -> None:
        """
        There is no connection to be had.
        """
        self.pool.waiters.pop().connect_failed(Reason.UPSTREAM_REFUSED)
        self.assertEqual(self.results(), [("unreachable", "upstream_refused")])

    def test_late(self) -> None:
        """
        The time for an answer includes that for the connection; who has waited for all of it waits no more.
        """
        self.clock.advance(1.9)
        self.assertEqual(self.results(), [])
        self.clock.advance(0.1)
        self.assertEqual(self.results(), [("timeout", "no answer within 2 s")])

    def test_at_once(self) -> None:
        """
        It can all be over before C{begin} returns.
        """
        self.check.cancel()
        for self.pool in (FakePool(status=1), FakePool(reason=Reason.UPSTREAM_TLS)):
            self.begin(make_question())
        self.assertEqual(self.results(), [("serving", "SERVING"), ("unreachable", "upstream_tls")])

    def test_again(self) -> None:
        """
        When an instance has just closed the connection, or will not use it any more, it is asked again within the same
        time; but once.
        """
        self.pool.connect().recipient.upstream_failed(Reason.UPSTREAM_RESET, True)
        self.clock.advance(0.5)
        second = self.pool.connect()
        self.assertEqual((self.results(), second.fields[b"grpc-timeout"]), ([], b"1500000u"))
        second.recipient.upstream_refused(Reason.UPSTREAM_RESET)
        self.assertEqual(self.results(), [("unreachable", "upstream_reset")])

    def test_second_answer(self) -> None:
        """
        What it answers then is as good as a first answer; it may also be gone.
        """
        self.pool.connect().recipient.upstream_refused(Reason.UPSTREAM_RESET)
        self.pool.connect().answer()
        self.assertEqual(self.results(), [("serving", "SERVING")])
        self.begin(make_question())
        self.pool.connect().recipient.upstream_failed(Reason.UPSTREAM_RESET, True)
        self.pool.waiters.pop().connect_failed(Reason.UPSTREAM_REFUSED)
        self.assertEqual(self.results()[1:], [("unreachable", "upstream_refused")])

    def test_late_again(self) -> None:
        """
        The time goes on for the second attempt.
        """
        self.pool.connect().recipient.upstream_refused(Reason.UPSTREAM_RESET)
        self.clock.advance(2)
        self.assertEqual(self.results(), [("timeout", "no answer within 2 s")])

    def test_cancelled(self) -> None:
        """
        Who is not interested any more is told nothing, and nothing is left.
        """
        self.check.cancel()
        self.assertEqual((self.told, self.pool.waiters, self.clock.getDelayedCalls()), ([], [], []))
        check = self.begin(make_question())
        stream = self.pool.connect()
        check.cancel()
        self.assertEqual((self.told, stream.aborted, self.clock.getDelayedCalls()), ([], True, []))
