"""
HPACK blocks as they come off a connection (RFC 7541 section 6).

A connection has one decoder for each direction; what it remembers from block to block is the dynamic table. A field is
an L{Entry} that carries what was found out about it, and a field that sits in a table is the same entry each time it is
referred to: whoever reads fields judges such a field once.

What a small block may expand to is bounded. Past its bounds a block is still read to its end, as the tables of both
ends have to stay the same, but nothing more of it is kept.
"""

from __future__ import annotations

from typing import Final

from siger.http.hpack.huffman import HpackError, huffman_decode
from siger.http.hpack.static_table import STATIC_TABLE

__all__ = ["Decoder", "Entry", "HpackError", "static_entries"]

_OVERHEAD: Final = 32
"""What a field counts for besides its text (RFC 7541 section 4.1, RFC 9113 section 6.5.2)."""

_FIRST_DYNAMIC: Final = 62
_LARGEST_INTEGER: Final = 1 << 31
_MAX_SIZE_UPDATES: Final = 2


class Entry:
    """
    A field.

    @ivar name: as received, of any bytes.
    @ivar value: likewise.
    @ivar size: what it counts for in tables and lists.
    @ivar never_indexed: it holds a secret, and has to stay out of tables on further hops, too (RFC 7541 section 7.1.3).
    @ivar meaning: what the reader of fields made of it; C{None} at first.
    """

    __slots__ = ("meaning", "name", "never_indexed", "size", "value")

    def __init__(self, name: bytes, value: bytes, never_indexed: bool = False) -> None:
        self.name = name
        self.value = value
        self.size = len(name) + len(value) + _OVERHEAD
        self.never_indexed = never_indexed
        self.meaning: object = None


def static_entries() -> list[Entry]:
    """
    The entries of the static table, to be shared by all decoders whose fields mean the same.
    """
    return [Entry(name, value) for name, value in STATIC_TABLE]


