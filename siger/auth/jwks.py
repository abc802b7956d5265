"""
What issuers publish: sets of keys (RFC 7517 section 5), and for how long they may be believed.

Everything here is a function of bytes. L{siger.auth.published} fetches them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from siger.auth.keys import Key, load_jwk

__all__ = ["KeySet", "freshness", "parse_key_set"]

MAX_KEYS: Final = 100
"""
Keys of a set that are looked at.
"""

SHORTEST: Final = 60.0
LONGEST: Final = 86400.0
USUAL: Final = 600.0
"""
Seconds between two fetches: at least, at most, and where the issuer does not say.
"""

# Wider than for our own keys, as some large issuers use base64 or URLs. A name is looked up in a dictionary and nothing
# else is ever done with it.
_KID: Final = re.compile("[!-~]{1,256}")

# An RSA modulus of 8192 bits is 1366 characters long.
_LONGEST_MEMBER: Final = 1400

_CURVE_ALGORITHMS: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

_MAX_AGE: Final = re.compile(r'\s*max-age\s*=\s*"?([0-9]{1,9})"?\s*', re.IGNORECASE)
_AGE: Final = re.compile("[0-9]{1,9}")


@frozen
class KeySet:
    """
    The usable keys of a set.

    @ivar skipped: how many others there were.
    """

    _by_kid: Mapping[str, Key]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self._by_kid)

    def find(self, kid: str | None) -> Key | None:
        """
        The key of this name. A token that names none means the only one there is.
        """
        if kid is None:
            return next(iter(self._by_kid.values())) if len(self._by_kid) == 1 else None
        return self._by_kid.get(kid) if kid else None

    def keeps(self, other: KeySet) -> bool:
        """
        Whether all the keys of another set are in this one, unchanged.
        """
        return other._by_kid.items() <= self._by_kid.items()


def parse_key_set(content: bytes, algorithms: Collection[str]) -> KeySet:
    """
    Read a set. Keys that cannot be used here are passed over, as the standard wants it.

    @param algorithms: what keys may be used with. One that does not say for what it is made gets the first that fits.
    @raise ValueError: when this is no set, or has nothing that can be used.
    """
    try:
        document = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("not a set of keys") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("not a set of keys")
    usable: dict[str, Key] = {}
    for key in _usable(members[:MAX_KEYS], algorithms):
        usable.setdefault(key.kid, key)
    if not usable:
        raise ValueError("no key in the set can be used")
    return KeySet(usable, len(members) - len(usable))


def _usable(members: Iterable[object], algorithms: Collection[str]) -> Iterator[Key]:
    for member in members:
        try:
            yield _key(member, algorithms)
        except ValueError:
            continue


def _key(members: object, algorithms: Collection[str]) -> Key:
    if not isinstance(members, dict) or not _may_verify(members):
        raise ValueError("not a key that verifies")
    if any(isinstance(value, str) and len(value) > _LONGEST_MEMBER for name, value in members.items() if name != "x5c"):
        raise ValueError("too large")
    kid = members.get("kid", "")
    if not isinstance(kid, str) or ("kid" in members and _KID.fullmatch(kid) is None):
        raise ValueError("a name that cannot be asked for")
    algorithm = members.get("alg") or next((one for one in algorithms if _fits(members, one)), None)
    if not isinstance(algorithm, str) or algorithm not in algorithms or not _fits(members, algorithm):
        raise ValueError("not for an algorithm that is accepted")
    return load_jwk(kid, algorithm, members)


def _may_verify(members: Mapping[str, Any]) -> bool:
    # A private key that was published is nobody's any more.
    operations = members.get("key_ops", ["verify"])
    return (
        members.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in members
    )


def _fits(members: Mapping[str, Any], algorithm: str) -> bool:
    kind, curve = members.get("kty"), members.get("crv")
    if kind == "RSA":
        return algorithm[:2] in ("RS", "PS")
    if kind == "EC":
        return isinstance(curve, str) and _CURVE_ALGORITHMS.get(curve) == algorithm
    return kind == "OKP" and algorithm == "EdDSA"


def freshness(cache_control: Iterable[bytes], age: Iterable[bytes] = ()) -> float:
    """
    For how many seconds a response may be believed without asking again (RFC 9111 section 4.2), within bounds.

    @param cache_control: the values of its C{Cache-Control} fields.
    @param age: the values of its C{Age} fields.
    """
    directives = [one for value in cache_control for one in value.decode("latin-1").split(",")]
    if any(one.strip().lower() in ("no-store", "no-cache") for one in directives):
        return SHORTEST
    found = [int(match[1]) for match in map(_MAX_AGE.fullmatch, directives) if match]
    spent = [int(match[0]) for match in (_AGE.fullmatch(value.decode("latin-1").strip()) for value in age) if match]
    return min(LONGEST, max(SHORTEST, min(found) - max(spent, default=0))) if found else USUAL
