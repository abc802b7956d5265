"""
HTTP/2: clients that send much which costs them little. Each is stopped, soon and with a word; what it cost in memory
and time is bounded; and meanwhile somebody else is served.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.integration.flow_case import play
from tests.integration.h2_case import H2TestCase
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import (
    MOST,
    Code,
    Flag,
    Key,
    Kind,
    continuation,
    data,
    frame,
    goaway,
    headers,
    integer,
    literal,
    ping,
    priority,
    reset,
    section,
    settings,
    window_update,
)
from tests.integration.h2_peer import PeerSilent
from tests.integration.recording_backend import answer
from tests.integration.test_memory import Watch

__all__ = ["Bystander", "FloodTestCase"]

_BATCH = 1 << 16
_MICROSECOND = 1e-6
_ENOUGH = 3


class Bystander(threading.Thread):
    """
    A client that asks all the time.

    @ivar answered: how often it was answered.
    @ivar failures: what went wrong, in words.
    """

    def __init__(self, port: int) -> None:
        super().__init__(name="bystander", daemon=True)
        self._client = H2Client(port).start()
        self._client.send(window_update(0, 1 << 30))
        self._leaving = threading.Event()
        self.answered = 0
        self.failures: list[str] = []

    def run(self) -> None:
        """
        Ask until it is enough.
        """
        try:
            while not self._leaving.wait(0.005):
                status = self._client.ask(b"/bystander").status
                self.answered += status == 200
                if status != 200:
                    self.failures.append(f"status {status}")
        except PeerSilent as silent:
            self.failures.append(str(silent))

    def leave(self) -> None:
        """
        Stop.
        """
        deadline = time.monotonic() + 10
        while self.answered < _ENOUGH and self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._leaving.set()
        self.join(20)
        self._client.close()
        self.failures += self._client.ledger.faults


class FloodTestCase(H2TestCase):
    """
    A gateway under attack, with somebody else at it.

    @cvar most_memory: MiB by which it may grow.
    """

    config: dict[str, Any] = {
        "limits": {"header_timeout": 1, "body_timeout": 2, "write_timeout": 2, "keepalive_timeout": 4}
    }
    most_memory = 12

    def setUp(self) -> None:
        super().setUp()
        self.unharmed(self.connect())
        self.bystander = Bystander(self.gateway.port)
        self.watch = Watch(self.gateway)
        self.cpu = self.gateway.cpu_seconds()
        self.bystander.start()

    def _finish(self) -> None:
        self.bystander.leave()
        self.assertEqual(self.bystander.failures, [])
        self.assertGreater(self.bystander.answered, _ENOUGH - 1)
        self.assertLess(self.watch.risen, self.most_memory)
        super()._finish()

    def flood(self, client: H2Client, unit: bytes | Callable[[int], bytes], most: int) -> int:
        """
        Send up to C{most} units, one behind the other, until the gateway has had enough.

        @return: how many were sent.
        """
        sent = 0
        deadline = time.monotonic() + 30
        while sent < most and not client.closed and time.monotonic() < deadline:
            batch = bytearray()
            while len(batch) < _BATCH and sent < most:
                batch += unit if isinstance(unit, bytes) else unit(sent)
                sent += 1
            client.send(bytes(batch), 10)
        return sent

    def stopped(self, client: H2Client, frames: int, *codes: Code) -> None:
        """
        The connection was ended for the flood. What the gateway spent on it, and on the bystander meanwhile, is no more
        than some milliseconds, and half of one for each frame.
        """
        self.assertTrue(client.until_closed(), client)
        self.assertIn(client.goaway, codes or (Code.ENHANCE_YOUR_CALM,), client)
        spent = self.gateway.cpu_seconds() - self.cpu
        self.assertLess(spent, 1 + (frames + self.bystander.answered * 10) * 500 * _MICROSECOND)

    def attack(self, unit: bytes | Callable[[int], bytes], most: int = 20_000, deaf: bool = False) -> None:
        """
        A flood on a new connection, with one request under way; it is stopped.

        @param deaf: read nothing of the answers before it is over.
        """
        client = self.connect()
        self.hold(client, end=False)
        client.deaf = deaf
        self.stopped(client, self.flood(client, unit, most))


class ResetTests(FloodTestCase):
    """
    Row G1: requests that are made to be cancelled.
    """

    def test_rapid_reset(self) -> None:
        """
        HEADERS and RST_STREAM, over and over (CVE-2023-44487): few of them become work for the backend, and what does
        is stopped.
        """
        client = self.connect()
        block = literal(request(b"/rapid"))
        number = self.flood(client, lambda at: headers(2 * at + 1, block) + reset(2 * at + 1), 20_000)
        self.stopped(client, 2 * number)
        self.assertLess(len(self.backend.find(b"/rapid")), 1000)
        self.until(lambda: not any(one.busy for one in self.backend.connections if one.requests), "nothing running")

    def test_rapid_reset_of_uploads(self) -> None:
        """
        The same with bodies that have begun, a stream at a time.
        """
        client = self.connect()
        block = literal(request(b"/rapid", method=b"POST"))

        def unit(at: int) -> bytes:
            stream = 2 * at + 1
            return headers(stream, block, end=False) + data(stream, b"x") + reset(stream, Code.NO_ERROR)

        self.stopped(client, 3 * self.flood(client, unit, 5_000))
        self.assertEqual([one for one in self.backend.find(b"/rapid") if one.complete], [])

    def test_reset_of_refused_streams(self) -> None:
        """
        The same above the number of streams that are allowed: to be refused is not free either.
        """
        client = self.connect()
        held = [client.open(request(b"/held/%d" % number, method=b"POST"), end=False) for number in range(100)]
        block, first = literal(request(b"/above")), client.next
        self.assertEqual(len(held), 100)
        sent = self.flood(client, lambda at: headers(first + 2 * at, block), 5_000)
        self.stopped(client, sent, Code.ENHANCE_YOUR_CALM)
        self.assertEqual(self.backend.find(b"/above"), [])

    def test_honest_cancellations(self) -> None:
        """
        A client that cancels one request in ten, as browsers do, is not stopped.
        """
        client = self.connect()
        client.send(window_update(0, 1 << 20))
        for number in range(300):
            stream = client.open(request(b"/browse"))
            if number % 10 == 9:
                client.send(reset(stream))
            else:
                self.assertEqual(client.whole(stream).status, 200)
        self.unharmed(client)


class MadeToResetTests(FloodTestCase):
    """
    Row G2: requests that the gateway is made to reset itself (CVE-2025-8671).
    """

    def made(self, *frames: Callable[[int], bytes], fields: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """
        A thousand streams, on each of which these frames are an error, are more than the gateway takes.
        """
        client = self.connect()
        block = literal(request(b"/made", *fields, method=b"POST"))

        def unit(at: int) -> bytes:
            stream = 2 * at + 1
            return headers(stream, block, end=False) + b"".join(one(stream) for one in frames)

        count = self.flood(client, unit, 1000)
        self.stopped(client, count * (1 + len(frames)))
        resets = len(client.of(Kind.RST_STREAM))
        self.assertLess(resets, 500)
        self.assertLess(len(self.backend.find(b"/made")), 500)
        self.assertEqual([one for one in self.backend.find(b"/made") if one.complete], [])

    def test_window_update_of_nothing(self) -> None:
        """
        WINDOW_UPDATE of 0.
        """
        self.made(lambda stream: window_update(stream, 0))

    def test_window_overflow(self) -> None:
        """
        WINDOW_UPDATE beyond the largest window.
        """
        self.made(lambda stream: window_update(stream, MOST))

    def test_data_behind_the_end(self) -> None:
        """
        DATA behind the end of the request.
        """
        held = {b"/made": _silent}
        self.backend.scripts.update(held)
        client = self.connect()
        block = literal(request(b"/made"))
        count = self.flood(client, lambda at: headers(2 * at + 1, block) + data(2 * at + 1, b"x"), 1000)
        self.stopped(client, 2 * count)
        self.assertLess(len(self.backend.find(b"/made")), 500)

    def test_headers_behind_the_end(self) -> None:
        """
        HEADERS behind the end of the request.
        """
        self.backend.scripts[b"/made"] = _silent
        client = self.connect()
        block = literal(request(b"/made"))
        count = self.flood(client, lambda at: headers(2 * at + 1, block) * 2, 1000)
        self.stopped(client, 2 * count)
        self.assertLess(len(self.backend.find(b"/made")), 500)

    def test_priority_of_a_wrong_length(self) -> None:
        """
        PRIORITY of a wrong length.
        """
        self.made(lambda stream: frame(Kind.PRIORITY, 0, stream, bytes(4)))

    def test_priority_on_itself(self) -> None:
        """
        PRIORITY on itself: an error, or nothing, but not for ever.
        """
        self.attack(priority(1, 1), 5000)

    def test_length_mismatch(self) -> None:
        """
        More content than was announced.
        """
        self.made(lambda stream: data(stream, b"12345"), fields=((b"content-length", b"1"),))

    def test_malformed_trailers(self) -> None:
        """
        Trailers that are none.
        """
        block = literal([(b":path", b"/")])
        self.made(lambda stream: headers(stream, block))

    def test_malformed_requests(self) -> None:
        """
        Requests that are malformed from the start.
        """
        client = self.connect()
        block = literal([*request(b"/made"), (b"connection", b"close")])
        sent = self.flood(client, lambda at: headers(2 * at + 1, block), 5000)
        self.stopped(client, sent)
        self.assertEqual(self.backend.find(b"/made"), [])


class BlockTests(FloodTestCase):
    """
    Rows G3 and G4: header blocks that do not end, or unfold.
    """

    def endless(self, piece: bytes, most: int) -> None:
        """
        CONTINUATION of these pieces, without end, is stopped.
        """
        client = self.connect()
        client.send(headers(1, literal(request(b"/endless")), whole=False))
        frames = self.flood(client, continuation(1, piece, whole=False), most)
        self.stopped(client, frames)
        self.assertEqual(self.backend.find(b"/endless"), [])

    def test_empty(self) -> None:
        """
        Empty frames (CVE-2024-27316 and its kin).
        """
        self.endless(b"", 100_000)

    def test_small(self) -> None:
        """
        A field in each.
        """
        self.endless(literal([(b"x-more", b"1")]), 100_000)

    def test_large(self) -> None:
        """
        As much as a frame holds in each.
        """
        self.endless(literal([(b"x-large", b"x" * 16_000)]), 5_000)

    def test_trailers_without_end(self) -> None:
        """
        The same in trailers.
        """
        client = self.connect()
        self.hold(client, b"/endless", end=False)
        client.send(headers(1, literal([(b"x-sum", b"1")]), whole=False))
        self.stopped(client, self.flood(client, continuation(1, b"", whole=False), 100_000))
        self.assertFalse(self.arrival(b"/endless").complete)

    def bomb(self, path: bytes, block: bytes, requests: int = 50) -> None:
        """
        Many requests with this block: each is refused, or all are, and none reaches the backend.
        """
        client = self.connect()
        for number in range(requests):
            client.send(section(2 * number + 1, literal(request(path)) + block))
            client.until(lambda: client.closed or client.stream(2 * number + 1).done)  # noqa: B023
            if client.closed:
                break
            found = client.stream(2 * number + 1)
            self.assertIn(found.status if found.code is None else found.code, (431, 400, Code.ENHANCE_YOUR_CALM, 1))
        self.assertIn(client.goaway, (None, Code.ENHANCE_YOUR_CALM, Code.COMPRESSION_ERROR))
        self.assertEqual(self.backend.find(path), [])

    def test_bomb(self) -> None:
        """
        One large entry in the table, and thousands of references to it, a byte each (CVE-2016-6581).
        """
        entry = literal([(b"x-bomb", b"b" * 4000)], 0x40)
        self.bomb(b"/bomb", entry + b"\xbe" * 10_000)

    def test_many_fields(self) -> None:
        """
        Thousands of fields that are small.
        """
        self.bomb(b"/many", literal([(b"a", b"")], 0x40) + b"\xbe" * 10_000)

    def test_many_crumbs(self) -> None:
        """
        Thousands of cookies, which would be joined.
        """
        self.bomb(b"/crumbs", literal([(b"cookie", b"a=1")], 0x40) + b"\xbe" * 10_000)

    def test_huffman(self) -> None:
        """
        Section 10.5.1: what is short when it is coded and long when it is not.
        """
        digits = 45_000 * b"\0"  # of five bits, each a 0
        self.bomb(b"/coded", b"\0\5x-old" + integer(len(digits), 0x80, 7) + digits, 20)

    def test_large_but_right(self) -> None:
        """
        A request that is as large as it may be is served, in several frames.
        """
        client = self.connect()
        fields = [(b"x-large-%d" % number, b"v" * 5000) for number in range(8)]
        block = literal(request(b"/large", *fields))
        client.send(section(1, block))
        self.assertEqual(client.whole(1).status, 200)


class CheapFrameTests(FloodTestCase):
    """
    Row G5: frames that carry nothing (CVE-2019-9511 to 9518).
    """

    def test_ping(self) -> None:
        """
        PING, from a client that reads the answers and from one that does not.
        """
        self.attack(ping())
        self.attack(ping(), deaf=True)

    def test_settings(self) -> None:
        """
        SETTINGS, empty, full of parameters, and changing windows.
        """
        self.attack(settings())
        self.attack(settings(), deaf=True)
        self.attack(settings(*[(0xFFF0, 1)] * 2000), 2000)
        self.attack(lambda at: settings((Key.INITIAL_WINDOW_SIZE, at % 2 * 1000)))

    def test_acknowledgements(self) -> None:
        """
        Acknowledgements that nobody waits for.
        """
        self.attack(settings(ack=True))
        self.attack(ping(ack=True))

    def test_priority(self) -> None:
        """
        PRIORITY, of the stream that runs and of all that there might be.
        """
        self.attack(priority(1, 3))
        self.attack(lambda at: priority(2 * at + 5, 0))

    def test_window_update(self) -> None:
        """
        WINDOW_UPDATE, of the connection, of a stream that runs, and of one that is over.
        """
        self.attack(window_update(0, 1))
        self.attack(window_update(1, 1))
        client = self.connect()
        self.unharmed(client)
        self.stopped(client, self.flood(client, window_update(1, 1), 20_000))

    def test_empty_data(self) -> None:
        """
        DATA without content, bare or padded.
        """
        self.attack(data(1, b""))
        self.attack(data(1, b"", padding=0), 20_000)

    def test_reset_of_what_is_over(self) -> None:
        """
        RST_STREAM on a stream that is over.
        """
        client = self.connect()
        self.unharmed(client)
        self.stopped(client, self.flood(client, reset(1), 20_000))

    def test_unknown_frames(self) -> None:
        """
        Frames of unknown types, and GOAWAY.
        """
        self.attack(frame(0xEE, 0, 0))
        self.attack(frame(0xEE, Flag.NONE, 1, bytes(100)))
        self.attack(goaway(0))

    def test_honest_updates(self) -> None:
        """
        A client that updates both windows for each frame that it gets, and pings now and then, is not stopped.
        """
        size = 4 << 20
        self.backend.scripts[b"/large"] = play(answer(bytes(size)))
        client = self.connect()
        stream = client.open(request(b"/large"))
        found, taken = client.stream(stream), 0
        while client.until(lambda: len(found.body) > taken or found.done) and not found.done:  # noqa: B023
            more, taken = len(found.body) - taken, len(found.body)
            client.send(window_update(0, more) + window_update(stream, more) + ping() * (taken % 16 == 0))
        self.assertEqual((len(found.body), found.ended), (size, True), client)
        self.unharmed(client)

    def test_honest_calls(self) -> None:
        """
        Neither is one that keeps a stream open and sends and gets a little at a time, as a call of gRPC does.
        """
        client = self.connect()
        stream, _ = self.hold(client, b"/call", end=False)
        for _ in range(3000):
            client.send(data(stream, b"a message"))
        self.assertTrue(client.barrier())
        client.send(data(stream, b"", True))
        self.assertEqual(self.completed(b"/call").length, 27_000)
        self.unharmed(client)


async def _silent(connection: Any, request: Any) -> None:
    """
    Answer nothing.
    """
