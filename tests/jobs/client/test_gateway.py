"""
Tests of L{siger.jobs.client.gateway} and L{siger.jobs.client.errors}.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.credentials import GivenToken
from siger.jobs.client.errors import LostError, RefusedError, TroubleError, UnreachableError
from siger.jobs.client.gateway import PATIENCE, Gateway, job_path
from tests.jobs.client.wire import FakeClock, Play, answer, gateway_of, problem
from tests.jobs.making import JOB_ID


def refused() -> OSError:
    """
    Nobody listens.
    """
    return ConnectionRefusedError(111, "Connection refused")


class AskingTests(SynchronousTestCase):
    """
    Asking.
    """

    def test_request(self) -> None:
        """
        A request has the token, what it accepts, its parameters and its document.
        """
        play = Play(answer({"ok": True}))
        found = gateway_of(play).ask("POST", "/x", {"a": ["1", "b c"], "d": 2}, {"é": 1}, {"Idempotency-Key": "k"})
        self.assertEqual((found.status, found.document), (200, {"ok": True}))
        first, *fields = play.lines(0)
        self.assertEqual(first, "POST /x?a=1&a=b+c&d=2 HTTP/1.1")
        for field in (
            *("Authorization: Bearer abc", "Accept: application/json", "Content-Type: application/json"),
            *("Idempotency-Key: k", "Connection: close", "Host: gateway.test"),
        ):
            self.assertIn(field, fields)
        self.assertEqual(play.body(0), {"é": 1})

    def test_no_token(self) -> None:
        """
        Where there is no token none is sent, and one that would break a head is not either.
        """
        play = Play(answer({}))
        gateway_of(play).ask_once("GET", "/x", token="")
        self.assertNotIn("Authorization", "".join(play.lines(0)))
        for token in ("a\r\nb", "a b", "é"):
            with self.assertRaises(TroubleError):
                gateway_of(Play(), GivenToken(token)).ask("GET", "/x")

    def test_not_json(self) -> None:
        """
        A good answer that is no object is from somebody else.
        """
        for content in (b"<html>", b"[1]", b"[" * 100_000, b"\xff"):
            with self.assertRaisesRegex(TroubleError, "not what a gateway"):
                _ = gateway_of(Play(answer(content))).ask("GET", "/x").document

    def test_job_path(self) -> None:
        """
        What cannot be the id of a job is not asked for.
        """
        self.assertEqual(job_path(JOB_ID, "/events"), f"/api/v1/jobs/{JOB_ID}/events")
        for text in ("", "a/b", "..", "a?b", "a\x1b[2J"):
            with self.assertRaisesRegex(TroubleError, r"^'[^\x1b]*' is no id of a job$"):
                job_path(text)


class RefusalTests(SynchronousTestCase):
    """
    Answers that are no good become one line.
    """

    def refusal(self, connection: list[Any]) -> RefusedError:
        """
        What is raised.
        """
        with self.assertRaises(RefusedError) as caught:
            gateway_of(Play(connection)).ask_once("GET", "/x")
        return caught.exception

    def test_faults(self) -> None:
        """
        Faults are told with their places.
        """
        errors = [
            {"pointer": "#/gpu_count", "detail": "must be a whole number from 0 to 64"},
            {"pointer": "#", "detail": "The body is odd."},
            {"parameter": "limit", "detail": "is wrong"},
            "nonsense",
        ]
        error = self.refusal(problem(422, "invalid_job", errors=errors, detail="See errors."))
        text = "Invalid job: /gpu_count must be a whole number from 0 to 64; The body is odd.; limit is wrong"
        self.assertEqual((str(error), error.status, error.reason), (text, 422, "invalid_job"))

    def test_detail(self) -> None:
        """
        Without faults the detail is told, without that the title; in one line and nothing that moves a cursor.
        """
        self.assertEqual(
            str(self.refusal(problem(404, "unknown_job", detail="No\nsuch\x1b[2J job."))), "Unknown job: No\\nsuch job."
        )
        self.assertEqual(str(self.refusal(problem(404, "unknown_job"))), "Unknown job")

    def test_others(self) -> None:
        """
        An answer that is no problem document is not from a gateway of jobs, and said to be so.
        """
        html = {"Content-Type": "text/html"}
        text = "http://gateway.test answers with status 403, as no gateway of jobs does"
        self.assertEqual(str(self.refusal(answer(b"<h1>No", 403, html))), text)
        self.assertEqual(str(self.refusal(answer(b"oops", 403, {"Content-Type": "application/problem+json"}))), text)
        moved = self.refusal(answer(b"", 308, {"Location": "https://gateway.test/x"}))
        self.assertIn("leads on to https://gateway.test/x; give the gateway's own address as --url", str(moved))

    def test_anonymous(self) -> None:
        """
        It is known when another token would help.
        """
        self.assertTrue(self.refusal(problem(401, "invalid_token")).anonymous)
        self.assertFalse(self.refusal(problem(403, "forbidden")).anonymous)


class AgainTests(SynchronousTestCase):
    """
    Asking again.
    """

    def test_passing(self) -> None:
        """
        What passes is tried again, with the same request, not before C{Retry-After}; that is told once.
        """
        notices: list[str] = []
        play = Play(
            problem(503, "store_unavailable", {"Retry-After": "3"}, detail="Away."),
            answer(b"", 502, {"Content-Type": "text/html"}),
            [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"],
            [b""],
            [ConnectionResetError(104, "Connection reset by peer")],
            answer({"ok": True}),
        )
        play_gateway = gateway_of(play, notices=notices)
        found = play_gateway.ask("POST", "/x", document={"a": 1}, fields={"Idempotency-Key": "k"})
        self.assertEqual(found.document, {"ok": True})
        self.assertTrue(play.finished)
        self.assertEqual(len({bytes(request) for request in play.requests if request}), 1)
        clock = play_gateway.clock
        assert isinstance(clock, FakeClock)
        self.assertEqual(clock.slept[0], 3.0)
        self.assertEqual(notices, ["Store unavailable: Away.; trying again"])

    def test_for_good(self) -> None:
        """
        What does not pass is not tried again.
        """
        for connection in (
            problem(422, "invalid_job"),
            problem(429, "quota_exceeded", {"Retry-After": "1"}),
            problem(500, "internal_error"),
            problem(503, "queue_full"),
            answer(b"", 404, {"Content-Type": "text/html"}),
        ):
            with self.assertRaises(RefusedError):
                gateway_of(Play(connection)).ask("POST", "/x")

    def test_patience(self) -> None:
        """
        It is given up after some time, and at once when the gateway asks for more time than that.
        """
        play = Play(*[problem(503, "draining")] * 100)
        gateway = gateway_of(play)
        with self.assertRaises(RefusedError):
            gateway.ask("GET", "/x")
        self.assertTrue(4 < len(play.requests) < 12 and 5 < gateway.clock.monotonic() <= PATIENCE)
        with self.assertRaises(RefusedError):
            gateway_of(Play(problem(429, "rate_limited", {"Retry-After": "600"}))).ask("GET", "/x")

    def test_unreachable(self) -> None:
        """
        Where nobody listens nobody is waited for long.
        """
        play = Play(*[[refused()]] * 100)
        gateway = gateway_of(play)
        with self.assertRaisesRegex(UnreachableError, "^http://gateway.test cannot be reached: Connection refused$"):
            gateway.ask("GET", "/x")
        self.assertTrue(2 <= len(play.requests) < 6 and gateway.clock.monotonic() <= 2)

    def test_told(self) -> None:
        """
        Errors of libraries are told in a few words; a name that is not known, and a certificate that is not trusted.
        """
        untrusted = ssl.SSLCertVerificationError(1, "certificate verify failed")
        untrusted.verify_message = "self-signed certificate"
        cases: list[tuple[Callable[[], Exception], type[TroubleError], str]] = [
            (
                lambda: socket.gaierror(-2, "Name or service not known"),
                UnreachableError,
                "reached: Name or service not known",
            ),
            (lambda: TimeoutError("timed out"), UnreachableError, "reached: nothing came in time"),
            (lambda: untrusted, TroubleError, "cannot be trusted, or does not speak TLS: self-signed certificate"),
        ]
        for make, kind, text in cases:
            with self.assertRaisesRegex(kind, text):
                gateway_of(Play([make()])).ask_once("GET", "/x")
        with self.assertRaisesRegex(LostError, "was lost: nothing came in time"):
            gateway_of(Play([b"HTTP/1.1 200 OK\r\n", TimeoutError("timed out")])).ask_once("GET", "/x")

    def test_default(self) -> None:
        """
        Without anything else said, connections are real and lead to the address.
        """
        from siger.jobs.client.address import Address

        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            gateway = Gateway(Address.parse(f"127.0.0.1:{nobody.getsockname()[1]}"), GivenToken("x"), clock=FakeClock())
            with self.assertRaises(UnreachableError):
                gateway.ask("GET", "/x")
