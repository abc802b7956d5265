"""
Tests for L{siger.http.h2.fields}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.field_names import OWNED, OWNED_PREFIXES, PRIVATE, TRAVELS_ON
from siger.http.fields import Field
from siger.http.h2.errors import MalformedError
from siger.http.h2.fields import FieldRules
from siger.http.hpack.decoder import Entry
from tests.http.generators import noise, properties
from tests.http.hpack.blocks import decoder, literal, string

CONTROLS = (b"\0", b"\rb", b"\nb", b"\x0b", b"\x1f", b"\x7f")


def rules() -> FieldRules:
    """
    Those of requests.
    """
    return FieldRules(OWNED, OWNED_PREFIXES, TRAVELS_ON, PRIVATE)


def judge(name: bytes, value: bytes, never_indexed: bool = False) -> Field:
    """
    What a field means in a request.
    """
    return rules().judge(Entry(name, value, never_indexed))


class JudgeTests(SynchronousTestCase):
    """
    Tests for L{FieldRules.judge}.
    """

    def test_plain(self) -> None:
        """
        A field that concerns nobody here travels on in both forms.
        """
        field = judge(b"x-a", b"b c")
        self.assertEqual((field.name, field.value, field.owned), (b"x-a", b"b c", False))
        self.assertEqual((field.line, field.packed), (b"x-a: b c\r\n", literal(b"x-a", b"b c")))

    def test_kept(self) -> None:
        """
        What it means is kept with it.
        """
        entry = Entry(b"x-a", b"b")
        field = rules().judge(entry)
        self.assertIs(entry.meaning, field)

    def test_names(self) -> None:
        """
        A name is a token without capitals, and says nothing that HTTP/2 says by other means (RFC 9113 sections 8.2.1
        and 8.2.2).
        """
        for name in (
            b"",
            b"X-A",
            b"x-A",
            b"x a",
            b" x",
            b"x ",
            b"x:",
            b":x",
            b":path",
            b"x\r\ny",
            b"x\0",
            b"x\x7f",
            b"x\x80",
            b"x\xe9",
            b"x(",
            b'x"',
            b"connection",
            b"keep-alive",
            b"proxy-connection",
            b"transfer-encoding",
            b"upgrade",
        ):
            self.assertRaises(MalformedError, judge, name, b"v")
        for name in (b"x", b"x-1", b"!#$%&'*+-.^`|~0z"):
            self.assertEqual(judge(name, b"v").line, name + b": v\r\n")

    def test_values(self) -> None:
        """
        A value holds no control but a tab, and neither begins nor ends with whitespace (RFC 9113 section 8.2.1).
        """
        bad = [b"a%b" % control for control in CONTROLS]
        for value in (*bad, b"a\r\nb", b" a", b"a ", b"\ta", b"a\t", b" "):
            self.assertRaises(MalformedError, judge, b"x-a", value)
            self.assertRaises(MalformedError, judge, b"authorization", value)
            self.assertRaises(MalformedError, judge, b"x-user-id", value)
        for value in (b"", b"a b\tc", b"\x80\xff", b'"quoted", more', b"a:b"):
            self.assertEqual(judge(b"x-a", value).line, b"x-a: %b\r\n" % value)

    def test_owned(self) -> None:
        """
        Fields that the gateway reads are told apart from others; some of them travel on.
        """
        for name in (b"authorization", b"content-type", b"origin", b"max-forwards", b"grpc-timeout"):
            field = judge(name, b"v")
            self.assertEqual((field.owned, field.line), (True, name + b": v\r\n"))
            self.assertNotEqual(field.packed, b"")
        for name in (b"host", b"content-length", b"via", b"forwarded", b"x-request-id", b"expect"):
            field = judge(name, b"1")
            self.assertEqual((field.owned, field.value, field.line, field.packed), (True, b"1", b"", b""))

    def test_claims(self) -> None:
        """
        Claims that only a gateway may make travel nowhere, in whatever spelling a backend might take for the same.
        """
        for name in (b"x-user-id", b"x-internal-a", b"x-forwarded-for", b"x-forwarded-user", b"x-real-ip", b"proxy"):
            for spelt in (name, name.replace(b"-", b"_"), name.replace(b"-", b".")):
                field = judge(spelt, b"root")
                self.assertEqual((field.line, field.packed), (b"", b""))
                self.assertEqual(field.owned, spelt == name)

    def test_te(self) -> None:
        """
        TE says that trailers are taken, and nothing else (RFC 9113 section 8.2.2).
        """
        for value in (b"trailers", b"Trailers"):
            self.assertEqual(judge(b"te", value).line, b"")
        for value in (b"", b"gzip", b"trailers, gzip", b"trailers;q=1"):
            self.assertRaises(MalformedError, judge, b"te", value)

    def test_secrets(self) -> None:
        """
        What holds a secret, by its name or because it came so, never enters a table (RFC 7541 section 7.1.3).
        """
        for name, never_indexed in (
            (b"authorization", False),
            (b"cookie", False),
            (b"x-token", True),
            (b"content-type", True),
            (b"idempotency-key", True),
        ):
            packed = judge(name, b"secret", never_indexed).packed
            self.assertEqual(packed[0] & 0xF0, 0x10, name)
            (entry,) = decoder().decode(packed)
            self.assertEqual((entry.name, entry.value, entry.never_indexed), (name, b"secret", True))

    def test_static(self) -> None:
        """
        What the static table has is one byte.
        """
        self.assertEqual(judge(b"accept-encoding", b"gzip, deflate").packed, b"\x90")

    def test_bounded(self) -> None:
        """
        Names are remembered, though only so many and no long ones.
        """
        table = rules()
        for number in range(5000):
            table.judge(Entry(b"x-%d" % number, b""))
        self.assertLessEqual(len(table._kinds), 4096)
        table.judge(Entry(b"y" * 65, b""))
        self.assertNotIn(b"y" * 65, table._kinds)

    @properties
    @given(noise(b"x-user-id", b"cookie", b"te"), noise(b"trailers"), st.booleans())
    def test_any(self, name: bytes, value: bytes, never_indexed: bool) -> None:
        """
        Whatever comes, it is refused, or what travels on is one field line, and the same in both forms.
        """
        try:
            field = judge(name, value, never_indexed)
        except MalformedError:
            return
        if not field.line:
            self.assertEqual(field.packed, b"")
            return
        self.assertEqual(field.line, b"%b: %b\r\n" % (name, value))
        self.assertEqual(field.line.count(b"\r\n"), 1)
        (entry,) = decoder().decode(field.packed)
        self.assertEqual((entry.name, entry.value), (name, value))

    def test_packed_alike(self) -> None:
        """
        The packed form depends on no table.
        """
        self.assertEqual(judge(b"cookie", b"a=b").packed, b"\x1f\x11" + string(b"a=b"))
