"""
Tests for L{siger.proxy.exchange}, L{siger.proxy.responder} and L{siger.proxy.tunnel}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.services import ServiceSettings, Timeouts
from siger.errors import Reason
from siger.http.request_parser import RequestParser
from siger.proxy.exchanges import make_exchange
from tests.http.fakes import FakeStream
from tests.http.generators import properties
from tests.proxy.instance import FakeWire
from tests.proxy.test_websocket import ACCEPT, KEY
from tests.proxy.world import ID, Record, World

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\n\r\n"
)


class TunnelStream(FakeStream):
    """
    A stream that can be upgraded.

    @ivar early: what the client sent behind its handshake.
    """

    def __init__(self) -> None:
        super().__init__()
        self.early = b""
        self.upgraded: bytes | None = None

    def upgrade(self, lines: bytes) -> bytes:
        """
        Note it; what comes now is a body.
        """
        self.upgraded = lines
        self.status = 101
        return self.early


class Asked:
    """
    A request that was begun: its exchange, if that has not ended at once, and its stream.

    @ivar body_open: more of its body may come.
    """

    def __init__(
        self,
        world: World,
        method: bytes = b"GET",
        *lines: bytes,
        settings: ServiceSettings | None = None,
        stream: FakeStream | None = None,
    ) -> None:
        parser = RequestParser()
        head = parser.head(
            method + b" /services/echo/x HTTP/1.1", parser.fields(b"\r\n".join((b"Host: a.test", *lines)))
        )
        self.stream = stream or FakeStream()
        self.stream.request_id = ID
        self.body_open = bool(head.fields.chunked or head.fields.content_length)
        self.made = make_exchange(world.context, world.arrival(head, self.stream, settings))
        self.exchange = self.made.begin()


class _ExchangeMixin(SynchronousTestCase):
    """
    What most tests here need and assert.
    """

    def ended(self, world: World, status: int, reason: Reason | None = None, count: int = 1) -> Record:
        """
        Everything was given back, and the last of so many requests was reported so.
        """
        world.instance.settle()
        self.assertEqual(world.balance, (0, 0))
        self.assertEqual(len(world.records), count)
        record = world.records[-1]
        self.assertEqual((record.status, record.reason), (status, reason))
        return record

    def refused(self, world: World, asked: Asked, reason: Reason) -> Record:
        """
        The client was told why.
        """
        self.assertEqual((asked.stream.status, asked.stream.ended), (reason.status, True))
        self.assertEqual(asked.stream.fields()["x-request-id"], [ID.decode()])
        self.assertIn(reason.code.encode(), asked.stream.body)
        self.assertIs(asked.stream.reason, reason)
        return self.ended(world, reason.status, reason)

    def aborted(self, world: World, asked: Asked, reason: Reason) -> Record:
        """
        The response was broken off.
        """
        self.assertEqual((asked.stream.status, asked.stream.ended, asked.stream.aborted), (200, False, True))
        return self.ended(world, 200, reason)

    def warm(self, world: World) -> FakeWire:
        """
        A connection that has served once and is idle.
        """
        Asked(world)
        wire = world.instance.accept()
        wire.say(NO_CONTENT)
        return wire


class ResponseTests(_ExchangeMixin):
    """
    Tests for requests that are answered.
    """

    def test_get(self) -> None:
        """
        A request goes to an instance, and its response to the client, with the request's id and a date.
        """
        world = World()
        asked = Asked(world, b"GET", b"X-A: b")
        self.assertIs(asked.exchange, asked.made)
        self.assertEqual(world.balance, (1, 1))
        self.assertEqual(repr(asked.made), "<Exchange 0123456789abcdef [no response, 0 attempts]>")
        wire = world.instance.accept()
        self.assertTrue(wire.received.startswith(b"GET /x HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n"))
        self.assertIn(b"\r\nX-Request-ID: 0123456789abcdef\r\n\r\n", wire.received)
        wire.say(OK)
        stream = asked.stream
        self.assertEqual((stream.status, stream.phrase, stream.length, stream.body), (200, b"OK", 5, b"hello"))
        self.assertEqual(stream.events, ["response"])
        self.assertEqual(stream.fields()["x-request-id"], [ID.decode()])
        self.assertEqual(len(stream.fields()["date"]), 1)
        record = self.ended(world, 200)
        self.assertEqual((record.bytes_in, record.bytes_out, record.attempts), (0, 5, 1))
        self.assertEqual((record.instance, record.service, record.client), (b"192.0.2.1:80", "echo", b"192.0.2.7"))
        self.assertEqual((record.method, record.path, record.request_id), (b"GET", b"/services/echo/x", ID))
        self.assertTrue(record.start <= record.first_byte <= record.now)
        self.assertEqual(repr(asked.made), "<Exchange 0123456789abcdef [done, 1 attempts]>")

    def test_own_date(self) -> None:
        """
        An instance's own date is passed on, and no other; so are its fields.
        """
        world = World()
        asked = Asked(world)
        world.instance.accept().say(b"HTTP/1.1 204 x\r\nDate: today\r\nX-A: b\r\n\r\n")
        self.assertEqual(asked.stream.fields(), {"date": ["today"], "x-a": ["b"], "x-request-id": [ID.decode()]})

    def test_reuse(self) -> None:
        """
        The next request takes the connection of the one before, and has ended when that is answered at once.
        """
        world = World()
        wire = self.warm(world)
        asked = Asked(world)
        self.assertEqual(wire.received.count(b"GET /x"), 2)
        self.assertEqual(world.instance.attempts, 0)
        wire.say(OK)
        self.assertEqual(asked.stream.body, b"hello")
        self.ended(world, 200, count=2)

    def test_streamed(self) -> None:
        """
        A response is passed on as it comes, trailers included.
        """
        world = World()
        asked = Asked(world)
        wire = world.instance.accept()
        wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        self.assertEqual((asked.stream.body, asked.stream.length, asked.stream.ended), (b"abc", None, False))
        self.assertEqual(repr(asked.made), "<Exchange 0123456789abcdef [status 200, 1 attempts]>")
        self.assertEqual(world.balance, (1, 1))
        wire.say(b"3\r\ndef\r\n")
        wire.say(b"0\r\nX-T: u\r\n\r\n")
        self.assertEqual((asked.stream.body, asked.stream.trailers), (b"abcdef", b"X-T: u\r\n"))
        self.assertEqual(self.ended(world, 200).bytes_out, 6)
        self.assertFalse(wire.transport.closed)

    def test_until_close(self) -> None:
        """
        So is one that ends with its connection.
        """
        world = World()
        asked = Asked(world)
        wire = world.instance.accept()
        wire.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
        self.assertFalse(asked.stream.ended)
        wire.lose()
        self.assertTrue(asked.stream.ended)
        self.ended(world, 200)

    def test_head(self) -> None:
        """
        A response to HEAD has a length and no body.
        """
        world = World()
        asked = Asked(world, b"HEAD")
        world.instance.accept().say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        self.assertEqual((asked.stream.length, asked.stream.body, asked.stream.ended), (5, b"", True))
        self.ended(world, 200)

    def test_interim(self) -> None:
        """
        Interim responses are passed on without the fields of the instance's connection: C6.
        """
        world = World()
        asked = Asked(world)
        wire = world.instance.accept()
        wire.say(b"HTTP/1.1 103 x\r\nLink: a\r\nConnection: x-b\r\nX-B: c\r\n\r\n" + OK)
        self.assertEqual(asked.stream.interim, [(103, b"Link: a\r\n")])
        self.assertEqual(asked.stream.status, 200)

    def test_instances_in_turn(self) -> None:
        """
        The balancer says who is next.
        """
        world = World(instances=2)
        for _ in range(4):
            Asked(world)
        hosts = [world.instance.accept().host for _ in range(4)]
        self.assertEqual(sorted(hosts), ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"])
        self.assertEqual([endpoint.inflight for endpoint in world.service.endpoints], [2, 2])

    def test_service_settings_for_pool(self) -> None:
        """
        A pool is its service's, whatever settings the route has that needs it first.
        """
        world = World(max_connections=1)
        Asked(world, settings=ServiceSettings(max_connections=5))
        Asked(world, settings=ServiceSettings(max_connections=5))
        self.assertEqual(world.instance.attempts, 1)


class RequestBodyTests(_ExchangeMixin):
    """
    Tests for requests with bodies.
    """

    def test_sent_later(self) -> None:
        """
        A body is passed on as it comes; the instance's time begins at its end.
        """
        world = World()
        self.warm(world)
        asked = Asked(world, b"POST", b"Content-Length: 5")
        wire = world.wires[0]
        asked.made.body_received(b"he")
        asked.made.body_received(b"llo")
        self.assertTrue(wire.received.endswith(b"\r\n\r\nhello"))
        world.later(1000)
        self.assertIsNone(asked.stream.status)
        asked.made.body_finished(b"")
        wire.say(OK)
        self.assertEqual(self.ended(world, 200, count=2).bytes_in, 5)

    def test_chunked(self) -> None:
        """
        A chunked body is passed on in chunks of our own, with its trailers: design rule 1.
        """
        world = World()
        self.warm(world)
        asked = Asked(world, b"POST", b"Transfer-Encoding: chunked")
        asked.made.body_received(b"hello")
        asked.made.body_finished(b"X-T: u\r\n")
        self.assertTrue(world.wires[0].received.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\nX-T: u\r\n\r\n"))

    def test_held(self) -> None:
        """
        While there is no connection the client is not read; what it has sent is held, and goes out in order: C11.
        """
        for lines, sent in (
            ((b"Content-Length: 10",), b"helloworld"),
            ((b"Transfer-Encoding: chunked",), b"5\r\nhello\r\n5\r\nworld\r\n"),
        ):
            world = World()
            asked = Asked(world, b"POST", *lines)
            self.assertTrue(asked.stream.body_paused)
            asked.made.body_received(b"hello")
            asked.made.body_received(b"world")
            wire = world.instance.accept()
            self.assertTrue(wire.received.endswith(b"\r\n\r\n" + sent))
            self.assertFalse(asked.stream.body_paused)

    def test_held_whole(self) -> None:
        """
        If all of it was held, the request is complete as soon as it goes out.
        """
        world = World()
        asked = Asked(world, b"POST", b"Transfer-Encoding: chunked")
        asked.made.body_received(b"hello")
        asked.made.body_finished(b"")
        wire = world.instance.accept()
        self.assertTrue(wire.received.endswith(b"5\r\nhello\r\n0\r\n\r\n"))
        world.later(60.5)
        self.refused(world, asked, Reason.UPSTREAM_TIMEOUT)

    def test_slow_instance(self) -> None:
        """
        An instance that reads slowly holds its client back: C11.
        """
        world = World()
        wire = self.warm(world)
        asked = Asked(world, b"POST", b"Content-Length: 80000")
        wire.transport.stalled = True
        asked.made.body_received(b"x" * 70000)
        self.assertTrue(asked.stream.body_paused)
        wire.transport.flow()
        self.assertFalse(asked.stream.body_paused)

    def test_slow_from_the_beginning(self) -> None:
        """
        Also one that does so from the first byte, when much was held for it: C11.
        """
        world = World()
        asked = Asked(world, b"POST", b"Content-Length: 80000")
        asked.made.body_received(b"x" * 70000)
        wire = world.instance.accept(stalled=True)
        self.assertTrue(asked.stream.body_paused)
        wire.transport.flow()
        self.assertFalse(asked.stream.body_paused)

    def test_slow_before(self) -> None:
        """
        And one that has not even read the request before: C11.
        """
        world = World()
        wire = self.warm(world)
        first = Asked(world, b"POST", b"Content-Length: 70000")
        wire.transport.stalled = True
        first.made.body_received(b"x" * 70000)
        first.made.body_finished(b"")
        wire.say(OK)
        second = Asked(world, b"POST", b"Content-Length: 5")
        self.assertTrue(second.stream.body_paused)
        wire.transport.flow()
        self.assertFalse(second.stream.body_paused)

    def test_early_response(self) -> None:
        """
        A response that overtakes its request is passed on, and the connection is not used again: C7.
        """
        world = World()
        wire = self.warm(world)
        asked = Asked(world, b"POST", b"Content-Length: 5")
        asked.made.body_received(b"he")
        wire.say(OK)
        self.assertEqual((asked.stream.status, asked.stream.ended), (200, True))
        self.assertTrue(wire.transport.aborted)
        self.ended(world, 200, count=2)

    def test_too_large(self) -> None:
        """
        A body whose length is too large is refused before an instance is chosen: A7, F5.
        """
        world = World(max_body=4)
        asked = Asked(world, b"POST", b"Content-Length: 5")
        self.assertIsNone(asked.exchange)
        self.assertEqual(world.instance.attempts, 0)
        record = self.refused(world, asked, Reason.BODY_TOO_LARGE)
        self.assertEqual((record.instance, record.attempts), (b"", 0))

    def test_large_enough(self) -> None:
        """
        One of just the limit is not.
        """
        world = World(max_body=5)
        asked = Asked(world, b"POST", b"Content-Length: 5")
        asked.made.body_received(b"hello")
        asked.made.body_finished(b"")
        world.instance.accept().say(OK)
        self.ended(world, 200)

    def test_becomes_too_large(self) -> None:
        """
        A chunked body that becomes too large is refused then, and the instance never takes it for complete: F5.
        """
        for early in (False, True):
            world = World(max_body=8)
            asked = Asked(world, b"POST", b"Transfer-Encoding: chunked")
            if not early:
                world.instance.accept()
            asked.made.body_received(b"hello")
            asked.made.body_received(b"world")
            self.refused(world, asked, Reason.BODY_TOO_LARGE)
            if early:
                self.assertEqual(world.instance.accept().received, b"")
            else:
                self.assertTrue(world.wires[0].transport.aborted)
                self.assertTrue(world.wires[0].received.endswith(b"5\r\nhello\r\n"))

    def test_becomes_too_large_too_late(self) -> None:
        """
        If the response has begun, it is broken off.
        """
        world = World(max_body=8)
        asked = Asked(world, b"POST", b"Transfer-Encoding: chunked")
        wire = world.instance.accept()
        wire.say(OK[:-3])
        asked.made.body_received(b"helloworld")
        self.aborted(world, asked, Reason.BODY_TOO_LARGE)
        self.assertTrue(wire.transport.aborted)

    def test_failed(self) -> None:
        """
        A body that will never be complete is told to the client, and cut off to the instance: A12.
        """
        for connected in (False, True):
            world = World()
            asked = Asked(world, b"POST", b"Content-Length: 5")
            asked.made.body_received(b"he")
            if connected:
                world.instance.accept()
            asked.made.body_failed(Reason.INCOMPLETE_BODY)
            self.refused(world, asked, Reason.INCOMPLETE_BODY)
            if connected:
                self.assertTrue(world.wires[0].transport.aborted)

    def test_failed_too_late(self) -> None:
        """
        If the response has begun, it is broken off.
        """
        world = World()
        asked = Asked(world, b"POST", b"Content-Length: 5")
        world.instance.accept().say(OK[:-3])
        asked.made.body_failed(Reason.REQUEST_TIMEOUT)
        self.aborted(world, asked, Reason.REQUEST_TIMEOUT)


class FailureTests(_ExchangeMixin):
    """
    Tests for instances that fail.
    """

    def test_no_instance(self) -> None:
        """
        Without an instance the client is told to come again: C9.
        """
        world = World(instances=0)
        asked = Asked(world)
        self.assertIsNone(asked.exchange)
        self.assertEqual(asked.stream.fields()["retry-after"], ["1"])
        record = self.refused(world, asked, Reason.NO_INSTANCE)
        self.assertEqual((record.instance, record.attempts, record.bytes_out), (b"", 0, len(asked.stream.body)))

    def test_malformed(self) -> None:
        """
        A malformed response is a bad gateway; nothing of it is delivered: C1.
        """
        world = World()
        asked = Asked(world)
        world.instance.accept().say(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n")
        record = self.refused(world, asked, Reason.UPSTREAM_MALFORMED)
        self.assertEqual((record.instance, record.bytes_out), (b"192.0.2.1:80", len(asked.stream.body)))

    def test_reset(self) -> None:
        """
        So is a connection that ends without a response.
        """
        world = World()
        asked = Asked(world)
        world.instance.accept().lose(False)
        self.refused(world, asked, Reason.UPSTREAM_RESET)

    def test_no_response(self) -> None:
        """
        An instance that does not answer in time is a gateway timeout: C9.
        """
        world = World(timeouts=Timeouts(response=5))
        asked = Asked(world)
        world.instance.accept()
        world.later(5.5)
        self.refused(world, asked, Reason.UPSTREAM_TIMEOUT)

    def test_truncated(self) -> None:
        """
        A response that ends early is broken off: C2.
        """
        world = World()
        asked = Asked(world)
        wire = world.instance.accept()
        wire.say(OK[:-3])
        wire.lose()
        record = self.aborted(world, asked, Reason.UPSTREAM_TRUNCATED)
        self.assertEqual(record.bytes_out, 2)

    def test_stalled(self) -> None:
        """
        So is one that does not go on: C9.
        """
        world = World(timeouts=Timeouts(idle=5))
        asked = Asked(world)
        world.instance.accept().say(OK[:-3])
        world.later(5.5)
        self.aborted(world, asked, Reason.UPSTREAM_TIMEOUT)

    def test_head(self) -> None:
        """
        A problem in answer to HEAD has no body.
        """
        world = World(instances=0)
        asked = Asked(world, b"HEAD")
        self.assertEqual((asked.stream.status, asked.stream.body), (503, b""))
        self.assertEqual(self.ended(world, 503, Reason.NO_INSTANCE).bytes_out, 0)


class OtherInstanceTests(_ExchangeMixin):
    """
    Tests for trying another instance when one cannot be reached.
    """

    def test_refused(self) -> None:
        """
        If one refuses, another is tried: C8.
        """
        world = World(instances=2)
        asked = Asked(world)
        world.instance.refuse(ConnectionRefusedError())
        self.assertEqual(world.balance, (1, 1))
        wire = world.instance.accept()
        self.assertNotEqual(wire.host, world.reactor.tcpClients[0][0])
        wire.say(OK)
        self.assertEqual(asked.stream.body, b"hello")
        record = self.ended(world, 200)
        self.assertEqual((record.attempts, record.instance), (2, f"{wire.host}:80".encode()))

    def test_idle_connection_there(self) -> None:
        """
        One with an idle connection is taken at once.
        """
        world = World(instances=2)
        self.warm(world)
        asked = Asked(world)
        world.instance.refuse(TimeoutError())
        world.wires[0].say(OK)
        self.assertEqual(asked.stream.body, b"hello")
        self.ended(world, 200, count=2)

    def test_post(self) -> None:
        """
        Also with a body, and for any method, as no byte was sent; what was held goes to the other: C8.
        """
        world = World(instances=2)
        asked = Asked(world, b"POST", b"Content-Length: 5")
        asked.made.body_received(b"hello")
        asked.made.body_finished(b"")
        world.instance.refuse(ConnectionRefusedError())
        wire = world.instance.accept()
        self.assertTrue(wire.received.endswith(b"\r\n\r\nhello"))
        wire.say(OK)
        self.ended(world, 200)

    def test_once(self) -> None:
        """
        No third is tried: C8.
        """
        world = World(instances=3)
        asked = Asked(world)
        world.instance.refuse(ConnectionRefusedError())
        world.instance.refuse(TimeoutError())
        self.assertEqual(world.instance.attempts, 0)
        self.assertEqual(self.refused(world, asked, Reason.CONNECT_TIMEOUT).attempts, 2)

    def test_no_other(self) -> None:
        """
        Where there is no other, the client is told why the one failed.
        """
        world = World()
        asked = Asked(world)
        world.instance.refuse(ConnectionRefusedError())
        self.assertEqual(world.instance.attempts, 0)
        self.assertEqual(self.refused(world, asked, Reason.UPSTREAM_REFUSED).attempts, 1)

    def test_too_late(self) -> None:
        """
        Who cannot be reached in time, as the route says, is given up: C9.
        """
        world = World()
        asked = Asked(world, settings=ServiceSettings(timeouts=Timeouts(connect=1)))
        world.later(1.25)
        self.refused(world, asked, Reason.CONNECT_TIMEOUT)
        world.instance.accept()
        self.ended(world, 504, Reason.CONNECT_TIMEOUT)

    def test_full(self) -> None:
        """
        One that is full is passed over: C13.
        """
        world = World(instances=2, max_connections=1, max_waiting=0)
        for _ in range(2):
            Asked(world)
            world.instance.accept()
        asked = Asked(world)
        self.assertIsNone(asked.exchange)
        self.assertEqual((asked.stream.status, asked.stream.fields()["retry-after"]), (503, ["1"]))
        self.assertEqual((world.records[0].reason, world.records[0].attempts), (Reason.POOL_FULL, 2))

    def test_gone_meanwhile(self) -> None:
        """
        One that leaves discovery while it is waited for is replaced by another.
        """
        world = World(instances=2)
        asked = Asked(world)
        first = next(endpoint for endpoint in world.service.endpoints if endpoint.inflight)
        assert first.pool is not None
        first.pool.close()
        self.assertEqual(world.instance.attempts, 2)
        self.assertEqual((first.inflight, world.balance), (0, (1, 1)))
        self.assertIsNone(asked.stream.status)


class ReplayTests(_ExchangeMixin):
    """
    Tests for sending a request again that a stale connection has swallowed.
    """

    def test_stale(self) -> None:
        """
        A request on a reused connection that ends without a byte is sent again, once, on a new one: C8.
        """
        for method in (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"):
            world = World()
            wire = self.warm(world)
            asked = Asked(world, method)
            wire.lose()
            self.assertEqual(world.balance, (1, 1))
            again = world.instance.accept()
            self.assertTrue(again.received.startswith(method + b" /x"))
            again.say(NO_CONTENT)
            self.assertEqual(asked.stream.status, 204)
            self.assertEqual(self.ended(world, 204, count=2).attempts, 2)

    def test_once(self) -> None:
        """
        If that ends as well, the request has failed: C8.
        """
        world = World()
        first, second = self.warm_two(world)
        asked = Asked(world)
        second.lose()
        first.lose()
        world.instance.accept().lose()
        self.assertEqual(world.instance.attempts, 0)
        self.assertEqual((asked.stream.status, world.records[-1].reason), (502, Reason.UPSTREAM_RESET))
        self.ended(world, 502, Reason.UPSTREAM_RESET, count=3)

    def warm_two(self, world: World) -> tuple[FakeWire, FakeWire]:
        """
        Two idle connections.
        """
        Asked(world)
        Asked(world)
        first, second = world.instance.accept(), world.instance.accept()
        first.say(NO_CONTENT)
        second.say(NO_CONTENT)
        return first, second

    def fails(self, world: World, asked: Asked) -> None:
        """
        The request is not sent again.
        """
        self.assertEqual(world.instance.attempts, 0)
        self.assertEqual(asked.stream.status, 502)
        self.ended(world, 502, Reason.UPSTREAM_RESET, count=2)

    def test_not_idempotent(self) -> None:
        """
        A POST or PATCH is never sent twice: C8.
        """
        for method in (b"POST", b"PATCH"):
            world = World()
            wire = self.warm(world)
            asked = Asked(world, method)
            wire.lose()
            self.fails(world, asked)

    def test_body(self) -> None:
        """
        Nor is a request with a body, of which nothing is kept: C8.
        """
        for finished in (False, True):
            world = World()
            wire = self.warm(world)
            asked = Asked(world, b"PUT", b"Content-Length: 5")
            asked.made.body_received(b"hello")
            if finished:
                asked.made.body_finished(b"")
            wire.lose()
            self.fails(world, asked)

    def test_body_to_come(self) -> None:
        """
        Nor one whose body is still to come.
        """
        world = World()
        wire = self.warm(world)
        asked = Asked(world, b"PUT", b"Content-Length: 5")
        wire.lose()
        self.fails(world, asked)

    def test_byte_came(self) -> None:
        """
        Nor once a byte has come: C8.
        """
        world = World()
        wire = self.warm(world)
        asked = Asked(world)
        wire.say(b"H")
        wire.lose()
        self.fails(world, asked)

    def test_new_connection(self) -> None:
        """
        Nor when the connection was new: the instance may have read it: C8.
        """
        world = World()
        asked = Asked(world)
        world.instance.accept().lose()
        self.assertEqual(world.instance.attempts, 0)
        self.refused(world, asked, Reason.UPSTREAM_RESET)

    def test_after_another_instance(self) -> None:
        """
        Nor when another instance was tried already: either happens, and once.
        """
        world = World(instances=2)
        wire = self.warm(world)
        asked = Asked(world)
        world.instance.refuse(ConnectionRefusedError())
        wire.lose()
        self.fails(world, asked)
        self.assertEqual(world.records[-1].attempts, 2)

    def test_instance_gone(self) -> None:
        """
        If the instance cannot be reached any more, that is said.
        """
        world = World(instances=1)
        wire = self.warm(world)
        asked = Asked(world)
        wire.lose()
        world.instance.refuse(ConnectionRefusedError())
        self.assertEqual(asked.stream.status, 502)
        self.assertEqual(self.ended(world, 502, Reason.UPSTREAM_REFUSED, count=2).attempts, 2)


class ClientTests(_ExchangeMixin):
    """
    Tests for clients that leave, or read slowly.
    """

    def gone(self, world: World, asked: Asked, count: int = 1) -> Record:
        """
        Let the client leave: nothing is sent, and all is given back.
        """
        before = list(asked.stream.events)
        asked.made.client_gone()
        self.assertEqual(asked.stream.events, before)
        asked.made.client_gone()
        return self.ended(world, asked.stream.status or 499, Reason.CLIENT_GONE, count)

    def test_waiting_for_a_connection(self) -> None:
        """
        Who leaves while there is no connection leaves the line; the connection that comes is for others: C12.
        """
        world = World()
        asked = Asked(world)
        self.gone(world, asked)
        wire = world.instance.accept()
        self.assertEqual(wire.received, b"")
        Asked(world)
        self.assertNotEqual(wire.received, b"")

    def test_in_the_body(self) -> None:
        """
        Who leaves in the middle of the body: the instance sees a reset, and no whole request: A12, C12.
        """
        world = World()
        asked = Asked(world, b"POST", b"Transfer-Encoding: chunked")
        wire = world.instance.accept()
        asked.made.body_received(b"hello")
        self.assertEqual(self.gone(world, asked).bytes_in, 5)
        self.assertTrue(wire.transport.aborted)
        self.assertTrue(wire.received.endswith(b"5\r\nhello\r\n"))

    def test_waiting_for_the_response(self) -> None:
        """
        Who leaves before the response: the instance sees a reset: C12.
        """
        world = World()
        asked = Asked(world)
        wire = world.instance.accept()
        record = self.gone(world, asked)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual((record.instance, record.first_byte), (b"192.0.2.1:80", 0.0))

    def test_in_the_response(self) -> None:
        """
        Who leaves in the middle of it: the same: C12.
        """
        world = World()
        asked = Asked(world)
        wire = world.instance.accept()
        wire.say(OK[:-3])
        self.assertEqual(self.gone(world, asked).bytes_out, 2)
        self.assertTrue(wire.transport.aborted)

    def test_waiting_for_a_second_connection(self) -> None:
        """
        Who leaves while the request is to be sent again: nobody sends it.
        """
        world = World()
        wire = self.warm(world)
        asked = Asked(world)
        wire.lose()
        self.gone(world, asked, count=2)
        self.assertEqual(world.instance.accept().received, b"")

    def test_after_the_end(self) -> None:
        """
        Who leaves after the response changes nothing.
        """
        world = World()
        asked = Asked(world)
        world.instance.accept().say(OK)
        asked.made.client_gone()
        asked.made.body_failed(Reason.REQUEST_TIMEOUT)
        self.ended(world, 200)

    def test_slow(self) -> None:
        """
        A client that reads slowly holds its instance back, and is not blamed on it: C11.
        """
        world = World()
        asked = Asked(world)
        wire = world.instance.accept()
        wire.say(OK[:-3])
        asked.made.pause_response()
        self.assertTrue(wire.transport.paused)
        world.later(1000)
        asked.made.resume_response()
        self.assertFalse(wire.transport.paused)
        wire.say(OK[-3:])
        self.ended(world, 200)

    def test_slow_without_a_connection(self) -> None:
        """
        Where there is no connection there is nothing to hold back.
        """
        world = World()
        asked = Asked(world)
        asked.made.pause_response()
        asked.made.resume_response()
        world.instance.accept().say(OK)
        self.ended(world, 200)


class UpgradeTests(_ExchangeMixin):
    """
    Tests for WebSockets.
    """

    def asked(self, world: World, *lines: bytes, **others: Any) -> tuple[Asked, TunnelStream]:
        """
        Ask for one.
        """
        stream = TunnelStream()
        return Asked(world, b"GET", *(lines or HANDSHAKE), stream=stream, **others), stream

    def test_tunnel(self) -> None:
        """
        After the handshake bytes pass as they are, both ways: B5.
        """
        world = World(max_body=3)
        asked, stream = self.asked(world)
        wire = world.instance.accept()
        self.assertTrue(wire.received.endswith(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"))
        wire.say(SWITCH + b"welcome")
        assert stream.upgraded is not None
        self.assertIn(b"Sec-WebSocket-Accept: " + ACCEPT, stream.upgraded)
        asked.made.body_received(b"hello, instance")
        wire.say(b" again")
        self.assertTrue(wire.received.endswith(b"hello, instance"))
        self.assertEqual(stream.body, b"welcome again")
        self.assertEqual(world.balance, (1, 1))
        wire.lose()
        self.assertTrue(stream.ended)
        record = self.ended(world, 101)
        self.assertEqual((record.bytes_in, record.bytes_out), (15, 13))
        self.assertTrue(record.start <= record.first_byte <= record.now)

    def test_early_bytes(self) -> None:
        """
        What the client sent behind its handshake is passed on then, and not before: B7.
        """
        world = World()
        _, stream = self.asked(world)
        stream.early = b"early"
        wire = world.instance.accept()
        self.assertTrue(wire.received.endswith(b"\r\n\r\n"))
        wire.say(SWITCH)
        self.assertTrue(wire.received.endswith(b"\r\n\r\nearly"))

    def test_client_ends(self) -> None:
        """
        When the client has gone, what it sent last still reaches the instance, and that is no failure.
        """
        world = World()
        asked, _ = self.asked(world)
        wire = world.instance.accept()
        wire.say(SWITCH)
        wire.transport.stalled = True
        asked.made.body_received(b"bye")
        asked.made.client_gone()
        self.assertFalse(wire.transport.aborted)
        wire.transport.flow()
        self.assertTrue(wire.transport.closed)
        self.assertTrue(wire.received.endswith(b"bye"))
        self.ended(world, 101)

    def test_client_gone_before(self) -> None:
        """
        Before the handshake is answered it is.
        """
        world = World()
        asked, _ = self.asked(world)
        wire = world.instance.accept()
        asked.made.client_gone()
        self.assertTrue(wire.transport.aborted)
        self.ended(world, 499, Reason.CLIENT_GONE)

    def test_own_connection(self) -> None:
        """
        It gets a connection of its own, though there are others: B4.
        """
        world = World()
        wire = self.warm(world)
        self.asked(world)
        self.assertEqual((world.instance.attempts, wire.received.count(b"GET")), (1, 1))

    def test_own_connection_of_few(self) -> None:
        """
        Also where there may be no more of them: an idle one makes room.
        """
        world = World(max_connections=1)
        wire = self.warm(world)
        self.asked(world)
        world.instance.settle()
        self.assertTrue(wire.lost)
        world.instance.accept().say(SWITCH)
        self.assertEqual(world.balance, (1, 1))

    def test_not_accepted(self) -> None:
        """
        Another response is passed on, and its connection never used again: B4.
        """
        world = World()
        _, stream = self.asked(world)
        wire = world.instance.accept()
        wire.say(OK)
        self.assertEqual((stream.status, stream.body, stream.upgraded), (200, b"hello", None))
        self.assertTrue(wire.transport.aborted)
        self.ended(world, 200)

    def test_wrongly_accepted(self) -> None:
        """
        A 101 to something else is a bad gateway: B6.
        """
        for answer in (SWITCH.replace(ACCEPT, KEY), SWITCH.replace(b"websocket", b"h2c"), b"HTTP/1.1 101 x\r\n\r\n"):
            world = World()
            asked, stream = self.asked(world)
            wire = world.instance.accept()
            wire.say(answer)
            self.assertTrue(wire.transport.aborted)
            self.assertIsNone(stream.upgraded)
            self.refused(world, asked, Reason.UPSTREAM_UPGRADE)

    def test_unasked(self) -> None:
        """
        So is one that nobody asked for: B6.
        """
        for lines in ((), (b"Connection: Upgrade", b"Upgrade: h2c")):
            world = World()
            asked = Asked(world, b"GET", *lines, stream=TunnelStream())
            world.instance.accept().say(SWITCH)
            self.refused(world, asked, Reason.UPSTREAM_UPGRADE)

    def test_stream_without_upgrade(self) -> None:
        """
        And where the client's side cannot be upgraded.
        """
        world = World()
        asked = Asked(world, b"GET", *HANDSHAKE)
        world.instance.accept().say(SWITCH)
        self.refused(world, asked, Reason.UPSTREAM_UPGRADE)

    def test_bad_handshake(self) -> None:
        """
        A handshake that is none is refused here: B3, B5.
        """
        for lines, reason in (
            (HANDSHAKE[:3], Reason.INVALID_UPGRADE),
            ((*HANDSHAKE[:2], HANDSHAKE[3]), Reason.UPGRADE_REQUIRED),
            ((*HANDSHAKE, b"Content-Length: 5"), Reason.INVALID_UPGRADE),
        ):
            world = World()
            asked, _ = self.asked(world, *lines)
            self.assertIsNone(asked.exchange)
            self.assertEqual(world.instance.attempts, 0)
            self.refused(world, asked, reason)

    def test_not_allowed(self) -> None:
        """
        Where the service has no WebSockets the request goes on as a plain one: B1.
        """
        world = World(websocket=False)
        self.asked(world)
        wire = world.instance.accept()
        self.assertNotIn(b"pgrade", wire.received)
        wire.say(OK)
        self.assertFalse(wire.transport.closed)
        self.ended(world, 200)

    def test_other_protocol(self) -> None:
        """
        So does a request for any other upgrade: B1.
        """
        world = World()
        self.asked(world, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: a")
        wire = world.instance.accept()
        self.assertNotIn(b"pgrade", wire.received)
        self.assertNotIn(b"ettings", wire.received)

    def test_not_sent_again(self) -> None:
        """
        A handshake on a connection that was used before is not sent again when that was stale.
        """
        world = World(max_connections=1)
        Asked(world)
        self.asked(world)
        wire = world.instance.accept()
        wire.say(NO_CONTENT)
        self.assertIn(b"Sec-WebSocket-Key", wire.received)
        wire.lose()
        self.assertEqual(world.instance.attempts, 0)
        self.ended(world, 502, Reason.UPSTREAM_RESET, count=2)

    def test_backpressure(self) -> None:
        """
        Either side can hold the other back: C11.
        """
        world = World()
        asked, stream = self.asked(world)
        wire = world.instance.accept()
        wire.say(SWITCH)
        asked.made.pause_response()
        self.assertTrue(wire.transport.paused)
        asked.made.resume_response()
        wire.transport.stalled = True
        asked.made.body_received(b"x" * 70000)
        self.assertTrue(stream.body_paused)
        wire.transport.flow()
        self.assertFalse(stream.body_paused)


CLIENT = ["get", "post", "upload", "websocket", "body", "end of body", "broken body", "client gone", "slow client"]
INSTANCE = [
    "accept",
    "refuse",
    "answer",
    "answer and close",
    "begin",
    "more",
    "switch",
    "garbage",
    "lose",
    "reset",
    "slow",
]


class PropertyTests(SynchronousTestCase):
    """
    Any order of events on several exchanges.
    """

    @properties
    @given(st.lists(st.sampled_from([*CLIENT, *INSTANCE, "wait"]), max_size=40), st.integers(0, 3), st.integers(0, 3))
    def test_any_order(self, steps: list[str], instances: int, pick: int) -> None:
        """
        Whatever happens in whatever order, each request is reported once, and when all is over nothing is in flight.
        """
        world = World(instances=instances, max_connections=2, max_waiting=1, max_body=20)
        asked: list[Asked] = []
        for step in steps:
            self.take(step, world, asked, pick)
            world.instance.settle()
            self.assertGreaterEqual(min(world.balance), 0)
        for one in asked:
            one.made.client_gone()
        world.instance.settle()
        self.assertEqual(world.balance, (0, 0), steps)
        self.assertEqual(len(world.records), len(asked), steps)
        self.assertEqual([endpoint.inflight for endpoint in world.service.endpoints], [0] * instances)
        for one in asked:
            self.assertFalse(one.stream.ended and one.stream.aborted)

    def take(self, step: str, world: World, asked: list[Asked], pick: int) -> None:
        """
        Let one of these happen.
        """
        if step == "wait":
            world.later(2)
        elif step == "get":
            asked.append(Asked(world))
        elif step == "post":
            asked.append(Asked(world, b"PUT", b"Content-Length: 5"))
        elif step == "upload":
            asked.append(Asked(world, b"POST", b"Transfer-Encoding: chunked"))
        elif step == "websocket":
            asked.append(Asked(world, b"GET", *HANDSHAKE, stream=TunnelStream()))
        elif step in CLIENT:
            for one in [one for one in asked if not one.stream.ended and not one.stream.aborted][pick : pick + 1]:
                self.take_client(step, one)
        elif step == "accept" and world.instance.attempts:
            world.instance.accept()
        elif step == "refuse" and world.instance.attempts:
            world.instance.refuse(ConnectionRefusedError())
        else:
            for wire in [wire for wire in world.wires if not wire.lost][-1:]:
                self.take_instance(step, wire)

    def take_client(self, step: str, one: Asked) -> None:
        """
        Let a client do something that a channel would let it do.
        """
        if step == "client gone":
            one.made.client_gone()
            one.stream.aborted = True
        elif step == "slow client":
            one.made.pause_response()
        elif one.body_open:
            if step == "body":
                one.made.body_received(b"x" * 8)
            elif step == "end of body":
                one.made.body_finished(b"")
                one.body_open = False
            elif step == "broken body":
                one.made.body_failed(Reason.INVALID_FRAMING)

    def take_instance(self, step: str, wire: FakeWire) -> None:
        """
        Let an instance do something.
        """
        said = {
            "answer": OK,
            "answer and close": OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"),
            "begin": OK[:-3],
            "more": b"l",
            "switch": SWITCH,
            "garbage": b"\0",
        }
        if step in said:
            wire.say(said[step])
        elif step in ("lose", "reset"):
            wire.lose(step == "lose")
        elif step == "slow" and not wire.transport.closed:
            wire.transport.stalled = not wire.transport.stalled
            if not wire.transport.stalled:
                wire.transport.flow()
