"""
A bucket in memory: for tests of everything that keeps records. The same contract tests run against it and the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from siger.messaging.bucket import Entry, Mirror, check_key
from siger.messaging.errors import KeyExistsError, RevisionError, UnavailableError

__all__ = ["MemoryBucket"]

T = TypeVar("T")


class MemoryBucket:
    """
    Records in memory. Deferreds have fired when they are returned.

    Several parties share one bucket as several gateways share a server: each makes a mirror of its own.

    @ivar available: C{False}: as if the server were away. Everything fails, and mirrors are stale; C{True} again:
        mirrors are told everything.
    @ivar held: C{True}: as if the server were slow to tell: mirrors hear of changes only when it is C{False} again.
    @ivar writes: how many were accepted.
    """

    def __init__(self, name: str = "records") -> None:
        self.name = name
        self.writes = 0
        self._latest: dict[str, Entry] = {}
        self._revision = 0
        self._mirrors: list[Mirror] = []
        self._untold: list[Entry] = []
        self._available = True
        self._held = False

    @property
    def available(self) -> bool:
        return self._available

    @available.setter
    def available(self, available: bool) -> None:
        if available == self._available:
            return
        self._available = available
        self._untold.clear()
        for mirror in list(self._mirrors):
            self._tell_all(mirror) if available else mirror.lost()

    @property
    def held(self) -> bool:
        return self._held

    @held.setter
    def held(self, held: bool) -> None:
        self._held = held
        while self._untold and not self._held:
            self._tell(self._untold.pop(0))

    def forget(self, key: str) -> None:
        """
        Lose a key without a trace, as when its time to live is over. Mirrors see it when they are told everything.
        """
        self._latest.pop(key, None)

    def clear(self) -> None:
        """
        Lose everything and count from the beginning, as a server does whose store was emptied.
        """
        self._latest.clear()
        self._revision = 0

    # What a bucket does

    def get(self, key: str) -> Deferred[Entry | None]:
        return self._do(lambda: self._get(key))

    def create(self, key: str, value: bytes) -> Deferred[int]:
        return self._do(lambda: self._create(key, value))

    def update(self, key: str, value: bytes, revision: int) -> Deferred[int]:
        return self._do(lambda: self._write(key, value, revision))

    def put(self, key: str, value: bytes) -> Deferred[int]:
        return self._do(lambda: self._write(key, value, None))

    def delete(self, key: str, revision: int | None = None) -> Deferred[None]:
        return self._do(lambda: self._delete(key, revision))

    def mirror(self, listener: Callable[[Entry], object]) -> Mirror:
        return Mirror(self, listener)

    # What a mirror asks of it

    def watch(self, mirror: Mirror) -> None:
        self._mirrors.append(mirror)
        if self._available:
            self._tell_all(mirror)

    def unwatch(self, mirror: Mirror) -> None:
        self._mirrors.remove(mirror)

    def _do(self, action: Callable[[], T]) -> Deferred[T]:
        if not self._available:
            return fail(UnavailableError("the bucket is away"))
        try:
            return succeed(action())
        except Exception as error:
            return fail(error)

    def _get(self, key: str) -> Entry | None:
        entry = self._latest.get(check_key(key))
        return None if entry is None or entry.value is None else entry

    def _create(self, key: str, value: bytes) -> int:
        if self._get(key) is not None:
            raise KeyExistsError(key)
        return self._write(key, value, None)

    def _delete(self, key: str, revision: int | None) -> None:
        self._write(key, None, revision)

    def _write(self, key: str, value: bytes | None, expected: int | None) -> int:
        known = self._latest.get(check_key(key))
        if expected is not None and expected != (0 if known is None else known.revision):
            raise RevisionError(key)
        self._revision += 1
        self.writes += 1
        entry = self._latest[key] = Entry(key, value, self._revision)
        self._untold.append(entry)
        self.held = self._held
        return entry.revision

    def _tell(self, entry: Entry) -> None:
        for mirror in list(self._mirrors):
            mirror.received(entry)

    def _tell_all(self, mirror: Mirror) -> None:
        mirror.begin()
        for entry in sorted(self._latest.values(), key=lambda entry: entry.revision):
            mirror.received(entry)
        mirror.complete()
