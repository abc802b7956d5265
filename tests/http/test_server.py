"""
Tests for L{siger.http.server}.
"""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from siger.config.settings.limits import Limits
from siger.http.context import ChannelContext
from siger.http.deadlines import INTERVAL, Deadlines
from siger.http.h2.constants import PREFACE
from siger.http.h2.requests import RequestReader
from siger.http.h2.server import ServerConnection, ServerContext
from siger.http.h2.writing import Batch
from siger.http.server import ServerFactory
from tests.http.client import get
from tests.http.fakes import FakeApplication, FakeHandle, FakeTransport
from tests.http.h2.frames import headers, read_frames, settings
from tests.http.test_proxy_protocol import ADDRESSES4, block, line


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

    def test_limit_of_a_network(self) -> None:
        """
        Whoever has one IPv6 address has its whole /64, so that counts as one: F7, as in row I1.
        """
        factory = make_factory(connections_per_client=2)
        first = accept(factory, "2001:db8:0:1::1")
        accept(factory, "2001:db8:0:1::2")
        self.assertIsNone(accept(factory, "2001:db8:0:1:ffff::3"))
        self.assertIsNotNone(accept(factory, "2001:db8:0:2::1"))
        lose(first)
        self.assertIsNotNone(accept(factory, "2001:db8:0:1::4"))

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

    def test_mapped(self) -> None:
        """
        An IPv4 client is the same client by way of an IPv6 socket: it has one text, and one limit: row D3.
        """
        application = FakeApplication()
        factory = make_factory(application, connections_per_client=1)
        protocol: Any = factory.buildProtocol(IPv6Address("TCP", "::ffff:192.0.2.7", 1))
        protocol.makeConnection(FakeTransport())
        protocol.dataReceived(get())
        self.assertEqual(application.exchanges[0].stream.peer, b"192.0.2.7")
        self.assertIsNone(accept(factory, "192.0.2.7"))


BALANCER = "10.0.0.1"
ANNOUNCED = line("TCP4 192.0.2.7 10.0.0.9 40000 80")


