"""
Tests of L{siger.worker.protocol}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.worker.protocol import Progress, Result, read_line


class ReadLineTests(SynchronousTestCase):
    """
    What lines mean.
    """

    def test_progress(self) -> None:
        """
        A number up to a hundred, and any message.
        """
        for line, expected in (
            ("::progress 42 some message", Progress(42, "some message")),
            ("::progress 0", Progress(0)),
            ("::progress  99.7%   x", Progress(99, "x")),
            ("::progress 100 %", Progress(100)),
        ):
            self.assertEqual(read_line(line), expected)

    def test_result(self) -> None:
        """
        Any JSON.
        """
        self.assertEqual(read_line('::result {"a": [1]}'), Result({"a": [1]}))
        self.assertEqual(read_line("::result null"), Result(None))

    def test_others(self) -> None:
        """
        Everything else is a line, also what only looks like more.
        """
        for line in (
            "",
            "progress 4",
            "::progress",
            "::progress x",
            "::progress 101",
            "::progress -1",
            "::result {",
            "::result",
            " ::progress 4",
            "::other 1",
            "::progress ٤",
            "::result " + "[" * 100_000,
        ):
            self.assertEqual(read_line(line), line)
