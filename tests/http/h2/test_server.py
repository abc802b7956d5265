"""
Tests for L{siger.http.h2.server}, with the client of somebody else's implementation.
"""

from __future__ import annotations

from typing import Any

import h2.events
import h2.exceptions
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.limits import Limits
from siger.errors import Reason
from siger.http.h2.constants import (
    CANCEL,
    ENABLE_PUSH,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    LARGEST_STREAM,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    STREAM_CLOSED,
)
from tests.http.fakes import FakeExchange
from tests.http.generators import properties, splits
from tests.http.h2.client import LibraryClient, RawClient
from tests.http.h2.frames import GET, POST, continuation, data, goaway, headers, read_frames, reset, settings
from tests.http.hpack.blocks import added, literal


def echo(exchange: FakeExchange) -> None:
    """
    Answer with the request's path.
    """
    exchange.answer(exchange.head.path)


def fields_of(exchange: FakeExchange) -> list[tuple[bytes, bytes]]:
    """
    The fields that the application saw.
    """
    return exchange.head.fields.items()


class BeginningTests(SynchronousTestCase):
    """
    Tests for how a connection begins.
    """

    def test_settings(self) -> None:
        """
        The server says first what it takes, and more of the whole connection than of each stream.
        """
        client = LibraryClient(limits=Limits(streams=7, header_bytes=5000))
        (changed,) = client.saw(h2.events.RemoteSettingsChanged)
        values = {int(key): change.new_value for key, change in changed.changed_settings.items()}
        self.assertEqual(values, {MAX_CONCURRENT_STREAMS: 7, MAX_HEADER_LIST_SIZE: 5000})
        self.assertEqual(client.peer.outbound_flow_control_window, 1 << 20)
        self.assertEqual(len(client.saw(h2.events.SettingsAcknowledged)), 1)

    def test_by_pieces(self) -> None:
        """
        The preface may come a byte at a time.
        """
        client = LibraryClient(lengths=[1])
        number = client.ask(path=b"/x")
        self.assertEqual(client.exchange.head.path, b"/x")
        client.exchange.answer()
        client.talk()
        self.assertTrue(client.responses[number].ended)

    def test_wrong_preface(self) -> None:
        """
        What only begins like a preface ends the connection, which is told why.
        """
        client = RawClient(begin=PREFACE[:18] + b"XX\r\n\r\n")
        last = read_frames(client.transport.written)[-1]
        self.assertEqual((last.kind, last.code), (GOAWAY, PROTOCOL_ERROR))
        self.assertTrue(client.transport.half_closed)

    def test_not_settings(self) -> None:
        """
        The first frame has to be SETTINGS.
        """
        client = RawClient(begin=PREFACE + headers(1))
        last = read_frames(client.transport.written)[-1]
        self.assertEqual((last.kind, last.code), (GOAWAY, PROTOCOL_ERROR))
        self.assertEqual(client.exchanges, [])

    def test_late(self) -> None:
        """
        A client that says nothing after the preface is given up when a head would have to be there.
        """
        client = RawClient(begin=PREFACE, limits=Limits(header_timeout=10))
        client.wait(9.5)
        self.assertFalse(client.transport.half_closed)
        client.wait(0.75)
        self.assertTrue(client.transport.half_closed)

    def test_repr(self) -> None:
        """
        A connection and its streams show their state.
        """
        client = RawClient()
        self.assertEqual(repr(client.connection), "<ServerConnection 192.0.2.7 [0 streams, 0 requests]>")
        client.send(headers(1, POST, end=False))
        stream = client.exchange.stream
        self.assertEqual(repr(client.connection), "<ServerConnection 192.0.2.7 [1 streams, 1 requests]>")
        self.assertEqual(repr(stream), "<ServerStream 1 [waiting]>")
        client.exchange.begin()
        self.assertEqual(repr(stream), "<ServerStream 1 [responding]>")
        client.send(reset(1))
        self.assertEqual(repr(stream), "<ServerStream 1 [over]>")


