"""
Tests for L{siger.grpc.timeouts}.
"""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis.strategies import binary, floats, integers, sampled_from
from twisted.trial.unittest import SynchronousTestCase

from siger.grpc.timeouts import format_timeout, parse_timeout

UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class ParseTests(SynchronousTestCase):
    """
    Tests for L{parse_timeout}.
    """

    @given(integers(0, 99_999_999), sampled_from(sorted(UNITS)))
    def test_units(self, count: int, unit: str) -> None:
        """
        The unit's letter, in its case, says how long one is.
        """
        self.assertEqual(parse_timeout(f"{count}{unit}".encode()), count * UNITS[unit])

    def test_leading_zeros(self) -> None:
        """
        Zeros before the number say nothing, but count for its length.
        """
        self.assertEqual(parse_timeout(b"00000001S"), 1.0)
        self.assertRaises(ValueError, parse_timeout, b"000000001S")

    def test_malformed(self) -> None:
        """
        Row G12: whatever else Python would take for a number is none here.
        """
        for value in (b"", b"S", b"1", b"1s", b"1h", b"+1S", b"-1S", b" 1S", b"1S ", b"1 S", b"1_0S", b"1.5S", b"1e3S"):
            self.assertRaises(ValueError, parse_timeout, value)
        for value in (b"1S\n", b"1SS", b"123456789S", "\u0661S".encode(), b"0x1S", b"\xb2S", b"1S, 2S"):
            self.assertRaises(ValueError, parse_timeout, value)

    @given(binary(max_size=12))
    def test_only_the_grammar(self, value: bytes) -> None:
        """
        A value is read if and only if the grammar allows it.
        """
        try:
            parse_timeout(value)
            read = True
        except ValueError:
            read = False
        self.assertEqual(read, re.fullmatch(rb"[0-9]{1,8}[HMSmun]", value) is not None)


class FormatTests(SynchronousTestCase):
    """
    Tests for L{format_timeout}.
    """

    def test_finest_unit(self) -> None:
        """
        The unit is the finest of which eight digits are enough.
        """
        for seconds, expected in (
            (1e-9, b"1n"),
            (0.05, b"50000000n"),
            (0.5, b"500000u"),
            (99.0, b"99000000u"),
            (100.0, b"100000m"),
            (99_999.0, b"99999000m"),
            (100_000.0, b"100000S"),
            (99_999_999.0, b"99999999S"),
            (100_000_000.0, b"1666666M"),
            (6e9, b"1666666H"),
        ):
            self.assertEqual(format_timeout(seconds), expected)

    def test_never_zero(self) -> None:
        """
        What is left of the time may be next to nothing, or less, but it is said in a way that the grammar has.
        """
        for seconds in (1e-10, 0.0, -3.0):
            self.assertEqual(format_timeout(seconds), b"1n")

    def test_longest(self) -> None:
        """
        There is a longest time, and it stands for all above it.
        """
        for seconds in (99_999_999 * 3600.0, 1e300, float("inf")):
            self.assertEqual(format_timeout(seconds), b"99999999H")

    @given(floats(1e-9, 99_999_999 * 3600.0))
    @example(0.099999999)
    @example(0.0999999995)
    @example(99.9999995)
    @example(99999.9995)
    @example(99999999.5)
    def test_rounded_down(self, seconds: float) -> None:
        """
        What is written can be read, is not more than there is but for the last bit of a float, and not a unit less.
        """
        written = format_timeout(seconds)
        read = parse_timeout(written)
        self.assertLessEqual(read, seconds * (1 + 1e-15))
        self.assertGreater(read + UNITS[chr(written[-1])], seconds)
