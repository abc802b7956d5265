"""
HTTP/2: how a gateway says goodbye (RFC 9113 section 6.8), and that a connection does not last for ever.
"""

from __future__ import annotations

from typing import Any

from tests.integration.h2_case import H2TestCase
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import MOST, Code, Kind
from tests.integration.loop_thread import run_in_loop
from tests.integration.shared_gateway import Pair, start_pair


class ShutdownTests(H2TestCase):
    """
    SIGTERM: row G13.
    """

    def setUp(self) -> None:
        """
        Share nothing with other tests: each begins by itself.
        """
        self._peers = []

    def begin(self, **overrides: Any) -> None:
        """
        Start a gateway, to be stopped in the end.
        """
        self.pair: Pair = start_pair(http2=True, **overrides)
        self.gateway, self.backend = self.pair.gateway, self.pair.backend
        self.addCleanup(self.pair.stop)
        self.addCleanup(self._judge)

    def _judge(self) -> None:
        for peer in self._peers:
            peer.close()
        self.assertEqual([fault for peer in self._peers for fault in peer.ledger.faults], [])

    def goaways(self, client: H2Client) -> list[tuple[int, int]]:
        """
        The last streams and codes of all GOAWAY so far.
        """
        return [(one.word(), one.word(4)) for one in client.of(Kind.GOAWAY)]

    def gone(self, client: H2Client) -> None:
        """
        The connection ends cleanly, and so does the gateway.
        """
        self.assertTrue(client.until_closed(), client)
        self.assertEqual(client.closed, "eof")
        client.close()
        self.assertEqual(self.gateway.wait(10), 0)

    def test_6_8_two_steps(self) -> None:
        """
        Section 6.8: first the client is told to open no more streams, and those on their way are still served; then it
        is told which was the last, and what runs is finished before the connection ends.
        """
        self.begin()
        client = self.connect()
        first, gate = self.hold(client)
        self.gateway.signal()
        self.assertTrue(client.until(lambda: client.of(Kind.GOAWAY)), client)
        self.assertEqual(self.goaways(client), [(MOST, Code.NO_ERROR)])
        crossing = client.open(request(b"/crossing"))
        self.assertEqual(client.whole(crossing).status, 200)
        self.assertTrue(client.until(lambda: len(client.of(Kind.GOAWAY)) == 2), client)
        self.assertEqual(self.goaways(client)[1], (crossing, Code.NO_ERROR))
        gate.open()
        self.assertEqual((client.whole(first).status, bytes(client.stream(first).body)), (200, b"done"))
        self.gone(client)

    def test_6_8_above_the_last(self) -> None:
        """
        Section 6.8: a stream above the one that GOAWAY named gets nothing done, so that it can be repeated elsewhere.
        """
        self.begin()
        client = self.connect()
        stream, gate = self.hold(client)
        self.gateway.signal()
        self.assertTrue(client.until(lambda: len(client.of(Kind.GOAWAY)) == 2), client)
        late = client.open(request(b"/late"))
        gate.open()
        self.assertEqual(client.whole(stream).status, 200)
        self.gone(client)
        self.assertEqual(client.stream(late).blocks, [])
        self.assertIn(client.stream(late).code, (None, Code.REFUSED_STREAM))
        self.assertEqual(self.backend.find(b"/late"), [])

    def test_6_8_idle(self) -> None:
        """
        Section 6.8: a connection on which nothing runs ends soon, cleanly, and holds nobody up, even if the client does
        not close it.
        """
        self.begin()
        client = self.connect()
        self.unharmed(client)
        self.gateway.signal()
        self.assertTrue(client.until_closed(), client)
        self.assertEqual((client.closed, self.goaways(client)), ("eof", [(MOST, Code.NO_ERROR), (1, Code.NO_ERROR)]))
        self.assertEqual(self.gateway.wait(10), 0)

    def test_6_8_transfers(self) -> None:
        """
        Section 6.8: bodies that are under way in either direction are carried to their ends.
        """
        self.begin()
        client = self.connect()
        up = client.open(request(b"/up", method=b"POST"), end=False)
        client.send_data(up, bytes(100_000))
        self.gateway.signal()
        self.assertTrue(client.until(lambda: len(client.of(Kind.GOAWAY)) == 2), client)
        client.send_data(up, bytes(400_000), end=True)
        self.assertEqual(client.whole(up).status, 200)
        self.assertEqual(self.completed(b"/up").length, 500_000)
        self.gone(client)

    def test_6_8_drain_timeout(self) -> None:
        """
        Section 6.8: what does not end in time is broken off, and does not look complete.
        """
        self.begin(drain_timeout=1.5)
        client = self.connect()
        stream, _ = self.hold(client)
        self.gateway.signal()
        self.assertTrue(client.until_closed(), client)
        self.assertFalse(client.stream(stream).ended)
        self.assertEqual(self.gateway.wait(10), 0)
        run_in_loop(self.backend.changed.until(lambda: not self.backend.open_connections, 5))
        self.assertEqual(self.backend.open_connections, [])

    def test_6_8_idle_for_too_long(self) -> None:
        """
        Section 9.1: a connection that nobody uses is closed as at a shutdown, a PING now and then notwithstanding.
        """
        self.begin(limits={"keepalive_timeout": 1})
        client = self.connect()
        self.unharmed(client)
        for _ in range(3):
            client.barrier()
            client.until_closed(0.5)
        self.assertTrue(client.until_closed(), client)
        self.assertEqual((client.closed, client.goaway), ("eof", Code.NO_ERROR))
        self.assertTrue(self.gateway.alive)

    def test_6_8_enough_requests(self) -> None:
        """
        Section 9.1: after as many requests as a connection may have, it is ended as at a shutdown; nothing is lost.
        """
        self.begin(limits={"max_requests": 20})
        client = self.connect()
        answered = 0
        while not client.of(Kind.GOAWAY) and answered < 40:
            self.assertEqual(client.ask(b"/count").status, 200)
            answered += 1
        self.assertTrue(20 <= answered < 40, answered)
        self.assertTrue(client.until_closed(), client)
        self.assertEqual((client.closed, client.goaway), ("eof", Code.NO_ERROR))
        self.assertEqual(len(self.backend.find(b"/count")), answered)
