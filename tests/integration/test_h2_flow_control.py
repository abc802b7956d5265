"""
HTTP/2: windows, in both directions (RFC 9113 sections 5.2, 6.1 and 6.9).

That no more than a window is sent is judged by the ledger of every connection; here it is that everything is sent which
has room, and no later than it has.
"""

from __future__ import annotations

import functools
import socket

from tests.integration.flow_case import play
from tests.integration.h2_case import H2TestCase
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import MOST, WINDOW, Code, Key, Kind, data, reset, settings, window_update
from tests.integration.loop_thread import run_in_loop
from tests.integration.recording_backend import Connection, answer
from tests.integration.wire import Request

MIB = 1 << 20
_waiting: list[socket.socket] = []


class UpdateTests(H2TestCase):
    """
    WINDOW_UPDATE frames that are wrong.
    """

    def test_6_9_nothing(self) -> None:
        """
        Section 6.9: an increment of 0 is an error of what it is for, the stream or the connection.
        """
        client = self.connect()
        stream, _ = self.hold(client)
        client.send(window_update(stream, 0))
        self.stream_error(client, stream, Code.PROTOCOL_ERROR)
        client.send(window_update(0, 0))
        self.connection_error(client, Code.PROTOCOL_ERROR)

    def test_6_9_1_too_much(self) -> None:
        """
        Section 6.9.1: so is an increment that takes a window above 2^31-1; one that takes it there is not.
        """
        client = self.connect()
        stream, _ = self.hold(client)
        client.send(window_update(stream, MOST - WINDOW) + window_update(0, MOST - WINDOW))
        self.unharmed(client)
        client.send(window_update(stream, 1))
        self.stream_error(client, stream, Code.FLOW_CONTROL_ERROR)
        client.send(window_update(0, MOST))
        self.connection_error(client, Code.FLOW_CONTROL_ERROR)

    def test_6_9_2_too_much_by_settings(self) -> None:
        """
        Section 6.9.2: a new initial size that takes any stream's window above 2^31-1 is an error of the connection.
        """
        client = self.connect()
        stream, _ = self.hold(client)
        client.send(window_update(stream, 1000))
        client.send(settings((Key.INITIAL_WINDOW_SIZE, MOST - 999)))
        self.connection_error(client, Code.FLOW_CONTROL_ERROR)


