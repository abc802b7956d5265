"""
Connections for the tests of transports: protocols that record, and raw sockets as the other end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

__all__ = [
    "DialingFactory",
    "DirectRecorder",
    "HalfRecorder",
    "Recorder",
    "ServingFactory",
    "TransportTestCase",
    "deaf_listener",
    "global_reactor",
    "raw_pair",
]


def global_reactor() -> Any:
    """
    Return the reactor that the tests' package installed.
    """
    from twisted.internet import reactor

    return reactor


class Recorder(Protocol):
    """
    Keeps what it is told.

    @ivar data: the bytes received so far.
    @ivar reason: why the connection was lost, or C{None} while it is up.
    @ivar lost: fires at that.
    """

    def __init__(self) -> None:
        self.data = b""
        self.reason: Failure | None = None
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """
        Keep the bytes.
        """
        self.data += data

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008 (as Twisted has it)
        """
        Keep the reason.
        """
        self.reason = reason
        self.lost.callback(None)


class DirectRecorder(Recorder):
    """
    A recorder that libuv may call directly.
    """

    reads_directly = True


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """
    A recorder that goes on when one half is closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.halves: list[str] = []

    def readConnectionLost(self) -> None:
        """
        The peer's half is closed.
        """
        self.halves.append("read")

    def writeConnectionLost(self) -> None:
        """
        Our half is closed.
        """
        self.halves.append("write")


class ServingFactory(Factory):
    """
    Builds protocols, and tells of the first.
    """

    noisy = False

    def __init__(self, build: Callable[[], Any]) -> None:
        self.build = build
        self.built: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        """
        Build one and keep it.
        """
        built = self.build()
        self.built.append(built)
        return built


class DialingFactory(ClientFactory):
    """
    Builds protocols, and keeps what connectors say.
    """

    noisy = False

    def __init__(self, build: Callable[[], Any]) -> None:
        self.build = build
        self.built: list[Any] = []
        self.failures: list[Failure] = []
        self.losses: list[Failure] = []

    def buildProtocol(self, addr: Any) -> Any:
        """
        Build one and keep it.
        """
        built = self.build()
        self.built.append(built)
        return built

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """
        Keep the reason.
        """
        self.failures.append(reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """
        Keep the reason.
        """
        self.losses.append(reason)


class TransportTestCase(TestCase):
    """
    Makes connections and cleans them up.
    """

    timeout = 20

    def setUp(self) -> None:
        """
        Take the reactor.
        """
        self.reactor = global_reactor()

    async def until(self, condition: Callable[[], Any]) -> None:
        """
        Let the reactor run until C{condition} holds.
        """
        while not condition():
            await deferLater(self.reactor, 0.001)

    async def pause(self, seconds: float = 0.05) -> None:
        """
        Let the reactor run for a while.
        """
        await deferLater(self.reactor, seconds)

    def listen(self, build: Callable[[], Any], **options: Any) -> Any:
        """
        Listen on loopback.

        @return: the port; its factory keeps the protocols built.
        """
        options.setdefault("interface", "127.0.0.1")
        port = self.reactor.listenTCP(0, ServingFactory(build), **options)
        self.addCleanup(port.stopListening)
        return port

    def dial(self, port: Any, build: Callable[[], Any], **options: Any) -> Any:
        """
        Connect to a port.

        @return: the connector; its factory keeps the protocols built.
        """
        host = port.getHost()
        connector = self.reactor.connectTCP(host.host, host.port, DialingFactory(build), **options)
        self.addCleanup(self._close_dialed, connector)
        return connector

    async def _close_dialed(self, connector: Any) -> None:
        """
        Abort what a connector connected, and wait for it.
        """
        for protocol in connector.factory.built:
            await self.close(protocol)

    async def close(self, protocol: Any) -> None:
        """
        Abort the connection of a recorder, and wait for it.
        """
        if protocol is not None and protocol.reason is None and protocol.transport is not None:
            protocol.transport.abortConnection()
            await self.until(lambda: protocol.reason is not None)

    async def pair(self, server: Callable[[], Any] = Recorder, client: Callable[[], Any] = Recorder) -> tuple[Any, Any]:
        """
        Connect two protocols.
        """
        port = self.listen(server)
        connector = self.dial(port, client)
        built, dialed = port.factory.built, connector.factory.built
        await self.until(lambda: built and dialed and built[0].transport and dialed[0].transport)
        self.addCleanup(self.close, built[0])
        return built[0], dialed[0]

    async def raw_peer(self, build: Callable[[], Any] = Recorder) -> tuple[Any, socket.socket]:
        """
        Connect a raw socket to a protocol.
        """
        port = self.listen(build)
        raw = self.dial_raw(port)
        built = port.factory.built
        await self.until(lambda: built and built[0].transport)
        self.addCleanup(self.close, built[0])
        return built[0], raw

    def dial_raw(self, port: Any) -> socket.socket:
        """
        Connect a raw socket to a port.
        """
        raw = socket.create_connection((port.getHost().host, port.getHost().port))
        raw.setblocking(False)
        self.addCleanup(raw.close)
        return raw

    async def read_all(self, raw: socket.socket, slowly: bool = False) -> bytes:
        """
        Read from a raw socket until its peer closes.
        """
        pieces = []
        while True:
            try:
                piece = raw.recv(8192 if slowly else 1 << 20)
            except BlockingIOError:
                await self.pause(0.001)
                continue
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            if slowly and len(pieces) % 64 == 0:
                await self.pause(0.001)

    async def fill(self, raw: socket.socket) -> int:
        """
        Write to a raw socket until its peer's buffers are full.

        @return: how many bytes that took.
        """
        sent = quiet = 0
        while quiet < 5:
            try:
                sent += raw.send(bytes(1 << 16))
                quiet = 0
            except BlockingIOError:
                quiet += 1
                await self.pause(0.005)
        return sent


@contextmanager
def deaf_listener() -> Iterator[int]:
    """
    Listen on a port with a queue that is full, so that the kernel answers no more.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def raw_pair() -> tuple[socket.socket, socket.socket]:
    """
    Connect two raw TCP sockets.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return server, client
