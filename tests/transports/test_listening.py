"""
Tests for L{siger.transports.listening} and L{siger.transports.serving}.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.internet.tcp import makeBinding
from zope.interface.verify import verifyObject

import siger
from siger.transports.listening import TCPPort, UNIXPort
from tests.transports.peers import (
    DialingFactory,
    DirectRecorder,
    Recorder,
    ServingFactory,
    TransportTestCase,
    raw_pair,
)


class DirectServing(ServingFactory):
    """
    Builds protocols that libuv may call directly.
    """

    reads_directly = True


class DirectDialing(DialingFactory):
    """
    Builds protocols that libuv may call directly.
    """

    reads_directly = True


class TCPPortTests(TransportTestCase):
    """
    Tests for L{TCPPort}.
    """

    async def test_bound_at_once(self) -> None:
        """
        A port is bound when C{listenTCP} returns, and knows its address.
        """
        port = self.listen(Recorder)
        verifyObject(IListeningPort, port)
        self.assertIsInstance(port, TCPPort)
        self.assertIsInstance(port.getHost(), IPv4Address)
        self.assertEqual(port.getHost().host, "127.0.0.1")
        self.dial_raw(port).close()
        await self.until(lambda: port.factory.built and port.factory.built[0].reason)

    def test_taken(self) -> None:
        """
        A port that is taken cannot be listened on.
        """
        port = self.listen(Recorder)
        with self.assertRaises(CannotListenError):
            self.reactor.listenTCP(port.getHost().port, ServingFactory(Recorder), interface="127.0.0.1")

    async def test_shared(self) -> None:
        """
        Ports bound with C{SO_REUSEPORT} share a number.
        """
        binding = makeBinding("127.0.0.1", 0, reuseAddress=True, reusePort=True)
        first = self.reactor.listenTCP(binding, ServingFactory(Recorder))
        self.addCleanup(first.stopListening)
        binding = makeBinding("127.0.0.1", first.getHost().port, reuseAddress=True, reusePort=True)
        second = self.reactor.listenTCP(binding, ServingFactory(Recorder))
        self.addCleanup(second.stopListening)
        self.assertEqual(first.getHost(), second.getHost())

    async def test_stop(self) -> None:
        """
        C{stopListening} fires when the port is free; the connections stay.
        """
        server, raw = await self.raw_peer()
        port = server.transport.server
        number = port.getHost().port
        self.assertEqual(repr(server.transport), f"<Recorder #0 on {number}>")
        await port.stopListening()
        self.assertTrue(port.disconnected)
        socket.create_server(("127.0.0.1", number)).close()
        raw.send(b"still here")
        await self.until(lambda: server.data)
        port.stopListening()

    async def test_pause(self) -> None:
        """
        A paused port accepts nothing; the kernel queues, and the port accepts that when it is resumed.
        """
        port = self.listen(Recorder)
        self.assertTrue(port.reading)
        port.pauseProducing()
        port.pauseProducing()
        self.assertFalse(port.reading)
        self.dial_raw(port)
        await self.pause()
        self.assertEqual(port.factory.built, [])
        port.resumeProducing()
        port.resumeProducing()
        await self.until(lambda: port.factory.built)
        await self.close(port.factory.built[0])

    async def test_accept_queued(self) -> None:
        """
        What the kernel has queued can be accepted before the port is closed, which would reset it.
        """
        port = self.listen(Recorder)
        port.pauseProducing()
        raws = [self.dial_raw(port) for _ in range(5)]
        self.assertEqual(port.accept_queued(), 5)
        self.assertEqual(port.accept_queued(), 0)
        await port.stopListening()
        await self.until(lambda: len(port.factory.built) == 5)
        for server, raw in zip(port.factory.built, raws, strict=True):
            server.transport.write(b"served")
            server.transport.loseConnection()
            self.assertEqual(await self.read_all(raw), b"served")

    async def test_refused_by_the_factory(self) -> None:
        """
        A connection that the factory builds no protocol for is closed.
        """
        port = self.listen(lambda: None)
        self.assertEqual(await self.read_all(self.dial_raw(port)), b"")

    async def test_reset_before_it_was_served(self) -> None:
        """
        A connection that its peer has reset before it was served is not served.
        """
        port = self.listen(Recorder)
        raw = self.dial_raw(port)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        self.dial_raw(port)
        await self.until(lambda: port.factory.built)
        await self.pause(0.01)
        self.assertEqual(len(port.factory.built), 1)
        await self.close(port.factory.built[0])

    async def test_sessions_are_numbered(self) -> None:
        """
        Connections are numbered in the order in which they were served.
        """
        port = self.listen(Recorder)
        for number in range(3):
            self.dial_raw(port)
            await self.until(lambda number=number: len(port.factory.built) > number)
        self.assertEqual([server.transport.sessionno for server in port.factory.built], [0, 1, 2])
        for server in port.factory.built:
            await self.close(server)

    async def test_ipv6(self) -> None:
        """
        An IPv6 interface makes an IPv6 port, with IPv6 peers.
        """
        port = self.listen(Recorder, interface="::1")
        self.assertIsInstance(port.getHost(), IPv6Address)
        connector = self.dial(port, Recorder)
        await self.until(lambda: port.factory.built and connector.factory.built)
        [server], [client] = port.factory.built, connector.factory.built
        self.assertEqual(server.transport.getPeer(), client.transport.getHost())
        self.assertIsInstance(server.transport.getPeer(), IPv6Address)
        self.assertEqual(server.transport.getPeer().host, "::1")
        client.transport.loseConnection()
        await server.lost

    async def test_adopted_port(self) -> None:
        """
        A socket that listens already is adopted, without its descriptor being taken.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            port = self.reactor.adoptStreamPort(listener.fileno(), listener.family, ServingFactory(Recorder))
            self.assertEqual((port.getHost().host, port.getHost().port), listener.getsockname())
            self.dial_raw(port)
            await self.until(lambda: port.factory.built)
            await port.stopListening()
            # It still listens.
            socket.create_connection(listener.getsockname()).close()
            listener.accept()[0].close()
        await self.close(port.factory.built[0])

    async def test_adopted_connection(self) -> None:
        """
        A connection that was accepted elsewhere is served, without its descriptor being taken.
        """
        server, raw = raw_pair()
        self.addCleanup(raw.close)
        server.setblocking(False)
        factory = ServingFactory(Recorder)
        transport = self.reactor.adoptStreamConnection(server.fileno(), server.family, factory)
        server.close()
        raw.send(b"hello")
        await self.until(lambda: factory.built[0].data)
        self.assertIs(factory.built[0].transport, transport)
        self.assertEqual((transport.getPeer().host, transport.getPeer().port), raw.getsockname())
        raw.close()
        await factory.built[0].lost
        factory.built[0].reason.trap(ConnectionDone)


