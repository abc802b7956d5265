"""
Tests for L{siger.transports.connecting} and L{siger.transports.clients}.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import (
    BadFileError,
    ConnectBindError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IConnector, IHostnameResolver, IResolverSimple
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.tcp import makeBinding
from zope.interface import implementer
from zope.interface.verify import verifyObject

from siger.transports.listening import UNIXPort
from tests.transports.peers import DialingFactory, DirectRecorder, Recorder, TransportTestCase, deaf_listener
from tests.transports.test_listening import DirectDialing, DirectServing


def free_port() -> int:
    """
    Find a port that nobody listens on.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class ConnectTestCase(TransportTestCase):
    """
    Dials addresses.
    """

    def connect(self, host: str, number: int, **options: Any) -> Any:
        """
        Connect to an address.
        """
        connector = self.reactor.connectTCP(host, number, DialingFactory(Recorder), **options)
        self.addCleanup(self._close_dialed, connector)
        return connector

    async def failure(self, connector: Any) -> Any:
        """
        Wait for a connector to fail.
        """
        failures = connector.factory.failures
        await self.until(lambda: failures)
        self.assertEqual(connector.state, "disconnected")
        self.assertEqual(connector.factory.built, [])
        [failed] = failures
        return failed

    def deaf_listener(self) -> int:
        """
        Listen so that nobody can connect, until the test is over.
        """
        stack = ExitStack()
        self.addCleanup(stack.close)
        return stack.enter_context(deaf_listener())


class ConnectTests(ConnectTestCase):
    """
    Attempts that succeed.
    """

    async def test_connector(self) -> None:
        """
        A connector knows where it goes, what state it is in, and hears of the loss.
        """
        port = self.listen(Recorder)
        connector = self.dial(port, Recorder)
        verifyObject(IConnector, connector)
        self.assertEqual(connector.getDestination(), port.getHost())
        self.assertEqual(connector.state, "connecting")
        await self.until(lambda: connector.factory.built and port.factory.built)
        self.assertEqual(connector.state, "connected")
        connector.disconnect()
        await self.until(lambda: connector.factory.losses and port.factory.built[0].reason)
        self.assertEqual(connector.state, "disconnected")
        connector.factory.losses[0].trap(ConnectionDone)

    async def test_reconnect(self) -> None:
        """
        A factory can reconnect when it hears of a loss.
        """
        port = self.listen(Recorder)
        connector = self.dial(port, Recorder)
        factory = connector.factory
        factory.clientConnectionLost = lambda connector, reason: connector.connect()
        await self.until(lambda: port.factory.built)
        port.factory.built[0].transport.loseConnection()
        await self.until(lambda: len(port.factory.built) == 2 and len(factory.built) == 2)
        del factory.clientConnectionLost
        port.factory.built[1].transport.loseConnection()
        await self.until(lambda: factory.losses)

    async def test_no_protocol(self) -> None:
        """
        A factory that builds no protocol ends the connection.
        """
        port = self.listen(Recorder)
        factory = DialingFactory(lambda: None)
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
        await self.until(lambda: factory.losses and port.factory.built[0].reason)
        self.assertEqual(factory.failures, [])

    async def test_ipv6(self) -> None:
        """
        A literal IPv6 address is connected to.
        """
        port = self.listen(Recorder, interface="::1")
        connector = self.dial(port, Recorder)
        await self.until(lambda: connector.factory.built and port.factory.built)
        peer = connector.factory.built[0].transport.getPeer()
        self.assertEqual(peer, IPv6Address("TCP", "::1", port.getHost().port))

    async def test_bind_address(self) -> None:
        """
        A client is bound to the address asked for, which is given as a pair or made by C{makeBinding}.
        """
        port = self.listen(Recorder)
        for make in (lambda number: ("127.0.0.1", number), _reusable):
            number = free_port()
            connector = self.dial(port, Recorder, bindAddress=make(number))
            self.assertEqual(connector.transport.socket.getsockname(), ("127.0.0.1", number))
            await self.until(lambda connector=connector: connector.factory.built)
            host = connector.factory.built[0].transport.getHost()
            self.assertEqual(host, IPv4Address("TCP", "127.0.0.1", number))

    async def test_bind_ipv6(self) -> None:
        """
        So is a client of an IPv6 port.
        """
        port = self.listen(Recorder, interface="::1")
        connector = self.dial(port, Recorder, bindAddress=("::1", 0))
        await self.until(lambda: connector.factory.built)
        self.assertEqual(connector.factory.built[0].transport.getHost().host, "::1")


