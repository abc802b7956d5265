"""
Property tests of the server's side of HTTP/2: whatever comes, in whatever pieces, and whatever the application does.
"""

from __future__ import annotations

import re
from itertools import groupby, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.h2.constants import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from tests.http.fakes import FakeExchange
from tests.http.generators import properties, splits
from tests.http.h2.client import LibraryClient, RawClient
from tests.http.h2.frames import (
    GET,
    POST,
    SETTINGS_ACK,
    Frame,
    continuation,
    data,
    frame,
    headers,
    ping,
    priority,
    read_frames,
    reset,
    settings,
    window_update,
)
from tests.http.hpack.blocks import added, literal

SECTIONS = st.sampled_from(
    (
        GET,
        POST,
        POST + literal(b"content-length", b"10"),
        GET + added(b"x-a", b"b"),
        POST + literal(b"content-type", b"application/grpc"),
        GET + literal(b"expect", b"tea"),
        GET + literal(b"X-A", b"b"),
    )
)
SIZES = st.sampled_from((0, 1, 5, 10, 500, 16384))
NUMBERS = st.sampled_from((1, 3, 5, 7, 9))

WRONG = (
    st.builds(headers, NUMBERS, SECTIONS | st.just(GET + b"\xbe") | st.just(GET[:20]), st.booleans())
    | st.builds(lambda number, cut: headers(number, GET[:cut], more=True), NUMBERS, st.integers(0, len(GET)))
    | st.builds(continuation, NUMBERS, st.just(b""))
    | st.builds(lambda number, size, end: data(number, b"x" * size, end), NUMBERS, SIZES, st.booleans())
    | st.builds(window_update, st.just(0) | NUMBERS, st.sampled_from((0, 2**31 - 1)))
    | st.builds(lambda size: settings((INITIAL_WINDOW_SIZE, size)), st.just(2**31 - 1))
    | st.builds(reset, NUMBERS)
    | st.builds(priority, NUMBERS, NUMBERS)
    | st.builds(frame, st.integers(0, 12), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=12))
)
"""Frames that may be wrong where they come."""


@st.composite
def conversations(draw: st.DrawFn, most: int = 20) -> list[bytes]:
    """
    Frames of a client, most of which make sense where they come.
    """
    frames: list[bytes] = []
    open_: list[int] = []
    opened = 0
    for _ in range(draw(st.integers(0, most))):
        what = draw(st.integers(0, 11))
        if what <= 2 or not opened:
            opened += 1
            number = opened * 2 - 1
            end = draw(st.booleans())
            section = draw(SECTIONS)
            cut = draw(st.integers(0, len(section)))
            if what == 2:
                frames += [headers(number, section[:cut], end, more=True), continuation(number, section[cut:])]
            else:
                frames.append(headers(number, section, end, padding=cut if what == 1 else None))
            if not end:
                open_.append(number)
        elif what <= 6 and open_:
            number = draw(st.sampled_from(open_))
            end = draw(st.booleans())
            if what == 6:
                frames.append(headers(number, literal(b"x-a", b"b")))
            else:
                frames.append(data(number, b"x" * draw(SIZES), end, padding=7 if what == 5 else None))
            if end or what == 6:
                open_.remove(number)
        elif what == 7:
            number = max(0, draw(st.integers(0, opened)) * 2 - 1)
            frames.append(window_update(number, draw(st.integers(1, 70000))))
        elif what == 8:
            frames.append(settings((INITIAL_WINDOW_SIZE, draw(st.sampled_from((0, 5, 1000, 70000))))))
        elif what == 9:
            frames.append(reset(draw(st.integers(1, opened)) * 2 - 1))
        elif what == 10:
            frames.append(ping())
        elif draw(st.integers(0, 3)) == 0:
            frames.append(draw(WRONG))
    return frames


without_time = re.compile(rb"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT").sub


def respond(exchange: FakeExchange) -> None:
    """
    Answer in a way that the request's stream decides: at once, when the body ends, in part, not at all, or with an
    abort.
    """
    way = exchange.stream.number // 2 % 5  # type: ignore[attr-defined]
    if way == 0:
        exchange.answer(b"x" * 20000)
    elif way == 1:
        exchange.on_finished = lambda exchange: exchange.answer(b"finished")
    elif way == 2:
        exchange.begin(body=b"y" * 70000)
    elif way == 3:
        exchange.stream.pause_body()
    else:
        exchange.begin()
        exchange.stream.abort_response()
        exchange.over = True


def story(exchange: FakeExchange) -> tuple[list[str], bytes, bytes | None]:
    """
    What an exchange was told, pieces of a body in a row taken together.
    """
    events = [key for key, _ in groupby(exchange.events)]
    return events, exchange.body, exchange.trailers


