"""
Tests for L{siger.proxy.resource}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from siger.errors import Reason
from siger.http.problem import send_problem
from siger.http.request import RequestHead
from siger.http.stream import Exchange, Stream
from siger.proxy.resource import ProxyResource

ID = b"0123456789abcdef"


class FakeExchange:
    """
    Remembers what it is told.
    """

    def __init__(self) -> None:
        self.told: list[object] = []

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        Some body came.
        """
        self.told.append(data)

    def body_finished(self, trailers: bytes) -> None:
        """
        The body ended.
        """
        self.told.append("finished")

    def body_failed(self, reason: Reason) -> None:
        """
        The body failed.
        """
        self.told.append(reason)

    def client_gone(self) -> None:
        """
        The client left.
        """
        self.told.append("gone")

    def pause_response(self) -> None:
        """
        The client is slow.
        """
        self.told.append("pause")

    def resume_response(self) -> None:
        """
        The client caught up.
        """
        self.told.append("resume")


class FakeFrontDoor:
    """
    Answers by a script, or leaves that to the test.
    """

    def __init__(self, script: Callable[[RequestHead, Stream], Exchange | None] | None = None) -> None:
        self.heads: list[RequestHead] = []
        self.streams: list[Stream] = []
        self.exchange = FakeExchange()
        self._script = script

    def __call__(self, head: RequestHead, stream: Stream) -> Exchange | None:
        """
        Begin to answer.
        """
        self.heads.append(head)
        self.streams.append(stream)
        return self.exchange if self._script is None else self._script(head, stream)

    def refuse(self, stream: Stream, reason: Reason, detail: str) -> None:
        """
        Answer a request whose head could not be read.
        """
        send_problem(stream, b"GET", reason, ID, detail)


