"""
Tests for L{siger.auth.authenticator}.
"""

from __future__ import annotations

from time import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.authenticator import Authenticator
from siger.auth.compact import InvalidTokenError
from siger.auth.keys import KeyRing
from siger.auth.tokens import Minter, Verifier
from siger.errors import Reason
from siger.policy.identity import Identity, IdentityCache
from tests.auth.signing import SECRET, compact, own_claims, sign


class CountingVerifier:
    """
    A verifier that counts, and can keep others waiting.

    @ivar verified: how often it was asked.
    @ivar pending: when set, what to answer with instead.
    """

    def __init__(self) -> None:
        self.inner = Verifier(KeyRing((), SECRET), (), frozenset(("user", "admin")))
        self.verified = 0
        self.pending: list[Deferred[Identity]] | None = None
        self.keys_changed: Any = None

    def verify(self, token: bytes) -> Identity | Deferred[Identity]:
        """
        Count, and go on.
        """
        self.verified += 1
        if self.pending is not None:
            self.pending.append(Deferred())
            return self.pending[-1]
        return self.inner.verify(token)

    def start(self, keys_changed: Any) -> None:
        """
        Remember whom to tell.
        """
        self.keys_changed = keys_changed

    def stop(self) -> None:
        """
        Forget it.
        """
        self.keys_changed = None


