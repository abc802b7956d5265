"""
C{Idempotency-Key}: a submission that is sent twice is done once, and answered twice.

A key is written down, with the name that its job is to have, before anything else is (row K3). Whoever comes with the
same key finds that name. If the job is in the queue, that is the answer; if somebody may still be putting it there,
they have to wait; if nobody does any more, they finish it, under that same name, so that even two who do it at once
make one job of it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

import orjson
from attrs import frozen

from siger.errors import Reason
from siger.jobs.refusals import RefusedError
from siger.messaging.bucket import Bucket
from siger.messaging.errors import KeyExistsError

__all__ = ["IN_FLIGHT", "Claim", "Keys"]

IN_FLIGHT: Final = 15.0
"""
Seconds after which a submission that another gateway began is believed to have ended, one way or the other: longer than
its steps may take.
"""


@frozen
class Claim:
    """
    What a key stands for.

    @ivar job_id: the job that was submitted with it first.
    @ivar new: that was just now.
    @ivar busy: another gateway may still be at it.
    """

    job_id: str
    new: bool
    busy: bool = False


class Keys:
    """
    The keys of all users.
    """

    def __init__(self, bucket: Bucket, now: Callable[[], float]) -> None:
        """
        @param bucket: where gateways share them, for as long as they are remembered.
        @param now: the wall clock, in seconds.
        """
        self._bucket = bucket
        self._now = now
        self._me = secrets.token_hex(8)

    async def find(self, user_id: str, key: str, fingerprint: str) -> Claim | None:
        """
        What a key stands for already.

        @param fingerprint: what was submitted.
        @raise RefusedError: something else was submitted with it.
        """
        entry = await self._bucket.get(_name(user_id, key))
        return None if entry is None or entry.value is None else self._read(entry.value, fingerprint)

    async def claim(self, user_id: str, key: str, fingerprint: str, job_id: str) -> Claim:
        """
        Make a key stand for a job, unless it stands for one already.
        """
        said = {"job_id": job_id, "fingerprint": fingerprint, "at": self._now(), "by": self._me}
        for _ in range(2):
            try:
                await self._bucket.create(_name(user_id, key), orjson.dumps(said))
            except KeyExistsError:
                found = await self.find(user_id, key, fingerprint)
                if found is not None:
                    return found
            else:
                return Claim(job_id, new=True)
        raise RefusedError(Reason.IN_PROGRESS)  # it comes and goes

    async def release(self, user_id: str, key: str) -> None:
        """
        Let a key stand for nothing again.
        """
        await self._bucket.delete(_name(user_id, key))

    def _read(self, value: bytes, fingerprint: str) -> Claim:
        said = orjson.loads(value)
        if said["fingerprint"] != fingerprint:
            raise RefusedError(Reason.KEY_REUSED)
        young = self._now() - said["at"] < IN_FLIGHT
        return Claim(said["job_id"], new=False, busy=young and said["by"] != self._me)


def _name(user_id: str, key: str) -> str:
    """
    A key as the store takes it, which tells nothing of what it was.
    """
    return hashlib.sha256(f"{user_id}\0{key}".encode()).hexdigest()
