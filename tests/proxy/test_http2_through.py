"""
Tests of HTTP/2 all the way through: a client and an instance of somebody else's implementation, and what is between
them, in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.h2.constants import (
    CANCEL,
    INITIAL_WINDOW_SIZE,
    INTERNAL_ERROR,
    MAX_FRAME_SIZE,
    REFUSED_STREAM,
)
from siger.http.problem import send_problem
from siger.http.request import RequestHead
from siger.http.stream import Exchange, Stream
from siger.proxy.exchanges import make_exchange
from tests.http.generators import pieces, properties, splits
from tests.http.h2.client import LibraryClient, Response
from tests.http.h2.peer import hear, library
from tests.proxy.instance import FakeWire
from tests.proxy.world import ID, World

GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


class Between:
    """
    The gateway's application: one service.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, head: RequestHead, stream: Stream) -> Exchange | None:
        """
        See L{siger.http.stream.Application}.
        """
        world = self._world
        stream.request_id = ID
        stream.grpc = bool(head.fields.grpc)
        return make_exchange(world.context, world.arrival(head, stream, target=head.path)).begin()

    def refuse(self, stream: Stream, reason: Reason, detail: str) -> None:
        """
        See L{siger.http.stream.Application}.
        """
        send_problem(stream, b"GET", reason, b"", detail)


