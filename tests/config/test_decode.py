"""
Tests of L{siger.config.decode}.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.decode import boolean, choice, exact, integer, is_off, list_of, number, off_or, size, text
from siger.config.document import parse
from siger.config.nodes import Mapping, Origin, Scalar, SettingError
from siger.config.section import Decoder, InvalidError, ReportedError, Value


def value(yaml: str, faults: list[SettingError] | None = None) -> Value:
    """
    A value as written.
    """
    node = parse(f"k: {yaml}", "f", [])
    assert isinstance(node, Mapping)
    return Value(node.entries["k"].value, "k", [] if faults is None else faults)


class DecoderTests(SynchronousTestCase):
    """
    Each decoder takes some values and refuses the others.
    """

    def takes(self, decoder: Decoder[Any], cases: dict[str, object]) -> None:
        """
        Assert what values mean.
        """
        for yaml, expected in cases.items():
            found = decoder(value(yaml))
            self.assertEqual((expected, type(expected)), (found, type(found)), yaml)

    def refuses(self, decoder: Decoder[Any], cases: dict[str, str]) -> None:
        """
        Assert how values are refused.
        """
        for yaml, message in cases.items():
            with self.assertRaises(InvalidError) as raised:
                decoder(value(yaml))
            self.assertEqual(message, str(raised.exception), yaml)

    def test_text(self) -> None:
        """
        A text is one for YAML too.
        """
        self.takes(text, {"a": "a", "'1'": "1", '"off"': "off", "''": "", "é": "é", "a b": "a b"})
        self.refuses(
            text,
            {
                "1": "expected a text, got a number; put it in quotes",
                "1.5": "expected a text, got a number; put it in quotes",
                "no": "expected a text, got true or false; put it in quotes",
                "2024-01-01": "expected a text, got a date; put it in quotes",
                "": "expected a text, got nothing",
                "[a]": "expected a text, got a list",
                "{a: b}": "expected a text, got a mapping",
                r'"a\nb"': "holds a control character (a line break, perhaps)",
                r'"\x7f"': "holds a control character (a line break, perhaps)",
            },
        )

    def test_boolean(self) -> None:
        """
        YAML's words for true and false, unquoted.
        """
        self.takes(boolean, {"true": True, "Yes": True, "ON": True, "false": False, "no": False, "Off": False})
        wanted = "expected true or false, got"
        self.refuses(boolean, {"'true'": f"{wanted} 'true'", "1": f"{wanted} '1'", "": f"{wanted} nothing"})
        self.refuses(boolean, {"[]": f"{wanted} a list"})

    def test_is_off(self) -> None:
        """
        Off is C{off}, C{"off"} and C{false}, and nothing else is.
        """
        for yaml in ("off", '"off"', "'OFF'", "false", "Off", "no"):
            self.assertTrue(is_off(value(yaml)), yaml)
        for yaml in ("on", "true", "''", "", "0", "offf", "[off]", "{}", "'false'"):
            self.assertFalse(is_off(value(yaml)), yaml)

    def test_off_or(self) -> None:
        """
        What is not off is put to the other decoder.
        """
        self.takes(off_or(integer(1, 9), "none"), {"off": "none", "5": 5})
        self.refuses(off_or(integer(1, 9), "none"), {"on": "expected a whole number from 1 to 9, got 'on'"})

    def test_integer(self) -> None:
        """
        Decimal digits within bounds, and no other spelling of a number.
        """
        self.takes(integer(-5, 10_000), {"0": 0, "-5": -5, "+7": 7, "10000": 10_000, "10_000": 10_000})
        shown = ("10001", "-6")
        self.refuses(integer(-5, 10_000), {n: f"expected a whole number from -5 to 10000, got {n}" for n in shown})
        for yaml in ("010", "0x10", "0b1", "1:30", "1.0", "1e3", "'1'", "x", "on", "9" * 30, "1__0", "2024-01-01"):
            with self.assertRaises(InvalidError):
                integer(-5, 10_000)(value(yaml))
        self.refuses(integer(1, 2), {"": "expected a whole number from 1 to 2, got nothing"})
        self.refuses(integer(1, 2), {"{}": "expected a whole number from 1 to 2, got a mapping"})

    def test_number(self) -> None:
        """
        Decimal numbers within bounds.
        """
        cases = {"1": 1.0, "0.5": 0.5, ".5": 0.5, "2.": 2.0, "1e1": 10.0, "1_0.5": 10.5, "+3": 3.0}
        self.takes(number(0.5, 100), cases)
        self.refuses(number(0.5, 100), {"0": "expected a number from 0.5 to 100, got 0"})
        for yaml in (".inf", "-.inf", ".nan", "1e999", "0x10", "01", "'1'", "30s", "-1", "1e99", "", "true", "[1]"):
            with self.assertRaises(InvalidError):
                number(0.5, 100)(value(yaml))

    def test_exact(self) -> None:
        """
        The same as fractions of whole numbers, so that nothing is rounded.
        """
        cases: dict[str, object] = {
            "0.1": Fraction(1, 10),
            "100": Fraction(100),
            "2.": Fraction(2),
            ".5": Fraction(1, 2),
        }
        cases |= {"1e-1": Fraction(1, 10), "0.333333333333333333": Fraction(333333333333333333, 10**18)}
        self.takes(exact("0.1", "100"), cases)
        wanted = "expected a number from 0.1 to 100, got"
        self.refuses(exact("0.1", "100"), {"0.09": f"{wanted} 0.09", "100.0000001": f"{wanted} 100.0000001"})
        for yaml in (".inf", ".nan", "1/2", "1:30", "0x10", "'1'", "-1", "", "true", "[1]", "1e-99"):
            with self.assertRaises(InvalidError):
                exact("0.1", "100")(value(yaml))

    def test_size(self) -> None:
        """
        Bytes, with or without a unit.
        """
        cases: dict[str, object] = {"0": 0, "65536": 65536, "'64'": 64, "64 MiB": 64 * 2**20, "64MiB": 64 * 2**20}
        cases |= {"1 kb": 1000, "1 KiB": 1024, "1.5 GB": 1_500_000_000, "2 TiB": 2**41, "5 B": 5, "1_024": 1024}
        self.takes(size(0, 2**50), cases)
        wanted = "expected a number of bytes such as 65536 or 64 MiB"
        for yaml in ("x", "-1", "1 M", "1 XiB", "01", "1e3", "1 MiB x", "MiB", "1  MiB", "9" * 30):
            self.refuses(size(0, 2**50), {yaml: f"{wanted}, got {yaml!r}"})
        self.refuses(size(5, 9), {"10": f"{wanted}, from 5 to 9, got '10'", "4": f"{wanted}, from 5 to 9, got '4'"})
        self.refuses(size(5, 9), {"": f"{wanted}, got nothing", "[]": f"{wanted}, got a list"})

    def test_choice(self) -> None:
        """
        One of the words, in whichever quotes; a near one is suggested.
        """
        self.takes(choice("red", "green", "12"), {"red": "red", "'green'": "green", "12": "12"})
        wanted = "expected red, green or 12, got"
        self.refuses(choice("red", "green", "12"), {"gren": f"{wanted} 'gren'; did you mean 'green'?"})
        self.refuses(choice("red", "green", "12"), {"blue": f"{wanted} 'blue'", "": f"{wanted} nothing"})

    def test_list_of(self) -> None:
        """
        Every entry is decoded, and each wrong one reported; nothing is an empty list.
        """
        self.takes(list_of(integer(0, 9)), {"[1, 2]": (1, 2), "[]": (), "": ()})
        self.refuses(list_of(text), {"a": "expected a list, got a text", "{}": "expected a list, got a mapping"})
        self.refuses(list_of(text), {"5": "expected a list, got a number"})
        faults: list[SettingError] = []
        self.assertEqual((1, 3), list_of(integer(0, 9))(value("[1, x, 3, 10]", faults)))
        self.assertEqual(["k[1]", "k[3]"], [fault.path for fault in faults])

    def test_reported(self) -> None:
        """
        What is wrong and reported already is refused without a word.
        """
        broken = Value(Scalar(Origin("f", 1), "", "reported"), "k", [])
        for decoder in (text, boolean, integer(0, 1), number(0, 1), size(0, 1), choice("a", "b"), list_of(text)):
            self.assertRaises(ReportedError, decoder, broken)
        self.assertFalse(is_off(broken))

    @given(st.integers(-(10**17), 10**17))
    def test_any_integer(self, whole: int) -> None:
        """
        Every whole number means itself.
        """
        self.assertEqual(whole, integer(-(10**17), 10**17)(value(str(whole))))

    @given(st.integers(0, 10**6), st.sampled_from(["", "B", "KiB", "MiB", "kB", "MB"]))
    def test_any_size(self, count: int, unit: str) -> None:
        """
        A size with a unit is the count times the size of the unit.
        """
        one = size(0, 2**60)(value(f"1 {unit}".strip()))
        self.assertEqual(count * one, size(0, 2**60)(value(f"{count} {unit}".strip())))

    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
    def test_any_text(self, anything: str) -> None:
        """
        Any text without control characters means itself once it is quoted.
        """
        quoted = Scalar(Origin("f", 1), anything, "quoted")
        self.assertEqual(anything, text(Value(quoted, "k", [])))
