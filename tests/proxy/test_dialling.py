"""
Tests for L{siger.proxy.dialling}.
"""

from __future__ import annotations

import socket

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

from siger.config.settings.services import Timeouts
from siger.errors import Reason
from siger.http.h2.constants import PREFACE
from siger.http.h2.responses import ResponseReader
from siger.http.h2.writing import Batch
from siger.http.transport import Transport
from siger.proxy.connection import UpstreamConnection
from siger.proxy.dialling import DialFactory, Http2Protocol, UpstreamProtocol
from siger.proxy.multiplexed import ClientConnection
from siger.tls.upstream import HandshakeFailed
from tests.http.fakes import FakeHandle, FakeTransport
from tests.http.h2.frames import headers, settings
from tests.proxy.fakes import FakeHttp2Owner, FakeOwner, FakeRecipient
from tests.proxy.http2_instance import GET
from tests.proxy.http2_instance import OK as FINE

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


class FakeHttp2Dialler(FakeHttp2Owner):
    """
    Asks for a connection of HTTP/2, and begins on it at once, if it is still wanted then.
    """

    def __init__(self, wanted: bool = True) -> None:
        super().__init__()
        self.timeouts = Timeouts()
        self.recipient = FakeRecipient()
        self._wanted = wanted

    def make_protocol(self, factory: DialFactory) -> Http2Protocol:
        """
        Have HTTP/2 on it.
        """
        return Http2Protocol(self, factory)

    def made(self, factory: DialFactory, transport: Transport) -> ClientConnection:
        """
        Begin.
        """
        assert factory.settled
        connection = ClientConnection(self, transport, ResponseReader(), Batch(), 100)
        if self._wanted:
            connection.reserve().begin(self.recipient, GET, False, True, self.timeouts)
        else:
            connection.retire()
        return connection

    def dial_failed(self, factory: DialFactory, reason: Reason) -> None:
        """
        Nobody here fails.
        """


class Http2ProtocolTests(SynchronousTestCase):
    """
    Tests for L{Http2Protocol}.
    """

    def connect(self, wanted: bool = True) -> FakeTransport:
        """
        Connect.
        """
        self.dialler = FakeHttp2Dialler(wanted)
        self.protocol = DialFactory(self.dialler).buildProtocol(IPv4Address("TCP", "192.0.2.9", 80))
        assert isinstance(self.protocol, Http2Protocol)
        transport = FakeTransport(FakeHandle())
        self.protocol.makeConnection(transport)
        return transport

    def test_exchange(self) -> None:
        """
        A connection begins with the preface, is handed over when it is made, and what arrives reaches it.
        """
        transport = self.connect()
        self.assertTrue(transport.written.startswith(PREFACE))
        self.protocol.dataReceived(settings() + headers(1, FINE))
        self.assertEqual(self.dialler.recipient.events, ["response 200"])

    def test_kept_alive(self) -> None:
        """
        The kernel is to find out whether the instance is still there.
        """
        handle = self.connect().handle
        self.assertIn((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), handle.options)

    def test_backpressure(self) -> None:
        """
        An exchange is told when its instance reads slowly: C11.
        """
        transport = self.connect()
        self.assertIs(transport.producer, self.protocol)
        self.protocol.dataReceived(settings())
        self.protocol.pauseProducing()
        self.protocol._connection.streams[1].send_body(b"x")
        self.assertEqual(self.dialler.recipient.events, ["pause"])
        self.protocol.resumeProducing()
        self.protocol.stopProducing()
        self.assertEqual(self.dialler.recipient.events, ["pause", "resume"])

    def test_lost(self) -> None:
        """
        It is told of its end.
        """
        self.connect()
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.dialler.recipient.events, ["failed upstream_reset"])
        self.assertEqual(self.dialler.events, ["retired", "gone"])

    def test_unwanted(self) -> None:
        """
        One that nobody wants any more closes, and its transport waits for no producer.
        """
        transport = self.connect(wanted=False)
        self.assertTrue(transport.half_closed)
        self.assertIsNone(transport.producer)
