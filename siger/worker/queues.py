"""
The queues that a worker takes jobs from: one for each type and lane, asked as long as there is room.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from siger.jobs.model import LANES
from siger.messaging.errors import UnavailableError
from siger.worker.connection import Connection
from siger.worker.dispatch import Dispatcher
from siger.worker.lanes import Rounds
from siger.worker.pulse import Pulse, now
from siger.worker.store import Store
from siger.worker.taking import Puller

__all__ = ["Queues"]

log = logging.getLogger("siger.worker")

#: Seconds before something is tried again that did not work.
_PAUSE: Final = 1.0
#: Seconds after which it is looked again whether the queue is as it should be, and has the same lease.
_CHECK: Final = 60.0
#: Seconds that one answer may take, at most.
_IDLE: Final = 40.0


class Queues:
    """
    Takes jobs, and has them dispatched.
    """

    def __init__(
        self, connection: Connection, store: Store, types: Sequence[str], pulse: Pulse, dispatcher: Dispatcher
    ) -> None:
        """
        @param pulse: has the lease for queues that do not exist yet, and hears of that which holds.
        """
        self._connection = connection
        self._store = store
        self._types = types
        self._pulse = pulse
        self._lease = pulse.lease
        self._dispatcher = dispatcher
        dispatcher.on_room.append(self.wake)
        self._pullers = {
            (type_, lane): Puller(connection, type_, lane, dispatcher.arrived, self.wake)
            for type_ in types
            for lane in LANES
        }
        self._rounds = Rounds(types)
        self._prepared = self._prepared_at = -1.0
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """
        Something may be different: ask again.
        """
        self._changed.set()

    async def connect(self) -> None:
        """
        Begin on a new connection.
        """
        for puller in self._pullers.values():
            await puller.connect()

    async def stop(self) -> None:
        """
        Take all questions back.
        """
        await asyncio.gather(*(puller.stop() for puller in self._pullers.values()))

    async def take(self) -> None:
        """
        Take jobs until cancelled.
        """
        while True:
            try:
                await self._connection.wait()
                await self._prepare()
                await self._round()
            except UnavailableError as error:
                log.debug("no jobs: %s", error)
                await asyncio.sleep(_PAUSE)

    async def _prepare(self) -> None:
        """
        See for each connection, when it seems necessary, and now and then, that there is something to take from.
        """
        broken = [puller for puller in self._pullers.values() if puller.broken]
        fresh = self._prepared == self._connection.since and now() - self._prepared_at < _CHECK
        if fresh and not broken:
            return
        if broken:
            await asyncio.sleep(_PAUSE)
        since = self._connection.since
        self._pulse.lease = await self._store.prepare(self._types, self._lease)
        if self._pulse.lease != self._lease:
            log.info("the queue's lease is %g s", self._pulse.lease)
        for puller in broken:
            puller.broken = False
        self._prepared, self._prepared_at = since, now()

    async def _round(self) -> None:
        self._changed.clear()
        if not self._dispatcher.room:
            await self._changed.wait()
            return
        await asyncio.sleep(max(0.0, self._dispatcher.hold_until - now()))
        for place in self._rounds.next():
            if not self._dispatcher.room:
                return
            puller = self._pullers[place]
            if not puller.open and await puller.now():
                return
        await self._wait()

    async def _wait(self) -> None:
        """
        Have all answer as soon as there is something, and wait for any answer, or for the longest that one may take.
        """
        for puller in self._pullers.values():
            await puller.wait()
        broken = any(puller.broken for puller in self._pullers.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE if broken else _IDLE):
                await self._changed.wait()