class Echo:
    """
    An instance that sends back what it gets, trailers too, as far as it may.
    """

    def __init__(self, wire: FakeWire, values: dict[int, int], lengths: Sequence[int]) -> None:
        self._wire = wire
        self._lengths = lengths
        self._seen = 0
        self.reading = True
        self.waiting: dict[int, bytes] = {}
        self.ends: dict[int, list[tuple[bytes, bytes]] | None] = {}
        self.requests: dict[int, list[tuple[bytes, bytes]]] = {}
        self.resets: dict[int, int] = {}
        self.unread: list[tuple[int, int]] = []
        self.peer = library(False, values)
        self.talk()

    def talk(self) -> bool:
        """
        Say and hear.

        @return: whether there was anything.
        """
        said = self.peer.data_to_send()
        for piece in pieces(said, list(self._lengths)):
            self._wire.say(piece)
        received = self._wire.received
        heard, self._seen = received[self._seen :], len(received)
        for event in hear(self.peer, heard):
            self._note(event)
        self._send()
        return bool(said or heard)

    def _note(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.requests[event.stream_id] = [*event.headers]
            self.waiting[event.stream_id] = b""
            self.peer.send_headers(event.stream_id, [(b":status", b"200"), *GRPC[:1]])
        elif isinstance(event, h2.events.DataReceived):
            self.waiting[event.stream_id] += event.data
            self.unread.append((event.flow_controlled_length, event.stream_id))
            self.read()
        elif isinstance(event, h2.events.TrailersReceived):
            self.ends[event.stream_id] = [*event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            self.ends.setdefault(event.stream_id, None)
        elif isinstance(event, h2.events.StreamReset):
            self.resets[event.stream_id] = int(event.error_code)
            self.waiting.pop(event.stream_id, None)
            self.ends.pop(event.stream_id, None)

    def read(self) -> None:
        """
        Give credit, if it reads.
        """
        while self.reading and self.unread:
            size, number = self.unread.pop()
            if size and number not in self.resets:
                self.peer.acknowledge_received_data(size, number)

    def _send(self) -> None:
        for number, body in list(self.waiting.items()):
            room = min(self.peer.local_flow_control_window(number), self.peer.max_outbound_frame_size, len(body))
            if room > 0:
                self.peer.send_data(number, body[:room])
                self.waiting[number] = body[room:]
            if not self.waiting[number] and number in self.ends:
                trailers = self.ends.pop(number)
                del self.waiting[number]
                self.peer.send_headers(number, [(b"grpc-status", b"0"), *(trailers or [])], end_stream=True)


class Through:
    """
    The two ends and what is between them.
    """

    def __init__(
        self, values: dict[int, int], instance_values: dict[int, int], lengths: Sequence[int], **settings: Any
    ) -> None:
        self.world = World(**{"protocol": "h2c", **settings})
        self.client = LibraryClient(values, lengths, application=Between(self.world))
        self._values = instance_values
        self._lengths = lengths
        self.echoes: list[Echo] = []

    def talk(self) -> None:
        """
        Let everybody say and hear everything.
        """
        going = True
        while going:
            self.client.talk()
            while self.world.instance.attempts:
                self.echoes.append(Echo(self.world.instance.accept(), self._values, self._lengths))
            going = sum(echo.talk() for echo in self.echoes) > 0
        self.client.talk()

    def over(self, case: SynchronousTestCase) -> None:
        """
        Nothing is left of any request.
        """
        case.assertEqual(self.world.balance, (0, 0))
        connection = self.client.connection
        case.assertEqual((connection.streams, connection._waiting, connection._held), ({}, {}, 0))
        for wire in self.world.wires:
            upstream = wire._protocol._connection
            case.assertEqual((upstream.streams, upstream.load, upstream._held), ({}, 0, 0))


def pattern(size: int, start: int) -> bytes:
    """
    So many bytes, of which no two pieces look alike.
    """
    return bytes(at * 7 % 251 for at in range(start, start + size))


class ThroughTests(SynchronousTestCase):
    """
    Tests for what comes back.
    """

    def test_call(self) -> None:
        """
        A call goes there and back, piece by piece, and its trailers too.
        """
        through = Through({}, {}, [10000])
        client = through.client
        number = client.ask(*GRPC, (b"my_key", b"v"), method=b"POST", path=b"/a.B/C", end=False)
        through.talk()
        response = client.responses[number]
        self.assertEqual((response.status, response.ended), (200, False))
        for piece in (b"one", b"two"):
            client.send_body(number, piece)
            through.talk()
        self.assertEqual(response.body, b"onetwo")
        client.peer.send_headers(number, [(b"x-t", b"t")], end_stream=True)
        through.talk()
        self.assertEqual((response.trailers, response.ended), ([(b"grpc-status", b"0"), (b"x-t", b"t")], True))
        (request,) = through.echoes[0].requests.values()
        self.assertIn((b"my_key", b"v"), request)
        self.assertIn((b":path", b"/a.B/C"), request)
        through.over(self)

    def test_client_leaves(self) -> None:
        """
        What the client breaks off is broken off there.
        """
        through = Through({}, {}, [10000])
        number = through.client.ask(*GRPC, method=b"POST", end=False)
        through.talk()
        through.client.peer.reset_stream(number, CANCEL)
        through.talk()
        self.assertEqual(list(through.echoes[0].resets.values()), [CANCEL])
        through.over(self)

    def test_instance_breaks_off(self) -> None:
        """
        And what the instance breaks off ends here, with a status where the client reads such.
        """
        for fields, code, expected in (((), INTERNAL_ERROR, INTERNAL_ERROR), (GRPC, INTERNAL_ERROR, None)):
            through = Through({}, {}, [10000])
            number = through.client.ask(*fields, method=b"POST", end=False)
            through.talk()
            through.echoes[0].peer.reset_stream(1, code)
            through.talk()
            response = through.client.responses[number]
            self.assertEqual((response.code in (expected, 0), response.ended), (True, bool(fields)))
            if fields:
                self.assertIn((b"grpc-status", b"13"), response.trailers)
            through.client.wait(2)
            through.talk()
            through.over(self)

    def test_refused_there(self) -> None:
        """
        A request that the instance refuses goes to the other one, and the client sees nothing of it.
        """
        through = Through({}, {}, [10000], instances=2)
        number = through.client.ask(*GRPC, method=b"POST", end=False)
        through.client.send_body(number, b"hello")
        wire = through.world.instance.accept()
        wire.say(bytes.fromhex("000000040000000000"))
        wire.say(bytes.fromhex("00000403000000000100000007"))
        self.assertEqual(REFUSED_STREAM, 7)
        through.talk()
        through.client.send_body(number, b" world", end=True)
        through.talk()
        response = through.client.responses[number]
        self.assertEqual((response.body, response.ended, len(through.echoes)), (b"hello world", True, 1))

    def send_much(self, through: Through, number: int) -> int:
        """
        Send as much as the other side lets.

        @return: how much that was, up to 3 MB.
        """
        client = through.client
        sent = 0
        while sent < 3000000:
            room = min(client.peer.local_flow_control_window(number), 16384)
            if not room:
                return sent
            client.peer.send_data(number, pattern(room, sent))
            sent += room
            through.talk()
        return sent

    def test_slow_instance(self) -> None:
        """
        An instance that reads nothing holds back the client, and nobody else's requests.
        """
        through = Through({}, {}, [65536])
        client = through.client
        number, other = (client.ask(*GRPC, method=b"POST", end=False) for _ in range(2))
        through.talk()
        (echo,) = through.echoes
        echo.peer.increment_flow_control_window(1 << 24)
        echo.reading = False
        sent = self.send_much(through, number)
        self.assertLess(sent, 250000)
        client.send_body(other, b"not held back")
        through.talk()
        self.assertEqual(client.responses[other].body, b"not held back")
        echo.reading = True
        echo.read()
        client.peer.end_stream(number)
        through.talk()
        self.assertEqual(client.responses[number].body, pattern(sent, 0))
        self.assertTrue(client.responses[number].ended)

    def test_slow_client(self) -> None:
        """
        A client that reads nothing holds back the instance, and nobody else's responses.
        """
        through = Through({}, {}, [65536])
        client = through.client
        client.peer.increment_flow_control_window(1 << 24)
        client.reading = False
        number, other = (client.ask(*GRPC, method=b"POST", end=False) for _ in range(2))
        sent = self.send_much(through, number)
        self.assertEqual(sent > 2900000, True)
        (echo,) = through.echoes
        self.assertEqual(len(client.responses[number].body), 65535)
        self.assertGreater(len(echo.waiting[1]), sent - 400000)
        client.send_body(other, b"not held back")
        through.talk()
        self.assertEqual(client.responses[other].body, b"not held back")
        client.peer.end_stream(number)
        while not client.responses[number].ended:
            before = len(client.responses[number].body)
            client.peer.increment_flow_control_window(65535, number)
            through.talk()
            self.assertGreater(len(client.responses[number].body), before)
        self.assertEqual(client.responses[number].body, pattern(sent, 0))

    @properties
    @given(st.data())
    def test_any(self, source: st.DataObject) -> None:
        """
        Whatever windows and frames the two ends have, whoever reads now or later, and in whatever pieces it comes: each
        client gets back what it sent.
        """
        draw = source.draw
        windows = st.sampled_from((40, 1000, 65535, 200000))
        frames = st.sampled_from((16384, 30000))
        through = Through(
            {INITIAL_WINDOW_SIZE: draw(windows), MAX_FRAME_SIZE: draw(frames)},
            # The library does not survive that its window is used before it could say that it has a smaller one.
            {INITIAL_WINDOW_SIZE: draw(st.sampled_from((65535, 200000))), MAX_FRAME_SIZE: draw(frames)},
            draw(splits(5000)),
            max_streams=2,
            h2_connections=2,
        )
        client = through.client
        bodies: dict[int, bytes] = {}
        trailers: dict[int, list[tuple[bytes, bytes]]] = {}
        count = 0
        for _ in range(draw(st.integers(1, 3))):
            bodies[client.ask(*draw(st.sampled_from(((), GRPC))), method=b"POST", end=False)] = b""
        for _ in range(draw(st.integers(0, 12))):
            number = draw(st.sampled_from(sorted(bodies)))
            what = draw(st.integers(0, 5))
            if what <= 2:
                size = draw(st.sampled_from((1, 100, 3000, 16384)))
                size = min(size, client.peer.local_flow_control_window(number), client.peer.max_outbound_frame_size)
                if size > 0:
                    body = pattern(size, count)
                    count += size
                    bodies[number] += body
                    client.send_body(number, body)
            elif what == 3:
                client.reading = not client.reading
            elif what == 4:
                for echo in through.echoes:
                    echo.reading = not echo.reading
            through.talk()
        self.finish(through, bodies, trailers, draw)

    def finish(
        self,
        through: Through,
        bodies: dict[int, bytes],
        trailers: dict[int, list[tuple[bytes, bytes]]],
        draw: Any,
    ) -> None:
        """
        All requests end, and everybody reads.
        """
        client = through.client
        for number in bodies:
            trailers[number] = draw(st.sampled_from(([], [(b"x-t", b"t")])))
            if trailers[number]:
                client.peer.send_headers(number, trailers[number], end_stream=True)
            else:
                client.peer.end_stream(number)
        client.reading = True
        client.peer.increment_flow_control_window(1 << 20)
        for number in bodies:
            client.peer.increment_flow_control_window(1 << 20, number)
        through.talk()
        for echo in through.echoes:
            echo.reading = True
            echo.read()
        through.talk()
        for number, body in bodies.items():
            response: Response = client.responses[number]
            self.assertEqual((response.status, response.body == body, response.ended), (200, True, True))
            self.assertEqual(response.trailers, [(b"grpc-status", b"0"), *trailers[number]])
        through.over(self)
