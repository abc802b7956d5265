"""
Who there is: logging in, and coming and going.

An answer does not tell who exists, neither by its words nor by its time. For each attempt one hash is computed, for
nobody as for anybody, and nothing else is waited for.

What has just happened at another gateway, a registration or a new password, may not be in this one's mirror yet. So the
store is asked while the hash is computed, and what it says by then counts. It is asked for those who are known as well:
even a message that nobody waits for takes some time to write, enough to be measured.

Whatever may mean that tokens are in wrong hands (a new password, a new role, an end) raises C{tokens_valid_from} of the
user, and returns the user: revoking is the caller's part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import uuid4

from attrs import evolve
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.auth.errors import (
    BadCredentialsError,
    BusyError,
    FieldError,
    FieldErrors,
    NameTakenError,
)
from siger.auth.names import canonical, fold
from siger.auth.passwords import Hasher, check_password, prepare
from siger.auth.records import User, check_role, timestamp
from siger.auth.roster import Roster
from siger.config.settings.accounts import SeedUser
from siger.messaging.bucket import Bucket
from siger.messaging.errors import UnavailableError

__all__ = ["User", "Users"]

T = TypeVar("T")

_log = Logger()


class Users(Roster):
    """
    The accounts. Names may be given in any spelling.
    """

    def __init__(
        self,
        bucket: Bucket,
        hasher: Hasher,
        now: Callable[[], float] = time.time,
        *,
        roles: frozenset[str] | None = None,
    ) -> None:
        """
        @param hasher: its owner's to stop.
        @param roles: the roles that there are; C{None} for any.
        """
        super().__init__(bucket)
        self._hasher = hasher
        self._now = now
        self._roles = roles

    # Logging in

    def authenticate(self, username: str, password: str) -> Deferred[User]:
        """
        Find out who logs in.

        @return: L{BadCredentialsError} whatever is wrong with the two, or with the account; L{BusyError};
            L{UnavailableError} only when the accounts have never been read.
        """
        if not self.current:
            return fail(UnavailableError("the accounts have not been read yet"))
        try:
            prepare(password)
        except FieldError:
            return fail(BadCredentialsError())  # nobody's, so at once
        if self._hasher.full:
            return fail(BusyError())
        return Deferred.fromCoroutine(self._authenticate(fold(username), password))

    async def _authenticate(self, key: str, password: str) -> User:
        user = self._by_name.get(key)
        verified = self._hasher.verify(None if user is None else user.password_hash, password)
        if key and not self.stale:
            self._refresh(key)
        right = await verified
        latest = self._by_name.get(key)
        if user is None and latest is not None:
            user, right = latest, await self._hasher.verify(latest.password_hash, password)
            latest = self._by_name.get(key)
        # The account may have changed meanwhile, and another password counts from the moment it is known.
        if user is None or not right or latest is None or latest.disabled or _is_another(user, latest):
            raise BadCredentialsError()
        if self._hasher.needs_rehash(latest.password_hash):
            self._rehash(latest, password)
        return latest

    def _rehash(self, user: User, password: str) -> None:
        """
        Hash a password anew at today's cost, later. What goes wrong is tried again with the next login.
        """

        def failed(failure: Failure) -> None:
            _log.debug("user {name} keeps an old hash: {error}", name=user.username, error=failure.value)

        def write(password_hash: str) -> Deferred[User]:
            return self._change(
                user.username, lambda known: evolve(known, password_hash=password_hash) if known == user else known
            )

        self._hasher.hash(password).addCallback(write).addErrback(failed)

    # Coming and going

    def register(
        self, username: str, password: str, role: str = "user", *, user_id: str = "", check: bool = True
    ) -> Deferred[User]:
        """
        Make an account.

        @param user_id: C{""} for a new one.
        @param check: whether the password has to follow the rules.
        @return: L{FieldErrors}, L{NameTakenError}, L{BusyError}, L{UnavailableError}.
        """
        return Deferred.fromCoroutine(self._register(username, password, role, user_id, check))

    async def _register(self, username: str, password: str, role: str, user_id: str, check: bool) -> User:
        key = self._check(username, password, role, user_id, check)
        if key in self._mirror.entries:
            raise NameTakenError()
        password_hash = await self._hasher.hash(password)
        now = timestamp(self._now())
        return await self._create(User(user_id or uuid4().hex, key, role, password_hash, False, now, now))

    def _check(self, username: str, password: str, role: str, user_id: str, check: bool) -> str:
        errors: list[FieldError] = []
        key = _collect(errors, lambda: canonical(username)) or ""
        _collect(errors, lambda: check_password(password, key) if check else prepare(password))
        _collect(errors, lambda: check_role(role, self._roles))
        if user_id in self._by_id:
            errors.append(FieldError("id", "is somebody else's"))
        if errors:
            raise FieldErrors(errors)
        return key

    def seed(self, users: Sequence[SeedUser]) -> Deferred[int]:
        """
        Make the accounts of these that do not exist; the others stay as they are, with the passwords that they have.
        One that cannot be made is logged.

        @return: how many were made, once all accounts have been read; or L{BusyError}, L{UnavailableError}: then it can
            be tried again.
        """
        return Deferred.fromCoroutine(self._seed(users))

    async def _seed(self, users: Sequence[SeedUser]) -> int:
        await self.when_current()
        made = 0
        for seed in users:
            try:
                await self.register(seed.username, seed.password, seed.role, user_id=seed.id, check=False)
                made += 1
            except NameTakenError:
                continue
            except FieldErrors as error:
                if self.find(seed.username) is None:
                    _log.error("user {name} cannot be made: {error}", name=seed.username, error=error)
        return made

    def delete(self, username: str) -> Deferred[User]:
        """
        Make an end of an account.

        @return: who it was; or L{UnknownUserError}, L{UnavailableError}.
        """
        return self._remove(username).addCallback(self._revoked)

    # Changing

    def set_password(self, username: str, password: str) -> Deferred[User]:
        """
        Give a new password.

        @return: L{UnknownUserError}, L{FieldErrors}, L{BusyError}, L{UnavailableError}.
        """
        return Deferred.fromCoroutine(self._set_password(username, password))

    async def _set_password(self, username: str, password: str) -> User:
        try:
            check_password(password, fold(username))
        except FieldError as error:
            raise FieldErrors([error]) from error
        await self._read(fold(username))  # there is nothing to hash for nobody
        password_hash = await self._hasher.hash(password)
        return await self._change(username, lambda user: self._revoked(evolve(user, password_hash=password_hash)))

    def set_role(self, username: str, role: str) -> Deferred[User]:
        """
        Give a role.

        @return: L{UnknownUserError}, L{FieldErrors}, L{UnavailableError}.
        """
        try:
            check_role(role, self._roles)
        except FieldError as error:
            return fail(FieldErrors([error]))
        return self._change(
            username, lambda user: user if user.role == role else self._revoked(evolve(user, role=role))
        )

    def set_disabled(self, username: str, disabled: bool) -> Deferred[User]:
        """
        Keep somebody out, or no longer.

        @return: L{UnknownUserError}, L{UnavailableError}.
        """

        def change(user: User) -> User:
            if user.disabled == disabled:
                return user
            changed = evolve(user, disabled=disabled)
            return self._revoked(changed) if disabled else evolve(changed, updated_at=timestamp(self._now()))

        return self._change(username, change)

    def _revoked(self, user: User) -> User:
        # Tokens are dated in whole seconds. One that was issued earlier in this second must go too, so the next begins;
        # and one that was issued since the last change, which may be dated ahead because of it.
        now = self._now()
        return evolve(user, tokens_valid_from=max(user.tokens_valid_from, int(now)) + 1, updated_at=timestamp(now))


def _is_another(user: User, latest: User) -> bool:
    """
    Whether a password that was right for an account tells nothing about what the account is now.
    """
    # A hash alone may be new because costs were raised.
    new_password = latest.password_hash != user.password_hash and latest.tokens_valid_from != user.tokens_valid_from
    return new_password or latest.id != user.id


def _collect(errors: list[FieldError], check: Callable[[], T]) -> T | None:
    try:
        return check()
    except FieldError as error:
        errors.append(error)
        return None
