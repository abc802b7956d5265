"""
Tests for L{siger.http.server}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from siger.config.settings import Limits
from siger.http.channel import ChannelContext
from siger.http.deadlines import Deadlines
from siger.http.server import ServerFactory
from tests.http.client import get
from tests.http.fakes import FakeApplication, FakeTransport


def make_factory(application: FakeApplication | None = None, **limits: Any) -> ServerFactory:
    """
    A factory with these limits.
    """
    context = ChannelContext(application or FakeApplication(), Limits(**limits), Deadlines(Clock()))
    return ServerFactory(context)


def accept(factory: ServerFactory, host: str = "192.0.2.7", transport: Any = None) -> Any:
    """
    Let a client connect.

    @return: the protocol, or C{None} when it is refused.
    """
    protocol: Any = factory.buildProtocol(IPv4Address("TCP", host, 40000))
    if protocol is not None:
        protocol.makeConnection(transport or FakeTransport())
    return protocol


def lose(protocol: Any) -> None:
    """
    Let the client be gone.
    """
    protocol.connectionLost(Failure(ConnectionDone()))


class ServerProtocolTests(SynchronousTestCase):
    """
    Tests for L{ServerProtocol}.
    """

    def test_interfaces(self) -> None:
        """
        It is what transports take for half-closing and for backpressure.
        """
        protocol = accept(make_factory())
        verifyObject(IHalfCloseableProtocol, protocol)
        verifyObject(IPushProducer, protocol)

    def test_twisted_transport(self) -> None:
        """
        It serves on a transport of Twisted's own, and is told of its end.
        """
        application = FakeApplication(lambda exchange: exchange.answer(b"hello"))
        factory = make_factory(application)
        transport = StringTransportWithDisconnection()
        protocol = accept(factory, transport=transport)
        transport.protocol = protocol
        self.assertIs(transport.producer, protocol)
        self.assertTrue(transport.streaming)
        protocol.dataReceived(get())
        self.assertTrue(transport.value().endswith(b"\r\n\r\nhello"))
        protocol.readConnectionLost()
        self.assertEqual(factory.context.channels, set())

    def test_secure(self) -> None:
        """
        Requests know whether they came over TLS.
        """
        for secure in (False, True):
            application = FakeApplication()
            transport = FakeTransport()
            if secure:
                directlyProvides(transport, ISSLTransport)
            accept(make_factory(application), transport=transport).dataReceived(get())
            self.assertEqual(application.exchanges[0].stream.secure, secure)

    def test_gone(self) -> None:
        """
        The loss of the connection reaches the exchange: C12.
        """
        application = FakeApplication()
        protocol = accept(make_factory(application))
        protocol.dataReceived(get())
        lose(protocol)
        self.assertEqual(application.exchanges[0].events, ["gone"])

    def test_backpressure(self) -> None:
        """
        So does its slowness: C11.
        """
        application = FakeApplication()
        protocol = accept(make_factory(application))
        protocol.dataReceived(get())
        protocol.pauseProducing()
        protocol.resumeProducing()
        protocol.stopProducing()
        protocol.writeConnectionLost()
        self.assertEqual(application.exchanges[0].events, ["pause", "resume"])

    def test_half_close(self) -> None:
        """
        So does the end of what the client sends.
        """
        transport = FakeTransport()
        protocol = accept(make_factory(), transport=transport)
        protocol.readConnectionLost()
        self.assertTrue(transport.closed)


class ServerFactoryTests(SynchronousTestCase):
    """
    Tests for L{ServerFactory}.
    """

    def test_counts(self) -> None:
        """
        Accepted connections are counted, and their channels known while they are open.
        """
        factory = make_factory()
        first, second = accept(factory), accept(factory)
        self.assertEqual((factory.accepted, factory.refused, len(factory.context.channels)), (2, 0, 2))
        lose(first)
        lose(second)
        self.assertEqual((factory.accepted, factory.refused, len(factory.context.channels)), (2, 0, 0))

    def test_limit(self) -> None:
        """
        Of more connections than the limit, the last are refused; one that ends makes room: F7.
        """
        factory = make_factory(connections=2)
        first = accept(factory, "192.0.2.1")
        accept(factory, "192.0.2.2")
        self.assertIsNone(accept(factory, "192.0.2.3"))
        self.assertEqual((factory.accepted, factory.refused), (2, 1))
        lose(first)
        self.assertIsNotNone(accept(factory, "192.0.2.3"))

    def test_limit_of_a_client(self) -> None:
        """
        The same for one address; others have their own: F7.
        """
        factory = make_factory(connections_per_client=2)
        first = accept(factory)
        accept(factory)
        self.assertIsNone(accept(factory))
        self.assertIsNotNone(accept(factory, "192.0.2.8"))
        lose(first)
        self.assertIsNotNone(accept(factory))
        self.assertIsNone(accept(factory))

    def test_forgets(self) -> None:
        """
        Of clients that are gone nothing is kept: F12.
        """
        factory = make_factory(connections_per_client=1)
        for number in range(300):
            lose(accept(factory, f"192.0.2.{number}"))
            lose(accept(factory, f"192.0.2.{number}"))
        self.assertEqual(factory.refused, 0)

    def test_addresses(self) -> None:
        """
        A peer's address is known as text; where it has none, as C{b""}.
        """
        for address, peer in (
            (IPv4Address("TCP", "192.0.2.7", 1), b"192.0.2.7"),
            (IPv6Address("TCP", "2001:db8::7", 1), b"2001:db8::7"),
            (UNIXAddress("/nowhere"), b""),
            (None, b""),
        ):
            application = FakeApplication()
            protocol: Any = make_factory(application).buildProtocol(address)
            protocol.makeConnection(FakeTransport())
            protocol.dataReceived(get())
            self.assertEqual(application.exchanges[0].stream.peer, peer)
