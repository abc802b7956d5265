"""
Tests of L{siger.tls.front}.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from ssl import SSLError
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.limits import Limits
from siger.config.settings.tls import TLSSettings
from siger.http.context import ChannelContext
from siger.http.deadlines import Deadlines
from siger.http.server import ServerFactory
from siger.tls.front import HANDSHAKE_SECONDS, SecureFactory
from siger.tls.hello import NO_APPLICATION_PROTOCOL
from siger.tls.store import CertificateStore
from tests.http.client import get
from tests.http.fakes import FakeApplication, FakeExchange
from tests.http.test_proxy_protocol import line
from tests.tls.peers import AUTHORITY, Peer, client_context, hello


def answer(exchange: FakeExchange) -> None:
    """
    Answer at once.
    """
    exchange.stream.send_response(200, b"OK", b"", 2, b"ok", True)


class FrontCase(SynchronousTestCase):
    """
    Tests with a factory.
    """

    def make(self, proxied: str = "", **limits: Any) -> None:
        """
        Make one with these limits, behind a load balancer if so wanted.
        """
        self.application = FakeApplication(answer)
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.context = ChannelContext(self.application, Limits(**limits), self.deadlines)
        self.inner = ServerFactory(self.context, [ip_network(proxied)] if proxied else [])
        directory = Path(self.mktemp())
        files = tuple(AUTHORITY.issue(name).write(directory, name) for name in ("a.example", "b.example"))
        store = CertificateStore(TLSSettings(certificates=files), ("http/1.1",))
        self.factory = SecureFactory(self.inner, store, ("http/1.1",), self.clock)

    def accept(self, *protocols: str, name: str = "a.example", host: str = "192.0.2.7") -> Peer | None:
        """
        Let a client connect, which has not said anything yet.

        @return: the client, or C{None} when it is refused.
        """
        protocol = self.factory.buildProtocol(IPv4Address("TCP", host, 40000))
        if protocol is None:
            return None
        return Peer(protocol, client_context(*protocols), name=name)

    def client(self, *protocols: str, **kwargs: str) -> Peer:
        """
        The same, for one that is not refused.
        """
        peer = self.accept(*protocols, **kwargs)
        assert peer is not None
        return peer

    def pass_time(self, seconds: float) -> None:
        """
        Let time pass, and whoever took too long be told.
        """
        self.clock.advance(seconds)
        self.deadlines.sweep()


class ConnectionTests(FrontCase):
    """
    Connections whose handshakes succeed.
    """

    def test_request(self) -> None:
        """
        They are like any other, and secure.
        """
        self.make()
        peer = self.client().connect()
        peer.send(get("/x"))
        (exchange,) = self.application.exchanges
        self.assertEqual(
            (b"/x", True, b"192.0.2.7"), (exchange.head.path, exchange.stream.secure, exchange.stream.peer)
        )
        self.assertTrue(peer.received.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertEqual(0, self.factory.failures)

    def test_protocol(self) -> None:
        """
        What was agreed on is known.
        """
        self.make()
        self.assertEqual(b"http/1.1", self.client("http/1.1").connect().protocol.negotiatedProtocol)
        self.assertIsNone(self.client().connect().protocol.negotiatedProtocol)

    def test_certificate(self) -> None:
        """
        Which certificate the client was shown is known, too.
        """
        self.make()
        for place, name in enumerate(("a.example", "b.example")):
            peer = self.client(name=name).connect()
            self.assertIs(self.factory.store.certificates[place], peer.protocol.certificate)

    def test_counted(self) -> None:
        """
        They count among the open ones from their beginning to their end, once each.
        """
        self.make()
        peer = self.client()
        self.assertEqual((0, 1), (len(self.context.channels), self.inner.accepted))
        peer.protocol.makeConnection(peer.transport)
        self.assertEqual({peer.protocol}, self.context.channels)
        peer.talk()
        self.assertEqual(1, len(self.context.channels))
        self.assertNotEqual({peer.protocol}, self.context.channels)
        peer.lose()
        self.assertEqual((set(), 1), (self.context.channels, self.inner.accepted))

    def test_clients_limit(self) -> None:
        """
        One client may have so many, those included that never say anything.
        """
        self.make(connections_per_client=2)
        first, second = self.client().connect(), self.client()
        self.assertIsNone(self.accept())
        self.assertIsNotNone(self.accept(host="192.0.2.8"))
        second.protocol.makeConnection(second.transport)
        second.lose()
        second = self.client()
        self.assertIsNone(self.accept())
        first.lose()
        self.assertIsNotNone(self.accept())
        self.assertEqual(2, self.inner.refused)

    def test_limit(self) -> None:
        """
        All clients together may have so many.
        """
        self.make(connections=2)
        self.client().connect()
        peer = self.client()
        peer.protocol.makeConnection(peer.transport)
        self.assertIsNone(self.accept(host="192.0.2.8"))
        self.assertEqual(1, self.inner.refused)


class FailureTests(FrontCase):
    """
    Connections whose handshakes do not.
    """

    def test_no_common_protocol(self) -> None:
        """
        A client that offers protocols, and none that is spoken here, is told so (RFC 7301 section 3.2).
        """
        self.make()
        peer = self.client("h2", "other")
        error = self.assertRaises(SSLError, peer.connect)
        self.assertIn("alert no application protocol", str(error))
        self.assertEqual(NO_APPLICATION_PROTOCOL, peer.transport.written)
        self.assertTrue(peer.transport.closed)
        peer.lose()
        self.assertEqual(1, self.factory.failures)

    def test_in_parts(self) -> None:
        """
        The first message may come byte by byte.
        """
        self.make()
        peer = self.client("h2", "http/1.1")
        peer.protocol.makeConnection(peer.transport)
        first = hello("h2", "http/1.1")
        for start in range(len(first)):
            self.assertEqual(b"", peer.transport.written)
            peer.protocol.dataReceived(first[start : start + 1])
        self.assertEqual(b"\x16\x03\x03", peer.transport.written[:3])

    def test_plain_text(self) -> None:
        """
        Whoever speaks no TLS is let go of.
        """
        self.make()
        peer = self.client()
        peer.protocol.makeConnection(peer.transport)
        peer.protocol.dataReceived(get("/"))
        self.assertTrue(peer.transport.closed)
        peer.lose()
        self.assertEqual((1, []), (self.factory.failures, self.application.exchanges))

    def test_too_slow(self) -> None:
        """
        A handshake may take so long, whatever is said meanwhile.
        """
        for first in (b"", hello()[:50], hello()):
            self.make()
            peer = self.client()
            peer.protocol.makeConnection(peer.transport)
            self.pass_time(HANDSHAKE_SECONDS - 1)
            if first:
                peer.protocol.dataReceived(first)
            self.assertFalse(peer.transport.aborted)
            self.pass_time(1)
            self.assertTrue(peer.transport.aborted)
            peer.lose()
            self.assertEqual((set(), int(bool(first))), (self.context.channels, self.factory.failures))

    def test_in_time(self) -> None:
        """
        Once it is complete, that limit is gone.
        """
        self.make(keepalive_timeout=100, header_timeout=100)
        peer = self.client().connect()
        self.pass_time(HANDSHAKE_SECONDS + 1)
        self.assertFalse(peer.transport.aborted or peer.transport.closed)

    def test_early_end(self) -> None:
        """
        Who leaves in the middle of it has failed; who never said a word has only looked whether the port is open.
        """
        self.make(connections_per_client=1)
        for first, failures in ((b"", 0), (hello(), 1), (hello()[:9], 2)):
            peer = self.client()
            peer.protocol.makeConnection(peer.transport)
            if first:
                peer.protocol.dataReceived(first)
            peer.protocol.readConnectionLost()
            self.assertTrue(peer.transport.aborted)
            peer.lose()
            self.assertEqual(failures, self.factory.failures)

    def test_drain(self) -> None:
        """
        A gateway that ends lets handshakes be finished for a while, and breaks them off then.
        """
        self.make()
        peer = self.client()
        peer.protocol.makeConnection(peer.transport)
        peer.protocol.drain(False)
        self.assertFalse(peer.transport.aborted)
        peer.protocol.drain(True)
        self.assertTrue(peer.transport.aborted)


class AnnouncedTests(FrontCase):
    """
    Behind load balancers that announce their clients.
    """

    PROXY = "192.0.2.7"
    HEADER = line("TCP4 198.51.100.9 192.0.2.1 5000 443")

    def test_announced(self) -> None:
        """
        The header comes first, in plain text, and the connection is the client's.
        """
        self.make(self.PROXY)
        peer = self.client().connect(self.HEADER)
        peer.send(get("/"))
        self.assertEqual(b"198.51.100.9", self.application.exchanges[0].stream.peer)
        peer.lose()
        self.assertEqual(0, self.factory.failures + self.inner.unannounced)

    def test_together(self) -> None:
        """
        The first message may come with it.
        """
        self.make(self.PROXY)
        peer = self.client()
        peer.protocol.makeConnection(peer.transport)
        peer.records.shake()
        whole = self.HEADER + peer.records.take()
        peer.protocol.dataReceived(whole[:10])
        peer.protocol.dataReceived(whole[10:])
        peer.talk()
        self.assertTrue(peer.secured)

    def test_own(self) -> None:
        """
        A load balancer may connect for itself.
        """
        self.make(self.PROXY)
        peer = self.client().connect(line("UNKNOWN"))
        peer.send(get("/"))
        self.assertEqual(b"192.0.2.7", self.application.exchanges[0].stream.peer)
        peer.lose()

    def test_limit(self) -> None:
        """
        It is the client whose connections are counted, and none is counted twice or forgotten.
        """
        self.make(self.PROXY, connections_per_client=1)
        first, second = self.client(), self.client()
        first.connect(self.HEADER)
        second.protocol.makeConnection(second.transport)
        second.protocol.dataReceived(self.HEADER + hello())
        self.assertTrue(second.transport.aborted)
        second.lose()
        first.lose()
        self.assertEqual((1, 0, 0), (self.inner.refused, self.inner.unannounced, self.factory.failures))
        self.client().connect(self.HEADER)
        self.assertEqual(1, self.inner.refused)

    def test_without(self) -> None:
        """
        Without the header, or with half of it, there is no connection, and that is counted as what it is.
        """
        for first in (hello(), self.HEADER[:9]):
            self.make(self.PROXY)
            peer = self.client()
            peer.protocol.makeConnection(peer.transport)
            peer.protocol.dataReceived(first)
            peer.lose()
            self.assertEqual((1, 0), (self.inner.unannounced, self.factory.failures), first)

    def test_probe(self) -> None:
        """
        Whoever says nothing at all owes nothing.
        """
        self.make(self.PROXY)
        peer = self.client()
        peer.protocol.makeConnection(peer.transport)
        peer.lose()
        self.assertEqual(0, self.inner.unannounced + self.factory.failures)
