"""
Tests for L{siger.auth.revocation}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.claims import LEEWAY
from siger.auth.records import User
from siger.auth.revocation import BUCKET, Revocations, longest_lifetime, valid_from
from siger.config.settings.accounts import IssuerSettings
from siger.config.settings.gateway import Settings
from siger.messaging.errors import UnavailableError
from siger.policy.identity import Identity, IdentityCache
from tests.messaging.memory_bucket import MemoryBucket

NOW = 1_800_000_000.0


def identity(
    user_id: str = "7", token_id: str = "t1", issued: float = NOW - 10, issuer: str = "", expires: float = 4e9
) -> Identity:
    """
    Somebody with a verified token.
    """
    return Identity(user_id, "ada", ("user",), token_id, issued, expires, {}, issuer)


class BusyBucket(MemoryBucket):
    """
    One in which somebody else changes a record just before.

    @ivar rivals: how often.
    """

    rivals = 0

    def update(self, key: str, value: bytes, revision: int) -> Deferred[int]:
        if self.rivals:
            self.rivals -= 1
            super().update(key, b'{"user": "7", "before": 1}', revision)
        return super().update(key, value, revision)


class RevocationsTests(SynchronousTestCase):
    """
    Tests for L{Revocations}: two gateways with one bucket.
    """

    def setUp(self) -> None:
        """
        Have two gateways.
        """
        self.bucket = MemoryBucket(BUCKET)
        self.cache, self.other_cache = IdentityCache(), IdentityCache()
        self.revocations = self.make(self.cache)
        self.other = self.make(self.other_cache)

    def make(self, cache: IdentityCache, bucket: MemoryBucket | None = None) -> Revocations:
        """
        The revocations of a gateway that follows the bucket.
        """
        made = Revocations(bucket or self.bucket, cache, lambda: NOW)
        made.start()
        self.addCleanup(made.stop)
        return made

    def test_nothing_is_revoked(self) -> None:
        """
        At first everything is believed.
        """
        self.assertFalse(self.revocations.is_revoked(identity()))
        self.assertEqual(len(self.revocations), 0)

    def test_token(self) -> None:
        """
        Row H8: a revoked token is refused by every gateway; others of the same user are not.
        """
        self.successResultOf(self.revocations.revoke_token(identity()))
        for gateway in (self.revocations, self.other):
            self.assertTrue(gateway.is_revoked(identity()))
            self.assertFalse(gateway.is_revoked(identity(token_id="t2")))
            self.assertEqual(len(gateway), 1)

    def test_token_in_the_cache(self) -> None:
        """
        Row H8: whoever holds on to an identity sees that it is no good any more, on every gateway.
        """
        held = [identity(), identity()]
        for cache, one in zip((self.cache, self.other_cache), held, strict=True):
            cache.keep(b"Bearer x", one)
            cache.keep(b"Bearer y", identity(token_id="t2"))
        self.successResultOf(self.revocations.revoke_token(identity()))
        self.assertEqual([one.expires for one in held], [0.0, 0.0])
        for cache in (self.cache, self.other_cache):
            self.assertIsNone(cache.find(b"Bearer x"))
            self.assertIsNotNone(cache.find(b"Bearer y"))

    def test_user(self) -> None:
        """
        Row H8: all tokens of a user that were issued before a time are refused by every gateway; later ones, and those
        of others, are not.
        """
        self.cache.keep(b"Bearer x", identity())
        self.successResultOf(self.revocations.revoke_user("7", int(NOW)))
        for gateway in (self.revocations, self.other):
            self.assertTrue(gateway.is_revoked(identity(issued=NOW - 1)))
            self.assertFalse(gateway.is_revoked(identity(issued=NOW)))
            self.assertFalse(gateway.is_revoked(identity(user_id="8")))
        self.assertIsNone(self.cache.find(b"Bearer x"))

    def test_user_again(self) -> None:
        """
        The latest time counts, in whichever order they are told.
        """
        for before in (int(NOW), int(NOW) - 100, int(NOW) + 5, int(NOW) - 1):
            self.successResultOf(self.other.revoke_user("7", before))
        self.assertTrue(self.revocations.is_revoked(identity(issued=NOW + 4)))
        self.assertFalse(self.revocations.is_revoked(identity(issued=NOW + 5)))
        self.assertEqual((len(self.revocations), self.bucket.writes), (1, 2))

    def test_users_of_other_issuers(self) -> None:
        """
        Somebody else's user with the same id is somebody else.
        """
        self.successResultOf(self.revocations.revoke_user(identity(issuer="https://id.example").user_id, int(NOW)))
        self.assertFalse(self.revocations.is_revoked(identity()))
        self.assertTrue(self.revocations.is_revoked(identity(issuer="https://id.example")))

    def test_ids_of_any_kind(self) -> None:
        """
        Ids may hold what keys may not.
        """
        for odd in ("", ">", "a b", "*.é\n", "x" * 5000):
            self.successResultOf(self.revocations.revoke_token(identity(token_id=odd)))
            self.successResultOf(self.revocations.revoke_user("https://id.example " + odd, int(NOW)))
            self.assertTrue(self.other.is_revoked(identity(token_id=odd)))
            self.assertTrue(self.other.is_revoked(identity(odd, token_id="ok", issuer="https://id.example")))

    def test_known_here_at_once(self) -> None:
        """
        What is revoked here is refused here from the acknowledgement on, even if the store is slow to tell.
        """
        self.bucket.held = True
        self.successResultOf(self.revocations.revoke_token(identity()))
        self.successResultOf(self.revocations.revoke_user("8", int(NOW)))
        self.assertTrue(self.revocations.is_revoked(identity()))
        self.assertTrue(self.revocations.is_revoked(identity(user_id="8")))
        self.assertFalse(self.other.is_revoked(identity()))
        self.bucket.held = False
        self.assertTrue(self.other.is_revoked(identity()))

    def test_store_away(self) -> None:
        """
        While the store is away nothing can be revoked and that is said; what was stays so.
        """
        self.successResultOf(self.revocations.revoke_token(identity()))
        self.assertFalse(self.revocations.stale)
        self.bucket.available = False
        self.failureResultOf(self.revocations.revoke_token(identity(token_id="t2")), UnavailableError)
        self.failureResultOf(self.revocations.revoke_user("7", int(NOW)), UnavailableError)
        self.assertTrue(self.revocations.is_revoked(identity()))
        self.assertFalse(self.revocations.is_revoked(identity(token_id="t2")))
        self.assertTrue(self.revocations.stale)

    def test_later_gateway(self) -> None:
        """
        A gateway that starts later knows what was revoked before.
        """
        self.successResultOf(self.revocations.revoke_token(identity()))
        self.successResultOf(self.revocations.revoke_user("8", int(NOW)))
        later = self.make(IdentityCache())
        self.assertTrue(later.is_revoked(identity()))
        self.assertTrue(later.is_revoked(identity(user_id="8", token_id="t9")))

    def test_over_time(self) -> None:
        """
        What the bucket lets go of after its time is let go of here.
        """
        self.successResultOf(self.revocations.revoke_token(identity()))
        self.successResultOf(self.revocations.revoke_user("8", int(NOW)))
        self.bucket.clear()
        self.bucket.available = False
        self.bucket.available = True
        self.assertEqual(len(self.revocations), 0)
        self.assertFalse(self.revocations.is_revoked(identity()))

    def test_expired(self) -> None:
        """
        A token that nobody would accept any more is not remembered; one that clocks may disagree about is.
        """
        self.successResultOf(self.revocations.revoke_token(identity(expires=NOW - LEEWAY)))
        self.assertEqual(len(self.other), 0)
        self.successResultOf(self.revocations.revoke_token(identity(expires=NOW - LEEWAY + 1)))
        self.assertTrue(self.other.is_revoked(identity()))

    def test_revoked_already(self) -> None:
        """
        A token that ended on another connection meanwhile can be ended again, and stays ended.
        """
        held = identity()
        self.cache.keep(b"Bearer x", held)
        for _ in range(2):
            self.successResultOf(self.revocations.revoke_token(held))
        self.assertTrue(self.revocations.is_revoked(identity()))
        self.assertTrue(self.make(IdentityCache()).is_revoked(identity()))

    def test_without_following(self) -> None:
        """
        Who does not follow the bucket, as a command does not, can revoke all the same.
        """
        command = Revocations(self.bucket, IdentityCache(), lambda: NOW)
        self.successResultOf(command.revoke_user("7", int(NOW)))
        self.successResultOf(command.revoke_user("7", int(NOW) - 50))
        self.successResultOf(command.revoke_token(identity(user_id="8")))
        self.assertTrue(self.revocations.is_revoked(identity(issued=NOW - 1, token_id="t2")))
        self.assertTrue(self.revocations.is_revoked(identity(user_id="8")))
        self.assertTrue(command.stale)
        command.stop()

    def test_others_write_too(self) -> None:
        """
        Two who revoke the same user at once cannot undo each other; if that never ends, the store is as good as away.
        """
        bucket = BusyBucket(BUCKET)
        gateway = self.make(IdentityCache(), bucket)
        self.successResultOf(gateway.revoke_user("7", 5))
        bucket.rivals = 3
        self.successResultOf(gateway.revoke_user("7", int(NOW)))
        self.assertTrue(gateway.is_revoked(identity()))
        bucket.rivals = 1000
        self.failureResultOf(gateway.revoke_user("7", int(NOW) + 9), UnavailableError)

    def test_unreadable_records(self) -> None:
        """
        A record that somebody else spoilt is left out and logged, and can be replaced.
        """
        self.successResultOf(self.revocations.revoke_user("7", 5))
        (key,) = self.revocations._mirror.entries  # type: ignore[union-attr]
        for value in (b"", b"[]", b'{"user": "7"}', b'{"user": "7", "before": "x"}', b"\xff"):
            self.successResultOf(self.bucket.put(key, value))
        self.successResultOf(self.bucket.put("token.x", b'{"token": "x"}'))
        self.successResultOf(self.revocations.revoke_user("7", int(NOW)))
        self.assertTrue(self.revocations.is_revoked(identity()))


class LongestLifetimeTests(SynchronousTestCase):
    """
    Tests for L{longest_lifetime}.
    """

    def test_longest(self) -> None:
        """
        Whoever allows the longest tokens decides, and clocks that differ are allowed for.
        """
        cases: list[tuple[dict[str, Any], int]] = [
            ({}, 30 * 86400),
            ({"jwt_expiration": 50_000}, 3_000_000),
            (
                {"issuers": (IssuerSettings("a", max_lifetime=9), IssuerSettings("b", max_lifetime=2_999_999))},
                2_999_999,
            ),
        ]
        for changes, seconds in cases:
            self.assertEqual(longest_lifetime(Settings(**changes)), seconds + 2 * LEEWAY)


class ValidFromTests(SynchronousTestCase):
    """
    Tests for L{valid_from}.
    """

    def test_a_second_more(self) -> None:
        """
        Tokens count from a second after the account says, and all of them where it says nothing.
        """
        for says, counts in ((0, 0), (1_800_000_000, 1_800_000_001)):
            user = User("7", "ada", "user", "", False, "", "", says)
            self.assertEqual(valid_from(user), counts)

    def test_logged_in_by_another_gateway(self) -> None:
        """
        Row H8: a token that another gateway issued in the second after, as it had not heard of the change, is refused;
        one that is issued by who has heard of it is good.
        """
        bucket = MemoryBucket(BUCKET)
        revocations = Revocations(bucket, IdentityCache())
        revocations.start()
        self.addCleanup(revocations.stop)
        user = User("7", "ada", "user", "", False, "", "", int(NOW) + 1)
        self.successResultOf(revocations.revoke_user("7", valid_from(user)))
        self.assertTrue(revocations.is_revoked(identity(issued=NOW + 1)))
        self.assertFalse(revocations.is_revoked(identity(issued=valid_from(user))))
