"""
The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), read a byte at a time.

The code is canonical: its code words are those that counting gives when symbols are sorted by the length of their word
and then by value. So the lengths are all that has to be written down; trees and tables follow from them.

A decoder that walks the tree bit by bit is far too slow in Python. This one moves from inner node to inner node by
whole bytes: a L{_Node} has, for each of the 256 bytes, where the byte leads and what was decoded on the way. That is
found out when a node is first passed, since what is common in fields passes few of the 256 nodes.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HpackError", "huffman_decode", "huffman_encode"]

_SYMBOLS: Final[tuple[tuple[int, bytes], ...]] = (
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b'!"()?'),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (22, b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9"),
    (
        23,
        b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf"
        b"\xc5\xe7\xef",
    ),
    (24, b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (
        28,
        b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"
        b"\x7f\xdc\xf9",
    ),
    (30, b"\n\r\x16"),
)
"""Which bytes have code words of how many bits. The end-of-string symbol, 30 ones, is the one that is left over."""


class HpackError(Exception):
    """
    A block that cannot be decoded. The connection's tables are no longer the same at both ends, so that it has to end
    with COMPRESSION_ERROR (RFC 9113 section 4.3).
    """


class _Node:
    """
    A place in the tree of the code.

    @ivar symbol: the byte that is decoded here; empty at an inner node.
    @ivar zero: where the bit 0 leads from an inner node.
    @ivar one: where the bit 1 leads.
    @ivar padding: whether a string may end here: at most seven ones after a symbol (RFC 7541 section 5.2).
    @ivar nodes: where each byte leads from an inner node; empty until it is needed.
    @ivar texts: what is decoded on that way; likewise.
    """

    __slots__ = ("nodes", "one", "padding", "symbol", "texts", "zero")

    def __init__(self) -> None:
        self.symbol = b""
        self.zero: _Node = self
        self.one: _Node = self
        self.padding = False
        self.nodes: list[_Node] = []
        self.texts: list[bytes] = []


def _tree() -> _Node:
    """
    Build the tree level by level. The node that is left over, the end-of-string symbol, has no way out but into itself:
    a string that holds it can no longer end well.
    """
    root = _Node()
    level = [root]
    depth = 0
    for length, symbols in _SYMBOLS:
        while depth < length:
            level = _grow(level)
            depth += 1
        for node, symbol in zip(level, symbols, strict=False):
            node.symbol = bytes((symbol,))
        level = level[len(symbols) :]
    node = root
    for _ in range(8):
        node.padding = True
        node = node.one
    return root


def _grow(level: list[_Node]) -> list[_Node]:
    longer: list[_Node] = []
    for node in level:
        node.zero = _Node()
        node.one = _Node()
        longer += (node.zero, node.one)
    return longer


_ROOT: Final = _tree()


def _look_ahead(start: _Node) -> None:
    """
    Find out where each byte leads from a node.
    """
    paths: list[tuple[_Node, bytes]] = [(start, b"")]
    for _ in range(8):
        paths = [
            (_ROOT, text + child.symbol) if child.symbol else (child, text)
            for node, text in paths
            for child in (node.zero, node.one)
        ]
    start.nodes = [node for node, _ in paths]
    start.texts = [text for _, text in paths]


def _code_words() -> list[tuple[int, int]]:
    """
    The code word of each byte, and its length in bits (RFC 7541 appendix B).
    """
    words = [(0, 0)] * 256
    word = 0
    last = 0
    for length, symbols in _SYMBOLS:
        word <<= length - last
        last = length
        for symbol in symbols:
            words[symbol] = (word, length)
            word += 1
    return words


_WORDS: Final = _code_words()


def huffman_decode(data: bytes) -> bytes:
    """
    Decode a string.

    @raise HpackError: it holds the end-of-string symbol, or does not end with at most seven ones that belong to no
        symbol.
    """
    node: _Node = _ROOT
    pieces: list[bytes] = []
    for byte in data:
        try:
            pieces.append(node.texts[byte])
        except IndexError:
            _look_ahead(node)
            pieces.append(node.texts[byte])
        node = node.nodes[byte]
    if not node.padding:
        raise HpackError("a Huffman-coded string ends amid a symbol")
    return b"".join(pieces)


def huffman_encode(data: bytes) -> bytes:
    """
    Encode a string.
    """
    encoded = bytearray()
    bits = 0
    count = 0
    for byte in data:
        word, length = _WORDS[byte]
        bits = bits << length | word
        count += length
        while count >= 8:
            count -= 8
            encoded.append(bits >> count & 0xFF)
        bits &= (1 << count) - 1
    if count:
        encoded.append(bits << 8 - count | 0xFF >> count)
    return bytes(encoded)