class RequestTests(SynchronousTestCase):
    """
    Tests for requests of every shape.
    """

    def test_get(self) -> None:
        """
        A request is handed over with its connection's facts, in the form that HTTP/1.1 requests have.
        """
        client = LibraryClient()
        client.ask((b"x-c", b"d"), path=b"/a?b")
        exchange = client.exchange
        head = exchange.head
        self.assertEqual((head.method, head.path, head.query, head.version), (b"GET", b"/a", b"?b", 20))
        self.assertEqual((head.host, head.fields.relay), (b"a.test", b"x-c: d\r\n"))
        self.assertEqual((head.fields.chunked, head.fields.content_length), (False, None))
        stream = exchange.stream
        self.assertEqual((stream.peer, stream.secure, stream.version, stream.reason), (b"192.0.2.7", False, 20, None))
        self.assertEqual(exchange.events, [])

    def test_body(self) -> None:
        """
        A body is passed on as it comes, and its end with its last piece.
        """
        client = LibraryClient()
        number = client.ask(method=b"POST", end=False)
        self.assertTrue(client.exchange.head.fields.chunked)
        client.send_body(number, b"he")
        self.assertEqual(client.exchange.body, b"he")
        client.send_body(number, b"llo", end=True)
        self.assertEqual((client.exchange.body, client.exchange.events), (b"hello", ["body", "last body"]))

    def test_body_ends_alone(self) -> None:
        """
        An end that comes with nothing is told for itself.
        """
        client = LibraryClient()
        number = client.ask(method=b"POST", end=False)
        client.send_body(number, b"hello")
        client.send_body(number, b"", end=True)
        self.assertEqual((client.exchange.body, client.exchange.events), (b"hello", ["body", "finished"]))

    def test_empty_body(self) -> None:
        """
        A body may turn out to be empty.
        """
        client = LibraryClient()
        client.send_body(client.ask(method=b"POST", end=False), b"", end=True)
        self.assertEqual((client.exchange.body, client.exchange.events), (b"", ["finished"]))

    def test_trailers(self) -> None:
        """
        Trailers end a body; those that may not come there are taken off.
        """
        client = LibraryClient()
        number = client.ask(method=b"POST", end=False)
        client.send_body(number, b"hello")
        client.peer.send_headers(number, [(b"x-a", b"b"), (b"content-type", b"text/x")], end_stream=True)
        client.talk()
        self.assertEqual((client.exchange.body, client.exchange.trailers), (b"hello", b"x-a: b\r\n"))
        self.assertEqual(client.exchange.events, ["body", "finished"])

    def test_declared(self) -> None:
        """
        A body may have a declared length, which the application is told.
        """
        client = LibraryClient()
        number = client.ask((b"content-length", b"5"), method=b"POST", end=False)
        self.assertEqual((client.exchange.head.fields.chunked, client.exchange.head.fields.content_length), (False, 5))
        client.send_body(number, b"hello", end=True)
        self.assertEqual(client.exchange.events, ["last body"])

    def test_wrong_length(self) -> None:
        """
        A body that is longer or shorter than declared is never taken for complete (RFC 9113 section 8.1.1).
        """
        for declared, frames in (
            (b"5", data(1, b"hello!", end=True)),
            (b"5", data(1, b"hello!")),
            (b"5", data(1, b"hell", end=True)),
            (b"5", data(1, b"hell") + headers(1, literal(b"x-a", b"b"))),
            (b"0", data(1, b"1", end=True)),
            (b"0", data(1, b"1")),
        ):
            client = RawClient()
            client.send(headers(1, POST + literal(b"content-length", declared), end=False) + frames)
            (frame,) = client.frames()
            self.assertEqual((frame.kind, frame.stream, frame.code), (RST_STREAM, 1, PROTOCOL_ERROR))
            self.assertEqual(client.exchange.events[-1], "failed invalid_framing")
            self.assertIsNone(client.exchange.trailers)

    def test_padding(self) -> None:
        """
        Padding belongs to no body.
        """
        client = LibraryClient()
        number = client.ask((b"content-length", b"5"), method=b"POST", end=False)
        client.send_body(number, b"hel", padding=7)
        client.send_body(number, b"lo", end=True, padding=255)
        self.assertEqual((client.exchange.body, client.exchange.events), (b"hello", ["body", "last body"]))

    def test_padded_headers(self) -> None:
        """
        Nor to any section; priorities are nobody's.
        """
        client = RawClient()
        client.send(headers(1, padding=0) + headers(3, padding=200) + headers(5, padding=3, depends=1))
        client.send(headers(7, depends=0x80000001) + headers(9, padding=9, more=True, end=False, section=POST[:3]))
        self.assertEqual(len(client.exchanges), 4)
        self.assertEqual(client.frames(), [])

    def test_continuation(self) -> None:
        """
        A section that does not fit in a frame comes in several.
        """
        client = LibraryClient()
        values = [(b"x-%d" % number, b"%d" % number * 4000) for number in range(5)]
        client.ask(*values)
        self.assertEqual(fields_of(client.exchange), values)

    def test_continuation_anywhere(self) -> None:
        """
        It may be cut anywhere, with nothing in some of the frames.
        """
        for cut in range(len(GET) + 1):
            client = RawClient()
            client.send(headers(1, GET[:cut], more=True) + in_three(GET[cut:]))
            self.assertEqual(client.exchange.head.path, b"/")

    def test_many_at_once(self) -> None:
        """
        Requests are answered in any order, each on its stream.
        """
        client = LibraryClient()
        numbers = [client.ask(path=b"/%d" % turn) for turn in range(20)]
        for exchange in reversed(client.exchanges):
            exchange.answer(exchange.head.path)
        client.talk()
        self.assertEqual([client.responses[number].body for number in numbers], [b"/%d" % turn for turn in range(20)])
        self.assertEqual(client.connection.streams, {})

    def test_too_many_at_once(self) -> None:
        """
        More than the server takes are refused, so that they may be sent again.
        """
        client = RawClient(limits=Limits(streams=2))
        client.send(headers(1) + headers(3) + headers(5) + headers(7, POST, end=False) + data(7, b"lost", end=True))
        self.assertEqual(len(client.exchanges), 2)
        self.assertEqual(
            [(frame.kind, frame.stream, frame.code) for frame in client.frames()],
            [(RST_STREAM, 5, REFUSED_STREAM), (RST_STREAM, 7, REFUSED_STREAM)],
        )
        client.exchanges[0].answer()
        client.send(headers(9))
        self.assertEqual(len(client.exchanges), 3)

    def test_refused(self) -> None:
        """
        A request that is well-formed and not taken is answered, and its stream is over.
        """
        client = LibraryClient()
        number = client.ask(path=b"/%zz")
        response = client.responses[number]
        self.assertEqual((response.status, response.ended), (400, True))
        self.assertEqual(response.get(b"content-type"), b"application/problem+json")
        self.assertEqual((client.exchanges, client.fake.refusals), ([], [Reason.INVALID_TARGET]))
        self.assertEqual(client.connection.streams, {})

    def test_refused_with_body(self) -> None:
        """
        So is one whose body is still to come: what is on its way of it is dropped, and the rest not waited for.
        """
        client = RawClient()
        client.send(headers(1, POST + literal(b"expect", b"tea"), end=False) + data(1, b"some"))
        self.assertEqual(client.fake.refusals, [Reason.EXPECTATION_FAILED])
        client.send(data(1, b"more"))
        client.wait(2)
        last = client.frames()[-1]
        self.assertEqual((last.kind, last.stream, last.code), (RST_STREAM, 1, NO_ERROR))
        self.assertEqual(client.connection.streams, {})

    def test_malformed(self) -> None:
        """
        One that is malformed is reset without an answer, and reported all the same.
        """
        client = RawClient()
        client.send(headers(1, GET + literal(b"X-A", b"b"), end=False) + data(1, b"ignored") + headers(3))
        (frame,) = client.frames()
        self.assertEqual((frame.kind, frame.stream, frame.code), (RST_STREAM, 1, PROTOCOL_ERROR))
        self.assertEqual((client.fake.refusals, len(client.exchanges)), ([Reason.MALFORMED_REQUEST], 1))

    def test_malformed_trailers(self) -> None:
        """
        A request with malformed trailers is never taken for complete, nor is one with a second section that does not
        end it.
        """
        for section, end in (
            (literal(b"X-A", b"b"), True),
            (literal(b":path", b"/"), True),
            (literal(b"connection", b"close"), True),
            (literal(b"x-a", b"b"), False),
        ):
            client = RawClient()
            client.send(headers(1, POST, end=False) + data(1, b"hello") + headers(1, section, end=end))
            (frame,) = client.frames()
            self.assertEqual((frame.kind, frame.stream, frame.code), (RST_STREAM, 1, PROTOCOL_ERROR))
            self.assertEqual(client.exchange.events, ["body", "failed invalid_framing"])

    def test_long_trailers(self) -> None:
        """
        Trailers that are larger than a head may be are refused, and not cut short.
        """
        client = RawClient(limits=Limits(header_bytes=1000))
        fields = b"".join(literal(b"x-%d" % number, b"v" * 100) for number in range(8))
        client.send(headers(1, POST, end=False) + headers(1, fields))
        (frame,) = client.frames()
        self.assertEqual((frame.kind, frame.stream, frame.code), (RST_STREAM, 1, PROTOCOL_ERROR))
        self.assertEqual(client.exchange.events, ["failed invalid_framing"])

    def test_too_large(self) -> None:
        """
        A section that unpacks to more than is taken is answered 431, and the connection's table stays in step.
        """
        client = LibraryClient(limits=Limits(header_bytes=2000, header_count=10))
        many = client.ask(*[(b"x-%d" % number, b"") for number in range(11)])
        large = client.ask((b"x-a", b"v" * 1000), (b"x-b", b"v" * 1000))
        self.assertEqual([client.responses[number].status for number in (many, large)], [431, 431])
        client.ask((b"x-b", b"v" * 1000), (b"x-10", b""))
        self.assertEqual(fields_of(client.exchange), [(b"x-b", b"v" * 1000), (b"x-10", b"")])

    def test_long_target(self) -> None:
        """
        A path that would be too long for a request line is answered 414.
        """
        client = LibraryClient(limits=Limits(request_line=100))
        statuses = [client.responses[client.ask(path=b"/" * 1 + b"a" * size)].status for size in (99, 100)]
        self.assertEqual(statuses, [0, 414])

    def test_client_resets(self) -> None:
        """
        A request that its client gives up is over, and what its application sends goes nowhere.
        """
        client = LibraryClient()
        number = client.ask(method=b"POST", end=False)
        client.peer.reset_stream(number, CANCEL)
        client.talk()
        exchange = client.exchange
        self.assertEqual(exchange.events, ["gone"])
        exchange.begin(body=b"late")
        exchange.stream.send_interim(103, b"")
        exchange.stream.send_body(b"late")
        exchange.stream.end_response(b"x-a: b\r\n")
        exchange.stream.abort_response()
        self.assertEqual(client.received(), b"")

    def test_client_says_goodbye(self) -> None:
        """
        A client that says GOAWAY still gets the answers that it waits for.
        """
        client = RawClient()
        client.send(headers(1) + goaway(0))
        client.exchange.answer(b"hello")
        self.assertEqual([frame.name for frame in client.frames()], ["HEADERS", "DATA"])


