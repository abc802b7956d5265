"""
Tests for L{siger.http.hpack.encoder}.
"""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.hpack.decoder import HpackError
from siger.http.hpack.encoder import (
    NO_TABLE,
    LinePacker,
    pack_field,
    pack_integer,
    pack_lines,
    pack_secret,
)
from siger.http.hpack.static_table import STATIC_TABLE
from tests.http.generators import properties, tokens
from tests.http.hpack.blocks import added, decoder, pairs, table

SECRETS = (b"Authorization", b"Proxy-Authorization", b"Cookie", b"Set-Cookie")


def remembered(packer: LinePacker) -> list[dict[bytes, bytes]]:
    """
    All that a packer keeps.
    """
    return [each for each in gc.get_referents(packer) if isinstance(each, dict)]


def unpacked(block: bytes) -> list[tuple[bytes, bytes]]:
    """
    What a block says to a connection that was just begun, and that it leaves that connection's table alone.
    """
    met = decoder()
    entries = met.decode(block)
    assert met.generation == 0
    return pairs(entries)


class IntegerTests(SynchronousTestCase):
    """
    Tests for L{pack_integer}.
    """

    def test_borders(self) -> None:
        """
        What fills the prefix needs a further byte, and so does every power of 128 beyond; the other bits stay.
        """
        for value, packed in (
            (0, "80"),
            (126, "fe"),
            (127, "ff00"),
            (254, "ff7f"),
            (255, "ff8001"),
            (16510, "ffff7f"),
            (16511, "ff808001"),
        ):
            self.assertEqual(pack_integer(value, 7, 0x80).hex(), packed)
        self.assertEqual(pack_integer(14, 4, 0x10), b"\x1e")
        self.assertEqual(pack_integer(15, 4, 0x10), b"\x1f\x00")

    @properties
    @given(st.integers(0, 1 << 31))
    def test_round_trip(self, value: int) -> None:
        """
        A decoder reads the same number: as a table size, it is allowed where it is announced, not where one less is.
        """
        block = pack_integer(value, 5, 0x20)
        self.assertEqual(decoder(value).decode(block), [])
        if value:
            self.assertRaises(HpackError, decoder(value - 1).decode, block)


class FieldTests(SynchronousTestCase):
    """
    Tests for L{pack_field} and L{pack_secret}.
    """

    def test_static(self) -> None:
        """
        A field of the static table is its index; each entry is found there.
        """
        for index, (name, value) in enumerate(STATIC_TABLE, 1):
            self.assertEqual(pack_field(name, value), bytes((0x80 | index,)))

    def test_static_name(self) -> None:
        """
        A name of the static table is its first index, and the value follows as it is.
        """
        self.assertEqual(pack_field(b":status", b"418"), b"\x08\x03418")
        self.assertEqual(pack_field(b"content-length", b"5"), b"\x0f\x0d\x015")

    def test_new_name(self) -> None:
        """
        Any other name stands there as it is.
        """
        self.assertEqual(pack_field(b"x-a", b"1"), b"\x00\x03x-a\x011")
        self.assertEqual(pack_field(b"", b""), b"\x00\x00\x00")

    def test_secret(self) -> None:
        """
        A secret is marked so, even if the static table has it.
        """
        self.assertEqual(pack_secret(b"authorization", b"x"), b"\x1f\x08\x01x")
        self.assertEqual(pack_secret(b":status", b"200"), b"\x18\x03200")
        self.assertEqual(pack_secret(b"x-key", b"1"), b"\x10\x05x-key\x011")

    @properties
    @given(st.binary(max_size=300), st.binary(max_size=300))
    def test_round_trip(self, name: bytes, value: bytes) -> None:
        """
        Both are decoded to what was packed, lengths of two bytes included.
        """
        self.assertEqual(unpacked(pack_field(name, value)), [(name, value)])
        [entry] = decoder().decode(pack_secret(name, value))
        self.assertEqual((entry.name, entry.value, entry.never_indexed), (name, value, True))

    def test_long_strings(self) -> None:
        """
        From 127 bytes on, a length needs more than one byte.
        """
        for size, length in ((126, "7e"), (127, "7f00"), (128, "7f01"), (300, "7fad01")):
            text = b"a" * size
            string = bytes.fromhex(length) + text
            self.assertEqual(pack_field(text, text), b"\x00" + string + string)

    def test_no_table(self) -> None:
        """
        What a connection begins with leaves it without a table, whatever was in it.
        """
        met = decoder()
        met.decode(added(b"x-a", b"1"))
        met.decode(NO_TABLE + pack_field(b":status", b"200"))
        self.assertEqual(table(met), [])
        met.decode(added(b"x-a", b"1"))
        self.assertEqual(table(met), [])


