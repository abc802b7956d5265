"""
Tests for L{siger.http.wrapper}; what others make of it is in L{tests.http.test_grpc_web} and L{tests.http.test_bridge}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.wrapper import StreamWrapper
from tests.http.fakes import FakeStream

if TYPE_CHECKING:
    from siger.http.stream import Stream


class StreamWrapperTests(SynchronousTestCase):
    """
    Tests for L{StreamWrapper}.
    """

    def setUp(self) -> None:
        self.inner = FakeStream(b"192.0.2.9", True)
        self.inner.version = 20
        self.outer: Stream = StreamWrapper(self.inner)

    def test_facts(self) -> None:
        """
        What a stream knows of its client, the one around it knows too.
        """
        self.assertEqual((self.outer.peer, self.outer.secure, self.outer.version), (b"192.0.2.9", True, 20))

    def test_settings(self) -> None:
        """
        What is set on either is set on both.
        """
        outer, inner = self.outer, self.inner
        outer.reason, outer.request_id, outer.added, outer.grpc = Reason.NO_ROUTE, b"id", b"A: b\r\n", True
        self.assertEqual(
            (inner.reason, inner.request_id, inner.added, inner.grpc), (Reason.NO_ROUTE, b"id", b"A: b\r\n", True)
        )
        inner.reason, inner.request_id, inner.added, inner.grpc = Reason.LOOP_DETECTED, b"other", b"", False
        self.assertEqual(
            (outer.reason, outer.request_id, outer.added, outer.grpc), (Reason.LOOP_DETECTED, b"other", b"", False)
        )

    def test_response(self) -> None:
        """
        A response passes as it is.
        """
        self.outer.send_interim(103, b"Link: </a>\r\n")
        self.outer.send_response(200, b"OK", b"A: b\r\n", 4, b"ab", False)
        self.outer.send_body(b"cd")
        self.outer.end_response(b"C: d\r\n")
        inner = self.inner
        self.assertEqual(inner.interim, [(103, b"Link: </a>\r\n")])
        self.assertEqual((inner.status, inner.phrase, inner.lines, inner.length), (200, b"OK", b"A: b\r\n", 4))
        self.assertEqual((inner.body, inner.trailers, inner.ended), (b"abcd", b"C: d\r\n", True))
        self.assertEqual(inner.events, ["interim", "response", "body", "end"])

    def test_whole_response(self) -> None:
        """
        So does one that is all in its head's call.
        """
        self.outer.send_response(204, b"No Content", b"", None, b"", True)
        self.assertEqual((self.inner.status, self.inner.ended, self.inner.events), (204, True, ["response"]))

    def test_flow(self) -> None:
        """
        So does all that concerns the request's body, and an end that is none.
        """
        self.outer.pause_body()
        self.outer.resume_body()
        self.outer.let_body_rest()
        self.outer.abort_response()
        self.assertEqual(self.inner.events, ["pause_body", "resume_body", "abort"])
        self.assertTrue(self.inner.body_rests)
