"""
Tests for L{siger.health.answering}, L{siger.health.answers} and L{siger.health.watches}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.grpc.framing import frame
from siger.grpc.health import question
from siger.grpc.protobuf import piece
from siger.grpc.serving import CHECK, NOT_SERVING, SERVICE_UNKNOWN, SERVING, WATCH, answer
from siger.health.answering import HealthService
from siger.http.request_parser import RequestParser
from siger.observe.observer import Observer
from tests.http.fakes import FakeStream

CALL = ("Content-Type: application/grpc", "TE: trailers", "Transfer-Encoding: chunked")
UNAVAILABLE = b"grpc-status: 14\r\n"


class _ServiceMixin(SynchronousTestCase):
    """
    The service, and how things are.
    """

    path = CHECK

    def setUp(self) -> None:
        self.clock = Clock()
        self.observer = Observer()
        self.statuses = {"": SERVING, "a.Well": SERVING, "a.Ill": NOT_SERVING}
        self.service = HealthService(self.clock, self.observer, lambda name: self.statuses.get(name, SERVICE_UNKNOWN))
        self.stream = FakeStream()
        self.stream.grpc = True

    def call(self, *lines: str, method: str = "POST") -> Any:
        """
        Begin to call.
        """
        parser = RequestParser()
        fields = parser.fields("\r\n".join(("Host: gw.test", *(lines or CALL))).encode())
        head = parser.head(f"{method} {self.path} HTTP/1.1".encode(), fields)
        return self.service(head, self.stream, b"0192f3a4", b"192.0.2.7")

    def ask(self, name: str, *lines: str) -> Any:
        """
        Ask about a service.
        """
        call = self.call(*CALL, *lines)
        call.body_received(question(name), True)
        return call


class CheckTests(_ServiceMixin):
    """
    Tests for C{Check}.
    """

    def test_answers(self) -> None:
        """
        A service is well or not, and each answer ends well.
        """
        for name, status in (("", SERVING), ("a.Well", SERVING), ("a.Ill", NOT_SERVING)):
            self.stream = FakeStream()
            self.ask(name)
            self.assertEqual((self.stream.status, self.stream.body), (200, answer(status)))
            self.assertIn(b"Content-Type: application/grpc\r\n", self.stream.lines)
            self.assertEqual((self.stream.trailers, self.stream.ended), (b"grpc-status: 0\r\n", True))
        self.assertEqual(self.observer.in_flight, 0)

    def test_unknown(self) -> None:
        """
        One that nobody knows is not found.
        """
        self.ask("a.Other")
        self.assertIn(b"grpc-status: 5\r\n", self.stream.lines)
        self.assertEqual((self.stream.status, self.stream.body, self.stream.ended), (200, b"", True))

    def test_in_pieces(self) -> None:
        """
        The question may come in pieces, and its end by itself.
        """
        call = self.call()
        for byte in question("a.Ill"):
            call.body_received(bytes((byte,)))
        self.assertIs(self.stream.status, None)
        call.body_finished(b"")
        self.assertEqual(self.stream.body, answer(NOT_SERVING))

    def refused(self, reason: Reason, status: int) -> None:
        """
        It was refused in terms of gRPC.
        """
        self.assertEqual((self.stream.status, self.stream.ended), (200, True))
        self.assertIn(b"grpc-status: %d\r\n" % status, self.stream.lines)
        self.assertIn(reason, self.observer.reasons)
        self.assertEqual(self.observer.in_flight, 0)

    def test_malformed(self) -> None:
        """
        What is no question is refused.
        """
        for body in (b"\0", frame(b"\x0a\x05a"), frame(piece(1, b"\xff")), question("") * 2):
            self.stream = FakeStream()
            self.stream.grpc = True
            self.call().body_received(body, True)
            self.refused(Reason.MALFORMED_REQUEST, 13)

    def test_without_a_body(self) -> None:
        """
        So is what has no message at all.
        """
        self.assertIs(self.call("Content-Type: application/grpc"), None)
        self.refused(Reason.MALFORMED_REQUEST, 13)

    def test_too_long(self) -> None:
        """
        What is too long is refused before it is complete, and what still comes is dropped.
        """
        call = self.call()
        call.body_received(question("x" * 2000))
        self.refused(Reason.BODY_TOO_LARGE, 8)
        call.body_received(b"more", True)
        call.body_finished(b"")
        call.body_failed(Reason.INCOMPLETE_BODY)
        self.refused(Reason.BODY_TOO_LARGE, 8)

    def test_incomplete(self) -> None:
        """
        So is what will never be complete.
        """
        self.call().body_failed(Reason.INCOMPLETE_BODY)
        self.refused(Reason.INCOMPLETE_BODY, 13)

    def test_others(self) -> None:
        """
        Requests that are no calls get problems: another method, another type, a page's text.
        """
        for method, kind, reason in (
            ("GET", "application/grpc", Reason.METHOD_NOT_ALLOWED),
            ("POST", "application/json", Reason.UNSUPPORTED_MEDIA),
            ("POST", "application/grpc-web-text", Reason.UNSUPPORTED_MEDIA),
        ):
            self.stream = FakeStream()
            self.assertIs(self.call(f"Content-Type: {kind}", "Content-Length: 5", method=method), None)
            self.assertEqual(self.stream.status, reason.status)
            self.assertIn(reason, self.observer.reasons)
            self.assertEqual(b"Allow: POST\r\n" in self.stream.lines, method == "GET")

    def test_continue(self) -> None:
        """
        A client that waits to be asked for its question is asked.
        """
        self.call(*CALL, "Expect: 100-continue")
        self.assertEqual(self.stream.interim, [(100, b"")])

    def test_gone(self) -> None:
        """
        Somebody who leaves gets no answer.
        """
        call = self.call()
        call.client_gone()
        call.body_received(question(""), True)
        self.assertIs(self.stream.status, None)
        self.assertEqual(self.observer.in_flight, 0)


class WatchTests(_ServiceMixin):
    """
    Tests for C{Watch}.
    """

    path = WATCH

    def look(self, seconds: float = 1.0) -> bytes:
        """
        Let time pass.

        @return: what was said meanwhile.
        """
        before = len(self.stream.body)
        self.clock.advance(seconds)
        return self.stream.body[before:]

    def test_changes(self) -> None:
        """
        The answer comes at once, and again when it is another one, and only then.
        """
        self.ask("a.Well")
        self.assertEqual((self.stream.body, self.stream.ended), (answer(SERVING), False))
        self.assertEqual(self.look(), b"")
        self.statuses["a.Well"] = NOT_SERVING
        self.assertEqual(self.look(), answer(NOT_SERVING))
        self.assertEqual(self.look(), b"")
        self.statuses["a.Well"] = SERVING
        self.assertEqual(self.look(), answer(SERVING))

    def test_unknown(self) -> None:
        """
        One that nobody knows may be known later.
        """
        self.ask("a.Other")
        self.assertEqual(self.stream.body, answer(SERVICE_UNKNOWN))
        self.statuses["a.Other"] = SERVING
        self.assertEqual(self.look(), answer(SERVING))

    def test_slow_reader(self) -> None:
        """
        Who reads slowly is told what is true then, not what was true meanwhile.
        """
        call = self.ask("")
        call.pause_response()
        self.statuses[""] = NOT_SERVING
        self.assertEqual(self.look(), b"")
        self.statuses[""] = SERVING
        self.assertEqual(self.look(), b"")
        self.statuses[""] = NOT_SERVING
        call.resume_response()
        self.assertEqual(self.look(), answer(NOT_SERVING))

    def test_gone(self) -> None:
        """
        When the last one has left, nobody looks any more.
        """
        call = self.ask("")
        call.client_gone()
        self.assertEqual((self.clock.getDelayedCalls(), self.observer.in_flight), ([], 0))
        self.stream = FakeStream()
        self.ask("")
        self.statuses[""] = NOT_SERVING
        self.assertEqual(self.look(), answer(NOT_SERVING))

    def test_deadline(self) -> None:
        """
        A call ends with its time.
        """
        self.ask("", "grpc-timeout: 2500m")
        self.look()
        self.look()
        self.assertFalse(self.stream.ended)
        self.look()
        self.assertIn(b"grpc-status: 4\r\n", self.stream.trailers)
        self.assertEqual((self.stream.ended, self.clock.getDelayedCalls()), (True, []))

    def test_no_deadline(self) -> None:
        """
        What is no time is refused.
        """
        self.ask("", "grpc-timeout: soon")
        self.assertIn(b"grpc-status: 13\r\n", self.stream.lines)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_trailers(self) -> None:
        """
        A client that looks at no trailers must not take the answers so far for all there are; one in a page has them in
        the body.
        """
        for lines, aborted in (
            (("Content-Type: application/grpc", "Transfer-Encoding: chunked"), True),
            (("Content-Type: application/grpc-web", "Transfer-Encoding: chunked"), False),
        ):
            self.stream = FakeStream()
            self.call(*lines, "grpc-timeout: 1S").body_received(question(""), True)
            self.look()
            self.assertEqual((self.stream.aborted, self.stream.ended), (aborted, not aborted))
            self.assertEqual((self.clock.getDelayedCalls(), self.observer.in_flight), ([], 0))

    def test_stop(self) -> None:
        """
        When the gateway stops, all are told and sent away, and so is whoever comes then.
        """
        self.ask("")
        self.statuses[""] = NOT_SERVING
        self.service.stop()
        self.assertEqual(self.stream.body, answer(SERVING) + answer(NOT_SERVING))
        self.assertTrue(self.stream.trailers.startswith(UNAVAILABLE))
        self.stream = FakeStream()
        self.ask("")
        self.assertEqual((self.stream.body, self.stream.ended), (answer(NOT_SERVING), True))
        self.assertTrue(self.stream.trailers.startswith(UNAVAILABLE))
        self.assertEqual((self.clock.getDelayedCalls(), self.observer.in_flight), ([], 0))
