"""
Tests for L{siger.http.h2.responses}.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.fields import HeadError
from siger.http.h2.errors import MalformedError
from siger.http.h2.responses import ResponseReader
from siger.http.hpack.decoder import Entry
from siger.http.response import ResponseHead, ResponseParser
from tests.http.generators import properties

OK = (b":status", b"200")


def entries(fields: Iterable[tuple[bytes, bytes]]) -> list[Entry]:
    """
    Fields as a decoder gives them.
    """
    return [Entry(name, value) for name, value in fields]


def read(*fields: tuple[bytes, bytes]) -> ResponseHead:
    """
    The response that a section is.
    """
    return ResponseReader().head(entries(fields))


class HeadTests(SynchronousTestCase):
    """
    Tests for L{ResponseReader.head}.
    """

    def test_plain(self) -> None:
        """
        A section makes the head that HTTP/1.1 would have made, with the phrase that its status has.
        """
        head = read(OK, (b"x-a", b"b"), (b"content-type", b"text/plain"), (b"content-length", b"5"))
        self.assertEqual((head.status, head.phrase, head.length, head.dated), (200, b"OK", 5, False))
        self.assertEqual(head.relay, b"x-a: b\r\ncontent-type: text/plain\r\n")
        self.assertEqual((head.chunked, head.close, head.bodyless), (False, False, False))

    def test_statuses(self) -> None:
        """
        A status is three digits, of five classes.
        """
        for status in (b"100", b"103", b"204", b"299", b"418", b"599"):
            self.assertEqual(read((b":status", status)).status, int(status))
        for status in (b"", b"20", b"2000", b"099", b"600", b"+20", b"2\xb20", b"abc", b"200 OK", b"200\r\n"):
            self.assertRaises(MalformedError, read, (b":status", status))

    def test_malformed(self) -> None:
        """
        What the RFC calls malformed is no response (RFC 9113 sections 8.1.1 and 8.3.2).
        """
        for fields in (
            (),
            ((b"x-a", b"b"),),
            ((b"x-a", b"b"), OK),
            (OK, OK),
            (OK, (b":path", b"/")),
            (OK, (b"X-A", b"b")),
            (OK, (b"x-a", b"b\r\nx-b: c")),
            (OK, (b"x-a", b" b")),
            (OK, (b"connection", b"close")),
            (OK, (b"transfer-encoding", b"chunked")),
            (OK, (b"upgrade", b"h2c")),
            (OK, (b"te", b"gzip")),
            (OK, (b"content-length", b"5"), (b"content-length", b"5")),
            (OK, (b"content-length", b"5, 5")),
            (OK, (b"content-length", b"-1")),
            (OK, (b"content-length", b"")),
        ):
            with self.assertRaises(MalformedError, msg=fields):
                read(*fields)

    def test_owned(self) -> None:
        """
        What the gateway reads of a response is told apart; what is its own alone does not travel on.
        """
        head = read(
            OK,
            (b"date", b"today"),
            (b"access-control-allow-origin", b"*"),
            (b"access-control-allow-origin", b"x"),
            (b"x-request-id", b"abc"),
            (b"trailer", b"x-a"),
            (b"proxy-authenticate", b"x"),
            (b"set-cookie", b"a=b"),
            (b"set-cookie", b"c=d"),
            (b"a_b", b"c"),
            (b"x-user-id", b"1"),
        )
        self.assertTrue(head.dated)
        self.assertEqual(
            head.relay,
            b"date: today\r\naccess-control-allow-origin: *\r\naccess-control-allow-origin: x\r\n"
            b"set-cookie: a=b\r\nset-cookie: c=d\r\na_b: c\r\nx-user-id: 1\r\n",
        )
        self.assertEqual(head.owned[b"access-control-allow-origin"], b"*, x")

    def test_bodyless(self) -> None:
        """
        Some statuses never have a body.
        """
        self.assertEqual([read((b":status", status)).bodyless for status in (b"204", b"304", b"100")], [True] * 3)

    def test_once(self) -> None:
        """
        A field in a table is judged once.
        """
        reader = ResponseReader()
        entry = Entry(b"x-a", b"b")
        reader.head([Entry(*OK), entry])
        field = entry.meaning
        self.assertIsNotNone(field)
        reader.head([Entry(*OK), entry])
        self.assertIs(entry.meaning, field)

    @properties
    @given(
        st.lists(
            st.tuples(
                st.sampled_from((b"x-a", b"date", b"server", b"set-cookie", b"content-type", b"x-request-id", b"a_b")),
                st.sampled_from((b"", b"a", b"b, c", b"\xff", b"a\tb")),
            ),
            max_size=6,
        ),
        st.sampled_from((b"200", b"204", b"404", b"500")),
    )
    def test_like_http1(self, fields: list[tuple[bytes, bytes]], status: bytes) -> None:
        """
        HTTP/2 and HTTP/1.1 make the same of the same fields.
        """
        lines = b"".join(b"\r\n%b: %b" % field for field in fields)
        text = ResponseParser().head(b"HTTP/1.1 %b x%b" % (status, lines))
        head = read((b":status", status), *fields)
        self.assertEqual(
            (head.status, head.relay, head.dated, head.length, head.bodyless),
            (text.status, text.relay, text.dated, text.length, text.bodyless),
        )

    @properties
    @given(st.lists(st.tuples(st.sampled_from((b":status", b"content-length")) | st.binary(max_size=9), st.binary())))
    def test_any(self, fields: list[tuple[bytes, bytes]]) -> None:
        """
        Whatever a section holds, it is read or refused.
        """
        for section in (fields, [OK, *fields]):
            try:
                head = read(*section)
            except MalformedError:
                continue
            except HeadError:
                self.fail("a response is malformed, or it is not")
            self.assertEqual(head.relay.count(b"\n"), head.relay.count(b"\r\n"))


class TrailerTests(SynchronousTestCase):
    """
    Tests for L{ResponseReader.trailers}.
    """

    def read(self, *fields: tuple[bytes, bytes]) -> bytes:
        """
        The lines that travel on.
        """
        return ResponseReader().trailers(entries(fields))

    def test_lines(self) -> None:
        """
        Trailers travel on as lines, with the metadata of gRPC; those that decide something do not.
        """
        lines = self.read(
            (b"grpc-status", b"0"),
            (b"grpc-message", b""),
            (b"my_key-bin", b"AAE"),
            (b"content-length", b"5"),
            (b"set-cookie", b"a=b"),
            (b"trailer", b"x"),
        )
        self.assertEqual(lines, b"grpc-status: 0\r\ngrpc-message: \r\nmy_key-bin: AAE\r\n")

    def test_malformed(self) -> None:
        """
        What is malformed in a head is so in trailers; a status has no place there.
        """
        for field in (OK, (b"X-A", b"b"), (b"connection", b"x"), (b"x-a", b"b\n")):
            self.assertRaises(MalformedError, self.read, field)
