"""
Tests for L{siger.http.fields}.
"""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.fields import HOP_BY_HOP, Field, HeadError, LineTable, canonical_name, drop_named
from tests.http.generators import noise, properties, tokens


def table() -> LineTable:
    """
    A table that owns C{Via}, C{Origin}, which travels on, and everything below C{X-User-}, and never keeps cookies.
    """
    return LineTable(frozenset((b"via", b"origin")), (b"x-user-",), frozenset((b"origin",)), frozenset((b"cookie",)))


def parsed(line: bytes) -> bytes | Field:
    """
    What such a table takes a line for.
    """
    return table().parse(line)[0]


class HeadErrorTests(SynchronousTestCase):
    """
    Tests for L{HeadError}.
    """

    def test_attributes(self) -> None:
        """
        It carries what the client is told, and says so in words too.
        """
        error = HeadError(Reason.INVALID_HOST, "No.")
        self.assertIs(error.reason, Reason.INVALID_HOST)
        self.assertEqual(error.detail, "No.")
        self.assertEqual(str(error), "('invalid_host', 'No.')")
        self.assertEqual(HeadError(Reason.INVALID_HOST).detail, "")


class CanonicalNameTests(SynchronousTestCase):
    """
    Tests for L{canonical_name}.
    """

    def test_look_alikes(self) -> None:
        """
        Names that a CGI-style backend cannot tell apart have one canonical name.
        """
        for name in (b"X-User-Id", b"x_user_id", b"X.USER_ID"):
            self.assertEqual(canonical_name(name), b"x-user-id")


class ParseTests(SynchronousTestCase):
    """
    Tests for L{LineTable.parse}.
    """

    def test_travels_on(self) -> None:
        """
        A line that concerns nobody here travels on in one spelling: name as received, a space, the value trimmed.
        """
        self.assertEqual(parsed(b"X-A:\t b  c \t"), b"X-A: b  c\r\n")
        self.assertEqual(parsed(b"x-a:"), b"x-a: \r\n")

    def test_trims_only_whitespace(self) -> None:
        """
        A no-break space and NEL are part of a value.
        """
        self.assertEqual(parsed(b"X-A: \xa0b\x85 "), b"X-A: \xa0b\x85\r\n")

    def test_owned(self) -> None:
        """
        A line that concerns the gateway is a field with a lower-case name.
        """
        entry = parsed(b"VIA: 1.1 other ")
        assert isinstance(entry, Field)
        self.assertEqual((entry.name, entry.value), (b"via", b"1.1 other"))

    def test_owned_prefix(self) -> None:
        """
        So is a line whose name begins with an owned prefix.
        """
        entry = parsed(b"X-User-Role: admin")
        assert isinstance(entry, Field)
        self.assertEqual((entry.name, entry.value), (b"x-user-role", b"admin"))

    def test_look_alike_is_dropped(self) -> None:
        """
        Row D4: a line whose name only looks like an owned one travels nowhere and says nothing.
        """
        self.assertEqual(parsed(b"X.User-Role: admin"), b"")
        self.assertEqual(parsed(b"X-User.Role: admin"), b"")

    def test_unusual_name(self) -> None:
        """
        A name with other token characters travels on as it is.
        """
        self.assertEqual(parsed(b"X!~.y: b"), b"X!~.y: b\r\n")

    def test_underscore(self) -> None:
        """
        Row D5: a name with an underscore is refused.
        """
        for line in (b"X_A: b", b"Transfer_Encoding: chunked", b"x_user_role: admin"):
            self._refused(line)

    def test_malformed(self) -> None:
        """
        Spaces before the colon, folds, controls, missing names and missing colons are refused: A18-A22.
        """
        for line in (
            b"",
            b":b",
            b"a",
            b"a b: c",
            b"a : b",
            b"a\t: b",
            b" a: b",
            b"\ta: b",
            b"a: b\x00",
            b"a: b\rc",
            b"a: b\nc: d",
            b"a: \x7f",
            b"a: \x1b[1m",
            b"caf\xe9: b",
            b"a(b): c",
        ):
            self._refused(line)

    def _refused(self, line: bytes) -> None:
        error = self.assertRaises(HeadError, table().parse, line)
        self.assertIs(error.reason, Reason.MALFORMED_REQUEST)

    @properties
    @given(noise(b"Via", b"X-User-", b"a: b"))
    def test_any_bytes(self, line: bytes) -> None:
        """
        Of any bytes, what travels on is one whole line and no more: A31.
        """
        try:
            entry = parsed(line)
        except HeadError:
            return
        if isinstance(entry, Field):
            self.assertNotIn(b"\r", entry.value)
            self.assertNotIn(b"\n", entry.value)
        elif entry:
            self.assertEqual(entry.index(b"\r\n"), len(entry) - 2)
            self.assertEqual(entry.count(b"\n"), 1)
            self.assertEqual(entry.count(b"\r"), 1)

    @properties
    @given(tokens, st.binary(max_size=20))
    def test_value(self, name: bytes, value: bytes) -> None:
        """
        A value is refused or kept byte for byte, but for the whitespace around it.
        """
        try:
            entry = parsed(b"X-%b:%b" % (name, value))
        except HeadError:
            self.assertTrue(any((byte < 32 and byte != 9) or byte == 127 for byte in value))
            return
        self.assertEqual(entry, b"X-%b: %b\r\n" % (name, value.strip(b" \t")))


