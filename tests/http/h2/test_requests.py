"""
Tests for L{siger.http.h2.requests}.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.grpc.content import GRPC, NOT_GRPC, WEB
from siger.http.fields import Field, HeadError
from siger.http.h2.errors import MalformedError
from siger.http.h2.requests import RequestReader
from siger.http.hpack.decoder import Decoder, Entry
from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from tests.http.generators import properties
from tests.http.hpack.blocks import added, decoder, literal, resized

Pairs = tuple[tuple[bytes, bytes], ...]

METHOD = (b":method", b"GET")
SCHEME = (b":scheme", b"http")
AUTHORITY = (b":authority", b"a.test")
PATH = (b":path", b"/x")
PSEUDO = (METHOD, SCHEME, AUTHORITY, PATH)


def entries(fields: Iterable[tuple[bytes, bytes]]) -> list[Entry]:
    """
    Fields as a decoder gives them.
    """
    return [Entry(name, value) for name, value in fields]


def read(*fields: tuple[bytes, bytes], bodied: bool = False) -> RequestHead:
    """
    The request that a section is.
    """
    return RequestReader(RequestParser()).head(entries(fields), bodied)


def get(*fields: tuple[bytes, bytes], bodied: bool = False) -> RequestHead:
    """
    The same for C{GET /x} at C{a.test} with these fields.
    """
    return read(*PSEUDO, *fields, bodied=bodied)


class HeadTests(SynchronousTestCase):
    """
    Tests for L{RequestReader.head} with what is a request.
    """

    def test_plain(self) -> None:
        """
        A section makes the head that HTTP/1.1 would have made.
        """
        head = get((b"x-a", b"b"), (b"accept", b"*/*"))
        self.assertEqual((head.method, head.path, head.query, head.version), (b"GET", b"/x", b"", 20))
        self.assertEqual((head.host, head.fields.host), (b"a.test", b"a.test"))
        fields = head.fields
        self.assertEqual(fields.relay, b"x-a: b\r\naccept: */*\r\n")
        self.assertEqual(fields.items(), [(b"x-a", b"b"), (b"accept", b"*/*")])
        self.assertEqual((fields.get(b"accept"), fields.get(b"x-b")), (b"*/*", None))
        self.assertEqual((fields.owned, fields.grpc, fields.upgrade), ({}, NOT_GRPC, b""))
        self.assertEqual((fields.trailers, fields.close), (False, False))

    def test_any_order(self) -> None:
        """
        Pseudo-header fields come first, in any order.
        """
        head = read(PATH, AUTHORITY, METHOD, SCHEME, (b"x-a", b"b"))
        self.assertEqual((head.method, head.path, head.host), (b"GET", b"/x", b"a.test"))

    def test_targets(self) -> None:
        """
        The path has one normal form, as on HTTP/1.1.
        """
        for sent, path, query in (
            (b"/", b"/", b""),
            (b"/a?b=c&d", b"/a", b"?b=c&d"),
            (b"/a/../b/./c", b"/b/c", b""),
            (b"/%61%2Fb", b"/a%2Fb", b""),
            (b"/?", b"/", b"?"),
            (b"//a", b"/a", b""),
        ):
            head = read(METHOD, SCHEME, AUTHORITY, (b":path", sent))
            self.assertEqual((head.path, head.query), (path, query), sent)

    def test_asterisk(self) -> None:
        """
        OPTIONS may concern the server as a whole.
        """
        head = read((b":method", b"OPTIONS"), SCHEME, AUTHORITY, (b":path", b"*"))
        self.assertEqual((head.method, head.path), (b"OPTIONS", b"*"))

    def test_methods(self) -> None:
        """
        All methods that are forwarded on HTTP/1.1 are on HTTP/2.
        """
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"):
            self.assertEqual(read((b":method", method), SCHEME, AUTHORITY, PATH).method, method)

    def test_host(self) -> None:
        """
        Host stands for an authority that is not said, and may say the same as one that is.
        """
        for fields, host in (
            ((METHOD, SCHEME, PATH, (b"host", b"b.test")), b"b.test"),
            ((METHOD, SCHEME, (b":authority", b""), PATH, (b"host", b"b.test")), b"b.test"),
            ((*PSEUDO, (b"host", b"A.test")), b"a.test"),
            ((METHOD, SCHEME, (b":authority", b"a.test:8080"), PATH), b"a.test:8080"),
            ((METHOD, SCHEME, (b":authority", b"a.test:"), PATH), b"a.test"),
            ((METHOD, SCHEME, (b":authority", b"[2001:db8::1]:80"), PATH), b"[2001:db8::1]:80"),
        ):
            head = read(*fields)
            self.assertEqual(head.host, host)
            self.assertNotIn(b"host", head.fields.relay)

    def test_lengths(self) -> None:
        """
        The length of a body is declared, or not known; without one there may be none.
        """
        for fields, bodied, length, chunked in (
            ((), False, None, False),
            ((), True, None, True),
            (((b"content-length", b"5"),), True, 5, False),
            (((b"content-length", b"0"),), False, 0, False),
        ):
            head = get(*fields, bodied=bodied)
            self.assertEqual((head.fields.content_length, head.fields.chunked), (length, chunked))
            self.assertNotIn(b"content-length", head.fields.relay)

    def test_cookies(self) -> None:
        """
        Crumbs of cookies are one field again, at the end and secret (RFC 9113 section 8.2.3).
        """
        head = get((b"cookie", b"a=b"), (b"x-a", b"b"), (b"cookie", b"c=d; e=f"), (b"cookie", b"g"))
        self.assertEqual(head.fields.relay, b"x-a: b\r\ncookie: a=b; c=d; e=f; g\r\n")
        assert head.fields.parsed is not None
        (entry,) = decoder().decode(head.fields.parsed[-1].packed)
        self.assertEqual((entry.value, entry.never_indexed), (b"a=b; c=d; e=f; g", True))
        self.assertEqual(get((b"cookie", b"a=b"), (b"x-a", b"b")).fields.relay, b"cookie: a=b\r\nx-a: b\r\n")

    def test_lists(self) -> None:
        """
        Fields that may occur several times, and are read here, are one list.
        """
        head = get((b"via", b"1.1 a"), (b"via", b"1.1 b"), (b"te", b"trailers"), (b"te", b"trailers"))
        self.assertEqual(head.fields.owned[b"via"], b"1.1 a, 1.1 b")
        self.assertTrue(head.fields.trailers)
        self.assertEqual(head.fields.relay, b"")

    def test_kinds(self) -> None:
        """
        Calls of gRPC are told by their content type.
        """
        for content_type, kind in (
            (b"application/grpc", GRPC),
            (b"application/grpc+proto", GRPC),
            (b"application/grpc-web", WEB),
            (b"application/json", NOT_GRPC),
        ):
            self.assertEqual(get((b"content-type", content_type)).fields.grpc, kind)

    def test_expectation(self) -> None:
        """
        Only who has a body to send can wait for leave to do so.
        """
        for fields, bodied, expected in (
            (((b"expect", b"100-continue"),), True, True),
            (((b"expect", b"100-Continue"), (b"content-length", b"5")), True, True),
            (((b"expect", b"100-continue"),), False, False),
        ):
            self.assertEqual(get(*fields, bodied=bodied).fields.expect_continue, expected)

    def test_underscores(self) -> None:
        """
        Metadata of gRPC may have underscores in its names, but none that pass for the gateway's own fields.
        """
        head = get(
            (b"content-type", b"application/grpc"), (b"a_b", b"c"), (b"x_user_id", b"root"), (b"x-user.id", b"root")
        )
        self.assertEqual(head.fields.relay, b"content-type: application/grpc\r\na_b: c\r\n")

    def test_claims(self) -> None:
        """
        Claims about the client that only the gateway may make do not travel on.
        """
        head = get(
            (b"x-user-id", b"root"),
            (b"x-user-roles", b"admin"),
            (b"x-internal-key", b"k"),
            (b"x-forwarded-for", b"192.0.2.1"),
            (b"x-forwarded-prefix", b"/"),
            (b"forwarded", b"for=192.0.2.1"),
            (b"x-real-ip", b"192.0.2.1"),
            (b"x-request-id", b"abc"),
            (b"proxy", b"http://a.test"),
            (b"http2-settings", b"AAMAAABkAAQAAP__"),
            (b"x-a", b"b"),
        )
        self.assertEqual(head.fields.relay, b"x-a: b\r\n")
        assert head.fields.parsed is not None
        self.assertEqual([field.name for field in head.fields.parsed if field.packed], [b"x-a"])


MALFORMED: tuple[tuple[str, Pairs, bool], ...] = (
    ("no field at all", (), False),
    ("no method", (SCHEME, AUTHORITY, PATH), False),
    ("no scheme", (METHOD, AUTHORITY, PATH), False),
    ("no path", (METHOD, SCHEME, AUTHORITY), False),
    ("an empty path", (METHOD, SCHEME, AUTHORITY, (b":path", b"")), False),
    ("two methods", (METHOD, *PSEUDO), False),
    ("two schemes", (SCHEME, *PSEUDO), False),
    ("two authorities", (AUTHORITY, *PSEUDO), False),
    ("two paths", (PATH, *PSEUDO), False),
    ("a pseudo-header field of responses", (*PSEUDO, (b":status", b"200")), False),
    ("one of another protocol", (*PSEUDO, (b":protocol", b"websocket")), False),
    ("one of nobody's", ((b":x", b""), *PSEUDO), False),
    ("one behind others", (METHOD, SCHEME, AUTHORITY, (b"x-a", b"b"), PATH), False),
    ("one in capitals", ((b":Method", b"GET"), SCHEME, AUTHORITY, PATH), False),
    ("a name in capitals", (*PSEUDO, (b"X-A", b"b")), False),
    ("a line in a name", (*PSEUDO, (b"x-a: b\r\nx-b", b"c")), False),
    ("a line in a value", (*PSEUDO, (b"x-a", b"b\r\nx-b: c")), False),
    ("a request in a value", (*PSEUDO, (b"x-a", b"b\r\n\r\nGET / HTTP/1.1\r\n")), False),
    ("Connection", (*PSEUDO, (b"connection", b"close")), False),
    ("Transfer-Encoding", (*PSEUDO, (b"transfer-encoding", b"chunked")), True),
    ("Upgrade", (*PSEUDO, (b"upgrade", b"websocket")), False),
    ("Keep-Alive", (*PSEUDO, (b"keep-alive", b"timeout=5")), False),
    ("Proxy-Connection", (*PSEUDO, (b"proxy-connection", b"keep-alive")), False),
    ("TE of codings", (*PSEUDO, (b"te", b"gzip")), False),
    ("two lengths", (*PSEUDO, (b"content-length", b"5"), (b"content-length", b"5")), True),
    ("two lengths in one", (*PSEUDO, (b"content-length", b"5, 5")), True),
    ("a length that is none", (*PSEUDO, (b"content-length", b"+5")), True),
    ("a length that is empty", (*PSEUDO, (b"content-length", b"")), True),
    ("a length without a body", (*PSEUDO, (b"content-length", b"5")), False),
)
"""What no request may be (RFC 9113 section 8.1.1): name, fields, and whether a body follows."""

REFUSED: tuple[tuple[Pairs, Reason], ...] = (
    (((b":method", b"CONNECT"), AUTHORITY), Reason.METHOD_NOT_ALLOWED),
    (((b":method", b"CONNECT"), SCHEME, AUTHORITY, PATH), Reason.METHOD_NOT_ALLOWED),
    (((b":method", b"TRACE"), SCHEME, AUTHORITY, PATH), Reason.METHOD_NOT_ALLOWED),
    (((b":method", b"BREW"), SCHEME, AUTHORITY, PATH), Reason.METHOD_UNKNOWN),
    (((b":method", b"get"), SCHEME, AUTHORITY, PATH), Reason.METHOD_UNKNOWN),
    (((b":method", b"GET / HTTP/1.1\r\nX:"), SCHEME, AUTHORITY, PATH), Reason.MALFORMED_REQUEST),
    (((b":method", b""), SCHEME, AUTHORITY, PATH), Reason.MALFORMED_REQUEST),
    ((METHOD, (b":scheme", b"ftp"), AUTHORITY, PATH), Reason.MALFORMED_REQUEST),
    ((METHOD, (b":scheme", b"HTTP"), AUTHORITY, PATH), Reason.MALFORMED_REQUEST),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b"x")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b"*")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b"http://a.test/")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b" /")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b"/ HTTP/1.1\r\nX: y")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b"/a b")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b"/\0")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b"/%")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, AUTHORITY, (b":path", b"/#x")), Reason.INVALID_TARGET),
    ((METHOD, SCHEME, PATH), Reason.INVALID_HOST),
    ((METHOD, SCHEME, (b":authority", b""), PATH), Reason.INVALID_HOST),
    ((METHOD, SCHEME, (b":authority", b""), PATH, (b"host", b"")), Reason.INVALID_HOST),
    ((METHOD, SCHEME, (b":authority", b"root@a.test"), PATH), Reason.INVALID_HOST),
    ((METHOD, SCHEME, (b":authority", b"a.test:99999"), PATH), Reason.INVALID_HOST),
    ((METHOD, SCHEME, (b":authority", b"a.test\r\nX: y"), PATH), Reason.INVALID_HOST),
    ((METHOD, SCHEME, (b":authority", b"a.test/x"), PATH), Reason.INVALID_HOST),
    ((METHOD, SCHEME, (b":authority", b"a test"), PATH), Reason.INVALID_HOST),
    ((*PSEUDO, (b"host", b"b.test")), Reason.INVALID_HOST),
    ((*PSEUDO, (b"host", b"")), Reason.INVALID_HOST),
    ((*PSEUDO, (b"host", b"a.test:80")), Reason.INVALID_HOST),
    ((*PSEUDO, (b"host", b"a.test"), (b"host", b"a.test")), Reason.INVALID_HOST),
    ((*PSEUDO, (b"authorization", b"a"), (b"authorization", b"b")), Reason.MALFORMED_REQUEST),
    ((*PSEUDO, (b"content-type", b"a/b"), (b"content-type", b"a/b")), Reason.MALFORMED_REQUEST),
    ((*PSEUDO, (b"grpc-timeout", b"1S"), (b"grpc-timeout", b"1S")), Reason.MALFORMED_REQUEST),
    ((*PSEUDO, (b"a_b", b"c")), Reason.MALFORMED_REQUEST),
    ((*PSEUDO, (b"x_user_id", b"root")), Reason.MALFORMED_REQUEST),
    ((*PSEUDO, (b"content_length", b"5")), Reason.MALFORMED_REQUEST),
    ((*PSEUDO, (b"expect", b"tea")), Reason.EXPECTATION_FAILED),
)
"""What is a request, and not taken here."""


class RefusalTests(SynchronousTestCase):
    """
    Tests for L{RequestReader.head} with what is none, or none that is taken.
    """

    def test_malformed(self) -> None:
        """
        What the RFC calls malformed is no request.
        """
        for name, fields, bodied in MALFORMED:
            with self.assertRaises(MalformedError, msg=name):
                read(*fields, bodied=bodied)

    def test_refused(self) -> None:
        """
        What is well-formed and not taken has a reason.
        """
        for fields, reason in REFUSED:
            with self.assertRaises(HeadError, msg=fields) as caught:
                read(*fields)
            self.assertIs(caught.exception.reason, reason, fields)

    def test_remembered_authorities(self) -> None:
        """
        Only so many authorities are remembered.
        """
        reader = RequestReader(RequestParser())
        for number in range(3000):
            reader.head(entries((METHOD, SCHEME, PATH, (b":authority", b"%d.test" % number))), False)
        self.assertLessEqual(len(reader._authorities), 1024)


class MeaningTests(SynchronousTestCase):
    """
    Tests for fields that were seen before.
    """

    def setUp(self) -> None:
        """
        Have a reader, and the decoder of a connection.
        """
        self.reader = RequestReader(RequestParser())
        self.decoder = Decoder(self.reader.static)
        self.pseudo = b"".join(literal(name, value) for name, value in PSEUDO)

    def fields(self, block: bytes) -> list[Field]:
        """
        The fields of a request with such a block.
        """
        parsed = self.reader.head(self.decoder.decode(self.pseudo + block), False).fields.parsed
        assert parsed is not None
        return parsed

    def test_once(self) -> None:
        """
        A field in a table is judged once, and is the same in every block that refers to it.
        """
        (first,) = self.fields(added(b"x-a", b"b"))
        (second,) = self.fields(b"\xbe")
        self.assertIs(first, second)

    def test_static(self) -> None:
        """
        Fields of the static table are the same on all connections.
        """
        (first,) = self.fields(b"\x90")
        self.decoder = Decoder(self.reader.static)
        (second,) = self.fields(b"\x90")
        self.assertIs(first, second)
        self.assertEqual(first.line, b"accept-encoding: gzip, deflate\r\n")

    def test_evicted(self) -> None:
        """
        The place of a field that is gone means what stands there now.
        """
        self.fields(added(b"x-a", b"b"))
        self.decoder.decode(resized(0) + resized(4096))
        self.fields(added(b"x-a", b"c"))
        self.assertEqual(self.fields(b"\xbe")[0].line, b"x-a: c\r\n")

    def test_malformed_again(self) -> None:
        """
        A field that may not be there may not be there each time.
        """
        for block in (added(b"X-A", b"b"), b"\xbe"):
            self.assertRaises(MalformedError, self.fields, block)

    def test_pseudo_elsewhere(self) -> None:
        """
        Nor may a pseudo-header field among others, though it stands in the static table.
        """
        self.assertRaises(MalformedError, self.fields, b"\x82")


class TrailerTests(SynchronousTestCase):
    """
    Tests for L{RequestReader.trailers}.
    """

    def read(self, *fields: tuple[bytes, bytes]) -> bytes:
        """
        The lines that travel on.
        """
        return RequestReader(RequestParser()).trailers(entries(fields))

    def test_lines(self) -> None:
        """
        Trailers travel on as lines; those that decide something do not.
        """
        lines = self.read(
            (b"x-a", b"b"),
            (b"authorization", b"c"),
            (b"content-length", b"5"),
            (b"x-user-id", b"root"),
            (b"x_user_id", b"root"),
            (b"a_b", b"c"),
            (b"te", b"trailers"),
            (b"host", b"b.test"),
            (b"cookie", b"a=b"),
            (b"x-checksum", b""),
        )
        self.assertEqual(lines, b"x-a: b\r\nx-checksum: \r\n")

    def test_malformed(self) -> None:
        """
        What is malformed in a head is so in trailers; pseudo-header fields have no place there.
        """
        for field in ((b":path", b"/"), (b"X-A", b"b"), (b"connection", b"x"), (b"x-a", b"b\n"), (b"te", b"gzip")):
            self.assertRaises(MalformedError, self.read, field)

    def test_none(self) -> None:
        """
        There may be none.
        """
        self.assertEqual(self.read(), b"")


NAMES = (
    b"x-a",
    b"accept",
    b"authorization",
    b"content-type",
    b"origin",
    b"via",
    b"forwarded",
    b"x-request-id",
    b"x-user-id",
    b"x-user.id",
    b"x-forwarded-for",
    b"x-real-ip",
    b"max-forwards",
    b"grpc-timeout",
    b"idempotency-key",
    b"a_b",
    b"expect",
    b"access-control-request-method",
    b"sec-websocket-key",
    b"trailer",
)
VALUES = (b"", b"a", b"b, c", b"1", b"text/plain", b"100-continue", b"\xff", b"a\tb")

ANY_NAMES = st.sampled_from((b":path", b":method", b"x-a", b"host")) | st.binary(max_size=8)


class LikeHttp1Tests(SynchronousTestCase):
    """
    Tests that HTTP/2 and HTTP/1.1 make the same of the same fields.
    """

    @properties
    @given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=6), st.booleans())
    def test_same(self, fields: list[tuple[bytes, bytes]], bodied: bool) -> None:
        """
        Both refuse, or both read the same and pass the same on.
        """
        framing = [(b"transfer-encoding", b"chunked")] if bodied else []
        lines = b"\r\n".join(b"%b: %b" % field for field in [(b"host", b"a.test"), *framing, *fields])
        parser = RequestParser()
        try:
            text = parser.head(b"GET /x?y HTTP/1.1", parser.fields(lines))
        except HeadError:
            self.assertRaises(HeadError, get, *fields, bodied=bodied)
            return
        head = read(METHOD, SCHEME, AUTHORITY, (b":path", b"/x?y"), *fields, bodied=bodied)
        self.assertEqual((head.method, head.path, head.query), (text.method, text.path, text.query))
        self.assertEqual(head.host, text.host)
        ours, theirs = head.fields, text.fields
        self.assertEqual(ours.relay, theirs.relay)
        owned = {name: value for name, value in theirs.owned.items() if name not in (b"host", b"transfer-encoding")}
        self.assertEqual(ours.owned, owned)
        self.assertEqual(
            (ours.chunked, ours.content_length, ours.grpc, ours.trailers, ours.expect_continue),
            (theirs.chunked, theirs.content_length, theirs.grpc, theirs.trailers, theirs.expect_continue),
        )

    @properties
    @given(st.lists(st.tuples(ANY_NAMES, st.binary(max_size=8)), max_size=8), st.booleans())
    def test_any(self, fields: list[tuple[bytes, bytes]], bodied: bool) -> None:
        """
        Whatever a section holds, it is read or refused.
        """
        for section in (fields, [*PSEUDO, *fields]):
            try:
                head = read(*section, bodied=bodied)
            except (HeadError, MalformedError):
                continue
            self.assertTrue(head.path.startswith(b"/") or head.path == b"*")
            self.assertNotIn(b"\n", head.path + head.query + head.host + head.method)
            self.assertEqual(head.fields.relay.count(b"\n"), head.fields.relay.count(b"\r\n"))
