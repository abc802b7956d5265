"""
Tests of L{siger.demo.echo}.
"""

from __future__ import annotations

import json

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from siger.demo.echo import TICKS, demo_site


class DemoTests(SynchronousTestCase):
    """
    Tests of what a demo backend answers, byte for byte, without a socket.
    """

    def setUp(self) -> None:
        """
        Connect a client to a backend called C{echo-1}.
        """
        self.clock = Clock()
        self.transport = StringTransport()
        self.channel = demo_site("echo-1", self.clock).buildProtocol(None)
        assert self.channel is not None
        self.channel.makeConnection(self.transport)
        self.addCleanup(self.clock.advance, 120)

    def ask(self, head: bytes, body: bytes = b"") -> bytes:
        """
        Send a request, and return what came back at once.
        """
        self.channel.dataReceived(head + b"\r\nHost: demo\r\nConnection: close\r\n\r\n" + body)
        return self.transport.value()

    def answer(self) -> dict[str, object]:
        """
        Decode the JSON body that came back.
        """
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        self.assertIn(b"200 OK", head)
        self.assertIn(b"application/json", head.lower())
        return json.loads(body)

    def test_describesRequest(self) -> None:
        """
        Any path is answered with the request's method, path, query, fields and body size, and the backend's name.
        """
        self.ask(b"POST /a/b%20c?x=1&y=%2F HTTP/1.1\r\nContent-Length: 5\r\nX-Two: one\r\nX-Two: two", b"hello")
        seen = self.answer()
        self.assertEqual(
            (seen["instance"], seen["method"], seen["path"], seen["query"], seen["body_bytes"]),
            ("echo-1", "POST", "/a/b%20c", "x=1&y=%2F", 5),
        )
        headers = seen["headers"]
        assert isinstance(headers, dict)
        self.assertEqual(headers["X-Two"], "one, two")
        self.assertEqual(headers["Host"], "demo")

    def test_root(self) -> None:
        """
        The root path is echoed like any other.
        """
        self.ask(b"GET / HTTP/1.1")
        self.assertEqual(self.answer()["path"], "/")

    def test_headHasNoBody(self) -> None:
        """
        A HEAD request gets the length of the description and not the description.
        """
        head, _, body = self.ask(b"HEAD /hello HTTP/1.1").partition(b"\r\n\r\n")
        self.assertEqual(body, b"")
        self.assertRegex(head.lower(), rb"content-length: [1-9]")

    def test_slow(self) -> None:
        """
        C{/slow} answers after the seconds that were asked for.
        """
        self.assertEqual(self.ask(b"GET /slow?seconds=3 HTTP/1.1"), b"")
        self.clock.advance(2.9)
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0.2)
        self.assertEqual(self.answer()["query"], "seconds=3")

    def test_slowWithoutSeconds(self) -> None:
        """
        C{/slow} waits two seconds when it cannot read how many were meant.
        """
        self.ask(b"GET /slow?seconds=nan HTTP/1.1")
        self.clock.advance(1.9)
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0.2)
        self.assertEqual(self.answer()["path"], "/slow")

    def test_slowCallerLeaves(self) -> None:
        """
        A caller who leaves takes the pending answer along.
        """
        self.ask(b"GET /slow?seconds=30 HTTP/1.1")
        self.transport.loseConnection()
        self.channel.connectionLost(_gone())
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() == 30], [])

    def test_stream(self) -> None:
        """
        C{/stream} sends its lines one by one, as chunks, and ends the body cleanly.
        """
        self.assertIn(b"echo-1 1/10", self.ask(b"GET /stream HTTP/1.1"))
        self.assertNotIn(b"echo-1 2/10", self.transport.value())
        self.clock.pump([0.1] * TICKS)
        value = self.transport.value()
        self.assertEqual(value.count(b"echo-1 "), TICKS)
        self.assertIn(b"chunked", value.lower())
        self.assertTrue(value.endswith(b"0\r\n\r\n"))

    def test_streamCallerLeaves(self) -> None:
        """
        A stream stops when its caller leaves.
        """
        self.ask(b"GET /stream HTTP/1.1")
        self.channel.connectionLost(_gone())
        sent = self.transport.value()
        self.clock.pump([0.1] * TICKS)
        self.assertEqual(self.transport.value(), sent)


def _gone() -> Failure:
    return Failure(ConnectionDone())
