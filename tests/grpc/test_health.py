"""
Tests for L{siger.grpc.health}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import binary, integers
from twisted.trial.unittest import SynchronousTestCase

from siger.grpc.health import NOT_SERVING, RESULTS, SERVING, Finding, judge, question
from siger.grpc.protobuf import fields, number, piece

OK = b"grpc-status: 0\r\n"
WELL = b"\0\0\0\0\x02\x08\x01"


def framed(message: bytes, flags: bytes = b"\0") -> bytes:
    """
    A message in a body.
    """
    return flags + len(message).to_bytes(4, "big") + message


class QuestionTests(SynchronousTestCase):
    """
    Tests for L{question}.
    """

    def test_server(self) -> None:
        """
        About the server as a whole, the message is empty.
        """
        self.assertEqual(question(""), b"\0\0\0\0\0")

    def test_service(self) -> None:
        """
        A service has its name in the message, which may be a long one.
        """
        for name in ("a", "package.v1.Service", "a." * 200 + "B"):
            body = question(name)
            self.assertEqual((body[:1], int.from_bytes(body[1:5], "big")), (b"\0", len(body) - 5))
            self.assertEqual(fields(body[5:]), [(1, name.encode())])


class JudgeTests(SynchronousTestCase):
    """
    Tests for L{judge}.
    """

    def judge(self, body: bytes, lines: bytes = OK, status: int = 200) -> tuple[str, str]:
        """
        What a response means.
        """
        finding = judge(status, body, lines)
        self.assertIn(finding.result, RESULTS)
        return finding.result, finding.detail

    def test_serving(self) -> None:
        """
        The one good answer.
        """
        self.assertEqual(judge(200, WELL, OK), Finding(SERVING, "SERVING"))
        self.assertEqual(self.judge(WELL, b"a: b\r\ngrpc-message: \r\ngrpc-status: 0\r\n"), ("serving", "SERVING"))

    def test_other_statuses(self) -> None:
        """
        All others say that an instance is not well, those that are not known yet included. An empty message has the
        first of them.
        """
        for status, word in ((2, "NOT_SERVING"), (0, "UNKNOWN"), (3, "SERVICE_UNKNOWN"), (4, "UNKNOWN")):
            self.assertEqual(self.judge(framed(number(1, status))), ("not_serving", word))
        self.assertEqual(self.judge(framed(b"")), ("not_serving", "UNKNOWN"))
        self.assertEqual(self.judge(framed(number(1, (1 << 64) - 1))), ("not_serving", "UNKNOWN"))

    def test_unknown_fields(self) -> None:
        """
        A later version of the message may have more fields; and of several values of one the last counts.
        """
        more = number(2, 7) + piece(3, b"abc") + b"\x25abcd"
        for message in (more + number(1, 1), number(1, 1) + more, number(1, 2) + number(1, 1), b"\x08\x81\x00"):
            self.assertEqual(self.judge(framed(message)), ("serving", "SERVING"))
        self.assertEqual(self.judge(framed(number(1, 1) + number(1, 2))), ("not_serving", "NOT_SERVING"))
        self.assertEqual(self.judge(framed(piece(1, b"\x01"))), ("not_serving", "UNKNOWN"))

    def test_http(self) -> None:
        """
        A response with another HTTP status is none of gRPC's, whatever else it says.
        """
        self.assertEqual(self.judge(WELL, OK, 503), ("failed", "HTTP status 503"))
        self.assertEqual(self.judge(WELL, OK, 204), ("failed", "HTTP status 204"))

    def test_grpc(self) -> None:
        """
        A call that failed says how, and one without a status failed.
        """
        for lines, detail in (
            (b"grpc-status: 12\r\n", "UNIMPLEMENTED"),
            (b"grpc-status: 5\r\n", "NOT_FOUND"),
            (b"grpc-status: 16\r\n", "UNAUTHENTICATED"),
            (b"grpc-status: 17\r\n", "no gRPC status"),
            (b"grpc-status: ok\r\n", "no gRPC status"),
            (b"", "no gRPC status"),
        ):
            self.assertEqual(self.judge(WELL, lines), ("failed", detail))

    def test_malformed(self) -> None:
        """
        What is not exactly one message, uncompressed, is no answer, and neither is what is no message inside.
        """
        for body in (
            b"",
            b"\0\0\0\0",
            WELL[:-1],
            WELL + b"\0",
            WELL + WELL,
            framed(number(1, 1), b"\x01"),
            framed(number(1, 1), b"\x80"),
            framed(b"\x08"),
            b"<html></html>",
        ):
            self.assertEqual(self.judge(body), ("failed", "malformed answer"))

    @given(binary(max_size=40), binary(max_size=40), integers(100, 599))
    def test_junk(self, body: bytes, lines: bytes, status: int) -> None:
        """
        Any response means something, and nothing of it is in the detail.
        """
        result, detail = self.judge(body, lines, status)
        self.assertNotEqual(result, SERVING)
        self.assertRegex(detail, r"\A[A-Za-z_ ]+[0-9]*\Z")

    @given(binary(max_size=20))
    def test_junk_messages(self, message: bytes) -> None:
        """
        The same for any message.
        """
        result, detail = self.judge(framed(message))
        self.assertEqual(result == SERVING, detail == "SERVING")
        self.assertEqual(result == NOT_SERVING, detail not in ("SERVING", "malformed answer"))