class DescriptorTests(TransportTestCase):
    """
    What happens when the process has no descriptors left.
    """

    async def test_no_spinning(self) -> None:
        """
        Connections that cannot be accepted are closed; the process does not spin meanwhile, and the port goes on.
        """
        server = self.serve_few()
        raws = [self.dial_server(server) for _ in range(60)]
        outcomes = [await self.outcome(raw) for raw in raws]
        self.assertGreater(outcomes.count("served"), 5)
        self.assertGreater(outcomes.count("closed"), 20)
        self.assertEqual(len(outcomes), outcomes.count("served") + outcomes.count("closed"))
        before = _processor_time(server.pid)
        await self.pause(0.5)
        self.assertLess(_processor_time(server.pid) - before, 0.2)
        for raw in raws:
            raw.close()
        # As soon as the server has noticed that.
        while await self.outcome(self.dial_server(server)) != "served":
            await self.pause(0.01)

    def serve_few(self) -> subprocess.Popen[bytes]:
        """
        Start a server that has few descriptors.
        """
        script = Path(__file__).with_name("exhausted.py")
        environment = {**os.environ, "PYTHONPATH": str(Path(siger.__file__).parents[1])}
        server = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        assert server.stdout is not None
        self.addCleanup(server.stdout.close)
        self.number = int(server.stdout.readline())
        return server

    def dial_server(self, server: subprocess.Popen[bytes]) -> socket.socket:
        """
        Connect to it.
        """
        raw = socket.create_connection(("127.0.0.1", self.number))
        raw.setblocking(False)
        self.addCleanup(raw.close)
        return raw

    async def outcome(self, raw: socket.socket) -> str:
        """
        Tell whether a connection was greeted or closed.
        """
        while True:
            try:
                return "served" if raw.recv(1) else "closed"
            except ConnectionResetError:
                return "closed"
            except BlockingIOError:
                await self.pause(0.001)