def in_three(rest: bytes) -> bytes:
    """
    The rest of a section on stream 1: nothing, one byte, and the others.
    """
    return continuation(1, b"", more=True) + continuation(1, rest[:1], more=True) + continuation(1, rest[1:])


class RepeatedBlockTests(SynchronousTestCase):
    """
    Tests for blocks that are recognised instead of decoded: those that came before, byte for byte, while nothing
    changed the table that they refer to.
    """

    REFERRING = GET + b"\xbe"
    """
    Has the field that was added to the table last.
    """

    def referring(self, client: RawClient, number: int) -> list[tuple[bytes, bytes]]:
        """
        What a request with such a section is taken for.
        """
        client.send(headers(number, self.REFERRING))
        return fields_of(client.exchange)

    def make(self) -> RawClient:
        """
        A connection on which the section is known.
        """
        client = RawClient()
        client.send(headers(1, GET + added(b"x-a", b"first")))
        for number in (3, 5, 7):
            self.assertEqual(self.referring(client, number), [(b"x-a", b"first")])
        self.assertIs(client.exchanges[-1].head, client.exchanges[-2].head)
        return client

    def test_changed_by_request(self) -> None:
        """
        Another request changes the table.
        """
        client = self.make()
        client.send(headers(9, GET + added(b"x-b", b"second")))
        self.assertEqual(self.referring(client, 11), [(b"x-b", b"second")])

    def test_changed_by_trailers(self) -> None:
        """
        Trailers do.
        """
        client = self.make()
        client.send(headers(9, POST, end=False) + headers(9, added(b"x-b", b"second")))
        self.assertEqual(self.referring(client, 11), [(b"x-b", b"second")])

    def test_changed_by_malformed(self) -> None:
        """
        A request that is malformed does, and one that is not taken.
        """
        client = self.make()
        client.send(headers(9, GET + literal(b"X", b"") + added(b"x-b", b"second")))
        self.assertEqual(self.referring(client, 11), [(b"x-b", b"second")])
        client.send(headers(13, GET + literal(b"expect", b"tea") + added(b"x-c", b"third")))
        self.assertEqual(self.referring(client, 15), [(b"x-c", b"third")])

    def test_changed_by_stray(self) -> None:
        """
        Sections do for which there is no stream any more: they are read for the table alone.
        """
        client = self.make()
        client.send(headers(9, POST, end=False))
        client.exchange.stream.abort_response()
        client.send(headers(9, added(b"x-b", b"second")))
        self.assertEqual(self.referring(client, 11), [(b"x-b", b"second")])

    def test_changed_by_refused(self) -> None:
        """
        So do those of requests that are too many.
        """
        client = RawClient(limits=Limits(streams=2))
        client.send(headers(1, GET + added(b"x-a", b"first")))
        client.exchange.answer()
        for number in (3, 5):
            self.assertEqual(self.referring(client, number), [(b"x-a", b"first")])
        client.send(headers(7, GET + added(b"x-b", b"second")))
        client.exchange.answer()
        for exchange in client.exchanges[:-1]:
            exchange.answer()
        self.assertEqual(self.referring(client, 9), [(b"x-b", b"second")])

    def test_bodied(self) -> None:
        """
        The same section with and without a body behind it makes two different requests.
        """
        client = RawClient()
        for number in (1, 5):
            client.send(headers(number, POST) + headers(number + 2, POST, end=False))
            self.assertEqual([exchange.head.fields.chunked for exchange in client.exchanges[-2:]], [False, True])

    @properties
    @given(st.data())
    def test_any(self, data: st.DataObject) -> None:
        """
        Whatever a client's table does, requests and trailers are what the client sent.
        """
        client = LibraryClient()
        names, values = st.sampled_from((b"x-a", b"x-b", b"x-c")), st.sampled_from((b"1", b"2", b"3", b"4" * 1500))
        section = st.lists(st.tuples(names, values), max_size=3)
        for _ in range(data.draw(st.integers(1, 12))):
            sent = data.draw(section)
            bodied = data.draw(st.booleans())
            number = client.ask(*sent, method=b"POST", end=not bodied)
            exchange = client.exchange
            self.assertEqual(fields_of(exchange), sent)
            if bodied and data.draw(st.booleans()):
                trailers = data.draw(section)
                client.peer.send_headers(number, trailers or [(b"x-a", b"1")], end_stream=True)
                client.talk()
                lines = b"".join(b"%b: %b\r\n" % field for field in trailers or [(b"x-a", b"1")])
                self.assertEqual(exchange.trailers, lines)
            if data.draw(st.booleans()):
                exchange.answer()
                client.talk()


