"""
Fields as HPACK blocks that depend on no connection (RFC 7541 section 6).

This encoder never uses a dynamic table. So a packed field is the same bytes on every connection for ever, and whoever
sends it often may keep it; a table would have to be kept for every connection, and saves bytes where a gateway counts
CPU. For the same reason strings are not Huffman-coded.
"""

from __future__ import annotations

from typing import Final

from siger.http.grammar import OWS
from siger.http.hpack.static_table import STATIC_TABLE

__all__ = ["NO_TABLE", "LinePacker", "pack_field", "pack_integer", "pack_length", "pack_lines", "pack_secret"]

NO_TABLE: Final = b"\x20"
"""Sets the size of the dynamic table to 0: the first block on a connection begins with it (RFC 7541 section 6.3)."""

_SECRET_NAMES: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"))

_MAX_LINES: Final = 4096
_MAX_LINE_LENGTH: Final = 256
_MAX_SECTIONS: Final = 2048
_MAX_SECTION_LENGTH: Final = 1024


def pack_integer(value: int, prefix_bits: int, first_byte: int) -> bytes:
    """
    An integer (RFC 7541 section 5.1).

    @param value: not negative.
    @param prefix_bits: how many bits of the first byte belong to it, 1 to 8.
    @param first_byte: the other bits of that byte.
    """
    largest = (1 << prefix_bits) - 1
    if value < largest:
        return bytes((first_byte | value,))
    packed = bytearray((first_byte | largest,))
    value -= largest
    while value >= 0x80:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


_LENGTHS: Final = [pack_integer(length, 7, 0x00) for length in range(1024)]


def pack_length(text: bytes) -> bytes:
    """
    What a string begins with that is not Huffman-coded (RFC 7541 section 5.2).
    """
    length = len(text)
    return _LENGTHS[length] if length < 1024 else pack_integer(length, 7, 0x00)


_INDEXED: Final = {field: pack_integer(index, 7, 0x80) for index, field in enumerate(STATIC_TABLE, 1)}
_NAMES: Final = {name: index for index, (name, _) in reversed([*enumerate(STATIC_TABLE, 1)])}
_KNOWN_NAMES: Final = {name: pack_integer(index, 4, 0x00) for name, index in _NAMES.items()}
_KNOWN_SECRET_NAMES: Final = {name: pack_integer(index, 4, 0x10) for name, index in _NAMES.items()}


def pack_field(name: bytes, value: bytes) -> bytes:
    """
    A field that others may keep, indexed if the static table has it, else as a literal that is not added to tables.

    @param name: in lower case.
    """
    packed = _INDEXED.get((name, value))
    if packed is None:
        packed = (_KNOWN_NAMES.get(name) or b"\x00" + _string(name)) + _string(value)
    return packed


def pack_secret(name: bytes, value: bytes) -> bytes:
    """
    A field that no table may ever hold, here or further on (RFC 7541 section 7.1.3).

    @param name: in lower case.
    """
    return (_KNOWN_SECRET_NAMES.get(name) or b"\x10" + _string(name)) + _string(value)


def _string(text: bytes) -> bytes:
    size = len(text)
    return b"%c%b" % (size, text) if size < 0x7F else pack_integer(size, 7, 0x00) + text


def _split(line: bytes) -> tuple[bytes, bytes]:
    """
    Name, in lower case, and value of a line; the name of a pseudo-header field begins with a colon.

    @raise ValueError: it is no field line.
    """
    colon = line.index(b":", 1)
    return line[:colon].lower(), line[colon + 1 :].strip(OWS)


class LinePacker:
    """
    Packs text lines, and remembers the lines and whole sections that it packed, except those that hold a secret.
    """

    __slots__ = ("_lines", "_sections")

    def __init__(self) -> None:
        self._lines: dict[bytes, bytes] = {}
        self._sections: dict[bytes, bytes] = {}

    def pack(self, lines: bytes) -> bytes:
        """
        @param lines: well-formed field lines, each ended by CRLF; names in any case.
        @return: the same fields as a block, or as a part of one.
        """
        packed = self._sections.get(lines)
        return self._pack_section(lines) if packed is None else packed

    def _pack_section(self, lines: bytes) -> bytes:
        pieces: list[bytes] = []
        keep = len(lines) <= _MAX_SECTION_LENGTH
        for line in lines.split(b"\r\n"):
            if not line:
                continue
            piece = self._lines.get(line)
            if piece is None:
                name, value = _split(line)
                if name in _SECRET_NAMES:
                    piece = pack_secret(name, value)
                    keep = False
                else:
                    piece = pack_field(name, value)
                    self._keep_line(line, piece)
            pieces.append(piece)
        packed = b"".join(pieces)
        if keep:
            self._keep_section(lines, packed)
        return packed

    def _keep_line(self, line: bytes, packed: bytes) -> None:
        if len(line) <= _MAX_LINE_LENGTH:
            # As in other tables of the gateway, one that is full of what was seen once holds nothing worth keeping.
            if len(self._lines) >= _MAX_LINES:
                self._lines.clear()
            self._lines[line] = packed

    def _keep_section(self, lines: bytes, packed: bytes) -> None:
        if len(self._sections) >= _MAX_SECTIONS:
            self._sections.clear()
        self._sections[lines] = packed


_shared: Final = LinePacker()


def pack_lines(lines: bytes) -> bytes:
    """
    Pack lines with a packer that everybody shares: see L{LinePacker.pack}.
    """
    return _shared.pack(lines)
