"""
Other issuers: whose keys verify their tokens, and who their users are here.

An issuer decides about its own users and nobody else. It may call somebody by an id that one of our accounts has, by
mistake or on purpose; so outside of what backends are told, its users are known by the issuer's name and their id, with
a space between, which neither an issuer's name nor an id of ours has. Its roles are only those that the configuration
lets it give.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.web.iweb import IAgent

from siger.auth.claims import check_audience, check_times, text_claim, token_id, valid_text
from siger.auth.compact import TYPES, CompactToken, InvalidTokenError
from siger.auth.keys import Key, load_public_key
from siger.auth.published import PublishedKeys
from siger.config.settings.accounts import IssuerSettings
from siger.errors import ConfigError
from siger.policy.identity import Identity

__all__ = ["Issuer"]

MAX_ROLES: Final = 32
"""
Roles of one user that are passed on.
"""

_NAME: Final = re.compile(r"\S+")


class Issuer:
    """
    Somebody whose tokens are believed.

    @ivar name: what C{iss} is in its tokens.
    @ivar published: the keys that it publishes, or C{None}.
    """

    def __init__(
        self, settings: IssuerSettings, roles: frozenset[str], reactor: Any, agent: IAgent | None = None
    ) -> None:
        """
        @param roles: the roles that there are.
        @param agent: what fetches keys; C{None} for the usual one.
        @raise ConfigError: when its name or one of its keys cannot be used.
        """
        if _NAME.fullmatch(settings.issuer) is None:
            raise ConfigError("an issuer's name has no spaces, and is not empty", "issuers")
        self.name = settings.issuer
        self.published: PublishedKeys | None = None
        if settings.jwks_url:
            self.published = PublishedKeys(reactor, settings.jwks_url, settings.algorithms, agent)
        self._settings = settings
        self._roles = roles
        self._types = frozenset((_short(settings.token_type),)) if settings.token_type else TYPES | {""}
        self._keys = dict(self._load_keys())
        self._algorithms = frozenset(key.algorithm for key in self._keys.values())
        if self.published is not None:
            self._algorithms |= frozenset(settings.algorithms)

    def _load_keys(self) -> Iterator[tuple[str, Key]]:
        for key in self._settings.keys:
            try:
                yield key.kid, load_public_key(key)
            except ValueError as error:
                raise ConfigError(str(error), f"issuers: {self.name}: {key.kid or 'the key without a kid'}") from None

    def __repr__(self) -> str:
        return f"<Issuer {self.name} {sorted(self._keys)} {self.published}>"

    def start(self, keys_changed: Callable[[], object]) -> None:
        """
        Begin to follow its keys.
        """
        if self.published is not None:
            self.published.start(keys_changed)

    def stop(self) -> None:
        """
        Follow them no more.
        """
        if self.published is not None:
            self.published.stop()

    def verify(self, token: CompactToken, now: Callable[[], float]) -> Identity | Deferred[Identity]:
        """
        Find out whose token this is. When it names a key that is not known, the published ones are fetched if that is
        not too soon, and the answer comes later.

        @raise InvalidTokenError: when it is not good.
        """
        # Everything that costs little comes first: what is no good anyway is no reason to ask for keys.
        if token.token_type not in self._types:
            raise InvalidTokenError("type")
        if token.algorithm not in self._algorithms:
            raise InvalidTokenError("algorithm")
        check_audience(token.claims, self._settings.audience)
        check_times(token.claims, now(), self._settings.max_lifetime)
        key = self._find(token.kid)
        if key is not None:
            return self._judge(token, key, now())
        fetched = self.published.refetch() if self.published is not None else None
        if fetched is None:
            raise self._unknown_key()
        return fetched.addCallback(lambda _: self._judge(token, self._find(token.kid), now()))

    def _find(self, kid: str | None) -> Key | None:
        key = self._keys.get(kid or "") if kid != "" else None
        return self.published.find(kid) if key is None and self.published is not None else key

    def _unknown_key(self) -> InvalidTokenError:
        known = self._keys or (self.published is not None and self.published.known)
        return InvalidTokenError("key" if known else "keys_unavailable")

    def _judge(self, token: CompactToken, key: Key | None, now: float) -> Identity:
        if key is None:
            raise self._unknown_key()
        if token.algorithm != key.algorithm:
            raise InvalidTokenError("algorithm")
        if not key.verifies(token):
            raise InvalidTokenError("signature")
        issued, expires = check_times(token.claims, now, self._settings.max_lifetime)
        text_claim(token.claims, "sub")
        user_id = self._text(token, self._settings.user_claim) or _refuse("claims")
        name = self._text(token, self._settings.name_claim) or user_id
        roles = self._read_roles(token)
        return Identity(user_id, name, roles, token_id(token, self.name), issued, expires, token.claims, self.name)

    def _text(self, token: CompactToken, claim: str) -> str:
        value = find_claim(token.claims, claim)
        if value is None:
            return ""
        if not isinstance(value, str) or not valid_text(value):
            raise InvalidTokenError("claims")
        return value

    def _read_roles(self, token: CompactToken) -> tuple[str, ...]:
        value = find_claim(token.claims, self._settings.role_claim)
        given = value if isinstance(value, list) else [value]
        translated = (self._role(one) for one in given if isinstance(one, str))
        roles = tuple(dict.fromkeys(role for role in translated if role in self._roles))
        if roles:
            return roles[:MAX_ROLES]
        return (self._settings.default_role or _refuse("role"),)

    def _role(self, theirs: str) -> str:
        # With a list of translations, what is not on it means nothing: not even if there is a role of that name here.
        # Without a list roles are as they are there, but who administers somebody else's system does not yet ours.
        if self._settings.roles:
            return self._settings.roles.get(theirs, "")
        return "" if theirs == "admin" else theirs


def _refuse(cause: str) -> str:
    raise InvalidTokenError(cause)


def _short(token_type: str) -> str:
    return token_type.lower().removeprefix("application/")


def find_claim(claims: dict[str, Any], path: str) -> object:
    """
    What a token says under a name, or, where there is no such name, under the names that dots part it into. Names with
    dots in them are common: they are URLs.
    """
    if path in claims:
        return claims[path]
    value: object = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