class ResponseTests(SynchronousTestCase):
    """
    Tests for responses of every shape.
    """

    def ask(self, method: bytes = b"GET") -> tuple[LibraryClient, int, Any]:
        """
        A request that waits for its answer.

        @return: the client, the request's stream, and the stream that the application has.
        """
        client = LibraryClient()
        number = client.ask(method=method)
        return client, number, client.exchange.stream

    def test_whole(self) -> None:
        """
        A response that is complete at once goes out with what the front door set.
        """
        client, number, stream = self.ask()
        stream.request_id = b"abc"
        stream.added = b"Access-Control-Allow-Origin: *\r\n"
        stream.send_response(200, b"OK", b"X-A: b\r\nSet-Cookie: c=d\r\n", 5, b"hello", True)
        client.talk()
        response = client.responses[number]
        self.assertEqual((response.status, response.body, response.ended), (200, b"hello", True))
        self.assertEqual(
            response.fields,
            [
                (b"x-a", b"b"),
                (b"set-cookie", b"c=d"),
                (b"content-length", b"5"),
                (b"x-request-id", b"abc"),
                (b"access-control-allow-origin", b"*"),
            ],
        )
        self.assertEqual(client.connection.streams, {})

    def test_secrets(self) -> None:
        """
        Cookies that are set are never put into tables, here or further on.
        """
        client = RawClient()
        client.send(headers(1))
        client.exchange.stream.send_response(200, b"OK", b"Set-Cookie: c=d\r\nX-A: b\r\n", None, b"", True)
        (frame,) = client.frames()
        self.assertIn(b"\x1f\x28\x03c=d", frame.payload)
        self.assertIn(b"\x00\x03x-a\x01b", frame.payload)

    def test_streamed(self) -> None:
        """
        One that is made bit by bit is passed on so, with trailers behind it.
        """
        client, number, stream = self.ask()
        response = client.responses[number]
        stream.send_response(200, b"OK", b"", None, b"", False)
        client.talk()
        self.assertEqual((response.status, response.body, response.ended), (200, b"", False))
        stream.send_body(b"hel")
        stream.send_body(b"")
        stream.send_body(b"lo")
        client.talk()
        self.assertEqual((response.body, response.ended), (b"hello", False))
        stream.end_response(b"Grpc-Status: 0\r\n")
        client.talk()
        self.assertEqual((response.trailers, response.ended), ([(b"grpc-status", b"0")], True))

    def test_no_trailers(self) -> None:
        """
        Without trailers an empty frame ends it.
        """
        client, number, stream = self.ask()
        stream.send_response(200, b"OK", b"", None, b"hello", False)
        stream.end_response(b"")
        client.talk()
        response = client.responses[number]
        self.assertEqual((response.body, response.trailers, response.ended), (b"hello", [], True))

    def test_only_head(self) -> None:
        """
        A response without a body is one frame.
        """
        client = RawClient()
        client.send(headers(1))
        client.exchange.stream.send_response(200, b"OK", b"grpc-status: 0\r\n", None, b"", True)
        (frame,) = client.frames()
        self.assertEqual((frame.kind, frame.ends), (HEADERS, True))

    def test_interim(self) -> None:
        """
        Interim responses come before the final one, and not behind it.
        """
        client, number, stream = self.ask()
        stream.send_interim(103, b"Link: </a>\r\n")
        stream.send_interim(100, b"")
        stream.send_response(200, b"OK", b"", None, b"", False)
        stream.send_interim(103, b"")
        stream.end_response(b"")
        client.talk()
        response = client.responses[number]
        self.assertEqual((response.interim, response.status, response.ended), ([103, 100], 200, True))

    def test_head(self) -> None:
        """
        A response to HEAD says a length and has no body, whatever the application sends.
        """
        client, number, stream = self.ask(b"HEAD")
        stream.send_response(200, b"OK", b"", 5, b"hello", False)
        stream.send_body(b"hello")
        stream.end_response(b"x-a: b\r\n")
        client.talk()
        response = client.responses[number]
        self.assertEqual((response.get(b"content-length"), response.body, response.ended), (b"5", b"", True))
        self.assertEqual(response.trailers, [])

    def test_bodyless(self) -> None:
        """
        So it is with 204, which has no length either, and 304.
        """
        for status, length in ((204, None), (304, b"5")):
            client, number, stream = self.ask()
            stream.send_response(status, b"", b"", 5, b"hello", True)
            client.talk()
            response = client.responses[number]
            self.assertEqual((response.status, response.body, response.ended), (status, b"", True))
            self.assertEqual(response.get(b"content-length"), length)

    def test_bodyless_by_pieces(self) -> None:
        """
        Whether the application says at once that it is complete or not.
        """
        for status in (204, 304):
            client = RawClient()
            client.send(headers(1))
            stream = client.exchange.stream
            stream.send_response(status, b"", b"", 5, b"hello", False)
            stream.send_body(b"hello")
            stream.end_response(b"x-a: b\r\n")
            last = client.frames()[-1]
            self.assertEqual((last.name, last.ends), ("HEADERS", True))

    def test_connected_ahead(self) -> None:
        """
        A client may connect before it has anything to ask for: once it has begun, it has as long as between requests.
        """
        client = RawClient(limits=Limits(header_timeout=10, keepalive_timeout=75))
        client.wait(70)
        self.assertFalse(client.transport.half_closed)
        client.wait(10)
        self.assertTrue(client.transport.half_closed)

    def test_passed_over(self) -> None:
        """
        A stream that was passed over cannot be opened any more (section 5.1.1); what is closed otherwise is told apart.
        """
        for number, code in ((3, PROTOCOL_ERROR), (1, STREAM_CLOSED)):
            client = RawClient()
            client.send(headers(1))
            client.exchange.answer()
            client.send(headers(9))
            client.send(headers(number))
            last = client.frames()[-1]
            self.assertEqual((last.kind, last.code), (GOAWAY, code))

    def test_second_response(self) -> None:
        """
        There is one final head.
        """
        client, number, stream = self.ask()
        stream.send_response(200, b"OK", b"", None, b"a", False)
        stream.send_response(500, b"", b"", None, b"b", True)
        stream.end_response(b"")
        client.talk()
        self.assertEqual((client.responses[number].status, client.responses[number].body), (200, b"a"))

    def test_long_section(self) -> None:
        """
        A section that does not fit in a frame is sent in several; the client can make them larger.
        """
        for size in (16384, 20000):
            client = LibraryClient({MAX_FRAME_SIZE: size, MAX_HEADER_LIST_SIZE: 1 << 20})
            number = client.ask()
            lines = b"".join(b"x-%d: %b\r\n" % (count, b"v" * 900) for count in range(60))
            client.exchange.stream.send_response(200, b"OK", lines, None, b"x", True)
            before = len(client.transport.written) - client._seen
            self.assertGreater(before, 54000)
            frames = read_frames(client.transport.written[client._seen :])
            self.assertEqual([len(frame.payload) == size for frame in frames[:2]], [True, True])
            client.talk()
            self.assertEqual(len(client.responses[number].fields), 60)
            self.assertTrue(client.responses[number].ended)

    def test_aborted(self) -> None:
        """
        A response that is broken off cannot be taken for complete.
        """
        client, number, stream = self.ask()
        stream.send_response(200, b"OK", b"", None, b"hel", False)
        stream.abort_response()
        stream.send_body(b"lo")
        stream.end_response(b"")
        client.talk()
        response = client.responses[number]
        self.assertEqual((response.body, response.ended, response.code), (b"hel", False, INTERNAL_ERROR))
        self.assertEqual(client.connection.streams, {})

    def test_in_the_call(self) -> None:
        """
        The application may answer before it returns.
        """
        client = LibraryClient()
        client.fake.on_request = echo
        number = client.ask(path=b"/x")
        self.assertEqual((client.responses[number].body, client.responses[number].ended), (b"/x", True))

    def test_one_write(self) -> None:
        """
        What comes of one read goes out in one write.
        """
        client = RawClient()
        client.fake.on_request = echo
        writes: list[bytes] = []
        client.transport.write = writes.append  # type: ignore[method-assign]
        client.send(b"".join(headers(number) for number in range(1, 21, 2)))
        self.assertEqual([len(read_frames(written)) for written in writes], [20])


