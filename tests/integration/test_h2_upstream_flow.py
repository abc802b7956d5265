"""
The gateway between two windows: what it sends to a backend of HTTP/2, what it lets the backend send, and that it keeps
little of either (RFC 9113 sections 5.2 and 6.9).
"""

from __future__ import annotations

from tests.integration.h2_backend import H2Server
from tests.integration.h2_client import H2Client
from tests.integration.h2_frames import WINDOW, Code, Key, data, reset, settings, window_update
from tests.integration.h2_upstream_case import UpstreamTestCase, far
from tests.integration.test_memory import Watch

MIB = 1 << 20


class SendingTests(UpstreamTestCase):
    """
    Request bodies.
    """

    def body(self, server: H2Server, stream: int, size: int) -> None:
        """
        Exactly so much of the body comes.
        """
        found = server.stream(stream)
        server.until(lambda: len(found.body) >= size)
        self.assertFalse(server.until(lambda: len(found.body) > size, 0.1), server)
        self.assertEqual(len(found.body), size)

    def test_6_9_1_stream(self) -> None:
        """
        Sections 5.2.1 and 6.9.1: a stream's window is used up and no more, and each update is used.
        """
        stream, server, there = self.begun(end=False)
        server.send(settings((Key.INITIAL_WINDOW_SIZE, 100)))
        server.read()
        self.client.send_data(stream, bytes(1000), end=True)
        self.body(server, there, 100)
        for increment, size in ((1, 101), (399, 500)):
            server.send(window_update(there, increment))
            self.body(server, there, size)
        server.send(settings((Key.INITIAL_WINDOW_SIZE, 0)) + window_update(there, 99))
        self.body(server, there, 500)
        server.send(settings((Key.INITIAL_WINDOW_SIZE, 501)))
        self.assertEqual(len(server.whole(there).body), 1000)
        server.respond(there)
        self.assertEqual(self.client.whole(stream).status, 200)

    def test_6_9_1_connection(self) -> None:
        """
        Sections 5.2.1 and 6.9.1: so is the connection's, by all streams together.
        """
        stream, server, there = self.begun(end=False)
        ours, theirs = self.another(server, method=b"POST", end=False)
        for one in (stream, ours):
            self.client.send_data(one, bytes(50_000), end=True)

        def total() -> int:
            return len(server.stream(there).body) + len(server.stream(theirs).body)

        server.until(lambda: total() >= WINDOW)
        self.assertFalse(server.until(lambda: total() > WINDOW, 0.1))
        server.send(window_update(0, MIB))
        self.assertEqual([len(server.whole(one).body) for one in (there, theirs)], [50_000, 50_000])

    def test_4_2_frame_size(self) -> None:
        """
        Section 4.2: frames are no larger than the backend takes; the ledger judges.
        """
        for size in (16384, 100_000):
            stream, server, there = self.begun(end=False)
            server.send(settings((Key.MAX_FRAME_SIZE, size), (Key.INITIAL_WINDOW_SIZE, MIB)) + window_update(0, MIB))
            server.read()
            self.client.send_data(stream, bytes(300_000), end=True)
            self.assertEqual(len(server.whole(there).body), 300_000)
            self.far.drop()

    def test_6_9_1_ends_without_room(self) -> None:
        """
        Section 6.9.1: the end of a body needs no room.
        """
        stream, server, there = self.begun(end=False)
        server.send(settings((Key.INITIAL_WINDOW_SIZE, 5)))
        server.read()
        self.client.send(data(stream, b"12345"))
        self.body(server, there, 5)
        self.client.send(data(stream, b"", True))
        self.assertTrue(server.whole(there).ended)

    def test_5_2_slow_backend(self) -> None:
        """
        Section 5.2.2: a backend that takes nothing holds back the client: the gateway keeps little, and other streams
        go on.
        """
        watch = Watch(self.gateway)
        stream, server, there = self.begun(end=False)
        server.send(settings((Key.INITIAL_WINDOW_SIZE, 0)))
        server.read()
        sent = 0
        while self.client.until(lambda: self.client.room(stream) > 0, 0.3):
            size = min(16384, self.client.room(stream))
            self.client.spend(stream, size)
            self.client.send(data(stream, bytes(size)))
            sent += size
            self.assertLess(sent, 4 * MIB, "where is it all?")
        self.assertLess(watch.risen, 4)
        self.works(server)
        server.send(settings((Key.INITIAL_WINDOW_SIZE, 16 * MIB)) + window_update(0, 16 * MIB))
        server.until(lambda: len(server.stream(there).body) >= sent)
        self.client.send_data(stream, bytes(MIB), end=True)
        self.assertEqual(len(server.whole(there).body), sent + MIB)


