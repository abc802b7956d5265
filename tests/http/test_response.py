"""
Tests for L{siger.http.response}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.fields import HOP_BY_HOP, HeadError
from siger.http.response import ResponseHead, ResponseParser
from tests.http.generators import noise, properties, tokens


def parse(line: bytes, *lines: bytes) -> ResponseHead:
    """
    A head of a status line and these field lines.
    """
    return ResponseParser().head(b"\r\n".join((line, *lines)))


def ok(*lines: bytes) -> ResponseHead:
    """
    A head with status 200.
    """
    return parse(b"HTTP/1.1 200 OK", *lines)


class _RefusalMixin(SynchronousTestCase):
    """
    Asserts that a head is refused.
    """

    def refused(self, line: bytes, *lines: bytes) -> None:
        """
        The head is malformed, which is the instance's fault.
        """
        error = self.assertRaises(HeadError, parse, line, *lines)
        self.assertIs(error.reason, Reason.UPSTREAM_MALFORMED, (line, lines))


class StatusLineTests(_RefusalMixin):
    """
    Tests for status lines.
    """

    def test_plain(self) -> None:
        """
        A version, a status and a phrase, which may be anything printable.
        """
        head = parse(b"HTTP/1.1 404 Not \xe9 There")
        self.assertEqual((head.status, head.phrase, head.close), (404, b"Not \xe9 There", False))
        self.assertEqual(repr(head), "<ResponseHead 404>")

    def test_no_phrase(self) -> None:
        """
        The phrase may be empty, and even the space before it may lack.
        """
        self.assertEqual(parse(b"HTTP/1.1 200 ").phrase, b"")
        self.assertEqual(parse(b"HTTP/1.1 200").phrase, b"")

    def test_old_version(self) -> None:
        """
        An instance that speaks HTTP/1.0 closes, whatever it says.
        """
        self.assertTrue(parse(b"HTTP/1.0 200 OK").close)
        self.assertTrue(parse(b"HTTP/1.0 200 OK", b"Connection: keep-alive").close)

    def test_refused(self) -> None:
        """
        Anything else is malformed: C1.
        """
        for line in (
            b"",
            b"HTTP/1.1",
            b"HTTP/1.1 ",
            b"HTTP/1.1 20",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 000 OK",
            b"HTTP/1.1 099 OK",
            b"HTTP/1.1 600 OK",
            b"HTTP/1.1 999 OK",
            b"HTTP/1.1 +20 OK",
            b"HTTP/1.1 2_0 OK",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1\t200 OK",
            b" HTTP/1.1 200 OK",
            b"http/1.1 200 OK",
            b"HTTP/2.0 200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/0.9 200 OK",
            b"HTTP/1.1 200 OK\x00",
            b"HTTP/1.1 200 O\nK",
            b"HTTP/1.1 200 O\rK",
            b"HTTP/1.1 200\n",
            b"ICY 200 OK",
            b"\xef\xbc\x92HTTP/1.1 200 OK",
        ):
            self.refused(line)

    def test_bodyless(self) -> None:
        """
        Interim responses, 204 and 304 never have a body: C4.
        """
        found = [status for status in range(100, 600) if parse(b"HTTP/1.1 %d x" % status).bodyless]
        self.assertEqual(found, [*range(100, 200), 204, 304])


class FramingTests(_RefusalMixin):
    """
    Tests for where a body ends.
    """

    def test_length(self) -> None:
        """
        By a length.
        """
        head = ok(b"content-length: 005")
        self.assertEqual((head.length, head.chunked), (5, False))

    def test_chunked(self) -> None:
        """
        By chunks.
        """
        head = ok(b"Transfer-Encoding: Chunked")
        self.assertEqual((head.length, head.chunked), (None, True))

    def test_neither(self) -> None:
        """
        By nothing that the head says.
        """
        head = ok(b"X-A: b")
        self.assertEqual((head.length, head.chunked), (None, False))

    def test_bad_length(self) -> None:
        """
        A length that is no number, or is said twice, is malformed: C1.
        """
        for value in (b"", b"+5", b"-5", b"0x5", b"1_0", b"5 5", b"5, 5", b"\xa05", b"1" * 20, b"1" * 5000):
            self.refused(b"HTTP/1.1 200 OK", b"Content-Length: " + value)
        self.refused(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Length: 6")
        self.refused(b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Length: 5")

    def test_bad_coding(self) -> None:
        """
        So is a coding other than chunked, or chunked twice, or beside a length, or from HTTP/1.0: C1.
        """
        for value in (b"", b"gzip", b"identity", b"gzip, chunked", b"chunked, chunked", b"chunked;a", b"chunked\x85"):
            self.refused(b"HTTP/1.1 200 OK", b"Transfer-Encoding: " + value)
        chunked = b"Transfer-Encoding: chunked"
        self.refused(b"HTTP/1.1 200 OK", chunked, chunked)
        self.refused(b"HTTP/1.1 200 OK", chunked, b"Content-Length: 5")
        self.refused(b"HTTP/1.1 200 OK", b"Content-Length: 5", chunked)
        self.refused(b"HTTP/1.0 200 OK", chunked)

    def test_close(self) -> None:
        """
        C{close} among the connection's options ends the connection.
        """
        for lines in (
            (b"Connection: close",),
            (b"connection: x, CLOSE",),
            (b"Connection: keep-alive", b"Connection: close"),
        ):
            self.assertTrue(ok(*lines).close, lines)
        self.assertFalse(ok(b"Connection: keep-alive, x-close").close)

    def test_close_and_chunked(self) -> None:
        """
        It says nothing about the body.
        """
        head = ok(b"Connection: close", b"Transfer-Encoding: chunked")
        self.assertEqual((head.chunked, head.close), (True, True))


class FieldsTests(_RefusalMixin):
    """
    Tests for what travels on.
    """

    def test_order(self) -> None:
        """
        Lines travel on in their order, repetitions included.
        """
        relay = ok(b"Set-Cookie:a=b", b"Server: x", b"set-cookie: c=d", b"Vary:").relay
        self.assertEqual(relay, b"Set-Cookie: a=b\r\nServer: x\r\nset-cookie: c=d\r\nVary: \r\n")

    def test_hop_by_hop(self) -> None:
        """
        Fields of this connection and framing end here: C15.
        """
        for name in sorted((HOP_BY_HOP - {b"transfer-encoding"}) | {b"sec-websocket-accept", b"x-request-id"}):
            self.assertEqual(ok(name.title() + b": a", b"X-A: b").relay, b"X-A: b\r\n", name)
        self.assertEqual(ok(b"Content-Length: 5").relay, b"")
        self.assertEqual(ok(b"Transfer-Encoding: chunked").relay, b"")

    def test_look_alikes(self) -> None:
        """
        What a client could take for framing is dropped.
        """
        self.assertEqual(ok(b"Content.Length: 5", b"Transfer_Encoding: chunked", b"X-A: b").relay, b"X-A: b\r\n")

    def test_underscores(self) -> None:
        """
        Other names with underscores travel on: only requests are the worse for them.
        """
        self.assertEqual(ok(b"X_A: b").relay, b"X_A: b\r\n")

    def test_named(self) -> None:
        """
        What Connection names ends here too, but for what cannot be named: C15, D2.
        """
        lines = (b"X-A: b", b"Connection: x-a, set-cookie, content-length, date", b"Set-Cookie: c", b"Date: d")
        head = ok(*lines, b"Content-Length: 0", b"X-B: e")
        self.assertEqual(head.relay, b"Set-Cookie: c\r\nDate: d\r\nX-B: e\r\n")
        self.assertEqual(head.length, 0)

    def test_date(self) -> None:
        """
        It is noted whether there is a date.
        """
        self.assertTrue(ok(b"date: Mon, 01 Jan 2024 00:00:00 GMT").dated)
        self.assertFalse(ok(b"X-A: b").dated)
        self.assertFalse(ok(b"Content-Length: 0").dated)

    def test_malformed(self) -> None:
        """
        One bad line spoils the head: C1.
        """
        for line in (
            b"",
            b"a",
            b": b",
            b"a : b",
            b" a: b",
            b"\ta: b",
            b"a: \x00",
            b"a: b\nc: d",
            b"a: b\rc",
            b"a\xe9: b",
        ):
            self.refused(b"HTTP/1.1 200 OK", line)
            self.refused(b"HTTP/1.1 200 OK", b"X-A: b", line)

    def test_count(self) -> None:
        """
        More lines than the limit are refused: C10.
        """
        lines = [b"X-%d: a" % number for number in range(200)]
        self.assertEqual(len(ok(*lines).relay.split(b"\r\n")), 201)
        self.refused(b"HTTP/1.1 200 OK", *lines, b"Y: b")
        self.assertRaises(HeadError, ResponseParser(max_fields=1).head, b"HTTP/1.1 200 OK\r\nA: b\r\nC: d")

    def test_upgrade(self) -> None:
        """
        What an upgrade is judged by can be read: B6.
        """
        head = parse(b"HTTP/1.1 101 x", b"Upgrade: WebSocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: a")
        self.assertEqual(head.owned[b"upgrade"], b"WebSocket")
        self.assertEqual(head.owned[b"sec-websocket-accept"], b"a")
        self.refused(b"HTTP/1.1 101 x", b"Sec-WebSocket-Accept: a", b"Sec-WebSocket-Accept: b")

    def test_lists_are_joined(self) -> None:
        """
        Lines of a list that the gateway reads are one list.
        """
        self.assertEqual(ok(b"Connection: a", b"Connection: b").owned[b"connection"], b"a, b")

    def test_repetition(self) -> None:
        """
        A head that comes again means the same; one that was refused is refused again.
        """
        parser = ResponseParser()
        raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nContent-Length: 5\r\nX-A: b"
        first, second = parser.head(raw), parser.head(raw)
        self.assertEqual((first.relay, first.owned, first.length), (second.relay, second.owned, second.length))
        for _ in range(2):
            self.assertRaises(HeadError, parser.head, b"HTTP/1.1 200 OK\r\nA : b")


class IdleLimitTests(SynchronousTestCase):
    """
    Tests for how long an instance keeps a connection: C13.
    """

    def test_hint(self) -> None:
        """
        One second less than the instance says, and never more than the default.
        """
        for value, limit in (
            (b"timeout=5", 4.0),
            (b"max=100, Timeout=20", 19.0),
            (b"timeout=600", 55.0),
            (b"timeout=99999", 55.0),
        ):
            self.assertEqual(ok(b"Keep-Alive: " + value).idle_limit, limit, value)

    def test_no_hint(self) -> None:
        """
        Anything else says nothing.
        """
        for value in (b"", b"max=5", b"timeout=", b"timeout=x", b"xtimeout=5", b"timeout=-5", b"timeout=123456", b"5"):
            self.assertEqual(ok(b"Keep-Alive: " + value).idle_limit, 55.0, value)
        self.assertEqual(ok().idle_limit, 55.0)


class PropertyTests(SynchronousTestCase):
    """
    Properties of L{ResponseParser}.
    """

    @properties
    @given(
        noise(
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 204\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked",
            b"A: b",
        )
        | noise(b"A: b\r\n", b"Connection: close, a").map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest)
    )
    def test_any_bytes(self, raw: bytes) -> None:
        """
        Of any bytes, the parser makes a head that can be written anew, or raises L{HeadError}: C1, L7.
        """
        try:
            head = ResponseParser().head(raw)
        except HeadError as error:
            self.assertIs(error.reason, Reason.UPSTREAM_MALFORMED)
            return
        self.assertTrue(100 <= head.status < 600)
        relayed = head.relay.split(b"\r\n")
        self.assertEqual(relayed.pop(), b"")
        for line in relayed:
            self.assertRegex(line, rb"\A[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\Z")
            self.assertNotIn(line.partition(b":")[0].lower(), (b"content-length", b"transfer-encoding", b"connection"))

    @properties
    @given(st.lists(st.tuples(tokens, st.text(max_size=10).map(str.encode)), max_size=8))
    def test_cached_or_not(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """
        A parser that has seen the lines before makes the same of them as a new one.
        """
        raw = b"\r\n".join([b"HTTP/1.1 200 OK", *(b"%b: %b" % pair for pair in pairs)])
        used = ResponseParser()
        outcomes = []
        for parser in (used, used, ResponseParser()):
            try:
                head = parser.head(raw)
                outcomes.append((head.relay, head.owned, head.close, head.length, head.dated))
            except HeadError as error:
                outcomes.append(error.reason)
        self.assertEqual(outcomes[0], outcomes[1])
        self.assertEqual(outcomes[0], outcomes[2])
