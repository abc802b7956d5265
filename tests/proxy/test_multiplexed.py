"""
Tests for L{siger.proxy.multiplexed}.
"""

from __future__ import annotations

from collections.abc import Callable

import h2.events
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.h2.constants import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    ENABLE_PUSH,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    LARGEST_STREAM,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
)
from siger.http.h2.writing import Batch
from siger.proxy.multiplexed import ClientConnection
from tests.http.generators import properties, splits
from tests.http.h2.frames import (
    block,
    continuation,
    data,
    frame,
    goaway,
    headers,
    ping,
    push_promise,
    read_frames,
    reset,
    settings,
    window_update,
)
from tests.http.hpack.blocks import added, literal
from tests.proxy.http2_instance import GET, OK, Call, LibraryInstance, RawInstance, packed

POST = packed(b"POST")


class BeginningTests(SynchronousTestCase):
    """
    Tests for how a connection begins.
    """

    def test_settings(self) -> None:
        """
        Siger says that it takes no pushes, and how large windows and sections may be.
        """
        instance = RawInstance(begin=b"")
        self.assertTrue(instance.transport.written.startswith(PREFACE))
        first, second = instance.frames()
        self.assertEqual((first.kind, first.flags, second.kind, second.stream), (SETTINGS, 0, WINDOW_UPDATE, 0))
        pairs = [first.payload[at : at + 6] for at in range(0, len(first.payload), 6)]
        values = {int.from_bytes(it[:2], "big"): int.from_bytes(it[2:], "big") for it in pairs}
        self.assertEqual(set(values), {ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE})
        self.assertEqual((values[ENABLE_PUSH], values[MAX_HEADER_LIST_SIZE]), (0, 65536))
        self.assertEqual(second.number + 65535, 1 << 22)

    def test_before_the_instance(self) -> None:
        """
        Requests do not wait for the instance's settings; it may have said by then how many it takes (RFC 9113 section
        6.5.2), and until then they are a hundred.
        """
        instance = RawInstance(begin=b"", max_streams=1000)
        self.assertEqual(instance.connection.room, 100)
        instance.ask()
        self.assertEqual(instance.frames()[-1].name, "HEADERS")
        instance.say(settings((MAX_CONCURRENT_STREAMS, 3)))
        self.assertEqual(instance.connection.room, 2)
        instance.say(settings((MAX_CONCURRENT_STREAMS, 0)))
        self.assertEqual(instance.connection.room, -1)
        instance.say(settings((MAX_CONCURRENT_STREAMS, 5000)))
        self.assertEqual(instance.connection.room, 999)

    def test_library(self) -> None:
        """
        Another implementation's server takes it.
        """
        instance = LibraryInstance()
        self.assertEqual(len(instance.saw(h2.events.SettingsAcknowledged)), 1)
        self.assertEqual(repr(instance.connection), "<ClientConnection [0 streams, usable]>")

    def test_room_is_told(self) -> None:
        """
        More room is told when the settings that make it were acknowledged, as what begins then rests on them.
        """
        instance = RawInstance(begin=settings((MAX_CONCURRENT_STREAMS, 0)))
        seen: list[list[str]] = []

        def note(connection: ClientConnection) -> None:
            connection.flush()
            seen.append([frame.name for frame in instance.frames()])

        instance.owner.on_room = note
        instance.say(settings((MAX_CONCURRENT_STREAMS, 1)))
        self.assertEqual(seen, [["SETTINGS"]])

    def test_acknowledged_first(self) -> None:
        """
        What is sent under new windows is sent behind the acknowledgement.
        """
        instance = LibraryInstance({INITIAL_WINDOW_SIZE: 10})
        instance.reading = False
        call = instance.ask(POST, request_open=True)
        call.stream.send_body(b"x" * 100)
        instance.talk()
        instance.peer.update_settings({INITIAL_WINDOW_SIZE: 60})
        instance.talk()
        self.assertEqual(len(instance.requests[1].body), 60)


