"""
Tests for L{siger.http.request} and L{siger.http.request_parser}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.fields import HOP_BY_HOP, HeadError
from siger.http.request import METHODS, RequestFields, RequestHead
from siger.http.request_parser import RequestParser
from tests.http.generators import noise, properties, tokens


def parse_fields(*lines: bytes) -> RequestFields:
    """
    A header section of these lines.
    """
    return RequestParser().fields(b"\r\n".join(lines))


def parse(line: bytes, *lines: bytes) -> RequestHead:
    """
    A head of a request-line and these field lines.
    """
    parser = RequestParser()
    return parser.head(line, parser.fields(b"\r\n".join(lines)))


class _RefusalMixin:
    """
    Asserts what a refusal says.
    """

    def refused(self: SynchronousTestCase, reason: Reason, line: bytes, *lines: bytes) -> None:  # type: ignore[misc]
        error = self.assertRaises(HeadError, parse, line, *lines)
        self.assertIs(error.reason, reason, (line, lines))


class RequestLineTests(_RefusalMixin, SynchronousTestCase):
    """
    Tests for request-lines.
    """

    def test_plain(self) -> None:
        """
        Method, path and query in their one normal form, and the host.
        """
        head = parse(b"GET /services/echo/x?y=1 HTTP/1.1", b"Host: a.test")
        self.assertEqual(
            (head.method, head.path, head.query, head.version, head.host),
            (b"GET", b"/services/echo/x", b"?y=1", 11, b"a.test"),
        )

    def test_repr(self) -> None:
        """
        A head shows its method and its path.
        """
        self.assertEqual(repr(parse(b"GET /a?secret HTTP/1.1", b"Host: a.test")), "<RequestHead GET /a>")

    def test_methods(self) -> None:
        """
        The seven methods of REST are taken: A26.
        """
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"):
            self.assertIn(method, METHODS)
            self.assertEqual(parse(method + b" / HTTP/1.1", b"Host: a.test").method, method)

    def test_other_methods(self) -> None:
        """
        Other methods are not implemented, and C{get} is another method: A26.
        """
        for method in (b"get", b"BREW", b"PROPFIND", b"G_T", b"A" * 33, b"CONNECTX"):
            self.refused(Reason.METHOD_UNKNOWN, method + b" / HTTP/1.1", b"Host: a.test")

    def test_refused_methods(self) -> None:
        """
        C{TRACE}, C{TRACK} and C{CONNECT}, in any target form, are never allowed: A26, A30.
        """
        self.refused(Reason.METHOD_NOT_ALLOWED, b"TRACE / HTTP/1.1", b"Host: a.test")
        self.refused(Reason.METHOD_NOT_ALLOWED, b"TRACK / HTTP/1.1", b"Host: a.test")
        self.refused(Reason.METHOD_NOT_ALLOWED, b"CONNECT b.test:443 HTTP/1.1", b"Host: b.test:443")

    def test_method_is_a_token(self) -> None:
        """
        What is no token is no method: A26.
        """
        for method in (b"G(T", b"G\tT", b"\x00GET", b"G\xc9T", b"GET\x0b", b"\rGET", b'"GET"'):
            self.refused(Reason.MALFORMED_REQUEST, method + b" / HTTP/1.1", b"Host: a.test")

    def test_three_words(self) -> None:
        """
        A request-line is three words with one space between them: A24.
        """
        for line in (
            b"",
            b"GET",
            b"GET /",
            b"GET  / HTTP/1.1",
            b"GET /  HTTP/1.1",
            b" GET / HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b"GET / x HTTP/1.1",
            b"GET\t/\tHTTP/1.1",
            b"GET\x0b/ HTTP/1.1",
            b"GET /\x0cHTTP/1.1",
        ):
            self.refused(Reason.MALFORMED_REQUEST, line, b"Host: a.test")

    def test_old_version(self) -> None:
        """
        HTTP/1.0 is spoken, without a host if need be: A25.
        """
        head = parse(b"GET / HTTP/1.0")
        self.assertEqual((head.version, head.host), (10, b""))

    def test_versions_not_spoken(self) -> None:
        """
        Versions that HTTP has, but this gateway does not speak here, are unsupported: A25.
        """
        for version in (b"HTTP/1.2", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9"):
            self.refused(Reason.VERSION_UNSUPPORTED, b"GET / " + version, b"Host: a.test")

    def test_versions_that_are_none(self) -> None:
        """
        Anything else is no version: A25.
        """
        for version in (
            b"",
            b"HTTP/0.9",
            b"http/1.1",
            b"HTTP/1.10",
            b"HTTP/01.1",
            b"HTTP/1",
            b"HTTP/1.1\r",
            b"HTTP/1,1",
        ):
            self.refused(Reason.MALFORMED_REQUEST, b"GET / " + version, b"Host: a.test")

    def test_asterisk(self) -> None:
        """
        The asterisk-form is for C{OPTIONS} alone: A27.
        """
        head = parse(b"OPTIONS * HTTP/1.1", b"Host: a.test")
        self.assertEqual((head.path, head.query, head.host), (b"*", b"", b"a.test"))
        self.refused(Reason.INVALID_TARGET, b"GET * HTTP/1.1", b"Host: a.test")

    def test_unusual_target(self) -> None:
        """
        A target that is not in normal form is normalised.
        """
        head = parse(b"GET /a/%2e./%7Eb?c HTTP/1.1", b"Host: a.test")
        self.assertEqual((head.path, head.query), (b"/~b", b"?c"))

    def test_bad_target(self) -> None:
        """
        A target that cannot be is refused: A27.
        """
        for target in (b"a", b"/a#b", b"/a\\b", b"/%zz", b"/\xff", b"ftp://a.test/"):
            self.refused(Reason.INVALID_TARGET, b"GET %b HTTP/1.1" % target, b"Host: a.test")


class HostTests(_RefusalMixin, SynchronousTestCase):
    """
    Tests for Host and the authority of a target.
    """

    def test_missing(self) -> None:
        """
        HTTP/1.1 has exactly one Host, and it is not empty: A28.
        """
        self.refused(Reason.INVALID_HOST, b"GET / HTTP/1.1")
        self.refused(Reason.INVALID_HOST, b"GET / HTTP/1.1", b"Host:")
        self.refused(Reason.INVALID_HOST, b"GET / HTTP/1.1", b"X-A: b")

    def test_twice(self) -> None:
        """
        Two of them are refused, equal or not: A28, A35.
        """
        self.refused(Reason.INVALID_HOST, b"GET / HTTP/1.1", b"Host: a.test", b"Host: b.test")
        self.refused(Reason.INVALID_HOST, b"GET / HTTP/1.1", b"Host: a.test", b"host: a.test")

    def test_invalid(self) -> None:
        """
        It is a host and a port, and nothing else: A28.
        """
        for value in (b"a b", b"a,b", b"u@a", b"a/b", b"a:99999", b"http://a", b"[::1", b"a\tb"):
            self.refused(Reason.INVALID_HOST, b"GET / HTTP/1.1", b"Host: " + value)

    def test_invalid_in_old_version(self) -> None:
        """
        HTTP/1.0 needs none, but one that is there is valid.
        """
        self.refused(Reason.INVALID_HOST, b"GET / HTTP/1.0", b"Host: a b")

    def test_case_and_spaces(self) -> None:
        """
        The name has any case of letters; spaces around the value are no part of it.
        """
        self.assertEqual(parse(b"GET / HTTP/1.1", b"hOST: \ta.test ").host, b"a.test")

    def test_absolute_form(self) -> None:
        """
        In absolute-form the target's authority is the host, and Host says the same: A29.
        """
        head = parse(b"GET http://A.test/b?c HTTP/1.1", b"Host: a.test")
        self.assertEqual((head.host.lower(), head.path, head.query), (b"a.test", b"/b", b"?c"))
        self.refused(Reason.INVALID_HOST, b"GET http://b.test/ HTTP/1.1", b"Host: a.test")
        self.refused(Reason.INVALID_HOST, b"GET http://a.test/ HTTP/1.1")

    def test_absolute_form_in_old_version(self) -> None:
        """
        In HTTP/1.0 too, though there may be no Host: A29.
        """
        self.assertEqual(parse(b"GET http://a.test/ HTTP/1.0").host, b"a.test")
        self.assertEqual(parse(b"GET http://a.test/ HTTP/1.0", b"Host: a.test").host, b"a.test")
        self.refused(Reason.INVALID_HOST, b"GET http://b.test/ HTTP/1.0", b"Host: a.test")


class FramingTests(_RefusalMixin, SynchronousTestCase):
    """
    Tests for Content-Length, Transfer-Encoding and Expect.
    """

    def test_none(self) -> None:
        """
        Without either there is no body.
        """
        fields = parse_fields(b"Host: a.test")
        self.assertEqual((fields.content_length, fields.chunked), (None, False))

    def test_length(self) -> None:
        """
        Content-Length is a number, with zeros in front or without: A5, A6.
        """
        self.assertEqual(parse_fields(b"Content-Length: 5").content_length, 5)
        self.assertEqual(parse_fields(b"Content-Length: 005").content_length, 5)
        self.assertEqual(parse_fields(b"content-length:0").content_length, 0)

    def test_length_that_is_none(self) -> None:
        """
        Anything but 1 to 19 ASCII digits is refused: A5, A7.
        """
        values = (
            b"",
            b"+5",
            b"-5",
            b"0x5",
            b"1_0",
            b"5.0",
            b"5 5",
            b"\xa05",
            b"5\x85",
            b"1" * 20,
            b"1" * 5000,
            b"five",
        )
        for value in values:
            self.refused(Reason.INVALID_FRAMING, b"POST / HTTP/1.1", b"Host: a.test", b"Content-Length: " + value)

    def test_length_twice(self) -> None:
        """
        Two lengths are refused, on two lines or in a list, equal or not: A6.
        """
        for pair in ((b"5", b"6"), (b"5", b"5")):
            lines = [b"Content-Length: " + value for value in pair]
            self.refused(Reason.MALFORMED_REQUEST, b"POST / HTTP/1.1", b"Host: a.test", *lines)
            listed = b"Content-Length: " + b", ".join(pair)
            self.refused(Reason.INVALID_FRAMING, b"POST / HTTP/1.1", b"Host: a.test", listed)

    def test_chunked(self) -> None:
        """
        C{chunked} is understood in any case of letters: A2.
        """
        self.assertTrue(parse_fields(b"Transfer-Encoding: chunked").chunked)
        self.assertTrue(parse_fields(b"transfer-encoding:\t CHUNKED \t").chunked)

    def test_other_codings(self) -> None:
        """
        Nothing else is, alone or beside it: A2, A3.
        """
        for value in (
            b"",
            b"gzip",
            b"identity",
            b"gzip, chunked",
            b"chunked, gzip",
            b"chunked, chunked",
            b"chunked,",
            b",chunked",
            b"xchunked",
            b"chunkedx",
            b"chunked;q=1",
            b'"chunked"',
            b"chunked\x85",
            b"\xa0chunked",
            b"chun ked",
        ):
            self.refused(Reason.TRANSFER_CODING, b"POST / HTTP/1.1", b"Host: a.test", b"Transfer-Encoding: " + value)

    def test_control_in_coding(self) -> None:
        """
        A vertical tab beside it is refused as the control it is: A2, A18.
        """
        for value in (b"\x0bchunked", b"chunked\x0c", b"chunked\x00"):
            self.refused(Reason.MALFORMED_REQUEST, b"POST / HTTP/1.1", b"Host: a.test", b"Transfer-Encoding: " + value)

    def test_coding_twice(self) -> None:
        """
        Two lines of it are refused: A3.
        """
        lines = (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity")
        self.refused(Reason.MALFORMED_REQUEST, b"POST / HTTP/1.1", b"Host: a.test", *lines)

    def test_both(self) -> None:
        """
        A length and a coding exclude each other, in either order: A1.
        """
        lines = (b"Content-Length: 5", b"Transfer-Encoding: chunked")
        self.refused(Reason.INVALID_FRAMING, b"POST / HTTP/1.1", b"Host: a.test", *lines)
        self.refused(Reason.INVALID_FRAMING, b"POST / HTTP/1.1", b"Host: a.test", *reversed(lines))

    def test_coding_in_old_version(self) -> None:
        """
        HTTP/1.0 has no transfer codings: A4.
        """
        self.refused(Reason.INVALID_FRAMING, b"POST / HTTP/1.0", b"Host: a.test", b"Transfer-Encoding: chunked")

    def test_look_alikes(self) -> None:
        """
        Row D5: names that a backend could take for framing do not reach it. A20.
        """
        for line in (b"Transfer_Encoding: chunked", b"Content-Length : 5", b"Transfer-Encoding\t: chunked"):
            self.refused(Reason.MALFORMED_REQUEST, b"POST / HTTP/1.1", b"Host: a.test", line)
        self.assertEqual(parse_fields(b"Host: a.test", b"Content.Length: 5").relay, b"")

    def test_any_method(self) -> None:
        """
        Framing does not depend on the method: A13.
        """
        self.assertEqual(parse(b"GET / HTTP/1.1", b"Host: a.test", b"Content-Length: 5").fields.content_length, 5)

    def test_framing_is_not_relayed(self) -> None:
        """
        Neither field travels on: the gateway frames anew.
        """
        self.assertEqual(parse_fields(b"Host: a.test", b"Content-Length: 5", b"Expect: 100-continue").relay, b"")
        self.assertEqual(parse_fields(b"Host: a.test", b"Transfer-Encoding: chunked").relay, b"")

    def test_expect(self) -> None:
        """
        C{100-continue} is the one expectation, in any case of letters: A34.
        """
        self.assertTrue(parse_fields(b"Content-Length: 5", b"Expect: 100-Continue").expect_continue)
        self.assertTrue(parse_fields(b"Transfer-Encoding: chunked", b"Expect: 100-continue").expect_continue)

    def test_expect_nothing(self) -> None:
        """
        Without a body there is nothing to continue with: A34.
        """
        self.assertFalse(parse_fields(b"Expect: 100-continue").expect_continue)
        self.assertFalse(parse_fields(b"Content-Length: 0", b"Expect: 100-continue").expect_continue)

    def test_other_expectations(self) -> None:
        """
        Another expectation fails; two are refused: A34.
        """
        for value in (b"", b"200-ok", b"100-continue, x", b"100 continue"):
            self.refused(Reason.EXPECTATION_FAILED, b"POST / HTTP/1.1", b"Host: a.test", b"Expect: " + value)
        lines = (b"Expect: 100-continue", b"Expect: 100-continue")
        self.refused(Reason.MALFORMED_REQUEST, b"POST / HTTP/1.1", b"Host: a.test", *lines)


class FieldsTests(_RefusalMixin, SynchronousTestCase):
    """
    Tests for what travels on and what does not.
    """

    def test_empty(self) -> None:
        """
        No lines are no fields.
        """
        fields = parse_fields()
        self.assertEqual((fields.relay, fields.owned, fields.host, fields.items()), (b"", {}, b"", []))

    def test_order(self) -> None:
        """
        Lines travel on in their order, repetitions included.
        """
        relay = parse_fields(b"Accept: a", b"Host: a.test", b"X-B:c", b"accept: d").relay
        self.assertEqual(relay, b"Accept: a\r\nX-B: c\r\naccept: d\r\n")

    def test_singletons(self) -> None:
        """
        Fields of which a backend reads one are refused when there are two: A35.
        """
        for name in (
            b"Authorization",
            b"Content-Type",
            b"Origin",
            b"Idempotency-Key",
            b"Upgrade",
            b"Max-Forwards",
            b"Sec-WebSocket-Key",
            b"Sec-WebSocket-Version",
        ):
            self.refused(Reason.MALFORMED_REQUEST, b"GET / HTTP/1.1", b"Host: a.test", name + b": a", name + b": a")

    def test_lists_are_joined(self) -> None:
        """
        Lines of a list that the gateway reads are one list.
        """
        owned = parse_fields(b"Via: 1.1 a", b"Host: a.test", b"via: 1.1 b").owned
        self.assertEqual(owned[b"via"], b"1.1 a, 1.1 b")

    def test_read_and_relayed(self) -> None:
        """
        Some fields are read by the gateway and travel on as well.
        """
        lines = (b"authorization: Bearer a", b"CONTENT-TYPE: b/c", b"Origin: http://d", b"Idempotency-Key: e")
        fields = parse_fields(b"Host: a.test", *lines, b"Max-Forwards: 3")
        self.assertEqual(
            fields.relay,
            b"".join(line + b"\r\n" for line in (*lines, b"Max-Forwards: 3")),
        )
        self.assertEqual(fields.owned[b"authorization"], b"Bearer a")

    def test_claims_are_dropped(self) -> None:
        """
        Rows D3, D4, D6 and D9: what only a gateway may say about a client does not travel on, in any spelling.
        """
        for name in (
            b"X-User-Id",
            b"x-user-role",
            b"X-Internal-Token",
            b"X-Gateway",
            b"X-Real-IP",
            b"X-Client-IP",
            b"X-Cluster-Client-IP",
            b"True-Client-IP",
            b"X-Forwarded-For",
            b"X-Forwarded-Proto",
            b"X-Forwarded-Host",
            b"X-Forwarded-Port",
            b"X-Forwarded-Prefix",
            b"X.User.Id",
            b"X-Original-URL",
            b"X-Rewrite-URL",
            b"Forwarded",
            b"Via",
            b"X-Request-ID",
            b"Proxy",
        ):
            self.assertEqual(parse_fields(b"Host: a.test", name + b": b").relay, b"", name)
            self.assertEqual(parse_fields(b"Host: a.test", name.upper() + b": b", b"X-A: b").relay, b"X-A: b\r\n", name)

    def test_claims_with_underscores(self) -> None:
        """
        Rows D4 and D5: with underscores they are refused.
        """
        for name in (b"X_User_Id", b"x_forwarded_for", b"X-User_Id"):
            self.refused(Reason.MALFORMED_REQUEST, b"GET / HTTP/1.1", b"Host: a.test", name + b": b")

    def test_hop_by_hop(self) -> None:
        """
        Row D1: fields of this connection end here, named by Connection or not.
        """
        for name in sorted(HOP_BY_HOP - {b"transfer-encoding"}):
            self.assertEqual(parse_fields(b"Host: a.test", name + b": a", b"X-A: b").relay, b"X-A: b\r\n", name)

    def test_malformed(self) -> None:
        """
        One bad line spoils the head: A18-A22.
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
            self.refused(Reason.MALFORMED_REQUEST, b"GET / HTTP/1.1", b"Host: a.test", line)
            self.refused(Reason.MALFORMED_REQUEST, b"GET / HTTP/1.1", line, b"Host: a.test")

    def test_folded(self) -> None:
        """
        A folded line is refused, wherever it is folded: A21.
        """
        for folded in (
            (b"X-A: b", b" c"),
            (b"X-A:", b"\tc"),
            (b"Transfer-Encoding:", b" chunked"),
            (b"Host: a", b" .test"),
        ):
            self.refused(Reason.MALFORMED_REQUEST, b"GET / HTTP/1.1", b"Host: a.test", *folded)

    def test_count(self) -> None:
        """
        More lines than the limit are refused: F2.
        """
        lines = [b"X-%d: a" % number for number in range(99)]
        self.assertEqual(len(parse(b"GET / HTTP/1.1", b"Host: a.test", *lines).fields.items()), 100)
        self.refused(Reason.HEADERS_TOO_LARGE, b"GET / HTTP/1.1", b"Host: a.test", *lines, b"Y: b")
        parser = RequestParser(max_fields=1)
        self.assertRaises(HeadError, parser.fields, b"A: b\r\nC: d")

    def test_long_line(self) -> None:
        """
        So is a single line of more than 16 KiB: F2.
        """
        self.assertEqual(len(parse_fields(b"X-A: " + b"b" * 16379).relay), 16386)
        self.refused(Reason.HEADERS_TOO_LARGE, b"GET / HTTP/1.1", b"Host: a.test", b"X-A: " + b"b" * 16380)

    def test_items(self) -> None:
        """
        All fields can be listed as they came.
        """
        fields = parse_fields(b"Host:a.test", b"x-User-Id: \t1 ", b"Accept:  a", b"accept: b", b"Empty:")
        self.assertEqual(
            fields.items(),
            [(b"Host", b"a.test"), (b"x-User-Id", b"1"), (b"Accept", b"a"), (b"accept", b"b"), (b"Empty", b"")],
        )

    def test_get(self) -> None:
        """
        A field can be asked for by its lower-case name; several lines are one list.
        """
        fields = parse_fields(b"Host:a.test", b"Accept:  a", b"ACCEPT: b", b"Empty:")
        self.assertEqual(fields.get(b"accept"), b"a, b")
        self.assertEqual(fields.get(b"empty"), b"")
        self.assertIsNone(fields.get(b"x-none"))


