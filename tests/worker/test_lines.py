"""
Tests of L{siger.worker.lines}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import binary, lists
from twisted.trial.unittest import SynchronousTestCase

from siger.worker.lines import LONGEST, Lines


class LinesTests(SynchronousTestCase):
    """
    Lines out of pieces.
    """

    @given(lists(binary(max_size=8).map(lambda data: data.replace(b"\r", b"\n"))))
    def test_pieces(self, pieces: list[bytes]) -> None:
        """
        However it arrives, the lines are the same.
        """
        lines = Lines()
        found = [line for piece in pieces for line in lines.feed(piece)] + lines.end()
        whole = b"".join(pieces).split(b"\n")
        self.assertEqual(found, [line.decode("utf-8", "replace") for line in (whole if whole[-1] else whole[:-1])])

    def test_endless(self) -> None:
        """
        A line that does not end costs no more than so much memory, and the next one is read all the same.
        """
        lines = Lines()
        for _ in range(40):
            self.assertEqual(lines.feed(b"x" * 65536), [])
        self.assertLessEqual(len(lines._rest), LONGEST)
        self.assertEqual(lines.feed(b"\nnext\r\n"), ["x" * LONGEST, "next"])
