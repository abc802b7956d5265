"""
Tests for L{siger.proxy.exchange} where instances speak HTTP/2, and for L{siger.proxy.call}.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import hpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Instance
from siger.config.settings.services import Timeouts
from siger.errors import Reason
from siger.grpc.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    OK,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    UNKNOWN,
)
from siger.grpc.timeouts import parse_timeout
from siger.http.h2.constants import (
    CANCEL,
    DATA,
    ENHANCE_YOUR_CALM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    LARGEST_STREAM,
    MAX_CONCURRENT_STREAMS,
    NO_ERROR,
    PREFACE,
    REFUSED_STREAM,
    RST_STREAM,
)
from siger.http.h2.requests import RequestReader
from siger.http.hpack.decoder import Entry
from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from siger.proxy.exchanges import make_exchange
from tests.http.fakes import FakeStream
from tests.http.generators import properties
from tests.http.h2.frames import Frame, block, data, goaway, headers, read_frames, reset, settings, window_update
from tests.http.hpack.blocks import literal
from tests.proxy.instance import FakeWire
from tests.proxy.test_exchange import Asked
from tests.proxy.world import ID, Record, World

Pairs = tuple[tuple[bytes, bytes], ...]

FINE = block((b":status", b"200"), (b"content-type", b"application/grpc"))
GRPC: Pairs = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


def read(fields: Iterable[tuple[bytes, bytes]], method: bytes = b"POST", bodied: bool = True) -> RequestHead:
    """
    A request's head, as HTTP/2 makes it.
    """
    pseudo = ((b":method", method), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", b"/x"))
    entries = [Entry(name, value) for name, value in (*pseudo, *fields)]
    return RequestReader(RequestParser()).head(entries, bodied)


class Request:
    """
    What an instance got of a request.
    """

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.secret: set[bytes] = set()
        self.body = b""
        self.trailers: list[tuple[bytes, bytes]] = []
        self.ended = False
        self.code: int | None = None

    def get(self, name: bytes) -> bytes | None:
        """
        The value of a field that occurs once.
        """
        values = [value for known, value in self.fields if known == name]
        assert len(values) < 2, values
        return values[0] if values else None


class Called:
    """
    A call, or another request that came by HTTP/2: its exchange, and its client's side.
    """

    def __init__(
        self,
        world: World,
        *fields: tuple[bytes, bytes],
        method: bytes = b"POST",
        bodied: bool = True,
        age: float = 0.0,
        head: RequestHead | None = None,
    ) -> None:
        """
        @param age: for how many seconds the request has been here.
        @param head: the request's head, if its fields have none of their own.
        """
        head = self.head = head or read(fields, method, bodied)
        self.stream = FakeStream()
        self.stream.version = 20
        self.stream.request_id = ID
        self.stream.grpc = bool(head.fields.grpc)
        self.made = make_exchange(world.context, world.arrival(head, self.stream, age=age))
        self.exchange = self.made.begin()

    def status(self) -> tuple[int, bool]:
        """
        The status that the client got of a call, and whether that was all that it got.
        """
        stream = self.stream
        assert stream.ended, "the call goes on"
        assert not stream.aborted
        alone = b"grpc-status" in stream.lines
        lines = stream.lines if alone else stream.trailers
        found = [line for line in lines.split(b"\r\n") if line.lower().startswith(b"grpc-status:")]
        assert len(found) == 1, lines
        return int(found[0].partition(b":")[2]), alone


class _Http2Mixin(SynchronousTestCase):
    """
    What most tests here need and assert.
    """

    def world(self, **settings: Any) -> World:
        """
        A service whose instances speak HTTP/2.
        """
        return World(**{"protocol": "h2c", **settings})

    def accept(self, world: World, *values: tuple[int, int]) -> FakeWire:
        """
        Let an attempt succeed; the instance says its settings.
        """
        wire = world.instance.accept()
        wire.say(settings(*values))
        return wire

    def frames(self, wire: FakeWire) -> list[Frame]:
        """
        What arrived at an instance.
        """
        return read_frames(wire.received.removeprefix(PREFACE))

    def requests(self, wire: FakeWire) -> dict[int, Request]:
        """
        The same as requests, by stream.
        """
        decoder = hpack.Decoder()
        found: dict[int, Request] = {}
        for frame in self.frames(wire):
            if frame.kind == HEADERS:
                pairs = decoder.decode(frame.payload, raw=True)
                if frame.stream not in found:
                    request = found[frame.stream] = Request()
                    request.fields = [(name, value) for name, value in pairs]
                    request.secret = {pair[0] for pair in pairs if not pair.indexable}
                else:
                    found[frame.stream].trailers = [(name, value) for name, value in pairs]
            elif frame.kind == DATA:
                found[frame.stream].body += frame.payload
            elif frame.kind == RST_STREAM:
                found[frame.stream].code = frame.code
            if frame.ends:
                found[frame.stream].ended = True
        return found

    def only(self, wire: FakeWire) -> Request:
        """
        The one request that arrived.
        """
        (request,) = self.requests(wire).values()
        return request

    def ended(self, world: World, status: int, reason: Reason | None = None, grpc: int | None = None) -> Record:
        """
        Everything was given back, and the one request was reported so.
        """
        world.instance.settle()
        self.assertEqual(world.balance, (0, 0))
        (record,) = world.records
        self.assertEqual((record.status, record.reason), (status, reason))
        if grpc is not None:
            self.assertEqual(record.grpc, grpc)
        for endpoint in world.service.endpoints:
            pool: Any = endpoint.pool
            if pool is not None:
                self.assertEqual([connection.load for connection in pool._all()], [0] * len(pool._all()))
                self.assertEqual(pool.waiting, 0)
        for wire in world.wires:
            wire.lose()
        self.assertEqual(world.deadlines._members, set())
        return record


class ForwardingTests(_Http2Mixin):
    """
    Tests for what instances get of requests.
    """

    def sent(self, *fields: tuple[bytes, bytes], **others: Any) -> Request:
        """
        A request with these fields, as an instance got it.
        """
        names = ("host", "forward_authorization", "protocol")
        world = self.world(**{name: others.pop(name) for name in names if name in others})
        Called(world, *fields, **others)
        return self.only(self.accept(world))

    def test_fields(self) -> None:
        """
        Pseudo-header fields come first, then the client's own fields, then the gateway's.
        """
        request = self.sent((b"x-a", b"b"), (b"accept", b"*/*"), method=b"GET", bodied=False)
        self.assertEqual(
            request.fields[:6],
            [
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":path", b"/x"),
                (b":authority", b"a.test"),
                (b"x-a", b"b"),
                (b"accept", b"*/*"),
            ],
        )
        self.assertEqual(request.get(b"x-request-id"), ID)
        self.assertEqual(request.get(b"x-forwarded-for"), b"192.0.2.7")
        self.assertEqual(request.get(b"forwarded"), b'for=192.0.2.7;host="a.test";proto=http')
        self.assertTrue((request.get(b"via") or b"").startswith(b"2 "))
        self.assertEqual((request.get(b"te"), request.get(b"content-length"), request.get(b"host")), (None, None, None))
        self.assertTrue(request.ended)
        self.assertEqual({name.lower() for name, _ in request.fields}, {name for name, _ in request.fields})

    def test_authority(self) -> None:
        """
        An instance sees the client's authority, its own address, or a name, as its service says.
        """
        for host, authority in (("preserve", b"a.test"), ("instance", b"192.0.2.1:80"), ("b.test", b"b.test")):
            self.assertEqual(self.sent(host=host).get(b":authority"), authority)

    def test_length(self) -> None:
        """
        A declared length goes on.
        """
        self.assertEqual(self.sent((b"content-length", b"5")).get(b"content-length"), b"5")
        self.assertIsNone(self.sent().get(b"content-length"))

    def test_trailers_are_taken(self) -> None:
        """
        That the client takes trailers is told, and of calls always.
        """
        self.assertEqual(self.sent((b"te", b"trailers")).get(b"te"), b"trailers")
        self.assertEqual(self.sent((b"content-type", b"application/grpc")).get(b"te"), b"trailers")

    def test_authorization(self) -> None:
        """
        Credentials go on unless they are the gateway's own affair, and never into a table.
        """
        field = (b"authorization", b"Bearer abc")
        for forwarded, seen in ((None, b"Bearer abc"), (True, b"Bearer abc"), (False, None)):
            request = self.sent(field, (b"x-a", b"b"), forward_authorization=forwarded)
            self.assertEqual((request.get(b"authorization"), request.get(b"x-a")), (seen, b"b"))
            self.assertEqual(b"authorization" in request.secret, seen is not None)

    def test_cookies(self) -> None:
        """
        Crumbs are one field, which never goes into a table.
        """
        request = self.sent((b"cookie", b"a=b"), (b"cookie", b"c=d"))
        self.assertEqual(request.get(b"cookie"), b"a=b; c=d")
        self.assertIn(b"cookie", request.secret)

    def test_claims(self) -> None:
        """
        What only a gateway may say comes from the gateway.
        """
        request = self.sent(
            (b"x-user-id", b"root"), (b"x-forwarded-for", b"10.0.0.1"), (b"x-real-ip", b"10.0.0.1"), *GRPC
        )
        self.assertEqual((request.get(b"x-user-id"), request.get(b"x-real-ip")), (None, None))
        self.assertEqual(request.get(b"x-forwarded-for"), b"192.0.2.7")

    def test_hops(self) -> None:
        """
        One hop less is left after this one.
        """
        self.assertEqual(self.sent((b"max-forwards", b"5")).get(b"max-forwards"), b"4")

    def test_expectation(self) -> None:
        """
        An expectation is the instance's to meet.
        """
        self.assertEqual(self.sent((b"expect", b"100-continue")).get(b"expect"), b"100-continue")

    def test_metadata(self) -> None:
        """
        Metadata may have underscores in its names.
        """
        request = self.sent(*GRPC, (b"my_key-bin", b"AAE"), (b"x_user_id", b"root"))
        self.assertEqual((request.get(b"my_key-bin"), request.get(b"x_user_id")), (b"AAE", None))

    def test_from_http1(self) -> None:
        """
        A request of HTTP/1.1 goes on with its names in lower case and without what concerned its connection.
        """
        world = self.world()
        asked = Asked(
            world,
            b"POST",
            b"X-A: b",
            b"TE: trailers",
            b"Connection: X-Secret, TE",
            b"X-Secret: c",
            b"Transfer-Encoding: chunked",
        )
        wire = self.accept(world)
        request = self.only(wire)
        self.assertEqual((request.get(b"x-a"), request.get(b"x-secret"), request.get(b"te")), (b"b", None, b"trailers"))
        self.assertEqual((request.get(b"connection"), request.get(b"transfer-encoding")), (None, None))
        asked.made.body_received(b"hello")
        asked.made.body_finished(b"X-T: t\r\n")
        request = self.only(wire)
        self.assertEqual((request.body, request.trailers, request.ended), (b"hello", [(b"x-t", b"t")], True))
        wire.say(headers(1, block((b":status", b"201"), (b"x-b", b"c")), end=False) + data(1, b"yes", end=True))
        self.assertEqual((asked.stream.status, asked.stream.phrase, asked.stream.body), (201, b"Created", b"yes"))
        self.assertEqual(asked.stream.fields()["x-b"], ["c"])
        self.ended(world, 201)

    def test_no_upgrade(self) -> None:
        """
        A handshake of WebSocket is, there, a request like any other: also where only the instance speaks HTTP/2, and
        not its service.
        """
        tagged = self.world(protocol="http1")
        tagged.service.update([Instance("192.0.2.1", 80, tags=frozenset({"h2c"}))])
        for world in (self.world(), tagged):
            Asked(
                world,
                b"GET",
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                b"Sec-WebSocket-Version: 13",
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
            request = self.only(self.accept(world))
            self.assertEqual((request.get(b"upgrade"), request.get(b"connection")), (None, None))

    def test_to_http1(self) -> None:
        """
        A request of HTTP/2 goes to an instance of HTTP/1.1 as text.
        """
        world = World()
        called = Called(world, (b"x-a", b"b"), (b"content-length", b"5"))
        called.made.body_received(b"hello", True)
        wire = world.instance.accept()
        head, _, body = wire.received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.assertEqual((lines[0], body), (b"POST /x HTTP/1.1", b"hello"))
        self.assertIn(b"Host: a.test", lines)
        self.assertIn(b"x-a: b", lines)
        self.assertIn(b"Content-Length: 5", lines)
        wire.say(b"HTTP/1.1 204 x\r\n\r\n")
        self.assertEqual((called.stream.status, called.stream.ended), (204, True))

    def test_kept(self) -> None:
        """
        What is made of a section is kept with it, for each service apart.
        """
        world = self.world()
        head = read([(b"x-a", b"b")])
        for _ in range(2):
            Called(world, head=head)
        first, second = self.requests(self.accept(world)).values()
        self.assertIs(head.fields.packed_key, world.settings)
        self.assertEqual(first.fields, second.fields)


class BodyTests(_Http2Mixin):
    """
    Tests for bodies and trailers, both ways.
    """

    def test_both_ways(self) -> None:
        """
        Both sides send what they have when they have it.
        """
        world = self.world()
        called = Called(world, *GRPC)
        wire = self.accept(world)
        stream = called.stream
        called.made.body_received(b"one")
        wire.say(headers(1, FINE, end=False))
        self.assertEqual((stream.status, stream.body), (200, b""))
        wire.say(data(1, b"eins"))
        called.made.body_received(b"two")
        wire.say(data(1, b"zwei"))
        self.assertEqual((stream.body, self.only(wire).body), (b"einszwei", b"onetwo"))
        called.made.body_finished(b"x-t: t\r\n")
        self.assertEqual((self.only(wire).trailers, self.only(wire).ended), ([(b"x-t", b"t")], True))
        wire.say(headers(1, block((b"grpc-status", b"0"), (b"my_key", b"v"))))
        self.assertEqual((stream.trailers, called.status()), (b"grpc-status: 0\r\nmy_key: v\r\n", (OK, False)))
        record = self.ended(world, 200, grpc=OK)
        self.assertEqual((record.bytes_in, record.bytes_out, record.version), (6, 8, 20))

    def test_last_piece(self) -> None:
        """
        The end of a body goes on with its last piece.
        """
        world = self.world()
        called = Called(world)
        wire = self.accept(world)
        called.made.body_received(b"hello", True)
        self.assertEqual([(it.name, it.ends) for it in self.frames(wire)][-1], ("DATA", True))

    def test_whole_before(self) -> None:
        """
        A body that was complete before there was a connection goes out whole, trailers and all.
        """
        for trailers in (b"", b"x-t: t\r\n"):
            world = self.world()
            called = Called(world)
            self.assertTrue(called.stream.body_paused)
            called.made.body_received(b"hel")
            called.made.body_received(b"lo")
            called.made.body_finished(trailers)
            request = self.only(self.accept(world))
            self.assertEqual((request.body, request.ended), (b"hello", True))
            self.assertEqual(request.trailers, [(b"x-t", b"t")] if trailers else [])

    def test_slow_instance(self) -> None:
        """
        A client is held back by an instance that takes nothing more, and by nobody else's.
        """
        world = self.world()
        slow, other = Called(world), Called(world)
        wire = self.accept(world, (INITIAL_WINDOW_SIZE, 10))
        slow.made.body_received(b"x" * 20)
        other.made.body_received(b"y" * 10)
        self.assertEqual((slow.stream.body_paused, other.stream.body_paused), (True, False))
        wire.say(window_update(1, 10))
        self.assertFalse(slow.stream.body_paused)

    def test_slow_client(self) -> None:
        """
        A client that does not read holds back its own response.
        """
        world = self.world()
        called = Called(world, bodied=False)
        wire = self.accept(world)
        wire.say(headers(1, FINE, end=False))
        called.made.pause_response()
        before = len(self.frames(wire))
        for _ in range(7):
            wire.say(data(1, b"x" * 16384))
        self.assertEqual(len(self.frames(wire)), before)
        called.made.resume_response()
        last = self.frames(wire)[-1]
        self.assertEqual((last.name, last.number), ("WINDOW_UPDATE", 7 * 16384))

    def test_interim(self) -> None:
        """
        Interim responses are passed on.
        """
        world = self.world()
        called = Called(world, bodied=False)
        self.accept(world).say(headers(1, block((b":status", b"103"), (b"link", b"</a>")), end=False))
        self.assertEqual(called.stream.interim, [(103, b"link: </a>\r\n")])

    def test_early(self) -> None:
        """
        A response that is complete first ends the request.
        """
        world = self.world()
        called = Called(world)
        wire = self.accept(world)
        called.made.body_received(b"some")
        wire.say(headers(1, block((b":status", b"413"))))
        self.assertEqual((called.stream.status, called.stream.ended), (413, True))
        self.assertEqual(self.only(wire).code, NO_ERROR)
        self.ended(world, 413)

    def test_client_gone(self) -> None:
        """
        Who is gone is waited for by nobody.
        """
        for begun in (False, True):
            world = self.world()
            called = Called(world, *GRPC)
            wire = self.accept(world)
            if begun:
                wire.say(headers(1, FINE, end=False))
            called.made.client_gone()
            self.assertEqual(self.only(wire).code, CANCEL)
            self.ended(world, 200 if begun else 499, Reason.CLIENT_GONE, CANCELLED)

    def test_client_gone_early(self) -> None:
        """
        Nor while there is no connection yet.
        """
        world = self.world()
        called = Called(world, *GRPC)
        called.made.client_gone()
        wire = self.accept(world)
        self.assertEqual(self.requests(wire), {})
        self.ended(world, 499, Reason.CLIENT_GONE, CANCELLED)

    def test_body_failed(self) -> None:
        """
        A request that will never be complete is not taken for complete by its instance.
        """
        world = self.world()
        called = Called(world)
        wire = self.accept(world)
        called.made.body_received(b"some")
        called.made.body_failed(Reason.INVALID_FRAMING)
        request = self.only(wire)
        self.assertEqual((request.ended, request.code), (False, CANCEL))
        self.assertEqual(called.stream.status, 400)
        self.ended(world, 400, Reason.INVALID_FRAMING)

    def test_too_large(self) -> None:
        """
        Nor is one that becomes too large.
        """
        world = self.world(max_body=8)
        called = Called(world, *GRPC)
        wire = self.accept(world)
        called.made.body_received(b"hello")
        called.made.body_received(b"world")
        self.assertEqual((self.only(wire).ended, self.only(wire).code), (False, CANCEL))
        self.assertEqual(called.status(), (RESOURCE_EXHAUSTED, True))
        self.ended(world, 200, Reason.BODY_TOO_LARGE, RESOURCE_EXHAUSTED)


class RefusalTests(_Http2Mixin):
    """
    Tests for requests that an instance says it did nothing with.
    """

    def test_elsewhere(self) -> None:
        """
        Such a request is sent to another instance.
        """
        for said in (reset(1, REFUSED_STREAM), goaway(0), goaway(0, ENHANCE_YOUR_CALM)):
            world = self.world(instances=2)
            called = Called(world, bodied=False)
            first = self.accept(world)
            first.say(said)
            second = self.accept(world)
            self.assertNotEqual(first.host, second.host)
            second.say(headers(1, FINE))
            self.assertEqual((called.stream.status, called.stream.ended), (200, True))
            record = self.ended(world, 200)
            self.assertEqual((record.attempts, record.instance), (2, second.host.encode() + b":80"))

    def test_body(self) -> None:
        """
        What was sent of its body goes again, and what follows goes there, trailers too.
        """
        for complete in (True, False):
            world = self.world(instances=2)
            called = Called(world, *GRPC)
            first = self.accept(world)
            called.made.body_received(b"hel")
            called.made.body_received(b"lo")
            if complete:
                called.made.body_finished(b"x-t: t\r\n")
            first.say(reset(1, REFUSED_STREAM))
            self.assertEqual(called.stream.body_paused, not complete)
            second = self.accept(world)
            self.assertFalse(called.stream.body_paused)
            if not complete:
                self.assertEqual((self.only(second).body, self.only(second).ended), (b"hello", False))
                called.made.body_received(b" world")
                called.made.body_finished(b"x-t: t\r\n")
            request = self.only(second)
            self.assertEqual((request.body, request.ended), (b"hello" if complete else b"hello world", True))
            self.assertEqual(request.trailers, [(b"x-t", b"t")])

    def test_much(self) -> None:
        """
        As much as 64 KiB of it is kept for that, and no more.
        """
        for size, again in ((65536, True), (65537, False)):
            world = self.world(instances=2)
            called = Called(world, *GRPC)
            first = self.accept(world, (INITIAL_WINDOW_SIZE, 1 << 20))
            body = bytes(at % 251 for at in range(size))
            for at in range(0, size, 10000):
                called.made.body_received(body[at : at + 10000])
            first.say(reset(1, REFUSED_STREAM))
            if again:
                second = self.accept(world, (INITIAL_WINDOW_SIZE, 1 << 20))
                second.say(window_update(0, 1 << 20))
                self.assertEqual(self.only(second).body, body)
                self.assertTrue(called.exchange)
            else:
                self.assertEqual(world.instance.attempts, 0)
                self.assertEqual(called.status(), (UNAVAILABLE, True))
                self.ended(world, 200, Reason.UPSTREAM_RESET, UNAVAILABLE)

    def test_forgotten(self) -> None:
        """
        Nothing of it is kept once the response has begun, or when it is over.
        """
        world = self.world()
        called = Called(world)
        wire = self.accept(world)
        called.made.body_received(b"hello")
        self.assertEqual(called.made._kept.pieces, [b"hello"])
        wire.say(headers(1, FINE, end=False))
        self.assertIsNone(called.made._kept)
        called.made.body_received(b"more")
        self.assertIsNone(called.made._kept)
        left = Called(world)
        left.made.body_received(b"hello")
        self.assertEqual(left.made._kept.pieces, [b"hello"])
        left.made.client_gone()
        left.made.body_received(b"more")
        self.assertIsNone(left.made._kept)

    def test_only_instance(self) -> None:
        """
        Where there is no other instance it is sent to the same one again, so often.
        """
        world = self.world()
        called = Called(world, *GRPC, bodied=False)
        wire = self.accept(world)
        for number in (1, 3, 5, 7):
            self.assertFalse(called.stream.ended)
            wire.say(reset(number, REFUSED_STREAM))
        self.assertEqual(called.status(), (UNAVAILABLE, True))
        record = self.ended(world, 200, Reason.UPSTREAM_RESET, UNAVAILABLE)
        self.assertEqual(record.attempts, 4)

    def test_only_connection(self) -> None:
        """
        Or on another connection, where that one takes nothing more.
        """
        world = self.world()
        called = Called(world)
        first = self.accept(world)
        called.made.body_received(b"hello")
        first.say(goaway(LARGEST_STREAM) + goaway(0))
        second = self.accept(world)
        self.assertEqual((second.host, self.only(second).body), (first.host, b"hello"))
        called.made.body_finished(b"")
        second.say(headers(1, FINE))
        self.ended(world, 200)

    def test_none_there(self) -> None:
        """
        If none can be made then, that is why it failed.
        """
        world = self.world()
        called = Called(world, *GRPC, bodied=False)
        self.accept(world).say(goaway(0))
        world.instance.refuse(ConnectionRefusedError())
        self.assertEqual(called.status(), (UNAVAILABLE, True))
        self.ended(world, 200, Reason.UPSTREAM_REFUSED, UNAVAILABLE)

    def test_untold(self) -> None:
        """
        An instance that broke off for another reason may have done something: the request is not sent again.
        """
        for said in (reset(1, INTERNAL_ERROR), headers(1, FINE, end=False) + reset(1, REFUSED_STREAM)):
            world = self.world(instances=2)
            called = Called(world, bodied=False)
            self.accept(world).say(said)
            self.assertEqual(world.instance.attempts, 0)
            self.assertEqual(called.stream.aborted or called.stream.status == 502, True)

    def test_lost(self) -> None:
        """
        A connection that is lost unheard has a GET sent again, as on HTTP/1.1, and a POST not.
        """
        for method, again in ((b"GET", 1), (b"POST", 0)):
            world = self.world()
            Called(world, bodied=False)
            wire = self.accept(world)
            wire.say(headers(1, FINE))
            called = Called(world, method=method, bodied=False)
            wire.lose(clean=False)
            self.assertEqual(world.instance.attempts, again)
            self.assertEqual(called.stream.status, None if again else 502)


class StatusTests(_Http2Mixin):
    """
    Tests for the statuses with which calls end: G12.
    """

    def test_own(self) -> None:
        """
        The status of the instance is passed on as it is, and reported.
        """
        for status in (0, 5, 16, 99):
            for alone in (False, True):
                world = self.world()
                called = Called(world, *GRPC, bodied=False)
                trailer = literal(b"grpc-status", b"%d" % status)
                frames = headers(1, FINE + trailer) if alone else headers(1, FINE, end=False) + headers(1, trailer)
                self.accept(world).say(frames)
                self.assertEqual(called.status(), (status, alone))
                self.ended(world, 200, grpc=status)

    def test_none(self) -> None:
        """
        A response without one is passed on as it is, and reported for what it means.
        """
        for http, expected in ((b"200", UNKNOWN), (b"404", UNIMPLEMENTED), (b"503", UNAVAILABLE)):
            world = self.world()
            called = Called(world, *GRPC, bodied=False)
            self.accept(world).say(headers(1, block((b":status", http)), end=False) + data(1, b"<html>", end=True))
            self.assertEqual((called.stream.status, called.stream.body), (int(http), b"<html>"))
            self.assertNotIn(b"grpc-status", called.stream.lines + called.stream.trailers)
            self.ended(world, int(http), grpc=expected)

    def test_not_a_call(self) -> None:
        """
        Other requests have none.
        """
        world = self.world()
        Called(world, bodied=False)
        self.accept(world).say(headers(1, FINE))
        self.ended(world, 200, grpc=-1)

    def refused(self, world: World, called: Called, reason: Reason, status: int, alone: bool = True) -> None:
        """
        The call ended with this status, and the gateway knows why.
        """
        self.assertEqual(called.status(), (status, alone))
        self.assertIs(called.stream.reason, reason)
        self.ended(world, 200, reason, status)

    def test_no_instance(self) -> None:
        """
        There may be no instance.
        """
        world = self.world(instances=0)
        self.refused(world, Called(world, *GRPC), Reason.NO_INSTANCE, UNAVAILABLE)

    def test_no_connection(self) -> None:
        """
        Or none that can be reached.
        """
        for error, reason, status in (
            (ConnectionRefusedError(), Reason.UPSTREAM_REFUSED, UNAVAILABLE),
            (TimeoutError(), Reason.CONNECT_TIMEOUT, DEADLINE_EXCEEDED),
        ):
            world = self.world(instances=2)
            called = Called(world, *GRPC)
            world.instance.refuse(error)
            world.instance.refuse(error)
            self.refused(world, called, reason, status)

    def test_impatient(self) -> None:
        """
        Or not in time.
        """
        world = self.world()
        called = Called(world, *GRPC)
        world.later(3.5)
        world.instance.refuse(TimeoutError())
        self.refused(world, called, Reason.CONNECT_TIMEOUT, DEADLINE_EXCEEDED)

    def test_full(self) -> None:
        """
        Or that has room.
        """
        world = self.world(max_streams=1, h2_connections=1, max_waiting=0)
        busy = Called(world, *GRPC)
        self.assertEqual(busy.status(), (UNAVAILABLE, True))
        self.assertIs(world.records[0].reason, Reason.POOL_FULL)

    def test_reset(self) -> None:
        """
        An instance that breaks off says how that is to be taken, before a head and after one.
        """
        for code, status in (
            (CANCEL, CANCELLED),
            (INTERNAL_ERROR, INTERNAL),
            (ENHANCE_YOUR_CALM, RESOURCE_EXHAUSTED),
            (NO_ERROR, INTERNAL),
        ):
            for begun in (False, True):
                world = self.world()
                called = Called(world, *GRPC, bodied=False)
                wire = self.accept(world)
                if begun:
                    wire.say(headers(1, FINE, end=False) + data(1, b"part"))
                wire.say(reset(1, code))
                reason = Reason.UPSTREAM_TRUNCATED if begun else Reason.UPSTREAM_RESET
                self.refused(world, called, reason, status, not begun)

    def test_lost(self) -> None:
        """
        One whose connection is lost is not there.
        """
        for begun in (False, True):
            world = self.world()
            called = Called(world, *GRPC, bodied=False)
            wire = self.accept(world)
            if begun:
                wire.say(headers(1, FINE, end=False))
            wire.lose(clean=False)
            reason = Reason.UPSTREAM_TRUNCATED if begun else Reason.UPSTREAM_RESET
            self.refused(world, called, reason, UNAVAILABLE, not begun)

    def test_measured(self) -> None:
        """
        A response that said how long it would be is broken off: trailers have no room behind it, and a client that
        keeps its connection would take the next response for the rest. So is one that ends with its connection, and one
        whose client did not say that it reads trailers.
        """
        length = block((b":status", b"200"), (b"content-type", b"application/grpc"), (b"content-length", b"9"))
        for version, section, asked in ((11, length, GRPC), (20, length, GRPC), (10, FINE, GRPC), (11, FINE, GRPC[:1])):
            world = self.world()
            called = Called(world, *asked, bodied=False)
            called.stream.version = called.head.version = version
            wire = self.accept(world)
            wire.say(headers(1, section, end=False) + data(1, b"part"))
            wire.lose(clean=False)
            self.assertEqual((called.stream.ended, called.stream.aborted), (False, True))
            self.assertEqual(called.stream.trailers, b"")
            self.assertEqual(world.records[-1].grpc, UNAVAILABLE)

    def test_malformed(self) -> None:
        """
        One that speaks no HTTP/2, or not for long, is broken.
        """
        for said, alone in (
            (headers(1, literal(b"x-a", b"b")), True),
            (headers(1, FINE, end=False) + headers(1, literal(b"X", b"")), False),
        ):
            world = self.world()
            called = Called(world, *GRPC, bodied=False)
            self.accept(world).say(said)
            self.refused(world, called, Reason.UPSTREAM_MALFORMED, INTERNAL, alone)

    def test_silent(self) -> None:
        """
        One that does not answer takes too long.
        """
        world = self.world(timeouts=Timeouts(response=20))
        called = Called(world, *GRPC, bodied=False)
        wire = self.accept(world)
        world.later(20.5)
        self.assertEqual(self.only(wire).code, CANCEL)
        self.refused(world, called, Reason.UPSTREAM_TIMEOUT, DEADLINE_EXCEEDED)

    def test_quiet(self) -> None:
        """
        One that has begun may be silent for long.
        """
        world = self.world(timeouts=Timeouts(idle=10))
        called = Called(world, *GRPC, bodied=False)
        wire = self.accept(world)
        wire.say(headers(1, FINE, end=False))
        world.later(100)
        self.assertFalse(called.stream.ended)

    def test_incomplete(self) -> None:
        """
        A client that does not finish its request is told so where it still listens.
        """
        world = self.world()
        called = Called(world, *GRPC)
        wire = self.accept(world)
        wire.say(headers(1, FINE, end=False))
        called.made.body_failed(Reason.REQUEST_TIMEOUT)
        self.assertEqual(self.only(wire).code, CANCEL)
        self.refused(world, called, Reason.REQUEST_TIMEOUT, DEADLINE_EXCEEDED, False)


class DeadlineTests(_Http2Mixin):
    """
    Tests for calls that may take only so long: G12.
    """

    def test_passes(self) -> None:
        """
        A call ends at its deadline wherever it is: before there is a connection, before a head, after one.
        """
        for stage in range(3):
            world = self.world()
            called = Called(world, *GRPC, (b"grpc-timeout", b"2S"), bodied=False)
            if stage:
                wire = self.accept(world)
            if stage == 2:
                wire.say(headers(1, FINE, end=False))
            world.later(1.75)
            self.assertFalse(called.stream.ended)
            world.later(0.5)
            self.assertEqual(called.status(), (DEADLINE_EXCEEDED, stage < 2))
            if stage:
                self.assertEqual(self.only(wire).code, CANCEL)
            else:
                self.assertEqual(self.requests(self.accept(world)), {})
            self.ended(world, 200, Reason.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED)

    def test_short(self) -> None:
        """
        One that is shorter than a sweep is kept to.
        """
        world = self.world()
        called = Called(world, *GRPC, (b"grpc-timeout", b"60m"), bodied=False)
        world.reactor.advance(0.07)
        self.assertEqual(called.status(), (DEADLINE_EXCEEDED, True))

    def test_in_time(self) -> None:
        """
        A call that ends in time is watched no more.
        """
        world = self.world()
        called = Called(world, *GRPC, (b"grpc-timeout", b"2S"), bodied=False)
        self.accept(world).say(headers(1, FINE + literal(b"grpc-status", b"0")))
        self.ended(world, 200, grpc=OK)
        world.later(3)
        self.assertEqual(called.status(), (OK, True))
        self.assertEqual(len(world.records), 1)

    def test_over_already(self) -> None:
        """
        One that has no time is not begun.
        """
        world = self.world()
        called = Called(world, *GRPC, (b"grpc-timeout", b"0n"))
        self.assertIsNone(called.exchange)
        self.assertEqual((called.status(), world.instance.attempts), ((DEADLINE_EXCEEDED, True), 0))
        self.ended(world, 200, Reason.DEADLINE_EXCEEDED, DEADLINE_EXCEEDED)

    def test_malformed(self) -> None:
        """
        What is no time is refused.
        """
        for value in (b"", b"5", b"S", b"-5S", b"123456789S", b"5s", b"5 S", b"1.5S"):
            world = self.world()
            called = Called(world, *GRPC, (b"grpc-timeout", value))
            self.assertIsNone(called.exchange)
            self.assertEqual(called.status(), (INTERNAL, True))
            self.ended(world, 200, Reason.MALFORMED_REQUEST, INTERNAL)

    def told(self, called_with: bytes, age: float = 0.0, **timeouts: float) -> float | None:
        """
        The time that an instance is told is left, in seconds.
        """
        world = self.world(timeouts=Timeouts(**timeouts))
        fields = ((b"grpc-timeout", called_with),) if called_with else ()
        Called(world, *GRPC, *fields, age=age)
        value = self.only(self.accept(world)).get(b"grpc-timeout")
        return None if value is None else parse_timeout(value)

    def test_less_is_left(self) -> None:
        """
        An instance is told what is left, once, and not what the client said.
        """
        told = self.told(b"10S", age=4.0)
        assert told is not None
        self.assertTrue(4.0 < told <= 6.0, told)
        self.assertIsNone(self.told(b""))

    def test_service(self) -> None:
        """
        A service may allow less than the client, or a time where the client says none.
        """
        for asked, most, expected in ((b"10S", 5.0, 5.0), (b"3S", 5.0, 3.0), (b"", 5.0, 5.0), (b"3S", 0.0, 3.0)):
            told = self.told(asked, deadline=most)
            assert told is not None
            self.assertTrue(expected - 2 < told <= expected, (asked, told))

    def test_service_ends_it(self) -> None:
        """
        That ends calls as well.
        """
        world = self.world(timeouts=Timeouts(deadline=2.0))
        called = Called(world, *GRPC, bodied=False)
        self.accept(world)
        world.later(2.5)
        self.assertEqual(called.status(), (DEADLINE_EXCEEDED, True))

    def test_told_again(self) -> None:
        """
        An instance that gets a call second is told what is left then.
        """
        world = self.world(instances=2)
        Called(world, *GRPC, (b"grpc-timeout", b"10S"), age=3.0)
        first = self.accept(world)
        first.say(reset(1, REFUSED_STREAM))
        second = self.accept(world)
        values = [self.only(wire).get(b"grpc-timeout") or b"" for wire in (first, second)]
        times = [parse_timeout(value) for value in values]
        self.assertLess(times[1], times[0])

    def test_unhurried(self) -> None:
        """
        A call that has a deadline has that, and no other limit.
        """
        world = self.world(timeouts=Timeouts(response=5, idle=5))
        called = Called(world, *GRPC, (b"grpc-timeout", b"1M"), bodied=False)
        wire = self.accept(world)
        world.later(30)
        self.assertFalse(called.stream.ended)
        wire.say(headers(1, FINE, end=False))
        world.later(20)
        self.assertFalse(called.stream.ended)

    def test_no_calls_there(self) -> None:
        """
        Over HTTP/1.1 there are no calls: what a client says of its request there takes no limit off the request, nor
        off its response.
        """
        for world, silent in ((self.world(), True), (World(timeouts=Timeouts(response=5)), False)):
            called = Called(world, *GRPC, (b"grpc-timeout", b"1M"))
            if silent:
                self.accept(world)
            else:
                world.instance.accept()
            self.assertEqual(called.stream.body_rests, silent)
            called.made.body_finished(b"")
            world.later(6)
            self.assertEqual(called.stream.ended, not silent)
        plain = Called(self.world())
        self.assertFalse(plain.stream.body_rests)

    def test_not_a_call(self) -> None:
        """
        Of other requests the field is none of the gateway's business.
        """
        world = self.world(timeouts=Timeouts(deadline=2.0))
        called = Called(world, (b"grpc-timeout", b"1S"), bodied=False)
        wire = self.accept(world)
        self.assertEqual(self.only(wire).get(b"grpc-timeout"), b"1S")
        world.later(5)
        self.assertFalse(called.stream.ended)

    def test_nobody_looks(self) -> None:
        """
        Without anybody to look after it, a deadline is left to the two ends.
        """
        world = self.world()
        world.context.deadlines = None
        called = Called(world, *GRPC, (b"grpc-timeout", b"1S"), bodied=False)
        wire = self.accept(world)
        world.later(5)
        self.assertFalse(called.stream.ended)
        wire.say(headers(1, FINE))
        self.assertTrue(called.stream.ended)


class AnyTests(_Http2Mixin):
    """
    Property tests.
    """

    @properties
    @given(st.data())
    def test_any(self, source: st.DataObject) -> None:
        """
        Whatever happens, every call ends once, everything is given back, and no instance takes a part of a body for all
        of it.
        """
        draw = source.draw
        world = self.world(instances=2, max_streams=2, h2_connections=1, timeouts=Timeouts(response=5, idle=5))
        calls: list[Called] = []
        bodies: dict[int, bytes] = {}
        complete: set[int] = set()
        gone: set[int] = set()
        for _ in range(draw(st.integers(1, 25))):
            what = draw(st.integers(0, 10))
            if what <= 1 or not calls:
                grpc = draw(st.sampled_from(((), GRPC, (*GRPC, (b"grpc-timeout", b"3125m")))))
                calls.append(Called(world, *grpc))
                bodies[len(calls) - 1] = b""
            index = draw(st.integers(0, len(calls) - 1))
            called = calls[index]
            over = called.stream.ended or called.stream.aborted or index in gone or index in complete
            if what == 2 and not over:
                body = b"%d." % index * draw(st.sampled_from((1, 5000)))
                bodies[index] += body
                called.made.body_received(body)
            elif what == 3 and not over:
                complete.add(index)
                called.made.body_finished(b"")
            elif what == 4 and index not in gone and not called.stream.ended:
                gone.add(index)
                called.made.client_gone()
            elif what == 5 and world.instance.attempts:
                self.accept(world, (MAX_CONCURRENT_STREAMS, draw(st.sampled_from((1, 100)))))
            elif what == 6 and world.instance.attempts:
                world.instance.refuse(ConnectionRefusedError())
            elif what == 7:
                world.later(draw(st.sampled_from((0.25, 3.5))))
            elif world.wires:
                self.say(draw, draw(st.sampled_from(world.wires)))
        self.finish(world, calls, gone)
        for wire in world.wires:
            for request in self.requests(wire).values():
                if request.ended:
                    self.assertIn(request.body, [bodies[index] for index in complete])

    def say(self, draw: Any, wire: FakeWire) -> None:
        """
        An instance does something.
        """
        streams: Any = wire._protocol._connection.streams
        if wire.transport.half_closed or wire.lost:
            return
        if not streams or draw(st.integers(0, 5)) == 0:
            wire.say(draw(st.sampled_from((goaway(1), goaway(LARGEST_STREAM), settings()))))
            return
        number = draw(st.sampled_from(sorted(streams)))
        wire.say(
            draw(
                st.sampled_from(
                    (
                        headers(number, FINE),
                        headers(number, FINE, end=False) + data(number, b"x", end=True),
                        reset(number, REFUSED_STREAM),
                        reset(number, INTERNAL_ERROR),
                        headers(number, literal(b"X", b"")),
                    )
                )
            )
        )

    def finish(self, world: World, calls: list[Called], gone: set[int]) -> None:
        """
        All clients go, and nothing is left.
        """
        for index, called in enumerate(calls):
            if index not in gone and not called.stream.ended:
                called.made.client_gone()
        world.instance.settle()
        self.assertEqual((world.balance, len(world.records)), ((0, 0), len(calls)))
        for endpoint in world.service.endpoints:
            pool: Any = endpoint.pool
            if pool is not None:
                self.assertEqual(sum(connection.load for connection in pool._all()), 0)
                pool.close()
        while world.instance.attempts:
            world.instance.refuse(ConnectionRefusedError())
        for wire in world.wires:
            wire.lose()
        self.assertEqual(world.deadlines._members, set())
