"""
Tokens that are no longer believed, although they are genuine: known to all gateways within moments.

A token that ended (its user logged out) is named by its id. A user whose tokens ended (new password, other role,
disabled, deleted) is named with a time: what was issued before it is refused. Both are records in one bucket, whose
time to live is that of the longest token: by then there is nothing left to refuse, so the bucket stays small by itself.

While the store is away, what was known stays known, and nothing new can be revoked; that is said, and never pretended.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from hashlib import sha256
from time import time
from typing import TYPE_CHECKING, Any, Final

import orjson
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from siger.auth.claims import LEEWAY
from siger.config.settings.gateway import Settings
from siger.messaging.bucket import Bucket, Entry, Mirror
from siger.messaging.errors import KeyExistsError, RevisionError, UnavailableError
from siger.policy.identity import Identity, IdentityCache

if TYPE_CHECKING:
    from siger.auth.records import User

__all__ = ["BUCKET", "Revocations", "longest_lifetime", "valid_from"]

BUCKET: Final = "revoked_tokens"

_ATTEMPTS: Final = 5
_MONTH: Final = 30 * 86400
_log = Logger()


def longest_lifetime(settings: Settings) -> int:
    """
    The seconds that any token is good for, and so a revocation has to be. It is a month at least, for tokens that were
    made with our secret elsewhere, as by the older gateway; those that are made for longer are refused.
    """
    others = (issuer.max_lifetime for issuer in settings.issuers)
    return max(_MONTH, settings.jwt_expiration * 60, *others) + 2 * LEEWAY


def valid_from(user: User) -> int:
    """
    The earliest time that a good token of a user can have been issued at, in seconds of the wall clock.

    It is a second later than the account says: until the other gateways hear of the change, they may log the user in
    with what was true before.
    """
    return user.tokens_valid_from + 1 if user.tokens_valid_from else 0


class Revocations:
    """
    What was revoked.
    """

    def __init__(self, bucket: Bucket, cache: IdentityCache, now: Callable[[], float] = time) -> None:
        """
        @param bucket: where it is kept.
        @param cache: what to take verified identities out of.
        """
        self._bucket = bucket
        self._cache = cache
        self._now = now
        self._tokens: set[str] = set()
        self._users: dict[str, int] = {}
        self._mirror: Mirror = bucket.mirror(self._changed)

    def __len__(self) -> int:
        return len(self._tokens) + len(self._users)

    @property
    def stale(self) -> bool:
        """
        Whether others may have revoked something since the store was last heard of.
        """
        return self._mirror.stale

    def when_current(self) -> Deferred[None]:
        """
        Fire once everything that was revoked before has been read.
        """
        return self._mirror.when_current()

    def start(self) -> None:
        """
        Follow what is revoked, here or elsewhere.
        """
        self._mirror.start()

    def stop(self) -> None:
        """
        Follow it no longer. What is known stays known.
        """
        self._mirror.stop()

    def is_revoked(self, identity: Identity) -> bool:
        """
        Whether the token that this came from is no longer believed.
        """
        if not self:
            return False
        before = self._users.get(_user_key(identity.user_id))
        return (before is not None and identity.issued < before) or _token_key(identity.token_id) in self._tokens

    def revoke_token(self, identity: Identity) -> Deferred[None]:
        """
        Believe a token no longer.

        @return: fires when all gateways can know; or
            L{UnavailableError<siger.messaging.errors.UnavailableError>}, and then it may be believed still.
        """
        # Of one that was revoked a moment ago it is not known any more: 0, and the bucket alone decides.
        record = {"token": identity.token_id, "expires": int(identity.expires)}
        key, value = _token_key(identity.token_id), orjson.dumps(record)
        return self._bucket.put(key, value).addCallback(lambda revision: self._apply(Entry(key, value, revision)))

    @inlineCallbacks
    def revoke_user(self, user_id: str, before: int) -> Generator[Deferred[Any], Any, None]:
        """
        Believe no token of a user that was issued before a time.

        @param user_id: as in L{Identity.user_id}, which is another issuer's user's with its issuer.
        @param before: in seconds of the wall clock. An earlier one than is known changes nothing.
        @return: as of L{revoke_token}.
        """
        key = _user_key(user_id)
        value = orjson.dumps({"user": user_id, "before": before})
        for _ in range(_ATTEMPTS):
            known: Entry | None = yield self._bucket.get(key)
            if known is not None and _before(known) >= before:
                self._apply(known)
                return
            try:
                revision = yield self._write(key, value, known)
            except (KeyExistsError, RevisionError):
                continue  # somebody else was first: look again
            self._apply(Entry(key, value, revision))
            return
        raise UnavailableError("others change this record all the time")

    def _write(self, key: str, value: bytes, known: Entry | None) -> Deferred[int]:
        if known is None:
            return self._bucket.create(key, value)
        return self._bucket.update(key, value, known.revision)

    def _apply(self, entry: Entry) -> None:
        # Here it holds from now on, not only when the store tells of it.
        self._mirror.apply(entry)

    def _changed(self, entry: Entry) -> None:
        """
        The bucket has changed: take it over, and take out of the cache whom it concerns.
        """
        if entry.value is None:
            self._tokens.discard(entry.key)
            self._users.pop(entry.key, None)
            return
        try:
            self._take(entry.key, orjson.loads(entry.value))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            _log.error("{bucket} has a record that cannot be read: {error}", bucket=BUCKET, error=repr(error))

    def _take(self, key: str, record: dict[str, Any]) -> None:
        if key.startswith("user."):
            self._users[key] = before = record["before"] + 0
            self._cache.revoke_user(record["user"], before)
        elif not record["expires"] or record["expires"] + LEEWAY > self._now():
            self._tokens.add(key)
            self._cache.revoke_token(record["token"])


def _before(entry: Entry) -> int:
    """
    The time in a user's record; 0 in one that cannot be read.
    """
    try:
        return int(orjson.loads(entry.value or b"")["before"])
    except (ValueError, KeyError, TypeError):
        return 0


def _token_key(token_id: str) -> str:
    return "token." + _digest(token_id)


def _user_key(user_id: str) -> str:
    return "user." + _digest(user_id)


def _digest(text: str) -> str:
    # Ids of other issuers' users may be anything; keys may not.
    return sha256(text.encode("utf-8")).hexdigest()[:40]
