"""
How a user is written down: one JSON object under the canonical name.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from attrs import asdict, field, frozen

from siger.auth.errors import FieldError
from siger.auth.names import fold
from siger.auth.passwords import Cost

__all__ = ["BrokenRecordError", "User", "check_role", "decode", "encode", "timestamp"]

_ROLE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KINDS: Final = {
    "id": str,
    "username": str,
    "role": str,
    "password_hash": str,
    "disabled": bool,
    "created_at": str,
    "updated_at": str,
    "tokens_valid_from": int,
}


class BrokenRecordError(Exception):
    """
    What is written down is no user.
    """


@frozen
class User:
    """
    An account.

    @ivar id: what never changes, and is never given twice.
    @ivar username: in its canonical form.
    @ivar password_hash: a PHC string.
    @ivar disabled: whether it may not log in.
    @ivar created_at: RFC 3339 in UTC, as C{updated_at}.
    @ivar tokens_valid_from: its tokens of before this time, in seconds of the wall clock, are good no longer.
    """

    id: str
    username: str
    role: str
    password_hash: str = field(repr=False)
    disabled: bool
    created_at: str
    updated_at: str
    tokens_valid_from: int = 0


def check_role(role: str, known: frozenset[str] | None = None) -> str:
    """
    Let a role pass.

    @param known: the roles that there are; C{None} for any that is well-formed.
    @raise FieldError: when there is none like it.
    """
    if not _ROLE.fullmatch(role) or (known is not None and role not in known):
        raise FieldError("role", "must be one of the roles that there are")
    return role


def encode(user: User) -> bytes:
    """
    Write a user down.
    """
    return orjson.dumps(asdict(user))


def decode(key: str, value: bytes) -> User:
    """
    Read a user. Fields of later versions are passed over.

    @param key: what it is written under.
    @raise BrokenRecordError: when it cannot be.
    """
    try:
        record: Any = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise BrokenRecordError("no JSON") from error
    if not isinstance(record, dict):
        raise BrokenRecordError("no object")
    for name, kind in _KINDS.items():
        if type(record.get(name)) is not kind:
            raise BrokenRecordError(f"{name} is missing or of another kind")
    user = User(**{name: record[name] for name in _KINDS})
    if user.username != key or fold(key) != key:
        raise BrokenRecordError("it is somebody else's")
    try:
        Cost.of(user.password_hash)
    except ValueError as error:
        raise BrokenRecordError(str(error)) from error
    return user


def timestamp(now: float) -> str:
    """
    A time, RFC 3339 in UTC to the second.
    """
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