def _reusable(number: int) -> Any:
    """
    Make a binding that says all that one can say.
    """
    return makeBinding("127.0.0.1", number, reuseAddress=True, reusePort=True)


class FailureTests(ConnectTestCase):
    """
    Attempts that fail.
    """

    async def test_refused(self) -> None:
        """
        Where nobody listens, the connection is refused.
        """
        failed = await self.failure(self.connect("127.0.0.1", free_port()))
        failed.trap(ConnectionRefusedError)

    async def test_unreachable(self) -> None:
        """
        Where there is no way, the attempt fails with the error that stands for it.
        """
        failed = await self.failure(self.connect("255.255.255.255", 1))
        failed.trap(ConnectError)

    async def test_timeout(self) -> None:
        """
        An attempt that takes too long is given up, and no connection comes of it afterwards.
        """
        failed = await self.failure(self.connect("127.0.0.1", self.deaf_listener(), timeout=0.05))
        failed.trap(TimeoutError)

    async def test_stop_connecting(self) -> None:
        """
        An attempt can be stopped, by the connector or by C{disconnect}.
        """
        for stop in ("stopConnecting", "disconnect"):
            connector = self.connect("127.0.0.1", self.deaf_listener())
            await self.pause(0.01)
            getattr(connector, stop)()
            failed = await self.failure(connector)
            failed.trap(UserError)

    async def test_stopped_at_once(self) -> None:
        """
        It can be stopped before it began, and when the kernel has connected but the protocol is not built.
        """
        port = self.listen(Recorder)
        for seconds in (0, 0.0001, 0.0005, 0.001):
            connector = self.connect("127.0.0.1", port.getHost().port)
            if seconds:
                await self.pause(seconds)
            if connector.state == "connecting":
                connector.stopConnecting()
                failed = await self.failure(connector)
                failed.trap(UserError)
        await self.pause(0.02)
        for server in port.factory.built:
            await self.close(server)

    async def test_cancelled_endpoint(self) -> None:
        """
        Cancelling the Deferred of an endpoint stops the attempt.
        """
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.deaf_listener())
        attempt = endpoint.connect(Factory.forProtocol(Recorder))
        await self.pause(0.01)
        attempt.cancel()
        with self.assertRaises(ConnectingCancelledError):
            await attempt

    async def test_cannot_bind(self) -> None:
        """
        A client that cannot be bound as asked fails, after its factory was told of the start.
        """
        order: list[str] = []

        class Ordered(DialingFactory):
            def startedConnecting(self, connector: Any) -> None:
                order.append("started")

            def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
                order.append("failed")
                super().clientConnectionFailed(connector, reason)

        port = self.listen(Recorder)
        factory = Ordered(Recorder)
        self.reactor.connectTCP("127.0.0.1", 1, factory, bindAddress=("127.0.0.1", port.getHost().port))
        await self.until(lambda: factory.failures)
        factory.failures[0].trap(ConnectBindError)
        self.assertEqual(order, ["started", "failed"])

    async def test_bad_port(self) -> None:
        """
        A port that cannot be is an error of the attempt, not of the call.
        """
        for host in ("127.0.0.1", "::1"):
            failed = await self.failure(self.connect(host, 65536))
            failed.trap(OverflowError)


@implementer(IResolverSimple)
class Names:
    """
    A resolver that knows a few names.
    """

    def __init__(self, known: dict[str, str]) -> None:
        self.known = known

    def getHostByName(self, name: str, timeout: Any = ()) -> Any:
        """
        Look it up.
        """
        if name in self.known:
            return succeed(self.known[name])
        return fail(DNSLookupError(name))