class ConnectionTests(SynchronousTestCase):
    """
    Tests for the Connection field.
    """

    def test_close(self) -> None:
        """
        C{close} is seen on any line, at any place of a list, in any case of letters: A15.
        """
        for lines in (
            (b"Connection: close",),
            (b"connection: CLOSE",),
            (b"Connection: keep-alive,close",),
            (b"Connection: close , x",),
            (b"Connection: keep-alive", b"Connection: close"),
        ):
            self.assertTrue(parse_fields(b"Host: a.test", *lines).close, lines)

    def test_keep(self) -> None:
        """
        Nothing else is C{close}.
        """
        for line in (
            b"Connection: keep-alive",
            b"Connection: closed",
            b"Connection: x-close",
            b"Connection:",
            b"X: close",
        ):
            self.assertFalse(parse_fields(b"Host: a.test", line).close, line)

    def test_named(self) -> None:
        """
        Row D1: what it names ends here, on whichever side of it the line is.
        """
        fields = parse_fields(b"X-A: 1", b"Connection: x-a, X-B", b"x-b: 2", b"X-C: 3", b"X-A: 4")
        self.assertEqual(fields.relay, b"X-C: 3\r\n")

    def test_protected(self) -> None:
        """
        Row D2: what decisions rest on cannot be named away.
        """
        lines = (b"Host: a.test", b"Content-Length: 5", b"Authorization: b", b"Cookie: c=d", b"Content-Type: e/f")
        connection = b"Connection: close, host, content-length, transfer-encoding, authorization, cookie, content-type"
        fields = parse_fields(*lines, connection, b"X-Request-ID: 12345678")
        self.assertEqual(fields.host, b"a.test")
        self.assertEqual(fields.content_length, 5)
        self.assertEqual(fields.relay, b"Authorization: b\r\nCookie: c=d\r\nContent-Type: e/f\r\n")

    def test_claims_cannot_be_restored(self) -> None:
        """
        Row D2: naming a claim changes nothing: it is dropped, and what the gateway says is not.
        """
        fields = parse_fields(b"Host: a.test", b"Connection: x-forwarded-for, x-user-id", b"X-Forwarded-For: 1.2.3.4")
        self.assertEqual(fields.relay, b"")
        self.assertEqual(fields.owned[b"x-forwarded-for"], b"1.2.3.4")

    def test_upgrade(self) -> None:
        """
        An upgrade is asked for by both fields together: B1, B5.
        """
        self.assertEqual(parse_fields(b"Connection: Upgrade", b"Upgrade: WebSocket").upgrade, b"websocket")
        self.assertEqual(parse_fields(b"Connection: keep-alive, upgrade", b"Upgrade: h2c").upgrade, b"h2c")
        self.assertEqual(parse_fields(b"Host: a.test", b"Upgrade: websocket").upgrade, b"")
        self.assertEqual(parse_fields(b"Connection: keep-alive", b"Upgrade: websocket").upgrade, b"")
        self.assertEqual(parse_fields(b"Connection: upgrade").upgrade, b"")


