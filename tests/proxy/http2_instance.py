"""
An instance at the other end of a connection of HTTP/2, for tests: one that answers with whatever bytes a test makes,
and one that C{h2} plays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.events

from siger.config.settings.services import Timeouts
from siger.http.h2.responses import ResponseReader
from siger.http.h2.writing import Batch
from siger.http.hpack.encoder import pack_field, pack_lines
from siger.proxy.multiplexed import ClientConnection, ClientStream
from tests.http.fakes import FakeTransport
from tests.http.generators import pieces
from tests.http.h2.frames import SETTINGS_ACK, block, settings
from tests.http.h2.peer import LibraryPeer, Message, RawPeer
from tests.proxy.fakes import TIMEOUTS, FakeHttp2Owner, FakeRecipient

__all__ = ["GET", "OK", "Call", "LibraryInstance", "RawInstance", "packed"]

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


class RawInstance(RawPeer):
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
        super().__init__(self.owner.clock, self.owner.deadlines, transport)
        self.connection = ClientConnection(self.owner, self.transport, ResponseReader(), batch or Batch(), max_streams)
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

    def go(self) -> None:
        """
        Be gone.
        """
        self.connection.connection_lost()


class LibraryInstance(LibraryPeer, RawInstance):
    """
    The server of C{h2}.
    """

    def __init__(self, values: dict[int, int] | None = None, lengths: Sequence[int] = (), **others: Any) -> None:
        """
        @param values: more of its settings.
        @param lengths: see L{say}.
        """
        super().__init__(begin=b"", **others)
        self.meet(False, values, lengths)

    @property
    def requests(self) -> dict[int, Message]:
        """
        What came of the requests, by stream.
        """
        return self.messages

    def speak(self, data: bytes, lengths: Sequence[int]) -> None:
        """
        See L{LibraryPeer.speak}.
        """
        self.say(data, lengths)

    def note(self, event: h2.events.Event, message: Message | None) -> None:
        """
        See L{LibraryPeer.note}.
        """
        if isinstance(event, h2.events.RequestReceived):
            assert event.stream_id is not None
            request = self.messages[event.stream_id] = Message()
            request.fields = [*event.headers]
        else:
            super().note(event, message)

    def respond(self, number: int, *fields: tuple[bytes, bytes], status: bytes = b"200", end: bool = False) -> None:
        """
        Send a head.
        """
        self.peer.send_headers(number, [(b":status", status), *fields], end_stream=end)
        self.talk()