class ReceivingTests(UpstreamTestCase):
    """
    Response bodies.
    """

    def poured(self, server: H2Server, stream: int, most: int, patience: float = 0.3) -> int:
        """
        Send DATA until there is no room for so many seconds; return how much that was.
        """
        sent = 0
        while sent < most and server.until(lambda: server.room(stream) > 0, patience):
            size = min(16384, server.room(stream))
            server.spend(stream, size)
            server.send(data(stream, bytes(size)))
            sent += size
        return sent

    def test_5_2_slow_client(self) -> None:
        """
        Section 5.2.2: a client that takes nothing holds back the backend: the gateway keeps little, other streams of
        other clients go on, and in the end the client gets everything.
        """
        watch = Watch(self.gateway)
        slow = self.connect((Key.INITIAL_WINDOW_SIZE, 0))
        stream = slow.open(far(b"/large"))
        server = self.upstream()
        there = server.take()
        server.respond(there, end=False)
        sent = self.poured(server, there, 8 * MIB)
        self.assertLess(sent, 2 * MIB)
        self.assertLess(watch.risen, 6)
        self.works(server)
        slow.send(settings((Key.INITIAL_WINDOW_SIZE, 64 * MIB)) + window_update(0, 64 * MIB))
        sent += self.poured(server, there, MIB)
        server.send(data(there, b"", True))
        self.assertEqual(len(slow.whole(stream, 10).body), sent)

    def test_5_2_many_slow_clients(self) -> None:
        """
        Section 5.2.2: many streams that stand still do not stop the others on their connection, or everything would.
        """
        watch = Watch(self.gateway)
        slow = self.connect((Key.INITIAL_WINDOW_SIZE, 0))
        still = [slow.open(far(b"/still/%d" % number)) for number in range(20)]
        server = self.upstream()
        sent = 0
        for _ in still:
            there = server.take()
            server.respond(there, end=False)
            sent += self.poured(server, there, MIB, 0.05)
        self.assertLess(sent, 20 * MIB)
        self.assertLess(watch.risen, 20)
        self.works(server)

    def test_6_9_1_beyond_the_window(self) -> None:
        """
        Section 6.9.1: a backend that sends more than it may is stopped, and its response does not look complete.
        """
        slow = self.connect((Key.INITIAL_WINDOW_SIZE, 0))
        stream = slow.open(far(b"/beyond"))
        server = self.upstream()
        there = server.take()
        server.respond(there, end=False)
        self.poured(server, there, 8 * MIB)
        server.send(data(there, bytes(16384)))
        server.until(lambda: server.closed or server.stream(there).code is not None)
        self.assertEqual(server.goaway if server.closed else server.stream(there).code, Code.FLOW_CONTROL_ERROR)
        self.unclean(slow, stream)

    def unclean(self, client: H2Client, stream: int) -> None:
        """
        The client's response ends, and not cleanly.
        """
        client.send(window_update(0, MIB) + settings((Key.INITIAL_WINDOW_SIZE, 8 * MIB)))
        found = client.end(stream)
        self.assertEqual((found.ended, found.code), (False, Code.INTERNAL_ERROR))

    def test_6_9_padding(self) -> None:
        """
        Section 6.1: padding counts, and its room is given back: a response in frames of little else goes on.
        """
        stream, server, there = self.begun()
        server.respond(there, end=False)
        frames = 3 * server.room(there) // 257
        for _ in range(frames):
            self.assertTrue(server.until(lambda: server.room(there) >= 257), server)
            server.spend(there, 257)
            server.send(data(there, b"x", padding=255))
        server.send(data(there, b"", True))
        self.assertEqual(len(self.client.whole(stream).body), frames)

    def test_6_9_what_is_dropped_counts(self) -> None:
        """
        Sections 5.1 and 6.9: DATA on streams that were cancelled counts in the connection's window, and its room is
        given back.
        """
        _, server, there = self.begun()
        total = 0
        for number in range(80):
            ours, theirs = self.another(server, b"/cancelled/%d" % number)
            server.respond(theirs, end=False)
            self.client.until(lambda: self.client.stream(ours).head)  # noqa: B023
            self.client.send(reset(ours))
            server.reset_of(theirs)
            for _ in range(4):
                self.assertTrue(server.until(lambda: server.credit >= 16384), f"no room after {total}: {server}")
                server.spend(theirs, 16384)
                server.send(data(theirs, bytes(16384)))
                total += 16384
        self.assertGreaterEqual(total, 5 * MIB)
        server.respond(there)
        self.works(server)
