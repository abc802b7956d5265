"""
Tests of what the gRPC greeter's messages are.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.demo.grpc_messages import decode_text, encode_text


class MessageTests(SynchronousTestCase):
    """
    Tests of L{encode_text} and L{decode_text}.
    """

    def test_asOthersWriteThem(self) -> None:
        """
        A message is what code generated from C{helloworld.proto} makes of it; an empty text is left out.
        """
        for text, message in (
            ("world", b"\x0a\x05world"),
            ("", b""),
            ("ü", b"\x0a\x02\xc3\xbc"),
            ("x" * 300, b"\x0a\xac\x02" + b"x" * 300),
        ):
            self.assertEqual((encode_text(text), decode_text(message)), (message, text))

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_roundTrip(self, text: str) -> None:
        """
        What was encoded is decoded again.
        """
        self.assertEqual(decode_text(encode_text(text)), text)

    def test_otherMessages(self) -> None:
        """
        A message with anything else in it is refused.
        """
        for message in (b"\x0a\x05worl", b"\x0a\x05worlds", b"\x12\x05world", b"\x0a\x02\xc3", b"x", b"\x0a\x85"):
            self.assertRaises(ValueError, decode_text, message)
