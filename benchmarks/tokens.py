"""
The tokens of a run: one that is good, and all the kinds that are not.
"""

from __future__ import annotations

import time
from functools import cache

import jwt

__all__ = ["AUDIENCE", "ISSUER", "USER", "Tokens"]

ISSUER = "siger-api-gateway"
AUDIENCE = "siger"
USER = "4711"

_LIFETIME = 12 * 3600


class Tokens:
    """
    Tokens as Siger's own log-in makes them, as values of the Authorization field.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def good(self) -> str:
        """
        One that is good for as long as a run takes; always the same.
        """
        return _good(self._secret)

    def bad(self) -> dict[str, str]:
        """
        What has to be refused, by what is wrong with it.
        """
        now = int(time.time())
        good = self.good()
        return {
            "no token": "",
            "another scheme": f"Basic {good.split()[1]}",
            "no token at all": "Bearer not-a-token",
            "a changed signature": good[:-8] + ("A" * 8 if not good.endswith("A" * 8) else "B" * 8),
            "another key": _signed("another secret, and one that is long enough"),
            "an expired token": _signed(self._secret, iat=now - 7200, exp=now - 3600),
            "another issuer": _signed(self._secret, iss="somebody else"),
            "another audience": _signed(self._secret, aud="something else"),
            "no signature": _signed("", "none"),
        }


@cache
def _good(secret: str) -> str:
    return _signed(secret)


def _signed(secret: str, algorithm: str = "HS256", **claims: object) -> str:
    now = int(time.time())
    usual: dict[str, object] = {
        "user_id": USER,
        "username": "benchmark",
        "role": "user",
        "sub": USER,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + _LIFETIME,
        "jti": "0123456789abcdef0123456789abcdef",
    }
    return "Bearer " + jwt.encode({**usual, **claims}, secret, algorithm)
