"""
Tests of L{siger.jobs.client.screen}.
"""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.screen import Screen, bar, columns_of


class Tty(io.StringIO):
    """
    A stream that says that it is a terminal.
    """

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        """
        It says so.
        """
        return True


class ScreenTests(SynchronousTestCase):
    """
    Lines, and one that is drawn over.
    """

    def setUp(self) -> None:
        """
        Have a terminal.
        """
        self.out = Tty()
        self.columns = 20
        self.screen = Screen(self.out, lambda: self.columns)

    def settled(self) -> str:
        """
        What is written until it can be seen.
        """
        self.screen.settle()
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return text

    def test_lines(self) -> None:
        """
        Without a line to draw over, lines are lines.
        """
        self.screen.line("a\nb\x07\n")
        self.assertEqual(self.settled(), "a\nb\\x07\n")

    def test_drawn(self) -> None:
        """
        The last line is drawn over, and lines come above it.
        """
        self.screen.draw(lambda columns: f"one {columns}")
        self.assertEqual(self.settled(), "\r\x1b[Kone 19")
        self.screen.line("above")
        self.assertEqual(self.settled(), "\r\x1b[Kabove\n\r\x1b[Kone 19")
        self.screen.draw(None)
        self.assertEqual(self.settled(), "\r\x1b[K")
        self.screen.draw(None)
        self.screen.line("below")
        self.assertEqual(self.settled(), "below\n")

    def test_width(self) -> None:
        """
        It never takes more than the terminal's width, whatever that has become, so that it stays one line.
        """
        self.screen.draw(lambda columns: "x" * 50)
        self.assertEqual(self.settled(), "\r\x1b[K" + "x" * 18 + "…")
        self.columns = 8
        self.assertEqual(self.settled(), "\r\x1b[K" + "x" * 6 + "…")

    def test_plain(self) -> None:
        """
        It has nothing that moves the cursor but what is ours.
        """
        self.screen.draw(lambda columns: "a\x1b[2Jb")
        self.assertEqual(self.settled(), "\r\x1b[Kab")

    def test_often(self) -> None:
        """
        What comes at once is drawn once, the last of it; and what stays the same is not drawn again.
        """
        for number in range(100):
            self.screen.line(str(number))
            self.screen.draw(lambda columns, number=number: f"now {number}")  # type: ignore[misc]
        lines = "".join(f"{number}\n" for number in range(100))
        self.assertEqual(self.settled(), f"{lines}\r\x1b[Know 99")
        self.assertEqual(self.settled(), "")

    def test_no_terminal(self) -> None:
        """
        Where lines cannot be drawn over, none is.
        """
        self.screen = Screen(self.out)
        self.screen.draw(lambda columns: "never")
        self.screen.line("line")
        self.assertEqual((self.screen.live, self.settled()), (False, "line\n"))

    def test_encoding(self) -> None:
        """
        What a terminal cannot show is shown in escapes.
        """
        raw = io.BytesIO()
        screen = Screen(io.TextIOWrapper(raw, "ascii", write_through=True))
        screen.line("é")
        self.assertEqual(raw.getvalue(), b"\\xe9\n")


class ColumnsTests(SynchronousTestCase):
    """
    Whether something is a terminal.
    """

    def test_terminal(self) -> None:
        """
        A file is none, nor is one that can only print; of others the width is asked, and guessed if that fails.
        """
        self.assertIsNone(columns_of(io.StringIO(), {"TERM": "xterm"}))
        self.assertIsNone(columns_of(Tty(), {"TERM": "dumb"}))
        self.assertIsNone(columns_of(Tty(), {}))
        columns = columns_of(Tty(), {"TERM": "xterm"})
        assert columns is not None
        self.assertEqual(columns(), 80)


class BarTests(SynchronousTestCase):
    """
    The bar.
    """

    def test_bar(self) -> None:
        """
        So much of it is full, never more than all nor less than nothing.
        """
        for percent, expected in [(0, "░░░░"), (50, "██░░"), (99, "███░"), (100, "████"), (200, "████"), (-5, "░░░░")]:
            self.assertEqual(bar(percent, 4, "utf-8"), expected)

    def test_ascii(self) -> None:
        """
        Where blocks cannot be written, other characters do.
        """
        for encoding in ("ascii", "latin-1", None, "no-such-encoding"):
            self.assertEqual(bar(50, 4, encoding), "##--")
