"""
Tests for L{siger.http.body}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.body import BodyError, ChunkedDecoder, LengthDecoder, UntilCloseDecoder, encode_chunk
from tests.http.generators import noise, pieces, properties, splits, tokens

Decoder = LengthDecoder | ChunkedDecoder | UntilCloseDecoder


class Outcome:
    """
    What a decoder made of a message.

    @ivar body: the bytes of the body.
    @ivar rest: what came behind the body, or C{None} when it did not end.
    @ivar failed: the framing was found broken.
    """

    def __init__(self, decoder: Decoder, data: bytes, lengths: list[int]) -> None:
        self.body = b""
        self.rest: bytes | None = None
        self.failed = False
        for piece in pieces(data, lengths):
            if self.rest is not None:
                self.rest += piece
                continue
            try:
                payload, self.rest = decoder.feed(piece)
            except BodyError:
                self.failed = True
                return
            self.body += payload


def decode(data: bytes, lengths: list[int] | None = None) -> tuple[bytes, bytes | None, bytes]:
    """
    Body, rest and trailers of a chunked message.

    @raise BodyError: its framing is broken.
    """
    decoder = ChunkedDecoder()
    outcome = Outcome(decoder, data, lengths or [len(data)])
    if outcome.failed:
        raise BodyError
    return outcome.body, outcome.rest, decoder.trailers


class LengthDecoderTests(SynchronousTestCase):
    """
    Tests for L{LengthDecoder}.
    """

    def test_exact(self) -> None:
        """
        The last byte completes the body; nothing follows it.
        """
        decoder = LengthDecoder(5)
        self.assertEqual(decoder.feed(b"abc"), (b"abc", None))
        self.assertEqual(decoder.remaining, 2)
        self.assertEqual(decoder.feed(b"de"), (b"de", b""))
        self.assertEqual((decoder.remaining, decoder.trailers), (0, b""))

    def test_more(self) -> None:
        """
        What is behind the last byte is no part of the body.
        """
        self.assertEqual(LengthDecoder(2).feed(b"abGET /"), (b"ab", b"GET /"))

    @properties
    @given(st.binary(max_size=30), st.integers(0, 40), splits())
    def test_any_split(self, data: bytes, length: int, lengths: list[int]) -> None:
        """
        However a message is cut into pieces, its body is the same: A36.
        """
        outcome = Outcome(LengthDecoder(length), data, lengths)
        self.assertEqual(outcome.body, data[:length])
        if len(data) < length:
            self.assertIsNone(outcome.rest)
        elif data:
            self.assertEqual(outcome.rest, data[length:])


class UntilCloseDecoderTests(SynchronousTestCase):
    """
    Tests for L{UntilCloseDecoder}.
    """

    def test_everything(self) -> None:
        """
        Everything is body, and only the connection's end ends it: C5.
        """
        decoder = UntilCloseDecoder()
        self.assertEqual(decoder.feed(b"a"), (b"a", None))
        self.assertEqual(decoder.feed(b"\r\n\r\n"), (b"\r\n\r\n", None))
        self.assertEqual(decoder.trailers, b"")


class EncodeChunkTests(SynchronousTestCase):
    """
    Tests for L{encode_chunk}.
    """

    def test_chunk(self) -> None:
        """
        A chunk is its size in hexadecimal digits and its data, each ended by CRLF.
        """
        self.assertEqual(encode_chunk(b"a" * 26), b"1a\r\n" + b"a" * 26 + b"\r\n")

    @properties
    @given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), splits(40), st.binary(max_size=5))
    def test_round_trip(self, bodies: list[bytes], lengths: list[int], rest: bytes) -> None:
        """
        What was encoded is decoded to the same, however it is cut into pieces.
        """
        data = b"".join(map(encode_chunk, bodies)) + b"0\r\n\r\n" + rest
        self.assertEqual(decode(data, lengths), (b"".join(bodies), rest, b""))


class ChunkedDecoderTests(SynchronousTestCase):
    """
    Tests for L{ChunkedDecoder}.
    """

    def refused(self, *messages: bytes) -> None:
        """
        Each message is broken, in one piece and byte by byte.
        """
        for data in messages:
            self.assertRaises(BodyError, decode, data)
            self.assertRaises(BodyError, decode, data, [1])

    def test_chunks(self) -> None:
        """
        The data of the chunks is the body; what is behind the last is not.
        """
        data = b"5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\nGET /"
        self.assertEqual(decode(data), (b"hello0123456789abcdef", b"GET /", b""))

    def test_no_copy(self) -> None:
        """
        A large chunk that arrives in pieces is passed on as it arrives.
        """
        decoder = ChunkedDecoder()
        self.assertEqual(decoder.feed(b"10000\r\n"), (b"", None))
        piece = b"x" * 0x8000
        self.assertIs(decoder.feed(piece)[0], piece)
        self.assertEqual(decoder.feed(piece), (piece, None))
        self.assertEqual(decoder.feed(b"\r\n0\r\n\r\n"), (b"", b""))

    def test_sizes(self) -> None:
        """
        A size is 1 to 16 hexadecimal digits of either case, with up to 16 zeros in front: A8.
        """
        for size in (b"a", b"A", b"0a", b"0" * 16 + b"a", b"000000000000000a"):
            self.assertEqual(decode(size + b"\r\n0123456789\r\n0\r\n\r\n")[0], b"0123456789", size)
        self.assertEqual(decode(b"0" * 32 + b"\r\n\r\n"), (b"", b"", b""))
        self.assertEqual(decode(b"f" * 16 + b"\r\nabc"), (b"abc", None, b""))

    def test_sizes_that_are_none(self) -> None:
        """
        Anything else is no size: A8.
        """
        for size in (
            b"",
            b"0x5",
            b"+5",
            b"-5",
            b"5_0",
            b"5.",
            b"5 ",
            b" 5",
            b"\t5",
            b"5\t",
            b"5\x00",
            b"g",
            b"5h",
            b"\xef\xbc\x95",
            b"1" + b"0" * 16,
            b"0" * 33,
            b"5,5",
            b"\x0b5",
        ):
            self.refused(size + b"\r\nhello\r\n0\r\n\r\n")

    def test_extensions(self) -> None:
        """
        Extensions that are well-formed are dropped: A9.
        """
        for extension in (b";a", b";a=b", b';a="b;c"', b';a="\\"\xe9"', b";a;b=c", b';a=""'):
            self.assertEqual(
                decode(b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n")[0], b"hello", extension
            )

    def test_broken_extensions(self) -> None:
        """
        Others are refused: no name, an open quotation, controls, spaces, a second reading: A9.
        """
        for extension in (
            b";",
            b";=b",
            b";a=",
            b';a="b',
            b';a="b"c',
            b";a=b c",
            b"; a",
            b" ;a",
            b";a;",
            b";a\x00",
            b';a="\x0b"',
            b';a="\\\x01"',
            b";a=\xe9",
            b";\nxx",
            b";a=\r",
            b",a",
        ):
            self.refused(b"5" + extension + b"\r\nhello\r\n0\r\n\r\n")

    def test_long_size_line(self) -> None:
        """
        A size line has up to 1024 bytes, however it arrives: A9, A36.
        """
        extension = b";" + b"a" * 1022
        for lengths in ([9999], [1], [1025], [1024]):
            self.assertEqual(decode(b"5" + extension + b"\r\nhello\r\n0\r\n\r\n", lengths)[0], b"hello")
        self.refused(b"5a" + extension + b"\r\nhello\r\n0\r\n\r\n")

    def test_endless_size_line(self) -> None:
        """
        One that does not end is refused when it is too long: A9.
        """
        decoder = ChunkedDecoder()
        self.assertRaises(BodyError, decoder.feed, b"5;" + b"a" * 1025)

    def test_overhead(self) -> None:
        """
        Extensions on small chunks may not become the greater part of a message: A9.
        """
        chunk = b"1;" + b"a" * 198 + b"\r\nx\r\n"
        self.assertEqual(len(decode(chunk * 80)[0]), 80)
        self.assertRaises(BodyError, decode, chunk * 90)

    def test_small_chunks(self) -> None:
        """
        Small chunks without extensions are no offence, however many there are.
        """
        self.assertEqual(decode(b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n")[0], b"x" * 20000)

    def test_line_ends(self) -> None:
        """
        Sizes, data and trailers end with CRLF and nothing else: A10.
        """
        self.refused(
            b"5\nhello\r\n0\r\n\r\n",
            b"5\rhello\r\n0\r\n\r\n",
            b"5\r\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\rX0\r\n\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5\r\nhello\r\n\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\n\r\n",
            b"5\r\nhello\r\n0\r\n\n",
            b"5\r\nhello\r\n0\r\nA: b\n\r\n",
            b"0\r\nA: b\rc\r\n\r\n",
        )

    def test_at_once(self) -> None:
        """
        What spoils a line is seen when it comes, not when the line ends: A17.
        """
        for data in (b"5\n", b"5\rX", b"5\r\nhellox", b"5\r\nhello\n", b"0\r\nA: b\n"):
            self.assertRaises(BodyError, decode, data)

    def test_incomplete(self) -> None:
        """
        A message that breaks off anywhere does not end: A12.
        """
        data = b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"
        for length in range(len(data)):
            self.assertIsNone(Outcome(ChunkedDecoder(), data[:length], [99]).rest, length)

    def test_trailers(self) -> None:
        """
        Trailers are read as strictly as fields and written anew: A11.
        """
        data = b"0\r\nX-A:  b \r\nGrpc-Status: 0\r\n\r\nrest"
        self.assertEqual(decode(data), (b"", b"rest", b"X-A: b\r\nGrpc-Status: 0\r\n"))

    def test_broken_trailers(self) -> None:
        """
        A malformed one spoils the message: A11.
        """
        for line in (b"a", b": b", b"a : b", b" a: b", b"a: \x00", b"a b: c", b"a\xe9: b", b"a: \x7f"):
            self.refused(b"0\r\n" + line + b"\r\n\r\n")

    def test_folded_trailer(self) -> None:
        """
        So does a folded one: A11, A21.
        """
        self.refused(b"0\r\nA: b\r\n c\r\n\r\n")

    def test_forbidden_trailers(self) -> None:
        """
        Row D4: framing, routing, identity and gateway fields are dropped behind a body, in any spelling. A11.
        """
        for name in (
            b"Content-Length",
            b"Transfer-Encoding",
            b"TE",
            b"Trailer",
            b"Connection",
            b"Host",
            b"Authorization",
            b"Cookie",
            b"Set-Cookie",
            b"Content-Type",
            b"Content-Encoding",
            b"Expect",
            b"Upgrade",
            b"Via",
            b"Forwarded",
            b"X-Request-ID",
            b"X-Forwarded-For",
            b"X-User-Id",
            b"X-User.Id",
            b"X.User.Id",
            b"X-Internal-A",
            b"X-Gateway",
            b"X-Real-IP",
            b"X_User_Id",
            b"A_B",
        ):
            data = b"0\r\n%b: 1\r\nX-A: b\r\n%b: 2\r\n\r\n" % (name, name.lower())
            self.assertEqual(decode(data)[2], b"X-A: b\r\n", name)

    def test_many_trailers(self) -> None:
        """
        Trailers are limited in number: A11.
        """
        self.assertEqual(decode(b"0\r\n" + b"A: b\r\n" * 64 + b"\r\n")[2], b"A: b\r\n" * 64)
        self.refused(b"0\r\n" + b"A: b\r\n" * 65 + b"\r\n")

    def test_large_trailers(self) -> None:
        """
        And in size, all of them together, however they arrive: A11, A36.
        """
        line = b"A: " + b"b" * 8189
        data = b"0\r\n" + line + b"\r\n" + line + b"\r\n\r\n"
        for lengths in ([99999], [1000], [len(line) + 4]):
            self.assertEqual(len(decode(data, lengths)[2]), 2 * len(line) + 4)
        longest = b"0\r\nA: " + b"b" * 16381 + b"\r\n\r\n"
        for lengths in ([99999], [1000], [len(longest) - 3]):
            self.assertEqual(len(decode(longest, lengths)[2]), 16386)
        for lengths in ([99999], [1000]):
            self.assertRaises(BodyError, decode, b"0\r\n" + line + b"\r\nA" + line + b"\r\n\r\n", lengths)
        self.assertRaises(BodyError, decode, b"0\r\nA: " + b"b" * 20000)

    @properties
    @given(
        noise(b"5", b"hello", b";a=b", b"0", b"\r\n\r\n", b'"', b"A: b\r\n", b"\r\nhello\r\n", b"5\r\nhello\r\n"),
        splits(4),
    )
    def test_any_bytes(self, data: bytes, lengths: list[int]) -> None:
        """
        Any bytes have one outcome, however they are cut into pieces, and no error but L{BodyError}: A36.
        """
        whole = ChunkedDecoder()
        cut = ChunkedDecoder()
        expected = Outcome(whole, data, [len(data) or 1])
        outcome = Outcome(cut, data, lengths)
        self.assertEqual(outcome.failed, expected.failed)
        if not expected.failed:
            self.assertEqual((outcome.body, outcome.rest), (expected.body, expected.rest))
            self.assertEqual(cut.trailers, whole.trailers)

    @properties
    @given(
        st.lists(st.tuples(st.binary(min_size=1, max_size=30), tokens), max_size=5),
        st.lists(st.tuples(tokens, tokens), max_size=3),
        st.binary(max_size=5),
        splits(),
    )
    def test_any_message(
        self, chunks: list[tuple[bytes, bytes]], trailers: list[tuple[bytes, bytes]], rest: bytes, lengths: list[int]
    ) -> None:
        """
        Whatever chunks, extensions and trailers a message has, its body is the data of its chunks.
        """
        lines = b"".join(b"x-%b: %b\r\n" % pair for pair in trailers)
        framed = b"".join(b"%X;%b\r\n%b\r\n" % (len(data), extension, data) for data, extension in chunks)
        outcome = decode(framed + b"0\r\n" + lines + b"\r\n" + rest, lengths)
        self.assertEqual(outcome, (b"".join(data for data, _ in chunks), rest, lines))