class RepeatedNameTests(SynchronousTestCase):
    """
    Tests for L{LineTable.parse} of a name that it has met before.
    """

    @properties
    @given(tokens, st.binary(max_size=20))
    def test_same_as_new(self, name: bytes, value: bytes) -> None:
        """
        What a line means does not depend on what came before it.
        """
        line = b"X-%b:%b" % (name, value)
        met = table()
        try:
            met.parse(b"X-%b: before" % name)
            expected = table().parse(line)
        except HeadError:
            self.assertRaises(HeadError, met.parse, line)
            return
        found = met.parse(line)
        if isinstance(expected[0], Field):
            self.assertIsInstance(found[0], Field)
        else:
            self.assertEqual(found, expected)

    def test_values(self) -> None:
        """
        A new value is written in the one spelling, checked, and kept as the first one was.
        """
        met = table()
        for line in (b"X-A: 1", b"Cookie: 1"):
            met.parse(line)
        self.assertEqual(met.parse(b"X-A: 2 3"), (b"X-A: 2 3\r\n", True))
        self.assertEqual(met.parse(b"X-A:\t2 "), (b"X-A: 2\r\n", True))
        self.assertEqual(met.parse(b"X-A: "), (b"X-A: \r\n", True))
        self.assertEqual(met.parse(b"X-A: " + b"b" * 300), (b"X-A: " + b"b" * 300 + b"\r\n", False))
        self.assertEqual(met.parse(b"Cookie: 2"), (b"Cookie: 2\r\n", False))
        self.assertRaises(HeadError, met.parse, b"X-A: 2\r")
        self.assertRaises(HeadError, met.parse, b"X-A : 2")

    def test_names_are_bounded(self) -> None:
        """
        However many different names come, all are still read, and a bounded number remembered: F12.
        """
        met = table()
        for number in range(9000):
            self.assertEqual(met.parse(b"X-%d: a" % number), (b"X-%d: a\r\n" % number, True))
            self.assertLessEqual(max(len(each) for each in gc.get_referents(met) if isinstance(each, dict)), 4096)
        self.assertEqual(met.parse(b"X-0: b"), (b"X-0: b\r\n", True))


class KeepTests(SynchronousTestCase):
    """
    Tests for L{LineTable.keep}.
    """

    def test_kept(self) -> None:
        """
        A kept line is found by its exact bytes.
        """
        lines = table()
        lines.keep(b"X-A: b", b"X-A: b\r\n")
        self.assertEqual(lines.entries, {b"X-A: b": b"X-A: b\r\n"})

    def test_private(self) -> None:
        """
        A line that may hold a secret is not to be kept, however its name is spelled: L2.
        """
        self.assertEqual(table().parse(b"CooKie: a=b"), (b"CooKie: a=b\r\n", False))
        self.assertEqual(table().parse(b"CooKies: a=b"), (b"CooKies: a=b\r\n", True))

    def test_long(self) -> None:
        """
        Neither is a line of more than 256 bytes.
        """
        self.assertTrue(table().parse(b"X: " + b"a" * 253)[1])
        self.assertFalse(table().parse(b"X: " + b"a" * 254)[1])

    def test_owned(self) -> None:
        """
        A field that the gateway reads may travel on too.
        """
        origin, via = parsed(b"Origin:http://a.test"), parsed(b"Via: 1.1 a")
        assert isinstance(origin, Field)
        assert isinstance(via, Field)
        self.assertEqual((origin.value, origin.line), (b"http://a.test", b"Origin: http://a.test\r\n"))
        self.assertEqual(via.line, b"")

    def test_bounded(self) -> None:
        """
        However many different lines come, a table holds a bounded number: F12.
        """
        lines = table()
        for number in range(10000):
            lines.keep(b"X-%d: a" % number, b"")
            self.assertLessEqual(len(lines.entries), 4096)
        self.assertIn(b"X-9999: a", lines.entries)


class DropNamedTests(SynchronousTestCase):
    """
    Tests for L{drop_named}.
    """

    def test_by_name(self) -> None:
        """
        Lines with such a name are dropped in any case of letters; others keep their order.
        """
        lines = [b"A: 1\r\n", b"b: 2\r\n", b"C: 3\r\n", b"B: a: 4\r\n"]
        self.assertEqual(drop_named(lines, [b"b"]), [b"A: 1\r\n", b"C: 3\r\n"])

    def test_hop_by_hop(self) -> None:
        """
        Row D1: the fixed list of fields that never travel on is complete.
        """
        self.assertEqual(
            sorted(HOP_BY_HOP),
            [
                b"connection",
                b"http2-settings",
                b"keep-alive",
                b"proxy-authenticate",
                b"proxy-authorization",
                b"proxy-connection",
                b"te",
                b"trailer",
                b"transfer-encoding",
                b"upgrade",
            ],
        )
