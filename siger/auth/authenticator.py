"""
From the value of an C{Authorization} field to an identity.

What was verified before is not verified again: an identity that is kept ends with its token, its key and its
revocation, see L{siger.policy.identity}.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import time
from typing import Final, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from siger.auth.compact import MAX_TOKEN, InvalidTokenError
from siger.auth.tokens import Verifier
from siger.errors import Reason
from siger.policy.identity import Identity, IdentityCache

__all__ = ["Authenticator", "Outcome"]

Outcome = Identity | Reason

# One space and a b64token (RFC 6750 section 2.1); the scheme in any case (RFC 9110 section 11.1).
_BEARER: Final = re.compile(rb"bearer ([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
_SCHEME: Final = re.compile(rb"bearer(?![!#$%&'*+.^_`|~0-9A-Za-z-])", re.IGNORECASE)

# Where nobody can say whether a token is good: the client should keep it, and come back.
_UNDECIDED: Final = frozenset(("busy", "keys_unavailable"))
_MAX_CREDENTIALS: Final = len(b"Bearer ") + MAX_TOKEN


class Authenticator:
    """
    Answers who a request is from.

    @ivar failures: how many were refused, by cause.
    """

    def __init__(self, verifier: Verifier, is_revoked: Callable[[Identity], bool], cache: IdentityCache) -> None:
        self.failures: dict[str, int] = {}
        self._verifier = verifier
        self._is_revoked = is_revoked
        self._cache = cache

    def start(self) -> None:
        """
        Begin to follow the keys of issuers.
        """
        self._verifier.start(self._cache.clear)

    def stop(self) -> None:
        """
        Follow them no more.
        """
        self._verifier.stop()

    def __call__(self, credentials: bytes) -> Outcome | Deferred[Outcome]:
        """
        Judge credentials.

        @param credentials: the field's value.
        @return: whose they are, or why they are refused. The answer is there at once, unless the keys of an issuer
            have to be fetched for it.
        """
        if len(credentials) > _MAX_CREDENTIALS:
            return self._count("too_long", Reason.INVALID_TOKEN)
        known = self._cache.find(credentials)
        if known is not None:
            return known
        bearer = _BEARER.fullmatch(credentials)
        if bearer is None:
            return self._refuse_credentials(credentials)
        try:
            result = self._verifier.verify(bearer[1])
        except InvalidTokenError as error:
            return self._refuse(error)
        if isinstance(result, Deferred):
            return result.addCallbacks(
                lambda identity: self._admit(credentials, identity),
                self._refuse_later,
            )
        return self._admit(credentials, result)

    def _admit(self, credentials: bytes, identity: Identity) -> Outcome:
        if self._is_revoked(identity):
            return self._count("revoked", Reason.INVALID_TOKEN)
        # Others may have waited for the same keys with the same token.
        known = self._cache.find(credentials)
        if known is not None:
            return known
        if identity.expires > time():
            self._cache.keep(credentials, identity)
        return identity

    def _refuse_credentials(self, credentials: bytes) -> Reason:
        # Of another scheme, it is as good as nothing (RFC 6750 section 3.1).
        if _SCHEME.match(credentials) is None:
            return self._count("scheme", Reason.UNAUTHENTICATED)
        return self._count("credentials", Reason.INVALID_TOKEN)

    def _refuse_later(self, failure: Failure) -> Reason:
        failure.trap(InvalidTokenError)
        return self._refuse(cast(InvalidTokenError, failure.value))

    def _refuse(self, error: InvalidTokenError) -> Reason:
        undecided = error.cause in _UNDECIDED
        return self._count(error.cause, Reason.STORE_UNAVAILABLE if undecided else Reason.INVALID_TOKEN)

    def _count(self, cause: str, reason: Reason) -> Reason:
        self.failures[cause] = self.failures.get(cause, 0) + 1
        return reason
