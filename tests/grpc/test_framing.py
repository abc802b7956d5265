"""
Tests for L{siger.grpc.framing}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import binary
from twisted.trial.unittest import SynchronousTestCase

from siger.grpc.framing import frame, only_message


class FramingTests(SynchronousTestCase):
    """
    Tests for L{frame} and L{only_message}.
    """

    @given(binary(max_size=2000))
    def test_both_ways(self, message: bytes) -> None:
        """
        What was framed is found again.
        """
        body = frame(message)
        self.assertEqual(body[:5], b"\0" + len(message).to_bytes(4, "big"))
        self.assertEqual(only_message(body), message)

    def test_not_one(self) -> None:
        """
        Nothing, a part of a message, more than one, or one that is compressed: none of them is one message.
        """
        whole = frame(b"message")
        for body in (b"", whole[:4], whole[:-1], whole + b"x", whole + whole, b"\1" + whole[1:], b"\x80" + whole[1:]):
            self.assertRaises(ValueError, only_message, body)
