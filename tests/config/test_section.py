"""
Tests of L{siger.config.section}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.decode import integer, text
from siger.config.document import parse
from siger.config.nodes import SettingError
from siger.config.section import InvalidError, Section, Value, suggestion


class SectionTests(SynchronousTestCase):
    """
    A mapping is put to decoders.
    """

    def section(self, yaml: str) -> Section:
        """
        A section as written, below the key C{s}.
        """
        self.faults: list[SettingError] = []
        node = parse(yaml, "f", self.faults)
        assert node is not None
        return Section(Value(node, "s", self.faults))

    def printed(self) -> list[str]:
        """
        The faults.
        """
        return [str(fault) for fault in self.faults]

    def test_take(self) -> None:
        """
        A key that is there has its value, one that is not its default.
        """
        section = self.section("a: 5")
        self.assertEqual((5, 7), (section.take("a", integer(0, 9), 1), section.take("b", integer(0, 9), 7)))
        self.assertEqual([], self.printed())

    def test_wrong(self) -> None:
        """
        A wrong value is reported at its line, and the default goes on in its place.
        """
        section = self.section("\na:\n  50")
        self.assertEqual(1, section.take("a", integer(0, 9), 1))
        self.assertEqual(["f:3: s.a: expected a whole number from 0 to 9, got 50"], self.printed())

    def test_unknown(self) -> None:
        """
        Keys that were not taken are reported, at the lines of the keys.
        """
        section = self.section("a: 5\nab:\n  1\nqqq: {}")
        section.take("a", integer(0, 9), 1)
        section.take("abc", integer(0, 9), 1)
        section.finish()
        self.assertEqual(["f:2: s.ab: unknown key; did you mean 'abc'?", "f:4: s.qqq: unknown key"], self.printed())

    def test_need(self) -> None:
        """
        Missing keys are reported where the mapping is.
        """
        self.section("a: 5").need("a", "b", "c")
        self.assertEqual(["f:1: s: needs the key 'b'", "f:1: s: needs the key 'c'"], self.printed())

    def test_each(self) -> None:
        """
        Where keys are names, every good one has its meaning and every bad one an error.
        """
        section = self.section("a: x\nb: 1\nc: y")
        self.assertEqual({"a": "ax", "c": "cy"}, section.each(lambda name, value: name + text(value)))
        self.assertEqual(["f:2: s.b: expected a text, got a number; put it in quotes"], self.printed())

    def test_empty(self) -> None:
        """
        A key with nothing under it is an empty section.
        """
        section = self.section("~")
        section.finish()
        self.assertNotIn("a", section)
        self.assertEqual([], self.printed())

    def test_no_mapping(self) -> None:
        """
        Anything else is none, and a text, which may be a secret in the wrong place, is not shown.
        """
        for yaml, got in [("hush", "a text"), ("[a]", "a list"), ("5", "a number"), ("off", "true or false")]:
            with self.assertRaises(InvalidError) as raised:
                self.section(yaml)
            self.assertEqual(f"expected a mapping, got {got}", str(raised.exception))


class SuggestionTests(SynchronousTestCase):
    """
    Misspelt words are recognised.
    """

    def test_suggestion(self) -> None:
        """
        By a letter, by their case, and by dashes.
        """
        known = ["log_level", "port", "data_dir"]
        for word, near in [
            ("log_lvl", "log_level"),
            ("logLevel", "log_level"),
            ("PORT", "port"),
            ("data-dir", "data_dir"),
        ]:
            self.assertEqual(f"; did you mean {near!r}?", suggestion(word, known))
        self.assertEqual("", suggestion("zzz", known))