class RequestTests(SynchronousTestCase):
    """
    Tests for requests of every shape.
    """

    def test_get(self) -> None:
        """
        A request without a body is one frame, which reads as what was packed.
        """
        instance = LibraryInstance()
        instance.ask(packed(b"GET", b"X-A: b\r\nAuthorization: c\r\n"))
        instance.talk()
        request = instance.requests[1]
        self.assertEqual(
            request.fields,
            [
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":path", b"/x"),
                (b":authority", b"a.test"),
                (b"x-a", b"b"),
                (b"authorization", b"c"),
            ],
        )
        self.assertEqual((request.body, request.ended), (b"", True))

    def test_no_table(self) -> None:
        """
        The first says that no table is used, and only the first.
        """
        instance = RawInstance()
        for _ in range(2):
            instance.ask()
        first, second = instance.frames()
        self.assertEqual((first.payload, second.payload), (b"\x20" + GET, GET))
        self.assertEqual((first.stream, second.stream, first.ends), (1, 3, True))

    def test_body(self) -> None:
        """
        A body is sent as it comes, and its end with the last of it.
        """
        instance = LibraryInstance()
        call = instance.ask(POST, request_open=True)
        self.assertTrue(call.stream.request_open)
        call.stream.send_body(b"hel")
        instance.talk()
        self.assertEqual((instance.requests[1].body, instance.requests[1].ended), (b"hel", False))
        call.stream.send_body(b"lo", True)
        instance.talk()
        self.assertEqual((instance.requests[1].body, instance.requests[1].ended), (b"hello", True))
        self.assertFalse(call.stream.request_open)
        call.stream.request_sent()
        call.stream.send_body(b"late")
        instance.talk()
        self.assertEqual(instance.requests[1].body, b"hello")

    def test_end_alone(self) -> None:
        """
        Or its end with nothing.
        """
        instance = LibraryInstance()
        call = instance.ask(POST, request_open=True)
        call.stream.request_sent()
        instance.talk()
        self.assertEqual((instance.requests[1].body, instance.requests[1].ended), (b"", True))

    def test_trailers(self) -> None:
        """
        Or with trailers.
        """
        instance = LibraryInstance()
        call = instance.ask(POST, request_open=True)
        call.stream.send_body(b"hello")
        call.stream.request_sent(b"X-A: b\r\n")
        instance.talk()
        request = instance.requests[1]
        self.assertEqual((request.body, request.trailers, request.ended), (b"hello", [(b"x-a", b"b")], True))

    def test_slow_instance(self) -> None:
        """
        When the instance takes less than there is, the request is paused; its end waits, too.
        """
        instance = LibraryInstance({INITIAL_WINDOW_SIZE: 100})
        instance.reading = False
        call = instance.ask(POST, request_open=True)
        call.stream.send_body(b"x" * 250)
        call.stream.request_sent(b"x-a: b\r\n")
        instance.talk()
        self.assertEqual((len(instance.requests[1].body), call.events), (100, ["pause"]))
        self.assertTrue(call.stream.request_paused)
        instance.peer.increment_flow_control_window(100, 1)
        instance.talk()
        self.assertEqual((len(instance.requests[1].body), call.events), (200, ["pause"]))
        instance.peer.increment_flow_control_window(100, 1)
        instance.talk()
        self.assertEqual((len(instance.requests[1].body), call.events), (250, ["pause", "resume"]))
        self.assertEqual((instance.requests[1].trailers, call.stream.request_paused), ([(b"x-a", b"b")], False))

    def test_full_transport(self) -> None:
        """
        So it is when the transport is full.
        """
        instance = RawInstance(begin=settings((INITIAL_WINDOW_SIZE, 1 << 20)) + window_update(0, 1 << 20))
        call = instance.ask(POST, request_open=True)
        instance.connection.writing_paused()
        call.stream.send_body(b"x" * 10)
        self.assertEqual(call.events, ["pause"])
        instance.connection.writing_resumed()
        self.assertEqual(call.events, ["pause", "resume"])
        self.assertEqual(instance.frames()[-1].payload, b"x" * 10)

    def test_long_section(self) -> None:
        """
        A section that does not fit in a frame is sent in several.
        """
        instance = LibraryInstance({MAX_HEADER_LIST_SIZE: 1 << 20})
        lines = b"".join(b"x-%d: %b\r\n" % (count, b"v" * 900) for count in range(50))
        instance.ask(packed(b"GET", lines))
        instance.talk()
        self.assertEqual(len(instance.requests[1].fields), 54)

    def test_given_up(self) -> None:
        """
        A request that is given up is reset, whatever it has come to, and its recipient hears nothing more.
        """
        for open_, answer in ((True, b""), (False, b""), (False, headers(1, OK, end=False) + data(1, b"x"))):
            instance = RawInstance()
            call = instance.ask(POST, request_open=open_)
            instance.say(answer)
            events = [*call.events]
            instance.frames()
            call.stream.abort()
            (frame,) = instance.frames()
            self.assertEqual((frame.kind, frame.stream, frame.code), (RST_STREAM, 1, CANCEL))
            instance.say(headers(1, OK) if not answer else data(1, b"late"))
            call.stream.hang_up()
            self.assertEqual((call.events, instance.frames()), (events, []))
            self.assertEqual((instance.connection.load, instance.connection.streams), (0, {}))
            self.assertEqual(repr(call.stream), "<ClientStream 1 [over]>")

    def test_the_last_stream(self) -> None:
        """
        When there are no more identifiers the connection takes no more requests, and ends with those that are open.
        """
        instance = RawInstance()
        instance.connection._next = LARGEST_STREAM
        self.assertEqual(instance.connection.room, 100)
        call = instance.ask()
        self.assertEqual((instance.connection.room, instance.owner.events), (0, ["retired"]))
        instance.say(headers(LARGEST_STREAM, OK))
        self.assertEqual(call.events, ["response 200"])
        self.assertTrue(instance.transport.half_closed)


