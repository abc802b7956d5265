"""
Tests for L{siger.grpc.serving}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import binary, text
from twisted.trial.unittest import SynchronousTestCase

from siger.grpc.framing import frame
from siger.grpc.health import judge, question
from siger.grpc.protobuf import number, piece
from siger.grpc.serving import NOT_SERVING, SERVICE_UNKNOWN, SERVING, answer, asked


class MessageTests(SynchronousTestCase):
    """
    Tests for L{asked} and L{answer}.
    """

    @given(text())
    def test_question(self, name: str) -> None:
        """
        Who is asked understands who asks.
        """
        self.assertEqual(asked(question(name)), name)

    def test_answer(self) -> None:
        """
        And the other way.
        """
        for status, word in ((SERVING, "serving"), (NOT_SERVING, "not_serving"), (SERVICE_UNKNOWN, "not_serving")):
            self.assertEqual(judge(200, answer(status), b"grpc-status: 0\r\n").result, word)
        self.assertEqual(answer(SERVING), b"\0\0\0\0\2\x08\1")

    def test_other_fields(self) -> None:
        """
        The last name counts, and fields that nobody knows count for nothing.
        """
        for message, name in (
            (piece(1, b"a") + piece(1, b"b"), "b"),
            (number(1, 7) + piece(2, b"x"), ""),
            (piece(1, b"a") + number(1, 7), "a"),
        ):
            self.assertEqual(asked(frame(message)), name)

    def test_no_question(self) -> None:
        """
        Bytes that are no message, or a name that is no text.
        """
        for body in (b"", b"\0\0\0\0\1", frame(b"\x0a\x05a"), frame(piece(1, b"\xff"))):
            self.assertRaises(ValueError, asked, body)

    @given(binary(max_size=100))
    def test_noise(self, noise: bytes) -> None:
        """
        Whatever comes, it is a text or a L{ValueError}.
        """
        for body in (noise, frame(noise)):
            try:
                self.assertIsInstance(asked(body), str)
            except ValueError:
                continue
