"""
Tests for L{siger.proxy.connection}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.services import Timeouts
from siger.errors import Reason
from siger.proxy.connection import UpstreamConnection
from tests.http.fakes import FakeTransport
from tests.http.generators import noise, pieces, properties, splits
from tests.proxy.fakes import TIMEOUTS, FakeOwner, FakeRecipient

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"


class Upstream:
    """
    A connection, with the instance on its other side.
    """

    def __init__(self) -> None:
        self.owner = FakeOwner()
        self.transport = FakeTransport()
        self.connection = UpstreamConnection(self.owner, self.transport, TIMEOUTS)

    def ask(
        self, head_only: bool = False, request_open: bool = False, exclusive: bool = False, accept: bool = False
    ) -> FakeRecipient:
        """
        Begin an exchange.
        """
        recipient = FakeRecipient(accept)
        self.connection.exclusive = exclusive
        self.connection.begin(recipient, REQUEST, head_only, request_open, TIMEOUTS)
        # As the transport of a pool's connection has it.
        self.transport.producer = None
        self.transport.registerProducer(_Joined(self.connection), True)
        return recipient

    def say(self, data: bytes, lengths: list[int] | None = None) -> None:
        """
        Let the instance send something, as long as it is heard.
        """
        for piece in pieces(data, lengths or [len(data) or 1]):
            if not self.transport.closed:
                self.connection.data_received(piece)

    def ask_and_say(self, data: bytes) -> FakeRecipient:
        """
        A whole exchange.
        """
        recipient = self.ask()
        self.say(data)
        return recipient

    def lose(self, clean: bool = True) -> None:
        """
        Let the connection be gone.
        """
        self.connection.connection_lost(clean)

    @property
    def kept(self) -> bool:
        """
        Whether another exchange could begin, as connection, transport and owner all say.
        """
        kept = self.connection.usable
        assert kept == (not self.transport.closed)
        assert kept == (self.owner.events[-1:] == ["in"])
        return kept


class _Joined:
    """
    Tells a connection what its transport says.
    """

    def __init__(self, connection: UpstreamConnection) -> None:
        self.pauseProducing = connection.writing_paused
        self.resumeProducing = connection.writing_resumed


class ResponseTests(SynchronousTestCase):
    """
    Tests for responses that end, after which the connection is used again.
    """

    def ends_well(self, data: bytes, body: bytes, trailers: bytes = b"", head_only: bool = False) -> None:
        """
        The response is complete and the connection kept, in one piece and byte by byte.
        """
        for lengths in ([len(data)], [1], [7]):
            upstream = Upstream()
            recipient = upstream.ask(head_only)
            upstream.say(data, lengths)
            self.assertEqual((recipient.body, recipient.complete), (body, True), (data, lengths))
            self.assertEqual(recipient.trailers, trailers)
            self.assertEqual(upstream.owner.events, ["in"])
            self.assertTrue(upstream.kept)

    def test_request(self) -> None:
        """
        The request goes out as it is given.
        """
        upstream = Upstream()
        self.assertTrue(upstream.connection.usable)
        upstream.ask()
        self.assertEqual(upstream.transport.written, REQUEST)
        self.assertFalse(upstream.connection.usable)

    def test_length(self) -> None:
        """
        A response of a declared length, nothing included.
        """
        self.ends_well(OK, b"hello")
        self.ends_well(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"")

    def test_chunked(self) -> None:
        """
        A response in chunks, with trailers or without.
        """
        self.ends_well(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello")
        self.ends_well(CHUNKED + b"0\r\n\r\n", b"")
        self.ends_well(CHUNKED + b"5\r\nhello\r\n0\r\nX-A: b\r\n\r\n", b"hello", b"X-A: b\r\n")

    def test_in_one_piece(self) -> None:
        """
        A response that is here at once is told at once: one call, and the connection is back before it.
        """
        for data in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"):
            upstream = Upstream()
            self.assertEqual(upstream.ask_and_say(data).events, ["response 200"])
            self.assertTrue(upstream.kept)

    def test_without_body(self) -> None:
        """
        Responses to HEAD, 204 and 304 have no body, whatever they say of one: C4.
        """
        for framing in (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""):
            self.ends_well(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", b"", head_only=True)
            self.ends_well(b"HTTP/1.1 204 x\r\n" + framing + b"\r\n", b"")
            self.ends_well(b"HTTP/1.1 304 x\r\n" + framing + b"\r\n", b"")

    def test_interim(self) -> None:
        """
        Interim responses are told as they come, and are no part of the final one: C6.
        """
        data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\nContent-Length: 7\r\n\r\n" + OK
        for lengths in ([len(data)], [1]):
            upstream = Upstream()
            recipient = upstream.ask()
            upstream.say(data, lengths)
            self.assertEqual(recipient.events[:3], ["interim 100", "interim 103", "response 200"])
            self.assertEqual(recipient.body, b"hello")
            self.assertTrue(upstream.kept)

    def test_again(self) -> None:
        """
        Exchange follows exchange, and each gets its own response.
        """
        upstream = Upstream()
        for number in range(5):
            body = b"%d" % number * number
            recipient = upstream.ask_and_say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            self.assertEqual(recipient.body, body)
        self.assertEqual(upstream.connection.served, 5)
        self.assertEqual(repr(upstream.connection), "<UpstreamConnection [idle, 5 served]>")

    def test_same_head_again(self) -> None:
        """
        A head that repeats, with another body and another method, means the same and no more.
        """
        upstream = Upstream()
        for body in (b"hello", b"world"):
            self.assertEqual(upstream.ask_and_say(OK[:-5] + body).body, body)
        recipient = upstream.ask(head_only=True)
        upstream.say(OK[:-5])
        self.assertEqual((recipient.body, recipient.complete), (b"", True))

    def test_who_waits(self) -> None:
        """
        Who waited for the connection has it when the one before is told of its end, and neither gets the other's bytes.
        """
        for data in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", CHUNKED + b"5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"):
            for lengths in ([len(data)], [1]):
                upstream = Upstream()
                first = upstream.ask()
                second = upstream.owner.next = FakeRecipient()
                upstream.say(data, lengths)
                self.assertEqual((first.body, first.complete, second.events), (b"hello", True, []))
                self.assertEqual(upstream.transport.written, REQUEST + b"next")
                upstream.say(OK[:-5] + b"other", lengths)
                self.assertEqual((second.body, second.complete), (b"other", True))
                self.assertTrue(upstream.kept)

    def test_idle_limit(self) -> None:
        """
        How long it may be idle is what the last response said of that; before the first, not at all: C13.
        """
        upstream = Upstream()
        self.assertEqual(upstream.connection.idle_limit, 0)
        upstream.ask_and_say(b"HTTP/1.1 204 x\r\nKeep-Alive: timeout=5\r\n\r\n")
        self.assertEqual(upstream.connection.idle_limit, 4)


class DeadTests(SynchronousTestCase):
    """
    Tests for exchanges after which a connection is not used again, though the response was good.
    """

    def closes(self, upstream: Upstream, recipient: FakeRecipient, body: bytes = b"hello") -> None:
        """
        The response was delivered whole and the connection is over.
        """
        self.assertEqual((recipient.body, recipient.complete, recipient.reason), (body, True, None))
        self.assertFalse(upstream.kept)
        self.assertNotIn("in", upstream.owner.events)
        upstream.lose()
        self.assertEqual(upstream.owner.events, ["gone"])
        self.assertNotIn("failed", " ".join(recipient.events))

    def test_asked_to_close(self) -> None:
        """
        The instance said C{close}, or speaks HTTP/1.0.
        """
        for head in (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"):
            upstream = Upstream()
            self.closes(upstream, upstream.ask_and_say(head + b"Content-Length: 5\r\n\r\nhello"))
        for rest in (b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nA: b\r\n\r\n"):
            for lengths in ([999], [1]):
                upstream = Upstream()
                recipient = upstream.ask()
                upstream.say(CHUNKED[:-2] + b"Connection: close\r\n\r\n" + rest, lengths)
                self.closes(upstream, recipient)

    def test_extra_bytes(self) -> None:
        """
        There was more than the response: C3.
        """
        for data, body in (
            (OK + b"x", b"hello"),
            (OK + OK, b"hello"),
            (b"HTTP/1.1 204 x\r\n\r\nhello", b""),
            (b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nhello", b""),
            (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n" + OK, b"hello"),
            (CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n" + OK, b"hello"),
        ):
            upstream = Upstream()
            self.closes(upstream, upstream.ask_and_say(data), body)

    def test_extra_bytes_later(self) -> None:
        """
        There was more, behind a body that came in pieces: C3.
        """
        for data in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"):
            upstream = Upstream()
            recipient = upstream.ask()
            upstream.say(data[:-3])
            upstream.say(data[-3:] + b"HTTP/1.1 200 OK\r\n")
            self.closes(upstream, recipient)

    def test_body_of_head(self) -> None:
        """
        A response to HEAD had a body: C3, C4.
        """
        upstream = Upstream()
        recipient = upstream.ask(head_only=True)
        upstream.say(OK)
        self.closes(upstream, recipient, b"")

    def test_idle_bytes(self) -> None:
        """
        Something came while nobody had asked: C3.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(OK)
        upstream.say(OK)
        self.assertFalse(upstream.connection.usable)
        self.assertTrue(upstream.transport.aborted)
        self.assertEqual(recipient.events, ["response 200"])

    def test_bytes_after_the_end(self) -> None:
        """
        What comes on a connection that is over is not looked at.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(OK + b"x")
        upstream.connection.data_received(OK)
        self.assertEqual(recipient.events, ["response 200"])

    def test_early_response(self) -> None:
        """
        The request was not sent whole: C7.
        """
        for lengths in ([999], [1]):
            upstream = Upstream()
            recipient = upstream.ask(request_open=True)
            upstream.say(OK, lengths)
            self.closes(upstream, recipient)

    def test_request_completed_in_time(self) -> None:
        """
        If it was by the end of the response, all is well.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.say(OK[:-3])
        upstream.connection.send_body(b"body")
        upstream.connection.request_sent()
        upstream.say(OK[-3:])
        self.assertEqual((recipient.complete, upstream.transport.written), (True, REQUEST + b"body"))
        self.assertTrue(upstream.kept)

    def test_exclusive(self) -> None:
        """
        An upgrade was asked for, whatever came of it: B4.
        """
        for data in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"):
            for lengths in ([999], [1]):
                upstream = Upstream()
                recipient = upstream.ask(exclusive=True)
                upstream.say(data, lengths)
                self.closes(upstream, recipient)

    def test_until_close(self) -> None:
        """
        The response ended with the connection: C5.
        """
        upstream = Upstream()
        recipient = upstream.ask()
        upstream.say(UNTIL_CLOSE + b"he")
        upstream.say(b"llo")
        self.assertFalse(recipient.complete)
        upstream.lose()
        self.assertEqual((recipient.body, recipient.complete), (b"hello", True))
        self.assertEqual(upstream.owner.events, ["gone"])

    def test_abort_at_once(self) -> None:
        """
        Who aborts upon the head is told nothing more, though the end of the body is here, and the connection is over.
        """
        for data in (CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n", CHUNKED + b"5\r\nhello\r\n"):
            upstream = Upstream()
            recipient = upstream.ask()
            recipient.on_response = upstream.connection.abort
            upstream.say(data)
            self.assertFalse(upstream.kept)
            self.assertEqual(recipient.events, ["response 200"])

    def test_abort(self) -> None:
        """
        Nobody wanted the response any more: C12.
        """
        upstream = Upstream()
        recipient = upstream.ask()
        upstream.say(OK[:-3])
        upstream.connection.abort()
        self.assertTrue(upstream.transport.aborted)
        upstream.lose(False)
        self.assertEqual(recipient.events, ["response 200"])


class FailureTests(SynchronousTestCase):
    """
    Tests for responses that are none.
    """

    def fails(self, upstream: Upstream, recipient: FakeRecipient, reason: Reason, replayable: bool = False) -> None:
        """
        The recipient is told, once, and the connection is over.
        """
        self.assertEqual((recipient.reason, recipient.replayable), (reason, replayable))
        self.assertFalse(recipient.complete)
        self.assertFalse(upstream.connection.usable)
        upstream.lose(False)
        self.assertEqual(recipient.events.count(f"failed {reason.code}"), 1)
        self.assertNotIn("in", upstream.owner.events)

    def test_malformed(self) -> None:
        """
        A head that is malformed; nothing of it is delivered: C1.
        """
        for data in (
            b"HTTP/1.1 999 OK\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            b"\r\n\r\n" + OK,
            b"SSH-2.0-x\r\n\r\n",
        ):
            for lengths in ([999], [1]):
                upstream = Upstream()
                recipient = upstream.ask()
                upstream.say(data, lengths)
                self.assertEqual(recipient.events, ["failed upstream_malformed"])
                self.fails(upstream, recipient, Reason.UPSTREAM_MALFORMED)

    def test_malformed_at_once(self) -> None:
        """
        A control character is seen when it comes.
        """
        for data in (b"HTTP/1.1 200 OK\n", b"\0", b"HTTP/1.1 200 OK\r\nA: b\rc", b"\x16\x03\x01"):
            upstream = Upstream()
            self.fails(upstream, upstream.ask_and_say(data), Reason.UPSTREAM_MALFORMED)

    def test_large_head(self) -> None:
        """
        A head may have 64 KiB, however it arrives: C10, A36.
        """
        line = b"HTTP/1.1 204 x\r\nX-A: "
        data = line + b"a" * (65536 - len(line)) + b"\r\n\r\n"
        for lengths in ([len(data)], [len(data) - 1], [len(data) - 3], [4096]):
            upstream = Upstream()
            recipient = upstream.ask()
            upstream.say(data, lengths)
            self.assertTrue(recipient.complete, lengths)

    def test_too_large_head(self) -> None:
        """
        A larger one is refused, whether it ends or not: C10.
        """
        line = b"HTTP/1.1 204 x\r\nX-A: "
        data = line + b"a" * (65537 - len(line))
        for end in (b"\r\n\r\n", b"a" * 10):
            for lengths in ([999999], [4096]):
                upstream = Upstream()
                recipient = upstream.ask()
                upstream.say(data + end, lengths)
                self.fails(upstream, recipient, Reason.UPSTREAM_MALFORMED)

    def test_too_many_fields(self) -> None:
        """
        So is one of too many fields: C10.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(b"HTTP/1.1 204 x\r\n" + b"A: b\r\n" * 201 + b"\r\n")
        self.fails(upstream, recipient, Reason.UPSTREAM_MALFORMED)

    def test_many_interim(self) -> None:
        """
        Sixteen interim responses are enough: C6.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(b"HTTP/1.1 103 x\r\n\r\n" * 16 + OK)
        self.assertTrue(recipient.complete)
        upstream = Upstream()
        recipient = upstream.ask_and_say(b"HTTP/1.1 103 x\r\n\r\n" * 17 + OK)
        self.assertEqual(recipient.events, ["interim 103"] * 16 + ["failed upstream_malformed"])
        self.fails(upstream, recipient, Reason.UPSTREAM_MALFORMED)

    def test_interim_limit_is_an_exchanges(self) -> None:
        """
        Each exchange has its own sixteen.
        """
        upstream = Upstream()
        for _ in range(3):
            self.assertTrue(upstream.ask_and_say(b"HTTP/1.1 103 x\r\n\r\n" * 10 + OK).complete)

    def test_unasked_switch(self) -> None:
        """
        A 101 that nobody asked for fails the exchange: B6.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(b"HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\nbytes")
        self.assertEqual(recipient.events, ["switched", "failed upstream_upgrade"])
        self.fails(upstream, recipient, Reason.UPSTREAM_UPGRADE)

    def test_lost_before_the_response(self) -> None:
        """
        A new connection that ends without a response has failed, and the request may have been seen: C8.
        """
        for clean in (True, False):
            upstream = Upstream()
            recipient = upstream.ask()
            upstream.lose(clean)
            self.fails(upstream, recipient, Reason.UPSTREAM_RESET)

    def test_stale(self) -> None:
        """
        One that had served before and ends without a byte was probably closed before the request came: C8.
        """
        for clean in (True, False):
            upstream = Upstream()
            upstream.ask_and_say(OK)
            upstream.owner.events.clear()
            recipient = upstream.ask()
            upstream.lose(clean)
            self.fails(upstream, recipient, Reason.UPSTREAM_RESET, replayable=True)

    def test_not_stale(self) -> None:
        """
        Once a byte has come, the request was seen: C8.
        """
        for data in (b"H", b"HTTP/1.1 100 x\r\n\r\n"):
            upstream = Upstream()
            upstream.ask_and_say(OK)
            upstream.owner.events.clear()
            recipient = upstream.ask_and_say(data)
            upstream.lose()
            self.fails(upstream, recipient, Reason.UPSTREAM_RESET)

    def test_truncated(self) -> None:
        """
        A body that ends early is truncated, cleanly closed or not: C2.
        """
        for data in (OK[:-1], CHUNKED, CHUNKED + b"5\r\nhello\r\n", CHUNKED + b"5\r\nhello\r\n0\r\n"):
            for clean in (True, False):
                upstream = Upstream()
                recipient = upstream.ask_and_say(data)
                upstream.lose(clean)
                self.fails(upstream, recipient, Reason.UPSTREAM_TRUNCATED)

    def test_truncated_until_close(self) -> None:
        """
        A body that ends with its connection is truncated by a reset: C5.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(UNTIL_CLOSE + b"hel")
        upstream.lose(False)
        self.fails(upstream, recipient, Reason.UPSTREAM_TRUNCATED)

    def test_broken_chunks(self) -> None:
        """
        Chunks that are broken spoil the response; before its head was told, nothing of it is: C1, C2.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(CHUNKED + b"5\r\nhelloX")
        self.assertEqual(recipient.events, ["failed upstream_malformed"])
        self.fails(upstream, recipient, Reason.UPSTREAM_MALFORMED)
        upstream = Upstream()
        recipient = upstream.ask_and_say(CHUNKED + b"5\r\nhello\r\n")
        upstream.say(b"0x0\r\n\r\n")
        self.assertEqual(recipient.body, b"hello")
        self.fails(upstream, recipient, Reason.UPSTREAM_TRUNCATED)

    def test_idle(self) -> None:
        """
        The loss of an idle connection is told to its owner alone.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(OK)
        upstream.lose()
        self.assertEqual((upstream.owner.events, recipient.events), (["in", "gone"], ["response 200"]))
        upstream.owner.wait(100)


class TunnelTests(SynchronousTestCase):
    """
    Tests for upgraded connections.
    """

    SWITCH = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n"

    def opened(self, early: bytes = b"") -> tuple[Upstream, FakeRecipient]:
        """
        A tunnel.
        """
        upstream = Upstream()
        recipient = upstream.ask(exclusive=True, accept=True)
        upstream.say(self.SWITCH + early)
        self.assertEqual(recipient.events[0], "switched")
        return upstream, recipient

    def test_bytes(self) -> None:
        """
        Bytes pass as they are, both ways, those in the same piece as the head too.
        """
        upstream, recipient = self.opened(b"\0early")
        upstream.say(b"HTTP/1.1 200 OK\r\n\r\n")
        upstream.connection.send_body(b"\xff")
        self.assertEqual(recipient.body, b"\0earlyHTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(upstream.transport.written, REQUEST + b"\xff")
        self.assertEqual(repr(upstream.connection), "<UpstreamConnection [tunnel, 1 served]>")

    def test_ended_by_instance(self) -> None:
        """
        Its end is the end of the tunnel, clean or not.
        """
        for clean in (True, False):
            upstream, recipient = self.opened()
            upstream.lose(clean)
            self.assertEqual(recipient.events, ["switched", "finished"])

    def test_ended_by_client(self) -> None:
        """
        When the client is gone, what it sent last still goes out.
        """
        upstream, recipient = self.opened()
        upstream.transport.stalled = True
        upstream.connection.send_body(b"bye")
        upstream.connection.hang_up()
        self.assertFalse(upstream.transport.closed)
        upstream.transport.flow()
        self.assertTrue(upstream.transport.closed)
        self.assertTrue(upstream.transport.written.endswith(b"bye"))
        self.assertFalse(upstream.transport.aborted)
        upstream.lose()
        self.assertEqual(recipient.events, ["switched"])

    def test_ended_by_client_before_an_instance_that_hangs(self) -> None:
        """
        But not for ever: B8.
        """
        upstream, _ = self.opened()
        upstream.transport.stalled = True
        upstream.connection.send_body(b"x" * 70000)
        upstream.connection.hang_up()
        upstream.owner.wait(10.5)
        self.assertTrue(upstream.transport.aborted)

    def test_idle(self) -> None:
        """
        A tunnel in which nothing moves is closed: B8.
        """
        upstream, recipient = self.opened()
        upstream.owner.wait(9.5)
        upstream.say(b"x")
        upstream.owner.wait(9.5)
        self.assertFalse(upstream.transport.closed)
        upstream.owner.wait(1)
        self.assertTrue(upstream.transport.closed)
        self.assertEqual(recipient.events, ["switched", "data", "finished"])

    def test_one_way(self) -> None:
        """
        One in which only the client speaks is not idle: B8.
        """
        upstream, recipient = self.opened()
        for _ in range(10):
            upstream.owner.wait(9)
            upstream.connection.send_body(b"x")
        self.assertEqual(recipient.events, ["switched"])

    def test_paused(self) -> None:
        """
        Nor is one whose client reads slowly: that is judged on the client's side.
        """
        upstream, recipient = self.opened()
        upstream.connection.pause_response()
        self.assertTrue(upstream.transport.paused)
        upstream.owner.wait(1000)
        self.assertEqual(recipient.events, ["switched"])
        upstream.connection.resume_response()
        self.assertFalse(upstream.transport.paused)
        upstream.owner.wait(10.5)
        self.assertEqual(recipient.events, ["switched", "finished"])


class TimeTests(SynchronousTestCase):
    """
    Tests for limits of time.
    """

    def times_out(self, upstream: Upstream, recipient: FakeRecipient, after: float) -> None:
        """
        The recipient is told after this time, and no sooner.
        """
        upstream.owner.wait(after - 0.5)
        self.assertIsNone(recipient.reason)
        upstream.owner.wait(1)
        self.assertIs(recipient.reason, Reason.UPSTREAM_TIMEOUT)
        self.assertFalse(recipient.replayable)
        self.assertTrue(upstream.transport.aborted)

    def test_no_response(self) -> None:
        """
        An instance that does not answer times out: C9.
        """
        upstream = Upstream()
        self.times_out(upstream, upstream.ask(), 20)

    def test_slow_head(self) -> None:
        """
        So does one whose head drips, or that sends interim responses only: C9.
        """
        for data in (b"HTTP/1.1 200 OK\r\nA: b\r\n", b"HTTP/1.1 103 x\r\n\r\n" * 3):
            upstream = Upstream()
            recipient = upstream.ask()
            for byte in data[:18]:
                upstream.say(bytes((byte,)))
                upstream.owner.wait(1)
            self.times_out(upstream, recipient, 2)

    def test_own_timeouts(self) -> None:
        """
        An exchange may have timeouts of its own.
        """
        upstream = Upstream()
        recipient = FakeRecipient()
        upstream.connection.begin(recipient, REQUEST, False, False, Timeouts(response=5))
        self.times_out(upstream, recipient, 5)

    def test_slow_request(self) -> None:
        """
        The time of the request does not count: the client's slowness is judged on its side.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.owner.wait(1000)
        upstream.connection.request_sent()
        self.times_out(upstream, recipient, 20)

    def test_instance_that_does_not_read(self) -> None:
        """
        But an instance that does not read its request does: C9, C11.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.transport.stalled = True
        upstream.connection.send_body(b"x" * 70000)
        self.assertEqual(recipient.events, ["pause"])
        self.times_out(upstream, recipient, 10)

    def test_instance_that_reads_again(self) -> None:
        """
        If it reads again in time, its time is over no more.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.transport.stalled = True
        upstream.connection.send_body(b"x" * 70000)
        upstream.owner.wait(9)
        upstream.transport.flow()
        upstream.owner.wait(1000)
        self.assertEqual(recipient.events, ["pause", "resume"])

    def test_whole_request_not_read(self) -> None:
        """
        When all of the request is on its way, the time for the response runs, read or not.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.transport.stalled = True
        upstream.connection.send_body(b"x" * 70000)
        upstream.connection.request_sent()
        self.times_out(upstream, recipient, 20)

    def test_whole_request_read_late(self) -> None:
        """
        It does not begin anew when the last of it is read.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.transport.stalled = True
        upstream.connection.send_body(b"x" * 70000)
        upstream.connection.request_sent()
        upstream.owner.wait(15)
        upstream.transport.flow()
        self.times_out(upstream, recipient, 5)

    def test_slow_body(self) -> None:
        """
        A body may pause for so long between two pieces: C9.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(OK[:-5])
        for byte in b"hell":
            upstream.owner.wait(9)
            upstream.say(bytes((byte,)))
        self.times_out(upstream, recipient, 10)

    def test_client_that_does_not_read(self) -> None:
        """
        Time in which the response is not read does not count against the instance: C11.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(OK[:-3])
        upstream.connection.pause_response()
        upstream.connection.pause_response()
        upstream.owner.wait(1000)
        self.assertIsNone(recipient.reason)
        upstream.connection.resume_response()
        upstream.connection.resume_response()
        self.times_out(upstream, recipient, 10)

    def test_both_slow(self) -> None:
        """
        That holds too when the instance has taken, meanwhile, what it did not read before.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.say(OK[:-3])
        upstream.transport.stalled = True
        upstream.connection.send_body(b"x" * 70000)
        upstream.connection.pause_response()
        upstream.transport.flow()
        upstream.owner.wait(1000)
        self.assertEqual(recipient.events, ["response 200", "pause", "resume"])

    def test_stalled_both_ways(self) -> None:
        """
        And when it does not read because it is not read, whichever came first: an echo is not to blame.
        """
        for pause_first in (False, True):
            upstream = Upstream()
            recipient = upstream.ask(request_open=True)
            upstream.say(OK[:-3])
            upstream.transport.stalled = True
            if pause_first:
                upstream.connection.pause_response()
            upstream.connection.send_body(b"x" * 70000)
            if not pause_first:
                upstream.connection.pause_response()
            upstream.owner.wait(1000)
            self.assertIsNone(recipient.reason)
            upstream.connection.resume_response()
            self.times_out(upstream, recipient, 10)

    def test_next_request_not_read(self) -> None:
        """
        An instance that has not even read the request before is given its time for the next one, and no more.
        """
        upstream = Upstream()
        upstream.ask(request_open=True)
        upstream.transport.stalled = True
        upstream.connection.send_body(b"x" * 70000)
        upstream.connection.request_sent()
        upstream.say(OK)
        self.assertTrue(upstream.kept)
        self.assertTrue(upstream.connection.request_paused)
        recipient = upstream.ask(request_open=True)
        self.times_out(upstream, recipient, 10)

    def test_paused_before_the_response(self) -> None:
        """
        A pause before the head came stops the clock as well, and afterwards the right one goes on.
        """
        upstream = Upstream()
        recipient = upstream.ask()
        upstream.connection.pause_response()
        upstream.owner.wait(1000)
        upstream.connection.resume_response()
        self.times_out(upstream, recipient, 20)

    def test_paused_while_sending(self) -> None:
        """
        While the request is being sent, no clock does.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.connection.pause_response()
        upstream.connection.resume_response()
        upstream.owner.wait(1000)
        self.assertIsNone(recipient.reason)

    def test_idle(self) -> None:
        """
        A connection that nobody needs closes at the deadline its owner gave it.
        """
        upstream = Upstream()
        recipient = upstream.ask_and_say(OK)
        upstream.connection.deadline = upstream.owner.deadlines.now + 5
        upstream.owner.wait(5.5)
        self.assertTrue(upstream.transport.closed)
        self.assertEqual(recipient.events, ["response 200"])


class BackpressureTests(SynchronousTestCase):
    """
    Tests for slow readers on either side.
    """

    def test_response(self) -> None:
        """
        While the client does not read, the response is not read: C11.
        """
        upstream = Upstream()
        upstream.ask_and_say(OK[:-3])
        upstream.connection.pause_response()
        self.assertTrue(upstream.transport.paused)
        upstream.connection.resume_response()
        self.assertFalse(upstream.transport.paused)

    def test_idle(self) -> None:
        """
        Nobody can stop an idle connection from being read: its end must be seen.
        """
        upstream = Upstream()
        upstream.ask_and_say(OK)
        upstream.connection.pause_response()
        self.assertFalse(upstream.transport.paused)

    def test_end_of_a_paused_response(self) -> None:
        """
        A pause ends with its response: the next exchange is read.
        """
        for data in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n"):
            upstream = Upstream()
            recipient = upstream.ask_and_say(data[:-3])
            upstream.connection.pause_response()
            upstream.connection.data_received(data[-3:])
            self.assertTrue(recipient.complete)
            self.assertFalse(upstream.transport.paused)

    def test_end_of_a_response_paused_early(self) -> None:
        """
        Also one that began before the final head.
        """
        for data in (OK, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"HTTP/1.1 204 x\r\n\r\n"):
            upstream = Upstream()
            recipient = upstream.ask()
            upstream.connection.pause_response()
            upstream.connection.data_received(data)
            self.assertTrue(recipient.complete)
            self.assertFalse(upstream.transport.paused)
            self.assertTrue(upstream.kept)

    def test_request(self) -> None:
        """
        An exchange is told when the instance reads slowly, and when it has caught up: C11.
        """
        upstream = Upstream()
        recipient = upstream.ask(request_open=True)
        upstream.transport.stalled = True
        upstream.connection.send_body(b"x" * 70000)
        upstream.transport.flow()
        self.assertEqual(recipient.events, ["pause", "resume"])

    def test_nobody_to_tell(self) -> None:
        """
        Without an exchange nobody is told.
        """
        upstream = Upstream()
        upstream.connection.writing_paused()
        upstream.connection.writing_resumed()


class PropertyTests(SynchronousTestCase):
    """
    Properties of L{UpstreamConnection}.
    """

    def outcome(self, data: bytes, lengths: list[int], head_only: bool, clean: bool) -> tuple[object, ...]:
        """
        What one exchange comes to.
        """
        upstream = Upstream()
        recipient = upstream.ask(head_only)
        upstream.say(data, lengths)
        if not upstream.transport.closed:
            upstream.lose(clean)
        status = None if recipient.head is None else recipient.head.status
        interim = [event for event in recipient.events if event.startswith("interim")]
        return status, recipient.complete, recipient.trailers, interim, upstream.owner.events, recipient.body

    @properties
    @given(
        st.sampled_from(
            [
                OK,
                OK + b"x",
                OK[:-1],
                b"HTTP/1.1 103 x\r\nA: b\r\n\r\n" + OK,
                CHUNKED + b"5\r\nhello\r\n3\r\nabc\r\n0\r\nX-A: b\r\n\r\n",
                CHUNKED + b"5\r\nhello\r\n0\r\n",
                UNTIL_CLOSE + b"hello",
                b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n",
                b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
                b"HTTP/1.1 200",
            ]
        ),
        splits(),
        st.booleans(),
        st.booleans(),
    )
    def test_any_split(self, data: bytes, lengths: list[int], head_only: bool, clean: bool) -> None:
        """
        However a response is cut into pieces, the same is delivered, and the connection has the same fate: A36.
        """
        whole = self.outcome(data, [len(data)], head_only, clean)
        cut = self.outcome(data, lengths, head_only, clean)
        if head_only or data == OK + b"x":
            # An extra byte may be part of the same piece, or come on an idle connection: over it is either way.
            self.assertEqual(cut[:4], whole[:4])
            self.assertEqual(cut[5], whole[5])
        else:
            self.assertEqual(cut, whole)

    @properties
    @given(
        noise(
            b"HTTP/1.1 200 OK\r\n",
            b"Content-Length: 3\r\n",
            b"\r\n\r\n",
            CHUNKED,
            OK,
            b"HTTP/1.1 100 x\r\n\r\n",
            b"3\r\nabc",
        ),
        splits(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
    def test_any_bytes(self, data: bytes, lengths: list[int], head_only: bool, request_open: bool, clean: bool) -> None:
        """
        Any bytes are a response, or none; nothing is raised, and the recipient hears exactly one end: L7.
        """
        upstream = Upstream()
        recipient = upstream.ask(head_only, request_open)
        upstream.say(data, lengths)
        upstream.lose(clean)
        self.assertEqual(recipient.complete + (recipient.reason is not None), 1, recipient.events)
        self.assertEqual(upstream.owner.events.count("gone"), 1)
