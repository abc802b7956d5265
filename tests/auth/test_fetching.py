"""
Tests for L{siger.auth.fetching}.
"""

from __future__ import annotations

import gzip
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, ResponseFailed
from twisted.web.iweb import IAgent, IResponse
from zope.interface.verify import verifyObject

from siger.auth.fetching import MAX_CONTENT, FetchError, PlainAgent, fetch, make_agent
from tests.auth.key_server import KeyServer

URL = "https://id.example.com/keys"


class FetchTests(SynchronousTestCase):
    """
    A document is fetched.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = KeyServer(self.clock)
        self.http = HTTPClient(PlainAgent(self.server.agent))

    def fetch(self) -> Deferred[tuple[IResponse, bytes]]:
        """
        Fetch it.
        """
        return Deferred.fromCoroutine(fetch(self.http, URL, self.clock))

    def test_interface(self) -> None:
        """
        The agents are agents.
        """
        verifyObject(IAgent, PlainAgent(self.server.agent))
        verifyObject(IAgent, make_agent(MemoryReactorClock()))

    def test_content(self) -> None:
        """
        The response and its body are there.
        """
        self.server.content = b"abc"
        self.server.fields[b"cache-control"] = b"max-age=5"
        response, content = self.successResultOf(self.fetch())
        self.assertEqual(content, b"abc")
        self.assertEqual(response.headers.getRawHeaders(b"cache-control"), [b"max-age=5"])
        self.assertEqual((self.server.last.method, self.server.last.uri), (b"GET", b"/keys"))
        self.assertIn(b"jwk-set+json", self.server.last.getHeader(b"accept"))

    def test_limit(self) -> None:
        """
        A document may be so long, and no longer.
        """
        self.server.content = b"x" * MAX_CONTENT
        self.assertEqual(len(self.successResultOf(self.fetch())[1]), MAX_CONTENT)
        self.server.content += b"x"
        self.failureResultOf(self.fetch(), FetchError)

    def test_redirect(self) -> None:
        """
        A redirect leads nowhere.
        """
        self.server.fields[b"location"] = b"https://id.example.com/other"
        for code in (301, 302, 303, 307, 308):
            self.server.code = code
            requests = self.server.requests
            self.failureResultOf(self.fetch(), FetchError)
            self.assertEqual(self.server.requests, requests + 1)

    def test_compressed(self) -> None:
        """
        A compressed body, which could be many times as long as what arrives, is neither asked for nor taken.
        """
        self.server.content = gzip.compress(b"x" * 100)
        self.server.fields[b"content-encoding"] = b"gzip"
        self.failureResultOf(self.fetch(), FetchError)
        self.assertEqual(self.server.last.getHeader(b"accept-encoding"), b"identity")
        self.server.fields[b"content-encoding"] = b"Identity"
        self.assertEqual(self.successResultOf(self.fetch())[1], self.server.content)


class ConnectionTests(SynchronousTestCase):
    """
    The connection is closed when there is no more use for it.
    """

    def begin(self) -> tuple[Any, Deferred[Any]]:
        """
        Fetch over a connection in memory, and accept it.
        """
        reactor = MemoryReactorClock()
        http = HTTPClient(PlainAgent(Agent(reactor)))
        result = Deferred.fromCoroutine(fetch(http, "http://127.0.0.1/keys", reactor))
        protocol: Any = reactor.tcpClients[0][2].buildProtocol(None)
        transport: Any = StringTransportWithDisconnection()
        transport.protocol = protocol
        transport.abortConnection = transport.loseConnection
        protocol.makeConnection(transport)
        return transport, result

    def test_too_long(self) -> None:
        """
        In the middle of a body that is too long, the connection is closed.
        """
        transport, result = self.begin()
        transport.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        transport.protocol.dataReceived(b"x" * MAX_CONTENT)
        self.assertNoResult(result)
        self.assertTrue(transport.connected)
        transport.protocol.dataReceived(b"x")
        self.assertFalse(transport.connected)
        self.failureResultOf(result, FetchError)

    def test_status(self) -> None:
        """
        The body of a response with another status is not waited for.
        """
        transport, result = self.begin()
        transport.protocol.dataReceived(b"HTTP/1.1 500 Oh\r\nContent-Length: 9999\r\n\r\nx")
        self.failureResultOf(result, FetchError)
        self.assertFalse(transport.connected)

    def test_no_answer(self) -> None:
        """
        When it takes too long without any answer, the connection is closed.
        """
        transport, result = self.begin()
        result.cancel()
        self.failureResultOf(result)
        self.assertFalse(transport.connected)

    def test_cut(self) -> None:
        """
        A body that ends early is no document.
        """
        transport, result = self.begin()
        transport.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
        transport.loseConnection()
        self.failureResultOf(result, ResponseFailed)

    def test_cancelled(self) -> None:
        """
        When it takes too long in the middle of a body, the connection is closed.
        """
        transport, result = self.begin()
        transport.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
        result.cancel()
        self.failureResultOf(result)
        self.assertFalse(transport.connected)

    def test_close_delimited(self) -> None:
        """
        A body without a length ends with its connection.
        """
        transport, result = self.begin()
        transport.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nabc")
        transport.loseConnection()
        self.assertEqual(self.successResultOf(result)[1], b"abc")