class OvertakingTests(SynchronousTestCase):
    """
    Tests for responses that are complete before their requests.
    """

    def make(self) -> RawClient:
        """
        A client that has begun a body, and is answered.
        """
        client = RawClient()
        client.send(headers(1, POST, end=False) + data(1, b"some"))
        client.exchange.answer(b"no")
        self.assertEqual([frame.name for frame in client.frames()], ["HEADERS", "DATA"])
        return client

    def test_rest_comes(self) -> None:
        """
        A rest that was on its way is taken, and nobody's: there is no reset then.
        """
        client = self.make()
        client.send(data(1, b"more") + data(1, b"", end=True))
        client.wait(2)
        self.assertEqual(client.frames(), [])
        self.assertEqual((client.exchange.body, client.exchange.events), (b"some", ["body"]))
        self.assertEqual(client.connection.streams, {})

    def test_rest_by_trailers(self) -> None:
        """
        Trailers may be its end.
        """
        client = self.make()
        client.send(headers(1, literal(b"x-a", b"b")))
        client.wait(2)
        self.assertEqual((client.frames(), client.exchange.events), ([], ["body"]))
        self.assertEqual(client.connection.streams, {})

    def test_rest_does_not(self) -> None:
        """
        After a moment the client is told to send no more, which is no failure.
        """
        client = self.make()
        client.wait(2)
        (frame,) = client.frames()
        self.assertEqual((frame.kind, frame.code), (RST_STREAM, NO_ERROR))
        client.send(data(1, b"was on its way", end=True))
        self.assertEqual((client.frames(), client.exchange.events), ([], ["body"]))

    def test_application_asks(self) -> None:
        """
        What the application asks of the body then changes nothing.
        """
        client = self.make()
        client.exchange.stream.pause_body()
        client.exchange.stream.resume_body()
        client.wait(2)
        self.assertEqual([frame.name for frame in client.frames()], ["RST_STREAM"])

    def test_credit(self) -> None:
        """
        No more of it is let come than the window has room for.
        """
        client = self.make()
        for _ in range(3):
            client.send(data(1, b"x" * 16384))
        self.assertEqual([frame for frame in client.frames() if frame.stream == 1], [])


