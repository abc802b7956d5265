"""
Tests for L{siger.proxy.response_heads}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.fields import HeadError
from siger.http.response import ResponseParser
from siger.proxy.response_heads import ResponseHeads

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


class ResponseHeadsTests(SynchronousTestCase):
    """
    Tests for L{ResponseHeads}.
    """

    def setUp(self) -> None:
        """
        Begin with nothing read.
        """
        self.heads = ResponseHeads(ResponseParser())

    def test_read(self) -> None:
        """
        A head is read from where bytes begin, and it is known where it ends.
        """
        self.assertIsNone(self.heads.last)
        head = self.heads.read(OK + b"hello")
        assert head is not None
        self.assertEqual((head.status, head.length, self.heads.size), (200, 5, len(OK)))
        self.assertIs(self.heads.last, head)

    def test_unfinished(self) -> None:
        """
        One that is not whole is none yet, wherever it is cut.
        """
        for end in range(len(OK)):
            self.assertIsNone(self.heads.read(OK[:end]))
        self.assertIsNotNone(self.heads.read(OK))

    def test_again(self) -> None:
        """
        The same bytes are the same head; others are another.
        """
        first = self.heads.read(OK + b"hello")
        self.assertIs(self.heads.read(OK + b"world"), first)
        other = self.heads.read(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert other is not None
        self.assertEqual((other.status, self.heads.size), (204, 27))
        self.assertIsNot(self.heads.read(OK), other)

    def test_refused(self) -> None:
        """
        What is no response, or too much of one, is refused; what was read before stays known.
        """
        head = self.heads.read(OK)
        for data in (
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: \0",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 65536,
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 65536 + b"\r\n\r\n",
        ):
            error = self.assertRaises(HeadError, self.heads.read, data)
            self.assertIs(error.reason, Reason.UPSTREAM_MALFORMED)
            self.assertIs(self.heads.last, head)
