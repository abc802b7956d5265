"""
What C{siger token inspect} does: show what a token says, and judge it as a gateway with this configuration would.

Nothing is asked of anybody: whether a token was revoked is in the store, and keys that issuers publish are there. What
is shown of a token is escaped, as nobody knows who made it.
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from siger.auth.compact import InvalidTokenError, read_token
from siger.auth.issuers import Issuer
from siger.auth.keys import KeyRing
from siger.auth.revocation import longest_lifetime
from siger.auth.tokens import Verifier
from siger.config.nodes import ConfigErrors
from siger.config.secret import kept_secret
from siger.config.settings.gateway import Settings
from siger.errors import ConfigError
from siger.policy.identity import Identity

__all__ = ["Report", "inspect"]

_CAUSES: Final = {
    "algorithm": "it was signed with another algorithm than its key is for",
    "audience": "it is for somebody else (aud)",
    "claims": "a claim is missing, or of a wrong kind",
    "expired": "it has expired",
    "extension": "it asks for an extension (crit)",
    "issuer": "its issuer (iss) is not trusted here",
    "key": "no key of this name (kid) is known here",
    "keys_unavailable": "no key for it is configured, and those that its issuer publishes are not asked for here",
    "lifetime": "it is good for too long",
    "malformed": "it is no signed token",
    "not_yet_valid": "it is not good yet",
    "role": "its role is not known here",
    "signature": "its signature is wrong",
    "too_long": "it is too long",
    "type": "it is of another type (typ)",
}
_OF_KEYS: Final = frozenset(("algorithm", "key", "keys_unavailable"))
_TIMES: Final = (("iat", "issued"), ("nbf", "not before"), ("exp", "expires"))
_LONGEST_TIME: Final = 253402300799


@frozen
class Report:
    """
    What there is to say about a token.

    @ivar good: whether it would be accepted, unless it was revoked.
    """

    text: str
    good: bool


def inspect(token: str, settings: Settings) -> Report:
    """
    Look at a token.
    """
    verdict = _verdict(token, settings)
    good = isinstance(verdict, Identity)
    return Report("\n".join((*_contents(token), f"good here   {_describe(verdict)}")), good)


def _describe(verdict: Identity | str) -> str:
    if not isinstance(verdict, Identity):
        return f"no: {verdict}"
    whose = json.dumps(verdict.name), json.dumps(verdict.user_id), ", ".join(verdict.roles) or "nobody"
    return "yes, unless it was revoked: it is of {}, with id {}, as {}".format(*whose)


def _verdict(token: str, settings: Settings) -> Identity | str:
    """
    Whose it is, or why it is nobody's.
    """
    try:
        result = _verifier(settings).verify(token.encode("utf-8", "surrogatepass"))
    except InvalidTokenError as error:
        cause = "keys_unavailable" if error.cause in _OF_KEYS and _publishes(token, settings) else error.cause
        return _CAUSES.get(cause, cause)
    except (ConfigError, ConfigErrors) as error:
        return str(error)
    assert not isinstance(result, Deferred), "no issuer is asked for keys here"
    return result


def _publishes(token: str, settings: Settings) -> bool:
    """
    Whether the issuer that a token names publishes keys.
    """
    name = read_token(token.encode("ascii")).claims.get("iss")
    return any(issuer.issuer == name and issuer.jwks_url for issuer in settings.issuers)


def _verifier(settings: Settings) -> Verifier:
    # To look is not to make: where there is no secret yet, nobody can have signed with it.
    if not settings.jwt_secret and not (settings.data_dir / "jwt_secret").exists():
        settings = evolve(settings, jwt_secret=secrets.token_hex(32))
    offline = [evolve(issuer, jwks_url="") for issuer in settings.issuers]
    issuers = [Issuer(issuer, settings.roles, None) for issuer in offline]
    keys = KeyRing.from_settings(kept_secret(settings))
    return Verifier(keys, issuers, settings.roles, max_lifetime=longest_lifetime(settings))


def _contents(token: str) -> Iterator[str]:
    """
    What it says, believed or not.
    """
    parts = token.split(".")
    header, claims = (_decoded(parts[index]) if index < len(parts) else None for index in (0, 1))
    if header is not None:
        yield f"header      {json.dumps(header)}"
    if claims is not None:
        yield f"claims      {json.dumps(claims)}"
    if isinstance(claims, dict):
        for name, word in _TIMES:
            if name in claims:
                yield f"{word:<11} {_time(claims[name])}"


def _decoded(part: str) -> Any:
    """
    What a part says, C{None} when that cannot be read.
    """
    try:
        return json.loads(urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None


def _time(value: object) -> str:
    if type(value) not in (int, float) or not 0 <= value <= _LONGEST_TIME:  # type: ignore[operator]
        return "no time"
    return datetime.fromtimestamp(int(value), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # type: ignore[call-overload]
