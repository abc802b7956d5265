"""
Tests of L{siger.jobs.client.stream}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.errors import TroubleError
from siger.jobs.client.stream import Message, Reader

STREAM = (
    "\ufeffretry: 2500\n\n: hello\nevent: status\ndata: a\n\nid: 7\nevent: log\ndata: é\ndata:b\r\n\r\n"
    "id: 8\r\rdata\n\nnonsense\nid: x\0y\ndata:  two\n\ndata: never ended\n"
).encode()
MESSAGES = [
    Message("status", "a"),
    Message("log", "é\nb", "7"),
    Message("message", "", "8"),
    Message("message", " two", "8"),
]


class ReaderTests(SynchronousTestCase):
    """
    Reading server-sent events.
    """

    def test_stream(self) -> None:
        """
        Events have the lines of data, a name, and the last id that was said; comments, unknown fields, ids with a
        null, and what has not ended are passed over.
        """
        reader = Reader()
        self.assertEqual(reader.feed(STREAM), MESSAGES)
        self.assertEqual((reader.last_id, reader.retry), ("8", 2.5))

    @given(st.lists(st.integers(0, len(STREAM)), max_size=8))
    def test_pieces(self, places: list[int]) -> None:
        """
        It does not matter in which pieces a stream comes, not even in the middle of a character or of a line's end.
        """
        reader = Reader()
        edges = [0, *sorted(places), len(STREAM)]
        found = [m for i in range(len(edges) - 1) for m in reader.feed(STREAM[edges[i] : edges[i + 1]])]
        self.assertEqual(found, MESSAGES)

    def test_last_id(self) -> None:
        """
        An id counts once its event is complete: one that was cut off has to come again.
        """
        reader = Reader("3")
        self.assertEqual(reader.feed(b"id: 4\ndata: x\n"), [])
        self.assertEqual(reader.last_id, "3")
        self.assertEqual(reader.feed(b"\n"), [Message("message", "x", "4")])
        self.assertEqual(reader.last_id, "4")

    def test_endless(self) -> None:
        """
        An event, or a line, without an end is not collected for ever.
        """
        for content in (b"x" * 65536, b"data: " + b"x" * 65536 + b"\n"):
            reader = Reader()
            with self.assertRaises(TroubleError):
                for _ in range(1000):
                    reader.feed(content)