class SettingsTests(SynchronousTestCase):
    """
    Tests for settings that change while responses are under way.
    """

    def big(self, size: int = 200000, values: dict[int, int] | None = None) -> tuple[LibraryClient, int, bytes]:
        """
        A large response to a client that reads nothing of the stream, but much of the connection.

        @return: the client, the stream, and the body.
        """
        client = LibraryClient(values)
        client.peer.increment_flow_control_window(1 << 20)
        client.reading = False
        number = client.ask()
        body = bytes(count % 251 for count in range(size))
        client.exchange.answer(body)
        client.talk()
        return client, number, body

    def test_larger_window(self) -> None:
        """
        A larger window lets more of all responses come, once the change was acknowledged (RFC 9113 section 6.9.2).
        """
        client, number, body = self.big()
        self.assertEqual(client.responses[number].body, body[:65535])
        client.peer.update_settings({INITIAL_WINDOW_SIZE: 100000})
        client.talk()
        self.assertEqual(client.responses[number].body, body[:100000])
        client.peer.update_settings({INITIAL_WINDOW_SIZE: 300000})
        client.talk()
        self.assertEqual((client.responses[number].body, client.responses[number].ended), (body, True))

    def test_smaller_window(self) -> None:
        """
        A smaller one may leave a stream with less than nothing, which has to be made up for first.
        """
        client, number, body = self.big()
        client.peer.update_settings({INITIAL_WINDOW_SIZE: 10})
        client.talk()
        client.peer.increment_flow_control_window(65525, number)
        client.talk()
        self.assertEqual(client.responses[number].body, body[:65535])
        client.peer.increment_flow_control_window(1, number)
        client.talk()
        self.assertEqual(client.responses[number].body, body[:65536])

    def test_new_streams(self) -> None:
        """
        Streams begin with the window that holds then.
        """
        client = LibraryClient({INITIAL_WINDOW_SIZE: 100})
        client.reading = False
        number = client.ask()
        client.exchange.answer(b"x" * 1000)
        client.talk()
        self.assertEqual(len(client.responses[number].body), 100)

    def test_larger_frames(self) -> None:
        """
        A client may take larger frames, and then gets them.
        """
        client = LibraryClient({MAX_FRAME_SIZE: 50000, INITIAL_WINDOW_SIZE: 1 << 20})
        client.peer.increment_flow_control_window(1 << 20)
        client.ask()
        client.exchange.answer(b"x" * 120000)
        sizes = [len(frame.payload) for frame in read_frames(client.transport.written[client._seen :])]
        self.assertEqual(sizes[-3:], [50000, 50000, 20000])

    def test_of_no_concern(self) -> None:
        """
        The size of a table that is never used does not matter, nor do settings that nobody knows.
        """
        client = RawClient()
        client.send(settings((HEADER_TABLE_SIZE, 0), (0xBEEF, 7), (ENABLE_PUSH, 0), (MAX_HEADER_LIST_SIZE, 1)))
        self.assertEqual([frame.name for frame in client.frames()], ["SETTINGS"])

    def test_table(self) -> None:
        """
        The first section says that the table is not used, so that a client may make its own as small as it likes.
        """
        client = LibraryClient({HEADER_TABLE_SIZE: 0})
        number = client.ask()
        client.exchange.answer(b"x")
        client.talk()
        client.peer.update_settings({HEADER_TABLE_SIZE: 8192})
        client.talk()
        client.peer.update_settings({HEADER_TABLE_SIZE: 100})
        client.talk()
        other = client.ask()
        client.exchange.answer(b"y")
        client.talk()
        self.assertEqual([client.responses[it].body for it in (number, other)], [b"x", b"y"])


