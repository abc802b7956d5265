"""
A client on a server's connection of HTTP/2, for tests: no socket, no time but its clock's.

L{RawClient} sends whatever bytes a test makes. L{LibraryClient} is the client of somebody else's implementation, the
sans-I/O C{h2} of Hyper, which raises whenever the server breaks a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from siger.config.settings.limits import Limits
from siger.http.channel import ChannelContext
from siger.http.deadlines import INTERVAL, Deadlines
from siger.http.h2.constants import FRAME_HEAD, PREFACE
from siger.http.h2.requests import RequestReader
from siger.http.h2.server import ServerContext
from siger.http.h2.writing import Batch
from siger.http.server import ServerFactory
from siger.http.stream import Application
from tests.http.fakes import FakeApplication, FakeExchange, FakeTransport
from tests.http.generators import pieces
from tests.http.h2.frames import SETTINGS_ACK, Frame, read_frames, settings

__all__ = ["LibraryClient", "RawClient", "Response"]

Fields = list[tuple[bytes, bytes]]


class RawClient:
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
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.deadlines.start()
        self.fake = FakeApplication()
        self.limits = limits or Limits()
        self.context = ChannelContext(application or self.fake, self.limits, self.deadlines)
        shared = ServerContext(RequestReader(self.context.parser), batch or Batch(), self.limits)
        self.transport = transport or FakeTransport()
        self._pending = b""
        self._seen = 0
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

    def received(self) -> bytes:
        """
        The bytes that have arrived here since this was last asked.
        """
        seen, self._seen = self._seen, len(self.transport.written)
        return self.transport.written[seen:]

    def frames(self) -> list[Frame]:
        """
        The same as frames.
        """
        return read_frames(self.received())

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

    @property
    def watched(self) -> int:
        """
        How many connections have a deadline.
        """
        return len(self.deadlines._members)


class Response:
    """
    What came of a request.

    @ivar interim: 1xx responses, their status first.
    @ivar ended: it is complete.
    @ivar code: why it was reset, if it was.
    """

    def __init__(self) -> None:
        self.interim: list[int] = []
        self.status = 0
        self.fields: Fields = []
        self.body = b""
        self.trailers: Fields = []
        self.ended = False
        self.code: int | None = None

    def get(self, name: bytes) -> bytes | None:
        """
        The value of a field that occurs once.
        """
        values = [value for known, value in self.fields if known == name]
        assert len(values) < 2, values
        return values[0] if values else None


class LibraryClient(RawClient):
    """
    The client of C{h2}.

    @ivar peer: it.
    @ivar events: what it said that concerns no request.
    @ivar reading: it gives credit for what it has received.
    """

    def __init__(self, values: dict[int, int] | None = None, lengths: Sequence[int] = (), **others: Any) -> None:
        """
        @param values: more of its settings.
        @param lengths: see L{send}.
        """
        super().__init__(begin=None, **others)
        self._lengths = lengths
        self.reading = True
        self.responses: dict[int, Response] = {}
        self.events: list[h2.events.Event] = []
        configuration = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.peer = h2.connection.H2Connection(configuration)
        self.peer.initiate_connection()
        if values:
            self.peer.update_settings(values)
        self.talk()

    def talk(self) -> None:
        """
        Have either side hear what the other said, until nobody says anything more.
        """
        while True:
            said = self.peer.data_to_send()
            if said:
                self.send(said, self._lengths)
            heard = self.received()
            if not said and not heard:
                return
            # A frame at a time: what is told of them all at once depends on all.
            for frame in self._split(heard):
                for event in self.peer.receive_data(frame):
                    self._note(event)

    def _split(self, heard: bytes) -> list[bytes]:
        found, position = [], 0
        for frame in read_frames(heard):
            size = FRAME_HEAD + len(frame.payload)
            found.append(heard[position : position + size])
            position += size
        return found

    def _note(self, event: h2.events.Event) -> None:
        number = getattr(event, "stream_id", None)
        response = self.responses.get(number) if isinstance(number, int) else None
        if response is None:
            self.events.append(event)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            response.interim.append(int(dict(event.headers)[b":status"]))
        elif isinstance(event, h2.events.ResponseReceived):
            response.status = int(dict(event.headers)[b":status"])
            response.fields = [(name, value) for name, value in event.headers if name != b":status"]
        elif isinstance(event, h2.events.DataReceived):
            response.body += event.data
            if self.reading and event.flow_controlled_length:
                self.peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            response.trailers = [*event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            response.ended = True
        elif isinstance(event, h2.events.StreamReset):
            response.code = int(event.error_code)

    def ask(self, *fields: tuple[bytes, bytes], method: bytes = b"GET", path: bytes = b"/", end: bool = True) -> int:
        """
        Begin a request.

        @return: its stream.
        """
        number: int = self.peer.get_next_available_stream_id()
        self.responses[number] = Response()
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", path)]
        self.peer.send_headers(number, [*pseudo, *fields], end_stream=end)
        self.talk()
        return number

    def say(self, number: int, data: bytes, end: bool = False, padding: int | None = None) -> None:
        """
        Send some of a request's body.
        """
        self.peer.send_data(number, data, end_stream=end, pad_length=padding)
        self.talk()

    def saw(self, kind: type[h2.events.Event]) -> list[Any]:
        """
        What it was told of this kind.
        """
        return [event for event in self.events if isinstance(event, kind)]
