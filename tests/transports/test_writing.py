"""
Tests for L{siger.transports.writing}.
"""

from __future__ import annotations

import socket

from tests.transports.peers import DirectRecorder, Recorder, TransportTestCase


class WriteTests(TransportTestCase):
    """
    Tests for C{write}, C{writelines} and C{writeSequence}.
    """

    async def test_is_uvloops(self) -> None:
        """
        While a connection is up, C{write} and C{writelines} are methods of uvloop's transport.
        """
        for build in (Recorder, DirectRecorder):
            server, _ = await self.raw_peer(build)
            for method in (server.transport.write, server.transport.writelines):
                self.assertEqual(type(method.__self__).__module__, "uvloop.loop")

    async def test_with_a_push_producer(self) -> None:
        """
        They are so with a push producer registered too: its pauses come from uvloop's high-water mark.
        """
        server, _ = await self.raw_peer()
        server.transport.registerProducer(server, True)
        self.assertEqual(type(server.transport.write.__self__).__module__, "uvloop.loop")
        server.transport.unregisterProducer()

    async def test_order(self) -> None:
        """
        Bytes arrive in the order of the calls, whichever they were.
        """
        server, raw = await self.raw_peer()
        server.transport.write(b"1")
        server.transport.writeSequence([b"2", b"", b"3"])
        server.transport.writelines(iter([b"4", b"5"]))
        server.transport.writeSequence(piece for piece in [b"6"])
        server.transport.write(b"")
        server.transport.writeSequence([])
        server.transport.write(b"7")
        server.transport.loseConnection()
        self.assertEqual(await self.read_all(raw), b"1234567")

    async def test_not_bytes(self) -> None:
        """
        Text is refused, and nothing of the sequence that it is in is sent.
        """
        server, raw = await self.raw_peer()
        with self.assertRaises(TypeError):
            server.transport.write("text")
        with self.assertRaises(TypeError):
            server.transport.writeSequence([b"bytes", "text"])
        server.transport.loseConnection()
        self.assertEqual(await self.read_all(raw), b"")

    async def test_before_the_connection(self) -> None:
        """
        Writes to a connector's transport that is not connected yet go nowhere and raise nothing.
        """
        port = self.listen(Recorder)
        connector = self.dial(port, Recorder)
        connector.transport.write(b"early")
        connector.transport.writelines([b"early"])
        connector.transport.writeSequence([b"early"])
        built = port.factory.built
        await self.until(lambda: built and connector.factory.built)
        connector.transport.write(b"x")
        await self.until(lambda: built[0].data)
        self.assertEqual(built[0].data, b"x")
        connector.transport.loseConnection()
        await built[0].lost

    async def test_writing(self) -> None:
        """
        A transport knows whether something is queued.
        """
        server, _ = await self.raw_peer()
        self.assertFalse(server.transport.writing)
        server.transport.write(bytes(10_000_000))
        self.assertTrue(server.transport.writing)
        server.transport.abortConnection()
        await server.lost
        self.assertFalse(server.transport.writing)


class OptionTests(TransportTestCase):
    """
    Tests for L{siger.transports.facts}.
    """

    async def test_no_delay(self) -> None:
        """
        Small segments are sent at once unless told otherwise, at both ends.
        """
        server, client = await self.pair()
        for transport in (server.transport, client.transport):
            self.assertTrue(transport.getTcpNoDelay())
            transport.setTcpNoDelay(False)
            self.assertFalse(transport.getTcpNoDelay())
            transport.setTcpNoDelay(True)
            self.assertTrue(transport.getTcpNoDelay())

    async def test_keep_alive(self) -> None:
        """
        The kernel's probes are off unless told otherwise.
        """
        server, client = await self.pair()
        for transport in (server.transport, client.transport):
            self.assertFalse(transport.getTcpKeepAlive())
            transport.setTcpKeepAlive(True)
            self.assertTrue(transport.getTcpKeepAlive())
            transport.setTcpKeepAlive(False)
            self.assertFalse(transport.getTcpKeepAlive())

    async def test_socket(self) -> None:
        """
        The socket's options can be read and set; its bytes cannot be taken behind uvloop's back; and it can be shut
        down.
        """
        server, raw = await self.raw_peer()
        handle = server.transport.getHandle()
        self.assertEqual(handle.fileno(), server.transport.fileno())
        self.assertEqual(handle.getsockname(), raw.getpeername())
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.assertEqual(handle.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), 131072)
        with self.assertRaises(TypeError):
            handle.recv(1)
        handle.shutdown(socket.SHUT_WR)
        self.assertEqual(await self.read_all(raw), b"")

    async def test_socket_of_the_lost(self) -> None:
        """
        There is no socket once the connection is gone, but the addresses are still known.
        """
        server, raw = await self.raw_peer()
        transport, handle = server.transport, server.transport.getHandle()
        host, peer = raw.getpeername(), raw.getsockname()
        raw.close()
        await server.lost
        await self.pause(0.01)
        self.assertEqual(transport.fileno(), -1)
        with self.assertRaises(AttributeError):
            transport.getHandle()
        with self.assertRaises(OSError):
            handle.send(b"x")
        self.assertEqual((transport.getHost().host, transport.getHost().port), host)
        self.assertEqual((transport.getPeer().host, transport.getPeer().port), peer)
