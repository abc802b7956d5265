"""
A client on a server's connection, for tests: no socket, no time but its clock's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from siger.config.settings.limits import Limits
from siger.http.context import ChannelContext
from siger.http.deadlines import INTERVAL, Deadlines
from siger.http.server import ServerFactory
from siger.http.stream import Application
from tests.http.fakes import FakeApplication, FakeExchange, FakeTransport
from tests.http.generators import pieces
from tests.http.messages import Message, read_responses

__all__ = ["Client", "get"]


def get(path: str = "/", *lines: str) -> bytes:
    """
    A request without a body.
    """
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: a.test", *lines, "", "")).encode()


class Client:
    """
    One connection to a server, from the client's side.

    @ivar application: what answers; a L{FakeApplication} unless another is given.
    """

    def __init__(
        self,
        application: Application | None = None,
        limits: Limits | None = None,
        transport: FakeTransport | None = None,
    ) -> None:
        self.clock = Clock()
        deadlines = Deadlines(self.clock)
        deadlines.start()
        self.fake = FakeApplication()
        self.context = ChannelContext(application or self.fake, limits or Limits(), deadlines)
        self.transport = transport or FakeTransport()
        self._pending = b""
        self._protocol: Any = ServerFactory(self.context).buildProtocol(IPv4Address("TCP", "192.0.2.7", 40000))
        self._protocol.makeConnection(self.transport)
        (self.channel,) = self.context.channels

    @property
    def exchanges(self) -> list[FakeExchange]:
        """
        What was asked of the fake application.
        """
        return self.fake.exchanges

    @property
    def exchange(self) -> FakeExchange:
        """
        The last of these.
        """
        return self.fake.exchanges[-1]

    @property
    def paths(self) -> list[bytes]:
        """
        Their paths.
        """
        return [exchange.head.path for exchange in self.fake.exchanges]

    def send(self, data: bytes, lengths: Sequence[int] = ()) -> None:
        """
        Send bytes, in pieces of these lengths, as far as the server reads.
        """
        for piece in pieces(data, list(lengths) or [len(data)]):
            self._pending += piece
            self.deliver()

    def deliver(self) -> None:
        """
        Let arrive what the server did not read so far.
        """
        if self._pending and not self.transport.paused and not self.transport.closed:
            data, self._pending = self._pending, b""
            self._protocol.dataReceived(data)

    @property
    def held_back(self) -> int:
        """
        How many bytes the server has not read.
        """
        return len(self._pending)

    def wait(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.pump([INTERVAL] * round(seconds / INTERVAL))

    def end(self) -> None:
        """
        Half-close.
        """
        self._protocol.readConnectionLost()

    def go(self) -> None:
        """
        Be gone.
        """
        self._protocol.connectionLost(Failure(ConnectionDone()))

    def responses(self, methods: str = "") -> list[Message]:
        """
        What has arrived here.
        """
        return read_responses(self.transport.written, methods)

    def statuses(self) -> list[int]:
        """
        The statuses of what has arrived here.
        """
        return [response.status for response in self.responses()]
