"""
Tests of L{siger.tls.upstream}.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from ssl import CERT_REQUIRED, SSLContext, SSLError, TLSVersion
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import TimeoutError as TimedOut
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.tls import UpstreamTLSSettings
from siger.tls.upstream import HandshakeFailed, UpstreamTLS
from tests.tls.certificates import Authority, Issued
from tests.tls.peers import AUTHORITY, Peer, server_context
from tests.tls.test_layer import Application

ADDRESS = IPv4Address("TCP", "192.0.2.7", 443)
CONNECTOR: Any = SimpleNamespace(getDestination=lambda: ADDRESS)


class Dial(ClientFactory):
    """
    Somebody who wants a connection.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.wanted = wanted
        self.application = Application()
        self.events: list[str] = []
        self.failure: Failure | None = None

    def startedConnecting(self, connector: Any) -> None:
        assert connector is CONNECTOR
        self.events.append("started")

    def buildProtocol(self, addr: Any) -> Any:
        assert addr.port == 443
        self.events.append("built")
        return self.application if self.wanted else None

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        assert connector is CONNECTOR
        self.events.append("failed")
        self.failure = reason

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        assert connector is CONNECTOR
        self.events.append("lost")


class UpstreamCase(SynchronousTestCase):
    """
    Tests with an attempt.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.ca = str(self.directory / "ca.pem")
        Path(self.ca).write_bytes(AUTHORITY.certificate)
        self.clock = Clock()
        self.said: list[str] = []
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)

    def hear(self, event: dict[str, object]) -> None:
        """
        Keep warnings.
        """
        if event.get("log_level") is LogLevel.warn:
            self.said.append(f"{event['instance']} {event['error']}")

    def dial(
        self,
        context: SSLContext | None = None,
        protocol: str = "https",
        address: str = "a.example",
        dial: Dial | None = None,
        upstream: UpstreamTLS | None = None,
        **settings: Any,
    ) -> Peer:
        """
        Connect to a server, which is trusted unless settings say otherwise.
        """
        settings = {"ca": self.ca, **settings}
        upstream = upstream or UpstreamTLS(UpstreamTLSSettings(**settings), protocol, self.clock)
        self.inner = dial or Dial()
        self.factory = upstream.wrap(self.inner, address, 3.0)
        self.factory.startedConnecting(CONNECTOR)
        layer: Any = self.factory.buildProtocol(ADDRESS)
        return Peer(layer, context or server_context(), server=True)

    def lose(self, peer: Peer) -> None:
        """
        Let the connection be gone, of which a connector tells the factory, too.
        """
        peer.lose()
        self.factory.clientConnectionLost(CONNECTOR, Failure(Refused()))

    def assertMade(self, peer: Peer) -> None:
        """
        The connection is made, and carries data.
        """
        peer.connect()
        self.assertEqual(["started", "built"], self.inner.events)
        peer.send(b"to the client")
        peer.protocol.write(b"to the server")
        peer.talk()
        self.assertEqual((b"to the client", b"to the server"), (self.inner.application.received, peer.received))
        self.assertEqual([], self.clock.getDelayedCalls())
        self.lose(peer)
        self.assertEqual(["started", "built", "lost"], self.inner.events)
        self.assertIsNotNone(self.inner.application.lost)

    def assertFailed(self, peer: Peer, cause: str) -> None:
        """
        The attempt fails, which is told once, and nobody was asked for a protocol.
        """
        with contextlib.suppress(SSLError):  # the server has heard why not
            peer.connect()
        self.assertTrue(peer.transport.closed)
        self.lose(peer)
        self.assertEqual(["started", "failed"], self.inner.events)
        assert self.inner.failure is not None
        self.assertTrue(self.inner.failure.check(HandshakeFailed), self.inner.failure)
        self.assertIn(cause, self.inner.failure.getErrorMessage())
        self.assertIn(cause, self.said[0])
        self.assertEqual([], self.clock.getDelayedCalls())


class VerificationTests(UpstreamCase):
    """
    Who is taken for an instance.
    """

    def test_by_address(self) -> None:
        """
        A certificate is for the instance's address, be that a name or not.
        """
        for address in ("a.example", "127.0.0.1"):
            self.assertMade(self.dial(address=address))
        self.assertFailed(self.dial(address="127.0.0.2"), "certificate is not valid for '127.0.0.2'")

    def test_by_name(self) -> None:
        """
        Or for the name that is configured.
        """
        self.assertMade(self.dial(address="127.0.0.2", server_name="a.example"))
        self.assertFailed(self.dial(server_name="b.example"), "certificate is not valid for 'b.example'")

    def test_issuer(self) -> None:
        """
        Somebody trusted has signed it, and not just anybody; least of all itself.
        """
        other = Authority("Somebody else").issue("a.example")
        self.assertFailed(self.dial(server_context(pair=other)), "unable to get local issuer certificate")
        self.assertFailed(self.dial(ca=""), "unable to get local issuer certificate")

    def test_expired(self) -> None:
        """
        It is neither too old nor too new.
        """
        for begins, ends, cause in ((-9, -1, "certificate has expired"), (1, 9, "certificate is not yet valid")):
            pair = AUTHORITY.issue("a.example", begins=begins, ends=ends)
            self.said.clear()
            self.assertFailed(self.dial(server_context(pair=pair)), cause)

    def test_unverified(self) -> None:
        """
        Where that is not to be verified, whoever is there is taken.
        """
        other = Authority("Somebody else").issue("b.example", begins=-9, ends=-1)
        self.assertMade(self.dial(server_context(pair=other), verify=False))

    def test_old_version(self) -> None:
        """
        No version below TLS 1.2 is spoken.
        """
        context = server_context()
        context.minimum_version, context.maximum_version = TLSVersion.MINIMUM_SUPPORTED, TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        self.assertFailed(self.dial(context), "alert")


class ProtocolTests(UpstreamCase):
    """
    What is spoken then.
    """

    def test_http2(self) -> None:
        """
        HTTP/2 is agreed on, or there is no connection (RFC 9113 section 3.2).
        """
        self.assertMade(self.dial(server_context("h2", "http/1.1"), "h2"))
        self.assertEqual(b"h2", self.inner.application.agreed)
        for context in (server_context(), server_context("http/1.1")):
            self.said.clear()
            self.assertFailed(self.dial(context, "h2"), "it does not speak HTTP/2")

    def test_http1(self) -> None:
        """
        HTTP/1.1 goes without saying.
        """
        self.assertMade(self.dial(server_context("h2", "http/1.1")))
        self.assertEqual(b"http/1.1", self.inner.application.agreed)
        self.assertMade(self.dial(server_context()))
        self.assertIsNone(self.inner.application.agreed)

    def test_ciphers(self) -> None:
        """
        With HTTP/2 over TLS 1.2, the ciphers that it forbids are not spoken (RFC 9113 section 9.2.2).
        """
        context = server_context("h2", "http/1.1")
        context.maximum_version = TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
        self.assertMade(self.dial(context, "https"))
        self.assertFailed(self.dial(context, "h2"), "alert handshake failure")


class AttemptTests(UpstreamCase):
    """
    How an attempt goes.
    """

    def test_client_certificate(self) -> None:
        """
        An instance that asks for the gateway's certificate gets it.
        """
        context = server_context()
        context.verify_mode = CERT_REQUIRED
        context.load_verify_locations(self.ca)
        own = AUTHORITY.issue("gateway.example").write(self.directory)
        peer = self.dial(context, certificate=own.certificate, key=own.key)
        self.assertMade(peer)
        self.assertIn(b"gateway.example", peer.records.peer_certificate or b"")

    def test_no_tls(self) -> None:
        """
        An instance that speaks no TLS is none.
        """
        peer = self.dial()
        peer.protocol.makeConnection(peer.transport)
        peer.protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.lose(peer)
        self.assertEqual(["started", "failed"], self.inner.events)
        self.assertTrue(peer.transport.closed)

    def test_early_end(self) -> None:
        """
        Nor is one that closes the connection.
        """
        peer = self.dial()
        peer.protocol.makeConnection(peer.transport)
        peer.protocol.readConnectionLost()
        self.assertTrue(peer.transport.aborted)
        self.lose(peer)
        self.assertEqual(["started", "failed"], self.inner.events)
        self.assertEqual(["192.0.2.7:443 it closed the connection"], self.said)

    def test_too_slow(self) -> None:
        """
        One that takes too long has not answered in time, as if it had not even connected.
        """
        peer = self.dial()
        peer.protocol.makeConnection(peer.transport)
        self.clock.advance(2.9)
        self.assertFalse(peer.transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(peer.transport.aborted)
        self.lose(peer)
        self.assertEqual(["started", "failed"], self.inner.events)
        assert self.inner.failure is not None
        self.assertTrue(self.inner.failure.check(TimedOut))

    def test_not_connected(self) -> None:
        """
        An attempt that fails before there is anybody fails as it always did.
        """
        self.dial()
        self.factory.clientConnectionFailed(CONNECTOR, Failure(Refused()))
        assert self.inner.failure is not None
        self.assertTrue(self.inner.failure.check(Refused))
        self.assertEqual([], self.said)

    def test_files(self) -> None:
        """
        Where a file cannot be read there is no TLS, until it can be read again.
        """
        upstream = UpstreamTLS(UpstreamTLSSettings(ca=self.ca), "https", self.clock)
        Path(self.ca).rename(self.ca + "~")
        peer = self.dial(upstream=upstream).connect()
        assert self.inner.failure is not None
        self.assertTrue(self.inner.failure.check(HandshakeFailed))
        self.assertTrue(peer.transport.closed)
        self.assertEqual(["192.0.2.7:443 [Errno 2] No such file or directory"], self.said)
        self.lose(peer)
        self.assertEqual(["started", "failed"], self.inner.events)
        self.assertEqual([], self.clock.getDelayedCalls())
        Path(self.ca + "~").rename(self.ca)
        self.assertMade(self.dial(upstream=upstream))

    def test_not_wanted(self) -> None:
        """
        Whoever has no protocol for it any more gets rid of it.
        """
        peer = self.dial(dial=Dial(wanted=False)).connect()
        self.assertTrue(peer.transport.closed)
        self.lose(peer)
        self.assertEqual(["started", "built", "lost"], self.inner.events)

    def test_told_once(self) -> None:
        """
        Why it fails is said once a minute, however often it does.
        """
        upstream = UpstreamTLS(UpstreamTLSSettings(ca=self.ca), "https", self.clock)
        pair: Issued = AUTHORITY.issue("b.example")
        for seconds, times in ((0, 1), (59, 1), (1, 2), (59, 2)):
            self.clock.advance(seconds)
            peer = self.dial(server_context(pair=pair), upstream=upstream)
            self.assertRaises(SSLError, peer.connect)
            self.assertEqual(times, len(self.said))
