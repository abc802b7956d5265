"""
The lease on a message of the queue, which its worker has for as long as it is heard of.

Theory of operation. The lease is prolonged by asking the queue to, every third of it, and counts from when it was
asked. After two thirds without an answer the worker I{fences}: what runs is stopped before the lease ends, for then
somebody else may begin.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from siger.messaging.errors import UnavailableError
from siger.worker.delivery import Delivery
from siger.worker.store import Store

__all__ = ["FENCE", "Lease"]

log = logging.getLogger("siger.worker")

FENCE: Final = 2 / 3
"""
The part of a lease after which a worker stops what it runs, if it could not prolong it.
"""
#: Seconds before the queue is told something again.
_PAUSE: Final = 0.25


class Lease:
    """
    Prolongs one lease, and ends it by telling the queue what becomes of the message.

    @ivar seconds: for how long the queue waits for a sign of life.
    """

    def __init__(self, store: Store, delivery: Delivery, seconds: float, since: float) -> None:
        """
        @param since: the moment, on the loop's clock, since when the lease certainly runs.
        """
        self.seconds = seconds
        self._store = store
        self._job_id = delivery.job.job_id
        self._reply = delivery.reply
        self._confirmed = since

    def adopt(self, delivery: Delivery) -> None:
        """
        The same message has come again: go on by this delivery.
        """
        self._reply = delivery.reply

    async def keep(self, prolonged: Callable[[], Awaitable[None]]) -> None:
        """
        Prolong it until that has not worked for so long that the job has to be stopped.

        @param prolonged: called each time that it worked.
        """
        clock = asyncio.get_running_loop().time
        wait = max(0.0, self._confirmed + self.seconds / 3 - clock())
        while True:
            await asyncio.sleep(wait)
            deadline = self._confirmed + FENCE * self.seconds
            asked = clock()
            if asked >= deadline:
                return
            try:
                await self._store.in_progress(self._reply, min(self.seconds / 4, deadline - asked))
            except UnavailableError:
                wait = min(self.seconds / 15, max(0.0, deadline - clock()))
                continue
            self._confirmed = asked
            wait = self.seconds / 3
            await prolonged()

    async def acknowledge(self) -> None:
        """
        Nobody needs the message any more.
        """
        await self.insist(lambda: self._store.acknowledge(self._reply))

    async def give_back(self, delay: float) -> None:
        """
        Let somebody else have it, after so many seconds.
        """
        await self.insist(lambda: self._store.give_back(self._reply, delay))

    async def insist(self, tell: Callable[[], Awaitable[None]]) -> bool:
        """
        Tell the queue something, again and again until the lease ends.

        @return: whether it was heard. If not, it finds out by the end of the lease.
        """
        clock = asyncio.get_running_loop().time
        while True:
            try:
                await tell()
                return True
            except UnavailableError as error:
                if clock() + _PAUSE > self._confirmed + self.seconds:
                    log.warning("job %s: the queue does not hear of it: %s", self._job_id, error)
                    return False
            await asyncio.sleep(_PAUSE)
