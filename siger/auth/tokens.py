"""
Tokens: making our own, and believing those that deserve it.

Who is asked about a token is decided by the issuer it names, before anything in it was verified. That is harmless: each
issuer is asked with its own keys only, so a token that names the wrong one fails there.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import frozen
from jwt import PyJWT
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.auth.claims import check_audience, check_times, text_claim, token_id, valid_text
from siger.auth.compact import TYPES, CompactToken, InvalidTokenError, read_token
from siger.auth.issuers import Issuer
from siger.auth.keys import KeyRing
from siger.errors import ConfigError
from siger.policy.identity import Identity

__all__ = ["AUDIENCE", "ISSUER", "InvalidTokenError", "Minted", "Minter", "Verifier"]

ISSUER: Final = "siger-api-gateway"
AUDIENCE: Final = "siger"

#: The registered claims that tokens of the older gateway lack; all of them, or it is not one.
_NEWER: Final = frozenset(("sub", "aud", "jti"))


@frozen
class Minted:
    """
    A token that was just made.

    @ivar expires_at: in seconds of the wall clock.
    @ivar token_id: its C{jti}.
    """

    token: str
    expires_at: int
    token_id: str


class Minter:
    """
    Makes our own tokens.
    """

    def __init__(self, keys: KeyRing, lifetime: int, now: Callable[[], float] = time.time) -> None:
        """
        @param lifetime: of a token, in seconds.
        """
        self._keys = keys
        self._lifetime = lifetime
        self._now = now
        self._encoder = PyJWT({"enforce_minimum_key_length": True})

    def mint(self, user_id: str, username: str, role: str, not_before: int = 0) -> Minted:
        """
        Make a token.

        @param not_before: the earliest C{iat}: the time from which on a user's tokens are valid may lie a fraction of
            a second ahead.
        """
        issued = max(int(self._now()), not_before)
        jti = secrets.token_urlsafe(16)
        claims = {
            "user_id": user_id,
            "username": username,
            "role": role,
            "sub": user_id,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": issued,
            "exp": issued + self._lifetime,
            "jti": jti,
        }
        return Minted(self._sign(claims), issued + self._lifetime, jti)

    def _sign(self, claims: dict[str, Any]) -> str:
        key = self._keys.signing
        header = {"typ": "at+jwt"} | ({"kid": key.kid} if key.kid else {})
        return self._encoder.encode(claims, self._keys.signing_secret, key.algorithm, header)


class OwnTokens:
    """
    Believes the tokens that we made, and those of the older gateway, which had the same secret.
    """

    def __init__(self, keys: KeyRing, roles: frozenset[str], max_lifetime: int) -> None:
        self._keys = keys
        self._roles = roles
        self._max_lifetime = max_lifetime

    def verify(self, token: CompactToken, now: float) -> Identity:
        """
        @raise InvalidTokenError: when it is not good.
        """
        if token.token_type and token.token_type not in TYPES:
            raise InvalidTokenError("type")
        key = self._keys.find(token.kid)
        if key is None:
            raise InvalidTokenError("key")
        if token.algorithm != key.algorithm:
            raise InvalidTokenError("algorithm")
        if not key.verifies(token):
            raise InvalidTokenError("signature")
        issued, expires = check_times(token.claims, now, self._max_lifetime)
        user_id, name = self._read_user(token)
        return Identity(user_id, name, (self._role(token),), token_id(token), issued, expires, token.claims)

    def _read_user(self, token: CompactToken) -> tuple[str, str]:
        claims = token.claims
        if claims.get("iss") != ISSUER:
            raise InvalidTokenError("issuer")
        if token.kid is None and _NEWER.isdisjoint(claims):
            user_id = text_claim(claims, "user_id")
        else:
            check_audience(claims, AUDIENCE)
            user_id = text_claim(claims, "sub")
            if claims.get("user_id", user_id) != user_id or not valid_text(claims.get("jti")):
                raise InvalidTokenError("claims")
        if " " in user_id:  # as the ids of other issuers' users have; see L{Issuer}
            raise InvalidTokenError("claims")
        return user_id, text_claim(claims, "username") if "username" in claims else user_id

    def _role(self, token: CompactToken) -> str:
        role = token.claims.get("role")
        if not isinstance(role, str) or role not in self._roles:
            raise InvalidTokenError("role")
        return role


class Verifier:
    """
    Turns tokens into identities.
    """

    log = Logger(namespace="siger.auth")

    def __init__(
        self,
        keys: KeyRing,
        issuers: Sequence[Issuer],
        roles: frozenset[str],
        now: Callable[[], float] = time.time,
        max_lifetime: int = 0,
    ) -> None:
        """
        @param issuers: whose tokens are believed besides our own.
        @param roles: the roles that there are.
        @param max_lifetime: the seconds above which our own are refused, since nobody would remember that they were
            revoked; 0 for none.
        @raise ConfigError: when an issuer is there twice, or goes by our own name.
        """
        self._own = OwnTokens(keys, roles, max_lifetime)
        self.issuers = tuple(issuers)
        self._by_name = {issuer.name: issuer for issuer in self.issuers}
        self._now = now
        if ISSUER in self._by_name or len(self._by_name) < len(self.issuers):
            raise ConfigError("each issuer has a name of its own, and none has the gateway's", "issuers")

    def start(self, keys_changed: Callable[[], object]) -> None:
        """
        Begin to follow the keys that issuers publish.

        @param keys_changed: called when a key must not be used any more.
        """
        for issuer in self.issuers:
            issuer.start(keys_changed)

    def stop(self) -> None:
        """
        Follow them no more.
        """
        for issuer in self.issuers:
            issuer.stop()

    def verify(self, token: bytes) -> Identity | Deferred[Identity]:
        """
        Find out whose token this is. It is known at once, unless the keys of an issuer have to be fetched for it.

        @raise InvalidTokenError: when it is not good; a L{Deferred} fails with nothing else either.
        """
        try:
            result = self._verify(token)
        except InvalidTokenError:
            raise
        except Exception as error:
            raise self._unexpected(Failure()) from error
        return result.addErrback(self._translate) if isinstance(result, Deferred) else result

    def _verify(self, token: bytes) -> Identity | Deferred[Identity]:
        compact = read_token(token)
        name = compact.claims.get("iss")
        issuer = self._by_name.get(name) if isinstance(name, str) else None
        if issuer is None:
            return self._own.verify(compact, self._now())
        return issuer.verify(compact, self._now)

    def _translate(self, failure: Failure) -> Failure:
        if failure.check(InvalidTokenError):
            return failure
        raise self._unexpected(failure)

    def _unexpected(self, failure: Failure) -> InvalidTokenError:
        # No client may turn a gap in our checks into anything but a refusal; and we want to hear of it.
        self.log.warn("Checking a token failed unexpectedly: {error}", error=repr(failure.value)[:200])
        return InvalidTokenError("unexpected")
