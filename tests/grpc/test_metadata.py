"""
Tests for L{siger.grpc.metadata}.
"""

from __future__ import annotations

import base64
import re
from importlib import import_module
from typing import Any
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis.strategies import binary, from_regex, integers, lists, sampled_from, text
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.grpc.metadata import encode_message, error_lines, status_in
from siger.grpc.status import status_of_reason

RETRIED = [reason for reason in Reason if reason.status in (429, 503)]


class MessageTests(SynchronousTestCase):
    """
    Tests for L{encode_message}.
    """

    def test_plain(self) -> None:
        """
        Printable ASCII stands for itself.
        """
        self.assertEqual(encode_message("No route: try /a?b=c~."), b"No route: try /a?b=c~.")

    def test_escapes(self) -> None:
        """
        Everything else is escaped byte by byte, and so is the sign of an escape.
        """
        self.assertEqual(encode_message("100% é\r\n\x7f"), b"100%25 %C3%A9%0D%0A%7F")

    def test_edges(self) -> None:
        """
        Spaces at the ends, which a field's value cannot have, are kept.
        """
        self.assertEqual(encode_message("  a b "), b"%20%20a b%20")
        self.assertEqual((encode_message(" "), encode_message("")), (b"%20", b""))

    @given(text())
    def test_there_and_back(self, message: str) -> None:
        """
        Whatever the message, its value is one that a field can have, and it can be had back.
        """
        value = encode_message(message)
        self.assertIsNot(re.fullmatch(rb"(?:[!-~](?:[ -~]*[!-~])?)?", value), None)
        self.assertEqual(unquote_to_bytes(value).decode(), message)

    def test_lone_surrogate(self) -> None:
        """
        What is no character is a question mark.
        """
        self.assertEqual(encode_message("a\ud800"), b"a?")


class StatusTests(SynchronousTestCase):
    """
    Tests for L{status_in}.
    """

    def test_alone(self) -> None:
        """
        The status is found in whatever case its name has, with or without space before and after its value.
        """
        for line, status in (
            (b"grpc-status: 0\r\n", 0),
            (b"grpc-status: 16\r\n", 16),
            (b"Grpc-Status:5\r\n", 5),
            (b"GRPC-STATUS: \t12 \r\n", 12),
            (b"grpc-status: 999999\r\n", 999999),
        ):
            self.assertEqual(status_in(line), status, line)

    def test_among_others(self) -> None:
        """
        It stands anywhere among other fields, whose names and values may hold the same word.
        """
        before = b"x-grpc-status: 1\r\na: grpc-status: 2\r\ngrpc-status-details-bin: CAM\r\n"
        self.assertEqual(status_in(before), -1)
        self.assertEqual(status_in(before + b"grpc-status: 4\r\ngrpc-message: b\r\n"), 4)

    def test_none(self) -> None:
        """
        There may be none, or none that is a number of up to six digits.
        """
        self.assertEqual((status_in(b""), status_in(b"grpc-message: a\r\n")), (-1, -1))
        for value in (
            b"",
            b"OK",
            b"-1",
            b"+1",
            b"1.0",
            b"1_0",
            b"0x1",
            b"1000000",
            b"1 2",
            b"1, 2",
            "\u0661".encode(),
            b"\xb2",
        ):
            self.assertEqual(status_in(b"grpc-status: " + value + b"\r\n"), -1, value)

    @given(
        lists(from_regex(rb"[a-z-]{1,20}: [!-~]{1,20}\r\n", fullmatch=True), max_size=4),
        integers(0, 999999),
        lists(binary(max_size=20).filter(lambda line: b"\r" not in line and b"\n" not in line), max_size=4),
    )
    def test_anywhere(self, before: list[bytes], status: int, after: list[bytes]) -> None:
        """
        Other lines do not change what is found, those behind it least of all.
        """
        before = [line for line in before if not line.startswith(b"grpc-status:")]
        lines = b"".join(before) + b"grpc-status: %d\r\n" % status + b"".join(line + b"\r\n" for line in after)
        self.assertEqual(status_in(lines), status)

    @given(binary(max_size=80))
    def test_junk(self, lines: bytes) -> None:
        """
        Any bytes have an answer within bounds.
        """
        self.assertIn(status_in(lines), range(-1, 1_000_000))


def fields(lines: bytes) -> dict[str, str]:
    """
    Field lines as a mapping; there is none twice.
    """
    assert lines.endswith(b"\r\n")
    pairs = [line.partition(": ")[::2] for line in lines.decode("ascii").removesuffix("\r\n").split("\r\n")]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def unpacked(value: str) -> tuple[Any, Any]:
    """
    C{grpc-status-details-bin} read back with the gRPC project's own message types: a C{Status}, and its C{RetryInfo}.
    """
    status = import_module("google.rpc.status_pb2").Status()
    status.ParseFromString(base64.b64decode(value + "=" * (-len(value) % 4), validate=True))
    info = import_module("google.rpc.error_details_pb2").RetryInfo()
    assert status.details[0].Unpack(info), "another kind of detail"
    return status, info


class ErrorLinesTests(SynchronousTestCase):
    """
    Tests for L{error_lines}.
    """

    def test_plain(self) -> None:
        """
        A call that is not worth trying again gets its status and a message, and nothing else.
        """
        expected = b"grpc-status: 12\r\ngrpc-message: No route matches this path.\r\n"
        self.assertEqual(error_lines(Reason.NO_ROUTE, "No route matches this path.", 1), expected)

    def test_other_status(self) -> None:
        """
        The caller may know better which status it is.
        """
        lines = fields(error_lines(Reason.UPSTREAM_RESET, "a", 1, 8))
        self.assertEqual(lines, {"grpc-status": "8", "grpc-message": "a"})

    def test_pushback(self) -> None:
        """
        With a 429 or 503 the client's library learns when to try again, in milliseconds.
        """
        self.assertEqual(fields(error_lines(Reason.RATE_LIMITED, "a", 3, -1))["grpc-retry-pushback-ms"], "3000")

    @given(sampled_from(RETRIED), text(max_size=300), integers(0, 10**9))
    def test_retry_info(self, reason: Reason, detail: str, seconds: int) -> None:
        """
        The program learns the same from a C{google.rpc.RetryInfo}, beside status and message as they are in the fields.
        """
        lines = fields(error_lines(reason, detail, seconds))
        status, info = unpacked(lines["grpc-status-details-bin"])
        self.assertEqual((status.code, str(status.code)), (status_of_reason(reason), lines["grpc-status"]))
        self.assertEqual((status.message, len(status.details)), (detail, 1))
        self.assertEqual((info.retry_delay.seconds, info.retry_delay.nanos), (seconds, 0))

    @given(sampled_from(Reason), text(max_size=80), integers(0, 3600))
    def test_always_lines(self, reason: Reason, detail: str, seconds: int) -> None:
        """
        Whatever a detail holds, the lines are whole and the status is found in them.
        """
        lines = error_lines(reason, detail, seconds)
        self.assertIsNot(re.fullmatch(rb"(?:[a-z-]+: [!-~]?[ -~]*\r\n)+", lines), None)
        self.assertEqual(status_in(lines), status_of_reason(reason))
