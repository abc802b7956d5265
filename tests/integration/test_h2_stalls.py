"""
HTTP/2: clients that hold what they got, and take or send nothing (row G11 and its kin). What waits for them is bounded
in memory and in time, and somebody else is served meanwhile.
"""

from __future__ import annotations

import time

from tests.integration.flow_case import play
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import (
    MAGIC,
    Code,
    Key,
    Kind,
    continuation,
    data,
    headers,
    literal,
    settings,
    window_update,
)
from tests.integration.recording_backend import answer
from tests.integration.test_h2_floods import FloodTestCase

MIB = 1 << 20


class WindowTests(FloodTestCase):
    """
    Responses that the client does not take.
    """

    most_memory = 64  # of a hundred responses of a MiB each

    def asked(self, client: H2Client, size: int = MIB) -> list[int]:
        """
        A hundred streams with a response of this size each.
        """
        self.backend.scripts[b"/large"] = play(answer(bytes(size)))
        return [client.open(request(b"/large/%d" % number)) for number in range(100)]

    def test_no_window(self) -> None:
        """
        Row G11: a client without windows on a hundred streams gets heads alone; after C{write_timeout} its streams are
        ended, at the backend too.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, 0))
        streams = self.asked(client)
        self.assertTrue(client.until(lambda: all(client.stream(one).head for one in streams)), client)
        self.assertTrue(
            client.until(lambda: client.closed or all(client.stream(one).done for one in streams), 10), client
        )
        self.assertEqual(client.of(Kind.DATA), [])
        self.until(lambda: not any(one.busy for one in self.backend.connections if self._large(one)), "released")

    def _large(self, connection: object) -> bool:
        return any(one.target.startswith(b"/large") for one in getattr(connection, "requests", []))

    def test_no_window_of_the_connection(self) -> None:
        """
        Row G11: the same with a window of the connection that is never updated.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, MIB))
        streams = self.asked(client)
        self.assertTrue(
            client.until(lambda: client.closed or all(client.stream(one).done for one in streams), 10), client
        )
        self.assertEqual(sum(len(client.stream(one).body) for one in streams), 65535)

    def test_deaf(self) -> None:
        """
        CVE-2019-9517: windows that are wide open, and a client that reads nothing from its socket: it is given up.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, MIB), receive=4096)
        client.send(window_update(0, 1 << 30))
        client.deaf = True
        self.asked(client)
        self.until(lambda: sum(map(self._large, self.backend.connections)) > 10, "many at the backend")
        self.assertTrue(client.until_reset(15), client)
        self.until(lambda: not any(one.busy for one in self.backend.connections if self._large(one)), "released")

    def test_drips(self) -> None:
        """
        CVE-2019-9511: a client that gives a byte at a time gets bytes; what is kept for it is bounded.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, 0))
        streams = self.asked(client)
        for _ in range(5):
            client.send(b"".join(window_update(one, 1) for one in streams))
            client.until_closed(0.2)
        self.assertLess(len(client.of(Kind.DATA)), 1000)


class SlownessTests(FloodTestCase):
    """
    What begins and does not go on.
    """

    def ended(self, clients: list[H2Client], seconds: float, *codes: Code | None) -> None:
        """
        The gateway ends these connections in so many seconds, and not at once.
        """
        began = time.monotonic()
        for client in clients:
            left = began + seconds - time.monotonic()
            self.assertTrue(client.until_closed(left), f"open after {seconds} s: {client}")
            self.assertGreater(time.monotonic() - began, 0.3)
            self.assertIn(client.goaway, codes)

    def test_preface(self) -> None:
        """
        A connection that does not begin ends after C{header_timeout}.
        """
        clients = []
        for start in (b"", MAGIC[:10], MAGIC, MAGIC + settings()[:5]):
            clients.append(self.kept(H2Client(self.gateway.port)))
            clients[-1].send(start)
        self.ended(clients, 6, None, Code.PROTOCOL_ERROR, Code.NO_ERROR)

    def test_header_block(self) -> None:
        """
        Row G3: a header block that stays open ends the connection after C{header_timeout}, whatever else runs on it.
        """
        clients = [self.connect(), self.connect()]
        self.hold(clients[0], end=False)
        for client in clients:
            client.send(headers(client.next, literal(request(b"/slow")), whole=False))
        self.ended(clients, 6, Code.PROTOCOL_ERROR, Code.ENHANCE_YOUR_CALM, Code.NO_ERROR)
        self.assertEqual(self.backend.find(b"/slow"), [])

    def test_header_block_in_drips(self) -> None:
        """
        Row G3: from its first frame, not from each.
        """
        client = self.connect()
        client.send(headers(1, literal(request(b"/slow")), whole=False))
        for _ in range(7):
            client.until_closed(0.7)
            client.send(continuation(1, b"", whole=False))
        self.assertTrue(client.closed, client)
        self.assertEqual(self.backend.find(b"/slow"), [])

    def test_frame(self) -> None:
        """
        A frame that is not complete does not keep a connection on which nothing runs.
        """
        clients = []
        for part in (b"\0", headers(1, literal(request(b"/slow")))[:-5], b"\0\0\x08\6\0\0\0\0\0\1\2"):
            clients.append(self.connect())
            clients[-1].send(part)
        self.ended(clients, 8, Code.PROTOCOL_ERROR, Code.ENHANCE_YOUR_CALM, Code.NO_ERROR, None)
        self.assertEqual(self.backend.find(b"/slow"), [])

    def test_body(self) -> None:
        """
        Row F4: a body of which nothing comes for C{body_timeout} ends its stream, at the backend too.
        """
        client = self.connect()
        stream = client.open(request(b"/slow", method=b"POST"), end=False)
        client.send(data(stream, b"some"))
        found = client.end(stream, 8)
        self.assertIn(found.code or found.status, (408, Code.CANCEL, Code.ENHANCE_YOUR_CALM))
        self.assertFalse(self.arrival(b"/slow").complete)
        self.until(lambda: not any(one.busy for one in self.backend.connections if one.requests), "released")
        self.unharmed(client)

    def test_body_in_a_frame(self) -> None:
        """
        Row F4: nor does it help to begin a frame.
        """
        client = self.connect()
        stream = client.open(request(b"/slow", method=b"POST"), end=False)
        client.send(data(stream, bytes(100))[:50])
        client.until(lambda: client.closed or client.stream(stream).done, 8)
        self.assertTrue(client.closed or client.stream(stream).done, client)
        self.assertFalse(self.arrival(b"/slow").complete)

    def test_an_open_block_shields_nothing(self) -> None:
        """
        Row G11: a stream that stands still is ended in time, also behind a header block that stays open.
        """
        self.backend.scripts[b"/large"] = play(answer(bytes(MIB)))
        client = self.connect((Key.INITIAL_WINDOW_SIZE, 0))
        client.open(request(b"/large"))
        client.until(lambda: client.stream(1).head)
        client.send(headers(3, literal(request(b"/slow")), whole=False))
        client.until(lambda: client.closed or client.stream(1).done, 8)
        self.assertTrue(client.closed or client.stream(1).done, client)

    def test_connections(self) -> None:
        """
        Two hundred connections that say nothing, or next to nothing, are all gone after a while.
        """
        clients = [self.kept(H2Client(self.gateway.port)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send((b"", MAGIC, MAGIC + settings(), MAGIC + settings() + headers(1, b"", whole=False))[number % 4])
        deadline = time.monotonic() + 12
        for client in clients:
            client.until_closed(max(0.1, deadline - time.monotonic()))
        self.assertEqual([client for client in clients if not client.closed], [])
