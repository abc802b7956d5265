"""
Tests for L{siger.http.h2.connection}: frames one by one, as no library would send most of them.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.limits import Limits
from siger.http.h2.constants import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
)
from tests.http.fakes import FakeExchange
from tests.http.h2.client import RawClient
from tests.http.h2.frames import (
    GET,
    POST,
    SETTINGS_ACK,
    continuation,
    data,
    frame,
    goaway,
    headers,
    ping,
    priority,
    push_promise,
    read_frames,
    reset,
    settings,
    window_update,
)
from tests.http.hpack.blocks import literal, resized

OPEN = headers(1, POST, end=False)
"""A request whose body is to come."""

SPOILT = [
    ("DATA on no stream", data(0, b"x"), PROTOCOL_ERROR),
    ("HEADERS on no stream", headers(0), PROTOCOL_ERROR),
    ("HEADERS on a server's stream", headers(2), PROTOCOL_ERROR),
    ("HEADERS that depend on themselves", headers(1, depends=1), PROTOCOL_ERROR),
    ("DATA on a stream that nobody opened", data(1, b"x"), PROTOCOL_ERROR),
    ("DATA on a server's stream", OPEN + data(2, b"x"), PROTOCOL_ERROR),
    ("WINDOW_UPDATE on a stream that nobody opened", window_update(1, 1), PROTOCOL_ERROR),
    ("RST_STREAM on a stream that nobody opened", reset(1), PROTOCOL_ERROR),
    ("RST_STREAM on no stream", reset(0), PROTOCOL_ERROR),
    ("PRIORITY on no stream", priority(0), PROTOCOL_ERROR),
    ("PRIORITY of another length on no request's stream", frame(PRIORITY, 0, 1, b"\0" * 4), FRAME_SIZE_ERROR),
    ("SETTINGS on a stream", frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR),
    ("PING on a stream", frame(PING, 0, 1, b"01234567"), PROTOCOL_ERROR),
    ("GOAWAY on a stream", frame(GOAWAY, 0, 1, b"\0" * 8), PROTOCOL_ERROR),
    ("PUSH_PROMISE", OPEN + push_promise(1, 2), PROTOCOL_ERROR),
    ("CONTINUATION of nothing", continuation(1, GET), PROTOCOL_ERROR),
    ("CONTINUATION of what has ended", headers(1) + continuation(1, GET), PROTOCOL_ERROR),
    ("CONTINUATION on another stream", headers(1, GET[:5], more=True) + continuation(3, GET[5:]), PROTOCOL_ERROR),
    ("PING amid a block", headers(1, GET[:5], more=True) + ping(), PROTOCOL_ERROR),
    ("DATA amid a block", headers(1, GET[:5], more=True) + data(1, b"x"), PROTOCOL_ERROR),
    ("HEADERS amid a block", headers(1, GET[:5], more=True) + headers(1), PROTOCOL_ERROR),
    ("the head of PING amid a block", headers(1, GET[:5], more=True) + ping()[:9], PROTOCOL_ERROR),
    ("an unknown frame amid a block", headers(1, GET[:5], more=True) + frame(0x77, 0, 0, b""), PROTOCOL_ERROR),
    ("SETTINGS with a part of one", frame(SETTINGS, 0, 0, b"\0" * 5), FRAME_SIZE_ERROR),
    ("SETTINGS that acknowledge and set", frame(SETTINGS, ACK, 0, b"\0" * 6), FRAME_SIZE_ERROR),
    ("a window too large", settings((INITIAL_WINDOW_SIZE, 1 << 31)), FLOW_CONTROL_ERROR),
    (
        "a window too large for a stream",
        OPEN + window_update(1, 1) + settings((INITIAL_WINDOW_SIZE, LARGEST_WINDOW)),
        FLOW_CONTROL_ERROR,
    ),
    ("frames too small", settings((MAX_FRAME_SIZE, 16383)), PROTOCOL_ERROR),
    ("frames too large", settings((MAX_FRAME_SIZE, 1 << 24)), PROTOCOL_ERROR),
    ("ENABLE_PUSH of neither", settings((ENABLE_PUSH, 2)), PROTOCOL_ERROR),
    ("PING of another length", frame(PING, 0, 0, b"0123456"), FRAME_SIZE_ERROR),
    ("GOAWAY too short", frame(GOAWAY, 0, 0, b"\0" * 7), FRAME_SIZE_ERROR),
    ("WINDOW_UPDATE of another length", frame(WINDOW_UPDATE, 0, 0, b"\0" * 3), FRAME_SIZE_ERROR),
    ("WINDOW_UPDATE of nothing", window_update(0, 0), PROTOCOL_ERROR),
    ("WINDOW_UPDATE of too much", window_update(0, LARGEST_WINDOW), FLOW_CONTROL_ERROR),
    ("RST_STREAM of another length", OPEN + frame(RST_STREAM, 0, 1, b"\0" * 5), FRAME_SIZE_ERROR),
    ("a frame too large", OPEN + data(1, b"x" * 16385), FRAME_SIZE_ERROR),
    ("the head of a frame too large", OPEN + data(1, b"x" * 16385)[:9], FRAME_SIZE_ERROR),
    ("padding in nothing", OPEN + frame(DATA, PADDED, 1, b""), PROTOCOL_ERROR),
    ("padding longer than its frame", OPEN + frame(DATA, PADDED, 1, b"\x05abcd"), PROTOCOL_ERROR),
    ("padding longer than its HEADERS", frame(HEADERS, PADDED | END_HEADERS, 1, b"\x03ab"), PROTOCOL_ERROR),
    ("padding in HEADERS of nothing", frame(HEADERS, PADDED | END_HEADERS, 1, b""), PROTOCOL_ERROR),
    ("priority in less", frame(HEADERS, PRIORITY_FLAG | END_HEADERS, 1, b"\0" * 4), FRAME_SIZE_ERROR),
    ("an index of nothing", headers(1, b"\xff\x7f"), COMPRESSION_ERROR),
    ("a block cut short", headers(1, GET[:-1]), COMPRESSION_ERROR),
    ("a table larger than allowed", headers(1, resized(4097) + GET), COMPRESSION_ERROR),
    ("trailers that are none", OPEN + headers(1, b"\x80"), COMPRESSION_ERROR),
    ("a block too bad of a request too many", headers(1) + headers(3) + headers(5, b"\x80"), COMPRESSION_ERROR),
]
"""
What ends a connection, and the code that tells it (RFC 9113 section 5.4.1).
"""


class ConnectionErrorTests(SynchronousTestCase):
    """
    Tests for what ends the connection.
    """

    def test_table(self) -> None:
        """
        Each fault ends the connection with its code, after what came before it, and all exchanges are told.
        """
        for name, frames, code in SPOILT:
            client = RawClient(limits=Limits(streams=2))
            connection = client.connection
            client.send(frames)
            last = client.frames()[-1]
            self.assertEqual((last.kind, last.stream, last.code), (GOAWAY, 0, code), name)
            self.assertTrue(client.transport.half_closed, name)
            self.assertEqual({exchange.events[-1] for exchange in client.exchanges} - {"gone"}, set(), name)
            self.assertTrue(connection.closed)

    def test_by_bytes(self) -> None:
        """
        It does so however the bytes come.
        """
        for name, frames, code in SPOILT:
            client = RawClient(limits=Limits(streams=2))
            client.send(frames, [1])
            last = client.frames()[-1]
            self.assertEqual((last.kind, last.code), (GOAWAY, code), name)

    def test_acknowledged_first(self) -> None:
        """
        The first SETTINGS are the client's own.
        """
        client = RawClient(begin=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS_ACK)
        self.assertEqual(read_frames(client.transport.written)[-1].code, PROTOCOL_ERROR)

    def test_closed(self) -> None:
        """
        What comes on a stream that both sides have ended is not on its way any more: the client does not know what it
        does.
        """
        for late in (data(1, b"x"), headers(1, literal(b"x-a", b"b"))):
            client = RawClient()
            client.send(headers(1))
            client.exchange.answer()
            client.send(late)
            last = client.frames()[-1]
            self.assertEqual((last.kind, last.code), (GOAWAY, STREAM_CLOSED))

    def test_detail(self) -> None:
        """
        The client is told in words, too.
        """
        client = RawClient()
        client.send(ping()[:8] + b"\x01" + ping()[9:])
        self.assertEqual(client.frames()[-1].payload[8:], b"PING on a stream")


class StreamErrorTests(SynchronousTestCase):
    """
    Tests for what ends a stream and leaves the others.
    """

    def test_table(self) -> None:
        """
        Each fault ends the stream with its code; another goes on.
        """
        ended = headers(1, POST)
        for name, frames, code in (
            ("WINDOW_UPDATE of nothing", OPEN + window_update(1, 0), PROTOCOL_ERROR),
            ("WINDOW_UPDATE of too much", OPEN + window_update(1, LARGEST_WINDOW), FLOW_CONTROL_ERROR),
            ("PRIORITY of another length", OPEN + frame(PRIORITY, 0, 1, b"\0" * 6), FRAME_SIZE_ERROR),
            ("PRIORITY that depends on itself", OPEN + priority(1, 1), PROTOCOL_ERROR),
            ("DATA behind the end", ended + data(1, b"x"), STREAM_CLOSED),
            ("HEADERS behind the end", ended + headers(1, literal(b"x-a", b"b")), STREAM_CLOSED),
            ("more than the window", OPEN + data(1, b"x" * 16384) * 5, FLOW_CONTROL_ERROR),
        ):
            client = RawClient()
            client.fake.on_request = lambda exchange: exchange.stream.pause_body()
            client.send(frames)
            resets = [(it.stream, it.code) for it in client.frames() if it.kind == RST_STREAM]
            self.assertEqual(resets, [(1, code)], name)
            # Whoever has all of the request is told of what that means for the response, and of nothing else.
            told = "gone" if frames.startswith(ended) else "failed invalid_framing"
            self.assertEqual(client.exchange.events[-1], told, name)
            client.fake.on_request = lambda exchange: exchange.answer(b"fine")
            client.send(headers(3))
            self.assertEqual([(it.stream, it.name) for it in client.frames()], [(3, "HEADERS"), (3, "DATA")], name)

    def test_after_reset(self) -> None:
        """
        What was on its way when a stream was reset is ignored, whatever it is.
        """
        client = RawClient()
        client.send(OPEN)
        client.exchange.stream.abort_response()
        client.frames()
        late = data(1, b"x") + window_update(1, 5) + priority(1) + headers(1, literal(b"x-a", b"b")) + reset(1)
        client.send(late + late)
        self.assertEqual((client.frames(), client.exchange.events), ([], []))
        self.assertFalse(client.transport.half_closed)

    def test_credit_after_reset(self) -> None:
        """
        The connection's window gets back what was on its way then.
        """
        client = RawClient()
        client.send(OPEN)
        client.exchange.stream.abort_response()
        client.frames()
        client.send(data(1, b"x" * 16384) * 40)
        (update,) = client.frames()
        self.assertEqual((update.name, update.stream), ("WINDOW_UPDATE", 0))
        self.assertGreaterEqual(update.number, 1 << 19)


class IgnoredTests(SynchronousTestCase):
    """
    Tests for what nothing comes of.
    """

    def test_ignored(self) -> None:
        """
        These are allowed and mean nothing here.
        """
        for name, frames in (
            ("an unknown frame", frame(0x77, 0xFF, 5, b"whatever")),
            ("an unknown frame that is empty", frame(0xFF, 0, 0, b"")),
            ("PRIORITY of a stream that nobody opened", priority(9)),
            ("an acknowledged PING", ping(ack=True)),
            ("acknowledged SETTINGS", SETTINGS_ACK),
            ("GOAWAY", goaway(0, 0, b"bye")),
            ("the reserved bit", frame(PING, ACK, 1 << 31, b"01234567")),
            ("the reserved bit of an increment", window_update(0, 1 << 31 | 1)),
            ("flags that nobody defined", frame(PING, 0xFF, 0, b"01234567")),
        ):
            client = RawClient()
            client.send(frames)
            self.assertEqual((client.frames(), client.transport.half_closed), ([], False), name)

    def test_flags(self) -> None:
        """
        Nor do flags that were not defined for a frame.
        """
        client = RawClient()
        every = 0xFF & ~PADDED & ~PRIORITY_FLAG
        client.send(frame(HEADERS, every & ~END_STREAM, 1, POST) + frame(DATA, every & ~END_STREAM, 1, b"x"))
        client.send(frame(DATA, every, 1, b"y"))
        self.assertEqual((client.exchange.body, client.exchange.events[-1]), (b"xy", "last body"))

    def test_answered(self) -> None:
        """
        A ping is answered with its own payload, settings with an acknowledgement.
        """
        client = RawClient()
        client.send(ping(b"abcdefgh") + settings((INITIAL_WINDOW_SIZE, 5)) + ping(b"ABCDEFGH"))
        self.assertEqual(
            [(it.name, it.flags, it.payload) for it in client.frames()],
            [("PING", ACK, b"abcdefgh"), ("SETTINGS", ACK, b""), ("PING", ACK, b"ABCDEFGH")],
        )


class ReceiveWindowTests(SynchronousTestCase):
    """
    Tests for what clients may send.
    """

    def updates(self, client: RawClient) -> list[tuple[int, int]]:
        """
        The credit that the client got: streams and bytes.
        """
        return [(it.stream, it.number) for it in client.frames() if it.kind == WINDOW_UPDATE]

    def test_credit(self) -> None:
        """
        Credit comes when half of a window was used, and not for every piece.
        """
        client = RawClient()
        client.send(OPEN)
        for _ in range(3):
            client.send(data(1, b"x" * 10000))
        self.assertEqual(self.updates(client), [])
        client.send(data(1, b"x" * 10000))
        self.assertEqual(self.updates(client), [(1, 40000)])

    def test_padding(self) -> None:
        """
        Padding counts (RFC 9113 section 6.9.1).
        """
        client = RawClient()
        client.send(OPEN)
        for _ in range(129):
            client.send(data(1, b"", padding=254))
        self.assertEqual(self.updates(client), [(1, 129 * 255)])
        self.assertEqual(client.exchange.events, [])

    def test_none_at_the_end(self) -> None:
        """
        A stream that has ended needs none.
        """
        client = RawClient()
        client.send(OPEN)
        client.send(b"".join((data(1, b"x" * 16384), data(1, b"x" * 16384), data(1, b"x" * 16384, end=True))))
        self.assertEqual([update for update in self.updates(client) if update[1] > 40000], [])

    def test_paused(self) -> None:
        """
        A reader that pauses holds back its own stream; what came meanwhile is made up for when it goes on.
        """
        client = RawClient()
        client.send(OPEN)
        stream = client.exchange.stream
        stream.pause_body()
        client.send(data(1, b"x" * 16000) * 4)
        self.assertEqual((self.updates(client), len(client.exchange.body)), ([], 64000))
        stream.resume_body()
        self.assertEqual(self.updates(client), [(1, 64000)])
        self.assertEqual(client.connection._held, 0)

    def test_paused_others(self) -> None:
        """
        And no other.
        """
        client = RawClient()
        client.send(OPEN + headers(3, POST, end=False))
        client.exchanges[0].stream.pause_body()
        for _ in range(10):
            client.send(data(1, b"x" * 6000) + data(3, b"x" * 16000) + data(3, b"x" * 16000))
        streams = {stream for stream, _ in self.updates(client)}
        self.assertEqual(streams, {3})

    def test_whole_connection(self) -> None:
        """
        What all paused readers hold together is bounded; nobody gets credit then, until they go on.
        """
        client = RawClient(limits=Limits(min_body_rate=0))
        client.fake.on_request = lambda exchange: exchange.stream.pause_body()
        streams = range(1, 81, 2)
        sent = credit = 0
        for number in streams:
            client.send(headers(number, POST, end=False))
            if sent + 65535 > credit + (1 << 20):
                break
            client.send(data(number, b"x" * 16384) * 3 + data(number, b"x" * 16383))
            sent += 65535
            credit += sum(size for stream, size in self.updates(client) if stream == 0)
        held = client.connection._held
        self.assertEqual(held, sent)
        self.assertLess(held, 3 << 20)
        for exchange in client.exchanges:
            exchange.stream.resume_body()
        total = sum(size for stream, size in self.updates(client) if stream == 0)
        self.assertGreater(total, 1 << 19)
        self.assertEqual(client.connection._held, 0)

    def test_too_much(self) -> None:
        """
        More than the connection's window ends the connection.
        """
        client = RawClient()
        client.fake.on_request = lambda exchange: exchange.stream.pause_body()
        for number in range(1, 200, 2):
            client.send(headers(number, POST, end=False) + data(number, b"x" * 16384) * 3 + data(number, b"x" * 16383))
            if client.transport.half_closed:
                break
        last = client.frames()[-1]
        self.assertEqual((last.kind, last.code), (GOAWAY, FLOW_CONTROL_ERROR))

    def test_released_by_end(self) -> None:
        """
        What was held is released by the end of its stream, however it ends.
        """
        for end in (
            lambda client: client.send(data(1, b"", end=True)),
            lambda client: client.send(headers(1, literal(b"x-a", b"b"))),
            lambda client: client.send(reset(1)),
            lambda client: client.send(window_update(1, 0)),
            lambda client: client.exchange.stream.abort_response(),
            lambda client: client.send(data(0, b"x")),
            lambda client: client.go(),
        ):
            client = RawClient()
            client.send(OPEN)
            connection = client.connection
            client.exchange.stream.pause_body()
            client.send(data(1, b"x" * 16384))
            self.assertEqual(connection._held, 16384)
            end(client)
            self.assertEqual(connection._held, 0)


class SendWindowTests(SynchronousTestCase):
    """
    Tests for what clients take.
    """

    def sizes(self, client: RawClient) -> list[tuple[int, int, bool]]:
        """
        What they got: streams, sizes, and whether that was the end.
        """
        return [(it.stream, len(it.payload), it.ends) for it in client.frames() if it.kind == DATA]

    def test_frame_by_frame(self) -> None:
        """
        A body is cut into frames, the last of which says that it is.
        """
        client = RawClient()
        client.send(headers(1))
        client.exchange.answer(b"x" * 40000)
        self.assertEqual(self.sizes(client), [(1, 16384, False), (1, 16384, False), (1, 7232, True)])

    def test_stream_window(self) -> None:
        """
        No more is sent than the stream's window allows, and the rest when it allows more.
        """
        client = RawClient()
        client.send(settings((INITIAL_WINDOW_SIZE, 10)) + headers(1))
        client.exchange.begin(body=b"0123456789abc")
        self.assertEqual(self.sizes(client), [(1, 10, False)])
        self.assertEqual(client.exchange.events, ["pause"])
        client.send(window_update(1, 2))
        self.assertEqual((self.sizes(client), client.exchange.events), ([(1, 2, False)], ["pause"]))
        client.send(window_update(1, 100))
        self.assertEqual((self.sizes(client), client.exchange.events), ([(1, 1, False)], ["pause", "resume"]))
        client.send(window_update(0, 1))
        self.assertEqual(client.exchange.events, ["pause", "resume"])

    def test_connection_window(self) -> None:
        """
        Nor more than the connection's allows; those that wait get a frame each in turn.
        """
        client = RawClient()
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)))
        for number in (1, 3, 5):
            client.send(headers(number))
            client.exchange.answer(b"x" * 60000)
        self.assertEqual(sum(size for _, size, _ in self.sizes(client)), DEFAULT_WINDOW)
        client.send(window_update(0, 3 * 16384))
        self.assertEqual([stream for stream, _, _ in self.sizes(client)], [3, 5, 3])
        client.send(window_update(0, 1 << 20))
        sizes = self.sizes(client)
        self.assertEqual(sorted(stream for stream, _, end in sizes if end), [3, 5])
        self.assertEqual(client.connection.streams, {})

    def test_end_waits(self) -> None:
        """
        The end of a response, with its trailers, waits behind its body.
        """
        for trailers in (b"", b"x-a: b\r\n"):
            client = RawClient()
            client.send(settings((INITIAL_WINDOW_SIZE, 3)) + headers(1))
            client.exchange.begin(body=b"hello")
            client.exchange.stream.end_response(trailers)
            self.assertEqual(self.sizes(client), [(1, 3, False)])
            client.send(window_update(1, 2))
            frames = client.frames()
            self.assertEqual([it.name for it in frames], ["DATA", "HEADERS"] if trailers else ["DATA"])
            self.assertTrue(frames[-1].ends)
            self.assertEqual(client.connection.streams, {})

    def test_ended_though_it_waits(self) -> None:
        """
        A response that has ended is as it is, though some of it still waits.
        """
        client = RawClient()
        client.send(settings((INITIAL_WINDOW_SIZE, 3)) + headers(1))
        client.exchange.begin(body=b"hello")
        stream = client.exchange.stream
        stream.end_response(b"x-a: b\r\n")
        stream.send_body(b"more")
        stream.end_response(b"")
        stream.abort_response()
        client.send(window_update(1, 100))
        frames = client.frames()
        self.assertEqual(b"".join(it.payload for it in frames if it.kind == DATA), b"hello")
        self.assertEqual([it.name for it in frames][-3:], ["DATA", "DATA", "HEADERS"])

    def test_answered_though_it_waits(self) -> None:
        """
        An application that answered at once hears nothing more of a response that waits.
        """
        client = RawClient()
        client.send(settings((INITIAL_WINDOW_SIZE, 3)))

        def respond(exchange: FakeExchange) -> None:
            exchange.stream.send_response(200, b"OK", b"", None, b"hello", True)

        client.fake.on_request = respond
        client.send(headers(1))
        client.send(window_update(1, 1))
        client.send(reset(1))
        self.assertEqual(client.exchange.events, [])

    def test_paused_in_the_call(self) -> None:
        """
        One that answers in part before it returns is told to pause when it has.
        """
        client = RawClient()
        client.send(settings((INITIAL_WINDOW_SIZE, 3)))
        client.fake.on_request = lambda exchange: exchange.begin(body=b"hello")
        client.send(headers(1))
        self.assertEqual(client.exchange.events, ["pause"])
        client.send(window_update(1, 10))
        self.assertEqual(client.exchange.events, ["pause", "resume"])

    def test_slow_reader(self) -> None:
        """
        While the transport is full no body is written; answers to frames are.
        """
        client = RawClient()
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)) + window_update(0, 1 << 20) + headers(1) + headers(3))
        client.transport.stalled = True
        client.exchanges[0].begin(body=b"x" * 70000)
        self.assertTrue(client.connection.choked)
        queued = len(client.transport.queued)
        client.exchanges[1].begin(body=b"y" * 1000)
        self.assertEqual(client.exchanges[1].events, ["pause"])
        self.assertLess(len(client.transport.queued), queued + 100)
        client.send(ping())
        client.transport.flow()
        self.assertEqual(client.exchanges[1].events, ["pause", "resume"])
        self.assertEqual(sum(size for stream, size, _ in self.sizes(client) if stream == 3), 1000)

    def test_window_of_a_closed_stream(self) -> None:
        """
        More room for what is over is of no use to anybody.
        """
        client = RawClient()
        client.send(headers(1))
        client.exchange.answer(b"x")
        client.frames()
        client.send(window_update(1, 5) + window_update(1, 0) + reset(1, REFUSED_STREAM))
        self.assertEqual((client.frames(), client.transport.half_closed), ([], False))

    def test_cut_continuations(self) -> None:
        """
        The frames of a long section follow each other, whatever else is to be said.
        """
        client = RawClient()
        client.send(headers(1))
        lines = b"".join(b"x-%d: %b\r\n" % (count, b"v" * 900) for count in range(40))
        client.exchange.stream.send_response(200, b"OK", lines, None, b"", True)
        frames = client.frames()
        self.assertEqual([it.kind for it in frames], [HEADERS, CONTINUATION, CONTINUATION])
        self.assertEqual([it.flags for it in frames], [END_STREAM, 0, END_HEADERS])
