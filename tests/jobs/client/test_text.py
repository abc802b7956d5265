"""
Tests of L{siger.jobs.client.text}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.text import cut, pad, plain, width


class TextTests(SynchronousTestCase):
    """
    Text of others at a terminal.
    """

    def test_plain(self) -> None:
        """
        Colours go, and what would move a cursor or ring a bell is written as an escape; all else stays.
        """
        for text, expected in [
            ("epoch 1\tloss é 漢", "epoch 1\tloss é 漢"),
            ("\x1b[31;1mred\x1b[0m", "red"),
            ("a\x1b]0;title\x07b", "a\\x1b]0;title\\x07b"),
            ("a\rb\nc\x9b2J", "a\\rb\\nc\\x9b2J"),
            ("\u202egnp.exe", "\\u202egnp.exe"),
        ]:
            self.assertEqual(plain(text), expected)

    def test_width(self) -> None:
        """
        Some characters take two columns, and some none.
        """
        self.assertEqual([width(text) for text in ("", "abc", "漢字", "e\u0301")], [0, 3, 4, 1])

    def test_cut(self) -> None:
        """
        What is too wide is cut at a character, with a mark, and is never wider than allowed.
        """
        for text, columns, expected in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("漢字漢", 5, "漢字…"),
            ("漢字漢", 4, "漢…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ]:
            self.assertEqual(cut(text, columns), expected)

    def test_pad(self) -> None:
        """
        Blanks fill a column, whatever its characters.
        """
        self.assertEqual([pad("漢", 4), pad("abcde", 4)], ["漢  ", "abcde"])
