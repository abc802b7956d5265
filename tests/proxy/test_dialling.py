"""
Tests for L{siger.proxy.dialling}.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoRouteError,
    TimeoutError,
    UserError,
)
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings import Timeouts
from siger.errors import Reason
from siger.proxy.connection import UpstreamConnection
from siger.proxy.dialling import DialFactory, UpstreamProtocol
from siger.tls.upstream import HandshakeFailed
from tests.proxy.fakes import FakeOwner, FakeRecipient

OK = b"HTTP/1.1 204 x\r\n\r\n"


class FakeDialler(FakeOwner):
    """
    Asks for a connection, and begins on it at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.timeouts = Timeouts()
        self.recipient = FakeRecipient()
        self.connection: UpstreamConnection | None = None
        self.reason: Reason | None = None

    def make_protocol(self, factory: DialFactory) -> UpstreamProtocol:
        """
        Have HTTP/1.1 on it.
        """
        return UpstreamProtocol(self, factory)

    def dialled(self, factory: DialFactory, connection: UpstreamConnection) -> None:
        """
        Begin.
        """
        assert factory.settled
        self.connection = connection
        connection.begin(self.recipient, b"request", False, False, self.timeouts)

    def dial_failed(self, factory: DialFactory, reason: Reason) -> None:
        """
        Note it.
        """
        assert factory.settled
        self.reason = reason


class DialFactoryTests(SynchronousTestCase):
    """
    Tests for L{DialFactory}.
    """

    def test_failures(self) -> None:
        """
        An attempt that fails says why: C9.
        """
        for error, reason in (
            (ConnectionRefusedError(), Reason.UPSTREAM_REFUSED),
            (TimeoutError(), Reason.CONNECT_TIMEOUT),
            (NoRouteError(), Reason.UPSTREAM_UNREACHABLE),
            (ConnectError(), Reason.UPSTREAM_UNREACHABLE),
            (HandshakeFailed("expired"), Reason.UPSTREAM_TLS),
            (UserError(), Reason.UPSTREAM_UNREACHABLE),
            (OSError(), Reason.UPSTREAM_UNREACHABLE),
        ):
            dialler = FakeDialler()
            factory = DialFactory(dialler)
            self.assertFalse(factory.settled)
            factory.clientConnectionFailed(None, Failure(error))
            self.assertIs(dialler.reason, reason)


class UpstreamProtocolTests(SynchronousTestCase):
    """
    Tests for L{UpstreamProtocol}.
    """

    def setUp(self) -> None:
        """
        Connect over a transport of Twisted's own.
        """
        self.dialler = FakeDialler()
        self.protocol = DialFactory(self.dialler).buildProtocol(IPv4Address("TCP", "192.0.2.9", 80))
        assert isinstance(self.protocol, UpstreamProtocol)
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def test_exchange(self) -> None:
        """
        A connection is handed over when it is made, and what arrives reaches it.
        """
        self.assertEqual(self.transport.value(), b"request")
        self.protocol.dataReceived(OK)
        self.assertEqual((self.dialler.recipient.complete, self.dialler.events), (True, ["in"]))

    def test_backpressure(self) -> None:
        """
        An exchange is told when its instance reads slowly: C11.
        """
        self.assertIs(self.transport.producer, self.protocol)
        self.assertTrue(self.transport.streaming)
        self.protocol.pauseProducing()
        self.protocol.resumeProducing()
        self.protocol.stopProducing()
        self.assertEqual(self.dialler.recipient.events, ["pause", "resume"])

    def test_closed(self) -> None:
        """
        A close is told from a reset: C5.
        """
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nabc")
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.dialler.recipient.events, ["response 200", "finished"])

    def test_reset(self) -> None:
        """
        And a reset from a close: C5.
        """
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nabc")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.dialler.recipient.events, ["response 200", "failed upstream_truncated"])
        self.assertEqual(self.dialler.events, ["gone"])