class PieceTests(SynchronousTestCase):
    """
    Tests that it does not matter in which pieces bytes come.
    """

    def feed(self, stream: bytes, lengths: list[int]) -> tuple[list[Any], list[Frame], bool]:
        """
        What becomes of these bytes: the exchanges' stories, the frames but for those that give credit, which come the
        later the more comes at once, and whether the connection has ended. The time of day is left out of the frames.
        """
        client = RawClient()
        client.fake.on_request = respond
        client.send(stream, lengths)
        sent = [frame for frame in client.frames() if frame.kind != WINDOW_UPDATE]
        frames = [frame._replace(payload=without_time(b"", frame.payload)) for frame in sent]
        return [story(exchange) for exchange in client.exchanges], frames, client.transport.half_closed

    @properties
    @given(conversations(), splits(50))
    def test_same(self, frames: list[bytes], lengths: list[int]) -> None:
        """
        Whole, byte by byte, or in any pieces: the exchanges hear the same, and the same is answered.
        """
        stream = b"".join(frames)
        whole = self.feed(stream, [max(1, len(stream))])
        small = [200] if len(stream) > 3000 else [1]
        for other in (self.feed(stream, lengths if len(stream) < 3000 else [997]), self.feed(stream, small)):
            if whole[2]:
                # Of frames of one body in a row, those before the one that spoils the connection may be missed.
                self.assertEqual(other[2], True)
                self.assertEqual((whole[1][-1].kind, other[1][-1].kind), (GOAWAY, GOAWAY))
                self.assertEqual(whole[1][-1].code, other[1][-1].code)
            else:
                self.assertEqual(whole, other)


class MutationTests(SynchronousTestCase):
    """
    Tests with bytes that make less and less sense.
    """

    def check(self, client: RawClient, connection: Any) -> None:
        """
        After the connection's end every exchange has ended once, and nothing is held.
        """
        client.go()
        for exchange in client.exchanges:
            ends = [event for event in exchange.events if event == "gone" or event.startswith("failed")]
            self.assertEqual(len(ends), 0 if exchange.over else 1, exchange.events)
            if ends:
                self.assertIn(exchange.events[-1], ends)
        self.assertEqual((client.context.channels, client.watched), (set(), 0))
        held = (connection.streams, connection._waiting, connection._held)
        self.assertEqual(held, ({}, {}, 0))

    def run_through(self, stream: bytes, lengths: list[int], waits: bool) -> None:
        """
        Send the bytes, and let time pass.
        """
        client = RawClient()
        client.fake.on_request = respond
        connection = client.connection
        client.send(stream, lengths)
        if waits:
            client.wait(100)
        self.check(client, connection)

    @properties
    @given(conversations(30), splits(60), st.booleans())
    def test_frames(self, frames: list[bytes], lengths: list[int], waits: bool) -> None:
        """
        Frames that make sense, and some that do not.
        """
        self.run_through(b"".join(frames), lengths, waits)

    @properties
    @given(
        conversations().filter(bool),
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
        splits(60),
    )
    def test_spoilt(self, frames: list[bytes], spots: list[tuple[float, int]], lengths: list[int]) -> None:
        """
        Frames of which some bytes are others.
        """
        stream = bytearray(b"".join(frames))
        for where, byte in spots:
            stream[int(where * len(stream))] = byte
        self.run_through(bytes(stream), lengths, True)

    @properties
    @given(st.binary(max_size=300), splits(60))
    def test_noise(self, stream: bytes, lengths: list[int]) -> None:
        """
        Any bytes, from the beginning and behind the preface.
        """
        self.run_through(stream, lengths, False)
        client = RawClient(begin=PREFACE)
        connection = client.connection
        client.send(stream, lengths)
        self.check(client, connection)

    @properties
    @given(st.binary(max_size=100), st.binary(max_size=60))
    def test_blocks(self, block: bytes, trailers: bytes) -> None:
        """
        Any bytes as header blocks.
        """
        self.run_through(headers(1, block), [1000], False)
        self.run_through(headers(1, POST, end=False) + headers(1, trailers), [1000], False)
        self.run_through(headers(1, GET + block) + headers(3, GET + block), [1000], False)


