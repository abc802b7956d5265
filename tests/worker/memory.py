"""
What workers need of JetStream, in memory and with an outage whenever a test wants one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from siger.jobs.errors import ConflictError
from siger.jobs.events import Event
from siger.messaging.errors import UnavailableError
from siger.worker.store import Entry, Store

__all__ = ["MemoryStore", "run"]

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """
    Carry out something asynchronous that is over soon, on a loop of its own.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(work, 10))
    finally:
        loop.close()


class MemoryStore(Store):
    """
    One log and its queue.

    @ivar away: whether nothing can be reached.
    @ivar lose: how many acknowledgements of entries are going to be lost.
    @ivar told: what the queue was told.
    """

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.away = False
        self.lose = 0
        self.ordered = False
        self.told: list[tuple[object, ...]] = []

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("away")

    def add(self, event: Event | bytes) -> None:
        """
        An entry of somebody else's.
        """
        content = event if isinstance(event, bytes) else event.to_json()
        self.log.append(Entry(10 + len(self.log), content))

    @property
    def last(self) -> int:
        return self.log[-1].sequence if self.log else 0

    def events(self) -> list[Event]:
        """
        What the log says.
        """
        return [Event.from_json(entry.content) for entry in self.log]

    async def append(self, job_id: str, content: bytes, expected: int) -> int:
        await asyncio.sleep(0)
        self._reach()
        if expected != self.last:
            raise ConflictError("wrong last sequence")
        self.add(content)
        if self.lose:
            self.lose -= 1
            raise UnavailableError("no answer in time")
        return self.last

    async def read(self, job_id: str, after: int = 0) -> list[Entry]:
        await asyncio.sleep(0)
        self._reach()
        return [entry for entry in self.log if entry.sequence > after]

    async def is_cancelled(self, job_id: str) -> bool:
        self._reach()
        return self.ordered

    async def in_progress(self, reply: str, timeout: float) -> None:
        self._reach()
        self.told.append(("+WPI", reply))

    async def acknowledge(self, reply: str) -> None:
        self._reach()
        self.told.append(("+ACK", reply))

    async def give_back(self, reply: str, delay: float = 0.0) -> None:
        self._reach()
        self.told.append(("-NAK", reply, delay))

    async def bury(self, type_: str, job_id: str, content: bytes) -> None:
        self._reach()
        self.told.append(("buried", content))

    async def say_alive(self, job_id: str, content: bytes) -> None:
        self._reach()
