"""
Siger's HPACK against somebody else's: the C{hpack} of Hyper, on which much of Python's HTTP/2 is built.

Where both can read a block they read the same. Siger is stricter in one thing, and stays so: at most two changes of the
table's size may begin a block, as nobody needs more (RFC 7541 section 4.2).
"""

from __future__ import annotations

import hpack
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.hpack.decoder import Decoder, HpackError
from siger.http.hpack.encoder import NO_TABLE, pack_field, pack_lines, pack_secret
from tests.http.generators import properties
from tests.http.hpack.blocks import added, blocks, decoder, fields, pairs, resized, table

Fields = list[tuple[bytes, bytes]]


def theirs(met: hpack.Decoder, block: bytes) -> list[tuple[bytes, bytes, bool]] | None:
    """
    What they read, and which of it is a secret; C{None} if they refuse.
    """
    try:
        read = met.decode(block, raw=True)
    except hpack.HPACKError:
        return None
    return [(name, value, not field.indexable) for field in read for name, value in [field]]


def ours(met: Decoder, block: bytes) -> list[tuple[bytes, bytes, bool]] | None:
    """
    What we read.
    """
    try:
        return [(entry.name, entry.value, entry.never_indexed) for entry in met.decode(block)]
    except HpackError:
        return None


def size_updates(block: bytes) -> int:
    """
    How many changes of the table's size begin a block.
    """
    count = position = 0
    while position < len(block) and block[position] & 0xE0 == 0x20:
        count += 1
        if block[position] & 0x1F == 0x1F:
            position += 1
            while position < len(block) and block[position] & 0x80:
                position += 1
        position += 1
    return count


def spoiled(block: bytes, spots: list[tuple[int, int]]) -> bytes:
    """
    A block with some of its bytes replaced.
    """
    wrong = bytearray(block)
    for place, byte in spots:
        if wrong:
            wrong[place % len(wrong)] = byte
    return bytes(wrong)


class DecodingTests(SynchronousTestCase):
    """
    What they encode, and what nobody would.
    """

    @properties
    @given(st.lists(st.tuples(fields, st.booleans(), st.booleans()), min_size=1, max_size=8), st.data())
    def test_theirs(self, messages: list[tuple[Fields, bool, bool]], data: st.DataObject) -> None:
        """
        All that they encode on a connection, with a table whose size changes, is decoded to the same fields, and the
        tables of both ends stay the same.
        """
        encoder = hpack.Encoder()
        met = decoder()
        for sent, huffman, secret in messages:
            for size in data.draw(st.lists(st.integers(0, 4096), max_size=2)):
                if size != encoder.header_table_size:  # it would forget to tell of the change before
                    encoder.header_table_size = size
            block = encoder.encode([(name, value, secret) for name, value in sent], huffman=huffman)
            entries = met.decode(block)
            self.assertEqual(pairs(entries), sent)
            self.assertEqual(pairs(table(met)), list(encoder.header_table.dynamic_entries))

    def compare(self, sent: list[bytes]) -> None:
        """
        Have both read the blocks of a connection, up to the first that somebody refuses.
        """
        they = hpack.Decoder()
        met = decoder(4096, 1 << 20, 1000)
        they.max_header_list_size = 1 << 20
        for block in sent:
            expected = theirs(they, block)
            if size_updates(block) > 2:
                expected = None
            self.assertEqual(ours(met, block), expected, block)
            if expected is None:
                return
            self.assertEqual(pairs(table(met)), list(they.header_table.dynamic_entries))

    @properties
    @given(st.lists(blocks() | st.binary(max_size=40), max_size=6))
    @example([added(b"a", b"b"), b"\xbe\xbf"])
    @example([resized(1) + resized(2) + resized(3)])
    @example([b"\x3f\x80\x80\x80\x80\x00", b"\x3f\x80\x80\x80\x80\x80\x00"])
    @example([b"\x0f\xff\xff\xff\xff\x7f\x00"])
    def test_any(self, sent: list[bytes]) -> None:
        """
        Any blocks are read the same by both or refused by both.
        """
        self.compare(sent)

    @properties
    @given(
        st.lists(fields, min_size=1, max_size=4),
        st.booleans(),
        st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3),
    )
    def test_spoiled(self, messages: list[Fields], huffman: bool, spots: list[tuple[int, int]]) -> None:
        """
        So are good blocks of which some bytes were changed.
        """
        encoder = hpack.Encoder()
        self.compare([spoiled(encoder.encode(sent, huffman=huffman), spots) for sent in messages])


class EncodingTests(SynchronousTestCase):
    """
    What we encode.
    """

    @properties
    @given(st.lists(fields, max_size=4), st.booleans())
    def test_ours(self, messages: list[Fields], secret: bool) -> None:
        """
        They decode all that we encode, see what is secret, and have nothing in their table.
        """
        they = hpack.Decoder()
        pack = pack_secret if secret else pack_field
        start = NO_TABLE
        for sent in messages:
            block = start + b"".join(pack(name, value) for name, value in sent)
            self.assertEqual(theirs(they, block), [(name, value, secret) for name, value in sent])
            self.assertEqual(they.header_table_size, 0)
            start = b""

    def test_lines(self) -> None:
        """
        They decode lines, and see which of them is secret.
        """
        block = pack_lines(b"Content-Type: application/grpc\r\nSet-Cookie: a=b\r\nX-A: 1\r\n")
        self.assertEqual(
            theirs(hpack.Decoder(), block),
            [(b"content-type", b"application/grpc", False), (b"set-cookie", b"a=b", True), (b"x-a", b"1", False)],
        )