class Model:
    """
    What the client allows, and what it got: the least that a client has to know.
    """

    def __init__(self, case: SynchronousTestCase, client: RawClient) -> None:
        self.case = case
        self.client = client
        self.initial = DEFAULT_WINDOW
        self.window = DEFAULT_WINDOW
        self.windows: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}
        self.trailers: dict[int, bytes] = {}
        self.ended: dict[int, int] = {}
        self.codes: dict[int, int] = {}
        self._seen = 0

    def look(self) -> None:
        """
        Hold what was written to what was allowed; it counts when it is written, though it may wait in the transport.
        """
        transport = self.client.transport
        written = transport.written + transport.queued
        for it in read_frames(written[self._seen :]):
            self._take(it)
        self._seen = len(written)

    def _take(self, it: Frame) -> None:
        case, number = self.case, it.stream
        if number:
            case.assertNotIn(number, self.codes, "a frame behind a reset")
        if it.kind in (DATA, HEADERS):
            case.assertNotIn(number, self.ended, "a frame behind the end")
            if it.ends:
                self.ended[number] = self.ended.get(number, 0) + 1
        if it.kind == DATA:
            size = len(it.payload)
            if size:
                case.assertLessEqual(size, self.windows[number], "more than the stream's window")
                case.assertLessEqual(size, self.window, "more than the connection's window")
            self.windows[number] -= size
            self.window -= size
            self.bodies[number] += it.payload
        elif it.kind == HEADERS and it.ends:
            self.trailers[number] = it.payload
        elif it.kind == RST_STREAM:
            self.codes[number] = it.code

    def set_initial(self, size: int) -> None:
        """
        SETTINGS are about to be sent.
        """
        for number in self.windows:
            self.windows[number] += size - self.initial
        self.initial = size


class Said:
    """
    What the application said of one response.
    """

    def __init__(self, exchange: FakeExchange) -> None:
        self.exchange = exchange
        self.stream: Any = exchange.stream
        self.body = b""
        self.begun = False
        self.ended = False
        self.aborted = False
        self.trailers = b""


class ApplicationTests(SynchronousTestCase):
    """
    Tests with any order of what an application does and what a client allows.
    """

    def begin(self, draw: Any) -> None:
        """
        Have some requests.
        """
        self.client = RawClient()
        self.model = Model(self, self.client)
        self.said: dict[int, Said] = {}
        for number in range(1, 2 * draw(st.integers(1, 4)), 2):
            self.model.windows[number] = self.model.initial
            self.model.bodies[number] = b""
            self.client.send(headers(number, POST, end=draw(st.booleans())))
            self.said[number] = Said(self.client.exchange)
        self.count = 0

    def bytes_of(self, size: int) -> bytes:
        """
        So many bytes, of which no two pieces look alike.
        """
        start, self.count = self.count, self.count + size
        return bytes(at * 7 % 251 for at in range(start, start + size))

    def act(self, draw: Any) -> None:
        """
        One thing happens.
        """
        number = draw(st.sampled_from(sorted(self.said)))
        said = self.said[number]
        stream = said.stream
        size = draw(st.sampled_from((1, 7, 1000, 16384, 16385, 66000)))
        what = draw(st.sampled_from(("head", "body", "body", "body", "end", "abort", "pause", "resume")))
        open_ = said.begun and not said.ended and not said.aborted
        if what == "head" and not said.begun and not said.aborted:
            end = draw(st.booleans())
            body = self.bytes_of(draw(st.sampled_from((0, 5, 40000))))
            said.begun, said.ended, said.body = True, end, body
            stream.send_response(200, b"OK", b"", None, body, end)
        elif what == "body" and open_:
            body = self.bytes_of(size)
            said.body += body
            stream.send_body(body)
        elif what == "end" and open_:
            said.trailers = draw(st.sampled_from((b"", b"x-a: b\r\n")))
            said.ended = True
            stream.end_response(said.trailers)
        elif what == "abort" and open_:
            said.aborted = True
            stream.abort_response()
        elif what == "pause":
            stream.pause_body()
        elif what == "resume":
            stream.resume_body()

    def allow(self, draw: Any) -> None:
        """
        The client allows more, or less.
        """
        client, model = self.client, self.model
        number = draw(st.sampled_from(sorted(self.said)))
        what = draw(st.sampled_from(("stream", "connection", "initial", "stall", "flow", "reset", "data", "ping")))
        size = draw(st.sampled_from((1, 6, 999, 20000, 70000)))
        if what == "stream":
            model.windows[number] += size
            client.send(window_update(number, size))
        elif what == "connection":
            model.window += size
            client.send(window_update(0, size))
        elif what == "initial":
            model.set_initial(size)
            client.send(settings((INITIAL_WINDOW_SIZE, size)))
        elif what == "stall":
            client.transport.stalled = True
        elif what == "flow":
            client.transport.flow()
        elif what == "reset" and draw(st.integers(0, 3)) == 0:
            client.send(reset(number))
            self.said[number].aborted |= number not in model.ended
        elif what == "data" and not self.said[number].stream.remote_ended:
            client.send(data(number, b"z", end=draw(st.booleans())))
        else:
            client.send(ping())

    def finish(self) -> None:
        """
        Everything is ended and allowed.
        """
        client, model = self.client, self.model
        for said in self.said.values():
            if said.begun and not said.ended and not said.aborted:
                said.ended = True
                said.stream.end_response(b"")
                model.look()
        client.transport.flow()
        model.look()
        for number in self.said:
            model.windows[number] += 1 << 22
            client.send(window_update(number, 1 << 22))
            model.look()
        model.window += 1 << 24
        client.send(window_update(0, 1 << 24))
        client.transport.flow()
        model.look()

    @properties
    @given(st.data())
    def test_any(self, source: st.DataObject) -> None:
        """
        No more is sent than windows allow; nothing is lost, or changes its place; every response ends once.
        """
        draw = source.draw
        self.begin(draw)
        for _ in range(draw(st.integers(0, 25))):
            if draw(st.booleans()):
                self.act(draw)
            else:
                self.allow(draw)
            self.model.look()
        self.finish()
        model = self.model
        self.assertFalse(self.client.transport.half_closed)
        for number, said in self.said.items():
            got = model.bodies[number]
            self.assertTrue(said.body.startswith(got))
            if said.ended and not said.aborted:
                self.assertEqual((got == said.body, model.ended.get(number)), (True, 1))
                self.assertEqual(number in model.trailers and bool(got or said.trailers), bool(said.trailers))
            else:
                self.assertNotIn(number, model.ended)
            pauses = [event for event in said.exchange.events if event in ("pause", "resume")]
            self.assertEqual(pauses[:1], ["pause"] * len(pauses[:1]))
            self.assertNotIn(("resume", "resume"), pairwise(pauses))
        connection = self.client.connection
        self.client.go()
        self.assertEqual((connection.streams, connection._waiting, connection._held), ({}, {}, 0))
        for said in self.said.values():
            ends = [event for event in said.exchange.events if event == "gone" or event.startswith("failed")]
            self.assertLessEqual(len(ends), 1)
            if not said.ended and not said.aborted:
                self.assertEqual(len(ends), 1)


