"""
HTTP/2: the life of streams (RFC 9113 sections 5.1, 5.3, 5.4 and 6.2 to 6.4).
"""

from __future__ import annotations

from tests.integration.h2_case import Gate, H2TestCase
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import (
    MOST,
    Code,
    Key,
    Kind,
    data,
    frame,
    goaway,
    headers,
    literal,
    priority,
    reset,
    settings,
    window_update,
)


class IdleTests(H2TestCase):
    """
    Streams that nobody has opened.
    """

    def test_5_1_idle(self) -> None:
        """
        Section 5.1: DATA, RST_STREAM and WINDOW_UPDATE on a stream that was never opened are errors of the connection,
        whoever it is that could open it.
        """
        for number in (1, 2, 3, 100, MOST):
            for raw in (data(number, b"x"), reset(number), window_update(number, 1)):
                client = self.connect()
                client.send(raw)
                self.connection_error(client, Code.PROTOCOL_ERROR)

    def test_5_3_priority_of_idle_streams(self) -> None:
        """
        Sections 5.1 and 5.3: PRIORITY may come on streams that are idle, and opens none.
        """
        client = self.connect()
        client.send(priority(1, 3) + priority(7) + priority(2) + priority(5, 1))
        self.unharmed(client)
        client.send(priority(1))
        self.unharmed(client)


class HalfClosedTests(H2TestCase):
    """
    Streams whose request is complete and whose response is not.
    """

    def test_5_1_data(self) -> None:
        """
        Sections 5.1 and 6.1: DATA behind END_STREAM is an error of the stream.
        """
        client = self.connect()
        stream, _ = self.hold(client)
        client.send(data(stream, b"more"))
        self.stream_error(client, stream, Code.STREAM_CLOSED)

    def test_5_1_headers(self) -> None:
        """
        Section 5.1: so is HEADERS; its block has been decoded nevertheless.
        """
        client = self.connect()
        stream, _ = self.hold(client)
        client.send(headers(stream, client.encode((b"x-behind", b"the end"))))
        self.stream_error(client, stream, Code.STREAM_CLOSED)
        self.assertEqual(client.ask(b"/sees", (b"x-behind", b"the end")).status, 200)
        self.assertEqual(self.arrival(b"/sees").value(b"x-behind"), b"the end")

    def test_5_1_other_frames(self) -> None:
        """
        Section 5.1: WINDOW_UPDATE and PRIORITY are in order there.
        """
        client = self.connect()
        stream, gate = self.hold(client)
        client.send(window_update(stream, 1000) + priority(stream, 9))
        self.assertTrue(client.barrier())
        gate.open()
        self.assertEqual(client.whole(stream).status, 200)
        self.unharmed(client)

    def test_5_1_reset(self) -> None:
        """
        Sections 5.1 and 5.4.2: RST_STREAM ends it; the gateway ends the request at the backend, too, and answers
        with no RST_STREAM of its own.
        """
        client = self.connect()
        stream, gate = self.hold(client, b"/cancelled")
        connection = next(one for one in self.backend.connections if one.requests)
        client.send(reset(stream))
        self.until(lambda: connection.closed, "closed at the backend")
        gate.open()
        self.unharmed(client)
        self.assertEqual(client.of(Kind.RST_STREAM) + client.of(Kind.HEADERS, stream), [])


