"""
Tests for L{siger.auth.compact}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.compact import MAX_TOKEN, InvalidTokenError, read_token
from tests.auth.signing import compact, segment

HEADER = {"alg": "HS256"}


class ReadTokenTests(SynchronousTestCase):
    """
    A token is taken apart strictly.
    """

    def refuses(self, token: bytes, cause: str = "malformed") -> None:
        """
        Assert that a token is refused for this cause.
        """
        with self.assertRaises(InvalidTokenError, msg=repr(token)) as caught:
            read_token(token)
        self.assertEqual(caught.exception.cause, cause, repr(token))

    def test_parts(self) -> None:
        """
        All parts of a token are there.
        """
        raw = compact({"alg": "HS256", "kid": "a", "typ": "at+jwt"}, {"sub": "1"}, b"signature")
        token = read_token(raw)
        self.assertEqual((token.algorithm, token.kid, token.token_type), ("HS256", "a", "at+jwt"))
        self.assertEqual((token.claims, token.signature), ({"sub": "1"}, b"signature"))
        self.assertEqual(token.signed, raw.rpartition(b".")[0])

    def test_absent(self) -> None:
        """
        A header need not name a key or a type.
        """
        token = read_token(compact(HEADER, {}))
        self.assertEqual((token.kid, token.token_type), (None, ""))

    def test_type(self) -> None:
        """
        The type counts without regard to case, and to C{application/}.
        """
        for text in ("at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"):
            self.assertEqual(read_token(compact({**HEADER, "typ": text}, {})).token_type, "at+jwt")

    def test_pointers_ignored(self) -> None:
        """
        Row H2: where a header says that a key is to be had, or which, is not even looked at.
        """
        bare = read_token(compact(HEADER, {}))
        for name in ("jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256"):
            token = read_token(compact({**HEADER, name: "http://127.0.0.1/key"}, {}))
            self.assertEqual((token.algorithm, token.kid, token.token_type), ("HS256", None, ""))
            self.assertEqual(token.claims, bare.claims)

    def test_critical(self) -> None:
        """
        Row H2: whatever a header calls critical is not understood here, not even nothing.
        """
        values: tuple[Any, ...] = (["exp"], ["b64"], [], None, "exp", {}, 0)
        for value in values:
            self.refuses(compact({**HEADER, "crit": value}, {}), "extension")
        self.refuses(compact({**HEADER, "b64": False}, {}), "extension")
        self.refuses(compact({**HEADER, "b64": False, "crit": ["b64"]}, {}), "extension")

    def test_header_types(self) -> None:
        """
        Row H5: members of the header that are no text are refused.
        """
        for name in ("alg", "kid", "typ"):
            for value in (None, 5, 1.5, True, [], ["HS256"], {}, {"HS256": 1}):
                self.refuses(compact({**HEADER, name: value}, {}))
        self.refuses(compact({}, {}))

    def test_length(self) -> None:
        """
        Row H5: a token has at most 8 KiB.
        """
        start = compact(HEADER, {}).rpartition(b".")[0] + b"."
        longest = start + b"A" * ((MAX_TOKEN - len(start)) // 4 * 4)
        self.assertEqual(len(read_token(longest).signature), len(longest[len(start) :]) * 3 // 4)
        self.refuses(longest + b"AAAA", "too_long")
        self.refuses(b"a" * (MAX_TOKEN + 1), "too_long")
        self.refuses(b"a" * MAX_TOKEN)

    def test_segments(self) -> None:
        """
        Row H5: a token has three segments of base64url without padding, none of them empty.
        """
        good = compact(HEADER, {})
        head, body, signature = good.split(b".")
        for token in (
            b"",
            b".",
            b"..",
            head + b"." + body,
            head + b"." + body + b".",
            b"." + body + b"." + signature,
            head + b".." + signature,
            good + b".",
            good + b".eA",
            good + b"=",
            good + b"\n",
            b" " + good,
            good + b"\x00",
            good + b"\xff",
            head + b"." + body + b".+/",
            head + b"=." + body + b"." + signature,
        ):
            self.refuses(token)

    def test_canonical(self) -> None:
        """
        There is one way to write a segment: bits that mean nothing are zero, and no length is impossible.
        """
        head, body, _ = compact(HEADER, {}).split(b".")
        self.assertEqual(read_token(head + b"." + body + b".eA").signature, b"x")
        self.refuses(head + b"." + body + b".eB")
        self.refuses(head + b"." + body + b".eAAAA")

    def test_json(self) -> None:
        """
        Row H5: header and claims are objects in JSON as the standard has it, in UTF-8.
        """
        for content in (
            b"",
            b"null",
            b"[]",
            b'"a"',
            b"1",
            b"{",
            b"{}x",
            b"{'a': 1}",
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'{"a": -Infinity}',
            b'{"a": "\xff"}',
            b'{"a": "\n"}',
            b"\xef\xbb\xbf{}",
            '{"a": 1}'.encode("utf-16"),
            '{"a": 1}'.encode("utf-32"),
            b'{"a": ' + b"9" * 5000 + b"}",
        ):
            self.refuses(b".".join((segment(HEADER), segment(content) or b"A", b"eA")))
            self.refuses(b".".join((segment(content) or b"A", segment({}), b"eA")))

    def test_deep(self) -> None:
        """
        Row H5: brackets within brackets do not exhaust the stack.
        """
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            for depth in (100, 500, 900):
                deep = b'{"a":' + opening * depth + (b"1" if opening != b"[" else b"") + closing * depth + b"}"
                if len(compact(HEADER, deep)) <= MAX_TOKEN:
                    self.assertIn("a", read_token(compact(HEADER, deep)).claims)
            self.refuses(compact(HEADER, opening * (6000 // len(opening))))

    def test_duplicates(self) -> None:
        """
        A member that is there twice, which one reader takes the first of and another the last, is refused anywhere.
        """
        for content in (b'{"alg": "HS256", "alg": "none"}', b'{"a": {"b": 1, "b": 1}}', b'{"a": 1, "\\u0061": 2}'):
            self.refuses(compact(content, {}))
            self.refuses(compact(HEADER, content))

    def test_numbers(self) -> None:
        """
        Row H5: numbers beyond all measure are read, for whoever looks at them to refuse.
        """
        claims = read_token(compact(HEADER, b'{"exp": 1e400, "iat": ' + b"9" * 4000 + b"}")).claims
        self.assertEqual((claims["exp"], claims["iat"]), (float("inf"), 10**4000 - 1))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200))
    def test_fuzz_bytes(self, token: bytes) -> None:
        """
        Row H5: any bytes are a token or refused.
        """
        self.survives(token)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.binary(max_size=60).map(segment), min_size=2, max_size=4))
    def test_fuzz_segments(self, segments: list[bytes]) -> None:
        """
        Row H5: any segments are a token or refused.
        """
        self.survives(b".".join(segments))

    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=60), st.text(max_size=60))
    def test_fuzz_text(self, header: str, claims: str) -> None:
        """
        Row H5: any text in the place of header and claims is a token or refused.
        """
        self.survives(compact(header.encode("utf-8", "surrogatepass"), claims.encode("utf-8", "surrogatepass")))

    def survives(self, token: bytes) -> None:
        """
        Assert that nothing but an L{InvalidTokenError} comes of it.
        """
        try:
            read_token(token)
        except InvalidTokenError as error:
            self.assertIn(error.cause, ("malformed", "too_long", "extension"))
