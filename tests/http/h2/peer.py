"""
The other end of a connection of HTTP/2, client or server, for tests: no socket, no time but its clock's.

It is played by hand, with whatever bytes a test makes, or by somebody else's implementation, the sans-I/O C{h2} of
Hyper, which raises whenever Siger breaks a rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
from twisted.internet.task import Clock

from siger.http.deadlines import INTERVAL, Deadlines
from siger.http.h2.constants import FRAME_HEAD, PREFACE
from tests.http.fakes import FakeTransport
from tests.http.h2.frames import Frame, read_frames

__all__ = ["Fields", "LibraryPeer", "Message", "RawPeer", "hear", "library"]

Fields = list[tuple[bytes, bytes]]


class RawPeer:
    """
    One connection, from the other end.
    """

    def __init__(self, clock: Clock, deadlines: Deadlines, transport: FakeTransport | None) -> None:
        """
        @param clock: what Siger's end goes by.
        @param transport: Siger's end of the connection.
        """
        self.clock = clock
        self.deadlines = deadlines
        self.transport = transport or FakeTransport()
        self._seen = 0

    def received(self) -> bytes:
        """
        The bytes that have arrived here since this was last asked.
        """
        seen, self._seen = self._seen, len(self.transport.written)
        return self.transport.written[seen:]

    def frames(self) -> list[Frame]:
        """
        The same as frames, without the preface.
        """
        return read_frames(self.received().removeprefix(PREFACE))

    def wait(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.pump([INTERVAL] * round(seconds / INTERVAL))

    @property
    def watched(self) -> int:
        """
        How many connections have a deadline.
        """
        return len(self.deadlines._members)


class Message:
    """
    What came of a request, or of its response.

    @ivar ended: it is complete.
    @ivar code: why it was reset, if it was.
    """

    def __init__(self) -> None:
        self.fields: Fields = []
        self.body = b""
        self.trailers: Fields = []
        self.ended = False
        self.code: int | None = None


def library(client: bool, values: Mapping[int, int] | None) -> h2.connection.H2Connection:
    """
    One end as C{h2} plays it, which has said what it begins with.

    @param values: more of its settings.
    """
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client, header_encoding=None))
    peer.initiate_connection()
    if values:
        peer.update_settings(dict(values))
    return peer


def hear(peer: h2.connection.H2Connection, heard: bytes) -> Iterator[h2.events.Event]:
    """
    Have it hear whole frames, one at a time: what is told of several at once depends on all.
    """
    if heard.startswith(PREFACE):
        peer.receive_data(PREFACE)
        heard = heard.removeprefix(PREFACE)
    position = 0
    for frame in read_frames(heard):
        size = FRAME_HEAD + len(frame.payload)
        yield from peer.receive_data(heard[position : position + size])
        position += size


class LibraryPeer(RawPeer):
    """
    One that C{h2} plays.

    @ivar peer: it.
    @ivar messages: what came to it, by stream.
    @ivar events: what it said that concerns none of these.
    @ivar reading: it gives credit for what it has received.
    """

    def meet(self, client: bool, values: Mapping[int, int] | None, lengths: Sequence[int]) -> None:
        """
        Begin.

        @param lengths: of the pieces in which it speaks.
        """
        self._lengths = lengths
        self.reading = True
        self.messages: dict[int, Any] = {}
        self.events: list[h2.events.Event] = []
        self.peer = library(client, values)
        self.talk()

    def speak(self, data: bytes, lengths: Sequence[int]) -> None:
        """
        Send bytes, in pieces of these lengths.
        """
        raise NotImplementedError

    def talk(self) -> None:
        """
        Have either side hear what the other said, until nobody says anything more.
        """
        while True:
            said = self.peer.data_to_send()
            if said:
                self.speak(said, self._lengths)
            heard = self.received()
            if not said and not heard:
                return
            for event in hear(self.peer, heard):
                number = getattr(event, "stream_id", None)
                message = self.messages.get(number) if isinstance(number, int) else None
                self.note(event, message)

    def note(self, event: h2.events.Event, message: Any) -> None:
        """
        Note what happened.

        @param message: to which one, if to any that is known.
        """
        if message is None:
            self.events.append(event)
        elif isinstance(event, h2.events.DataReceived):
            message.body += event.data
            if self.reading and event.flow_controlled_length:
                self.peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            message.trailers = [*event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            message.ended = True
        elif isinstance(event, h2.events.StreamReset):
            message.code = int(event.error_code)

    def send_body(self, number: int, data: bytes, end: bool = False, padding: int | None = None) -> None:
        """
        Send some of a body.
        """
        self.peer.send_data(number, data, end_stream=end, pad_length=padding)
        self.talk()

    def saw(self, kind: type[h2.events.Event]) -> list[Any]:
        """
        What it was told of this kind.
        """
        return [event for event in self.events if isinstance(event, kind)]
