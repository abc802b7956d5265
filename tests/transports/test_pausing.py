"""
Tests for L{siger.transports.pausing}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from tests.transports.peers import DirectRecorder, Recorder, TransportTestCase, raw_pair


class PausedAtOnce(Recorder):
    """
    A protocol that wants nothing at first.
    """

    def connectionMade(self) -> None:
        """
        Pause.
        """
        assert self.transport is not None
        self.transport.pauseProducing()  # type: ignore[attr-defined]


class DirectPausedAtOnce(PausedAtOnce):
    """
    One that libuv may call directly.
    """

    reads_directly = True


class PauseTests(TransportTestCase):
    """
    Tests for C{pauseProducing} and C{resumeProducing}.
    """

    async def test_the_peer_waits(self) -> None:
        """
        While a connection is paused nothing is delivered, and its peer can send only what the kernel buffers.
        """
        server, raw = await self.raw_peer(DirectRecorder)
        server.transport.pauseProducing()
        sent = await self.fill(raw)
        self.assertEqual(server.data, b"")
        self.assertFalse(server.transport.reading)
        server.transport.resumeProducing()
        await self.until(lambda: len(server.data) == sent)

    async def test_twice(self) -> None:
        """
        One resume ends any number of pauses.
        """
        server, raw = await self.raw_peer()
        server.transport.pauseProducing()
        server.transport.pauseProducing()
        raw.send(b"x")
        await self.pause(0.01)
        self.assertEqual(server.data, b"")
        server.transport.resumeProducing()
        server.transport.resumeProducing()
        await self.until(lambda: server.data)

    async def test_while_receiving(self) -> None:
        """
        A pause in C{dataReceived} holds from there on: one read at most is delivered.
        """

        class OneAtATime(DirectRecorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.pauseProducing()  # type: ignore[union-attr]

        server, raw = await self.raw_peer(OneAtATime)
        await self.fill(raw)
        await self.until(lambda: server.data)
        first = len(server.data)
        self.assertLessEqual(first, 256 * 1024)
        await self.pause()
        self.assertEqual(len(server.data), first)

    async def test_in_connection_made(self) -> None:
        """
        A pause in C{connectionMade} holds, though uvloop starts to read after that.
        """
        for build in (PausedAtOnce, DirectPausedAtOnce):
            port = self.listen(build)
            raw = self.dial_raw(port)
            raw.send(b"one")
            await self.until(lambda port=port: port.factory.built)
            raw.send(b"two")
            await self.pause()
            [server] = port.factory.built
            self.assertEqual(server.data, b"")
            server.transport.resumeProducing()
            await self.until(lambda server=server: server.data == b"onetwo")
            raw.send(b"three")
            await self.until(lambda server=server: server.data == b"onetwothree")
            await self.close(server)

    async def test_end_in_pause(self) -> None:
        """
        The peer's end is not told before a pause is over, nor before the bytes that came first.
        """
        port = self.listen(PausedAtOnce)
        raw = self.dial_raw(port)
        raw.send(b"all")
        raw.close()
        await self.until(lambda: port.factory.built)
        [server] = port.factory.built
        await self.pause()
        self.assertEqual((server.data, server.reason), (b"", None))
        server.transport.resumeProducing()
        await server.lost
        server.reason.trap(ConnectionDone)
        self.assertEqual(server.data, b"all")

    async def test_end_without_bytes_in_pause(self) -> None:
        """
        So it is when nothing but the end comes.
        """
        port = self.listen(PausedAtOnce)
        self.dial_raw(port).close()
        await self.until(lambda: port.factory.built)
        [server] = port.factory.built
        await self.pause()
        self.assertIs(server.reason, None)
        server.transport.resumeProducing()
        await server.lost

    async def test_paused_again(self) -> None:
        """
        A pause that follows a resume at once holds too.
        """
        port = self.listen(PausedAtOnce)
        raw = self.dial_raw(port)
        raw.send(b"one")
        await self.until(lambda: port.factory.built)
        [server] = port.factory.built
        await self.pause(0.01)
        server.transport.resumeProducing()
        server.transport.pauseProducing()
        await self.pause()
        self.assertEqual(server.data, b"")
        server.transport.resumeProducing()
        await self.until(lambda: server.data == b"one")
        await self.close(server)

    async def test_failure_after_pause(self) -> None:
        """
        A protocol that fails on what was held loses its connection, as it does otherwise.
        """

        class Failing(PausedAtOnce):
            def dataReceived(self, data: bytes) -> None:
                raise ValueError("raised")

        port = self.listen(Failing)
        self.dial_raw(port).send(b"x")
        await self.until(lambda: port.factory.built)
        [server] = port.factory.built
        await self.pause(0.01)
        server.transport.resumeProducing()
        await server.lost
        server.reason.trap(ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_resume_after_close(self) -> None:
        """
        After C{loseConnection}, and after the loss, a resume does nothing.
        """
        server, raw = await self.raw_peer()
        transport = server.transport
        transport.write(bytes(10_000_000))
        transport.loseConnection()
        transport.resumeProducing()
        raw.send(b"x")
        await self.pause(0.01)
        self.assertFalse(transport.reading)
        transport.abortConnection()
        await server.lost
        transport.pauseProducing()
        transport.resumeProducing()
        self.assertEqual(server.data, b"")

    async def test_resume_while_a_producer_finishes(self) -> None:
        """
        Nothing is delivered either while C{loseConnection} waits for a producer.
        """
        server, raw = await self.raw_peer()
        server.transport.registerProducer(server, True)
        server.transport.loseConnection()
        server.transport.resumeProducing()
        raw.send(b"too late")
        await self.pause()
        self.assertEqual((server.data, server.reason), (b"", None))
        server.transport.unregisterProducer()
        await server.lost

    async def test_other_names(self) -> None:
        """
        C{stopReading} and C{startReading} are the same, as protocols written for Twisted's transports expect.
        """
        server, raw = await self.raw_peer()
        server.transport.stopReading()
        raw.send(b"x")
        await self.pause(0.01)
        self.assertEqual(server.data, b"")
        server.transport.startReading()
        await self.until(lambda: server.data)


class SettlingTests(TransportTestCase):
    """
    Clients are given a turn of the loop before bytes.
    """

    async def test_a_turn_passes(self) -> None:
        """
        What a client schedules in C{connectionMade} without delay happens before it receives, even if the server spoke
        first.
        """
        order: list[str] = []
        reactor = self.reactor

        class Scheduling(DirectRecorder):
            def connectionMade(self) -> None:
                reactor.callLater(0, order.append, "later")

            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                order.append("data")

        class Greeting(Recorder):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"220 ready")

        _, client = await self.pair(Greeting, Scheduling)
        await self.until(lambda: client.data)
        self.assertEqual(order, ["later", "data"])


class AdoptedTests(TransportTestCase):
    """
    Connections that were accepted elsewhere.
    """

    async def test_paused_from_the_start(self) -> None:
        """
        Bytes that were there before uvloop had the connection are held as well.
        """
        server, raw = raw_pair()
        raw.send(b"early")
        built: list[PausedAtOnce] = []

        class Adopting:
            def buildProtocol(self, addr: object) -> PausedAtOnce:
                built.append(PausedAtOnce())
                return built[0]

        server.setblocking(False)
        self.reactor.adoptStreamConnection(server.fileno(), server.family, Adopting())
        server.close()
        self.addCleanup(raw.close)
        await self.pause()
        self.assertEqual(built[0].data, b"")
        built[0].transport.resumeProducing()  # type: ignore[union-attr]
        await self.until(lambda: built[0].data == b"early")
        await self.close(built[0])
