"""
What a bucket of records is, wherever it is kept.

A bucket maps keys to bytes. Each change has a revision, a number that only rises, and a write may name the revision
that it replaces: so two gateways that change one record at once cannot undo each other's work.
L{siger.messaging.jetstream.JetStreamBucket} is the one on JetStream.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from siger.messaging.errors import InvalidKeyError
from siger.messaging.mirror import Entry, Mirror

__all__ = ["Bucket", "Entry", "Listener", "Mirror", "check_key"]

Listener = Callable[[Entry], object]

#: Tokens with single dots between them. A key is part of a subject, which nats-py writes into its protocol.
_KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
_LONGEST_KEY: Final = 512


def check_key(key: str) -> str:
    """
    Let a key pass that a bucket takes.

    @raise InvalidKeyError: for any other.
    """
    if len(key) > _LONGEST_KEY or not _KEY.fullmatch(key):
        raise InvalidKeyError("letters, digits, - / _ = and single dots between them make a key")
    return key


class Bucket(Protocol):
    """
    Records by key.

    Every Deferred may fail with L{UnavailableError<siger.messaging.errors.UnavailableError>}, at once while there is no
    connection, since nothing is kept for later; and with L{InvalidKeyError}.

    @ivar name: what the bucket is called.
    """

    name: str

    def get(self, key: str) -> Deferred[Entry | None]:
        """
        Read what is kept under a key: C{None} where nothing is, or no longer.
        """

    def create(self, key: str, value: bytes) -> Deferred[int]:
        """
        Write where nothing is.

        @return: the new revision; or L{KeyExistsError<siger.messaging.errors.KeyExistsError>}.
        """

    def update(self, key: str, value: bytes, revision: int) -> Deferred[int]:
        """
        Replace a known revision.

        @return: the new revision; or L{RevisionError<siger.messaging.errors.RevisionError>}.
        """

    def put(self, key: str, value: bytes) -> Deferred[int]:
        """
        Write, whatever was there.

        @return: the new revision.
        """

    def delete(self, key: str, revision: int | None = None) -> Deferred[None]:
        """
        Delete, and only a known revision if one is given; or
        L{RevisionError<siger.messaging.errors.RevisionError>}.
        """

    def mirror(self, listener: Callable[[Entry], object]) -> Mirror:
        """
        Make a copy in memory that follows the bucket once it is started.

        @param listener: called with each change, after the mirror shows it.
        """
