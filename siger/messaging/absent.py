"""
What stands in for a bucket when there is no NATS: nothing is in it, and nobody knows whether anything would be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from siger.messaging.errors import UnavailableError
from siger.messaging.mirror import Entry, Mirror

__all__ = ["AbsentBucket"]


class AbsentBucket:
    """
    A bucket that can never be reached; L{siger.messaging.bucket.Bucket}.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def get(self, key: str) -> Deferred[Entry | None]:
        """
        Fails with L{UnavailableError}.
        """
        return self._fail()

    def create(self, key: str, value: bytes) -> Deferred[int]:
        """
        Fails with L{UnavailableError}.
        """
        return self._fail()

    def update(self, key: str, value: bytes, revision: int) -> Deferred[int]:
        """
        Fails with L{UnavailableError}.
        """
        return self._fail()

    def put(self, key: str, value: bytes) -> Deferred[int]:
        """
        Fails with L{UnavailableError}.
        """
        return self._fail()

    def delete(self, key: str, revision: int | None = None) -> Deferred[None]:
        """
        Fails with L{UnavailableError}.
        """
        return self._fail()

    def mirror(self, listener: Callable[[Entry], object]) -> Mirror:
        """
        A mirror that never becomes current.
        """
        return Mirror(self, listener)

    def watch(self, mirror: Mirror) -> None:
        """
        There is nothing to tell.
        """

    def unwatch(self, mirror: Mirror) -> None:
        """
        Nothing was told.
        """

    def _fail(self) -> Deferred[Any]:
        return fail(UnavailableError("no NATS is configured"))
