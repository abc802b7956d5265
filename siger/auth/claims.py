"""
What a token may claim, whoever issued it: times, audience, and names that can be passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from siger.auth.compact import CompactToken, InvalidTokenError

__all__ = ["LEEWAY", "check_audience", "check_times", "text_claim", "token_id", "valid_text"]

LEEWAY: Final = 30
"""
Seconds by which clocks may differ (RFC 7519 section 4.1.4).
"""

MAX_TEXT: Final = 256
"""
Characters of an id or a name.
"""

# The end of the year 9999, which is where RFC 3339 ends too.
_LAST_SECOND: Final = 253402300799

# Control characters, line and paragraph separators, halves of surrogate pairs: what no header field, log line or page
# should be asked to carry.
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Shorter than a digest in hexadecimal, so that no token's own id looks like one.
_PLAIN_ID: Final = re.compile("[A-Za-z0-9_-]{1,63}")


def check_times(claims: Mapping[str, Any], now: float, max_lifetime: int = 0) -> tuple[float, float]:
    """
    Find out whether a token is good now.

    @param max_lifetime: seconds; 0 for any.
    @return: when it was issued and when it expires.
    @raise InvalidTokenError: when it is not good yet, or no more, or for too long.
    """
    issued = _time(claims, "iat")
    expires = _time(claims, "exp")
    not_before = _time(claims, "nbf") if "nbf" in claims else issued
    if expires <= now - LEEWAY:
        raise InvalidTokenError("expired")
    if max(issued, not_before) > now + LEEWAY:
        raise InvalidTokenError("not_yet_valid")
    if expires <= issued or (max_lifetime and expires - issued > max_lifetime):
        raise InvalidTokenError("lifetime")
    return issued, expires


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # C{True} is an C{int} to Python, and C{1e400} is infinite.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LAST_SECOND:
        raise InvalidTokenError("claims")
    return value


def check_audience(claims: Mapping[str, Any], audience: str) -> None:
    """
    @raise InvalidTokenError: when the token is not for this audience, or not only for text (RFC 7519 section 4.1.3).
    """
    value = claims.get("aud")
    members = value if isinstance(value, list) else [value]
    if not all(isinstance(member, str) for member in members) or audience not in members:
        raise InvalidTokenError("audience")


def valid_text(value: object) -> bool:
    """
    Whether this can serve as an id or a name: text, not too long, that starts and ends with something to see.
    """
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_TEXT
        and value == value.strip()
        and _UNFIT.search(value) is None
    )


def text_claim(claims: Mapping[str, Any], name: str) -> str:
    """
    @raise InvalidTokenError: when the claim is missing, or cannot serve as an id or a name.
    """
    value = claims.get(name)
    if not isinstance(value, str) or not valid_text(value):
        raise InvalidTokenError("claims")
    return value


def token_id(token: CompactToken, issuer: str = "") -> str:
    """
    What a token is revoked by: its C{jti} if that is plain and the token our own, else a digest. It consists of
    letters, digits, C{-} and C{_}.

    Ids of different issuers never coincide, and what has no C{jti} is known by what was signed: an ECDSA signature can
    be written in two ways, and would give one token two ids.

    @param issuer: whose token it is; C{""} for our own.
    """
    jti = token.claims.get("jti")
    if not issuer and isinstance(jti, str) and _PLAIN_ID.fullmatch(jti):
        return jti
    content = token.signed if jti is None else repr((issuer, jti)).encode("ascii", "backslashreplace")
    return sha256(content).hexdigest()
