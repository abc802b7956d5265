"""
Accounts as they are kept: in a bucket that all gateways share, and here in memory.

Theory of operation. A record lies under the canonical name, so no two accounts can have names that look alike. Every
gateway has all of them in a mirror and reads there, so reading costs nothing and goes on while the store is away.
Writes go to the store, create or compare-and-set, and are taken over into the mirror as they are acknowledged, so what
was written here can be read here at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from siger.auth.errors import NameTakenError, UnknownUserError
from siger.auth.names import fold
from siger.auth.records import BrokenRecordError, User, decode, encode
from siger.messaging.bucket import Bucket, Entry
from siger.messaging.errors import KeyExistsError, MessagingError, RevisionError, UnavailableError

__all__ = ["Roster"]

_log = Logger()

#: How often a change is tried while others change the same user.
_TRIES: Final = 5


class Roster:
    """
    Keeps users. Methods that begin with an underscore are for those who make this more.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._by_name: dict[str, User] = {}
        self._by_id: dict[str, User] = {}
        self._mirror = bucket.mirror(self._changed)

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[User]:
        return iter(sorted(self._by_name.values(), key=lambda user: user.username))

    @property
    def current(self) -> bool:
        """
        Whether all accounts have been read once.
        """
        return self._mirror.current

    @property
    def stale(self) -> bool:
        """
        Whether changes may be missing just now.
        """
        return self._mirror.stale

    def when_current(self) -> Deferred[None]:
        """
        Fire once all accounts have been read.
        """
        return self._mirror.when_current()

    def start(self) -> None:
        """
        Begin to follow the bucket.
        """
        self._mirror.start()

    def stop(self) -> None:
        """
        Follow it no longer. What is known can still be read.
        """
        self._mirror.stop()

    def find(self, username: str) -> User | None:
        """
        Who is called that, in any spelling.
        """
        return self._by_name.get(fold(username))

    def by_id(self, user_id: str) -> User | None:
        """
        Who has this id.
        """
        return self._by_id.get(user_id)

    # Reading past the mirror

    async def _read(self, key: str) -> Entry:
        """
        The record as the store has it; L{UnknownUserError} when it has none.
        """
        entry = await self._bucket.get(key) if key else None
        if entry is None:
            raise UnknownUserError()
        return entry

    def _refresh(self, key: str) -> None:
        """
        Ask the store how a record is, and know it from then on. What goes wrong with that makes no difference here.
        """

        def known(entry: Entry | None) -> None:
            if entry is not None:
                self._mirror.apply(entry)

        asked = self._bucket.get(key).addCallback(known)
        asked.addErrback(lambda failure: failure.trap(MessagingError))
        asked.addErrback(lambda failure: _log.failure("cannot read user {key}", failure, key=key))

    # Writing

    async def _create(self, user: User) -> User:
        """
        Write a new user; L{NameTakenError} when the name is in use, be it by a record that cannot be read.
        """
        value = encode(user)
        try:
            revision = await self._bucket.create(user.username, value)
        except KeyExistsError as error:
            raise NameTakenError() from error
        self._mirror.apply(Entry(user.username, value, revision))
        return user

    async def _replace(self, entry: Entry, user: User) -> User:
        """
        Write a user over the record that was read.
        """
        value = encode(user)
        revision = await self._bucket.update(entry.key, value, entry.revision)
        self._mirror.apply(Entry(entry.key, value, revision))
        return user

    def _change(self, username: str, change: Callable[[User], User]) -> Deferred[User]:
        """
        Change a user, whoever else does so at the same time.

        @param change: makes the new user from what the store has; called again for each attempt.
        """

        async def attempt(entry: Entry) -> User:
            user = _user(entry)
            changed = change(user)
            return user if changed == user else await self._replace(entry, changed)

        return Deferred.fromCoroutine(self._retry(username, attempt))

    def _remove(self, username: str) -> Deferred[User]:
        """
        Delete a user.
        """

        async def attempt(entry: Entry) -> User:
            user = _user(entry)
            await self._bucket.delete(entry.key, entry.revision)
            # The store does not say which revision the deletion has, but it is a later one.
            self._mirror.apply(Entry(entry.key, None, entry.revision + 1))
            return user

        return Deferred.fromCoroutine(self._retry(username, attempt))

    async def _retry(self, username: str, attempt: Callable[[Entry], Coroutine[Any, Any, User]]) -> User:
        for _ in range(_TRIES):
            try:
                return await attempt(await self._read(fold(username)))
            except RevisionError:
                continue
        raise UnavailableError("others keep changing this user")

    # Following

    def _changed(self, entry: Entry) -> None:
        known = self._by_name.pop(entry.key, None)
        if known is not None and self._by_id.get(known.id) is known:
            del self._by_id[known.id]
        if entry.value is None:
            return
        try:
            user = decode(entry.key, entry.value)
        except BrokenRecordError as error:
            _log.error("the record of user {key} is ignored: {reason}", key=entry.key, reason=str(error))
            return
        self._by_name[user.username] = user
        other = self._by_id.setdefault(user.id, user)
        if other is not user:
            _log.error("users {one} and {other} have one id", one=other.username, other=user.username)


def _user(entry: Entry) -> User:
    """
    The user of a record; a broken one is nobody.
    """
    try:
        return decode(entry.key, entry.value or b"")
    except BrokenRecordError as error:
        raise UnknownUserError() from error
