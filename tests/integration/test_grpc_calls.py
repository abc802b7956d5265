"""
What grpcio clients and servers can do with each other, with the gateway between them and without: the scenarios that
implementations of gRPC try on one another ("gRPC Interop Test Case Descriptions"), and some that gateways get wrong.
"""

from __future__ import annotations

import itertools
import json
import queue
import random
import time
from collections.abc import Iterator
from typing import Any

import grpc
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.grpc_plan import SERVICE, Plan, content
from tests.integration.grpc_web import encode
from tests.integration.grpc_world import (
    PATIENCE,
    GrpcServer,
    Outcome,
    World,
    ask,
    call_names,
    connect,
    eventually,
    outcome,
    streamed,
    world,
)
from tests.integration.h2_client import H2Client
from tests.integration.h2_frames import Key, Kind

OK, CANCELLED, DEADLINE_EXCEEDED, UNIMPLEMENTED, UNAVAILABLE = 0, 1, 4, 12, 14

REQUESTS = (27182, 8, 1828, 45904)
RESPONSES = (31415, 9, 2653, 58979)
"""
The sizes that the published scenarios use.
"""

BINARY = bytes(range(256))
TEXT = "".join(map(chr, range(0x20, 0x7F))).strip()


class Requests:
    """
    Requests that are sent when the test says so.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue()

    def send(self, request: bytes) -> None:
        """
        Send one.
        """
        self._queue.put(request)

    def end(self) -> None:
        """
        Send no more.
        """
        self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        while (request := self._queue.get(timeout=PATIENCE)) is not None:
            yield request


class CallsCase(SynchronousTestCase):
    """
    Calls one way or another.

    @cvar service: the path before the method.
    """

    service = f"/{SERVICE}"
    world: World
    channel: Any

    def setUp(self) -> None:
        self.world = world()
        self.channel = self.open_channel()
        self.call = next(call_names)

    def open_channel(self) -> Any:
        """
        What calls are made on.
        """
        return self.world.channel

    def ask(self, request: Plan | bytes = b"", method: str = "ServerStream", **options: Any) -> Outcome:
        """
        Call with one request, under the name of this test's call.
        """
        metadata = (("x-call", self.call), *options.pop("metadata", ()))
        return ask(self.channel, request, method, options.pop("service", self.service), metadata=metadata, **options)

    def begin(self, requests: Any, method: str = "BidiStream", **options: Any) -> Any:
        """
        Begin a call with a stream of requests, under the name of this test's call.
        """
        return streamed(self.channel, requests, method, self.service, metadata=(("x-call", self.call),), **options)

    def assert_answer(self, got: Outcome, *sizes: int) -> None:
        """
        The call went well, with messages of these sizes.
        """
        self.assertEqual((got.code, got.details), (OK, ""))
        self.assertEqual([len(message) for message in got.messages], list(sizes))
        self.assertEqual(got.messages, [content(size) for size in sizes])

    @property
    def seen(self) -> dict[str, Any]:
        """
        What the server saw of the call.
        """
        return self.world.seen(self.call)

    def assert_cancelled_at_server(self) -> None:
        """
        The server knows that nobody waits any more.
        """
        self.assertTrue(eventually(lambda: self.seen["ended"]))
        self.assertEqual(self.seen["ended"], "cancelled")


class Scenarios:
    """
    The scenarios.
    """

    def test_empty_unary(self: Any) -> None:
        """
        Nothing is asked and nothing answered, by a message all the same.
        """
        got = self.ask(b"", "Empty")
        self.assertEqual((got.code, got.messages), (OK, [b""]))
        self.assertEqual((self.seen["method"], self.seen["ended"]), ("Empty", "finished"))

    def test_large_unary(self: Any) -> None:
        """
        A large request has a large answer.
        """
        self.assert_answer(self.ask(Plan(sizes=[314159]).encode(271828)), 314159)
        self.assertEqual(self.seen["received"], [271828])

    def test_any_size(self: Any) -> None:
        """
        Messages come back as they went, whatever frames and windows their sizes fit.
        """
        random_bytes = random.Random(1)
        for size in (1, 16378, 16379, 16380, 65529, 65530, 65531, 65536, 4 << 20):
            message = random_bytes.randbytes(size)
            got = self.ask(message, "Unary")
            self.assertEqual((got.code, got.messages == [message]), (OK, True), size)

    def test_client_streaming(self: Any) -> None:
        """
        Many requests, one answer: a client of one answer gets it.
        """
        stub = self.channel.stream_unary(f"{self.service}/ClientStream")
        answer = stub(map(content, REQUESTS), timeout=PATIENCE, metadata=(("x-call", self.call),))
        self.assertEqual((json.loads(answer), self.seen["received"]), (list(REQUESTS), list(REQUESTS)))

    def test_server_streaming(self: Any) -> None:
        """
        One request, many answers.
        """
        self.assert_answer(self.ask(Plan(sizes=RESPONSES)), *RESPONSES)

    def test_ping_pong(self: Any) -> None:
        """
        Each request is sent once the answer to the one before it is there, both over one stream.
        """
        requests = Requests()
        call = self.begin(requests)
        answers = []
        for asked, answered in zip((27182, 20, 1828, 45904), RESPONSES, strict=True):
            requests.send(Plan(sizes=[answered]).encode(asked))
            answers.append(next(call))
        requests.end()
        self.assert_answer(outcome(call, answers), *RESPONSES)
        self.assertEqual(self.seen["received"], [27182, 20, 1828, 45904])

    def test_full_duplex(self: Any) -> None:
        """
        A server that answers before it has all requests has a client that reads before it has sent all; and the other
        way round: hundreds of messages cross each other, none lost and all in order.
        """
        sizes = [number * 37 % 5000 for number in range(300)]
        got = outcome(self.begin(Plan(sizes=[size]).encode(size) for size in sizes))
        self.assert_answer(got, *sizes)

    def test_empty_stream(self: Any) -> None:
        """
        Streams without any message, both ways.
        """
        self.assert_answer(outcome(self.begin(())))
        self.assertEqual((self.seen["received"], self.seen["ended"]), ([], "finished"))

    def test_one_by_one(self: Any) -> None:
        """
        Each message of a stream reaches the client before the server goes on to the next: nothing collects them.
        """
        stub = self.channel.unary_stream(f"{self.service}/ServerStream")
        request = Plan(sizes=(5, 50_000, 5), gated=True).encode()
        call = stub(request, timeout=PATIENCE, metadata=(("x-call", self.call),))
        answers = [next(call)]
        for _ in range(2):
            for server in self.world.servers:
                server.let_go(self.call)
            answers.append(next(call))
        self.assert_answer(outcome(call, answers), 5, 50_000, 5)

    def test_cancel_after_begin(self: Any) -> None:
        """
        A call that the client cancels before it has sent anything ends at the server, too.
        """
        call = self.begin(Requests(), "ClientStream")
        self.assertTrue(eventually(self.began))
        call.cancel()
        self.assertEqual(outcome(call).code, CANCELLED)
        self.assert_cancelled_at_server()

    def test_cancel_after_first_response(self: Any) -> None:
        """
        So does one that is cancelled in the middle.
        """
        requests = Requests()
        call = self.begin(requests)
        requests.send(Plan(sizes=[31415, 9], gated=True).encode(27182))
        self.assertEqual(len(next(call)), 31415)
        call.cancel()
        self.assertEqual(outcome(call).code, CANCELLED)
        self.assert_cancelled_at_server()

    def test_timeout_on_sleeping_server(self: Any) -> None:
        """
        A client waits no longer than it said, and the server knows.
        """
        got = self.ask(Plan(sleep=60), timeout=0.3)
        self.assertEqual((got.code, got.messages), (DEADLINE_EXCEEDED, []))
        self.assert_cancelled_at_server()

    def test_timeout_told(self: Any) -> None:
        """
        The server knows how long the client waits; it waits for ever for one that does.
        """
        self.ask(b"", "Empty", timeout=50)
        self.assertTrue(45 < self.seen["remaining"] < 51, self.seen)
        self.call = next(call_names)
        self.ask(b"", "Empty", timeout=None)
        self.assertTrue(self.seen["remaining"] is None or self.seen["remaining"] > 1e6, self.seen)

    def test_metadata_to_server(self: Any) -> None:
        """
        Metadata of a client reaches the server, text and binary; of one name in their order.
        """
        sent = [("x-text", TEXT), ("x-many", "2"), ("x-trace-bin", BINARY), ("x-many", "1"), ("x-many", "2")]
        self.ask(b"", "Empty", metadata=sent)
        seen = self.seen["metadata"]
        self.assertEqual([value for key, value in seen if key == "x-many"], ["2", "1", "2"])
        self.assertIn(["x-text", TEXT], seen)
        self.assertIn(["x-trace-bin", BINARY.decode("latin-1")], seen)

    def test_metadata_to_client(self: Any) -> None:
        """
        Metadata of a server reaches the client, before the messages and after them.
        """
        pairs = [("x-many", "2"), ("x-some-bin", BINARY.decode("latin-1")), ("x-many", "1"), ("x-many", "2")]
        for plan in (Plan(sizes=[3], initial=pairs), Plan(sizes=[3], trailing=pairs), Plan(trailing=pairs)):
            got = self.ask(plan)
            found = got.initial if plan.initial else got.trailing
            self.assertEqual([value for key, value in found if key == "x-many"], ["2", "1", "2"])
            self.assertIn(("x-some-bin", BINARY), found)
            other = got.trailing if plan.initial else got.initial
            self.assertNotIn("x-many", [key for key, _ in other])

    def test_large_metadata(self: Any) -> None:
        """
        Metadata that takes more than one frame passes, there and back, before the messages and after them.
        """
        large = [("x-large", "".join(chr(ord("a") + number % 26) for number in range(20_000)))]
        got = self.ask(Plan(sizes=[3], initial=large, trailing=large), metadata=large)
        self.assert_answer(got, 3)
        self.assertEqual([dict(pairs)["x-large"] for pairs in (got.initial, got.trailing)], [large[0][1]] * 2)
        self.assertEqual(dict(self.seen["metadata"])["x-large"], large[0][1])

    def test_metadata_first(self: Any) -> None:
        """
        Metadata that comes before the messages does not wait for them.
        """
        stub = self.channel.unary_stream(f"{self.service}/ServerStream")
        request = Plan(sleep=60, initial=[("x-here", "1")]).encode()
        call = stub(request, timeout=PATIENCE, metadata=(("x-call", self.call),))
        self.assertIn(("x-here", "1"), [tuple(pair) for pair in call.initial_metadata()])
        call.cancel()
        self.assert_cancelled_at_server()

    def test_status_code_and_message(self: Any) -> None:
        """
        A status and its message come as the server set them, to calls of either kind, after messages and without any.
        """
        for sizes in ((), (3,)):
            plan = Plan(sizes=sizes, code=2, message="test status message", trailing=[("x-why", "because")])
            for got in (self.ask(plan), outcome(self.begin([plan.encode()]))):
                self.assertEqual((got.code, got.details), (2, "test status message"))
                self.assertEqual((len(got.messages), got.values("x-why")), (len(sizes), ["because"]))

    def test_every_status(self: Any) -> None:
        """
        So does every status that there is.
        """
        got = [self.ask(Plan(code=code, message=f"as {code}")) for code in range(1, 17)]
        self.assertEqual([(one.code, one.details) for one in got], [(code, f"as {code}") for code in range(1, 17)])

    def test_special_status_message(self: Any) -> None:
        """
        A message may have line ends and tabs, signs that HTTP has a use for, and characters of any script.
        """
        message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n 100%25 grpc-status: 0, \x00\x7f"
        got = self.ask(Plan(code=2, message=message))
        self.assertEqual((got.code, got.details), (2, message))

    def test_unimplemented_method(self: Any) -> None:
        """
        A method that the server has not.
        """
        got = self.ask(b"", "UnimplementedCall")
        self.assertEqual((got.code, got.details), (UNIMPLEMENTED, "Method not found!"))

    def test_compressed(self: Any) -> None:
        """
        Compressed messages are understood at either end, and messages that are not, among them.
        """
        got = self.ask(Plan(sizes=RESPONSES, compress=True).encode(50_000), compression=grpc.Compression.Gzip)
        self.assert_answer(got, *RESPONSES)
        self.assertEqual(self.seen["received"], [50_000])

    def test_server_ends_first(self: Any) -> None:
        """
        A server may be done while the client is not: the call went well all the same, however much the client sends.
        """
        requests = Requests()
        call = self.begin(requests)
        requests.send(Plan(sizes=[3], last=True).encode())
        self.assert_answer(outcome(call), 3)
        requests.end()
        self.call = next(call_names)
        flood = itertools.chain([Plan(sizes=[3], last=True).encode()], itertools.repeat(bytes(100_000), 300))
        self.assert_answer(outcome(self.begin(flood)), 3)
        self.assertEqual(self.seen["ended"], "finished")

    def test_server_cancels(self: Any) -> None:
        """
        A server may leave a call without an end.
        """
        got = self.ask(Plan(sizes=(10, 10), cancel=True))
        self.assertEqual((got.code, len(got.messages)), (CANCELLED, 2))

    def test_many_at_once(self: Any) -> None:
        """
        Calls over one connection do not wait for each other.
        """
        stub = self.channel.unary_unary(f"{self.service}/ServerStream")
        waiting = [stub.future(Plan(sleep=60).encode(), timeout=PATIENCE) for _ in range(20)]
        calls = [stub.future(Plan(sizes=[size]).encode(), timeout=PATIENCE) for size in range(200)]
        self.assertEqual([call.result() for call in calls], [content(size) for size in range(200)])
        self.assertEqual([call.done() for call in waiting], [False] * 20)
        for call in waiting:
            call.cancel()

    def began(self: Any) -> bool:
        """
        Whether the call has reached a server.
        """
        return any(server.calls(self.call) for server in self.world.servers)


class DirectTests(Scenarios, CallsCase):
    """
    Past the gateway: what fails here is no fault of the gateway's.
    """

    def open_channel(self) -> Any:
        return self.world.servers[0].channel


class RouteTests(Scenarios, CallsCase):
    """
    Through a route for the gRPC service, so that clients need know nothing of a gateway.
    """

    def test_compressed_all_the_way(self) -> None:
        """
        What was compressed stays so: no more bytes pass than there have to.
        """
        got = self.ask(Plan(sizes=[500_000], compress=True).encode(500_000), compression=grpc.Compression.Gzip)
        self.assert_answer(got, 500_000)
        number = dict(got.initial)["x-request-id"]
        line = self.world.gateway.wait_for_access_line(lambda line: line["request_id"] == number)
        self.assertTrue(0 < line["bytes_in"] < 20_000 and 0 < line["bytes_out"] < 20_000, line)

    def test_observed(self) -> None:
        """
        A call has a line in the access log, with the route, the service and the instance.
        """
        got = self.ask(Plan(sizes=[10]))
        number = dict(got.initial)["x-request-id"]
        line = self.world.gateway.wait_for_access_line(lambda line: line["request_id"] == number)
        expected = ("POST", f"/{SERVICE}/ServerStream", 200, "interop", 15, None)
        seen = tuple(line[name] for name in ("method", "path", "status", "service", "bytes_out", "reason"))
        self.assertEqual(seen, expected)
        self.assertIn(line["instance"], [f"127.0.0.1:{server.port}" for server in self.world.servers])


class ServicePathTests(Scenarios, CallsCase):
    """
    By the name of the service in the gateway's configuration, where there is no route.
    """

    service = f"/services/interop/{SERVICE}"

    def test_unimplemented_service(self) -> None:
        """
        A gRPC service that the server has not: it is the server that says so.
        """
        got = self.ask(b"", "UnimplementedCall", service="/services/interop/siger.interop.v2.Test")
        self.assertEqual((got.code, got.details), (UNIMPLEMENTED, "Method not found!"))


class DeathTests(SynchronousTestCase):
    """
    Servers that die.
    """

    def test_in_the_middle(self) -> None:
        """
        A call whose server dies in the middle keeps the messages that came, and ends as one that may be tried again;
        when the server is back, on a connection of its own, calls work as before.
        """
        mortal = GrpcServer("mortal", world().mortal).start()
        self.addCleanup(mortal.kill)
        channel = connect(world().gateway.port)
        self.addCleanup(channel.close)
        call = channel.unary_stream("/siger.interop.v1.Mortal/ServerStream")(
            Plan(sizes=(10, 10), gated=True).encode(), timeout=PATIENCE
        )
        answers = [next(call)]
        mortal.kill()
        got = outcome(call, answers)
        self.assertEqual((got.code, len(got.messages)), (UNAVAILABLE, 1))
        reborn = GrpcServer("reborn", world().mortal).start()
        self.addCleanup(reborn.kill)
        got = ask(channel, Plan(sizes=[10]), service="/siger.interop.v1.Mortal")
        self.assertEqual((got.code, got.values("x-server")), (OK, ["reborn"]))


class MemoryTests(SynchronousTestCase):
    """
    What large messages cost.
    """

    def test_large_message(self) -> None:
        """
        A message of 64 MiB passes, there and back, and hardly any of it is ever in the gateway's memory; a reader who
        is slow holds up the sender.
        """
        gateway = world().gateway
        message = random.Random(2).randbytes(64 << 20)
        self.assertEqual(ask(world().channel, message[: 1 << 20], "Unary").code, OK)
        gateway.forget_peak()
        before = gateway.rss()
        got = ask(world().channel, message, "Unary", timeout=60)
        self.assertEqual((got.code, got.messages == [message]), (OK, True))
        self.assertLess(gateway.peak_rss() - before, 16 << 20)

    def test_slow_reader(self) -> None:
        """
        A client that reads a stream slowly, or not at all for a while, holds up its server rather than fill the
        gateway, and other calls of its connection go on.
        """
        gateway = world().gateway
        call = world().channel.unary_stream(f"/{SERVICE}/ServerStream")(
            Plan(sizes=[1 << 20] * 100).encode(), timeout=60
        )
        gateway.forget_peak()
        before = gateway.rss()
        got = [len(next(call))]
        for _ in range(20):
            self.assertEqual(ask(world().channel, b"x" * 1000, "Unary").code, OK)
        got += map(len, call)
        self.assertEqual(got, [1 << 20] * 100)
        self.assertLess(gateway.peak_rss() - before, 16 << 20)

    def test_stalled_readers(self) -> None:
        """
        A client with many streams of which it takes nothing holds up nobody else, although their calls share one
        connection to the server. What waits for it stays small.
        """
        gateway = world().gateway
        gateway.forget_peak()
        before = gateway.rss()
        stalled = H2Client(gateway.port)
        self.addCleanup(stalled.close)
        stalled.start((Key.INITIAL_WINDOW_SIZE, 0))
        path = b"/siger.interop.v1.Single/ServerStream"
        start = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"gw.test"), (b":path", path)]
        request = encode(Plan(sizes=[1 << 20] * 20).encode())
        for _ in range(60):
            fields = [*start, (b"content-type", b"application/grpc"), (b"te", b"trailers")]
            stalled.send_data(stalled.open(fields, end=False), request, end=True)
        self.assertTrue(stalled.until(lambda: len(stalled.of(Kind.HEADERS)) == 60, 20))
        time.sleep(0.5)  # for all to come that will
        codes = [ask(world().channel, b"x", "Unary", "/siger.interop.v1.Single", timeout=5).code for _ in range(3)]
        self.assertEqual(codes, [OK] * 3)
        self.assertLess(gateway.peak_rss() - before, 40 << 20)
