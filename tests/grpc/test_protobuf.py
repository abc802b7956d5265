"""
Tests for L{siger.grpc.protobuf}, most of them against Protocol Buffers' own implementation.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hypothesis import example, given
from hypothesis.strategies import binary, integers, lists, one_of, tuples
from twisted.trial.unittest import SynchronousTestCase

from siger.grpc.protobuf import fields, number, piece

FIELDS = integers(1, (1 << 29) - 1)
MESSAGES = lists(tuples(FIELDS, one_of(integers(0, (1 << 64) - 1), binary(max_size=300))), max_size=6)


def theirs(message: bytes) -> list[tuple[int, Any]]:
    """
    The fields of a message as the original reads it: a message of a type that knows none of them.

    @raise ValueError: it is none.
    """
    empty = import_module("google.protobuf.empty_pb2").Empty()
    try:
        empty.ParseFromString(message)
    except import_module("google.protobuf.message").DecodeError as error:
        raise ValueError(str(error)) from error
    found = import_module("google.protobuf.unknown_fields").UnknownFieldSet(empty)
    sizes = {1: 8, 5: 4}
    return [
        (one.field_number, one.data.to_bytes(sizes[one.wire_type], "little") if one.wire_type in sizes else one.data)
        for one in found
    ]


class FieldsTests(SynchronousTestCase):
    """
    Tests for L{fields}, L{number} and L{piece}.
    """

    @given(MESSAGES)
    def test_there_and_back(self, expected: list[tuple[int, int | bytes]]) -> None:
        """
        What is written can be read, here and by the original.
        """
        message = b"".join(
            number(field, value) if isinstance(value, int) else piece(field, value) for field, value in expected
        )
        self.assertEqual(fields(message), expected)
        self.assertEqual(theirs(message), expected)

    def test_fixed(self) -> None:
        """
        What has a fixed size is its bytes.
        """
        self.assertEqual(fields(b"\x09abcdefgh\x15ijkl\x08\x01"), [(1, b"abcdefgh"), (2, b"ijkl"), (1, 1)])

    @given(binary(max_size=40))
    @example(b"\x08\x80\x00")
    @example(b"\x08" + b"\xff" * 9 + b"\x01")
    def test_junk(self, message: bytes) -> None:
        """
        Any bytes are fields or no message; and what is a message here is the same one for the original.
        """
        try:
            found = fields(message)
        except ValueError:
            return
        self.assertEqual(theirs(message), found)

    def test_malformed(self) -> None:
        """
        What ends in the middle, is too large or of an unknown kind is no message, neither here nor for the original.
        """
        for message in (
            b"\x08",
            b"\x80",
            b"\x08\x80",
            b"\x0a\x02a",
            b"\x0a",
            b"\x09abcdefg",
            b"\x0dabc",
            b"\x0f",
            b"\x0e",
            b"\x0c",
            b"\x08" + b"\xff" * 10,
            b"\x80\x80\x80\x80\x10\x01",
        ):
            self.assertRaises(ValueError, fields, message)
            self.assertRaises(ValueError, theirs, message)

    def test_stricter(self) -> None:
        """
        Groups were given up long ago, so that nobody sends any; no field has the number 0, and no number 65 bits.
        """
        for message in (b"\x0b\x0c", b"\x00\x01", b"\x08" + b"\xff" * 9 + b"\x02"):
            self.assertEqual(len(theirs(message)), 1)
            self.assertRaises(ValueError, fields, message)