class DrainTests(SynchronousTestCase):
    """
    Tests for connections that take no further request.
    """

    def goodbyes(self, client: RawClient) -> list[tuple[int, int]]:
        """
        Which streams the server said it deals with, and why no others.
        """
        return [(frame.number, frame.code) for frame in client.frames() if frame.kind == GOAWAY]

    def test_two_steps(self) -> None:
        """
        What is on its way is still answered; then a last request is named, and others are refused silently, as the
        client knows (RFC 9113 section 6.8).
        """
        client = RawClient()
        client.send(headers(1))
        client.connection.drain(False)
        client.connection.drain(False)
        self.assertEqual(self.goodbyes(client), [(LARGEST_STREAM, NO_ERROR)])
        client.send(headers(3))
        client.connection.drain(True)
        client.connection.drain(True)
        self.assertEqual(self.goodbyes(client), [(3, NO_ERROR)])
        client.send(headers(5, POST, end=False) + data(5, b"x", end=True))
        self.assertEqual((len(client.exchanges), client.frames()), (2, []))
        client.exchanges[0].answer(b"one")
        self.assertFalse(client.transport.half_closed)
        client.exchanges[1].answer(b"two")
        client.connection.drain(True)
        self.assertEqual([frame.name for frame in client.frames()], ["HEADERS", "DATA"] * 2)
        self.assertTrue(client.transport.half_closed)

    def test_goes_on_asking(self) -> None:
        """
        A client that does not stop asking is not listened to for ever; and what it is told then names no later request
        as the last one than it was told before.
        """
        client = RawClient()
        client.send(headers(1))
        client.connection.drain(True)
        client.frames()
        client.send(b"".join(headers(number) for number in range(3, 4003, 2)))
        self.assertEqual(self.goodbyes(client), [(1, ENHANCE_YOUR_CALM)])
        self.assertEqual(len(client.exchanges), 1)

    def test_by_itself(self) -> None:
        """
        The second step follows a second later, and the end when the last request is answered, with nobody's help.
        """
        client = RawClient()
        client.send(headers(1))
        client.connection.drain(False)
        client.wait(1.5)
        self.assertEqual(self.goodbyes(client), [(LARGEST_STREAM, NO_ERROR), (1, NO_ERROR)])
        self.assertFalse(client.transport.half_closed)
        client.exchange.answer()
        client.wait(0.5)
        self.assertTrue(client.transport.half_closed)

    def test_idle(self) -> None:
        """
        A connection without requests is gone after that second.
        """
        client = RawClient()
        client.connection.drain(False)
        client.wait(0.75)
        self.assertFalse(client.transport.half_closed)
        client.wait(0.75)
        self.assertEqual(self.goodbyes(client), [(LARGEST_STREAM, NO_ERROR), (0, NO_ERROR)])
        self.assertTrue(client.transport.half_closed)

    def test_answered_meanwhile(self) -> None:
        """
        It is so as well when its last request is answered within that second.
        """
        client = RawClient()
        client.send(headers(1))
        client.connection.drain(False)
        client.exchange.answer()
        client.wait(1.5)
        self.assertEqual(self.goodbyes(client), [(LARGEST_STREAM, NO_ERROR), (1, NO_ERROR)])
        self.assertTrue(client.transport.half_closed)

    def test_slow_reader(self) -> None:
        """
        What was written last is not cut off: its reader has time for it.
        """
        client = RawClient()
        client.send(headers(1))
        client.transport.stalled = True
        client.exchange.answer(b"x" * 60000)
        client.connection.drain(False)
        client.connection.drain(True)
        client.wait(15)
        self.assertEqual((client.transport.half_closing, client.transport.aborted), (True, False))
        client.transport.flow()
        self.assertEqual(sum(len(frame.payload) for frame in client.frames() if frame.name == "DATA"), 60000)
        client.wait(20)
        self.assertTrue(client.transport.aborted)

    def test_enough_requests(self) -> None:
        """
        After so many requests a connection is drained.
        """
        client = RawClient(limits=Limits(max_requests=3))
        client.fake.on_request = echo
        client.send(headers(1) + headers(3))
        self.assertEqual(self.goodbyes(client), [])
        client.send(headers(5))
        client.wait(1.5)
        self.assertEqual(self.goodbyes(client), [(LARGEST_STREAM, NO_ERROR), (5, NO_ERROR)])
        self.assertTrue(client.transport.half_closed)

    def test_kept_too_long(self) -> None:
        """
        A connection that is idle for too long is ended, and told so.
        """
        client = RawClient(limits=Limits(keepalive_timeout=20))
        client.fake.on_request = echo
        client.wait(5)
        client.send(headers(1))
        client.wait(19.5)
        self.assertEqual(self.goodbyes(client), [])
        client.wait(0.75)
        self.assertEqual(self.goodbyes(client), [(LARGEST_STREAM, NO_ERROR), (1, NO_ERROR)])
        self.assertTrue(client.transport.half_closed)

    def test_after_its_end(self) -> None:
        """
        A connection that has ended says nothing more.
        """
        client = RawClient()
        connection = client.connection
        client.end()
        client.frames()
        connection.drain(True)
        connection.fail(PROTOCOL_ERROR, "again")
        connection.end()
        self.assertEqual(client.frames(), [])