class ResponseTests(SynchronousTestCase):
    """
    Tests for responses of every shape.
    """

    def ask(self, section: bytes = GET, head_only: bool = False) -> tuple[LibraryInstance, Call]:
        """
        A request that waits for its response.
        """
        instance = LibraryInstance()
        call = instance.ask(section, head_only)
        instance.talk()
        return instance, call

    def test_whole(self) -> None:
        """
        A response that comes in one read is delivered in one piece.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.say(headers(1, OK + literal(b"content-length", b"5"), end=False) + data(1, b"hello", end=True))
        recipient = call.recipient
        assert recipient.head is not None
        self.assertEqual((recipient.head.status, recipient.head.length, recipient.body), (200, 5, b"hello"))
        self.assertEqual((call.events, recipient.complete), (["response 200"], True))
        self.assertEqual((instance.connection.streams, instance.connection.load), ({}, 0))
        self.assertTrue(instance.connection.served)

    def test_head_and_some(self) -> None:
        """
        So are a head and what came of the body with it; the rest follows.
        """
        instance = RawInstance()
        call = instance.ask()
        self.assertEqual(repr(call.stream), "<ClientStream 1 [waiting]>")
        instance.say(headers(1, OK, end=False) + data(1, b"hel"))
        self.assertEqual((call.events, call.recipient.body), (["response 200"], b"hel"))
        self.assertEqual(repr(call.stream), "<ClientStream 1 [responding]>")
        instance.say(data(1, b"l") + data(1, b"o", end=True))
        self.assertEqual(call.recipient.body, b"hello")
        self.assertEqual((call.events[-1], call.recipient.complete), ("finished", True))

    def test_head_alone(self) -> None:
        """
        A head that nothing comes with is delivered for itself.
        """
        instance, call = self.ask()
        instance.respond(1, (b"x-a", b"b"))
        recipient = call.recipient
        assert recipient.head is not None
        self.assertEqual((call.events, recipient.head.relay), (["response 200"], b"x-a: b\r\n"))
        instance.send_body(1, b"hello")
        instance.send_body(1, b"", end=True)
        self.assertEqual((call.events, recipient.body), (["response 200", "data", "finished"], b"hello"))

    def test_no_body(self) -> None:
        """
        A response may be a head and no more.
        """
        instance, call = self.ask()
        instance.respond(1, (b"grpc-status", b"5"), end=True)
        self.assertEqual((call.events, call.recipient.complete), (["response 200"], True))

    def test_trailers(self) -> None:
        """
        Trailers end a response, whether there was a body or not.
        """
        for body in (b"", b"hello"):
            instance, call = self.ask()
            instance.respond(1)
            if body:
                instance.send_body(1, body)
            instance.peer.send_headers(1, [(b"grpc-status", b"0"), (b"set-cookie", b"a=b")], end_stream=True)
            instance.talk()
            self.assertEqual((call.events[-1], call.recipient.trailers), ("finished", b"grpc-status: 0\r\n"))
            self.assertEqual(call.recipient.body, body)

    def test_trailers_at_once(self) -> None:
        """
        They may come in the same read as the head.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.say(headers(1, OK, end=False) + headers(1, literal(b"grpc-status", b"0")))
        self.assertEqual(call.events, ["response 200", "finished"])

    def test_interim(self) -> None:
        """
        Interim responses are passed on.
        """
        instance, call = self.ask()
        instance.respond(1, (b"link", b"</a>"), status=b"103")
        instance.respond(1, status=b"100")
        instance.respond(1, end=True)
        self.assertEqual(call.events, ["interim 103", "interim 100", "response 200"])

    def test_strange_interim(self) -> None:
        """
        An interim response that ends the stream, switches protocols, or is one of too many is none.
        """
        interim = headers(1, block((b":status", b"103")), end=False)
        for said in (
            headers(1, block((b":status", b"103"))),
            headers(1, block((b":status", b"101")), end=False),
            interim * 17,
            interim + data(1, b"x"),
        ):
            instance = RawInstance()
            call = instance.ask()
            instance.say(said)
            last = instance.frames()[-1]
            self.assertEqual((last.kind, last.code), (RST_STREAM, PROTOCOL_ERROR))
            self.assertEqual(call.events[-1], "failed upstream_malformed")

    def test_head_request(self) -> None:
        """
        A response to HEAD says a length that no body has.
        """
        for end in (True, False):
            instance = RawInstance()
            call = instance.ask(packed(b"HEAD"), head_only=True)
            instance.say(headers(1, OK + literal(b"content-length", b"5"), end=end))
            if not end:
                instance.say(data(1, b"", end=True))
            assert call.recipient.head is not None
            self.assertEqual((call.recipient.head.length, call.recipient.complete), (5, True))
            self.assertEqual(call.recipient.body, b"")

    def test_no_body_possible(self) -> None:
        """
        A body where there can be none is no part of a response.
        """
        for section, head_only, status in ((packed(b"HEAD"), True, b"200"), (GET, False, b"204"), (GET, False, b"304")):
            instance = RawInstance()
            call = instance.ask(section, head_only)
            instance.say(headers(1, block((b":status", status)), end=False) + data(1, b"x", end=True))
            last = instance.frames()[-1]
            self.assertEqual((last.kind, last.code), (RST_STREAM, PROTOCOL_ERROR))
            self.assertEqual(call.events[-1], "failed upstream_malformed")
            self.assertEqual(call.recipient.body, b"")

    def test_wrong_length(self) -> None:
        """
        A body of another length than declared is never taken for complete.
        """
        head = headers(1, OK + literal(b"content-length", b"5"), end=False)
        for said in (
            head + data(1, b"hello!"),
            head + data(1, b"hell", end=True),
            head + data(1, b"hell") + headers(1, literal(b"x-a", b"b")),
            headers(1, OK + literal(b"content-length", b"5")),
        ):
            instance = RawInstance()
            call = instance.ask()
            instance.say(said)
            last = instance.frames()[-1]
            self.assertEqual((last.kind, last.code), (RST_STREAM, PROTOCOL_ERROR))
            self.assertEqual(call.events[-1], "failed upstream_malformed")
            self.assertFalse(call.recipient.complete)

    def test_malformed(self) -> None:
        """
        Nor is anything that is no response.
        """
        for said in (
            headers(1, literal(b"x-a", b"b")),
            headers(1, OK + literal(b"X-A", b"b")),
            headers(1, OK + literal(b"connection", b"close")),
            headers(1, OK + literal(b"x-a", b"b\r\nx-b: c")),
            headers(1, OK + literal(b"content-length", b"x")),
            data(1, b"x"),
            data(1, b"", end=True),
            headers(1, OK, end=False) + headers(1, OK, end=False),
            headers(1, OK, end=False) + headers(1, literal(b"x-a", b"b"), end=False),
            headers(1, OK, end=False) + headers(1, literal(b"X", b"")),
        ):
            instance = RawInstance()
            call = instance.ask()
            instance.say(said)
            last = instance.frames()[-1]
            self.assertEqual((last.kind, last.stream, last.code), (RST_STREAM, 1, PROTOCOL_ERROR), said)
            self.assertEqual(call.events[-1], "failed upstream_malformed")
            self.assertFalse(instance.transport.half_closed)

    def test_too_large(self) -> None:
        """
        A section that unpacks to too much, head or trailers, is none; the table stays in step.
        """
        long = added(b"x-a", b"v" * 4000)
        for said in (
            headers(1, OK + long + b"\xbe" * 16),
            headers(1, OK, end=False) + headers(1, long + b"\xbe" * 16),
            headers(1, OK + long + literal(b"y", b"") * 250),
        ):
            instance = RawInstance()
            call = instance.ask()
            instance.say(said)
            self.assertEqual(call.events[-1], "failed upstream_malformed")
            other = instance.ask()
            instance.say(headers(3, OK + b"\xbe"))
            assert other.recipient.head is not None
            self.assertEqual(other.recipient.head.relay, b"x-a: %b\r\n" % (b"v" * 4000))

    def test_early(self) -> None:
        """
        A response that is complete before its request ends that, too: the rest is of no use to anybody.
        """
        instance = RawInstance()
        call = instance.ask(POST, request_open=True)
        instance.say(headers(1, block((b":status", b"413"))))
        last = instance.frames()[-1]
        self.assertEqual((last.kind, last.stream, last.code), (RST_STREAM, 1, NO_ERROR))
        self.assertEqual(call.events, ["response 413"])
        call.stream.send_body(b"late", True)
        call.stream.request_sent()
        self.assertEqual(instance.frames(), [])
        self.assertEqual(instance.connection.load, 0)

    def test_early_and_reset(self) -> None:
        """
        The instance may say so itself, with no error (RFC 9113 section 8.1).
        """
        instance = RawInstance()
        call = instance.ask(POST, request_open=True)
        instance.say(headers(1, block((b":status", b"413"))) + reset(1, NO_ERROR))
        self.assertEqual((call.events, instance.transport.half_closed), (["response 413"], False))

    def test_padding(self) -> None:
        """
        Padding belongs to no body.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.say(
            headers(1, OK, end=False, padding=9) + data(1, b"hello", padding=0) + data(1, b"!", True, padding=5)
        )
        self.assertEqual(call.recipient.body, b"hello!")

    def test_continuation(self) -> None:
        """
        A section may come in several frames.
        """
        instance, call = self.ask()
        values = [(b"x-%d" % number, b"%d" % number * 4000) for number in range(5)]
        instance.respond(1, *values, end=True)
        assert call.recipient.head is not None
        self.assertEqual(call.recipient.head.relay, b"".join(b"%b: %b\r\n" % pair for pair in values))

    def test_any_order(self) -> None:
        """
        Responses come in any order, also frame by frame.
        """
        instance = RawInstance()
        calls = [instance.ask() for _ in range(5)]
        for number in (9, 1, 5, 3, 7):
            instance.say(headers(number, OK, end=False))
        for _ in range(3):
            for number in (1, 3, 5, 7, 9):
                instance.say(data(number, b"%d" % number))
        instance.say(b"".join(data(number, b".", end=True) for number in (3, 9, 1, 7, 5)))
        self.assertEqual([call.recipient.body for call in calls], [b"111.", b"333.", b"555.", b"777.", b"999."])
        self.assertEqual(instance.connection.load, 0)

    def test_next_at_once(self) -> None:
        """
        Room is told before a response is delivered, so that whoever waits begins.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.owner.on_room = lambda connection: order.append("room")
        order: list[str] = []
        call.recipient.on_response = lambda: order.append("response")
        instance.say(headers(1, OK))
        self.assertEqual(order, ["room", "response"])


