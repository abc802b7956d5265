"""
Tests for L{siger.transports.connection}.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
from typing import Any
from weakref import ref

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    ILoggingContext,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
)
from twisted.python.failure import Failure
from zope.interface.verify import verifyClass, verifyObject

from siger.transports.clients import TCPClient
from siger.transports.connection import Connection
from siger.transports.serving import AcceptedConnection
from tests.transports.peers import DialingFactory, DirectRecorder, HalfRecorder, Recorder, TransportTestCase

INTERFACES = [
    IConsumer,
    IHalfCloseableDescriptor,
    ILoggingContext,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
]

MANY = bytes(range(256)) * 40960
"""
Ten megabytes that are not all the same.
"""


class InterfaceTests(TransportTestCase):
    """
    What a connection offers.
    """

    def test_classes(self) -> None:
        """
        The classes provide what Twisted's TCP transports provide.
        """
        for interface in INTERFACES:
            for cls in (Connection, AcceptedConnection, TCPClient):
                verifyClass(interface, cls)

    async def test_objects(self) -> None:
        """
        So do the transports of both ends, while connected and after.
        """
        server, client = await self.pair()
        transports = [server.transport, client.transport]
        self.assertIsInstance(server.transport, AcceptedConnection)
        self.assertIsInstance(client.transport, TCPClient)
        for interface in INTERFACES:
            for transport in transports:
                verifyObject(interface, transport)
        client.transport.loseConnection()
        await self.until(lambda: server.reason and client.reason)
        for interface in INTERFACES:
            for transport in transports:
                verifyObject(interface, transport)

    async def test_bytes_both_ways(self) -> None:
        """
        What one end writes the other receives, and the addresses of both agree.
        """
        server, client = await self.pair()
        client.transport.write(b"ping")
        server.transport.writeSequence([b"po", b"ng"])
        await self.until(lambda: server.data == b"ping" and client.data == b"pong")
        self.assertEqual(server.transport.getPeer(), client.transport.getHost())
        self.assertEqual(server.transport.getHost(), client.transport.getPeer())


class LoseConnectionTests(TransportTestCase):
    """
    Tests for L{Connection.loseConnection}.
    """

    async def test_queued_bytes_arrive(self) -> None:
        """
        Ten megabytes queued before the close arrive whole, and nothing more, at a peer that reads slowly.
        """
        server, raw = await self.raw_peer()
        server.transport.write(MANY)
        server.transport.loseConnection()
        self.assertTrue(server.transport.disconnecting)
        await self.pause(0.02)
        self.assertIs(server.reason, None)
        server.transport.write(b"late")
        server.transport.writeSequence([b"late"])
        self.assertEqual(await self.read_all(raw, slowly=True), MANY)
        await server.lost
        server.reason.trap(ConnectionDone)

    async def test_in_connection_made(self) -> None:
        """
        A protocol can write and close as soon as it is connected.
        """

        class Brief(Recorder):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"brief")
                self.transport.loseConnection()

        _, raw = await self.raw_peer(Brief)
        self.assertEqual(await self.read_all(raw), b"brief")

    async def test_nothing_is_delivered_after(self) -> None:
        """
        What the peer sends after C{loseConnection} is not delivered, though the connection is still up.
        """
        server, raw = await self.raw_peer()
        server.transport.write(MANY)
        server.transport.loseConnection()
        raw.send(b"too late")
        await self.pause()
        self.assertEqual(server.data, b"")
        self.assertIs(server.reason, None)

    async def test_twice(self) -> None:
        """
        A second C{loseConnection} changes nothing, nor does one after the loss.
        """
        server, client = await self.pair()
        transport = client.transport
        transport.loseConnection()
        transport.loseConnection()
        await self.until(lambda: server.reason and client.reason)
        transport.loseConnection()
        server.reason.trap(ConnectionDone)
        client.reason.trap(ConnectionDone)

    async def test_writes_after_are_ignored(self) -> None:
        """
        Writes after C{loseConnection}, and after the loss, go nowhere and raise nothing.
        """
        server, client = await self.pair()
        transport = client.transport

        def write() -> None:
            transport.write(b"late")
            transport.writeSequence([b"late"])
            transport.writelines([b"late"])

        transport.write(b"early")
        transport.loseConnection()
        write()
        await self.until(lambda: server.reason and client.reason)
        write()
        await self.pause(0.01)
        self.assertEqual(server.data, b"early")

    async def test_writes_in_connection_lost_are_ignored(self) -> None:
        """
        Writes from C{connectionLost} go nowhere and raise nothing.
        """

        class Talkative(Recorder):
            def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
                assert self.transport is not None
                self.transport.write(b"last words")
                self.transport.writeSequence([b"last", b"words"])
                super().connectionLost(reason)

        server, client = await self.pair(Talkative)
        client.transport.loseConnection()
        await self.until(lambda: server.reason and client.reason)

    async def test_stop_producing(self) -> None:
        """
        C{stopProducing} closes.
        """
        server, client = await self.pair()
        client.transport.stopProducing()
        await self.until(lambda: server.reason and client.reason)
        client.reason.trap(ConnectionDone)


class AbortConnectionTests(TransportTestCase):
    """
    Tests for L{Connection.abortConnection}.
    """

    async def test_peer_sees_a_reset(self) -> None:
        """
        An abort drops what is queued, resets the connection, and is the reason of the loss.
        """
        server, raw = await self.raw_peer()
        server.transport.write(MANY)
        server.transport.abortConnection()
        server.transport.write(b"late")
        self.assertIs(server.reason, None)
        await server.lost
        server.reason.trap(ConnectionAborted)
        with self.assertRaises(ConnectionResetError):
            await self.read_all(raw)

    async def test_after_lose_connection(self) -> None:
        """
        A close that waits for its peer can be aborted.
        """
        server, raw = await self.raw_peer()
        server.transport.write(MANY)
        server.transport.loseConnection()
        await self.pause(0.01)
        server.transport.abortConnection()
        server.transport.abortConnection()
        await server.lost
        server.reason.trap(ConnectionAborted)
        with self.assertRaises(ConnectionResetError):
            await self.read_all(raw)

    async def test_nothing_is_delivered_after(self) -> None:
        """
        A protocol that aborts while it is given bytes gets no more.
        """

        class Aborting(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                assert self.transport is not None
                self.transport.abortConnection()  # type: ignore[attr-defined]

        server, raw = await self.raw_peer(Aborting)
        raw.send(b"one")
        await self.until(lambda: server.data)
        try:
            raw.send(b"two")
        except OSError:
            self.assertNotEqual(server.data, b"onetwo")
        await server.lost
        self.assertEqual(server.data, b"one")


class LossTests(TransportTestCase):
    """
    How a connection ends from outside.
    """

    async def test_end(self) -> None:
        """
        When the peer closes, the connection is done, even with bytes queued that it does not take.
        """
        server, raw = await self.raw_peer()
        server.transport.write(MANY)
        raw.shutdown(socket.SHUT_WR)
        await server.lost
        server.reason.trap(ConnectionDone)

    async def test_reset(self) -> None:
        """
        When the peer resets, the connection is lost.
        """
        server, client = await self.pair()
        client.transport.abortConnection()
        await server.lost
        server.reason.trap(ConnectionLost)

    async def test_last_words(self) -> None:
        """
        What the peer sent before it reset the connection is delivered, even if a write of ours met the reset first.
        """
        server, raw = await self.raw_peer()
        server.transport.write(b"question")
        raw.send(b"answer")
        raw.close()
        # The peer has not read the question: so this is a reset. Wait for it in the kernel, not in the loop.
        _wait_for_reset(server.transport.fileno())
        server.transport.write(b"more")
        await server.lost
        server.reason.trap(ConnectionLost)
        self.assertEqual(server.data, b"answer")

    async def test_last_words_of_the_paused(self) -> None:
        """
        A paused connection gets no last words.
        """
        server, raw = await self.raw_peer()
        server.transport.pauseProducing()
        server.transport.write(b"question")
        raw.send(b"answer")
        raw.close()
        _wait_for_reset(server.transport.fileno())
        server.transport.write(b"more")
        await server.lost
        self.assertEqual(server.data, b"")

    async def test_forget(self) -> None:
        """
        The socket can be closed under a connection, which then says nothing to its protocol.
        """
        server, raw = await self.raw_peer()
        transport = server.transport
        transport.socket.close()
        self.assertEqual(await self.read_all(raw), b"")
        self.assertIs(server.reason, None)
        self.assertTrue(transport.disconnected)
        server.reason = Failure(ConnectionDone())

    async def test_halves_lost_from_outside(self) -> None:
        """
        C{readConnectionLost} is the peer's end; C{writeConnectionLost} is the end of all.
        """
        reason = Failure(ConnectionLost())
        server, client = await self.pair(HalfRecorder, HalfRecorder)
        server.transport.readConnectionLost(reason)
        self.assertEqual((server.halves, server.reason), (["read"], None))
        client.transport.writeConnectionLost(reason)
        self.assertIs(client.reason, reason)

    async def test_no_cycles(self) -> None:
        """
        What belonged to a connection that is gone goes at once, without waiting for the collector of cycles.
        """
        gc.disable()
        self.addCleanup(gc.enable)
        port = self.listen(DirectRecorder)
        dialing = DialingFactory(Recorder)
        self.reactor.connectTCP("127.0.0.1", port.getHost().port, dialing)
        await self.until(lambda: port.factory.built and dialing.built)
        [server], [client] = port.factory.built, dialing.built
        transports = [ref(server.transport), ref(client.transport)]
        server.transport.registerProducer(server.transport, True)
        server.transport.setTcpKeepAlive(True)
        client.transport.write(b"x")
        await self.until(lambda: server.data)
        server.transport.unregisterProducer()
        client.transport.loseConnection()
        await self.until(lambda: server.reason and client.reason)
        server.transport = client.transport = None
        await self.pause(0.01)
        self.assertEqual([transport() for transport in transports], [None, None])

    async def test_connection_lost_from_outside(self) -> None:
        """
        C{connectionLost} ends a connection at once, and only once.
        """
        server, raw = await self.raw_peer()
        reason = Failure(ConnectionLost())
        server.transport.connectionLost(reason)
        self.assertIs(server.reason, reason)
        server.transport.connectionLost(reason)
        self.assertEqual(await self.read_all(raw), b"")


def _wait_for_reset(descriptor: int) -> None:
    """
    Block until the kernel has seen a reset on a socket, of which it then still has bytes to read.
    """
    poll = select.poll()
    poll.register(descriptor, 0)
    events = poll.poll(5000)
    assert events, "no reset"
    assert events[0][1] & (select.POLLHUP | select.POLLERR)


class Failing(Recorder):
    """
    A recorder one of whose methods raises.
    """

    error: BaseException

    def dataReceived(self, data: bytes) -> None:
        """
        Raise.
        """
        raise self.error


class DirectFailing(DirectRecorder, Failing):
    """
    One that libuv calls directly.
    """

    dataReceived = Failing.dataReceived


class ErrorTests(TransportTestCase):
    """
    What application code raises is logged, and closes its own connection only.
    """

    async def _check(self, cls: type[Failing], error: Exception) -> None:
        """
        Have C{dataReceived} raise on one of two connections.
        """
        cls.error = error
        port = self.listen(cls)
        failing, other = self.dial(port, Recorder), self.dial(port, Recorder)
        servers = port.factory.built
        await self.until(lambda: len(servers) == 2 and all(one.factory.built for one in (failing, other)))
        failing, other = failing.factory.built[0], other.factory.built[0]
        failing.transport.write(b"x")
        await failing.lost
        failed = next(server for server in servers if server.reason is not None)
        self.assertIs(failed.reason.value, error)
        self.assertEqual([logged.value for logged in self.flushLoggedErrors(type(error))], [error])
        await self.pause(0.01)
        self.assertIs(other.reason, None)
        self.assertEqual(len([server for server in servers if server.reason is None]), 1)
        other.transport.loseConnection()
        await self.until(lambda: all(server.reason for server in servers))

    async def test_data_received(self) -> None:
        """
        It does so when C{dataReceived} raises.
        """
        await self._check(Failing, ValueError("raised"))

    async def test_data_received_directly(self) -> None:
        """
        It does so without a frame of ours to catch it.
        """
        await self._check(DirectFailing, ValueError("raised"))

    async def test_os_error(self) -> None:
        """
        An C{OSError} that application code raises is told from one of the connection's.
        """
        await self._check(DirectFailing, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))

    async def test_after_abort(self) -> None:
        """
        A failure is the reason of the loss even when the protocol has aborted before.
        """

        class AbortingAndFailing(DirectRecorder):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.abortConnection()  # type: ignore[attr-defined]
                raise ValueError("raised")

        server, raw = await self.raw_peer(AbortingAndFailing)
        raw.send(b"x")
        await server.lost
        server.reason.trap(ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_connection_made(self) -> None:
        """
        A protocol that fails in C{connectionMade} loses its connection.
        """

        class NeverMade(Recorder):
            def connectionMade(self) -> None:
                raise ValueError("raised")

        server, raw = await self.raw_peer(NeverMade)
        self.assertEqual(await self.read_all(raw), b"")
        await server.lost
        server.reason.trap(ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_build_protocol(self) -> None:
        """
        A factory that fails loses the connection, and the port goes on.
        """
        builders: list[Any] = [Recorder]

        def build() -> Any:
            if builders:
                return builders.pop()()
            raise ValueError("raised")

        port = self.listen(build)
        first, second = self.dial_raw(port), self.dial_raw(port)
        await self.until(lambda: self.flushLoggedErrors(ValueError))
        self.assertEqual(await self.read_all(second), b"")
        [server] = port.factory.built
        builders.append(Recorder)
        self.dial_raw(port)
        await self.until(lambda: len(port.factory.built) == 2)
        for server in port.factory.built:
            await self.close(server)
        first.close()

    async def test_connection_lost(self) -> None:
        """
        What C{connectionLost} raises is logged, as is what a producer's C{stopProducing} raises before it.
        """

        class Bad(Recorder):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.registerProducer(self, True)  # type: ignore[attr-defined]

            def stopProducing(self) -> None:
                raise KeyError("raised")

            def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
                super().connectionLost(reason)
                raise ValueError("raised")

        server, raw = await self.raw_peer(Bad)
        raw.close()
        await server.lost
        await self.pause(0.01)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