class RepetitionTests(SynchronousTestCase):
    """
    Tests for lines and sections that were seen before.
    """

    def test_same_result(self) -> None:
        """
        A section that comes again means the same.
        """
        parser = RequestParser()
        raw = b"Host: A.test:80\r\nX-User-Id: 1\r\nConnection: x-a\r\nX-A: b\r\nCookie: c\r\nAuthorization: d"
        first, second = parser.fields(raw), parser.fields(raw)
        self.assertEqual((first.relay, first.owned, first.host), (second.relay, second.owned, second.host))
        self.assertEqual(first.host, b"A.test:80")

    def test_refused_again(self) -> None:
        """
        A line that was refused is refused again.
        """
        parser = RequestParser()
        for _ in range(2):
            self.assertRaises(HeadError, parser.fields, b"Host: a b")
            self.assertRaises(HeadError, parser.fields, b"X_A: b")

    def test_private_lines(self) -> None:
        """
        Lines that may hold a secret are remembered with the section, and only there: L2.
        """
        parser = RequestParser()
        lines = (b"authorization: Bearer a", b"Cookie: b=c")
        first = parser.fields(b"\r\n".join((b"Host: a.test", *lines)))
        self.assertEqual(set(first.private or {}), set(lines))
        self.assertIsNone(parser.fields(b"Host: a.test").private)
        second = parser.fields(b"\r\n".join((b"Host: b.test", *lines)), first)
        self.assertEqual(second.private, first.private)
        self.assertEqual(second.relay, first.relay)
        self.assertIsNone(parser.fields(b"Host: a.test", second).private)

    def test_long_lines(self) -> None:
        """
        So are long ones.
        """
        line = b"X-Long: " + b"a" * 300
        parser = RequestParser()
        first = parser.fields(line)
        self.assertEqual(set(first.private or {}), {line})
        self.assertEqual(parser.fields(line + b"\r\nA: b", first).relay, line + b"\r\nA: b\r\n")


