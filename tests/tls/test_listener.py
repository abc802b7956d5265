"""
Tests of L{siger.tls.listener}.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.addresses import Listen
from siger.config.settings.limits import Limits
from siger.config.settings.tls import TLSSettings
from siger.http.context import ChannelContext
from siger.http.deadlines import Deadlines
from siger.http.server import ServerFactory
from siger.observe.metrics import Metrics
from siger.observe.observer import Observer
from siger.tls.listener import SecureListener
from siger.tls.watch import INTERVAL
from tests.http.fakes import FakeApplication
from tests.tls.peers import AUTHORITY


class SecureListenerTests(SynchronousTestCase):
    """
    The port and what belongs to it.
    """

    def make(self, *names: str, http2: bool = True) -> SecureListener:
        """
        One with a certificate for each name.
        """
        self.reactor = MemoryReactorClock()
        context = ChannelContext(FakeApplication(), Limits(), Deadlines(self.reactor))
        self.directory = Path(self.mktemp())
        files = tuple(AUTHORITY.issue(name).write(self.directory, name) for name in names)
        settings = TLSSettings(Listen("127.0.0.1", 8443), files)
        return SecureListener(settings, http2, ServerFactory(context), self.reactor)

    def test_life(self) -> None:
        """
        It listens where it is told, looks at its certificates meanwhile, and ends.
        """
        listener = self.make("a.example")
        listener.listen(10)
        ((port, factory, backlog, interface),) = self.reactor.tcpServers
        self.assertEqual((8443, 10, "127.0.0.1"), (port, backlog, interface))
        self.assertEqual({b"h2", b"http/1.1"}, factory.protocols)
        self.assertEqual("127.0.0.1", listener.place[0])
        self.assertIn(":", listener.start())
        self.assertEqual(1, len(self.reactor.getDelayedCalls()))
        self.successResultOf(listener.stop())
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_without_http2(self) -> None:
        """
        HTTP/2 is offered where it is spoken only.
        """
        self.make("a.example", http2=False).listen(10)
        self.assertEqual({b"http/1.1"}, self.reactor.tcpServers[0][1].protocols)

    def test_metrics(self) -> None:
        """
        The ends of the certificates that are in use are told, and how many handshakes failed.
        """
        listener = self.make("a.example", "b.example")
        metrics = Metrics(Observer(None))
        listener.expose(metrics)
        listener.listen(10)
        listener.start()
        before = metrics.exposition("")[1].decode()
        self.assertIn('siger_tls_cert_not_after_seconds{certificate="CN=a.example"} 1', before)
        self.assertIn('siger_tls_cert_not_after_seconds{certificate="CN=b.example"} 1', before)
        self.assertIn("siger_tls_handshake_failures_total 0.0", before)
        AUTHORITY.issue("b.example", ends=60).write(self.directory, "b.example")
        self.reactor.pump([INTERVAL] * 2)
        self.reactor.tcpServers[0][1].failed(b"192.0.2.7", ValueError("x"))
        after = metrics.exposition("")[1].decode()
        self.assertIn("siger_tls_handshake_failures_total 1.0", after)
        changed = [pair[1] for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
        self.assertIn('certificate="CN=b.example"', "\n".join(changed))
        self.assertNotIn('certificate="CN=a.example"', "\n".join(changed))

    def test_misdirected(self) -> None:
        """
        With several certificates, a request for another's host is astray; it is not where that cannot be known.
        """
        listener = self.make("a.example", "b.example")
        first, _ = listener._store.certificates
        channel = SimpleNamespace(transport=SimpleNamespace(certificate=first))
        asked = listener.is_misdirected
        assert asked is not None
        for stream in (channel, SimpleNamespace(connection=channel)):
            self.assertTrue(asked(stream, b"b.example:8443"))
            self.assertFalse(asked(stream, b"a.example"))
        self.assertFalse(asked(SimpleNamespace(), b"b.example"))

    def test_one_certificate(self) -> None:
        """
        With one certificate, nobody has to ask.
        """
        self.assertIsNone(self.make("a.example").is_misdirected)