class AuthenticatorTests(SynchronousTestCase):
    """
    Credentials are judged.
    """

    def setUp(self) -> None:
        self.verifier = CountingVerifier()
        self.cache = IdentityCache()
        self.revoked: set[str] = set()
        self.authenticator = Authenticator(
            self.verifier,  # type: ignore[arg-type]
            lambda identity: identity.token_id in self.revoked,
            self.cache,
        )
        self.minter = Minter(KeyRing((), SECRET), 600)
        self.token = self.minter.mint("1", "alice", "user").token.encode()

    def verify(self) -> Identity:
        """
        What becomes of the token, whoever asks.
        """
        identity = self.verifier.inner.verify(self.token)
        assert isinstance(identity, Identity)
        return identity

    def test_good(self) -> None:
        """
        A good token gives its identity.
        """
        found = self.authenticator(b"Bearer " + self.token)
        assert isinstance(found, Identity)
        self.assertEqual((found.user_id, found.name, found.roles), ("1", "alice", ("user",)))
        self.assertEqual(self.authenticator.failures, {})

    def test_scheme_in_any_case(self) -> None:
        """
        Row H5: the scheme is known in any case.
        """
        for scheme in (b"bearer", b"BEARER", b"bEaReR"):
            self.assertIsInstance(self.authenticator(scheme + b" " + self.token), Identity)

    def test_other_schemes(self) -> None:
        """
        Credentials of another scheme are as good as none (RFC 6750 section 3.1).
        """
        for value in (
            b"",
            b"Basic YTpi",
            b"Bearer2 x",
            b"BearerX",
            b"Digest a=b",
            b"Bear er",
            self.token,
            b"\xff",
            b" Bearer x",
        ):
            self.assertIs(self.authenticator(value), Reason.UNAUTHENTICATED, value)
        self.assertEqual(list(self.authenticator.failures), ["scheme"])

    def test_grammar(self) -> None:
        """
        Row H5: between the scheme and the token is one space; the token is made of the characters for tokens, and
        nothing follows it.
        """
        for value in (
            b"Bearer",
            b"Bearer ",
            b"Bearer  " + self.token,
            b"Bearer\t" + self.token,
            b"Bearer\x0b" + self.token,
            b"Bearer " + self.token + b" ",
            b"Bearer " + self.token + b"\n",
            b"Bearer " + self.token + b", Bearer " + self.token,
            b'Bearer "' + self.token + b'"',
            b"Bearer a=b",
            b"Bearer =",
            b"Bearer \xe9",
            b"Bearer:" + self.token,
        ):
            self.assertIs(self.authenticator(value), Reason.INVALID_TOKEN, value)
        self.assertEqual(self.verifier.verified, 0)
        self.assertEqual(list(self.authenticator.failures), ["credentials"])

    def test_too_long(self) -> None:
        """
        Row H5: what is too long is not even looked at.
        """
        self.assertIs(self.authenticator(b"Bearer " + b"a" * 8193), Reason.INVALID_TOKEN)
        self.assertEqual((self.verifier.verified, self.cache.misses), (0, 0))
        self.assertEqual(self.authenticator.failures, {"too_long": 1})

    def test_one_answer(self) -> None:
        """
        Row H6: whatever is wrong with a token, the answer is the same; the causes are counted apart.
        """
        own = own_claims(iat=int(time()) - 10, exp=int(time()) + 60)
        key = SECRET.encode()
        for token, cause in (
            (b"a", "malformed"),
            (compact({"alg": "none"}, own), "algorithm"),
            (sign("HS256", b"x" * 32, own), "signature"),
            (sign("HS256", key, own, {"kid": "x"}), "key"),
            (sign("HS256", key, own, {"typ": "x"}), "type"),
            (sign("HS256", key, own, {"crit": ["x"]}), "extension"),
            (sign("HS256", key, {**own, "iss": "x"}), "issuer"),
            (sign("HS256", key, {**own, "aud": "x"}), "audience"),
            (sign("HS256", key, {**own, "exp": 1, "iat": 0}), "expired"),
            (sign("HS256", key, {**own, "nbf": int(time()) + 99}), "not_yet_valid"),
            (sign("HS256", key, {**own, "exp": own["iat"]}), "lifetime"),
            (sign("HS256", key, {**own, "sub": 1}), "claims"),
            (sign("HS256", key, {**own, "role": "x"}), "role"),
        ):
            self.authenticator.failures.clear()
            self.assertIs(self.authenticator(b"Bearer " + token), Reason.INVALID_TOKEN)
            self.assertEqual(self.authenticator.failures, {cause: 1})

    def test_verified_once(self) -> None:
        """
        Row H9: a token that is known is not verified again.
        """
        first = self.authenticator(b"Bearer " + self.token)
        self.assertIs(self.authenticator(b"Bearer " + self.token), first)
        self.assertEqual(self.verifier.verified, 1)

    def test_whole_token_is_key(self) -> None:
        """
        Row H9: a token that differs in its last character alone is another one.
        """
        self.authenticator(b"Bearer " + self.token)
        other = self.token[:-1] + (b"A" if self.token[-1:] != b"A" else b"E")
        self.assertIs(self.authenticator(b"Bearer " + other), Reason.INVALID_TOKEN)
        self.assertEqual(self.verifier.verified, 2)

    def test_refusals_not_kept(self) -> None:
        """
        Row H9: tokens that are refused take no room.
        """
        for number in range(10):
            self.authenticator(b"Bearer a.b.%d" % number)
        self.assertEqual(len(self.cache), 0)

    def test_expiry(self) -> None:
        """
        Row H9: a token that expires while it is known is not known any more.
        """
        found = self.authenticator(b"Bearer " + self.token)
        assert isinstance(found, Identity)
        found.expires = time() - 1  # as time would have it
        again = self.authenticator(b"Bearer " + self.token)
        self.assertIsNot(again, found)
        self.assertEqual(self.verifier.verified, 2)

    def test_leeway_not_kept(self) -> None:
        """
        Row H9: a token that is good only because clocks may differ is verified each time.
        """
        now = int(time())
        token = sign("HS256", SECRET.encode(), own_claims(iat=now - 60, exp=now - 10))
        for count in (1, 2):
            self.assertIsInstance(self.authenticator(b"Bearer " + token), Identity)
            self.assertEqual((self.verifier.verified, len(self.cache)), (count, 0))

    def test_key_change(self) -> None:
        """
        Row H9: when a key must not be used any more, everybody is verified again, on open connections too.
        """
        self.authenticator.start()
        found = self.authenticator(b"Bearer " + self.token)
        assert isinstance(found, Identity)
        self.verifier.keys_changed()
        self.assertEqual((found.expires, len(self.cache)), (0, 0))
        self.assertIsNot(self.authenticator(b"Bearer " + self.token), found)
        self.authenticator.stop()
        self.assertIsNone(self.verifier.keys_changed)

    def test_revoked_before(self) -> None:
        """
        Row H8: a token that was revoked before it was ever seen here is refused.
        """
        minted = self.minter.mint("1", "alice", "user")
        self.revoked.add(minted.token_id)
        self.assertIs(self.authenticator(b"Bearer " + minted.token.encode()), Reason.INVALID_TOKEN)
        self.assertEqual((self.authenticator.failures, len(self.cache)), ({"revoked": 1}, 0))

    def test_revoked_while_known(self) -> None:
        """
        Row H8: a token that is revoked while it is known is refused from then on.
        """
        found = self.authenticator(b"Bearer " + self.token)
        assert isinstance(found, Identity)
        self.revoked.add(found.token_id)
        self.cache.revoke_token(found.token_id)
        self.assertEqual(found.expires, 0)
        self.assertIs(self.authenticator(b"Bearer " + self.token), Reason.INVALID_TOKEN)

    def test_later(self) -> None:
        """
        The answer comes later when the verifier's does, and is kept then.
        """
        identity = self.verify()
        pending = self.verifier.pending = []
        result = self.authenticator(b"Bearer " + self.token)
        assert isinstance(result, Deferred)
        self.assertNoResult(result)
        pending[0].callback(identity)
        self.assertIs(self.successResultOf(result), identity)
        self.assertIs(self.authenticator(b"Bearer " + self.token), identity)

    def test_later_together(self) -> None:
        """
        Those who waited with the same token get the same identity, which revocation reaches.
        """
        pending = self.verifier.pending = []
        results = [self.authenticator(b"Bearer " + self.token) for _ in range(3)]
        for one in pending:
            one.callback(self.verify())
        found = [self.successResultOf(result) for result in results if isinstance(result, Deferred)]
        self.assertEqual(len(found), 3)
        self.cache.clear()
        for identity in found:
            assert isinstance(identity, Identity)
            self.assertIs(identity, found[0])
            self.assertEqual(identity.expires, 0)

    def test_later_revoked(self) -> None:
        """
        Row H8: what is revoked while a request waits is refused.
        """
        identity = self.verify()
        pending = self.verifier.pending = []
        result = self.authenticator(b"Bearer " + self.token)
        assert isinstance(result, Deferred)
        self.revoked.add(identity.token_id)
        pending[0].callback(identity)
        self.assertIs(self.successResultOf(result), Reason.INVALID_TOKEN)

    def test_later_refused(self) -> None:
        """
        A refusal can come later as well; what nobody could decide is no refusal, and the client may come again.
        """
        for cause, reason in (
            ("key", Reason.INVALID_TOKEN),
            ("keys_unavailable", Reason.STORE_UNAVAILABLE),
            ("busy", Reason.STORE_UNAVAILABLE),
        ):
            pending = self.verifier.pending = []
            result = self.authenticator(b"Bearer " + self.token)
            assert isinstance(result, Deferred)
            pending[0].errback(InvalidTokenError(cause))
            self.assertIs(self.successResultOf(result), reason)
            self.assertEqual(self.authenticator.failures[cause], 1)

    @settings(max_examples=500, deadline=None)
    @given(
        st.binary(max_size=100)
        | st.binary(max_size=100).map(lambda rest: b"Bearer " + rest)
        | st.from_regex(rb"[Bb]earer [A-Za-z0-9._~+/=-]{0,80}", fullmatch=True)
        | st.from_regex(rb"Bearer [A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{1,40}", fullmatch=True)
    )
    def test_fuzz(self, credentials: bytes) -> None:
        """
        Row H5: whatever a client sends is refused, and breaks nothing.
        """
        self.assertIn(self.authenticator(credentials), (Reason.INVALID_TOKEN, Reason.UNAUTHENTICATED))
        self.assertNotIn("unexpected", self.authenticator.failures)
