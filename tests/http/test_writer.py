"""
Tests for L{siger.http.writer}; what channels make of it is in L{tests.http.test_channel}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.writer import ResponseWriter
from tests.http.fakes import FakeTransport
from tests.http.generators import properties
from tests.http.messages import read_responses


class ResponseWriterTests(SynchronousTestCase):
    """
    Tests for L{ResponseWriter}.
    """

    def setUp(self) -> None:
        """
        Write on a transport.
        """
        self.transport = FakeTransport()
        self.writer = ResponseWriter(self.transport)

    def test_one_after_another(self) -> None:
        """
        What one response was like says nothing about the next.
        """
        self.writer.begin(11, True)
        self.writer.head(200, b"OK", b"", None, b"dropped", False, False)
        self.writer.last(b"")
        self.writer.begin(11, False)
        self.writer.head(200, b"OK", b"", None, b"abc", False, False)
        self.writer.last(b"X-A: b\r\n")
        self.writer.begin(11, False)
        self.writer.head(204, b"No Content", b"", None, b"", True, False)
        self.writer.begin(11, False)
        self.writer.head(200, b"OK", b"", None, b"def", True, True)
        responses = read_responses(self.transport.written, "HEAD GET GET GET")
        self.assertEqual([response.body for response in responses], [b"", b"abc", b"", b"def"])
        self.assertEqual([response.trailers for response in responses], [b"", b"X-A: b\r\n", b"", b""])
        self.assertEqual(responses[3].fields, {"content-length": "3", "connection": "close"})

    def test_responded(self) -> None:
        """
        Once a head was written, or must not be any more, nothing goes before it.
        """
        self.writer.begin(11, False)
        self.assertFalse(self.writer.responded)
        self.writer.interim(103, b"")
        self.writer.stop()
        self.assertTrue(self.writer.responded)
        self.writer.interim(103, b"")
        self.assertEqual(self.transport.written, b"HTTP/1.1 103 Early Hints\r\n\r\n")

    def test_switch(self) -> None:
        """
        After a 101 bytes go out as they are.
        """
        self.writer.begin(11, False)
        self.writer.switch(b"Upgrade: websocket\r\n")
        self.writer.body(b"\0")
        self.writer.last(b"")
        self.assertEqual(self.transport.written, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\0")

    def test_delimited_by_close(self) -> None:
        """
        Only a response without length to a client of HTTP/1.0 is delimited by the connection's end.
        """
        for version, length, end, delimited in (
            (11, None, False, False),
            (10, 5, False, False),
            (10, None, False, True),
        ):
            writer = ResponseWriter(self.transport)
            writer.begin(version, False)
            writer.head(200, b"OK", b"", length, b"", end, True)
            self.assertEqual(writer.delimited_by_close, delimited)

    @properties
    @given(
        st.lists(st.binary(max_size=40) | st.just(b"x" * 16384), max_size=6),
        st.booleans(),
        st.booleans(),
        st.sampled_from([200, 204, 304, 404]),
        st.booleans(),
    )
    def test_reads_back(self, pieces: list[bytes], head_only: bool, known: bool, status: int, early: bool) -> None:
        """
        Whatever is written is read back by an independent reader, to the byte, and nothing is left over.
        """
        transport = FakeTransport()
        writer = ResponseWriter(transport)
        writer.begin(11, head_only)
        body = b"".join(pieces)
        first = pieces.pop(0) if early and pieces else b""
        writer.head(status, b"OK", b"X-A: b\r\n", len(body) if known else None, first, False, False)
        for piece in pieces:
            writer.body(piece)
        writer.last(b"")
        (response,) = read_responses(transport.written, "HEAD" if head_only else "GET")
        expected = b"" if head_only or status in (204, 304) else body
        self.assertEqual((response.status, response.body, response.complete), (status, expected, True))