def _processor_time(process: int) -> float:
    """
    Tell how long a process has kept a processor busy, in seconds.
    """
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class UNIXPortTests(TransportTestCase):
    """
    Tests for L{UNIXPort} and its clients.
    """

    def setUp(self) -> None:
        """
        Make a directory: the path of a UNIX socket has to be short.
        """
        super().setUp()
        self.directory = Path(mkdtemp())
        self.addCleanup(self.directory.rmdir)
        self.path = str(self.directory / "socket")

    def listen_unix(self, path: str, **options: Any) -> Any:
        """
        Listen on a UNIX socket.
        """
        port = self.reactor.listenUNIX(path, DirectServing(DirectRecorder), **options)
        self.addCleanup(port.stopListening)
        return port

    async def check(self, path: str, **options: Any) -> None:
        """
        Connect both ways, and send many bytes.
        """
        port = self.listen_unix(path, **options)
        self.assertIsInstance(port, UNIXPort)
        self.assertEqual(port.getHost(), UNIXAddress(path))
        dialing = DirectDialing(DirectRecorder)
        connector = self.reactor.connectUNIX(path, dialing, checkPID=options.get("wantPID", 0))
        self.assertEqual(connector.getDestination(), UNIXAddress(path))
        await self.until(lambda: port.factory.built and dialing.built)
        [server], [client] = port.factory.built, dialing.built
        self.assertEqual(client.transport.getPeer(), UNIXAddress(path))
        self.assertEqual(client.transport.getHost(), UNIXAddress(None))
        self.assertEqual(server.transport.getHost(), UNIXAddress(path))
        self.assertFalse(server.transport.getTcpNoDelay())
        server.transport.setTcpNoDelay(True)
        client.transport.write(b"request")
        await self.until(lambda: server.data == b"request")
        server.transport.write(bytes(5_000_000))
        server.transport.loseConnection()
        await self.until(lambda: client.reason)
        self.assertEqual(len(client.data), 5_000_000)
        client.reason.trap(ConnectionDone)
        self.assertEqual([loss.type for loss in dialing.losses], [ConnectionDone])

    async def test_path(self) -> None:
        """
        Marked protocols talk through a socket in the file system over uvloop's transports.
        """
        await self.check(self.path)

    async def test_abstract(self) -> None:
        """
        They talk through one in the abstract namespace.
        """
        await self.check("\0siger-test-" + os.urandom(8).hex())

    async def test_lock(self) -> None:
        """
        They do with a lock beside the socket, by which others see that it is served, and which is gone with the port.
        """
        await self.check(self.path, wantPID=True)

    async def test_locked(self) -> None:
        """
        While a socket is served and locked nobody else can serve it.
        """
        self.listen_unix(self.path, wantPID=True)
        with self.assertRaises(CannotListenError):
            self.reactor.listenUNIX(self.path, DirectServing(DirectRecorder), wantPID=True)

    async def test_mode(self) -> None:
        """
        The socket has the mode asked for, and is gone with the port.
        """
        port = self.listen_unix(self.path, mode=0o640)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)
        await port.stopListening()
        self.assertFalse(os.path.exists(self.path))

    async def test_unmarked(self) -> None:
        """
        Other protocols get Twisted's own transports, which can pass file descriptors.
        """
        factory = ServingFactory(Recorder)
        port = self.reactor.listenUNIX(self.path, factory)
        self.addCleanup(port.stopListening)
        dialing = DialingFactory(Recorder)
        self.reactor.connectUNIX(self.path, dialing)
        await self.until(lambda: factory.built and dialing.built)
        for protocol in (factory.built[0], dialing.built[0]):
            self.assertTrue(hasattr(protocol.transport, "sendFileDescriptor"))
        dialing.built[0].transport.loseConnection()
        await self.until(lambda: factory.built[0].reason and dialing.built[0].reason)

    async def test_adopted_port(self) -> None:
        """
        A UNIX socket that listens already is adopted.
        """
        name = "\0siger-test-" + os.urandom(8).hex()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
            listener.listen()
            listener.setblocking(False)
            factory = DirectServing(DirectRecorder)
            port = self.reactor.adoptStreamPort(listener.fileno(), listener.family, factory)
        self.assertIsInstance(port, UNIXPort)
        self.addCleanup(port.stopListening)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(name)
            await self.until(lambda: factory.built)
        await factory.built[0].lost

    async def test_adopted_connection(self) -> None:
        """
        A UNIX connection that was accepted elsewhere is served.
        """
        ours, raw = socket.socketpair()
        self.addCleanup(raw.close)
        ours.setblocking(False)
        factory = DirectServing(DirectRecorder)
        self.reactor.adoptStreamConnection(ours.fileno(), ours.family, factory)
        ours.close()
        raw.send(b"hello")
        await self.until(lambda: factory.built[0].data)
        raw.close()
        await factory.built[0].lost