class RepeatedBlockTests(SynchronousTestCase):
    """
    Tests for blocks that are recognised instead of decoded.
    """

    REFERRING = OK + b"\xbe"

    def referring(self, instance: RawInstance) -> bytes:
        """
        What a response with such a section is taken for.
        """
        call = instance.ask()
        instance.say(headers(call.stream.number, self.REFERRING))
        assert call.recipient.head is not None
        return call.recipient.head.relay

    def make(self) -> RawInstance:
        """
        A connection on which it is known.
        """
        instance = RawInstance()
        instance.ask()
        instance.say(headers(1, OK + added(b"x-a", b"first")))
        for _ in range(3):
            self.assertEqual(self.referring(instance), b"x-a: first\r\n")
        self.assertIs(instance.calls[-1].recipient.head, instance.calls[-2].recipient.head)
        return instance

    def test_changed_by_response(self) -> None:
        """
        Another response changes the table.
        """
        instance = self.make()
        number = instance.ask().stream.number
        instance.say(headers(number, OK + added(b"x-b", b"second")))
        self.assertEqual(self.referring(instance), b"x-b: second\r\n")

    def test_changed_by_trailers(self) -> None:
        """
        Trailers do.
        """
        instance = self.make()
        number = instance.ask().stream.number
        instance.say(headers(number, OK, end=False) + headers(number, added(b"x-b", b"second")))
        self.assertEqual(self.referring(instance), b"x-b: second\r\n")

    def test_changed_by_late_response(self) -> None:
        """
        The response to a request that was given up does.
        """
        instance = self.make()
        call = instance.ask()
        call.stream.abort()
        instance.say(headers(call.stream.number, OK + added(b"x-b", b"second")))
        self.assertEqual(self.referring(instance), b"x-b: second\r\n")

    def test_changed_by_malformed(self) -> None:
        """
        So does one that is none.
        """
        instance = self.make()
        number = instance.ask().stream.number
        instance.say(headers(number, OK + literal(b"X", b"") + added(b"x-b", b"second")))
        self.assertEqual(self.referring(instance), b"x-b: second\r\n")

    def test_trailers(self) -> None:
        """
        Trailers are recognised, too, apart from heads, and read anew when the table has changed.
        """
        instance = RawInstance()
        for value in (b"0", b"1"):
            for section in (added(b"grpc-status", value), b"\xbe", b"\xbe", b"\xbe"):
                call = instance.ask()
                instance.say(headers(call.stream.number, OK, end=False) + headers(call.stream.number, section))
                self.assertEqual(call.recipient.trailers, b"grpc-status: %b\r\n" % value)

    def test_bounded(self) -> None:
        """
        Only so many are remembered, none of them long.
        """
        instance = RawInstance()
        for turn in range(200):
            number = instance.ask().stream.number
            instance.say(headers(number, OK + literal(b"x-a", b"%d" % turn), end=False))
            instance.say(headers(number, literal(b"x-a", b"%d" % turn)))
        connection = instance.connection
        self.assertLessEqual(max(len(connection._heads), len(connection._trailers)), 64)
        number = instance.ask().stream.number
        instance.say(headers(number, OK + literal(b"x-a", b"v" * 1024)))
        self.assertEqual([block for block in connection._heads if len(block) > 1024], [])

    @properties
    @given(st.data())
    def test_any(self, source: st.DataObject) -> None:
        """
        Whatever an instance's table does, responses are what the instance sent.
        """
        instance = LibraryInstance()
        names, values = st.sampled_from((b"x-a", b"x-b", b"x-c")), st.sampled_from((b"1", b"2", b"3", b"4" * 1500))
        section = st.lists(st.tuples(names, values), max_size=3)
        for _ in range(source.draw(st.integers(1, 12))):
            call = instance.ask()
            number = call.stream.number
            instance.talk()
            if source.draw(st.booleans()):
                call.stream.abort()
            sent, trailers = source.draw(section), source.draw(section.filter(bool))
            instance.peer.send_headers(number, [(b":status", b"200"), *sent])
            instance.peer.send_headers(number, trailers, end_stream=True)
            instance.talk()
            if call.events:
                assert call.recipient.head is not None
                self.assertEqual(call.recipient.head.relay, b"".join(b"%b: %b\r\n" % field for field in sent))
                self.assertEqual(call.recipient.trailers, b"".join(b"%b: %b\r\n" % field for field in trailers))


