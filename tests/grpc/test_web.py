"""
Tests for L{siger.grpc.web}.
"""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis.strategies import binary, from_regex, integers, lists
from twisted.trial.unittest import SynchronousTestCase

from siger.grpc.web import Base64Decoder, encode_base64, trailers_frame


def decoded(pieces: list[bytes]) -> bytes:
    """
    What comes of a whole body that arrives in these pieces.
    """
    decoder = Base64Decoder()
    body = b"".join([decoder.feed(piece) for piece in pieces])
    decoder.finish()
    return body


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """
    Bytes in pieces of these sizes, and the rest.
    """
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


class TrailersFrameTests(SynchronousTestCase):
    """
    Tests for L{trailers_frame}.
    """

    def test_frame(self) -> None:
        """
        Trailers are a message with the flag of trailers and its length in four bytes.
        """
        lines = b"grpc-status: 0\r\ngrpc-message: a B\r\n"
        self.assertEqual(trailers_frame(lines), b"\x80\x00\x00\x00\x23" + lines)

    def test_lower_case(self) -> None:
        """
        Names are in lower case, values as they came.
        """
        frame = trailers_frame(b"Grpc-Status: 3\r\nGRPC-Message: Not: Now\r\nX-Bin: AbC=\r\n")
        self.assertEqual(frame[5:], b"grpc-status: 3\r\ngrpc-message: Not: Now\r\nx-bin: AbC=\r\n")

    @given(lists(from_regex(rb"[A-Za-z-]{1,12}: [!-~]{0,99}\r\n", fullmatch=True), max_size=9))
    def test_length(self, lines: list[bytes]) -> None:
        """
        The length is that of the lines, which are as many as before.
        """
        frame = trailers_frame(b"".join(lines))
        self.assertEqual(int.from_bytes(frame[1:5], "big"), len(frame) - 5)
        self.assertEqual(frame[5:].count(b"\r\n"), len(lines))


class Base64Tests(SynchronousTestCase):
    """
    Tests for L{encode_base64} and L{Base64Decoder}.
    """

    @given(lists(binary(max_size=40), max_size=8), lists(integers(0, 12), max_size=20))
    def test_there_and_back(self, pieces: list[bytes], sizes: list[int]) -> None:
        """
        A body whose pieces were encoded one by one, padding in its midst, is had back however it is cut on the way.
        """
        text = b"".join([encode_base64(piece) for piece in pieces])
        self.assertEqual(decoded(cut(text, sizes)), b"".join(pieces))

    @given(binary(max_size=200))
    def test_pieces_stand_alone(self, data: bytes) -> None:
        """
        An encoded piece is base64 by itself, as the standard library reads it.
        """
        self.assertEqual(base64.b64decode(encode_base64(data), validate=True), data)

    def test_padding_anywhere(self) -> None:
        """
        Every four characters may be padded.
        """
        self.assertEqual(decoded([b"YQ==YmM=ZGVmZw==aGlqaw=="]), b"abcdefghijk")

    def test_as_soon_as_complete(self) -> None:
        """
        Four characters are decoded as soon as they are there, and none of them waits for the next.
        """
        decoder = Base64Decoder()
        self.assertEqual(
            [decoder.feed(piece) for piece in (b"Y", b"W", b"Jj", b"ZG", b"=", b"=")],
            [b"", b"", b"abc", b"", b"", b"d"],
        )
        decoder.finish()

    def test_garbage(self) -> None:
        """
        What is not base64 is not guessed at: other alphabets, line ends, misplaced padding.
        """
        for text in (
            b"YW-j",
            b"YW_j",
            b"YW j",
            b"YWJj\r\n\r\n",
            b"=WJj",
            b"Y===",
            b"====",
            b"Y=Q=",
            b"YQ=a",
            b"\x00\x00\x00\x00",
            b"\xffWJj",
        ):
            self.assertRaises(ValueError, decoded, [text])

    def test_incomplete(self) -> None:
        """
        A body ends with four characters, or it was cut short.
        """
        for text in (b"Y", b"YW", b"YWJ", b"YWJjZ", b"YWJjZA="):
            decoder = Base64Decoder()
            decoder.feed(text)
            self.assertRaises(ValueError, decoder.finish)

    def test_empty(self) -> None:
        """
        Nothing is a body, too.
        """
        self.assertEqual(decoded([]), b"")
        self.assertEqual(decoded([b"", b""]), b"")

    @given(binary(max_size=60), lists(integers(0, 9), max_size=9))
    def test_same_verdict_however_cut(self, text: bytes, sizes: list[int]) -> None:
        """
        Where a text is cut decides nothing.
        """

        def verdict(pieces: list[bytes]) -> bytes | None:
            try:
                return decoded(pieces)
            except ValueError:
                return None

        self.assertEqual(verdict([text]), verdict(cut(text, sizes)))