class LinePackerTests(SynchronousTestCase):
    """
    Tests for L{LinePacker} and L{pack_lines}.
    """

    def test_lines(self) -> None:
        """
        Lines become fields in their order, names in lower case, values without whitespace around them; names of
        pseudo-header fields begin with a colon.
        """
        lines = b":status: 200\r\nContent-Type: text/plain\r\nX-A:\t1: 2 \r\nX-B: \r\nX-A: 3\r\n"
        expected = [
            (b":status", b"200"),
            (b"content-type", b"text/plain"),
            (b"x-a", b"1: 2"),
            (b"x-b", b""),
            (b"x-a", b"3"),
        ]
        packer = LinePacker()
        for block in (packer.pack(lines), packer.pack(lines), pack_lines(lines)):
            self.assertEqual(unpacked(block), expected)
        self.assertEqual(packer.pack(lines)[:1], b"\x88")

    def test_nothing(self) -> None:
        """
        No lines are an empty block.
        """
        self.assertEqual(LinePacker().pack(b""), b"")

    def test_no_field_line(self) -> None:
        """
        What has no colon behind its first byte is no field line.
        """
        for line in (b"x-a", b":", b":status"):
            self.assertRaises(ValueError, LinePacker().pack, line + b"\r\n")

    def test_secrets(self) -> None:
        """
        The four fields that hold secrets are marked, in whatever case they are named, and no others.
        """
        for name in (*SECRETS, *(each.lower() for each in SECRETS)):
            first, second = decoder().decode(LinePacker().pack(b"X-A: 1\r\n%b: 2\r\n" % name))
            self.assertFalse(first.never_indexed)
            self.assertTrue(second.never_indexed)
            self.assertEqual((second.name, second.value), (name.lower(), b"2"))

    def test_secrets_are_not_kept(self) -> None:
        """
        Neither such a line nor a section with one is kept, while what stands beside it is.
        """
        for name in (*SECRETS, *(each.lower() for each in SECRETS)):
            packer = LinePacker()
            lines = b"X-A: 1\r\n%b: hidden\r\nX-B: 2\r\n" % name
            first = packer.pack(lines)
            self.assertEqual(packer.pack(lines), first)
            kept = b"".join(key + value for each in remembered(packer) for key, value in each.items())
            self.assertNotIn(b"hidden", kept)
            self.assertIn(b"X-A: 1", kept)

    def test_lines_are_kept(self) -> None:
        """
        Lines of up to 256 bytes are kept, longer ones not; sections up to 1024.
        """
        for size, lines, sections in ((256, 1, 1), (257, 0, 1), (1022, 0, 1), (1023, 0, 0)):
            packer = LinePacker()
            packer.pack(b"X-A: ".ljust(size, b"a") + b"\r\n")
            self.assertEqual(sorted(len(each) for each in remembered(packer)), sorted((lines, sections)), size)

    def test_bounded(self) -> None:
        """
        However many lines and sections come, some thousand of each are kept, and all are packed.
        """
        packer = LinePacker()
        for number in range(9000):
            self.assertEqual(packer.pack(b"x-a: %d\r\n" % number), pack_field(b"x-a", b"%d" % number))
            self.assertLessEqual(max(len(each) for each in remembered(packer)), 4096)
        self.assertEqual(packer.pack(b"x-a: 0\r\n"), b"\x00\x03x-a\x010")

    @properties
    @given(st.lists(st.tuples(tokens, st.binary(max_size=20)), max_size=8))
    def test_round_trip(self, fields: list[tuple[bytes, bytes]]) -> None:
        """
        Whatever lines are made of, fields say the same, the second time, too.
        """
        clean = [(name, value.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t")) for name, value in fields]
        lines = b"".join(b"%b: %b\r\n" % field for field in clean)
        packer = LinePacker()
        for _ in range(2):
            self.assertEqual(unpacked(packer.pack(lines)), [(name.lower(), value) for name, value in clean])
