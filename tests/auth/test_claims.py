"""
Tests for L{siger.auth.claims}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.claims import check_audience, check_times, text_claim, token_id, valid_text
from siger.auth.compact import CompactToken, InvalidTokenError
from siger.policy.identity import Identity
from tests.auth.signing import NOW


def times(**changes: Any) -> dict[str, Any]:
    """
    The times of a good token, with changes; C{None} leaves one out.
    """
    claims = {"iat": NOW - 100, "exp": NOW + 100, **changes}
    return {name: value for name, value in claims.items() if value is not None}


class TimesTests(SynchronousTestCase):
    """
    A token is good for a time.
    """

    def refuses(self, cause: str, claims: dict[str, Any], max_lifetime: int = 0) -> None:
        """
        Assert that claims are refused for this cause.
        """
        with self.assertRaises(InvalidTokenError, msg=repr(claims)) as caught:
            check_times(claims, NOW, max_lifetime)
        self.assertEqual(caught.exception.cause, cause, repr(claims))

    def test_good(self) -> None:
        """
        The times of a good token are found.
        """
        self.assertEqual(check_times(times(), NOW), (NOW - 100, NOW + 100))
        self.assertEqual(check_times(times(exp=NOW + 0.5), NOW), (NOW - 100, NOW + 0.5))

    def test_required(self) -> None:
        """
        Row H3: C{exp} and C{iat} have to be there.
        """
        self.refuses("claims", times(exp=None))
        self.refuses("claims", times(iat=None))

    def test_expiry(self) -> None:
        """
        Row H3: clocks may differ by 30 seconds, and not more.
        """
        self.assertEqual(check_times(times(exp=NOW - 29), NOW)[1], NOW - 29)
        self.refuses("expired", times(exp=NOW - 30))

    def test_issued_later(self) -> None:
        """
        Row H3: a token does not come from the future.
        """
        self.assertEqual(check_times(times(iat=NOW + 30), NOW)[0], NOW + 30)
        self.refuses("not_yet_valid", times(iat=NOW + 31))
        self.refuses("not_yet_valid", times(iat=NOW + 31, nbf=NOW - 50))

    def test_not_before(self) -> None:
        """
        Row H3: C{nbf} is honoured.
        """
        self.assertEqual(check_times(times(nbf=NOW + 30), NOW)[0], NOW - 100)
        self.refuses("not_yet_valid", times(nbf=NOW + 31))
        self.refuses("claims", {**times(), "nbf": None})
        self.refuses("claims", times(nbf="0"))

    def test_lifetime(self) -> None:
        """
        Row H3: a token that is good for longer than agreed is refused, as is one that ends before it begins.
        """
        self.assertEqual(check_times(times(), NOW, 200)[1], NOW + 100)
        self.refuses("lifetime", times(), 199)
        self.refuses("lifetime", times(iat=NOW + 20, exp=NOW + 20))
        self.assertEqual(check_times(times(exp=NOW + 10**9), NOW)[1], NOW + 10**9)

    def test_odd_times(self) -> None:
        """
        Row H5: a time is a number between 1970 and 9999.
        """
        values: list[Any] = ["1", True, False, [], {}, [NOW], -1, -0.5, float("inf"), float("-inf"), float("nan")]
        values += [10**400, -(10**400), 253402300800, str(NOW + 100)]
        for value in values:
            self.refuses("claims", times(exp=value))
            self.refuses("claims", times(iat=value))
            self.refuses("claims", times(nbf=value))


class AudienceTests(SynchronousTestCase):
    """
    A token is for somebody.
    """

    def test_exact(self) -> None:
        """
        Row H3: the audience is compared whole.
        """
        check_audience({"aud": "siger"}, "siger")
        for value in ("sige", "siger ", "Siger", "siger.example", "", "s"):
            self.assertRaises(InvalidTokenError, check_audience, {"aud": value}, "siger")

    def test_list(self) -> None:
        """
        Row H3: it may be one of several (RFC 7519 section 4.1.3).
        """
        check_audience({"aud": ["other", "siger"]}, "siger")
        for value in ([], ["other"], [["siger"]], ["siger", 5], ["siger", None]):
            self.assertRaises(InvalidTokenError, check_audience, {"aud": value}, "siger")

    def test_other_types(self) -> None:
        """
        Row H3: it has to be there, and text.
        """
        for claims in ({}, {"aud": None}, {"aud": 5}, {"aud": {"siger": 1}}, {"aud": True}):
            self.assertRaises(InvalidTokenError, check_audience, claims, "siger")


class TextTests(SynchronousTestCase):
    """
    Ids and names can be passed on.
    """

    def test_good(self) -> None:
        """
        They may be in any script, with spaces between.
        """
        for text in ("1", "alice", "Zoë Åström", "渡辺　謙", "auth0|5f7c", "a" * 256, "50%", "a,b;c"):
            self.assertTrue(valid_text(text), text)
            self.assertEqual(text_claim({"sub": text}, "sub"), text)

    def test_unfit(self) -> None:
        """
        Row A31: what would break a header field, a log line or a page is no id and no name.
        """
        for text in ("a\r\nX: y", "a\nb", "a\tb", "a\x00", "\x7f", "\x85", "a\u2028b", "\ud800", "a\udfffb", "\x1b[0m"):
            self.assertFalse(valid_text(text), repr(text))
            self.assertRaises(InvalidTokenError, text_claim, {"sub": text}, "sub")

    def test_seen_alike(self) -> None:
        """
        No two ids differ only by spaces around them, which header fields do not keep.
        """
        for text in ("", " ", " 1", "1 ", "\u30001", "1\xa0"):
            self.assertFalse(valid_text(text), repr(text))

    def test_long(self) -> None:
        """
        They have at most 256 characters.
        """
        self.assertFalse(valid_text("a" * 257))

    def test_other_types(self) -> None:
        """
        They are text.
        """
        for value in (None, 1, True, ["1"], {"1": 1}, b"1"):
            self.assertFalse(valid_text(value))
            self.assertRaises(InvalidTokenError, text_claim, {"sub": value}, "sub")

    @given(st.text(st.characters(exclude_categories=()), max_size=20).filter(valid_text))
    def test_carried(self, text: str) -> None:
        """
        Row A31: whatever is accepted gives header lines of visible ASCII, from which it can be told again.
        """
        lines = Identity(text, text, ("user",), "t", 0, 0, {}).lines
        self.assertEqual((lines.count(b"\r\n"), lines.count(b"\r"), lines.count(b"\n")), (3, 3, 3))
        self.assertTrue(lines.replace(b"\r\n", b"").isascii())
        self.assertTrue(lines.replace(b"\r\n", b"").decode().isprintable())


class TokenIdTests(SynchronousTestCase):
    """
    Every token can be named, to be revoked.
    """

    def token(self, signed: bytes = b"signed", signature: bytes = b"", **claims: Any) -> CompactToken:
        """
        A token that claims this.
        """
        return CompactToken("HS256", None, "", claims, signed, signature)

    def test_own(self) -> None:
        """
        Ours are known by their C{jti}.
        """
        self.assertEqual(token_id(self.token(jti="Abc-_9")), "Abc-_9")

    def test_plain(self) -> None:
        """
        Whatever the C{jti} is, the id consists of letters, digits, hyphens and underscores, and is not too long.
        """
        for jti in ("a b", "a.b", "*", ">", "x" * 64, "é", "\ud800", ""):
            self.assertRegex(token_id(self.token(jti=jti)), r"\A[0-9a-f]{64}\Z")
            self.assertRegex(token_id(self.token(jti=jti), "https://a.example"), r"\A[0-9a-f]{64}\Z")

    def test_issuers_apart(self) -> None:
        """
        Nobody can name another issuer's token, or ours, by giving its own the same C{jti}.
        """
        ids = {token_id(self.token(jti="a"), issuer) for issuer in ("", "https://a.example", "https://b.example")}
        # Each of them as the C{jti} of a third one; C{a} gives what is known of it already.
        ids |= {token_id(self.token(jti=id), "https://b.example") for id in ids}
        self.assertEqual(len(ids), 5)

    def test_without(self) -> None:
        """
        Row H8: a token without C{jti} is known by what was signed, however its signature is written.
        """
        self.assertEqual(token_id(self.token(signature=b"1")), token_id(self.token(signature=b"2")))
        self.assertNotEqual(token_id(self.token(signed=b"other")), token_id(self.token()))