class SendingTests(H2TestCase):
    """
    What the gateway sends within the client's windows.
    """

    def body(self, client: H2Client, stream: int, size: int) -> None:
        """
        Exactly so much of the response's body comes.
        """
        found = client.stream(stream)
        client.until(lambda: len(found.body) >= size or found.done)
        self.assertTrue(client.barrier())
        self.assertEqual(len(found.body), size)

    def asked(self, client: H2Client, size: int) -> int:
        """
        A stream on which a response of this size is under way.
        """
        path = b"/size/%d" % size
        self.backend.scripts[path] = play(answer(bytes(size)))
        return client.open(request(path))

    def test_6_9_1_stream(self) -> None:
        """
        Sections 5.2.1 and 6.9.1: a stream's window is used up and no more, and each update is used.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, 10))
        stream = self.asked(client, 100)
        self.body(client, stream, 10)
        for increment, size in ((1, 11), (9, 20), (79, 99)):
            client.send(window_update(stream, increment))
            self.body(client, stream, size)
        self.assertFalse(client.stream(stream).ended)
        client.send(window_update(stream, 1))
        self.assertEqual(len(client.whole(stream).body), 100)

    def test_6_9_1_connection(self) -> None:
        """
        Sections 5.2.1 and 6.9.1: all streams share the connection's window; what one does not need is another's.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, MIB))
        streams = [self.asked(client, 50_000), self.asked(client, 50_000)]

        def total() -> int:
            return sum(len(client.stream(stream).body) for stream in streams)

        client.until(lambda: total() >= WINDOW)
        self.assertTrue(client.barrier())
        self.assertEqual(total(), WINDOW)
        client.send(window_update(0, 100_000 - WINDOW))
        self.assertEqual([len(client.whole(stream).body) for stream in streams], [50_000] * 2)

    def test_6_9_1_ends_without_room(self) -> None:
        """
        Section 6.9.1: empty DATA, and HEADERS, need no window: a response ends as soon as its body has been sent.
        """
        for ending in (b"0\r\n\r\n", b"0\r\nx-sum: 5\r\n\r\n"):
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
            self.backend.scripts[b"/five"] = play(head + b"5\r\nfive!\r\n" + ending)
            client = self.connect((Key.INITIAL_WINDOW_SIZE, 5))
            found = client.whole(client.open(request(b"/five", (b"te", b"trailers"))))
            self.assertEqual((bytes(found.body), found.ended), (b"five!", True))

    def test_6_9_2_no_room_at_first(self) -> None:
        """
        Section 6.9.2: with no window at all, heads are still sent, and bodies as soon as the initial size grows.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, 0))
        stream = self.asked(client, 1000)
        self.assertTrue(client.until(lambda: client.stream(stream).head))
        self.body(client, stream, 0)
        client.send(settings((Key.INITIAL_WINDOW_SIZE, 600)))
        self.body(client, stream, 600)
        client.send(settings((Key.INITIAL_WINDOW_SIZE, 5000)))
        self.assertEqual(len(client.whole(stream).body), 1000)

    def test_6_9_2_negative(self) -> None:
        """
        Section 6.9.2: an initial size that shrinks may take a stream's window below 0, and nothing is sent until it is
        above 0 again; the connection's window stays as it is.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, 1000))
        stream = self.asked(client, 3000)
        self.body(client, stream, 1000)
        client.send(settings((Key.INITIAL_WINDOW_SIZE, 400)))
        for increment, size in ((599, 1000), (1, 1000), (1, 1001), (99, 1100)):
            client.send(window_update(stream, increment))
            self.body(client, stream, size)
        client.send(settings((Key.INITIAL_WINDOW_SIZE, 0)))
        client.send(settings((Key.INITIAL_WINDOW_SIZE, 500)))
        self.body(client, stream, 1200)
        client.send(window_update(stream, 1800))
        self.assertEqual(len(client.whole(stream).body), 3000)
        large = self.asked(client, WINDOW - 3000)
        client.send(window_update(large, WINDOW))
        self.assertEqual(len(client.whole(large).body), WINDOW - 3000)

    def test_6_9_one_stream_stands_still(self) -> None:
        """
        Section 5.2.2: a stream without window does not hold up the others.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, 100))
        still = [self.asked(client, 100_000) for _ in range(20)]
        for stream in still:
            self.body(client, stream, 100)
        self.assertEqual(len(client.whole(self.asked(client, 90)).body), 90)
        client.send(b"".join(map(reset, still)))
        self.assertEqual(len(client.whole(self.asked(client, 80)).body), 80)

    def test_4_2_frame_size(self) -> None:
        """
        Section 4.2: a client that takes larger frames, or none that are larger than the least, gets everything.
        """
        for size in (16384, 20_000, MIB):
            client = self.connect((Key.INITIAL_WINDOW_SIZE, MIB), (Key.MAX_FRAME_SIZE, size))
            client.send(window_update(0, MIB))
            self.assertEqual(len(client.whole(self.asked(client, 300_000)).body), 300_000)


class ReceivingTests(H2TestCase):
    """
    What the gateway allows clients to send.
    """

    def test_6_9_room_is_given_back(self) -> None:
        """
        Section 5.2.2: a client that uploads gets room again, for the stream and the connection, as its body is taken.
        """
        client = self.connect()
        for _ in range(3):
            stream = client.open(request(b"/up", method=b"POST"), end=False)
            client.send_data(stream, bytes(2 * MIB), end=True)
            self.assertEqual(client.whole(stream).status, 200)
        self.assertEqual([one.length for one in self.backend.find(b"/up")], [2 * MIB] * 3)

    def test_6_1_padding_counts(self) -> None:
        """
        Section 6.1: padding counts as content in windows, and room is given back for it, too.
        """
        client = self.connect()
        stream = client.open(request(b"/padded", method=b"POST"), end=False)
        frames = 3 * max(client.room(stream), client.credit) // 257
        for _ in range(frames):
            self.assertTrue(client.until(lambda: client.room(stream) >= 257), f"no room: {client}")
            client.spend(stream, 257)
            client.send(data(stream, b"x", padding=255))
        client.send(data(stream, b"", True))
        self.assertEqual(client.whole(stream).status, 200)
        self.assertEqual(self.completed(b"/padded").length, frames)

    def test_5_2_slow_backend(self) -> None:
        """
        Section 5.2.2: a backend that does not take a body holds back its client, on that stream alone; later it gets
        everything.
        """
        self.backend.scripts[b"/stalled"] = _stall
        client = self.connect()
        stream = client.open(request(b"/stalled", method=b"POST"), end=False)
        self.arrival(b"/stalled")
        sent = self.fill(client, stream)
        other = client.open(request(b"/other", method=b"POST"), end=False)
        client.send_data(other, bytes(300_000), end=True)
        self.assertEqual(client.whole(other).status, 200)
        run_in_loop(_resume(self.backend.open_connections))
        self.assertTrue(client.until(lambda: client.room(stream) > 0), client)
        client.send(data(stream, b"", True))
        self.assertEqual(self.completed(b"/stalled").length, sent)

    def fill(self, client: H2Client, stream: int) -> int:
        """
        Send until there is no room left.
        """
        sent = 0
        while client.until(lambda: client.room(stream) > 0, 0.5):
            size = min(16384, client.room(stream))
            client.spend(stream, size)
            client.send(data(stream, bytes(size)))
            sent += size
            self.assertLess(sent, 32 * MIB, "where is it all?")
        return sent


class TrespassTests(H2TestCase):
    """
    DATA beyond what the gateway allows. It can give nothing on, as it is still connecting to the instance.
    """

    def setUp(self) -> None:
        full = {"instances": [f"127.0.0.1:{_full_queue()}"], "timeouts": {"connect": 20}}
        self.config = {"services": {"full": full}}
        super().setUp()

    def filled(self, client: H2Client) -> int:
        """
        A stream on which there is no room left.
        """
        fields = [(name, value.replace(b"/echo", b"/full")) for name, value in request(method=b"POST")]
        stream = client.open(fields, end=False)
        while room := self.known_room(client, stream):
            client.spend(stream, min(16384, room))
            client.send(data(stream, bytes(min(16384, room))))
            self.assertIsNone(client.stream(stream).code)
            self.assertEqual(client.of(Kind.WINDOW_UPDATE, stream), [], "there is nowhere that it could have gone")
        return stream

    def known_room(self, client: H2Client, stream: int) -> int:
        """
        What is left, once the gateway has handled all that was sent.
        """
        self.assertTrue(client.barrier(), client)
        return client.room(stream)

    def test_6_9_1_beyond_a_stream(self) -> None:
        """
        Section 6.9.1: DATA beyond a stream's window is an error, at least of the stream; padding counts.
        """
        for beyond in (b"x", b""):
            client = self.connect()
            stream = self.filled(client)
            self.assertGreater(client.credit, 1, "one stream has taken the connection's whole window")
            client.send(data(stream, b""))
            self.unharmed(client)
            client.send(data(stream, beyond, padding=None if beyond else 0))
            client.until(lambda: client.closed or client.stream(stream).done)  # noqa: B023
            seen = client.goaway if client.closed else client.stream(stream).code
            self.assertEqual(seen, Code.FLOW_CONTROL_ERROR, client)

    def test_6_9_1_beyond_the_connection(self) -> None:
        """
        Section 6.9.1: DATA beyond the connection's window is an error of the connection.
        """
        client = self.connect()
        while client.credit:
            stream = self.filled(client)
        client.send(data(stream, b"x"))
        self.connection_error(client, Code.FLOW_CONTROL_ERROR)


@functools.cache
def _full_queue() -> int:
    """
    A port that nobody can connect to, nor is refused at: its queue is full, for as long as the tests run.
    """
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    _waiting.append(full)
    for _ in range(4):
        dialling = socket.socket()
        dialling.setblocking(False)
        dialling.connect_ex(full.getsockname())
        _waiting.append(dialling)
    port: int = full.getsockname()[1]
    return port


async def _stall(connection: Connection, request: Request) -> None:
    connection.transport.pause_reading()
    await connection.whole(request)
    connection.write(answer())


async def _resume(connections: list[Connection]) -> None:
    for connection in connections:
        connection.transport.resume_reading()
