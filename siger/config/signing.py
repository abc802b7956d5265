"""
C{jwt_secret:} and C{jwt_keys:}: what the gateway's own tokens are signed with.
"""

from __future__ import annotations

import re

from siger.config.decode import list_of, text, written
from siger.config.nodes import shorten
from siger.config.secret import checked_secret, is_published
from siger.config.section import InvalidError, Section, Value
from siger.config.settings.accounts import JwtKey

__all__ = ["jwt_keys", "jwt_secret", "key_name"]

_KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def jwt_secret(value: Value) -> str:
    """
    A secret; C{""} for a published one, which signs nothing.
    """
    found = text(value)
    return "" if is_published(found) else checked_secret(found)


def key_name(value: Value) -> str:
    """
    The name of a key, as tokens carry it: never a path, nor anything else that means something somewhere.
    """
    found = written(value, "the name of a key")
    if not _KEY_NAME.fullmatch(found):
        raise InvalidError(f"a key's name has 1 to 64 characters of A-Z, a-z, 0-9 and . _ -, got {shorten(found)!r}")
    return found


def jwt_keys(value: Value) -> tuple[JwtKey, ...]:
    """
    Secrets with names. The first signs.
    """
    found: dict[str, JwtKey] = {}

    def one(value: Value) -> None:
        key = _key(value)
        if key.kid and key.kid in found:
            raise InvalidError(f"there are two keys named {key.kid!r}")
        found[key.kid] = key

    list_of(one)(value)
    return tuple(found.values())


def _key(value: Value) -> JwtKey:
    section = Section(value)
    found = JwtKey(section.take("kid", key_name, ""), section.take("secret", _named_secret, ""))
    section.finish()
    section.need("kid", "secret")
    return found


def _named_secret(value: Value) -> str:
    """
    A secret that was chosen: there is none that could take the place of a published one.
    """
    found = text(value)
    if is_published(found):
        raise InvalidError("is a published sample; `openssl rand -hex 32` prints a good one")
    return checked_secret(found)
