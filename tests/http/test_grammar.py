"""
Tests for L{siger.http.grammar}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.grammar import (
    LIST_SPLIT,
    decimal,
    is_field_line,
    is_token,
    is_value,
    is_version,
    list_members,
    stray_control,
)
from tests.http.generators import properties


class DecimalTests(SynchronousTestCase):
    """
    Tests for L{decimal}.
    """

    def test_digits(self) -> None:
        """
        ASCII digits are a number, with zeros in front or without.
        """
        self.assertEqual([decimal(text) for text in (b"0", b"5", b"005", b"9" * 19)], [0, 5, 5, int("9" * 19)])

    def test_refused(self) -> None:
        """
        What C{int} would take besides digits is no number: A5, A7.
        """
        for text in (
            b"",
            b" ",
            b"+5",
            b"-5",
            b"0x5",
            b"1_0",
            b"5.0",
            b"5 ",
            b" 5",
            b"5\n",
            b"\x0b5",
            b"5\xa0",
            b"5,5",
            "\uff15".encode(),
            b"1" * 20,
            b"1" * 5000,
        ):
            self.assertRaises(ValueError, decimal, text)

    @properties
    @given(st.binary(max_size=24))
    def test_only_digits(self, text: bytes) -> None:
        """
        Whatever is taken for a number is written in digits alone.
        """
        try:
            number = decimal(text)
        except ValueError:
            return
        self.assertEqual(b"%d" % number, text.lstrip(b"0") or b"0")


class PatternTests(SynchronousTestCase):
    """
    Tests for the compiled patterns.
    """

    def test_token(self) -> None:
        """
        A token is made of the 77 characters of RFC 9110 section 5.6.2 and of no others.
        """
        taken = bytes(byte for byte in range(256) if is_token(bytes((byte,))))
        self.assertEqual(taken, bytes(sorted(b"!#$%&'*+-.^_`|~" + bytes(range(48, 58)) + _letters())))
        self.assertIsNone(is_token(b""))
        self.assertIsNone(is_token(b"GET\n"))

    def test_version(self) -> None:
        """
        A version is C{HTTP/}, a digit but zero, a dot and a digit: A25.
        """
        for version in (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.9"):
            self.assertIsNotNone(is_version(version), version)
        for version in (
            b"",
            b"http/1.1",
            b"HTTP/0.9",
            b"HTTP/1.10",
            b"HTTP/01.1",
            b"HTTP/1",
            b"HTTP/1.1\n",
            b"HTCPCP/1.1",
        ):
            self.assertIsNone(is_version(version), version)

    def test_field_line(self) -> None:
        """
        A field line is a token, a colon that touches it, and a value of anything but controls: A18, A19, A20.
        """
        for line in (b"a:", b"a: b", b"A-b_c.d:\tx y\t", b"a:\x80\xff", b"a::"):
            self.assertIsNotNone(is_field_line(line), line)
        for line in (
            b"",
            b"a",
            b":b",
            b"a :b",
            b"a\t:b",
            b" a:b",
            b"\ta:b",
            b"a:b\x00",
            b"a:b\nc",
            b"a:\x7f",
            b"\xe9:b",
        ):
            self.assertIsNone(is_field_line(line), line)

    def test_value(self) -> None:
        """
        A value has no control but HTAB; it may be empty.
        """
        for value in (b"", b" ", b"\ta b\t", b"\xff!"):
            self.assertIsNotNone(is_value(value), value)
        for value in (b"a\r", b"a\nb", b"\0", b"\x7f", b"\x0b"):
            self.assertIsNone(is_value(value), value)


class StrayControlTests(SynchronousTestCase):
    """
    Tests for L{stray_control}.
    """

    def test_controls(self) -> None:
        """
        Every control but HTAB is found, and so is DEL: A18.
        """
        found = [byte for byte in range(256) if stray_control(b"a%bb" % bytes((byte,)))]
        self.assertEqual(found, [*range(9), *range(10, 32), 127])

    def test_line_ends(self) -> None:
        """
        CR LF is no stray control, a bare LF is, and a CR is unless LF follows or may still: A17.
        """
        for data in (b"\r\n", b"a\r\n\r\nb", b"a\r", b"\r"):
            self.assertIsNone(stray_control(data), data)
        for data in (b"\n", b"a\nb", b"\r\n\n", b"\rb", b"\r\r\n", b"a\r\r"):
            self.assertIsNotNone(stray_control(data), data)

    def test_position(self) -> None:
        """
        A search that begins behind a CR still sees that the LF it begins at is not bare.
        """
        self.assertIsNone(stray_control(b"a\r\nb", 2))
        self.assertIsNotNone(stray_control(b"ab\nb", 2))


class ListTests(SynchronousTestCase):
    """
    Tests for list values.
    """

    def test_members(self) -> None:
        """
        Members are in lower case, without whitespace around them and without empty ones: A15.
        """
        self.assertEqual(list_members(b" Keep-Alive ,, \tCLOSE\t,"), [b"keep-alive", b"close"])
        self.assertEqual(list_members(b""), [])
        self.assertEqual(list_members(b" , "), [])

    def test_whitespace(self) -> None:
        """
        Only space and HTAB are whitespace: a vertical tab or a no-break space belongs to its member.
        """
        self.assertEqual(list_members(b"\x0bclose,close\xa0"), [b"\x0bclose", b"close\xa0"])

    def test_split(self) -> None:
        """
        A split keeps empty members, in their places.
        """
        self.assertEqual(LIST_SPLIT(b"a ,, b"), [b"a", b"", b"b"])


def _letters() -> bytes:
    return bytes([*range(65, 91), *range(97, 123)])
