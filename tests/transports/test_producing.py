"""
Tests for L{siger.transports.producing}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from siger.transports.writing import HIGH_WATER
from tests.transports.peers import Recorder, TransportTestCase

CHUNK = bytes(16384)


@implementer(IPushProducer)
class Pusher:
    """
    Writes chunks until it is paused or has written all.

    @ivar most: the most that was ever queued in the transport.
    """

    def __init__(self, transport: Any, chunks: int) -> None:
        self.transport = transport
        self.left = chunks
        self.most = 0
        self.calls: list[str] = []
        self.paused = False

    def push(self) -> None:
        """
        Write until paused.
        """
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(CHUNK)
            self.most = max(self.most, self.transport._uv.get_write_buffer_size())
        if not self.left:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """
        Write no more.
        """
        self.calls.append("pause")
        self.paused = True

    def resumeProducing(self) -> None:
        """
        Go on.
        """
        self.calls.append("resume")
        self.paused = False
        self.push()

    def stopProducing(self) -> None:
        """
        Write never again.
        """
        self.calls.append("stop")
        self.left = 0


@implementer(IPullProducer)
class Puller:
    """
    Writes a chunk whenever it is pulled, until it has written all.

    @ivar queued: how much was queued whenever it was pulled.
    """

    def __init__(self, transport: Any, chunks: int) -> None:
        self.transport = transport
        self.left = chunks
        self.queued: list[int] = []
        self.stopped = 0

    def resumeProducing(self) -> None:
        """
        Write a chunk.
        """
        self.queued.append(self.transport._uv.get_write_buffer_size())
        if self.left:
            self.left -= 1
            self.transport.write(CHUNK)
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """
        Write never again.
        """
        self.stopped += 1


class PushTests(TransportTestCase):
    """
    Producers that push.
    """

    async def test_slow_reader(self) -> None:
        """
        A producer is paused while its peer reads slowly, and all arrives with never more than the high-water mark and a
        chunk in memory.
        """
        server, raw = await self.raw_peer()
        pusher = Pusher(server.transport, 2000)
        server.transport.registerProducer(pusher, True)
        pusher.push()
        server.transport.loseConnection()
        received = await self.read_all(raw, slowly=True)
        self.assertEqual(len(received), 2000 * len(CHUNK))
        self.assertLessEqual(pusher.most, HIGH_WATER + len(CHUNK))
        self.assertGreater(pusher.calls.count("pause"), 1)
        # The last chunk may be what it was paused for.
        self.assertIn(pusher.calls.count("pause") - pusher.calls.count("resume"), (0, 1))

    async def test_registered_while_blocked(self) -> None:
        """
        A producer registered with a transport that has too much queued is paused at once, and resumed in time.
        """
        server, raw = await self.raw_peer()
        server.transport.write(bytes(10_000_000))
        pusher = Pusher(server.transport, 1)
        server.transport.registerProducer(pusher, True)
        self.assertEqual(pusher.calls, ["pause"])
        server.transport.loseConnection()
        self.assertEqual(len(await self.read_all(raw)), 10_000_000 + len(CHUNK))
        self.assertEqual(pusher.calls, ["pause", "resume"])

    async def test_close_waits(self) -> None:
        """
        C{loseConnection} waits for the producer to be unregistered, and what it writes until then is sent.
        """
        server, raw = await self.raw_peer()
        pusher = Pusher(server.transport, 1)
        server.transport.registerProducer(pusher, True)
        server.transport.loseConnection()
        self.assertFalse(server.transport.reading)
        await self.pause()
        self.assertIs(server.reason, None)
        pusher.push()
        self.assertEqual(await self.read_all(raw), CHUNK)
        server.reason.trap(ConnectionDone)

    async def test_stopped(self) -> None:
        """
        When the connection is lost the producer is stopped, before the protocol is told.
        """
        server, raw = await self.raw_peer()
        pusher = Pusher(server.transport, 1)
        server.lost.addCallback(lambda _: pusher.calls.append("lost"))
        server.transport.registerProducer(pusher, True)
        raw.close()
        await self.until(lambda: server.reason)
        self.assertEqual(pusher.calls, ["stop", "lost"])
        self.assertIs(server.transport.producer, None)

    async def test_registered_when_lost(self) -> None:
        """
        A producer registered with a connection that is gone is stopped at once.
        """
        server, raw = await self.raw_peer()
        raw.close()
        await server.lost
        pusher = Pusher(server.transport, 1)
        server.transport.registerProducer(pusher, True)
        self.assertEqual(pusher.calls, ["stop"])
        server.transport.unregisterProducer()

    async def test_only_one(self) -> None:
        """
        There is one producer at a time.
        """
        server, _ = await self.raw_peer()
        server.transport.registerProducer(server, True)
        with self.assertRaises(RuntimeError):
            server.transport.registerProducer(server, True)
        server.transport.unregisterProducer()
        server.transport.registerProducer(server, True)
        server.transport.unregisterProducer()

    async def test_failing(self) -> None:
        """
        A producer that fails when it is paused or resumed closes this connection, and is logged.
        """
        for failing in ("pauseProducing", "resumeProducing"):

            class Failing(Pusher):
                def raising(self) -> None:
                    raise ValueError("raised")

            setattr(Failing, failing, Failing.raising)
            server, raw = await self.raw_peer()
            failed = Failing(server.transport, 10**9)
            server.transport.registerProducer(failed, True)
            server.transport.write(bytes(10_000_000))
            if failing == "resumeProducing":
                self.assertGreaterEqual(len(await self.read_all(raw)), 10_000_000 - HIGH_WATER)
            await self.until(lambda server=server: server.reason)
            server.reason.trap(ValueError)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_buffer_size(self) -> None:
        """
        A transport that was told how much may be queued pauses a producer who writes more than that in one call, and
        resumes it when that is sent.
        """
        server, raw = await self.raw_peer()
        transport = server.transport
        self.assertEqual(transport.bufferSize, HIGH_WATER)
        transport.bufferSize = 500
        self.assertEqual(transport.bufferSize, 500)
        pusher = Pusher(transport, 0)
        pusher.push = lambda: None  # type: ignore[method-assign]
        transport.registerProducer(pusher, True)
        transport.write(bytes(500))
        self.assertEqual(pusher.calls, [])
        transport.writeSequence([bytes(250), bytes(251)])
        transport.write(bytes(1000))
        self.assertEqual(pusher.calls, ["pause"])
        await self.until(lambda: len(pusher.calls) == 2)
        self.assertEqual(pusher.calls, ["pause", "resume"])
        transport.unregisterProducer()
        transport.loseConnection()
        self.assertEqual(len(await self.read_all(raw)), 2001)


class PullTests(TransportTestCase):
    """
    Producers that are pulled.
    """

    async def test_slow_reader(self) -> None:
        """
        A producer is pulled whenever all that it wrote is sent, so that never more than one chunk is in memory.
        """
        server, raw = await self.raw_peer()
        puller = Puller(server.transport, 1000)
        server.transport.registerProducer(puller, False)
        self.assertEqual(len(puller.queued), 1)
        server.transport.loseConnection()
        received = await self.read_all(raw, slowly=True)
        self.assertEqual(len(received), 1000 * len(CHUNK))
        self.assertEqual(set(puller.queued), {0})
        await self.until(lambda: server.reason)
        server.reason.trap(ConnectionDone)
        self.assertEqual(puller.stopped, 0)

    async def test_after_a_write(self) -> None:
        """
        A producer that writes nothing when first asked is asked again when what was queued before is sent.
        """
        server, raw = await self.raw_peer()
        server.transport.write(bytes(10_000_000))
        puller = Puller(server.transport, 0)
        puller.transport = server.transport
        calls: list[int] = []
        puller.resumeProducing = lambda: calls.append(server.transport._uv.get_write_buffer_size())  # type: ignore[method-assign]
        server.transport.registerProducer(puller, False)
        self.assertEqual(len(calls), 1)
        self.assertGreater(calls[0], 0)
        done = Deferred.fromCoroutine(self.read_all(raw))
        await self.until(lambda: len(calls) == 2)
        self.assertEqual(calls[1], 0)
        server.transport.stopConsuming()
        self.assertEqual(len(await done), 10_000_000)

    async def test_writes_are_uvloops_again(self) -> None:
        """
        Once a producer is unregistered, writes go straight to uvloop.
        """
        server, raw = await self.raw_peer()
        server.transport.registerProducer(Puller(server.transport, 3), False)
        self.assertIsNot(getattr(server.transport.write, "__self__", None), server.transport._uv)
        await self.until(lambda: server.transport.producer is None)
        self.assertIs(server.transport.write.__self__, server.transport._uv)
        server.transport.loseConnection()
        self.assertEqual(len(await self.read_all(raw)), 3 * len(CHUNK))

    async def test_abort(self) -> None:
        """
        An abort stops the producer.
        """
        server, _ = await self.raw_peer()
        puller = Puller(server.transport, 10**9)
        server.transport.registerProducer(puller, False)
        await self.pause(0.01)
        server.transport.abortConnection()
        await server.lost
        server.reason.trap(ConnectionAborted)
        pulled = len(puller.queued)
        await self.pause(0.01)
        self.assertEqual((puller.stopped, len(puller.queued)), (1, pulled))

    async def test_failing(self) -> None:
        """
        A producer that fails when it is pulled closes this connection, and is logged.
        """

        class Failing(Puller):
            def resumeProducing(self) -> None:
                if self.queued:
                    raise ValueError("raised")
                super().resumeProducing()

        server, raw = await self.raw_peer()
        server.transport.registerProducer(Failing(server.transport, 5), False)
        self.assertEqual(await self.read_all(raw), CHUNK)
        await self.until(lambda: server.reason)
        server.reason.trap(ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class RelayTests(TransportTestCase):
    """
    Two connections joined by each being the other's producer, as a proxy joins them.
    """

    async def test_backpressure_through(self) -> None:
        """
        When the reader stops, the writer has to wait; nothing is lost, and little is in memory.
        """

        class Relaying(Recorder):
            other: Any = None

            def dataReceived(self, data: bytes) -> None:
                self.other.transport.write(data)

            def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
                self.other.transport.unregisterProducer()
                self.other.transport.loseConnection()
                super().connectionLost(reason)

        first, writer = await self.raw_peer(Relaying)
        second, reader = await self.raw_peer(Relaying)
        first.other, second.other = second, first
        first.transport.registerProducer(second.transport, True)
        second.transport.registerProducer(first.transport, True)
        sent = await self.fill(writer)
        self.assertFalse(first.transport.reading)
        self.assertLessEqual(second.transport._uv.get_write_buffer_size(), HIGH_WATER + 256 * 1024)
        writer.close()
        self.assertEqual(len(await self.read_all(reader, slowly=True)), sent)
        await self.until(lambda: first.reason and second.reason)
