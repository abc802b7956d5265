"""
Tests for L{siger.transports.reading}.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.python import context
from twisted.python.log import ILogContext

from tests.transports.peers import DirectRecorder, Recorder, TransportTestCase


def frames_of_ours() -> list[str]:
    """
    List the functions of Siger's that are being executed.
    """
    found = []
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals["__name__"].startswith("siger."):
            found.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return found


class Stacked(Recorder):
    """
    Keeps who called it.
    """

    callers: list[str] | None = None

    def dataReceived(self, data: bytes) -> None:
        """
        Keep the bytes and who called.
        """
        super().dataReceived(data)
        self.callers = frames_of_ours()


class DirectStacked(Stacked):
    """
    One that libuv may call directly.
    """

    reads_directly = True


class DirectTests(TransportTestCase):
    """
    Protocols that libuv calls directly.
    """

    async def test_no_frame(self) -> None:
        """
        No function of ours is between libuv and the C{dataReceived} of a marked protocol, at either end.
        """
        server, client = await self.pair(DirectStacked, DirectStacked)
        # A client's first turn of the loop is spent waiting for whoever connected it.
        await self.pause(0.01)
        client.transport.write(b"x")
        server.transport.write(b"x")
        await self.until(lambda: server.data and client.data)
        self.assertEqual((server.callers, client.callers), ([], []))

    async def test_one_frame(self) -> None:
        """
        Any other protocol is called by one function.
        """
        server, client = await self.pair(Stacked)
        client.transport.write(b"x")
        await self.until(lambda: server.data)
        self.assertEqual(server.callers, ["_receive"])

    async def test_bound_in_connection_made(self) -> None:
        """
        A C{dataReceived} that a marked protocol gives itself in C{connectionMade} is what is called.
        """
        taken: list[bytes] = []

        class Delegating(DirectRecorder):
            def connectionMade(self) -> None:
                self.dataReceived = taken.append  # type: ignore[method-assign]

        server, raw = await self.raw_peer(Delegating)
        raw.send(b"delegated")
        await self.until(lambda: taken)
        self.assertEqual((taken, server.data), ([b"delegated"], b""))

    async def test_switched_later(self) -> None:
        """
        A marked protocol that gives itself another C{dataReceived} later says so by C{switch_protocol}.
        """
        taken: list[bytes] = []
        server, raw = await self.raw_peer(DirectRecorder)
        raw.send(b"one")
        await self.until(lambda: server.data)
        server.dataReceived = taken.append
        server.transport.switch_protocol(server)
        raw.send(b"two")
        await self.until(lambda: taken)
        self.assertEqual((server.data, taken), (b"one", [b"two"]))

    async def test_switched_while_receiving(self) -> None:
        """
        The switch can be made in C{dataReceived}.
        """
        taken: list[bytes] = []

        class Upgrading(DirectRecorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.dataReceived = taken.append  # type: ignore[method-assign]
                self.transport.switch_protocol(self)  # type: ignore[union-attr]

        server, raw = await self.raw_peer(Upgrading)
        raw.send(b"one")
        await self.until(lambda: server.data)
        raw.send(b"two")
        await self.until(lambda: taken)
        self.assertEqual((server.data, taken), (b"one", [b"two"]))


class ProtocolTests(TransportTestCase):
    """
    Other protocols.
    """

    async def test_changed_method(self) -> None:
        """
        An unmarked protocol can be given another C{dataReceived} at any time.
        """
        taken: list[bytes] = []
        server, raw = await self.raw_peer()
        raw.send(b"one")
        await self.until(lambda: server.data)
        server.dataReceived = taken.append
        raw.send(b"two")
        await self.until(lambda: taken)
        self.assertEqual((server.data, taken), (b"one", [b"two"]))

    async def test_assigned_protocol(self) -> None:
        """
        A protocol assigned to the transport gets the bytes from then on, and is told of the loss.
        """
        server, raw = await self.raw_peer(DirectRecorder)
        second = Recorder()
        server.transport.protocol = second
        self.assertIs(server.transport.protocol, second)
        raw.send(b"x")
        await self.until(lambda: second.data)
        raw.close()
        await second.lost
        self.assertIs(server.reason, None)
        server.reason = second.reason

    async def test_log_context(self) -> None:
        """
        A protocol that overrides C{logPrefix} receives in a log context that has it.
        """
        contexts: list[Any] = []

        class Named(Recorder):
            def logPrefix(self) -> str:
                return "named"

            def dataReceived(self, data: bytes) -> None:
                contexts.append(context.get(ILogContext)["system"])

        server, raw = await self.raw_peer(Named)
        raw.send(b"x")
        await self.until(lambda: contexts)
        self.assertEqual(contexts, ["named,0,127.0.0.1"])
        self.assertEqual(server.transport.logPrefix(), "named,0,127.0.0.1")

    async def test_log_prefix(self) -> None:
        """
        A client's name in the log is its protocol's, once it has one.
        """
        connector = self.dial(self.listen(Recorder), Recorder)
        self.assertEqual(connector.transport.logPrefix(), "Uninitialized")
        await self.until(lambda: connector.factory.built)
        self.assertEqual(connector.transport.logPrefix(), "Recorder,client")
