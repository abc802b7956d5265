"""
Tests for L{siger.http.hpack.huffman}.
"""

from __future__ import annotations

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.hpack.huffman import HpackError, huffman_decode, huffman_encode
from tests.http.generators import properties


def packed(*words: tuple[int, int]) -> bytes:
    """
    Code words, each with its length in bits, one after the other; they have to fill whole bytes.
    """
    bits = "".join(f"{word:0{length}b}" for word, length in words if length)
    assert len(bits) % 8 == 0
    return bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))


def code_word(symbol: int) -> tuple[int, int]:
    """
    The code word of a symbol and its length, as somebody else wrote them down.
    """
    return REQUEST_CODES[symbol], REQUEST_CODES_LENGTH[symbol]


def ones(count: int) -> tuple[int, int]:
    """
    So many bits, all of them one.
    """
    return (1 << count) - 1, count


def decoded(data: bytes) -> bytes | None:
    """
    What a string decodes to, C{None} if it is refused.
    """
    try:
        return huffman_decode(data)
    except HpackError:
        return None


class CodeTests(SynchronousTestCase):
    """
    The code itself.
    """

    def test_every_byte(self) -> None:
        """
        Each byte has the code word of RFC 7541 appendix B, padded with ones, in both directions.
        """
        for symbol in range(256):
            word, length = code_word(symbol)
            alone = packed((word, length), ones(-length % 8))
            self.assertEqual(huffman_encode(bytes((symbol,))), alone)
            self.assertEqual(huffman_decode(alone), bytes((symbol,)))

    def test_examples(self) -> None:
        """
        Strings of RFC 7541 appendix C are encoded as they are there.
        """
        for text, data in (
            (b"www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
            (b"no-cache", "a8eb10649cbf"),
            (b"custom-value", "25a849e95bb8e8b4bf"),
            (b"Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
            (b"gzip", "9bd9ab"),
        ):
            self.assertEqual(huffman_encode(text).hex(), data)
            self.assertEqual(huffman_decode(bytes.fromhex(data)), text)

    def test_empty(self) -> None:
        """
        Nothing is the code of nothing.
        """
        self.assertEqual(huffman_encode(b""), b"")
        self.assertEqual(huffman_decode(b""), b"")

    @properties
    @given(st.binary(max_size=80))
    def test_round_trip(self, text: bytes) -> None:
        """
        Whatever was encoded decodes to itself.
        """
        self.assertEqual(huffman_decode(huffman_encode(text)), text)

    def test_every_pair(self) -> None:
        """
        Every string of two bytes is decoded or refused as somebody else does it.
        """
        for number in range(1 << 16):
            data = number.to_bytes(2, "big")
            try:
                expected = decode_huffman(data)
            except HPACKDecodingError:
                expected = None
            self.assertEqual(decoded(data), expected, data)

    @properties
    @given(st.binary(max_size=40))
    def test_any_bytes(self, data: bytes) -> None:
        """
        Any bytes are decoded or refused as somebody else does it.
        """
        try:
            expected = decode_huffman(data)
        except HPACKDecodingError:
            expected = None
        self.assertEqual(decoded(data), expected)


class PaddingTests(SynchronousTestCase):
    """
    How a string may end (RFC 7541 section 5.2).
    """

    def test_longest(self) -> None:
        """
        Seven ones are padding.
        """
        symbol = next(each for each in range(256) if REQUEST_CODES_LENGTH[each] % 8 == 1)
        self.assertEqual(huffman_decode(packed(code_word(symbol), ones(7))), bytes((symbol,)))

    def test_too_long(self) -> None:
        """
        Eight ones and more are no padding, not even where there is nothing else.
        """
        a = code_word(ord("a"))
        self.assertEqual(decoded(packed(a, ones(3))), b"a")
        for data in (packed(a, ones(11)), packed(a, ones(19)), b"\xff", b"\xff\xff", b"\xff\xff\xff"):
            self.assertIsNone(decoded(data), data)

    def test_not_ones(self) -> None:
        """
        Padding is the beginning of the end-of-string symbol, and nothing else.
        """
        a = code_word(ord("a"))
        for bits in range(7):
            self.assertIsNone(decoded(packed(a, (bits, 3))), bits)

    def test_end_of_string(self) -> None:
        """
        The end-of-string symbol is refused wherever it stands.
        """
        end = code_word(256)
        self.assertEqual(end, ones(30))
        a = code_word(ord("a"))
        for data in (
            packed(end, ones(2)),
            packed(a, end, ones(5)),
            packed(end, a, ones(5)),
            packed(end, end, ones(4)),
            packed(end, *(8 * [a]), ones(2)),
        ):
            self.assertIsNone(decoded(data), data)

    def test_cut(self) -> None:
        """
        A string that is cut within a symbol of more than seven bits is refused.
        """
        for symbol in range(256):
            word, length = code_word(symbol)
            whole = packed((word, length), ones(-length % 8))
            for size in range(1, len(whole)):
                self.assertIsNone(decoded(whole[:size]), whole)