class ProxyResourceTests(SynchronousTestCase):
    """
    Tests for L{ProxyResource} in a stock site, below C{/up}.
    """

    def connect(self, front_door: FakeFrontDoor) -> tuple[Any, StringTransport]:
        """
        A connection to such a site.
        """
        root = Resource()  # type: ignore[no-untyped-call]
        root.putChild(b"up", ProxyResource(front_door))  # type: ignore[arg-type, no-untyped-call]
        site = Site(root, reactor=Clock())  # type: ignore[no-untyped-call]
        channel: Any = site.buildProtocol(None)  # type: ignore[no-untyped-call, arg-type]
        transport = StringTransport()
        channel.makeConnection(transport)
        return channel, transport

    def ask(self, front_door: FakeFrontDoor, request: bytes) -> bytes:
        """
        Send a request; what the site has written then.
        """
        channel, transport = self.connect(front_door)
        channel.dataReceived(request)
        return transport.value()

    def test_interface(self) -> None:
        """
        It is a resource, and a leaf.
        """
        resource = ProxyResource(FakeFrontDoor())
        verifyObject(IResource, resource)
        self.assertTrue(resource.isLeaf)
        self.assertRaises(ValueError, resource.putChild, b"x", resource)

    def test_head(self) -> None:
        """
        The front door gets a head of the usual kind: the path below the services, normalised, the query untouched.
        """
        front_door = FakeFrontDoor()
        self.ask(front_door, b"GET /up/echo/a/./b%7e?x=%2F&y HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n\r\n")
        (head,) = front_door.heads
        self.assertEqual((head.method, head.path, head.query), (b"GET", b"/services/echo/a/b~", b"?x=%2F&y"))
        self.assertEqual((head.host, head.fields.get(b"x-a")), (b"a.test", b"b"))
        self.assertIn("finished", front_door.exchange.told)

    def test_strict(self) -> None:
        """
        What the site lets through and the gateway does not is refused: A28, E1.
        """
        for request in (
            b"GET /up/echo/%2e%2e%5cx HTTP/1.1\r\nHost: a.test\r\n\r\n",
            b"GET /up/echo/ HTTP/1.1\r\nHost: a.test/b\r\n\r\n",
            b"GET /up/echo/ HTTP/1.1\r\n\r\n",
        ):
            front_door = FakeFrontDoor()
            answer = self.ask(front_door, request)
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
            self.assertEqual(front_door.heads, [])

    def test_body(self) -> None:
        """
        A body is passed on with its length, and no faster than it is wanted.
        """
        front_door = FakeFrontDoor()
        channel, _ = self.connect(front_door)
        body = bytes(200_000)
        channel.dataReceived(b"POST /up/echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 200000\r\n\r\n" + body)
        told = front_door.exchange.told
        self.assertEqual(front_door.heads[0].fields.content_length, 200_000)
        self.assertEqual(b"".join(piece for piece in told if isinstance(piece, bytes)), body)
        self.assertEqual((told[-1], told.count("finished")), ("finished", 1))

    def test_paused_body(self) -> None:
        """
        A paused body waits until it is wanted again.
        """

        def pause(head: RequestHead, stream: Stream) -> Exchange:
            stream.pause_body()
            return front_door.exchange

        front_door = FakeFrontDoor(pause)
        self.ask(front_door, b"POST /up/echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello")
        self.assertEqual(front_door.exchange.told, [])
        front_door.streams[0].resume_body()
        self.assertEqual(front_door.exchange.told, [b"hello", "finished"])

    def test_whole_response(self) -> None:
        """
        A response that is sent in one call has the fields it was sent with, and a length.
        """

        def answer(head: RequestHead, stream: Stream) -> None:
            stream.send_response(200, b"Fine", b"X-A: 1\r\nX-A: 2\r\n", None, b"hello", True)

        got = self.ask(FakeFrontDoor(answer), b"GET /up/echo HTTP/1.1\r\nHost: a.test\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 200 Fine\r\n"), got)
        self.assertTrue(got.endswith(b"\r\n\r\nhello"), got)
        for line in (b"X-A: 1\r\n", b"X-A: 2\r\n", b"Content-Length: 5\r\n"):
            self.assertIn(line, got)

    def test_streamed_response(self) -> None:
        """
        A response without a length is passed on piece by piece, in chunks.
        """
        front_door = FakeFrontDoor()
        channel, transport = self.connect(front_door)
        channel.dataReceived(b"GET /up/echo HTTP/1.1\r\nHost: a.test\r\n\r\n")
        stream = front_door.streams[0]
        stream.send_response(200, b"OK", b"", None, b"one", False)
        self.assertTrue(transport.value().endswith(b"3\r\none\r\n"))
        stream.send_body(b"more")
        self.assertTrue(transport.value().endswith(b"4\r\nmore\r\n"))
        stream.end_response(b"")
        self.assertTrue(transport.value().endswith(b"0\r\n\r\n"))
        stream.send_body(b"late")
        self.assertFalse(transport.value().endswith(b"late\r\n"))

    def test_backpressure(self) -> None:
        """
        A slow client pauses the exchange.
        """
        front_door = FakeFrontDoor()
        channel, transport = self.connect(front_door)
        channel.dataReceived(b"GET /up/echo HTTP/1.1\r\nHost: a.test\r\n\r\n")
        producer: Any = transport.producer
        producer.pauseProducing()
        producer.resumeProducing()
        self.assertEqual(front_door.exchange.told[-2:], ["pause", "resume"])

    def test_abort(self) -> None:
        """
        A response that fails midway ends with the connection, not with a last chunk.
        """
        front_door = FakeFrontDoor()
        channel, transport = self.connect(front_door)
        channel.dataReceived(b"GET /up/echo HTTP/1.1\r\nHost: a.test\r\n\r\n")
        stream = front_door.streams[0]
        stream.send_response(200, b"OK", b"", None, b"one", False)
        stream.abort_response()
        self.assertTrue(transport.disconnected)
        self.assertNotIn(b"0\r\n\r\n", transport.value())

    def test_client_gone(self) -> None:
        """
        An exchange hears that its client left.
        """
        front_door = FakeFrontDoor()
        channel, _ = self.connect(front_door)
        channel.dataReceived(b"GET /up/echo HTTP/1.1\r\nHost: a.test\r\n\r\n")
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(front_door.exchange.told[-1], "gone")
