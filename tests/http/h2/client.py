"""
A client on a server's connection of HTTP/2, for tests: one that sends whatever bytes a test makes, and one that
C{h2} plays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.events
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from siger.config.settings.limits import Limits
from siger.http.context import ChannelContext
from siger.http.deadlines import Deadlines
from siger.http.h2.constants import PREFACE
from siger.http.h2.requests import RequestReader
from siger.http.h2.server import ServerContext
from siger.http.h2.writing import Batch
from siger.http.server import ServerFactory
from siger.http.stream import Application
from tests.http.fakes import FakeApplication, FakeExchange, FakeTransport
from tests.http.generators import pieces
from tests.http.h2.frames import SETTINGS_ACK, settings
from tests.http.h2.peer import LibraryPeer, Message, RawPeer

__all__ = ["LibraryClient", "RawClient", "Response"]


class RawClient(RawPeer):
    """
    One connection to a server, from the client's side.

    @ivar fake: what answers, unless another application was given.
    """

    def __init__(
        self,
        application: Application | None = None,
        limits: Limits | None = None,
        transport: FakeTransport | None = None,
        begin: bytes | None = PREFACE + settings() + SETTINGS_ACK,
        batch: Batch | None = None,
    ) -> None:
        """
        @param begin: what the client begins with; C{None} leaves it to the test.
        """
        clock = Clock()
        super().__init__(clock, Deadlines(clock), transport)
        self.deadlines.start()
        self.fake = FakeApplication()
        self.limits = limits or Limits()
        self.context = ChannelContext(application or self.fake, self.limits, self.deadlines)
        shared = ServerContext(RequestReader(self.context.parser), batch or Batch(), self.limits)
        self._pending = b""
        self._protocol: Any = ServerFactory(self.context, http2=shared).buildProtocol(
            IPv4Address("TCP", "192.0.2.7", 40000)
        )
        self._protocol.makeConnection(self.transport)
        if begin is not None:
            self.send(begin)
            self.frames()

    @property
    def connection(self) -> Any:
        """
        The server's side.
        """
        (channel,) = self.context.channels
        return channel

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
        if self._pending and not self.transport.paused and not self.transport.half_closed:
            data, self._pending = self._pending, b""
            self._protocol.dataReceived(data)

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


class Response(Message):
    """
    What came of a request.

    @ivar interim: 1xx responses, their status first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.interim: list[int] = []
        self.status = 0

    def get(self, name: bytes) -> bytes | None:
        """
        The value of a field that occurs once.
        """
        values = [value for known, value in self.fields if known == name]
        assert len(values) < 2, values
        return values[0] if values else None


class LibraryClient(LibraryPeer, RawClient):
    """
    The client of C{h2}.
    """

    def __init__(self, values: dict[int, int] | None = None, lengths: Sequence[int] = (), **others: Any) -> None:
        """
        @param values: more of its settings.
        @param lengths: see L{send}.
        """
        super().__init__(begin=None, **others)
        self.meet(True, values, lengths)

    @property
    def responses(self) -> dict[int, Response]:
        """
        What came of the requests, by stream.
        """
        return self.messages

    def speak(self, data: bytes, lengths: Sequence[int]) -> None:
        """
        See L{LibraryPeer.speak}.
        """
        self.send(data, lengths)

    def note(self, event: h2.events.Event, message: Response | None) -> None:
        """
        See L{LibraryPeer.note}.
        """
        if message is not None and isinstance(event, h2.events.InformationalResponseReceived):
            message.interim.append(int(dict(event.headers)[b":status"]))
        elif message is not None and isinstance(event, h2.events.ResponseReceived):
            message.status = int(dict(event.headers)[b":status"])
            message.fields = [(name, value) for name, value in event.headers if name != b":status"]
        else:
            super().note(event, message)

    def ask(self, *fields: tuple[bytes, bytes], method: bytes = b"GET", path: bytes = b"/", end: bool = True) -> int:
        """
        Begin a request.

        @return: its stream.
        """
        number: int = self.peer.get_next_available_stream_id()
        self.messages[number] = Response()
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", path)]
        self.peer.send_headers(number, [*pseudo, *fields], end_stream=end)
        self.talk()
        return number
