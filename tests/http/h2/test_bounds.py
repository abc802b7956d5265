"""
Tests for what a client of HTTP/2 can cost, in work, memory and time.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.limits import Limits
from siger.errors import Reason
from siger.http.h2.constants import (
    CANCEL,
    DATA,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
)
from tests.http.fakes import FakeExchange, FakeTransport
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
    reset,
    settings,
    window_update,
)
from tests.http.hpack.blocks import literal

OPEN = headers(1, POST, end=False)
"""A request whose body is to come."""


class _BoundsMixin(SynchronousTestCase):
    """
    What most tests here assert.
    """

    def calmed(self, client: RawClient) -> None:
        """
        The client was told to be calm, and is read no more.
        """
        last = client.frames()[-1]
        self.assertEqual((last.kind, last.code), (GOAWAY, ENHANCE_YOUR_CALM))
        self.assertTrue(client.transport.half_closed)

    def flood(self, client: RawClient, make: Callable[[int], bytes], most: int) -> int:
        """
        Send something until the connection ends, or so often.

        @return: how often.
        """
        for turn in range(most):
            if client.transport.half_closing:
                return turn
            client.send(make(turn))
        return most


class ResetTests(_BoundsMixin):
    """
    Tests for streams that are broken off, by the client or for its faults: G1, G2.
    """

    def test_rapid_reset(self) -> None:
        """
        A client that opens streams and resets them is stopped soon.
        """
        client = RawClient()
        count = self.flood(client, lambda turn: headers(turn * 2 + 1) + reset(turn * 2 + 1), 1000)
        self.assertEqual(count, 101)
        self.calmed(client)
        self.assertEqual({tuple(exchange.events) for exchange in client.exchanges}, {("gone",)})

    def test_made_to_reset(self) -> None:
        """
        One that has the server do it is stopped as soon.
        """
        for fault in (
            lambda number: headers(number, POST, end=False) + window_update(number, 0),
            lambda number: headers(number, POST, end=False) + window_update(number, 0x7FFFFFFF),
            lambda number: headers(number, POST, end=False) + frame(2, 0, number, b"\0" * 4),
            lambda number: headers(number, POST, end=False) + priority(number, number),
            lambda number: headers(number) + data(number, b"x"),
            lambda number: headers(number) + headers(number, literal(b"x", b"")),
            lambda number: headers(number, POST + literal(b"content-length", b"2"), end=False) + data(number, b"xyz"),
            lambda number: headers(number, POST + literal(b"content-length", b"2")),
            lambda number: headers(number, GET + literal(b"X", b"")),
            lambda number: headers(number, POST, end=False) + headers(number, literal(b"X", b"")),
        ):
            client = RawClient()

            def make(turn: int, fault: Callable[[int], bytes] = fault) -> bytes:
                return fault(turn * 2 + 1)

            self.assertEqual(self.flood(client, make, 1000), 101)
            self.calmed(client)

    def test_refused(self) -> None:
        """
        So is one that does not heed how many streams it may have.
        """
        client = RawClient(limits=Limits(streams=1))
        client.send(headers(1))
        self.assertEqual(self.flood(client, lambda turn: headers(turn * 2 + 3), 1000), 101)
        self.calmed(client)

    def test_refused_unknowing(self) -> None:
        """
        One that has not seen yet how many it may have is borne longer, and not for ever.
        """
        client = RawClient(limits=Limits(streams=1), begin=PREFACE + settings())
        client.send(headers(1))
        count = self.flood(client, lambda turn: headers(turn * 2 + 3), 5000)
        self.assertGreater(count, 300)
        self.assertLess(count, 1100)
        self.calmed(client)

    def test_now_and_then(self) -> None:
        """
        Resets now and then are any client's right.
        """
        client = RawClient()
        for turn in range(400):
            client.send(headers(turn * 2 + 1) + reset(turn * 2 + 1))
            client.wait(0.25)
        self.assertFalse(client.transport.half_closed)

    def test_earned(self) -> None:
        """
        So are those among many requests that are answered.
        """
        client = RawClient()
        for turn in range(400):
            client.send(headers(turn * 4 + 1) + reset(turn * 4 + 1) + headers(turn * 4 + 3))
            client.exchange.answer()
        self.assertFalse(client.transport.half_closed)

    def test_applications(self) -> None:
        """
        What an application breaks off is not held against its client.
        """
        client = RawClient()
        client.fake.on_request = lambda exchange: exchange.stream.abort_response()
        self.assertEqual(self.flood(client, lambda turn: headers(turn * 2 + 1), 300), 300)
        self.assertFalse(client.transport.half_closed)

    def test_remembered(self) -> None:
        """
        Of streams that were reset so many are remembered, the last ones. What comes on one before them, which nobody
        knows any more, may have been on its way, too.
        """
        client = RawClient()
        client.fake.on_request = lambda exchange: exchange.stream.abort_response()
        for turn in range(300):
            client.send(headers(turn * 2 + 1, POST, end=False))
        self.assertEqual(len(client.connection._reset_streams), 256)
        client.send(data(599, b"late") + data(89, b"late") + data(87, b"later") + data(1, b"later"))
        self.assertFalse(client.transport.half_closed)
        client.fake.on_request = lambda exchange: exchange.answer()
        client.send(headers(601) + data(601, b"behind the end"))
        self.assertTrue(client.transport.half_closed)


class CheapFrameTests(_BoundsMixin):
    """
    Tests for frames that cost nothing to send: G5.
    """

    FLOODS = (
        ("PING", ping(), 1001),
        ("acknowledged PING", ping(ack=True), 1001),
        ("SETTINGS", settings(), 110),
        ("SETTINGS of many", settings(*[(INITIAL_WINDOW_SIZE, 1)] * 500), 2),
        ("acknowledged SETTINGS", SETTINGS_ACK, 1001),
        ("PRIORITY", priority(99), 1001),
        ("WINDOW_UPDATE", window_update(0, 1), 1001),
        ("WINDOW_UPDATE of a stream", window_update(1, 1), 1001),
        ("DATA of nothing", data(1, b""), 1001),
        ("DATA of padding", data(1, b"", padding=0), 1001),
        ("GOAWAY", goaway(0), 1001),
        ("RST_STREAM of what is over", reset(3), 1001),
        ("WINDOW_UPDATE of what is over", window_update(3, 1), 1001),
        ("an unknown frame", frame(0x99, 0, 0, b""), 1001),
    )

    def make(self) -> RawClient:
        """
        A client with a stream that is open and one that is over.
        """
        client = RawClient()
        client.send(OPEN + headers(3))
        client.exchange.answer()
        return client

    def test_floods(self) -> None:
        """
        Nobody needs so many of them in no time.
        """
        for name, one, most in self.FLOODS:
            client = self.make()
            count = self.flood(client, lambda turn, one=one: one, 3000)  # type: ignore[misc]
            self.assertLessEqual(count, most, name)
            self.assertGreater(count, most // 2, name)
            self.calmed(client)

    def test_in_one_read(self) -> None:
        """
        Many in one read are stopped within it.
        """
        for name, one, _ in self.FLOODS:
            client = self.make()
            client.frames()
            client.send(one * 5000)
            self.assertLess(len(client.transport.written), 30000, name)
            self.calmed(client)

    def test_over_time(self) -> None:
        """
        Some, all the time, are no flood.
        """
        for name, one, _ in self.FLOODS:
            if name in ("SETTINGS of many", "DATA of nothing", "DATA of padding"):
                continue
            client = RawClient(limits=Limits(min_body_rate=0, body_timeout=1000))
            client.send(OPEN + headers(3))
            client.exchange.answer()
            for _ in range(400):
                client.send(one)
                client.wait(0.25)
            self.assertFalse(client.transport.half_closed, name)

    def test_among_others(self) -> None:
        """
        As many as there are frames of use are no flood either.
        """
        client = RawClient()
        client.send(OPEN)
        for _ in range(3000):
            client.send(data(1, b"x") + ping())
        self.assertFalse(client.transport.half_closed)

    def test_with_responses(self) -> None:
        """
        What is sent is of use as well: windows are opened for it.
        """
        client = RawClient()
        client.send(headers(1))
        client.exchange.begin()
        for _ in range(3000):
            client.exchange.stream.send_body(b"x")
            client.send(window_update(0, 1) + window_update(1, 1))
        self.assertFalse(client.transport.half_closed)


class UnreadTests(_BoundsMixin):
    """
    Tests for clients that ask and do not read: G5.
    """

    def make(self, answer: Callable[[FakeExchange], None]) -> RawClient:
        """
        One for which more is written already than it should be.
        """
        client = RawClient(limits=Limits(max_requests=100000))
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)) + window_update(0, 1 << 20) + headers(1))
        client.transport.stalled = True
        client.exchange.begin(body=b"x" * 70000)
        self.assertTrue(client.connection.choked)
        client.fake.on_request = answer
        return client

    def test_answers(self) -> None:
        """
        Responses without a body do not pile up.
        """
        client = self.make(lambda exchange: exchange.answer(status=204))
        count = self.flood(client, lambda turn: headers(turn * 2 + 3), 5000)
        self.assertLess(count, 1100)
        self.assertLess(len(client.transport.queued), 200000)

    def test_pings(self) -> None:
        """
        Nor do answers to pings, among however many useful frames.
        """
        client = self.make(lambda exchange: None)
        client.send(headers(3, POST, end=False))
        self.flood(client, lambda turn: data(3, b"x") + ping(), 5000)
        self.assertTrue(client.transport.half_closing)
        self.assertLess(len(client.transport.queued), 200000)

    def test_read_again(self) -> None:
        """
        Who reads again begins anew.
        """
        client = self.make(lambda exchange: exchange.answer(status=204))
        number = 3
        for _ in range(3):
            for _ in range(900):
                client.send(headers(number))
                number += 2
            client.transport.flow()
            client.transport.stalled = True
            client.exchanges[0].stream.send_body(b"x" * 70000)
        self.assertFalse(client.transport.half_closing)

    def test_bodies(self) -> None:
        """
        Responses with bodies wait in their streams, of which there are only so many.
        """
        client = self.make(lambda exchange: exchange.answer(b"x" * 1000))
        for turn in range(150):
            client.send(headers(turn * 2 + 3))
        self.assertEqual(len(client.connection.streams), 100)
        client.transport.flow()
        refused = [it for it in client.frames() if it.kind == RST_STREAM]
        self.assertEqual({it.code for it in refused}, {REFUSED_STREAM})
        self.assertEqual(len(refused), 51)


class BlockTests(_BoundsMixin):
    """
    Tests for header blocks: G3, G4.
    """

    def test_many_continuations(self) -> None:
        """
        A block may come in few frames, whether there is anything in them or not.
        """
        client = RawClient()
        client.send(headers(1, GET[:3], more=True))
        count = self.flood(client, lambda turn: continuation(1, b"", more=True), 100)
        self.assertEqual(count, 9)
        self.calmed(client)

    def test_as_many_as_allowed(self) -> None:
        """
        So many are taken.
        """
        client = RawClient()
        client.send(headers(1, b"", more=True) + continuation(1, b"", more=True) * 7 + continuation(1, GET))
        self.assertEqual(len(client.exchanges), 1)

    def test_long_block(self) -> None:
        """
        Nor is a block longer than a section may be.
        """
        client = RawClient(limits=Limits(header_bytes=20000))
        client.send(headers(1, b"\0" * 10000, more=True))
        client.send(continuation(1, b"\0" * 10000, more=True))
        self.assertFalse(client.transport.half_closed)
        client.send(continuation(1, b"\0", more=True))
        self.calmed(client)

    def test_bomb(self) -> None:
        """
        A small block that unpacks to much is refused, and little of it kept (CVE-2016-6581).
        """
        client = RawClient(limits=Limits(header_bytes=65536))
        added = b"\x40\x03x-a" + b"\x7f\xa1\x1e" + b"v" * 4000
        client.send(headers(1, GET + added + b"\xbe" * 12000))
        self.assertEqual(client.fake.refusals, [Reason.HEADERS_TOO_LARGE])
        client.send(headers(3, GET + b"\xbe"))
        self.assertEqual(client.exchange.head.fields.items(), [(b"x-a", b"v" * 4000)])

    def test_kept(self) -> None:
        """
        Only so many blocks are remembered, none of them long.
        """
        client = RawClient()
        client.fake.on_request = lambda exchange: exchange.answer()
        for turn in range(200):
            client.send(headers(turn * 4 + 1, GET + literal(b"x-a", b"%d" % turn)))
            client.send(headers(turn * 4 + 3, POST + literal(b"x-a", b"%d" % turn), end=False))
        connection = client.connection
        self.assertTrue(1 < len(connection._heads) + len(connection._open_heads) <= 128)
        client.send(headers(1001, GET + literal(b"x-a", b"v" * 1024)))
        self.assertEqual([block for block in connection._heads if len(block) > 1024], [])

    def test_kept_bombs(self) -> None:
        """
        What counts is what they unpack to, in many fields or in large ones.
        """
        many = b"".join(literal(b"x-%d" % number, b"") for number in range(90))
        large = b"\xbe" * 12
        client = RawClient(limits=Limits(header_bytes=65536))
        client.fake.on_request = lambda exchange: exchange.answer()
        client.send(headers(1, GET + b"\x40\x03x-a" + b"\x7f\xa1\x1e" + b"v" * 4000))
        kept = client.connection
        for turn in range(20):
            for number, fields in ((3, many), (5, large)):
                client.send(headers(turn * 8 + number, GET + literal(b"x-turn", b"%d" % turn) + fields))
                heads = [*kept._heads.values(), *kept._open_heads.values()]
                found = sum(len(name) + len(value) + 32 for head in heads for name, value in head.fields.items())
                self.assertTrue(0 < found <= 16384, found)


class BodyTimeTests(_BoundsMixin):
    """
    Tests for how long a body may take: F4, F5.
    """

    def refused(self, client: RawClient) -> None:
        """
        The request was given up for its time, told so, and its stream is over.
        """
        self.assertEqual(client.exchange.events[-1], "failed request_timeout")
        client.wait(1.5)
        self.assertEqual([it.name for it in client.frames()], ["HEADERS", "DATA", "RST_STREAM"])
        self.assertEqual(client.connection.streams, {})

    def test_silent(self) -> None:
        """
        A body that does not come is not waited for.
        """
        client = RawClient(limits=Limits(body_timeout=10))
        client.send(OPEN)
        client.wait(9.5)
        self.assertEqual(client.exchange.events, [])
        client.wait(0.75)
        self.refused(client)

    def test_goes_on(self) -> None:
        """
        Each piece gives it more time.
        """
        client = RawClient(limits=Limits(body_timeout=10, min_body_rate=0))
        client.send(OPEN)
        for _ in range(5):
            client.wait(9)
            client.send(data(1, b"x"))
        client.wait(10.25)
        self.assertEqual(client.exchange.body, b"xxxxx")
        client.frames()
        self.assertEqual(client.exchange.events[-1], "failed request_timeout")

    def test_empty_frames(self) -> None:
        """
        Pieces with nothing in them do not.
        """
        client = RawClient(limits=Limits(body_timeout=10))
        client.send(OPEN)
        for _ in range(4):
            client.wait(2.5)
            client.send(data(1, b"") + data(1, b"", padding=5))
        client.wait(0.5)
        self.refused(client)

    def test_slow(self) -> None:
        """
        A body that drips is given up, however often it drips.
        """
        client = RawClient(limits=Limits(body_timeout=60, min_body_rate=100))
        client.send(OPEN)
        for _ in range(30):
            client.send(data(1, b"x"))
            client.wait(0.25)
        self.refused(client)

    def test_reader_pauses(self) -> None:
        """
        While its reader pauses no time passes; then it has some grace.
        """
        client = RawClient(limits=Limits(body_timeout=10, min_body_rate=100))
        client.send(OPEN + data(1, b"x"))
        stream = client.exchange.stream
        stream.pause_body()
        client.send(data(1, b"x"))
        client.wait(60)
        stream.resume_body()
        client.wait(4.5)
        client.send(data(1, b"x"))
        self.assertEqual(client.exchange.events, ["body"] * 3)
        client.wait(11)
        self.assertEqual(client.exchange.events[-1], "failed request_timeout")

    def test_calls(self) -> None:
        """
        A call of gRPC may be silent, before and after its reader paused, once it is one: what a client says of it is
        not enough.
        """
        section = POST + literal(b"content-type", b"application/grpc")
        client = RawClient(limits=Limits(body_timeout=10))
        client.send(headers(1, section, end=False))
        client.wait(9)
        client.exchange.stream.let_body_rest()
        client.wait(60)
        client.send(data(1, b"x"))
        client.exchange.stream.pause_body()
        client.exchange.stream.resume_body()
        client.wait(60)
        self.assertEqual(client.exchange.events, ["body"])
        client.send(headers(3, section, end=False))
        client.wait(11)
        self.assertEqual(client.exchange.events, ["failed request_timeout"])

    def test_call_that_is_over(self) -> None:
        """
        What was answered is waited for no longer because it was a call.
        """
        client = RawClient()
        client.send(OPEN)
        client.exchange.answer()
        client.exchange.stream.let_body_rest()
        client.wait(2)
        self.assertEqual(client.connection.streams, {})

    def test_response_begun(self) -> None:
        """
        A response that was begun is broken off.
        """
        client = RawClient(limits=Limits(body_timeout=10))
        client.send(OPEN)
        client.exchange.begin()
        client.wait(11)
        last = client.frames()[-1]
        self.assertEqual(last.kind, RST_STREAM)
        self.assertEqual(client.connection.streams, {})

    def test_refusal_waits(self) -> None:
        """
        The refusal itself may have to wait until the client takes it, and then does so no longer than any response.
        """
        client = RawClient(limits=Limits(body_timeout=10, write_timeout=20))
        client.send(settings((INITIAL_WINDOW_SIZE, 0)) + OPEN)
        client.wait(11)
        self.assertEqual(client.exchange.events, ["failed request_timeout"])
        self.assertEqual(client.frames()[-1].name, "HEADERS")
        client.wait(21)
        (last,) = client.frames()
        self.assertEqual((last.kind, last.code), (RST_STREAM, CANCEL))
        self.assertEqual(client.connection.streams, {})

    def test_ended(self) -> None:
        """
        Once it is complete nothing is expected of the client any more.
        """
        client = RawClient(limits=Limits(body_timeout=10))
        client.send(OPEN + data(1, b"x", end=True))
        client.wait(100)
        self.assertEqual(client.exchange.events, ["last body"])
        self.assertFalse(client.transport.half_closed)


class StallTests(_BoundsMixin):
    """
    Tests for clients that take nothing: F8, G11.
    """

    def make(self, window: int = 10) -> RawClient:
        """
        One that takes little of the response that it waits for.
        """
        client = RawClient(limits=Limits(write_timeout=20))
        client.send(settings((INITIAL_WINDOW_SIZE, window)) + headers(1))
        client.frames()
        client.exchange.begin(body=b"x" * 100)
        return client

    def test_stream(self) -> None:
        """
        A stream whose window stays closed is given up; others are not concerned.
        """
        client = self.make()
        client.send(headers(3))
        client.wait(19)
        self.assertEqual(client.exchanges[0].events, ["pause"])
        client.wait(1.5)
        self.assertEqual(client.exchanges[0].events, ["pause", "gone"])
        last = client.frames()[-1]
        self.assertEqual((last.kind, last.stream, last.code), (RST_STREAM, 1, CANCEL))
        client.exchanges[1].answer(b"fine")
        self.assertEqual([it.name for it in client.frames()], ["HEADERS", "DATA"])

    def test_turns(self) -> None:
        """
        A client that takes a little now and then, too little for all of its streams within the time, takes it of each
        in turn, and none is given up; that is so until it takes nothing, or nothing on one of them.
        """
        client = RawClient(limits=Limits(write_timeout=20))
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)) + b"".join(headers(number) for number in range(1, 9, 2)))
        for exchange in client.exchanges:
            exchange.begin(body=b"x" * 200_000)
        client.frames()
        client.send(settings((INITIAL_WINDOW_SIZE, 100_000)))
        taken = dict.fromkeys((1, 3, 5, 7), 0)
        for _ in range(12):
            client.send(window_update(0, 10_000))
            client.wait(10)
            for it in client.frames():
                if it.kind == DATA:
                    taken[it.stream] += len(it.payload)
        self.assertEqual(taken, {1: 30_000, 3: 30_000, 5: 30_000, 7: 30_000})
        self.assertEqual([exchange.events for exchange in client.exchanges], [["pause"]] * 4)
        client.wait(21)
        self.assertEqual(client.connection.streams, {})

    def test_slow_reader(self) -> None:
        """
        What waits goes to the transport piece by piece, so that it is seen whether the client reads, and one that reads
        slowly is not taken for one that does not.
        """
        client = RawClient(limits=Limits(write_timeout=20))
        client.transport.stalled = True
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)) + window_update(0, 1 << 24))
        client.send(b"".join(headers(number) for number in range(1, 21, 2)))
        for exchange in client.exchanges:
            exchange.begin(body=b"x" * 100_000)
            exchange.stream.send_body(b"x" * 100_000)
        transport: Any = client.transport
        for _ in range(6):
            client.wait(10)
            self.assertTrue(transport.producer_paused)
            transport.written, transport.queued = transport.written + transport.queued, b""
            transport.producer_paused = False
            transport.producer.resumeProducing()
            self.assertLess(len(transport.queued), 150_000)
        self.assertEqual(len(client.connection.streams), 10)
        client.wait(21)
        self.assertTrue(client.transport.aborted)

    def test_kernel(self) -> None:
        """
        A client that reads what the kernel has for it is waited for, and not for ever when it stops.
        """
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        for _ in range(20):
            near.send(b"x" * 100)
        client = RawClient(limits=Limits(write_timeout=20), transport=FakeTransport(handle=near))
        client.transport.stalled = True
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)) + window_update(0, 1 << 24) + headers(1))
        client.exchange.begin(body=b"x" * 100_000)
        client.exchange.stream.send_body(b"x" * 100_000)
        for _ in range(4):
            client.wait(15)
            far.recv(100)
        self.assertFalse(client.transport.aborted)
        client.wait(45)
        self.assertTrue(client.transport.aborted)

    def test_ended_response(self) -> None:
        """
        So is one whose response is complete but for what waits.
        """
        client = self.make()
        client.exchange.stream.end_response(b"")
        client.wait(21)
        self.assertEqual(client.connection.streams, {})
        self.assertEqual(client.exchange.events, ["pause"])

    def test_connection(self) -> None:
        """
        All streams are if the connection's window stays closed.
        """
        client = RawClient(limits=Limits(write_timeout=20))
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)) + headers(1) + headers(3))
        for exchange in client.exchanges:
            exchange.begin(body=b"x" * 65000)
        client.wait(21)
        self.assertEqual([exchange.events for exchange in client.exchanges], [[], ["pause", "gone"]])

    def test_many(self) -> None:
        """
        A hundred streams with their windows closed are all given up, and nothing of theirs is kept.
        """
        client = RawClient(limits=Limits(write_timeout=20))
        client.send(settings((INITIAL_WINDOW_SIZE, 0)))
        client.fake.on_request = lambda exchange: exchange.answer(b"x" * 100000)
        for turn in range(100):
            client.send(headers(turn * 2 + 1))
        self.assertEqual(len(client.connection.streams), 100)
        client.wait(21)
        self.assertEqual((client.connection.streams, client.connection._waiting), ({}, {}))

    def test_progress(self) -> None:
        """
        Whoever takes something, now and then, is waited for.
        """
        client = self.make()
        for _ in range(5):
            client.wait(15)
            client.send(window_update(1, 1))
        self.assertEqual(client.exchange.events, ["pause"])
        client.wait(21)
        self.assertEqual(client.exchange.events, ["pause", "gone"])

    def test_nothing_to_take(self) -> None:
        """
        Who has taken everything is not given up, however long the rest takes to come.
        """
        client = self.make(window=1000)
        client.wait(100)
        self.assertEqual(client.exchange.events, [])
        client.exchange.stream.send_body(b"x")
        self.assertEqual(sum(len(it.payload) for it in client.frames() if it.kind == DATA), 101)

    def test_transport(self) -> None:
        """
        A client that does not even read is cut off, with all its requests.
        """
        client = RawClient(limits=Limits(write_timeout=20))
        client.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)) + window_update(0, 1 << 20) + headers(1) + headers(3))
        client.transport.stalled = True
        client.exchanges[0].begin(body=b"x" * 70000)
        client.exchanges[0].stream.send_body(b"more")
        client.wait(19)
        self.assertFalse(client.transport.aborted)
        client.wait(2)
        self.assertTrue(client.transport.aborted)
        self.assertEqual([exchange.events[-1] for exchange in client.exchanges], ["gone", "gone"])


class BlockTimeTests(_BoundsMixin):
    """
    Tests for header blocks that do not end: F3, G3.
    """

    def ended(self, client: RawClient) -> None:
        """
        The connection was ended.
        """
        last = client.frames()[-1]
        self.assertEqual((last.kind, last.code), (GOAWAY, PROTOCOL_ERROR))
        self.assertTrue(client.transport.half_closed)

    def test_idle(self) -> None:
        """
        A block has the time that a head of HTTP/1.1 has, drips or not.
        """
        client = RawClient(limits=Limits(header_timeout=10))
        client.send(headers(1))
        client.exchange.answer()
        client.wait(30)
        client.send(headers(3, GET[:3], more=True))
        for _ in range(3):
            client.wait(3)
            client.send(continuation(3, GET[3:4], more=True)[:10])
        self.assertFalse(client.transport.half_closed)
        client.wait(1.25)
        self.ended(client)

    def test_among_streams(self) -> None:
        """
        It is so as well where other requests are in progress, and where those end meanwhile.
        """
        for answered in (False, True):
            client = RawClient(limits=Limits(header_timeout=10))
            client.send(headers(1) + headers(3, GET[:3], more=True))
            client.wait(5)
            if answered:
                client.exchange.answer()
            client.wait(5.5)
            self.ended(client)

    def test_others_are_looked_after(self) -> None:
        """
        Meanwhile the other requests have the limits that they always have.
        """
        client = RawClient(limits=Limits(header_timeout=1000, body_timeout=5))
        client.send(OPEN + headers(3, GET[:3], more=True))
        client.wait(6)
        self.assertEqual(client.exchange.events, ["failed request_timeout"])

    def test_in_time(self) -> None:
        """
        One that ends in time changes nothing: an idle connection is kept as long as before.
        """
        client = RawClient(limits=Limits(header_timeout=10, keepalive_timeout=30))
        client.fake.on_request = lambda exchange: exchange.answer()
        client.send(headers(1))
        client.wait(5)
        client.send(headers(3, GET[:3], more=True))
        client.wait(5)
        client.send(continuation(3, GET[3:] + literal(b"X", b"")))
        self.assertEqual(client.fake.refusals, [Reason.MALFORMED_REQUEST])
        client.wait(19.5)
        self.assertFalse(client.transport.half_closed)
        client.wait(1)
        self.assertTrue(client.transport.half_closed)
        self.assertEqual(client.frames()[-1].code, NO_ERROR)
