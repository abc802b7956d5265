"""
Tests for L{siger.http.hpack.decoder}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.hpack.decoder import Decoder, Entry, HpackError, static_entries
from siger.http.hpack.encoder import pack_integer
from siger.http.hpack.static_table import STATIC_TABLE
from tests.http.generators import properties
from tests.http.hpack.blocks import STATIC, added, blocks, decoder, literal, pairs, refused, resized, string, table

NEWEST = pack_integer(62, 7, 0x80)
"""
A reference to what was added last.
"""


class EntryTests(SynchronousTestCase):
    """
    Tests for L{Entry}.
    """

    def test_attributes(self) -> None:
        """
        A field counts for its text and 32 bytes; nothing was found out about it yet, and it is no secret.
        """
        entry = Entry(b"name", b"value")
        self.assertEqual((entry.name, entry.value, entry.size), (b"name", b"value", 41))
        self.assertIsNone(entry.meaning)
        self.assertFalse(entry.never_indexed)

    def test_static_entries(self) -> None:
        """
        The entries of the static table are new ones each time: what they mean depends on who reads them.
        """
        self.assertEqual(pairs(static_entries()), list(STATIC_TABLE))
        self.assertIsNot(static_entries()[0], static_entries()[0])


class FieldTests(SynchronousTestCase):
    """
    What blocks mean, beyond the examples of the standard.
    """

    def test_empty(self) -> None:
        """
        An empty block has no fields.
        """
        met = decoder()
        self.assertEqual(met.decode(b""), [])
        self.assertFalse(met.oversized)

    def test_all_static(self) -> None:
        """
        Each index from 1 to 61 stands for its entry, the very one that was given.
        """
        for index, entry in enumerate(STATIC, 1):
            [found] = decoder().decode(pack_integer(index, 7, 0x80))
            self.assertIs(found, entry)

    def test_same_entry(self) -> None:
        """
        A field of the dynamic table is the same entry each time, and keeps what was found out about it; a literal that
        is not added is a new one.
        """
        met = decoder()
        [first] = met.decode(added(b"x-a", b"1"))
        first.meaning = "judged"
        again, once_more = met.decode(NEWEST + NEWEST)
        self.assertIs(again, first)
        self.assertIs(once_more, first)
        self.assertEqual(again.meaning, "judged")
        [other] = met.decode(literal(b"x-a", b"1"))
        self.assertIsNone(other.meaning)

    def test_connections_share_nothing(self) -> None:
        """
        What one connection added is in no other connection's table.
        """
        decoder().decode(added(b"x-a", b"1"))
        self.assertEqual(table(decoder()), [])

    def test_names_by_index(self) -> None:
        """
        The three kinds of literals take their names from either table, by indices of one byte or more.
        """
        for bits, first in ((6, 0x40), (4, 0x00), (4, 0x10)):
            for index, name in ((1, b":authority"), (15, b"accept-charset"), (61, b"www-authenticate"), (141, b"x-0")):
                met = decoder()
                met.decode(b"".join(added(b"x-%d" % number, b"") for number in range(80)))
                [entry] = met.decode(pack_integer(index, bits, first) + string(b"v"))
                self.assertEqual((entry.name, entry.value), (name, b"v"))
                self.assertEqual(entry.never_indexed, first == 0x10)

    def test_long_strings(self) -> None:
        """
        Strings whose length needs more than one byte are taken whole, raw and Huffman-coded.
        """
        for size in (126, 127, 128, 254, 255, 300, 5000):
            for huffman in (False, True):
                text = b"a%" * size
                [entry] = decoder().decode(b"\x00" + string(text, huffman) + string(text[1:], huffman))
                self.assertEqual((entry.name, entry.value), (text, text[1:]))

    def test_names_of_any_bytes(self) -> None:
        """
        What names and values may be is somebody else's concern: upper case, colons, controls and nothing at all are
        handed on.
        """
        for text in (b"", b"A", b":", b"\r\n", b"\x00", b"\xff"):
            [entry] = decoder().decode(literal(text, text))
            self.assertEqual((entry.name, entry.value), (text, text))


class MalformedTests(SynchronousTestCase):
    """
    What is refused.
    """

    def test_no_such_index(self) -> None:
        """
        There is no index 0, and none past the last entry: for a whole field, and for a name.
        """
        for block in (
            b"\x80",
            pack_integer(62, 7, 0x80),
            pack_integer(1 << 20, 7, 0x80),
            pack_integer(62, 6, 0x40) + string(b""),
            pack_integer(62, 4, 0x00) + string(b""),
            pack_integer(62, 4, 0x10) + string(b""),
        ):
            self.assertTrue(refused(decoder(), block), block)
        met = decoder()
        met.decode(added(b"x-a", b"1"))
        self.assertFalse(refused(met, pack_integer(62, 7, 0x80)))
        self.assertTrue(refused(met, pack_integer(63, 7, 0x80)))

    def test_index_zero_is_whole(self) -> None:
        """
        Index 0 is refused whatever follows, and not taken for the beginning of a longer index.
        """
        met = decoder()
        met.decode(b"".join(added(b"x-%d" % number, b"") for number in range(80)))
        for block in (b"\x80\x00", b"\x80\x01\x82"):
            self.assertTrue(refused(met, block), block)

    def test_evicted_index(self) -> None:
        """
        What was evicted is not there any more.
        """
        met = decoder(80)
        met.decode(added(b"x-a", b"1") + added(b"x-b", b"2"))
        self.assertEqual(pairs(table(met)), [(b"x-b", b"2"), (b"x-a", b"1")])
        met.decode(added(b"x-c", b"3"))
        self.assertEqual(pairs(table(met)), [(b"x-c", b"3"), (b"x-b", b"2")])
        self.assertTrue(refused(met, pack_integer(64, 7, 0x80)))

    def test_cut(self) -> None:
        """
        A block that ends within a field is refused wherever it was cut.
        """
        for block in (
            b"\x00" + string(b"a" * 130) + string(b"b" * 200),
            b"\x40" + string(b"name", huffman=True) + string(b"value", huffman=True),
            pack_integer(61, 4, 0x00) + string(b""),
            pack_integer(61, 6, 0x40) + string(b"1"),
            b"\x3f\x80\x80\x01",
            b"\xff\x80\x80\x00",
        ):
            for size in range(1, len(block)):
                self.assertTrue(refused(decoder(1 << 16), block[:size]), block[:size])

    def test_bad_huffman(self) -> None:
        """
        A string with an end-of-string symbol, or padding that is none, spoils the block.
        """
        for text in (b"\x81\xff", b"\x81\x18", b"\x84\xff\xff\xff\xff"):
            self.assertTrue(refused(decoder(), b"\x00" + text + string(b"")), text)
            self.assertTrue(refused(decoder(), b"\x00" + string(b"") + text), text)

    def test_long_integers(self) -> None:
        """
        Zeros may be written in up to five further bytes, and no more.
        """
        self.assertEqual(pairs(decoder().decode(b"\x0f\x80\x80\x80\x80\x00\x00")), [(b"accept-charset", b"")])
        self.assertTrue(refused(decoder(), b"\x0f\x80\x80\x80\x80\x80\x00\x00"))
        self.assertTrue(refused(decoder(), b"\x0f" + b"\x80" * 1000 + b"\x00\x00"))

    def test_large_integers(self) -> None:
        """
        Nothing is larger than 2^31, however it is meant: not a table, an index, nor a length.
        """
        most = decoder(1 << 40)
        self.assertFalse(refused(most, resized(1 << 31)))
        self.assertTrue(refused(most, resized((1 << 31) + 1)))
        huge = b"\xff\xff\xff\xff\x7f"
        for block in (b"\xff" + huge, b"\x7f" + huge, b"\x0f" + huge, b"\x00\x7f" + huge, b"\x00\x00\x7f" + huge):
            self.assertTrue(refused(decoder(), block + b"\x00" * 8), block)

    @properties
    @given(st.lists(blocks() | st.binary(max_size=60), max_size=6), st.integers(0, 200))
    def test_nothing_else_is_raised(self, sent: list[bytes], limit: int) -> None:
        """
        Whatever comes is decoded or refused; no other exception, and never more fields kept than were allowed.
        """
        met = decoder(limit, 200, 4)
        for block in sent:
            try:
                entries = met.decode(block)
            except HpackError:
                return
            self.assertLessEqual(len(entries), 4)
            self.assertLessEqual(sum(entry.size for entry in entries), 200)


class TableSizeTests(SynchronousTestCase):
    """
    The dynamic table and its size (RFC 7541 section 4).
    """

    def test_exact_fit(self) -> None:
        """
        A table may be filled to its last byte.
        """
        for size, count in ((72, 2), (71, 1)):
            met = decoder(size)
            met.decode(added(b"x-a", b"1") + added(b"x-b", b"2"))
            self.assertEqual(len(table(met)), count)

    def test_too_large_an_entry(self) -> None:
        """
        An entry that is larger than the table empties it, and is a field all the same (section 4.4).
        """
        met = decoder(72)
        met.decode(added(b"x-a", b"1"))
        [entry] = met.decode(added(b"x-b", b"2" * 40))
        self.assertEqual((entry.name, entry.value), (b"x-b", b"2" * 40))
        self.assertEqual(table(met), [])
        met.decode(added(b"x-c", b"3"))
        self.assertEqual(pairs(table(met)), [(b"x-c", b"3")])

    def test_evicts_the_name_it_refers_to(self) -> None:
        """
        A new entry may take its name from an entry that it evicts (section 4.4).
        """
        met = decoder(40)
        met.decode(added(b"x-a", b"1"))
        met.decode(pack_integer(62, 6, 0x40) + string(b"22"))
        self.assertEqual(pairs(table(met)), [(b"x-a", b"22")])

    def test_resized(self) -> None:
        """
        A smaller size evicts the oldest, and a larger one brings nothing back.
        """
        met = decoder()
        met.decode(added(b"x-a", b"1") + added(b"x-b", b"2") + added(b"x-c", b"3"))
        met.decode(resized(72))
        self.assertEqual(pairs(table(met)), [(b"x-c", b"3"), (b"x-b", b"2")])
        met.decode(resized(4096))
        self.assertEqual(len(table(met)), 2)
        met.decode(resized(0) + resized(4096) + added(b"x-d", b"4"))
        self.assertEqual(pairs(table(met)), [(b"x-d", b"4")])
        met.decode(resized(0))
        self.assertEqual(table(met), [])
        self.assertEqual(len(met.decode(added(b"x-e", b"5"))), 1)
        self.assertEqual(table(met), [])

    def test_not_above_what_was_announced(self) -> None:
        """
        The table may be as large as announced, and no larger.
        """
        self.assertFalse(refused(decoder(100), resized(100)))
        self.assertTrue(refused(decoder(100), resized(101)))
        self.assertTrue(refused(decoder(100), resized(0) + resized(101)))

    def test_only_at_the_beginning(self) -> None:
        """
        After a field of whatever kind, the size stays.
        """
        for field in (b"\x82", literal(b"a", b"b"), added(b"a", b"b")):
            self.assertFalse(refused(decoder(), resized(100) + field))
            self.assertTrue(refused(decoder(), field + resized(100)))
            self.assertTrue(refused(decoder(), resized(100) + field + resized(100)))

    def test_at_most_two(self) -> None:
        """
        Two changes are enough to tell the smallest and the last of any number of sizes (section 4.2).
        """
        self.assertFalse(refused(decoder(), resized(0) + resized(100) + b"\x82"))
        self.assertTrue(refused(decoder(), resized(0) + resized(100) + resized(200) + b"\x82"))

    @properties
    @given(st.lists(blocks(), max_size=6), st.integers(0, 300))
    def test_bounded(self, sent: list[bytes], limit: int) -> None:
        """
        Whatever comes, the table never holds more than was announced.
        """
        met = decoder(limit)
        for block in sent:
            if refused(met, block):
                return
            self.assertLessEqual(sum(entry.size for entry in table(met)), limit)


class AnnouncedTests(SynchronousTestCase):
    """
    Tests for L{Decoder.set_max_table_size} (RFC 7541 section 4.2).
    """

    def test_reduced(self) -> None:
        """
        After a reduction the next block has to begin with a size that is as small, even one without fields.
        """
        for block in (b"", b"\x82", resized(101) + b"\x82"):
            met = decoder()
            met.set_max_table_size(100)
            self.assertTrue(refused(met, block), block)
        for size in (100, 99, 0):
            met = decoder()
            met.set_max_table_size(100)
            self.assertFalse(refused(met, resized(size) + b"\x82"))
            self.assertFalse(refused(met, b"\x82"))
            self.assertFalse(refused(met, resized(100)))
            self.assertTrue(refused(met, resized(101)))

    def test_not_reduced(self) -> None:
        """
        An encoder that uses no more than what is announced has nothing to tell.
        """
        met = decoder()
        met.set_max_table_size(4096)
        self.assertFalse(refused(met, b"\x82"))
        met.decode(resized(50))
        met.set_max_table_size(100)
        self.assertFalse(refused(met, b"\x82"))

    def test_reduced_for_a_moment(self) -> None:
        """
        Of several sizes that were announced since the last block, the smallest has to be told, and the last may be.
        """
        for block, wrong in (
            (b"\x82", True),
            (resized(4096), True),
            (resized(101) + resized(4096), True),
            (resized(100) + resized(4097), True),
            (resized(100) + resized(4096), False),
            (resized(0) + resized(200), False),
            (resized(100), False),
        ):
            met = decoder()
            met.set_max_table_size(100)
            met.set_max_table_size(4096)
            self.assertEqual(refused(met, block), wrong, block)

    def test_enlarged(self) -> None:
        """
        A larger size is there to be used, and the table stays so large from then on.
        """
        met = decoder()
        met.set_max_table_size(8192)
        met.decode(b"\x82")
        met.decode(resized(8192))
        met.decode(added(b"x-a", b"1" * 4000) + added(b"x-b", b"2" * 4000))
        self.assertEqual(len(table(met)), 2)
        met.decode(b"\x82")


class GenerationTests(SynchronousTestCase):
    """
    Tests for L{Decoder.generation}.
    """

    def test_changes(self) -> None:
        """
        It changes with each insertion, with a size, and with an announcement, which can make any block wrong.
        """
        met = decoder()
        seen = [met.generation]
        for block in (added(b"x-a", b"1"), added(b"x-a", b"1"), resized(4096), resized(0), added(b"too", b"large")):
            met.decode(block)
            self.assertNotIn(met.generation, seen)
            seen.append(met.generation)
        met.set_max_table_size(100)
        self.assertNotIn(met.generation, seen)

    def test_stays(self) -> None:
        """
        References and literals that are not added leave it as it is.
        """
        met = decoder()
        met.decode(added(b"x-a", b"1"))
        before = met.generation
        met.decode(b"\x82" + NEWEST + literal(b"x-a", b"1") + b"\x10" + string(b"a") + string(b"b"))
        self.assertEqual(met.generation, before)

    @properties
    @given(st.lists(blocks(), min_size=1, max_size=6), blocks())
    def test_same_again(self, sent: list[bytes], block: bytes) -> None:
        """
        A block that left it as it was means the same whenever it comes again, until it changes.
        """
        met = decoder()
        for each in sent:
            if refused(met, each):
                return
        before = met.generation
        if refused(met, block) or met.generation != before:
            return
        first = met.decode(block)
        again = met.decode(block)
        self.assertEqual(pairs(again), pairs(first))
        self.assertEqual(met.generation, before)


class BoundTests(SynchronousTestCase):
    """
    How much of a block is kept: G4.
    """

    def test_list_size(self) -> None:
        """
        Fields are kept up to the last byte that was allowed; the first that does not fit, and all after it, are not.
        """
        met = decoder(4096, 100)
        self.assertEqual(len(met.decode(literal(b"a", b"b" * 17) + literal(b"a", b"b" * 17))), 2)
        self.assertFalse(met.oversized)
        self.assertEqual(len(met.decode(literal(b"a", b"b" * 17) + literal(b"a", b"b" * 18))), 1)
        self.assertTrue(met.oversized)
        self.assertEqual(pairs(met.decode(literal(b"a", b"b" * 100) + b"\x82")), [])
        self.assertTrue(met.oversized)

    def test_field_count(self) -> None:
        """
        So many fields are kept, and no more.
        """
        met = decoder(4096, 65536, 3)
        self.assertEqual(len(met.decode(b"\x82" * 3)), 3)
        self.assertFalse(met.oversized)
        self.assertEqual(len(met.decode(b"\x82" * 4)), 3)
        self.assertTrue(met.oversized)

    def test_next_block(self) -> None:
        """
        A block that was too large says nothing of the next one.
        """
        met = decoder(4096, 65536, 1)
        met.decode(b"\x82\x82")
        self.assertEqual(len(met.decode(b"\x82")), 1)
        self.assertFalse(met.oversized)

    def test_table_stays_in_step(self) -> None:
        """
        What follows in a block that is too large is still added to the table, and still judged.
        """
        for met in (decoder(4096, 70), decoder(4096, 65536, 1)):
            met.decode(b"\x82" + added(b"x-a", b"1") + added(b"x-b", b"2"))
            self.assertTrue(met.oversized)
            self.assertEqual(pairs(table(met)), [(b"x-b", b"2"), (b"x-a", b"1")])
            self.assertTrue(refused(met, b"\x82\x82\x82\x80"))

    def test_bomb(self) -> None:
        """
        Many references to a large entry are one entry, referred to as often as the bounds allow: CVE-2016-6581.
        """
        met = decoder()
        [large] = met.decode(added(b"x", b"y" * 4000))
        entries = met.decode(NEWEST * 60000)
        self.assertTrue(met.oversized)
        self.assertEqual(len(entries), 65536 // large.size)
        self.assertTrue(all(entry is large for entry in entries))

    def test_many_small_fields(self) -> None:
        """
        Fields of nothing count, too: CVE-2026-49975.
        """
        met = decoder()
        self.assertEqual(len(met.decode(literal(b"", b"") * 20000)), 128)
        self.assertTrue(met.oversized)

    def test_many_names(self) -> None:
        """
        Entries that share one large name fill the table as if each had its own.
        """
        met = decoder()
        met.decode(added(b"n" * 1000, b""))
        met.decode((pack_integer(62, 6, 0x40) + string(b"")) * 1000)
        self.assertEqual(len(table(met)), 4096 // 1032)


class SharingTests(SynchronousTestCase):
    """
    What decoders have in common.
    """

    def test_static_entries_stay(self) -> None:
        """
        However a decoder's table changes, the entries that it was given to share do not.
        """
        static = static_entries()
        met = Decoder(static)
        for number in range(300):
            met.decode(added(b"x-%d" % number, b""))
        met.decode(resized(0))
        self.assertEqual(pairs(static), list(STATIC_TABLE))
        self.assertEqual(pairs(met.decode(pack_integer(61, 7, 0x80))), [STATIC_TABLE[60]])
