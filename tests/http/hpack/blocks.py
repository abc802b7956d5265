"""
Blocks made by hand, and what a decoder has in its table.
"""

from __future__ import annotations

from hypothesis import strategies as st

from siger.http.hpack.decoder import Decoder, Entry, HpackError, static_entries
from siger.http.hpack.encoder import pack_integer
from siger.http.hpack.huffman import huffman_encode

__all__ = ["added", "blocks", "decoder", "fields", "literal", "pairs", "refused", "resized", "string", "table"]

STATIC = static_entries()

fields = st.lists(
    st.tuples(
        st.sampled_from((b":path", b":status", b"content-type", b"cookie", b"te", b"x-a", b"x-b"))
        | st.binary(max_size=20),
        st.sampled_from((b"", b"/", b"200", b"trailers", b"application/grpc")) | st.binary(max_size=40),
    ),
    max_size=12,
)
"""
Names and values: those of tables often, and any others.
"""


def decoder(max_table_size: int = 4096, max_list_size: int = 65536, max_fields: int = 128) -> Decoder:
    """
    A new one.
    """
    return Decoder(STATIC, max_table_size, max_list_size, max_fields)


def string(text: bytes, huffman: bool = False) -> bytes:
    """
    A string (RFC 7541 section 5.2).
    """
    if huffman:
        text = huffman_encode(text)
    return pack_integer(len(text), 7, 0x80 if huffman else 0x00) + text


def added(name: bytes, value: bytes) -> bytes:
    """
    A literal that is added to the table.
    """
    return b"\x40" + string(name) + string(value)


def literal(name: bytes, value: bytes) -> bytes:
    """
    A literal that is not.
    """
    return b"\x00" + string(name) + string(value)


def resized(size: int) -> bytes:
    """
    A change of the table's size.
    """
    return pack_integer(size, 5, 0x20)


def blocks() -> st.SearchStrategy[bytes]:
    """
    Blocks that are well-formed but for their indices, or nearly so.
    """
    text = st.builds(string, st.binary(max_size=12), st.booleans())
    index = st.integers(0, 70)
    piece = (
        st.builds(pack_integer, st.integers(1, 70), st.just(7), st.just(0x80))
        | st.builds(lambda name, value: b"\x40" + name + value, text, text)
        | st.builds(lambda name, value: b"\x10" + name + value, text, text)
        | st.builds(lambda at, value: pack_integer(at, 6, 0x40) + value, index, text)
        | st.builds(lambda at, value: pack_integer(at, 4, 0x00) + value, index, text)
        | st.binary(min_size=1, max_size=3)
    )
    sizes = st.lists(st.builds(resized, st.sampled_from((0, 64, 100, 4096)) | st.integers(0, 5000)), max_size=3)
    return st.builds(lambda start, rest: b"".join((*start, *rest)), sizes, st.lists(piece, max_size=8))


def pairs(entries: list[Entry]) -> list[tuple[bytes, bytes]]:
    """
    Names and values of fields.
    """
    return [(entry.name, entry.value) for entry in entries]


def refused(met: Decoder, block: bytes) -> bool:
    """
    Whether a block is found malformed.
    """
    try:
        met.decode(block)
    except HpackError:
        return True
    return False


def table(met: Decoder) -> list[Entry]:
    """
    The dynamic table, the newest entry first: whatever a peer can refer to.
    """
    found: list[Entry] = []
    while True:
        try:
            found += met.decode(pack_integer(62 + len(found), 7, 0x80))
        except HpackError:
            return found
