"""
What C{siger token mint} does: a token for an account, or for anybody whom it is told of.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from siger.auth.claims import valid_text
from siger.auth.commands import CommandError
from siger.auth.keys import KeyRing
from siger.auth.revocation import Revocations, longest_lifetime, valid_from
from siger.auth.session import with_accounts
from siger.auth.tokens import Minter
from siger.auth.users import User, Users
from siger.config.nodes import ConfigErrors
from siger.config.secret import kept_secret
from siger.config.settings.gateway import Settings
from siger.errors import ConfigError

__all__ = ["mint"]

T = TypeVar("T")
Wait = Callable[[Callable[[Any], Deferred[str]]], str]


def mint(arguments: Namespace, settings: Settings, wait_for: Wait) -> str:
    """
    Make a token.

    @param wait_for: runs a reactor for something.
    @raise CommandError: why not.
    """
    minter = _minter(settings, arguments.minutes)
    if arguments.user_id is not None:
        return _mint_for(minter, settings, arguments.user_id, arguments.name, arguments.role or "user")
    if arguments.role is not None:
        raise CommandError("--role is for tokens without an account, with --user-id; an account has its role")

    async def work(users: Users, revocations: Revocations) -> str:
        return _mint_for_account(minter, arguments.name, users.find(arguments.name))

    return wait_for(lambda reactor: with_accounts(reactor, settings, work))


def _minter(settings: Settings, minutes: int | None) -> Minter:
    longest = longest_lifetime(settings) // 60 - 1
    if minutes is None:
        minutes = settings.jwt_expiration
    elif not 1 <= minutes <= longest:
        # A revocation is forgotten after that, and the token would be good again.
        raise CommandError(f"--minutes is 1 to {longest}: a token can be revoked for that long")
    try:
        return Minter(KeyRing.from_settings(kept_secret(settings)), minutes * 60)
    except (ConfigError, ConfigErrors) as error:
        raise CommandError(str(error)) from error


def _mint_for_account(minter: Minter, name: str, user: User | None) -> str:
    if user is None:
        raise CommandError(f"there is no user {name}")
    if user.disabled:
        raise CommandError(f"user {user.username} is disabled")
    return minter.mint(user.id, user.username, user.role, valid_from(user)).token


def _mint_for(minter: Minter, settings: Settings, user_id: str, name: str, role: str) -> str:
    if not valid_text(user_id) or " " in user_id:
        raise CommandError("--user-id is an id without spaces")
    if not valid_text(name):
        raise CommandError("the name cannot be shown")
    if role not in settings.roles:
        raise CommandError(f"--role is one of {', '.join(sorted(settings.roles))}")
    return minter.mint(user_id, name, role).token