class FailureTests(SynchronousTestCase):
    """
    Tests for requests that are not answered.
    """

    def test_refused(self) -> None:
        """
        An instance may say that it did nothing (RFC 9113 section 8.7).
        """
        instance = RawInstance()
        call = instance.ask(POST, request_open=True)
        call.stream.send_body(b"x")
        instance.say(reset(1, REFUSED_STREAM))
        self.assertEqual(call.events, ["refused upstream_reset"])
        self.assertEqual((instance.connection.load, instance.owner.events), (0, ["room"]))
        self.assertTrue(instance.connection.usable)

    def test_refused_too_late(self) -> None:
        """
        Not once it has said something.
        """
        for said in (headers(1, block((b":status", b"103")), end=False), headers(1, OK, end=False)):
            instance = RawInstance()
            call = instance.ask()
            instance.say(said + reset(1, REFUSED_STREAM))
            self.assertEqual(call.events[-1], f"reset {REFUSED_STREAM}")

    def test_reset(self) -> None:
        """
        Whatever else it says of a request that it breaks off is passed on, after a head that had come.
        """
        for code in (NO_ERROR, CANCEL, INTERNAL_ERROR, ENHANCE_YOUR_CALM, 0xDEADBEEF):
            for head in (b"", headers(1, OK, end=False)):
                instance = RawInstance()
                call = instance.ask()
                instance.say(head + reset(1, code))
                self.assertEqual(call.events, ["response 200"] * bool(head) + [f"reset {code}"])
                self.assertEqual((instance.connection.load, instance.connection.streams), (0, {}))

    def test_many_resets(self) -> None:
        """
        It may do that as often as it likes.
        """
        instance = RawInstance()
        for _ in range(500):
            call = instance.ask()
            instance.say(reset(call.stream.number, CANCEL))
        self.assertTrue(instance.connection.usable)

    def test_lost(self) -> None:
        """
        What is lost with its connection may be sent again if that had served before, and said nothing of this request.
        """
        for served, said, event, replayable in (
            (False, b"", "failed upstream_reset", False),
            (True, b"", "failed upstream_reset", True),
            (True, headers(3, block((b":status", b"103")), end=False), "failed upstream_reset", False),
            (True, headers(3, OK, end=False), "failed upstream_truncated", False),
            (True, headers(3, OK, end=False) + data(3, b"x"), "failed upstream_truncated", False),
        ):
            instance = RawInstance()
            first = instance.ask()
            if served:
                instance.say(headers(1, OK))
            else:
                first.stream.abort()
            call = instance.ask()
            instance.say(said)
            instance.go()
            self.assertEqual((call.events[-1], call.recipient.replayable), (event, replayable))
            self.assertEqual((instance.watched, instance.connection.load >= 0), (0, True))
            self.assertEqual(instance.owner.events[-2:], ["retired", "gone"])
            self.assertEqual((instance.connection.streams, instance.connection.room), ({}, 0))

    def test_spoilt(self) -> None:
        """
        An instance that spoils its connection is told how, and all requests on it fail.
        """
        for said, code in (
            (data(0, b"x"), PROTOCOL_ERROR),
            (headers(2, OK), PROTOCOL_ERROR),
            (headers(99, OK), PROTOCOL_ERROR),
            (data(99, b"x"), PROTOCOL_ERROR),
            (push_promise(1, 2), PROTOCOL_ERROR),
            (settings((ENABLE_PUSH, 1)), PROTOCOL_ERROR),
            (settings((ENABLE_PUSH, 2)), PROTOCOL_ERROR),
            (headers(1, b"\x80"), COMPRESSION_ERROR),
            (headers(1, OK, more=True) + ping(), PROTOCOL_ERROR),
            (window_update(0, 0), PROTOCOL_ERROR),
            (continuation(1, OK), PROTOCOL_ERROR),
            (frame(SETTINGS, ACK, 0, b"x"), 6),
            (ping() * 2000, ENHANCE_YOUR_CALM),
            (headers(1, b"", more=True) + continuation(1, b"", more=True) * 9, ENHANCE_YOUR_CALM),
        ):
            instance = RawInstance()
            calls = [instance.ask(), instance.ask()]
            instance.say(said)
            last = instance.frames()[-1]
            self.assertEqual((last.kind, last.code), (GOAWAY, code))
            self.assertTrue(instance.transport.half_closed)
            self.assertEqual([call.events for call in calls], [["failed upstream_reset"]] * 2)
            self.assertEqual(instance.owner.events, ["retired"])
            instance.go()
            self.assertEqual([len(call.events) for call in calls], [1, 1])

    def test_spoilt_amid_a_read(self) -> None:
        """
        What came before in the same read still counts.
        """
        instance = RawInstance()
        calls = [instance.ask(), instance.ask()]
        instance.say(headers(1, OK) + headers(3, OK, end=False) + data(0, b"x"))
        self.assertEqual(
            [call.events for call in calls], [["response 200"], ["response 200", "failed upstream_truncated"]]
        )

    def test_first_frame(self) -> None:
        """
        What does not begin with SETTINGS is no instance of HTTP/2.
        """
        for said in (ping(), b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"):
            instance = RawInstance(begin=b"")
            call = instance.ask()
            instance.say(said)
            self.assertEqual(call.events, ["failed upstream_reset"])
            self.assertTrue(instance.transport.half_closed)

    def test_stream_errors(self) -> None:
        """
        Faults of one stream leave the others.
        """
        for said, code in (
            (window_update(1, 0), PROTOCOL_ERROR),
            (window_update(1, 2**31 - 1), FLOW_CONTROL_ERROR),
            (headers(1, OK, end=False) + data(1, b"x" * 16384) * 17, FLOW_CONTROL_ERROR),
        ):
            instance = RawInstance()
            calls = [instance.ask(POST, request_open=True), instance.ask()]
            calls[0].stream.pause_response()
            instance.say(said)
            last = instance.frames()[-1]
            self.assertEqual((last.kind, last.stream, last.code), (RST_STREAM, 1, code))
            self.assertEqual(calls[0].events[-1], "failed upstream_malformed")
            instance.say(headers(3, OK))
            self.assertEqual(calls[1].events, ["response 200"])
            self.assertEqual(instance.connection.load, 0)

    def test_large_sections(self) -> None:
        """
        A head or trailers that are too large end their stream, and others only if they are so by far.
        """
        for size, spoilt in ((70000, False), (90000, False), (110000, True)):
            large = OK + b"".join(literal(b"x-%d" % number, b"v" * 9990) for number in range(size // 10000))
            pieces = [large[start : start + 16384] for start in range(0, len(large), 16384)]
            frames = headers(3, pieces[0], more=True)
            for piece in pieces[1:]:
                frames += continuation(3, piece, more=piece is not pieces[-1])
            for begun in (False, True):
                instance = RawInstance()
                other, call = instance.ask(), instance.ask()
                if begun:
                    instance.say(headers(3, OK, end=False))
                instance.say(frames)
                self.assertIn("failed upstream_", call.events[-1])
                self.assertEqual(instance.connection.closed, spoilt, size)
                instance.say(b"" if spoilt else headers(1, OK))
                self.assertEqual(other.events, ["failed upstream_reset" if spoilt else "response 200"])

    def test_behind_the_end(self) -> None:
        """
        Something behind the end of a response is not on its way to anybody.
        """
        for late in (data(1, b"x"), headers(1, OK)):
            instance = RawInstance()
            instance.ask()
            instance.say(headers(1, OK) + late)
            last = instance.frames()[-1]
            self.assertEqual((last.kind, last.code), (GOAWAY, STREAM_CLOSED))

    def test_left_behind(self) -> None:
        """
        What is still on its way of requests that were given up concerns nobody, however many there were and however
        much it is: others are on the connection, too.
        """
        instance = RawInstance()
        other = instance.ask()
        left = [instance.ask() for _ in range(60)]
        for call in left:
            instance.say(headers(call.stream.number, OK, end=False))
            call.stream.abort()
        instance.say(b"".join(data(call.stream.number, b"late") for call in left) * 30)
        for _ in range(300):
            instance.ask().stream.abort()
        instance.frames()
        instance.say(data(3, b"late") + headers(125, OK) + reset(127))
        self.assertEqual((instance.frames(), other.events), ([], []))
        instance.say(headers(1, OK))
        self.assertEqual(other.events, ["response 200"])

    def test_given_up(self) -> None:
        """
        That an instance says, too, that it has ended what was given up is no flood.
        """
        instance = RawInstance()
        other = instance.ask()
        for _ in range(2000):
            call = instance.ask()
            call.stream.abort()
            instance.say(window_update(call.stream.number, 1) + reset(call.stream.number))
        instance.say(headers(1, OK))
        self.assertEqual(other.events, ["response 200"])

    def test_no_streams_of_its_own(self) -> None:
        """
        An instance that is told of an error is told that none of its own streams was dealt with: it has none.
        """
        instance = RawInstance()
        instance.ask()
        instance.say(ping()[:8] + b"\x01" + ping()[9:])
        last = instance.frames()[-1]
        self.assertEqual((last.kind, last.payload[:8]), (GOAWAY, b"\0\0\0\0\0\0\0\x01"))


class GoawayTests(SynchronousTestCase):
    """
    Tests for instances that take no more requests (RFC 9113 section 6.8).
    """

    def test_two_steps(self) -> None:
        """
        At the first step nothing happens to what is on its way; at the second, what the instance did not see may be
        sent again, and the connection ends with the last of the others.
        """
        instance = RawInstance()
        calls = [instance.ask() for _ in range(3)]
        instance.say(goaway(LARGEST_STREAM))
        self.assertEqual((instance.owner.events, instance.connection.room), (["retired"], 0))
        self.assertEqual(repr(instance.connection), "<ClientConnection [3 streams, retired]>")
        instance.say(goaway(3))
        self.assertEqual([call.events for call in calls], [[], [], ["refused upstream_reset"]])
        self.assertEqual(instance.connection.load, 2)
        instance.say(headers(3, OK))
        self.assertFalse(instance.transport.half_closed)
        instance.say(headers(1, OK))
        self.assertEqual([call.events for call in calls[:2]], [["response 200"]] * 2)
        self.assertTrue(instance.transport.half_closed)
        self.assertEqual((instance.connection.load, instance.owner.events), (0, ["retired"]))

    def test_with_bodies(self) -> None:
        """
        Requests that are being sent are refused as others are.
        """
        instance = RawInstance(begin=settings((INITIAL_WINDOW_SIZE, 5)))
        call = instance.ask(POST, request_open=True)
        call.stream.send_body(b"0123456789")
        instance.say(goaway(0))
        self.assertEqual(call.events, ["pause", "refused upstream_reset"])
        self.assertTrue(instance.transport.half_closed)

    def test_idle(self) -> None:
        """
        A connection without requests ends at once, whichever step it is.
        """
        for last in (0, LARGEST_STREAM):
            instance = RawInstance()
            instance.say(goaway(last))
            self.assertEqual(instance.owner.events, ["retired"])
            self.assertTrue(instance.transport.half_closed)

    def test_answered(self) -> None:
        """
        Whatever an instance says, it did see what it has begun to answer.
        """
        for said, event in (
            (headers(1, OK, end=False), "failed upstream_truncated"),
            (headers(1, block((b":status", b"103")), end=False), "failed upstream_reset"),
        ):
            instance = RawInstance()
            call = instance.ask()
            instance.say(said + goaway(0))
            self.assertEqual((call.events[-1], call.recipient.replayable), (event, False))

    def test_for_an_error(self) -> None:
        """
        An instance that ends for an error may still answer what it names.
        """
        instance = RawInstance()
        calls = [instance.ask(), instance.ask()]
        instance.say(goaway(1, ENHANCE_YOUR_CALM, b"too much"))
        self.assertEqual([call.events for call in calls], [[], ["refused upstream_reset"]])
        instance.say(headers(1, OK))
        self.assertEqual(calls[0].events, ["response 200"])

    def test_retired(self) -> None:
        """
        Siger may have enough of a connection itself.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.connection.retire()
        self.assertEqual((instance.owner.events, instance.transport.half_closed), (["retired"], False))
        instance.say(headers(1, OK))
        self.assertEqual(call.events, ["response 200"])
        self.assertTrue(instance.transport.half_closed)
        instance.connection.retire()
        idle = RawInstance()
        idle.connection.retire()
        (frame,) = idle.frames()
        self.assertEqual((frame.kind, frame.number, frame.code), (GOAWAY, 0, NO_ERROR))
        self.assertTrue(idle.transport.half_closed)


class TimeTests(SynchronousTestCase):
    """
    Tests for how long an instance may take.
    """

    def timed_out(self, instance: RawInstance, call: Call) -> None:
        """
        It was given up.
        """
        self.assertEqual((call.events[-1], call.recipient.replayable), ("failed upstream_timeout", False))
        last = instance.frames()[-1]
        self.assertEqual((last.kind, last.code), (RST_STREAM, CANCEL))
        self.assertEqual(instance.connection.load, 0)

    def test_response(self) -> None:
        """
        A response has to begin in time, a call's too.
        """
        for streaming in (False, True):
            instance = RawInstance()
            call = instance.ask(streaming=streaming)
            instance.wait(19.5)
            self.assertEqual(call.events, [])
            instance.wait(0.75)
            self.timed_out(instance, call)

    def test_gone_silently(self) -> None:
        """
        A connection on which nothing at all came while a request waited takes no more: the instance may be gone.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.wait(10)
        late = instance.ask()
        instance.wait(10.25)
        self.assertEqual(call.events, ["failed upstream_timeout"])
        self.assertEqual((instance.connection.room, instance.owner.events), (0, ["retired"]))
        self.assertEqual(late.events, [])
        instance.say(headers(3, OK))
        self.assertEqual(late.events, ["response 200"])
        self.assertTrue(instance.transport.half_closed)

    def test_slow_with_one(self) -> None:
        """
        Where something came, if only for others, it is kept.
        """
        for said in (ping(), headers(3, OK)):
            instance = RawInstance()
            call = instance.ask()
            instance.ask()
            instance.wait(10)
            instance.say(said)
            instance.wait(10.25)
            self.assertEqual(call.events, ["failed upstream_timeout"])
            self.assertTrue(instance.connection.usable)

    def test_request_first(self) -> None:
        """
        Its time begins when the request is complete.
        """
        for finish in (
            lambda call: call.stream.request_sent(),
            lambda call: call.stream.send_body(b"x", True),
            lambda call: call.stream.request_sent(b"x-a: b\r\n"),
        ):
            instance = RawInstance()
            call = instance.ask(POST, request_open=True)
            instance.wait(100)
            finish(call)
            instance.wait(19.5)
            self.assertEqual(call.events, [])
            instance.wait(0.75)
            self.timed_out(instance, call)

    def test_body(self) -> None:
        """
        Each piece of a body has its own time.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.say(headers(1, OK, end=False))
        for _ in range(3):
            instance.wait(9.5)
            instance.say(data(1, b"x"))
        instance.wait(10.25)
        self.timed_out(instance, call)

    def test_instance_does_not_read(self) -> None:
        """
        An instance that takes nothing of a request is given up, also by a call of gRPC; one that takes a little is not.
        """
        for streaming in (False, True):
            instance = RawInstance()
            call = instance.ask(POST, request_open=True, streaming=streaming)
            call.stream.send_body(bytes(70000))
            self.assertEqual(call.events, ["pause"])
            for _ in range(3):
                instance.wait(9.5)
                instance.say(window_update(0, 100) + window_update(1, 100))
            instance.wait(9)
            self.assertEqual(call.events, ["pause"])
            instance.wait(1.5)
            self.assertEqual(call.events, ["pause", "failed upstream_timeout"])

    def test_client_pauses(self) -> None:
        """
        While the client does not read, nothing is held against the instance.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.say(headers(1, OK, end=False) + data(1, b"x"))
        call.stream.pause_response()
        instance.wait(100)
        call.stream.resume_response()
        instance.wait(9.5)
        self.assertEqual(call.events, ["response 200"])
        instance.wait(0.75)
        self.timed_out(instance, call)

    def test_instance_pauses(self) -> None:
        """
        An instance that takes nothing of a request is given up as one that sends nothing of a response.
        """
        instance = RawInstance(begin=settings((INITIAL_WINDOW_SIZE, 0)))
        call = instance.ask(POST, request_open=True)
        call.stream.send_body(b"x")
        instance.wait(10.25)
        self.timed_out(instance, call)

    def test_streaming(self) -> None:
        """
        A call of gRPC whose response has begun may be silent; its exchange hears that it takes a while.
        """
        instance = RawInstance()
        call = instance.ask(streaming=True)
        other = instance.ask()
        instance.say(headers(1, OK, end=False))
        instance.wait(10)
        self.assertEqual((call.events, other.events), (["response 200"], []))
        self.assertEqual((call.recipient.lasted > 10, other.recipient.lasted), (True, 0))
        other.stream.abort()
        instance.wait(90)
        self.assertEqual(call.events, ["response 200"])

    def test_unfinished_block(self) -> None:
        """
        A header block that does not end spoils the connection.
        """
        for ended in (False, True):
            instance = RawInstance()
            call = instance.ask(streaming=True)
            other = instance.ask(streaming=True)
            instance.say(headers(1, OK, end=False) + headers(3, OK, end=False) + headers(1, b"", more=True))
            if ended:
                other.stream.abort()
                call.stream.abort()
            instance.wait(9.5)
            self.assertFalse(instance.transport.half_closed)
            instance.wait(0.75)
            self.assertEqual(call.events[1:], [] if ended else ["failed upstream_truncated"])
            self.assertTrue(instance.transport.half_closed)

    def test_does_not_close(self) -> None:
        """
        An instance that does not close a connection that has ended is cut off.
        """
        instance = RawInstance()
        instance.ask()
        instance.say(headers(1, OK) + data(0, b"x"))
        self.assertFalse(instance.transport.aborted)
        instance.wait(60)
        self.assertTrue(instance.transport.aborted)

    def test_idle(self) -> None:
        """
        An idle connection is kept.
        """
        instance = RawInstance()
        instance.ask()
        instance.say(headers(1, OK))
        instance.wait(1000)
        self.assertFalse(instance.transport.half_closed)
        call = instance.ask()
        instance.wait(21)
        self.timed_out(instance, call)


class WindowTests(SynchronousTestCase):
    """
    Tests for what instances may send.
    """

    def updates(self, instance: RawInstance) -> list[tuple[int, int]]:
        """
        The credit that the instance got.
        """
        return [(it.stream, it.number) for it in instance.frames() if it.kind == WINDOW_UPDATE]

    def test_credit(self) -> None:
        """
        It gets credit when half of a window was used.
        """
        instance = RawInstance()
        call = instance.ask()
        instance.say(headers(1, OK, end=False))
        total = 0
        for _ in range(100):
            instance.say(data(1, b"x" * 16384))
            total += sum(size for stream, size in self.updates(instance) if stream == 1)
        self.assertEqual(len(call.recipient.body), 100 * 16384)
        self.assertGreater(total, 90 * 16384)

    def test_paused(self) -> None:
        """
        A client that does not read holds back its own response and no other.
        """
        instance = RawInstance()
        calls = [instance.ask(), instance.ask()]
        instance.say(headers(1, OK, end=False) + headers(3, OK, end=False))
        calls[0].stream.pause_response()
        streams = set()
        for _ in range(7):
            instance.say(data(1, b"x" * 16384))
        for _ in range(100):
            instance.say(data(3, b"x" * 16384))
            streams |= {stream for stream, _ in self.updates(instance)}
        self.assertEqual(streams, {3})
        calls[0].stream.resume_response()
        self.assertEqual(self.updates(instance), [(1, 7 * 16384)])
        self.assertEqual(instance.connection._held, 0)

    def test_ended_while_paused(self) -> None:
        """
        What was held is released by the end of the response, or of the request.
        """
        for end in (
            lambda instance, call: instance.say(data(1, b"", end=True)),
            lambda instance, call: instance.say(headers(1, literal(b"x-a", b"b"))),
            lambda instance, call: instance.say(reset(1)),
            lambda instance, call: call.stream.abort(),
            lambda instance, call: instance.say(data(0, b"x")),
            lambda instance, call: instance.go(),
        ):
            instance = RawInstance()
            call = instance.ask()
            instance.say(headers(1, OK, end=False))
            call.stream.pause_response()
            instance.say(data(1, b"x" * 1000))
            self.assertEqual(instance.connection._held, 1000)
            end(instance, call)
            self.assertEqual(instance.connection._held, 0)


SAID = (
    st.builds(headers, st.sampled_from((1, 3, 5)), st.sampled_from((OK, OK + b"\xbe", block((b":status", b"103")))))
    | st.builds(headers, st.sampled_from((1, 3, 5)), st.just(OK), st.just(False))
    | st.builds(headers, st.sampled_from((1, 3, 5)), st.just(literal(b"x-a", b"b")))
    | st.builds(lambda number, end: data(number, b"xyz", end), st.sampled_from((1, 3, 5)), st.booleans())
    | st.builds(reset, st.sampled_from((1, 3, 5)), st.sampled_from((0, 7, 8)))
    | st.builds(goaway, st.sampled_from((1, 3, LARGEST_STREAM)))
    | st.builds(window_update, st.sampled_from((0, 1, 3)), st.integers(1, 100))
    | st.builds(lambda size: settings((INITIAL_WINDOW_SIZE, size)), st.sampled_from((0, 3, 1000)))
    | st.builds(lambda count: settings((MAX_CONCURRENT_STREAMS, count)), st.sampled_from((0, 1, 100)))
    | st.builds(ping)
)
"""Frames of an instance that make sense, more or less."""


class AnyTests(SynchronousTestCase):
    """
    Property tests.
    """

    ENDS = ("finished", "failed", "reset", "refused")

    def check(self, instance: RawInstance) -> None:
        """
        After the connection's end every request that was not given up has ended once, and nothing is held.
        """
        instance.go()
        for call in instance.calls:
            ends = [event for event in call.events if event.split(" ", maxsplit=1)[0] in self.ENDS]
            whole = call.recipient.complete and "finished" not in call.events
            self.assertEqual(len(ends) + whole, 1, call.events)
            if ends:
                self.assertEqual(call.events[-1], ends[0])
        connection = instance.connection
        held = (connection.streams, connection._waiting, connection._held)
        self.assertEqual((held, instance.watched), (({}, {}, 0), 0))

    def feed(self, stream: bytes, lengths: list[int]) -> RawInstance:
        """
        Three requests, one of them with a body to come, and what the instance says.
        """
        instance = RawInstance()
        instance.ask()
        call = instance.ask(POST, request_open=True)
        call.stream.send_body(b"x" * 10)
        instance.ask(packed(b"HEAD"), head_only=True)
        instance.say(stream, lengths)
        return instance

    @properties
    @given(st.lists(SAID, max_size=14), splits(40))
    def test_pieces(self, said: list[bytes], lengths: list[int]) -> None:
        """
        However the bytes come, the same responses come of them.
        """
        stream = b"".join(said)
        stories = []
        for each in ([max(1, len(stream))], lengths, [1]):
            instance = self.feed(stream, each)
            spoilt = instance.connection.closed
            self.check(instance)
            stories.append(
                [
                    (
                        call.recipient.body,
                        call.recipient.trailers,
                        call.recipient.complete,
                        [event for event in call.events if event not in ("data", "finished", "pause", "resume")],
                    )
                    for call in instance.calls
                ]
            )
            if spoilt:
                return
        self.assertEqual(stories[0], stories[1])
        self.assertEqual(stories[0], stories[2])

    @properties
    @given(
        st.lists(SAID, min_size=1, max_size=10),
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
        splits(60),
    )
    def test_spoilt(self, said: list[bytes], spots: list[tuple[float, int]], lengths: list[int]) -> None:
        """
        Frames of which some bytes are others.
        """
        stream = bytearray(b"".join(said))
        for where, byte in spots:
            stream[int(where * len(stream))] = byte
        self.check(self.feed(bytes(stream), lengths))

    @properties
    @given(st.binary(max_size=300), splits(60))
    def test_noise(self, stream: bytes, lengths: list[int]) -> None:
        """
        Any bytes.
        """
        instance = RawInstance(begin=b"")
        instance.ask()
        instance.say(stream, lengths)
        self.check(instance)
        self.check(self.feed(stream, lengths))

    @properties
    @given(st.data())
    def test_windows(self, source: st.DataObject) -> None:
        """
        Whatever windows an instance has, it gets what was sent, in order, once; the other implementation sees to it
        that it does not get too much.
        """
        draw = source.draw
        instance = LibraryInstance({INITIAL_WINDOW_SIZE: draw(st.sampled_from((0, 1, 50, 65535)))})
        instance.reading = False
        sent: dict[int, bytes] = {}
        for _ in range(draw(st.integers(1, 3))):
            call = instance.ask(POST, request_open=True)
            sent[call.stream.number] = b""
        instance.talk()
        count = 0
        for _ in range(draw(st.integers(0, 20))):
            call = draw(st.sampled_from(instance.calls))
            number = call.stream.number
            what = draw(st.sampled_from(("body", "body", "stream", "whole", "initial", "choke", "flow")))
            size = draw(st.sampled_from((1, 30, 3000, 20000)))
            if what == "body":
                body = bytes(at * 7 % 251 for at in range(count, count + size))
                count += size
                sent[number] += body
                call.stream.send_body(body)
            elif what == "stream":
                instance.peer.increment_flow_control_window(size, number)
            elif what == "whole":
                instance.peer.increment_flow_control_window(size)
            elif what == "initial":
                instance.peer.update_settings({INITIAL_WINDOW_SIZE: size})
            elif what == "choke":
                instance.connection.writing_paused()
            else:
                instance.connection.writing_resumed()
            instance.talk()
        for call in instance.calls:
            call.stream.request_sent()
        instance.connection.writing_resumed()
        instance.peer.increment_flow_control_window(1 << 22)
        for number in sent:
            instance.peer.increment_flow_control_window(1 << 22, number)
        instance.talk()
        for number, body in sent.items():
            request = instance.requests[number]
            self.assertEqual((request.body == body, request.ended), (True, True))
        for call in instance.calls:
            self.assertEqual(call.events, (["pause", "resume"] * len(call.events))[: len(call.events)])


class TransportTests(SynchronousTestCase):
    """
    Tests for what is written when.
    """

    def test_one_write(self) -> None:
        """
        What many requests lead to goes out together, when all reads of the moment have been dealt with.
        """
        later: list[Callable[[], None]] = []
        instance = RawInstance(begin=b"", batch=Batch(later.append))
        writes: list[bytes] = []
        instance.transport.write = writes.append  # type: ignore[method-assign]
        for _ in range(3):
            instance.ask()
        instance.say(settings() + ping())
        self.assertEqual((writes, len(later)), ([], 1))
        later.pop()()
        names = [[it.name for it in read_frames(written)] for written in writes]
        self.assertEqual(names, [["SETTINGS", "WINDOW_UPDATE", "HEADERS", "HEADERS", "HEADERS", "SETTINGS", "PING"]])
