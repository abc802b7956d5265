"""
Tests for L{siger.transports.halves}.
"""

from __future__ import annotations

import socket

from twisted.internet.error import ConnectionDone

from tests.transports.peers import HalfRecorder, Recorder, TransportTestCase
from tests.transports.test_producing import CHUNK, Puller, Pusher

MANY = bytes(range(256)) * 20480


class HalfCloseTests(TransportTestCase):
    """
    Tests for C{loseWriteConnection} and C{readConnectionLost}.
    """

    async def test_client_first(self) -> None:
        """
        A client that closes its half still receives, and each end is told what happened to which half.
        """
        server, client = await self.pair(HalfRecorder, HalfRecorder)
        client.transport.write(b"request")
        client.transport.loseWriteConnection()
        await self.until(lambda: server.halves)
        self.assertEqual((server.data, server.halves, client.halves), (b"request", ["read"], ["write"]))
        server.transport.write(MANY)
        await self.until(lambda: client.data == MANY)
        server.transport.loseConnection()
        await self.until(lambda: server.reason and len(client.halves) == 2)
        self.assertEqual(client.halves, ["write", "read"])
        client.transport.loseConnection()
        await client.lost
        client.reason.trap(ConnectionDone)

    async def test_server_first(self) -> None:
        """
        A server that closes its half still receives.
        """
        server, raw = await self.raw_peer(HalfRecorder)
        server.transport.write(b"response")
        server.transport.loseWriteConnection()
        self.assertEqual(await self.read_all(raw), b"response")
        raw.send(b"more")
        await self.until(lambda: server.data == b"more")
        self.assertEqual(server.halves, ["write"])
        raw.close()
        await self.until(lambda: len(server.halves) == 2)
        self.assertEqual(server.halves, ["write", "read"])
        self.assertIs(server.reason, None)
        server.transport.unregisterProducer()
        self.assertFalse(server.transport._awaiting_flush, "nothing waits for a producer that there was not")
        server.transport.loseConnection()
        await server.lost
        server.reason.trap(ConnectionDone)

    async def test_queued_bytes_first(self) -> None:
        """
        What is queued is sent before the half is closed, and only then is the protocol told.
        """
        server, raw = await self.raw_peer(HalfRecorder)
        server.transport.write(MANY)
        server.transport.loseWriteConnection()
        await self.pause(0.02)
        self.assertEqual(server.halves, [])
        self.assertEqual(await self.read_all(raw, slowly=True), MANY)
        await self.until(lambda: server.halves)
        self.assertEqual(server.halves, ["write"])

    async def test_producers_first(self) -> None:
        """
        A producer, of either kind, may finish before the half is closed.
        """
        for make, streaming in ((Pusher, True), (Puller, False)):
            server, raw = await self.raw_peer(HalfRecorder)
            producer = make(server.transport, 200)
            server.transport.registerProducer(producer, streaming)
            server.transport.loseWriteConnection()
            if isinstance(producer, Pusher):
                producer.push()
            self.assertEqual(len(await self.read_all(raw, slowly=True)), 200 * len(CHUNK))
            await self.until(lambda server=server: server.halves)

    async def test_writes_after_are_ignored(self) -> None:
        """
        Writes after the half is closed go nowhere and raise nothing, nor does a second close of it.
        """
        server, raw = await self.raw_peer(HalfRecorder)
        server.transport.loseWriteConnection()
        self.assertEqual(await self.read_all(raw), b"")
        server.transport.write(b"late")
        server.transport.writeSequence([b"late"])
        server.transport.loseWriteConnection()
        await self.pause(0.01)
        self.assertEqual(server.halves, ["write"])

    async def test_close_after_half(self) -> None:
        """
        The rest can be closed or aborted as usual.
        """
        for end in ("loseConnection", "abortConnection"):
            server, raw = await self.raw_peer(HalfRecorder)
            server.transport.loseWriteConnection()
            self.assertEqual(await self.read_all(raw), b"")
            getattr(server.transport, end)()
            await server.lost

    async def test_other_protocols(self) -> None:
        """
        For a protocol that does not care about halves, the end of one is the end of the connection.
        """
        server, raw = await self.raw_peer(Recorder)
        server.transport.write(b"response")
        server.transport.loseWriteConnection()
        self.assertEqual(await self.read_all(raw), b"response")
        raw.shutdown(socket.SHUT_WR)
        await server.lost
        server.reason.trap(ConnectionDone)

    async def test_end_is_told_once(self) -> None:
        """
        The peer's end is told once, however often the protocol pauses and resumes after that.
        """
        server, raw = await self.raw_peer(HalfRecorder)
        raw.shutdown(socket.SHUT_WR)
        await self.until(lambda: server.halves)
        server.transport.pauseProducing()
        server.transport.resumeProducing()
        await self.pause(0.01)
        self.assertEqual(server.halves, ["read"])

    async def test_failing(self) -> None:
        """
        What the notifications raise is logged, and closes the connection.
        """
        for failing in ("readConnectionLost", "writeConnectionLost"):

            class Failing(HalfRecorder):
                def raising(self) -> None:
                    raise ValueError("raised")

            setattr(Failing, failing, Failing.raising)
            server, raw = await self.raw_peer(Failing)
            if failing == "readConnectionLost":
                raw.shutdown(socket.SHUT_WR)
            else:
                server.transport.loseWriteConnection()
            await self.until(lambda server=server: server.reason)
            server.reason.trap(ValueError)
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
