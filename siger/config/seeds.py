"""
C{seed_users:}: accounts for demonstrations, whose passwords stand in a file for everyone to read.

So they are for one machine alone: a gateway that others can reach refuses to have any.
"""

from __future__ import annotations

import re
from collections.abc import Set

from siger.config.addresses import is_loopback
from siger.config.decode import list_of, text, written
from siger.config.nodes import shorten
from siger.config.roles import known_role
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.settings.accounts import SeedUser
from siger.config.settings.gateway import Settings

__all__ = ["seed_users"]

_NAME = re.compile(r"(?!\.)(?!.*\.\.)[a-z0-9._-]{3,64}(?<!\.)")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_PASSWORD = 128


def seed_users(settings: Settings, known: Set[str] | None) -> Decoder[tuple[SeedUser, ...]]:
    """
    A decoder of the accounts.

    @param settings: with C{listen} and C{nats_address}, which decide whether there may be any.
    @param known: the roles that there are; C{None} when that cannot be said.
    """

    def decode(value: Value) -> tuple[SeedUser, ...]:
        found = list_of(lambda value: _user(value, known))(value)
        _refuse_repetition(value, found)
        if found:
            _refuse_publicity(value, settings)
        return found

    return decode


def _refuse_publicity(value: Value, settings: Settings) -> None:
    """
    Report where there can be no such accounts. A key that is wrong has an error of its own, and no other on top.
    """
    wrong = {fault.path for fault in value.faults}
    if "port" not in wrong and not is_loopback(settings.listen.host):
        value.report("accounts with known passwords need a gateway that only this machine reaches, as 127.0.0.1:8080")
    if "nats_address" not in wrong and not settings.nats_address:
        value.report("accounts are kept in NATS, so they need a nats_address, or embedded")


def _refuse_repetition(value: Value, users: tuple[SeedUser, ...]) -> None:
    for field in ("username", "id"):
        names = [getattr(user, field) for user in users if getattr(user, field)]
        for twice in sorted({name for name in names if names.count(name) > 1}):
            value.report(f"two of them have the {field} {twice!r}")


def _user(value: Value, known: Set[str] | None) -> SeedUser:
    section = Section(value)
    take = section.take
    found = SeedUser(
        username=take("username", _username, ""),
        password=take("password", _password, ""),
        role=take("role", known_role(known), "user"),
        id=take("id", _identifier, ""),
    )
    section.finish()
    section.need("username", "password")
    return found


def _username(value: Value) -> str:
    found = written(value, "a name")
    if not _NAME.fullmatch(found):
        raise InvalidError(
            f"a name has 3 to 64 characters of a-z, 0-9 and . _ -, no dot at either end and no two in a row, "
            f"got {shorten(found)!r}"
        )
    return found


def _password(value: Value) -> str:
    found = text(value)
    if not 1 <= len(found) <= _MAX_PASSWORD:
        raise InvalidError(f"a password has 1 to {_MAX_PASSWORD} characters")
    return found


def _identifier(value: Value) -> str:
    found = written(value, "an id")
    if not _ID.fullmatch(found):
        raise InvalidError(f"an id has 1 to 64 characters of A-Z, a-z, 0-9, _ and -, got {shorten(found)!r}")
    return found
