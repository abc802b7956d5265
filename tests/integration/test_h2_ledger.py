"""
The tests' own judge of HTTP/2: that it finds what it is there to find, and lets pass what is right.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.h2_frames import (
    MAGIC,
    MOST,
    WINDOW,
    Fields,
    Frame,
    Key,
    continuation,
    data,
    frame,
    goaway,
    headers,
    literal,
    ping,
    push_promise,
    reset,
    section,
    settings,
    split,
    window_update,
)
from tests.integration.h2_ledger import Ledger, field_faults

OPEN = MAGIC + settings() + headers(1, b"")
OK = headers(1, b"", end=False)


def frames(*raw: bytes) -> list[Frame]:
    """
    Bytes as frames.
    """
    buffer = bytearray(b"".join(raw))
    found = []
    while (one := split(buffer)) is not None:
        found.append(one)
    return found


class LedgerTests(SynchronousTestCase):
    """
    What a gateway sends.
    """

    def judged(self, sent: bytes, *raw: bytes, gateway_serves: bool = True) -> list[str]:
        """
        The faults in what the gateway sends after we sent something.
        """
        ledger = Ledger(gateway_serves)
        ledger.sent(sent)
        for one in frames(*raw):
            ledger.received(one)
        return ledger.faults

    def right(self, sent: bytes, *raw: bytes) -> None:
        """
        There is nothing wrong with it.
        """
        self.assertEqual(self.judged(sent, *raw), [])

    def wrong(self, fault: str, sent: bytes, *raw: bytes) -> None:
        """
        There is one fault, in these words.
        """
        found = self.judged(sent, *raw)
        self.assertEqual(len(found), 1, found)
        self.assertIn(fault, found[0])

    def test_windows(self) -> None:
        """
        DATA is counted against both windows, with all that was granted and nothing more.
        """
        most = [data(1, bytes(16384))] * 3 + [data(1, bytes(WINDOW - 3 * 16384))]
        self.right(OPEN, OK, *most, data(1, b""))
        self.wrong("connection's window", OPEN + window_update(1, 1), OK, *most, data(1, b"x"))
        self.wrong("stream's window", OPEN + window_update(0, 1), OK, *most, data(1, b"x"))
        self.right(OPEN + window_update(0, 1) + window_update(1, 1), OK, *most, data(1, b"x"))

    def test_initial_window(self) -> None:
        """
        A larger initial window counts when it was sent, a smaller one when it was acknowledged.
        """
        smaller = MAGIC + settings((Key.INITIAL_WINDOW_SIZE, 5)) + headers(1, b"")
        self.right(smaller, OK, data(1, b"123456"))
        self.wrong("1 bytes beyond", smaller, settings(ack=True), OK, data(1, b"123456"))
        self.right(smaller + settings((Key.INITIAL_WINDOW_SIZE, 6)), settings(ack=True), OK, data(1, b"123456"))

    def test_frame_sizes(self) -> None:
        """
        Frames are as large as was allowed, and those of one size have that.
        """
        self.wrong("above", OPEN, OK, data(1, bytes(16385)))
        self.right(MAGIC + settings((Key.MAX_FRAME_SIZE, 20_000)) + headers(1, b""), OK, data(1, bytes(16385)))
        self.wrong("wrong length", OPEN, frame(6, 0, 0, b"short"))

    def test_streams(self) -> None:
        """
        Frames are on streams that are open, or on none where they must be.
        """
        self.wrong("idle", OPEN, headers(3, b""))
        self.wrong("idle", OPEN, reset(2))
        self.wrong("behind END_STREAM", OPEN, headers(1, b""), data(1, b""))
        self.right(OPEN, headers(1, b""), reset(1))
        self.wrong("behind RST_STREAM", OPEN, reset(1), data(1, b""))
        self.wrong("needs a stream", OPEN, data(0, b""))
        self.wrong("must have no stream", OPEN, frame(6, 1, 1, bytes(8)))

    def test_blocks(self) -> None:
        """
        Header blocks are in one piece.
        """
        self.right(OPEN, section(1, bytes(40_000)))
        self.wrong("one piece", OPEN, headers(1, b"", whole=False), ping())
        self.wrong("one piece", OPEN, continuation(1))

    def test_other_frames(self) -> None:
        """
        Settings, acknowledgements, updates, promises and farewells are what they may be.
        """
        self.right(OPEN, settings((Key.MAX_FRAME_SIZE, 16384)), settings(ack=True), goaway(MOST), goaway(1))
        self.wrong("nobody sent", OPEN, settings(ack=True), settings(ack=True))
        self.wrong("out of range", OPEN, settings((Key.MAX_FRAME_SIZE, 1)))
        self.wrong("pushed to", OPEN, settings((Key.ENABLE_PUSH, 1)))
        self.wrong("nothing", OPEN, window_update(0, 0))
        self.wrong("promise", OPEN, push_promise(1, 2, b""))
        self.wrong("last stream", OPEN, goaway(1), goaway(3))

    def test_a_gateway_that_asks(self) -> None:
        """
        A gateway that is the client opens odd streams, in their order.
        """
        self.assertEqual(self.judged(b"", headers(1, b""), headers(5, b""), gateway_serves=False), [])
        for wrong in ((2,), (3, 1)):
            found = self.judged(b"", *(headers(one, b"", end=False) for one in wrong), gateway_serves=False)
            self.assertEqual(len(found), 1, found)


class FieldTests(SynchronousTestCase):
    """
    What is in a section.
    """

    def test_right(self) -> None:
        """
        Sections that are right.
        """
        pseudo: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]
        for fields, kind in (
            ([*pseudo, (b"te", b"trailers"), (b"x", b"")], "request"),
            ([(b":status", b"200"), (b"x-value", b"a \t\xff b")], "response"),
            ([(b"x-sum", b"1")], "trailers"),
        ):
            self.assertEqual(field_faults(fields, kind), [])

    def test_wrong(self) -> None:
        """
        Sections with one thing wrong.
        """
        ok = (b":status", b"200")
        for fields in (
            [],
            [ok, ok],
            [ok, (b":path", b"/")],
            [ok, (b"X-Upper", b"1")],
            [ok, (b"connection", b"close")],
            [ok, (b"te", b"gzip")],
            [ok, (b"x-value", b" a")],
            [ok, (b"x-value", b"a\r\nb: c")],
        ):
            self.assertEqual(len(field_faults(fields, "response")), 1, fields)
        self.assertTrue(field_faults([(b"x", b"1"), ok], "response"))
        self.assertTrue(field_faults([ok], "trailers"))

    def test_plain_literals(self) -> None:
        """
        A literal block is what RFC 7541 section 6.2.2 says, also with a name that is longer than seven bits can tell.
        """
        self.assertEqual(literal([(b"a", b"bc")]), b"\0\1a\2bc")
        self.assertEqual(literal([(b"n" * 200, b"")], 0x10), b"\x10\x7f\x49" + b"n" * 200 + b"\0")