class Door:
    """
    A server behind load balancers in C{10.0.0.0/8} and C{fd00::/8} that announce their clients.
    """

    def __init__(self, networks: Sequence[str] = ("10.0.0.0/8", "fd00::/8"), **limits: Any) -> None:
        self.application = FakeApplication()
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.deadlines.start()
        self.context = ChannelContext(self.application, Limits(**limits), self.deadlines)
        self.factory = ServerFactory(self.context, tuple(map(ip_network, networks)))
        self.transport = FakeTransport()

    def connect(self, data: bytes = b"", host: str = BALANCER) -> Any:
        """
        Let somebody connect and send this.

        @return: the protocol, or C{None} when it is refused.
        """
        self.transport = FakeTransport()
        protocol = accept(self.factory, host, self.transport)
        if data and protocol is not None:
            protocol.dataReceived(data)
        return protocol

    @property
    def peers(self) -> list[bytes]:
        """
        Whose the requests were.
        """
        return [exchange.stream.peer for exchange in self.application.exchanges]

    def wait(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.pump([INTERVAL] * round(seconds / INTERVAL))


class SwitchingTransport(FakeTransport):
    """
    A transport that keeps the method that takes its bytes until it is told of another, as those of
    L{siger.transports} do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.receive: Any = None

    def switch_protocol(self, protocol: Any) -> None:
        """
        Deliver to it from now on.
        """
        self.receive = protocol.dataReceived


class SecureTransport(FakeTransport):
    """
    A transport of TLS.

    @ivar negotiatedProtocol: what both sides agreed on.
    """

    def __init__(self, negotiated: bytes | None) -> None:
        super().__init__()
        self.negotiatedProtocol = negotiated
        directlyProvides(self, ISSLTransport)


class Http2Tests(SynchronousTestCase):
    """
    Tests for connections that are of HTTP/2.
    """

    def setUp(self) -> None:
        """
        Have a server that speaks it, behind a load balancer.
        """
        self.application = FakeApplication()
        context = ChannelContext(self.application, Limits(), Deadlines(Clock()))
        http2 = ServerContext(RequestReader(context.parser), Batch(), context.limits)
        self.factory = ServerFactory(context, (ip_network("10.0.0.0/8"),), http2)

    def connect(self, transport: FakeTransport, host: str = "192.0.2.7") -> Any:
        """
        Let a client connect.
        """
        return accept(self.factory, host, transport)

    def spoken(self, transport: FakeTransport) -> list[str]:
        """
        What was said on a connection of HTTP/2.
        """
        return [frame.name for frame in read_frames(transport.written)]

    def test_negotiated(self) -> None:
        """
        It is where both sides agreed on that: the server speaks first, and requests are known to be secure.
        """
        transport = SecureTransport(b"h2")
        protocol = self.connect(transport)
        self.assertEqual(self.spoken(transport), ["SETTINGS", "WINDOW_UPDATE"])
        self.assertIs(transport.producer, protocol)
        protocol.dataReceived(PREFACE + settings() + headers(1))
        stream = self.application.exchanges[0].stream
        self.assertEqual((stream.secure, stream.version, stream.peer), (True, 20, b"192.0.2.7"))

    def test_negotiated_and_not_spoken(self) -> None:
        """
        A client that agreed on it and speaks HTTP/1.1 is told so, in HTTP/2.
        """
        transport = SecureTransport(b"h2")
        self.connect(transport).dataReceived(get())
        self.assertEqual(self.spoken(transport)[-1], "GOAWAY")
        self.assertEqual(self.application.exchanges, [])

    def test_other_negotiated(self) -> None:
        """
        It is not where both sides agreed on something else, or over TLS on nothing, whatever comes.
        """
        for negotiated in (None, b"http/1.1", b"acme-tls/1"):
            transport = SecureTransport(negotiated)
            self.connect(transport).dataReceived(PREFACE + settings())
            self.assertTrue(transport.written.startswith(b"HTTP/1.1 505 "))

    def test_preface(self) -> None:
        """
        Without TLS the preface tells, and the connection is one of HTTP/2 for all that comes.
        """
        protocol = self.connect(FakeTransport())
        protocol.dataReceived(PREFACE[:20])
        protocol.dataReceived(PREFACE[20:] + settings() + headers(1))
        protocol.dataReceived(headers(3))
        exchanges = self.application.exchanges[-2:]
        self.assertEqual([exchange.stream.secure for exchange in exchanges], [False] * 2)
        (connection,) = self.factory.context.channels
        self.assertIsInstance(connection, ServerConnection)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([exchange.events for exchange in exchanges], [["gone"]] * 2)
        self.assertEqual(self.factory.context.channels, set())

    def test_nothing_left(self) -> None:
        """
        A connection that is gone needs no collection of garbage.
        """
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for begin in (get(), PREFACE + settings()):
            transport = FakeTransport()
            protocol = self.connect(transport)
            protocol.dataReceived(begin)
            if self.application.exchanges:
                self.application.exchanges.pop().answer(b"hello")
            protocol.connectionLost(Failure(ConnectionDone()))
            transport.__dict__.clear()
            gone = weakref.ref(protocol)
            del protocol, transport
            self.assertIsNone(gone())

    def test_http1(self) -> None:
        """
        HTTP/1.1 is spoken with everybody else.
        """
        for transport in (FakeTransport(), SecureTransport(None), SecureTransport(b"http/1.1")):
            self.connect(transport).dataReceived(get())
            self.application.exchanges[-1].answer(b"hello")
            self.assertTrue(transport.written.startswith(b"HTTP/1.1 200 OK"))

    def test_transport_is_told(self) -> None:
        """
        A transport that keeps who takes its bytes is told of the other.
        """
        transport = SwitchingTransport()
        protocol = self.connect(transport)
        protocol.dataReceived(PREFACE + settings())
        transport.receive(headers(1))
        self.assertEqual(len(self.application.exchanges), 1)

    def test_backpressure_and_half_close(self) -> None:
        """
        What the transport tells reaches the connection, too.
        """
        transport = FakeTransport()
        protocol = self.connect(transport)
        protocol.dataReceived(PREFACE + settings() + headers(1))
        exchange = self.application.exchanges[0]
        protocol.pauseProducing()
        exchange.begin(body=b"hello")
        protocol.resumeProducing()
        self.assertEqual(exchange.events, ["pause", "resume"])
        protocol.readConnectionLost()
        self.assertTrue(transport.aborted)

    def test_kept_alive(self) -> None:
        """
        The kernel is to find out whether the client is still there: calls may be silent for hours.
        """
        for transport in (FakeTransport(), SecureTransport(b"h2")):
            transport.handle = FakeHandle()
            self.connect(transport).dataReceived(PREFACE + settings())
            self.assertIn((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), transport.handle.options)

    def test_announced(self) -> None:
        """
        A load balancer may announce a client that speaks it: whose the requests are is known, in whatever pieces.
        """
        stream = ANNOUNCED + PREFACE + settings() + headers(1)
        for cut in range(1, len(stream)):
            transport = FakeTransport()
            protocol = self.connect(transport, "10.0.0.1")
            protocol.dataReceived(stream[:cut])
            protocol.dataReceived(stream[cut:])
            self.assertEqual(self.application.exchanges[-1].stream.peer, b"192.0.2.7")
            lose(protocol)
        self.assertEqual(len(self.application.exchanges), len(stream) - 1)

    def test_not_spoken(self) -> None:
        """
        A server that does not speak it says so in HTTP/1.1: G14.
        """
        transport = FakeTransport()
        accept(make_factory(), transport=transport).dataReceived(PREFACE + settings())
        self.assertTrue(transport.written.startswith(b"HTTP/1.1 505 "))


class AnnouncedProtocolTests(SynchronousTestCase):
    """
    Tests for L{AnnouncedProtocol}, and for the factory that tells its connections from others.
    """

    def test_announced(self) -> None:
        """
        Row D3: a connection from a load balancer belongs to the client that its header names, for all its requests.
        """
        for header, client in (
            (ANNOUNCED, b"192.0.2.7"),
            (block(ADDRESSES4), b"192.0.2.7"),
            (line("TCP6 2001:db8::7 ::1 1 2"), b"2001:db8::7"),
        ):
            door = Door()
            protocol = door.connect(header + get("/a"))
            door.application.exchanges[0].answer()
            protocol.dataReceived(get("/b"))
            self.assertEqual(door.peers, [client, client])
            self.assertEqual(door.factory.unannounced, 0)

    def test_own(self) -> None:
        """
        What a balancer does for itself, or cannot say of whom, is the balancer's.
        """
        for header in (line("UNKNOWN"), block(b"", 0, 0x20), block(b"", 0)):
            door = Door()
            door.connect(header + get())
            self.assertEqual(door.peers, [b"10.0.0.1"])

    def test_every_split(self) -> None:
        """
        It does not matter in which pieces header and request come.
        """
        for data in (ANNOUNCED + get(), block(ADDRESSES4) + get()):
            for cut in range(1, len(data)):
                door = Door()
                door.connect(data[:cut]).dataReceived(data[cut:])
                self.assertEqual(door.peers, [b"192.0.2.7"])
            door = Door()
            protocol = door.connect()
            for number in range(len(data)):
                protocol.dataReceived(data[number : number + 1])
            self.assertEqual(door.peers, [b"192.0.2.7"])

    def test_transport_is_told(self) -> None:
        """
        A transport that keeps the receiver of its bytes is told when that changes, so that nothing stands between it
        and the channel.
        """
        door = Door()
        transport = SwitchingTransport()
        protocol = accept(door.factory, BALANCER, transport)
        protocol.dataReceived(ANNOUNCED)
        (channel,) = door.context.channels
        self.assertEqual(transport.receive, channel.data_received)
        transport.receive(get())
        self.assertEqual(door.peers, [b"192.0.2.7"])

    def test_malformed(self) -> None:
        """
        Row D3: anything else than a header, a plain request included, is refused at once, without a word, and counted.
        """
        for data in (get(), b"\r\n" + get(), ANNOUNCED[1:], line("TCP4 1.2.3.4"), block(b"\1", 0x11), b"\0"):
            door = Door()
            protocol = door.connect(data)
            self.assertTrue(door.transport.aborted, data)
            protocol.dataReceived(ANNOUNCED + get())
            lose(protocol)
            self.assertEqual((door.transport.written, door.peers, door.factory.unannounced), (b"", [], 1))
            self.assertEqual((door.context.channels, door.factory.accepted), (set(), 1))

    def test_second_header(self) -> None:
        """
        A second header is no header, but a request that is none.
        """
        door = Door()
        door.connect(ANNOUNCED + line("TCP4 6.6.6.6 10.0.0.9 1 2"))
        self.assertTrue(door.transport.written.startswith(b"HTTP/1.1 400 "))
        self.assertEqual((door.peers, door.factory.unannounced), ([], 0))

    def test_strangers(self) -> None:
        """
        Row D3: from anybody else, a header is a request that is none; and without any networks, from everybody.
        """
        for door, host in ((Door(), "192.0.2.8"), (Door(), "2001:db8::1"), (Door(()), BALANCER)):
            for header in (ANNOUNCED, line("UNKNOWN"), block(ADDRESSES4), block(b"", 0, 0x20)):
                door.connect(header + get(), host)
                self.assertTrue(door.transport.written.startswith(b"HTTP/1.1 400 "), header)
                self.assertTrue(door.transport.half_closing)
            self.assertEqual((door.peers, door.factory.unannounced), ([], 0))
            door.connect(get(), host)
            self.assertEqual(door.peers, [host.encode()])

    def test_networks(self) -> None:
        """
        Load balancers are known by any of their networks, also by way of an IPv6 socket.
        """
        for host in ("10.255.255.255", "::ffff:10.0.0.1", "fd00::1"):
            door = Door()
            door.connect(ANNOUNCED + get(), host)
            self.assertEqual(door.peers, [b"192.0.2.7"], host)

    def test_no_address(self) -> None:
        """
        Who has no address is in no network.
        """
        door = Door(("0.0.0.0/0", "::/0"))
        protocol: Any = door.factory.buildProtocol(UNIXAddress("/nowhere"))
        protocol.makeConnection(FakeTransport())
        protocol.dataReceived(get())
        self.assertEqual(door.peers, [b""])

    def test_late(self) -> None:
        """
        The header has to be complete within the time that a head has, however it trickles in: F3.
        """
        door = Door(header_timeout=2.0)
        protocol = door.connect()
        for number in range(8):
            self.assertFalse(door.transport.closed)
            protocol.dataReceived(ANNOUNCED[number : number + 1])
            door.wait(0.25)
        self.assertTrue(door.transport.closed)
        lose(protocol)
        self.assertEqual((door.transport.written, door.factory.unannounced), (b"", 1))

    def test_time_for_a_request(self) -> None:
        """
        After the header, a client has all the time for its request that others have.
        """
        door = Door(header_timeout=2.0)
        protocol = door.connect()
        door.wait(1.5)
        protocol.dataReceived(ANNOUNCED)
        door.wait(1.5)
        protocol.dataReceived(get())
        self.assertEqual(door.peers, [b"192.0.2.7"])

    def test_gone(self) -> None:
        """
        One that leaves before the header was complete is counted; one that sent nothing only looked whether the port
        is open.
        """
        for sent, count in ((b"", 0), (ANNOUNCED[:-1], 1), (ANNOUNCED, 0)):
            door = Door()
            protocol = door.connect(sent)
            protocol.readConnectionLost()
            self.assertTrue(door.transport.closed)
            lose(protocol)
            self.assertEqual((door.transport.written, door.factory.unannounced), (b"", count))

    def test_limit_of_a_client(self) -> None:
        """
        Row D3: the announced client is limited, not the load balancer; and it is the same client as one that comes by
        itself: F7.
        """
        door = Door(connections_per_client=2)
        first = door.connect(ANNOUNCED)
        self.assertIsNotNone(door.connect(host="192.0.2.7"))
        third = door.connect(ANNOUNCED + get())
        self.assertTrue(door.transport.aborted)
        self.assertEqual((door.transport.written, door.peers, door.factory.refused), (b"", [], 1))
        lose(third)
        self.assertIsNone(door.connect(host="192.0.2.7"))
        door.connect(line("TCP4 192.0.2.8 10.0.0.9 40000 80") + get())
        self.assertEqual(door.peers, [b"192.0.2.8"])
        lose(first)
        door.connect(ANNOUNCED + get())
        self.assertEqual(door.peers, [b"192.0.2.8", b"192.0.2.7"])
        self.assertEqual(door.factory.unannounced, 0)

    def test_balancer_is_not_limited(self) -> None:
        """
        A load balancer itself may have any number, but not more than there may be in all, headers seen or not: F7.
        """
        door = Door(connections_per_client=1, connections=4)
        for data in (b"", line("UNKNOWN"), line("UNKNOWN"), ANNOUNCED):
            self.assertIsNotNone(door.connect(data))
            self.assertFalse(door.transport.closed)
        self.assertIsNone(door.connect())
        self.assertEqual(door.factory.refused, 1)

    def test_forgets(self) -> None:
        """
        Of connections that are gone nothing is kept: F12.
        """
        door = Door(connections_per_client=1)
        for data in (ANNOUNCED, ANNOUNCED + get(), line("UNKNOWN"), b"", ANNOUNCED[:9], get()) * 3:
            lose(door.connect(data))
        self.assertIsNotNone(door.connect(host="192.0.2.7"))
        self.assertEqual((door.factory.refused, len(door.context.channels)), (0, 1))

    def test_draining(self) -> None:
        """
        One of which no header has come is idle when the gateway drains.
        """
        for sent in (b"", ANNOUNCED[:9], ANNOUNCED):
            door = Door()
            door.connect(sent)
            for channel in list(door.context.channels):
                channel.drain(True)
            self.assertTrue(door.transport.closed)

    def test_half_closing_and_backpressure(self) -> None:
        """
        It is to its transport what any other connection is.
        """
        door = Door()
        protocol = door.connect(ANNOUNCED + get())
        verifyObject(IHalfCloseableProtocol, protocol)
        verifyObject(IPushProducer, protocol)
        protocol.pauseProducing()
        protocol.resumeProducing()
        lose(protocol)
        self.assertEqual(door.application.exchanges[0].events, ["pause", "resume", "gone"])

    def test_log(self) -> None:
        """
        What is wrong is said in the log, once a minute at most, without a byte of what came: L1.
        """
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        door = Door()
        for _ in range(3):
            lose(door.connect(get("/secret")))
        self.said(events, [1])
        door.wait(61)
        lose(door.connect(ANNOUNCED[:9]))
        self.said(events, [1, 4])

    def said(self, events: list[Any], counts: list[int]) -> None:
        """
        There were this many warnings, with these numbers of connections.
        """
        found = [event for event in events if "PROXY protocol" in (event.get("log_format") or "")]
        self.assertEqual([(event["count"], event["peer"]) for event in found], [(count, BALANCER) for count in counts])
        self.assertNotIn("secret", repr([event["cause"] for event in found]))
