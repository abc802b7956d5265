"""
The other end of a connection of HTTP/2 to an instance, for tests: no socket, no time but its clock's.

L{RawInstance} answers with whatever bytes a test makes. L{LibraryInstance} is the server of somebody else's
implementation, the sans-I/O C{h2} of Hyper, which raises whenever Siger breaks a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events

from siger.config.settings.services import Timeouts
from siger.http.h2.constants import FRAME_HEAD, PREFACE
from siger.http.h2.responses import ResponseReader
from siger.http.h2.writing import Batch
from siger.http.hpack.encoder import pack_field, pack_lines
from siger.proxy.multiplexed import ClientConnection, ClientStream
from tests.http.fakes import FakeTransport
from tests.http.generators import pieces
from tests.http.h2.frames import SETTINGS_ACK, Frame, block, read_frames, settings
from tests.proxy.fakes import FakeHttp2Owner, FakeRecipient

__all__ = ["GET", "OK", "TIMEOUTS", "Call", "LibraryInstance", "RawInstance", "packed"]

TIMEOUTS = Timeouts(connect=3, response=20, idle=10)

OK = block((b":status", b"200"))
"""The least of a response."""


def packed(method: bytes = b"GET", lines: bytes = b"") -> bytes:
    """
    A request's section, as an exchange packs it.
    """
    pseudo = ((b":method", method), (b":scheme", b"http"), (b":path", b"/x"), (b":authority", b"a.test"))
    return b"".join(pack_field(*field) for field in pseudo) + pack_lines(lines)


GET = packed()


class Call:
    """
    A request, and who waits for its response.
    """

    def __init__(self, stream: ClientStream) -> None:
        self.stream = stream
        self.recipient = FakeRecipient()

    @property
    def events(self) -> list[str]:
        """
        What the recipient was told.
        """
        return self.recipient.events


class RawInstance:
    """
    One connection to an instance, from the instance's side.
    """

    def __init__(
        self,
        begin: bytes = settings() + SETTINGS_ACK,
        max_streams: int = 100,
        transport: FakeTransport | None = None,
        batch: Batch | None = None,
    ) -> None:
        """
        @param begin: what the instance begins with.
        """
        self.owner = FakeHttp2Owner()
        self.transport = transport or FakeTransport()
        self.connection = ClientConnection(self.owner, self.transport, ResponseReader(), batch or Batch(), max_streams)
        self._seen = 0
        self.calls: list[Call] = []
        if begin:
            self.say(begin)
            self.frames()
            self.owner.events.clear()

    def ask(
        self,
        section: bytes = GET,
        head_only: bool = False,
        request_open: bool = False,
        timeouts: Timeouts = TIMEOUTS,
        streaming: bool = False,
    ) -> Call:
        """
        Begin a request.
        """
        call = Call(self.connection.reserve())
        call.recipient.streaming = streaming
        self.calls.append(call)
        call.stream.begin(call.recipient, section, head_only, request_open, timeouts)
        return call

    def say(self, data: bytes, lengths: Sequence[int] = ()) -> None:
        """
        Send bytes, in pieces of these lengths.
        """
        for piece in pieces(data, list(lengths) or [len(data)]):
            if not self.transport.half_closed:
                self.connection.data_received(piece)

    def received(self) -> bytes:
        """
        The bytes that have arrived here since this was last asked.
        """
        written, seen = self.transport.written, self._seen
        self._seen = len(written)
        return written[seen:]

    def frames(self) -> list[Frame]:
        """
        The same as frames, without the preface.
        """
        return read_frames(self.received().removeprefix(PREFACE))

    def wait(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.owner.wait(seconds)

    def go(self) -> None:
        """
        Be gone.
        """
        self.connection.connection_lost()

    @property
    def watched(self) -> int:
        """
        How many connections have a deadline.
        """
        return len(self.owner.deadlines._members)


class Request:
    """
    What came of a request here.
    """

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.trailers: list[tuple[bytes, bytes]] = []
        self.ended = False
        self.code: int | None = None


class LibraryInstance(RawInstance):
    """
    The server of C{h2}.

    @ivar peer: it.
    @ivar reading: it gives credit for what it has received.
    """

    def __init__(self, values: dict[int, int] | None = None, lengths: Sequence[int] = (), **others: Any) -> None:
        """
        @param values: more of its settings.
        @param lengths: see L{say}.
        """
        super().__init__(begin=b"", **others)
        self._lengths = lengths
        self.reading = True
        self.requests: dict[int, Request] = {}
        self.other_events: list[h2.events.Event] = []
        configuration = h2.config.H2Configuration(client_side=False, header_encoding=None)
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
                self.say(said, self._lengths)
            heard = self.received()
            if not said and not heard:
                return
            if heard.startswith(PREFACE):
                self.peer.receive_data(PREFACE)
                heard = heard.removeprefix(PREFACE)
            position = 0
            for frame in read_frames(heard):
                size = FRAME_HEAD + len(frame.payload)
                for event in self.peer.receive_data(heard[position : position + size]):
                    self._note(event)
                position += size

    def _note(self, event: h2.events.Event) -> None:
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            assert isinstance(number, int)
            request = self.requests[number] = Request()
            request.fields = [*event.headers]
            return
        found = self.requests.get(number) if isinstance(number, int) else None
        if found is None:
            self.other_events.append(event)
        elif isinstance(event, h2.events.DataReceived):
            found.body += event.data
            if self.reading and event.flow_controlled_length:
                self.peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            found.trailers = [*event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            found.ended = True
        elif isinstance(event, h2.events.StreamReset):
            found.code = int(event.error_code)

    def respond(self, number: int, *fields: tuple[bytes, bytes], status: bytes = b"200", end: bool = False) -> None:
        """
        Send a head.
        """
        self.peer.send_headers(number, [(b":status", status), *fields], end_stream=end)
        self.talk()

    def send(self, number: int, data: bytes, end: bool = False, padding: int | None = None) -> None:
        """
        Send some of a body.
        """
        self.peer.send_data(number, data, end_stream=end, pad_length=padding)
        self.talk()