class PropertyTests(SynchronousTestCase):
    """
    Properties of L{RequestParser}.
    """

    @properties
    @given(
        noise(b"GET", b"OPTIONS", b" ", b"/", b"*", b"HTTP/1.1", b"HTTP/1.0", b"http://a.test"),
        noise(b"Host: a.test\r\n", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: ", b"close"),
    )
    def test_any_bytes(self, line: bytes, raw: bytes) -> None:
        """
        Of any bytes, the parser makes a head or raises L{HeadError}, and nothing else: L7.
        """
        parser = RequestParser()
        try:
            parser.head(line, parser.fields(raw))
        except HeadError as error:
            self.assertGreaterEqual(error.reason.status, 400)

    @properties
    @given(
        st.sampled_from([b"GET / HTTP/1.1", b"GET /%2e HTTP/1.0", b"OPTIONS * HTTP/1.1"]),
        st.lists(noise(b"Host: a.test", b"A: b", b"Content-Length: 5"), max_size=4),
    )
    def test_relay_is_whole_lines(self, line: bytes, lines: list[bytes]) -> None:
        """
        What travels on is whole lines, without framing, for whatever was accepted: A31.
        """
        try:
            fields = parse(line, b"Host: b.test", *lines).fields
        except HeadError:
            return
        relayed = fields.relay.split(b"\r\n")
        self.assertEqual(relayed.pop(), b"")
        for one in relayed:
            self.assertRegex(one, rb"\A[!#$%&'*+.^`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\Z")
            self.assertNotIn(one.partition(b":")[0].lower(), (b"host", b"content-length", b"transfer-encoding"))

    @properties
    @given(st.lists(st.tuples(tokens, st.text(max_size=10).map(str.encode)), max_size=8))
    def test_cached_or_not(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """
        A parser that has seen the lines before makes the same of them as a new one.
        """
        raw = b"\r\n".join([b"Host: a.test", *(b"%b: %b" % pair for pair in pairs)])
        used = RequestParser()
        before = None
        outcomes = []
        for parser in (used, used, RequestParser()):
            try:
                before = parser.fields(raw, before)
                outcomes.append((before.relay, before.owned, before.close, before.host))
            except HeadError as error:
                outcomes.append(error.reason)
        self.assertEqual(outcomes[0], outcomes[1])
        self.assertEqual(outcomes[0], outcomes[2])