class ClosedTests(H2TestCase):
    """
    Streams that are over.
    """

    def over(self, *more: tuple[bytes, bytes]) -> H2Client:
        """
        A client whose stream 1 has its whole response.
        """
        client = self.connect()
        self.assertEqual(client.ask(b"/over", *more).status, 200)
        return client

    def either(self, client: H2Client, stream: int, *codes: Code) -> None:
        """
        An error of the stream or of the connection, with one of these codes.
        """
        client.until(lambda: client.closed or client.stream(stream).code is not None)
        self.assertIn(client.goaway if client.closed else client.stream(stream).code, codes, client)

    def test_5_1_content(self) -> None:
        """
        Sections 5.1 and 6.1: DATA on a stream that was closed by both sides is an error, and so is HEADERS.
        """
        for raw in (data(1, b"x", True), data(1, b""), headers(1, literal([(b"x-trailer", b"1")]))):
            client = self.over()
            client.send(raw)
            self.either(client, 1, Code.STREAM_CLOSED)

    def test_5_1_1_used_again(self) -> None:
        """
        Section 5.1.1: no identifier is used twice.
        """
        client = self.over()
        client.send(headers(1, client.encode(*request(b"/again"))))
        self.either(client, 1, Code.STREAM_CLOSED, Code.PROTOCOL_ERROR)
        self.assertEqual(self.backend.find(b"/again"), [])

    def test_5_1_late_frames(self) -> None:
        """
        Section 5.1: WINDOW_UPDATE, RST_STREAM and PRIORITY may still be under way when a stream closes.
        """
        client = self.over()
        client.send(window_update(1, 100) + priority(1, 3) + reset(1) + window_update(1, 100) + priority(1, 5))
        self.unharmed(client)

    def test_5_1_after_a_reset(self) -> None:
        """
        Section 5.1: a client that has reset a stream sends nothing more on it; if it does, no request comes of it.
        """
        for raw in (data(1, b"x", True), headers(1, literal(request(b"/again")))):
            client = self.connect()
            self.hold(client, end=False)
            client.send(reset(1) + raw)
            self.either(client, 1, Code.STREAM_CLOSED)
        self.assertEqual([one for one in self.backend.find(b"/held") if one.complete], [])
        self.assertEqual(self.backend.find(b"/again"), [])

    def test_5_1_what_was_under_way(self) -> None:
        """
        Section 5.1: after a stream was reset by the gateway, frames that were under way are dropped: header blocks are
        decoded, and nothing is an error.
        """
        client = self.connect()
        self.hold(client, b"/broken", end=False)
        client.send(window_update(1, 0))
        self.assertEqual(client.reset_of(1), Code.PROTOCOL_ERROR)
        client.send(data(1, b"late") + window_update(1, 5) + priority(1) + data(1, b"later"))
        client.send(headers(1, client.encode((b"x-late", b"trailer"))) + reset(1))
        self.assertEqual(client.ask(b"/sees", (b"x-late", b"trailer")).status, 200, client)
        self.assertEqual(self.arrival(b"/sees").value(b"x-late"), b"trailer")
        self.assertIsNone(client.goaway)
        self.assertFalse(self.arrival(b"/broken").complete)

    def test_5_1_what_was_under_way_counts(self) -> None:
        """
        Sections 5.1 and 6.9: DATA that is dropped so still counts in the connection's window, and room for it is given
        back: many such streams do not use it up.
        """
        client = self.connect()
        content = bytes(16000)
        for _ in range(100):
            stream = client.open(request(b"/broken", method=b"POST"), end=False)
            client.send(window_update(stream, 0))
            for _ in range(4):
                self.assertTrue(client.until(lambda: client.credit >= len(content)), f"no window left: {client}")
                client.spend(stream, len(content))
                client.send(data(stream, content))
            client.end(stream)
            if client.closed:
                break
        self.assertIn((client.closed, client.goaway), (("", None), ("eof", Code.ENHANCE_YOUR_CALM)), client)
        self.assertGreater(client.next, 41, "not even twenty mistakes were forgiven")


class IdentifierTests(H2TestCase):
    """
    The numbers of streams.
    """

    def test_5_1_1_even(self) -> None:
        """
        Section 5.1.1: even identifiers are the server's.
        """
        for number in (2, 100, MOST - 1):
            client = self.connect()
            client.send(headers(number, literal(request(b"/even"))))
            self.connection_error(client, Code.PROTOCOL_ERROR)
        self.assertEqual(self.backend.find(b"/even"), [])

    def test_5_1_1_decreasing(self) -> None:
        """
        Section 5.1.1: identifiers only grow; those that were left out cannot be used later.
        """
        client = self.connect()
        client.next = 7
        self.unharmed(client)
        client.send(headers(5, client.encode(*request(b"/lower"))))
        self.connection_error(client, Code.PROTOCOL_ERROR, Code.STREAM_CLOSED)
        self.assertEqual(self.backend.find(b"/lower"), [])

    def test_5_1_1_left_out(self) -> None:
        """
        Section 5.1.1: identifiers may be left out, up to the last one that there is.
        """
        client = self.connect()
        for number in (1, 9, 1001, MOST - 2, MOST):
            client.send(headers(number, client.encode(*request(b"/gaps"))))
            self.assertEqual(client.whole(number).status, 200)

    def test_5_1_2_too_many(self) -> None:
        """
        Section 5.1.2: a stream above the number that the gateway offered is refused, so that it can be tried again; the
        others are served.
        """
        client = self.connect()
        gate = self.backend.scripts[b"/held"] = Gate()
        most = client.settings[Key.MAX_CONCURRENT_STREAMS]
        held = [client.open(request(b"/held/%d" % number)) for number in range(most)]
        self.until(lambda: len(self.backend.find(b"/held")) == most, "all at the backend")
        above = client.open(request(b"/above"))
        self.assertIn(client.reset_of(above), (Code.REFUSED_STREAM, Code.PROTOCOL_ERROR), client)
        gate.open()
        self.assertEqual({client.whole(stream).status for stream in held}, {200})
        self.unharmed(client)
        self.assertEqual(self.backend.find(b"/above"), [])

    def test_5_1_2_what_is_over_does_not_count(self) -> None:
        """
        Section 5.1.2: streams that are over, answered or reset, leave room for others.
        """
        client = self.connect()
        for _ in range(2):
            held = [client.open(request(b"/short/%d" % number)) for number in range(80)]
            self.assertEqual({client.whole(stream).status for stream in held}, {200})
        gate = self.backend.scripts[b"/held"] = Gate()
        held = [client.open(request(b"/held/%d" % number)) for number in range(100)]
        client.send(b"".join(map(reset, held[:20])))
        held = held[20:] + [client.open(request(b"/held/again/%d" % number)) for number in range(20)]
        gate.open()
        self.assertEqual({client.whole(stream).status for stream in held}, {200})