class EndTests(SynchronousTestCase):
    """
    Tests for connections that end: C12.
    """

    def busy(self) -> RawClient:
        """
        A client with a request in each state.
        """
        client = RawClient()
        client.send(headers(1) + headers(3, POST, end=False) + headers(5) + headers(7, POST, end=False))
        client.exchanges[2].begin(body=b"x" * 70000)
        client.exchanges[3].answer(b"early")
        return client

    def over(self, client: RawClient, connection: Any) -> None:
        """
        Every exchange that was not at its end was told once, and nothing is held any more.
        """
        for exchange in client.exchanges[:3]:
            self.assertEqual(exchange.events.count("gone"), 1)
        self.assertNotIn("gone", client.exchanges[3].events)
        self.assertEqual((client.context.channels, client.watched), (set(), 0))
        self.assertEqual((connection.streams, connection._waiting, connection._held), ({}, {}, 0))

    def test_lost(self) -> None:
        """
        A connection that is lost takes its requests with it.
        """
        client = self.busy()
        connection = client.connection
        client.go()
        self.over(client, connection)

    def test_half_closed(self) -> None:
        """
        So does one whose client has ended: nobody waiting is the rule.
        """
        client = self.busy()
        connection = client.connection
        client.end()
        self.assertTrue(client.transport.aborted)
        client.go()
        self.over(client, connection)

    def test_half_closed_idle(self) -> None:
        """
        Without requests it ends in peace.
        """
        client = RawClient()
        client.end()
        self.assertEqual((client.transport.aborted, client.transport.half_closed), (False, True))

    def test_failed(self) -> None:
        """
        One that its client spoils takes its requests with it, too, and the client is told up to which they were seen.
        """
        client = self.busy()
        connection = client.connection
        client.frames()
        client.send(data(0, b"x"))
        last = client.frames()[-1]
        self.assertEqual((last.kind, last.number, last.code), (GOAWAY, 7, PROTOCOL_ERROR))
        self.assertTrue(client.transport.half_closed)
        client.go()
        self.over(client, connection)

    def test_does_not_close(self) -> None:
        """
        A client that does not close after that is cut off in the end.
        """
        client = RawClient()
        client.send(headers(1))
        client.transport.stalled = True
        client.send(data(0, b"x"))
        client.wait(25)
        self.assertFalse(client.transport.aborted)
        client.wait(10)
        self.assertTrue(client.transport.aborted)

    def test_nothing_read_after(self) -> None:
        """
        What comes after the end is not read.
        """
        client = RawClient()
        client.send(data(0, b"x") + headers(1))
        client._protocol.dataReceived(headers(3))
        self.assertEqual(client.exchanges, [])


class PieceTests(SynchronousTestCase):
    """
    Tests with what comes in any pieces.
    """

    @properties
    @given(splits(40), st.lists(st.binary(max_size=60), max_size=4), st.booleans())
    def test_pieces(self, lengths: list[int], bodies: list[bytes], trailers: bool) -> None:
        """
        However the bytes of requests come, they are the same requests with the same answers.
        """
        client = LibraryClient(lengths=lengths)
        client.fake.on_request = lambda exchange: None
        for body in bodies:
            number = client.ask(method=b"POST", end=False)
            client.send_body(number, body)
            if trailers:
                client.peer.send_headers(number, [(b"x-a", b"b")], end_stream=True)
                client.talk()
            else:
                client.send_body(number, b"", end=True)
            exchange = client.exchange
            self.assertEqual((exchange.body, exchange.trailers), (body, b"x-a: b\r\n" if trailers else b""))
            exchange.answer(body)
            client.talk()
            self.assertEqual((client.responses[number].body, client.responses[number].ended), (body, True))
