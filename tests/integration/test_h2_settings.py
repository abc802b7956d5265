"""
HTTP/2: SETTINGS and PING (RFC 9113 sections 6.5 and 6.7).
"""

from __future__ import annotations

from tests.integration.flow_case import play
from tests.integration.h2_case import H2TestCase
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import MAGIC, MOST, Code, Flag, Key, Kind, ping, settings
from tests.integration.recording_backend import answer


class ValueTests(H2TestCase):
    """
    Values of parameters: row G6.
    """

    def spoilt(self, code: Code, key: int, *values: int) -> None:
        """
        Each of these values ends the connection, in the preface and later.
        """
        for value in values:
            early = self.kept(H2Client(self.gateway.port))
            early.send(MAGIC + settings((key, value)))
            self.connection_error(early, code)
            later = self.connect()
            later.send(settings((Key.MAX_CONCURRENT_STREAMS, 5), (key, value)))
            self.connection_error(later, code)

    def test_6_5_2_enable_push(self) -> None:
        """
        Section 6.5.2: ENABLE_PUSH is 0 or 1.
        """
        self.spoilt(Code.PROTOCOL_ERROR, Key.ENABLE_PUSH, 2, 0xFFFFFFFF)
        for value in (0, 1):
            self.unharmed(self.connect((Key.ENABLE_PUSH, value)))

    def test_6_5_2_initial_window_size(self) -> None:
        """
        Section 6.5.2: INITIAL_WINDOW_SIZE is at most 2^31-1.
        """
        self.spoilt(Code.FLOW_CONTROL_ERROR, Key.INITIAL_WINDOW_SIZE, MOST + 1, 0xFFFFFFFF)
        self.unharmed(self.connect((Key.INITIAL_WINDOW_SIZE, MOST)))

    def test_6_5_2_max_frame_size(self) -> None:
        """
        Section 6.5.2: MAX_FRAME_SIZE is from 2^14 to 2^24-1.
        """
        self.spoilt(Code.PROTOCOL_ERROR, Key.MAX_FRAME_SIZE, 0, 16383, 1 << 24, 0xFFFFFFFF)
        for value in (16384, (1 << 24) - 1):
            self.unharmed(self.connect((Key.MAX_FRAME_SIZE, value)))

    def test_6_5_2_any_value(self) -> None:
        """
        Section 6.5.2: the other parameters may have any value; MAX_CONCURRENT_STREAMS of a client is about pushes, and
        does not keep the gateway from answering.
        """
        for value in (0, 1, 4096, 0xFFFFFFFF):
            for key in (Key.HEADER_TABLE_SIZE, Key.MAX_CONCURRENT_STREAMS):
                client = self.connect((key, value))
                self.unharmed(client)
                self.unharmed(client)

    def test_6_5_2_unknown(self) -> None:
        """
        Section 6.5.2: parameters that are not known are ignored.
        """
        client = self.connect(*[(key, 0xFFFFFFFF) for key in (0, 7, 0x10, 0xF0F0, 0xFFFF)])
        self.unharmed(client)

    def test_6_5_3_order(self) -> None:
        """
        Section 6.5.3: values are taken in their order, so that the last one stands.
        """
        self.backend.scripts[b"/long"] = play(answer(bytes(100)))
        key = Key.INITIAL_WINDOW_SIZE
        client = self.connect((key, 50), (key, 1000), (Key.ENABLE_PUSH, 0), (key, 3))
        stream = client.open(request(b"/long"))
        self.assertTrue(client.until(lambda: len(client.stream(stream).body) >= 3))
        self.assertTrue(client.barrier())
        self.assertEqual(len(client.stream(stream).body), 3)


class AcknowledgementTests(H2TestCase):
    """
    Answers to SETTINGS and PING.
    """

    def test_6_5_3_each_is_acknowledged(self) -> None:
        """
        Sections 6.5.3 and 6.7: each SETTINGS and each PING is answered, in the order in which they came, and a PING
        with its own content.
        """
        client = self.connect()
        before = len(client.frames)
        client.send(
            ping(b"first...") + settings((Key.ENABLE_PUSH, 0)) + ping(b"\0\xff" * 4) + settings() + ping(bytes(8))
        )
        self.assertTrue(client.until(lambda: len(client.frames) >= before + 5), client)
        seen = [(one.kind, one.flags, one.stream, one.payload) for one in client.frames[before:]]
        self.assertEqual(
            seen,
            [
                (Kind.PING, Flag.ACK, 0, b"first..."),
                (Kind.SETTINGS, Flag.ACK, 0, b""),
                (Kind.PING, Flag.ACK, 0, b"\0\xff" * 4),
                (Kind.SETTINGS, Flag.ACK, 0, b""),
                (Kind.PING, Flag.ACK, 0, bytes(8)),
            ],
        )

    def test_6_7_answers_are_not_answered(self) -> None:
        """
        Section 6.7: a PING that is an answer is not answered, also when nobody asked.
        """
        client = self.connect()
        client.send(ping(b"unasked.", ack=True))
        self.assertTrue(client.barrier())
        self.assertEqual(len(client.of(Kind.PING)), 1)
        self.unharmed(client)

    def test_6_7_while_a_request_runs(self) -> None:
        """
        Section 6.7: PING is answered at once, whatever waits.
        """
        client = self.connect()
        stream, gate = self.hold(client)
        self.assertTrue(client.barrier())
        gate.open()
        self.assertEqual(client.whole(stream).status, 200)