class ErrorTests(H2TestCase):
    """
    What errors say.
    """

    def test_5_4_1_last_stream(self) -> None:
        """
        Sections 5.4.1 and 6.8: GOAWAY names the last stream on which something may have been done, so that a client
        knows what it can repeat.
        """
        client = self.connect()
        for _ in range(3):
            self.unharmed(client)
        client.send(data(0, b""))
        self.connection_error(client, Code.PROTOCOL_ERROR)
        self.assertEqual([one.word() for one in client.of(Kind.GOAWAY)], [5])

    def test_5_4_1_what_is_running_ends(self) -> None:
        """
        Section 5.4.1: with the connection all its streams end, and their requests at the backend too.
        """
        client = self.connect()
        self.hold(client)
        connection = next(one for one in self.backend.connections if one.requests)
        client.send(data(0, b""))
        self.connection_error(client, Code.PROTOCOL_ERROR)
        self.until(lambda: connection.closed, "closed at the backend")

    def test_5_4_2_reset_is_final(self) -> None:
        """
        Section 5.4.2: RST_STREAM is never answered with RST_STREAM, whatever its code.
        """
        client = self.connect()
        for code in (*Code, 0xFFFFFFFF):
            stream = client.open(request(b"/reset"))
            client.send(reset(stream, code))
            self.assertTrue(client.barrier())
        self.unharmed(client)
        self.assertEqual(client.of(Kind.RST_STREAM), [])

    def test_5_4_a_client_that_leaves(self) -> None:
        """
        Section 5.4.3: when the TCP connection ends, so do its requests at the backend.
        """
        for leave in (H2Client.close, H2Client.abort):
            client = self.connect()
            self.hold(client)
            open_before = [one for one in self.backend.open_connections if one.busy]
            self.assertEqual(len(open_before), 1)
            leave(client)
            self.until(lambda: open_before[0].closed, "closed at the backend")  # noqa: B023


class PriorityTests(H2TestCase):
    """
    The scheme of priorities, which is deprecated and still comes.
    """

    def test_6_2_in_headers(self) -> None:
        """
        Section 6.2: HEADERS may carry a priority and padding, both of which are skipped.
        """
        client = self.connect()
        more = (1 << 31 | 11).to_bytes(4, "big") + b"\xff"
        for number, padding, priorities in ((1, None, more), (3, 0, b""), (5, 255, b""), (7, 10, more)):
            block = client.encode(*request(b"/padded/%d" % number))
            client.send(headers(number, block, padding=padding, more=priorities))
            self.assertEqual(client.whole(number).status, 200)

    def test_5_3_dependencies(self) -> None:
        """
        Section 5.3: that a stream depends on itself was forbidden once (RFC 7540 section 5.3.1) and means nothing now:
        the request is answered, or this is its error.
        """
        itself = (1).to_bytes(4, "big") + b"\x0f"
        for more, behind in ((b"", priority(1, 1)), (itself, b"")):
            client = self.connect()
            client.send(headers(1, client.encode(*request(b"/self")), more=more) + behind)
            client.until(lambda: client.closed or client.stream(1).done)  # noqa: B023
            seen = client.goaway if client.closed else client.stream(1).code or client.stream(1).status
            self.assertIn(seen, (200, Code.PROTOCOL_ERROR), client)


class DepartureTests(H2TestCase):
    """
    A client that says goodbye.
    """

    def test_6_8_goaway(self) -> None:
        """
        Section 6.8: what runs when a client sends GOAWAY, for whatever reason, is still answered.
        """
        for code in (Code.NO_ERROR, Code.INTERNAL_ERROR, 0xDEADBEEF):
            client = self.connect()
            stream, gate = self.hold(client)
            client.send(goaway(0, code, b"so long"))
            gate.open()
            self.assertEqual(client.whole(stream).status, 200)

    def test_6_6_push_promise(self) -> None:
        """
        Sections 6.6 and 8.4: a client cannot push.
        """
        client = self.connect()
        self.hold(client)
        client.send(frame(Kind.PUSH_PROMISE, 4, 1, (2).to_bytes(4, "big") + literal(request(b"/pushed"))))
        self.connection_error(client, Code.PROTOCOL_ERROR)
        self.assertEqual(self.backend.find(b"/pushed"), [])

    def test_6_5_settings_while_running(self) -> None:
        """
        Section 6.5: settings may change at any time.
        """
        client = self.connect()
        stream, gate = self.hold(client)
        client.send(settings((Key.HEADER_TABLE_SIZE, 0), (Key.MAX_FRAME_SIZE, 1 << 20)))
        self.assertTrue(client.barrier())
        gate.open()
        self.assertEqual(client.whole(stream).status, 200)