class Decoder:
    """
    Decodes the blocks of one direction of a connection, in their order.

    @ivar size: what the fields of the last block count for, in bytes (RFC 9113 section 6.5.2).
    @ivar oversized: whether it held more than was kept of it.
    @ivar generation: changes whenever the same block could mean something else than before. A block that left it as it
        was may be recognised, and not decoded again, while it stays so.
    """

    __slots__ = (
        "_entries",
        "_limit",
        "_lowest_limit",
        "_max_fields",
        "_max_list_size",
        "_max_table_size",
        "_table_size",
        "generation",
        "oversized",
        "size",
    )

    def __init__(
        self, static: list[Entry], max_table_size: int = 4096, max_list_size: int = 65536, max_fields: int = 128
    ) -> None:
        """
        @param static: what L{static_entries} returned.
        @param max_table_size: how large the peer's encoder may make the dynamic table, in bytes; what it begins with.
        @param max_list_size: how much of a block is kept, in bytes of names and values and 32 for each field.
        @param max_fields: how many fields of a block are kept.
        """
        # Both tables in one list, so that an index on the wire is an index of the list. There is no index 0. What lies
        # outside the list, or the block, is not looked for: IndexError tells.
        self._entries: list[Entry] = [static[0], *static]
        self._limit = max_table_size
        self._lowest_limit = max_table_size
        self._max_table_size = max_table_size
        self._max_list_size = max_list_size
        self._max_fields = max_fields
        self._table_size = 0
        self.generation = 0
        self.size = 0
        self.oversized = False

    def set_max_table_size(self, size: int) -> None:
        """
        Apply a SETTINGS_HEADER_TABLE_SIZE of ours once the peer has acknowledged it. If its encoder uses more, its next
        block has to begin by reducing the table (RFC 7541 section 4.2).
        """
        self._limit = size
        self._lowest_limit = min(self._lowest_limit, size)
        self.generation += 1

    def decode(self, block: bytes) -> list[Entry]:
        """
        Decode a whole block.

        @return: its fields in order, or the first of them if it is L{oversized}.
        @raise HpackError: it is malformed; the decoder cannot be used any more.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise HpackError("the block ends too early, or refers to a field that is in no table") from None

    def _decode(self, block: bytes) -> list[Entry]:
        entries = self._entries
        fields: list[Entry] = []
        room = self._max_list_size
        position = self._take_size_updates(block)
        size = len(block)
        while position < size:
            first = block[position]
            position += 1
            if 0x80 < first < 0xFF:
                entry = entries[first - 0x80]
            elif first < 0x80:
                entry, position = self._literal(block, position, first)
            else:
                entry, position = self._indexed(block, position, first)
            room -= entry.size
            if room >= 0:
                fields.append(entry)
        self.size = self._max_list_size - room
        self.oversized = room < 0 or len(fields) > self._max_fields
        return fields[: self._max_fields] if self.oversized else fields

    def _indexed(self, block: bytes, position: int, first: int) -> tuple[Entry, int]:
        """
        A field whose index is not in the one byte that has been read (RFC 7541 section 6.1).

        @return: the field, and where the next one begins.
        """
        if first == 0x80:
            raise HpackError("there is no index 0")
        index, position = _integer(block, position, 0x7F)
        return self._entries[index], position

    def _literal(self, block: bytes, position: int, first: int) -> tuple[Entry, int]:
        """
        A literal whose first byte has been read (RFC 7541 section 6.2).

        @return: the field, and where the next one begins.
        """
        added = first >= 0x40
        if not added and first >= 0x20:
            raise HpackError("a size update follows a field")
        prefix = 0x3F if added else 0x0F
        index = first & prefix
        if index == prefix:
            index, position = _integer(block, position, prefix)
        if index:
            name = self._entries[index].name
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        entry = Entry(name, value, 0x10 <= first < 0x20)
        if added:
            self._add(entry)
        return entry, position

    def _add(self, entry: Entry) -> None:
        self.generation += 1
        self._table_size += entry.size
        self._entries.insert(_FIRST_DYNAMIC, entry)
        self._evict()

    def _evict(self) -> None:
        # An entry that is larger than the table goes at once, too, and leaves it empty (RFC 7541 section 4.4).
        while self._table_size > self._max_table_size:
            self._table_size -= self._entries.pop().size

    def _take_size_updates(self, block: bytes) -> int:
        """
        Apply the changes of the table's size that a block begins with (RFC 7541 sections 4.2 and 6.3).

        @return: where its fields begin.
        """
        position = 0
        updates = 0
        smallest = self._max_table_size
        while position < len(block) and 0x20 <= block[position] < 0x40:
            size = block[position] & 0x1F
            position += 1
            if size == 0x1F:
                size, position = _integer(block, position, size)
            updates += 1
            if size > self._limit or updates > _MAX_SIZE_UPDATES:
                raise HpackError("a size update is not allowed")
            smallest = min(smallest, size)
            self._resize(size)
        if smallest > self._lowest_limit:
            raise HpackError("a size update is missing")
        self._lowest_limit = self._limit
        return position

    def _resize(self, size: int) -> None:
        self.generation += 1
        self._max_table_size = size
        self._evict()


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """
    An integer that does not fit in its prefix (RFC 7541 section 5.1).

    @param prefix: the prefix, all ones.
    @return: the integer, and where what follows it begins.
    """
    value = prefix
    for shift in (0, 7, 14, 21, 28):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            if value > _LARGEST_INTEGER:
                break
            return value, position
    raise HpackError("an integer is too large")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """
    A string (RFC 7541 section 5.2).

    @return: the string, and where what follows it begins.
    """
    first = block[position]
    position += 1
    length = first & 0x7F
    if length == 0x7F:
        length, position = _integer(block, position, length)
    end = position + length
    if end > len(block):
        raise HpackError("the block ends amid a string")
    text = block[position:end]
    return (huffman_decode(text) if first >= 0x80 else text), end
