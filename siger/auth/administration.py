"""
What C{siger user} does with accounts.

Whatever ends the tokens of an account is told to running gateways as well, which refuse them from then on. A change
that was made, but could not be told, can be made again: the second time it is only told.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from twisted.internet.defer import Deferred

from siger.auth.commands import CommandError
from siger.auth.errors import FieldErrors, NameTakenError, UnknownUserError
from siger.auth.revocation import Revocations, valid_from
from siger.auth.session import with_accounts
from siger.auth.users import User, Users
from siger.config.settings.gateway import Settings
from siger.messaging.errors import UnavailableError

__all__ = ["UserCommand", "administer"]

#: Without spaces, which tell the users of other issuers apart.
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHOWN: Final = ("username", "id", "role", "disabled", "created_at", "updated_at")

_UNTOLD: Final = "it is done, but gateways could not be told to refuse the tokens of before; do it once more"


def administer(reactor: Any, settings: Settings, arguments: Namespace, password: str) -> Deferred[str]:
    """
    Carry out an action of C{siger user}.

    @param password: the new one, for actions that have one.
    @return: what to print; or L{CommandError}.
    """
    command = UserCommand(arguments, password)
    return with_accounts(reactor, settings, command.run)


class UserCommand:
    """
    One action and its arguments.
    """

    def __init__(self, arguments: Namespace, password: str) -> None:
        self._arguments = arguments
        self._name: str = getattr(arguments, "name", "")
        self._password = password

    async def run(self, users: Users, revocations: Revocations) -> str:
        """
        Carry it out.

        @return: what to print.
        """
        action: Callable[[Users, Revocations], Awaitable[str]] = getattr(self, f"_{self._arguments.action}")
        try:
            return await action(users, revocations)
        except FieldErrors as error:
            raise CommandError("\n".join(map(str, error.errors))) from error
        except NameTakenError as error:
            raise CommandError(f"there is a user {self._name} already") from error
        except UnknownUserError as error:
            raise CommandError(f"there is no user {self._name}") from error

    async def _add(self, users: Users, revocations: Revocations) -> str:
        user_id: str = self._arguments.id
        if user_id and not _ID.fullmatch(user_id):
            raise CommandError("id may have 1 to 64 letters, digits, '.', '_' and '-'")
        user = await users.register(self._name, self._password, self._arguments.role, user_id=user_id)
        return f"user {user.username} added as {user.role}, with id {user.id}"

    async def _list(self, users: Users, revocations: Revocations) -> str:
        if self._arguments.json:
            records = [{name: getattr(user, name) for name in _SHOWN} for user in users]
            return orjson.dumps(records, option=orjson.OPT_INDENT_2).decode("utf-8")
        return _table(list(users))

    async def _passwd(self, users: Users, revocations: Revocations) -> str:
        user = await users.set_password(self._name, self._password)
        await _end_tokens(revocations, user)
        return f"user {user.username} has a new password; earlier tokens are good no longer"

    async def _role(self, users: Users, revocations: Revocations) -> str:
        user = await users.set_role(self._name, self._arguments.role)
        await _end_tokens(revocations, user)
        return f"user {user.username} is {user.role} now; earlier tokens are good no longer"

    async def _disable(self, users: Users, revocations: Revocations) -> str:
        user = await users.set_disabled(self._name, True)
        await _end_tokens(revocations, user)
        return f"user {user.username} is disabled; earlier tokens are good no longer"

    async def _enable(self, users: Users, revocations: Revocations) -> str:
        user = await users.set_disabled(self._name, False)
        return f"user {user.username} is enabled"

    async def _delete(self, users: Users, revocations: Revocations) -> str:
        # In this order it can be done once more if it fails halfway.
        await self._disable(users, revocations)
        user = await users.delete(self._name)
        return f"user {user.username} is deleted; earlier tokens are good no longer"


async def _end_tokens(revocations: Revocations, user: User) -> None:
    """
    Tell gateways to refuse a user's tokens of before.
    """
    try:
        await revocations.revoke_user(user.id, valid_from(user))
    except UnavailableError as error:
        raise CommandError(_UNTOLD) from error


def _table(users: list[User]) -> str:
    """
    Users in columns.
    """
    rows = [("NAME", "ID", "ROLE", "STATE", "CREATED")]
    rows += [
        (user.username, user.id, user.role, "disabled" if user.disabled else "active", user.created_at)
        for user in users
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
