"""
Tests for L{siger.http.problem}.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis.strategies import binary, sampled_from, text
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.grpc.metadata import status_in
from siger.grpc.status import CANCELLED, status_of_reason
from siger.http.problem import (
    PHRASES,
    grpc_error,
    phrase,
    problem_body,
    problem_lines,
    send_grpc_error,
    send_problem,
)
from tests.http.fakes import FakeStream

ID = b"0192f3a4-b5c6-7d8e-9f00-112233445566"


def lines_of(block: bytes) -> dict[str, str]:
    """
    Field lines as a mapping; the block must consist of whole lines.
    """
    assert block.endswith(b"\r\n")
    pairs = [line.partition(": ")[::2] for line in block.decode("ascii").removesuffix("\r\n").split("\r\n")]
    return dict(pairs)


class BodyTests(SynchronousTestCase):
    """
    Tests for L{problem_body}.
    """

    def test_members(self) -> None:
        """
        A document has the members of RFC 9457, the reason and the request id.
        """
        self.assertEqual(
            json.loads(problem_body(Reason.NO_ROUTE, ID)),
            {
                "type": "urn:siger:problem:no_route",
                "title": "Not found",
                "status": 404,
                "detail": "No route matches this path.",
                "reason": "no_route",
                "request_id": ID.decode("ascii"),
            },
        )

    def test_every_reason(self) -> None:
        """
        Each reason has a document that says its own status, title and code, and a detail that is a sentence.
        """
        for reason in Reason:
            document = json.loads(problem_body(reason, ID))
            self.assertEqual(
                (document["status"], document["title"], document["reason"]), (reason.status, reason.title, reason.code)
            )
            self.assertTrue(document["detail"].endswith("."), document["detail"])

    def test_detail(self) -> None:
        """
        The caller can say what was wrong in its own words.
        """
        document = json.loads(problem_body(Reason.BODY_TOO_LARGE, ID, 'At most "1 MiB".'))
        self.assertEqual(document["detail"], 'At most "1 MiB".')

    @given(sampled_from(Reason), binary(max_size=200), text(max_size=200))
    def test_always_json_on_one_line(self, reason: Reason, request_id: bytes, detail: str) -> None:
        """
        Whatever the request id and the detail hold, the document is one line of ASCII JSON that gives them back.
        """
        body = problem_body(reason, request_id, detail)
        self.assertTrue(body.isascii())
        self.assertEqual(body.count(b"\n"), 1)
        document = json.loads(body)
        self.assertEqual(document["request_id"], request_id.decode("latin-1"))
        if detail:
            self.assertEqual(document["detail"], detail)


class LinesTests(SynchronousTestCase):
    """
    Tests for L{problem_lines}.
    """

    def test_common(self) -> None:
        """
        Every problem is typed, unsniffable and uncacheable.
        """
        for reason in Reason:
            lines = lines_of(problem_lines(reason))
            self.assertEqual(lines["Content-Type"], "application/problem+json")
            self.assertEqual(lines["X-Content-Type-Options"], "nosniff")
            self.assertEqual(lines["Cache-Control"], "no-store")

    def test_proxy_status(self) -> None:
        """
        The error type of RFC 9209 is named where one fits, and the field is left out where none does.
        """
        self.assertEqual(
            lines_of(problem_lines(Reason.UPSTREAM_REFUSED))["Proxy-Status"], "siger; error=connection_refused"
        )
        self.assertNotIn("Proxy-Status", lines_of(problem_lines(Reason.DRAINING)))

    def test_retry_after(self) -> None:
        """
        A 503 says when to come back; a 502 does not.
        """
        self.assertEqual(lines_of(problem_lines(Reason.NO_INSTANCE))["Retry-After"], "1")
        self.assertEqual(lines_of(problem_lines(Reason.DRAINING, retry_after=30))["Retry-After"], "30")
        self.assertNotIn("Retry-After", lines_of(problem_lines(Reason.UPSTREAM_RESET)))

    def test_allow(self) -> None:
        """
        A 405 lists the methods it is given.
        """
        self.assertEqual(lines_of(problem_lines(Reason.METHOD_NOT_ALLOWED, allow=b"GET, HEAD"))["Allow"], "GET, HEAD")

    def test_upgrade_required(self) -> None:
        """
        A 426 says which version of WebSocket is spoken (RFC 6455 section 4.4).
        """
        self.assertEqual(lines_of(problem_lines(Reason.UPGRADE_REQUIRED))["Sec-WebSocket-Version"], "13")


class SendTests(SynchronousTestCase):
    """
    Tests for L{send_problem}.
    """

    def test_get(self) -> None:
        """
        A problem is sent whole, with its length.
        """
        stream = FakeStream()
        sent = send_problem(stream, b"GET", Reason.NO_ROUTE, ID, extra=b"Vary: Origin\r\n")
        body = problem_body(Reason.NO_ROUTE, ID)
        self.assertEqual((stream.status, stream.phrase, stream.length), (404, b"Not Found", len(body)))
        self.assertEqual(stream.body, body)
        date, _, rest = stream.lines.partition(b"\r\n")
        self.assertRegex(date, rb"\ADate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\Z")
        self.assertEqual(rest, problem_lines(Reason.NO_ROUTE) + b"Vary: Origin\r\n")
        self.assertTrue(stream.ended)
        self.assertEqual(sent, len(body))

    def test_head(self) -> None:
        """
        To HEAD the length is that of the document, which is not sent.
        """
        stream = FakeStream()
        sent = send_problem(stream, b"HEAD", Reason.NO_ROUTE, ID)
        self.assertEqual((stream.length, stream.body), (len(problem_body(Reason.NO_ROUTE, ID)), b""))
        self.assertTrue(stream.ended)
        self.assertEqual(sent, 0)


class GrpcTests(SynchronousTestCase):
    """
    Tests for L{send_problem} and L{send_grpc_error} where the client understands gRPC statuses.
    """

    def send(self, reason: Reason, **options: Any) -> dict[str, str]:
        """
        Refuse a call, and return the fields that its client gets.
        """
        stream = FakeStream()
        stream.grpc = True
        self.assertEqual(send_problem(stream, b"POST", reason, ID, **options), 0)
        self.assertEqual((stream.status, stream.phrase, stream.length, stream.body), (200, b"OK", None, b""))
        self.assertEqual((stream.events, stream.ended, stream.reason), (["response"], True, reason))
        return lines_of(stream.lines)

    def test_status_in_the_head(self) -> None:
        """
        Row G12: a call is refused with 200 and a status, in a head that is all of the answer.
        """
        lines = self.send(Reason.UNKNOWN_SERVICE)
        self.assertRegex(lines.pop("Date"), " GMT$")
        self.assertEqual(
            lines,
            {
                "Content-Type": "application/grpc",
                "Proxy-Status": "siger; error=destination_not_found",
                "grpc-status": "12",
                "grpc-message": "No service of this name is known here.",
            },
        )

    def test_every_reason(self) -> None:
        """
        Each reason is told by its own status and, where there is one, its type of error.
        """
        for reason in Reason:
            lines = self.send(reason)
            self.assertEqual(lines["grpc-status"], str(status_of_reason(reason)))
            self.assertEqual("Proxy-Status" in lines, bool(reason.proxy_error))

    def test_own_words(self) -> None:
        """
        The caller's sentence takes the place of the reason's, and its lines are there too.
        """
        lines = self.send(Reason.RATE_LIMITED, detail="5% left.", retry_after=7, extra=b"RateLimit: a\r\n")
        self.assertEqual((lines["grpc-message"], lines["RateLimit"]), ("5%25 left.", "a"))
        self.assertEqual(lines["grpc-retry-pushback-ms"], "7000")

    def test_other_status(self) -> None:
        """
        An exchange that knows more of how a call ended says so.
        """
        stream = FakeStream()
        send_grpc_error(stream, grpc_error(Reason.UPSTREAM_RESET, status=CANCELLED), Reason.UPSTREAM_RESET)
        self.assertEqual(status_in(stream.lines), CANCELLED)
        self.assertTrue(stream.ended)


class PhraseTests(SynchronousTestCase):
    """
    Tests for L{phrase}.
    """

    def test_of_rfc_9110(self) -> None:
        """
        Phrases are those of RFC 9110, not of its forerunners.
        """
        self.assertEqual(
            [phrase(code) for code in (200, 413, 414, 416, 422)],
            [b"OK", b"Content Too Large", b"URI Too Long", b"Range Not Satisfiable", b"Unprocessable Content"],
        )

    def test_every_reason_has_one(self) -> None:
        """
        Whatever the gateway answers by itself has a phrase.
        """
        self.assertEqual([reason for reason in Reason if reason.status not in PHRASES], [])

    def test_unregistered(self) -> None:
        """
        Codes nobody registered have none (RFC 9112 section 4 lets it be empty).
        """
        self.assertEqual(phrase(299), b"")