class ResolutionTests(ConnectTestCase):
    """
    Names are the reactor's resolver's business.
    """

    def setUp(self) -> None:
        """
        Install a resolver for the test.
        """
        super().setUp()
        self.assertTrue(IHostnameResolver.providedBy(self.reactor.nameResolver))
        before = self.reactor.installResolver(Names({"four.test": "127.0.0.1", "six.test": "::1"}))
        self.addCleanup(self.reactor.installResolver, before)

    async def test_known(self) -> None:
        """
        A name is resolved; the peer is its address.
        """
        port = self.listen(Recorder)
        connector = self.connect("four.test", port.getHost().port)
        await self.until(lambda: connector.factory.built)
        self.assertEqual(connector.factory.built[0].transport.getPeer(), port.getHost())

    async def test_unknown(self) -> None:
        """
        A name that is not known is an error of the attempt.
        """
        failed = await self.failure(self.connect("unknown.test", 1))
        failed.trap(DNSLookupError)

    async def test_stopped_meanwhile(self) -> None:
        """
        An attempt can be stopped while its name is being resolved.
        """
        answer: Deferred[str] = Deferred()
        before = self.reactor.installResolver(Names({}))
        self.addCleanup(self.reactor.installResolver, before)
        self.patch(self.reactor, "resolve", lambda name: answer)
        connector = self.connect("slow.test", 1)
        await self.pause(0.01)
        connector.stopConnecting()
        failed = await self.failure(connector)
        failed.trap(UserError)
        answer.callback("127.0.0.1")
        await self.pause(0.01)
        self.assertEqual(len(connector.factory.failures), 1)

    async def test_ipv6(self) -> None:
        """
        A resolver may say IPv6.
        """
        port = self.listen(Recorder, interface="::1")
        self.patch(self.reactor, "resolve", lambda name: _later(self.reactor, "::1"))
        connector = self.connect("six.test", port.getHost().port)
        await self.until(lambda: connector.factory.built)
        self.assertEqual(connector.factory.built[0].transport.getPeer(), port.getHost())


def _later(reactor: Any, answer: str) -> Any:
    """
    Answer in a while.
    """
    return deferLater(reactor, 0.001, lambda: answer)


class UNIXClientTests(TransportTestCase):
    """
    Attempts at UNIX sockets, for protocols that libuv may call directly.
    """

    async def fail_to(self, path: str, **options: Any) -> Any:
        """
        Connect, and wait for the failure.
        """
        factory = DirectDialing(DirectRecorder)
        self.reactor.connectUNIX(path, factory, **options)
        await self.until(lambda: factory.failures)
        return factory.failures[0]

    async def test_missing(self) -> None:
        """
        Where there is no socket the attempt fails.
        """
        failed = await self.fail_to(self.mktemp())
        failed.trap(ConnectError)

    async def test_not_served(self) -> None:
        """
        A client that asks for the lock fails where nobody holds it.
        """
        failed = await self.fail_to(self.mktemp(), checkPID=True)
        failed.trap(BadFileError)

    async def test_full_queue(self) -> None:
        """
        A client waits for room in a listener's queue.
        """
        name = "\0siger-test-" + os.urandom(8).hex()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
            listener.bind(name)
            listener.listen(0)
            filler.connect(name)
            factory = DirectDialing(DirectRecorder)
            connector = self.reactor.connectUNIX(name, factory)
            await self.pause(0.03)
            self.assertEqual((factory.built, factory.failures), ([], []))
            for _ in range(2):
                accepted, _address = listener.accept()
                accepted.close()
                await self.pause(0.03)
        await self.until(lambda: factory.losses)
        self.assertEqual(connector.state, "disconnected")

    async def test_full_queue_given_up(self) -> None:
        """
        It gives up in time.
        """
        name = "\0siger-test-" + os.urandom(8).hex()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as filler:
            listener.bind(name)
            listener.listen(0)
            filler.connect(name)
            failed = await self.fail_to(name, timeout=0.05)
            failed.trap(TimeoutError)
            await self.pause(0.02)

    async def test_stopped_when_connected(self) -> None:
        """
        An attempt that is given up when uvloop has the socket already ends without a protocol.
        """
        name = "\0siger-test-" + os.urandom(8).hex()
        port = self.reactor.listenUNIX(name, DirectServing(DirectRecorder))
        self.addCleanup(port.stopListening)
        factory = DirectDialing(DirectRecorder)
        connector = self.reactor.connectUNIX(name, factory)
        # A UNIX socket is connected at once: in the turn before this.
        self.reactor.callLater(0, connector.stopConnecting)
        await self.until(lambda: factory.failures)
        factory.failures[0].trap(UserError)
        await self.until(lambda: port.factory.built and port.factory.built[0].reason)
        self.assertEqual((factory.built, factory.losses), ([], []))

    async def test_marked_protocol_class(self) -> None:
        """
        The mark is found on the protocol's class too.
        """
        name = "\0siger-test-" + os.urandom(8).hex()
        serving = Factory.forProtocol(DirectRecorder)
        port = self.reactor.listenUNIX(name, serving)
        self.addCleanup(port.stopListening)
        self.assertIsInstance(port, UNIXPort)
        dialing = DirectDialing(DirectRecorder)
        self.reactor.connectUNIX(name, dialing)
        await self.until(lambda: dialing.built)
        self.assertFalse(hasattr(dialing.built[0].transport, "sendFileDescriptor"))
        dialing.built[0].transport.loseConnection()
        await dialing.built[0].lost