FIELDS = st.lists(
    st.tuples(
        st.sampled_from((b"x-a", b"x-b", b"accept", b"user-agent", b"x-c-d")),
        st.text("abcXYZ019 ,;=\xe9", max_size=30).map(lambda text: text.strip().encode("latin-1")),
    ),
    max_size=5,
)


class RoundTripTests(SynchronousTestCase):
    """
    Tests that what either side encodes the other decodes.
    """

    @properties
    @given(st.data())
    def test_echo(self, source: st.DataObject) -> None:
        """
        An application that sends back what it gets, to a client with any windows, sends it back.
        """
        draw = source.draw
        values = {INITIAL_WINDOW_SIZE: draw(st.sampled_from((50, 1000, 65535, 200000)))}
        client = LibraryClient(values, lengths=draw(splits(5000)))

        def begin(exchange: FakeExchange) -> None:
            lines = b"".join(b"%b: %b\r\n" % field for field in exchange.head.fields.items())
            exchange.stream.send_response(200, b"OK", lines, None, b"", False)
            exchange.on_body = lambda exchange: exchange.stream.send_body(exchange.body[sent.pop() :])

        sent: list[int] = []
        client.fake.on_request = begin
        for _ in range(draw(st.integers(1, 4))):
            fields = draw(FIELDS)
            number = client.ask(*fields, method=b"POST", end=False)
            exchange = client.exchange
            body = b""
            for piece in draw(st.lists(st.sampled_from((b"a", b"bc" * 60, b"d" * 3000)), max_size=6)):
                sent.append(len(body))
                body += piece
                client.send_body(number, piece)
            trailers = draw(FIELDS.filter(bool))
            client.peer.send_headers(number, trailers, end_stream=True)
            client.talk()
            assert exchange.trailers is not None
            exchange.stream.end_response(exchange.trailers)
            client.talk()
            response = client.responses[number]
            self.assertEqual((response.fields, response.body, response.trailers), (fields, body, trailers))
            self.assertTrue(response.ended)
        self.assertEqual(client.connection.streams, {})


class BeginningTests(SynchronousTestCase):
    """
    Tests for the beginning in any pieces.
    """

    @properties
    @given(splits(30))
    def test_preface(self, lengths: list[int]) -> None:
        """
        Preface, settings and a first request may come in any pieces.
        """
        client = RawClient(begin=None)
        client.send(PREFACE + settings((INITIAL_WINDOW_SIZE, 5)) + SETTINGS_ACK + headers(1), lengths)
        client.exchange.answer(b"0123456789")
        frames = client.frames()
        self.assertEqual([it.flags for it in frames if it.kind == SETTINGS], [0, ACK])
        self.assertEqual([it.payload for it in frames if it.kind == DATA], [b"01234"])
