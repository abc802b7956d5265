"""
The entries that a worker makes in the log of one attempt.

They are written one after the other, each after the acknowledgement of the one before, and they wait here in order
while there is no connection. What waits is bounded: of progress only the last is kept, of lines the latest; what
decides is always kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from siger.jobs.errors import ConflictError
from siger.jobs.events import BY_GATEWAYS, Event
from siger.jobs.members import BrokenError
from siger.jobs.model import TERMINAL
from siger.jobs.times import timestamp
from siger.messaging.errors import UnavailableError
from siger.worker.errors import Superseded
from siger.worker.rate import Rate
from siger.worker.store import Entry, Store

__all__ = ["MAX_LINE", "MAX_WAITING", "Journal"]

log = logging.getLogger("siger.worker")

MAX_LINE: Final = 4096
"""
How many characters of a line are kept.
"""
MAX_WAITING: Final = 1000
"""
How many lines can wait.
"""
LINES_PER_SECOND: Final = 200
#: Seconds between two entries about progress.
PROGRESS_INTERVAL: Final = 0.2
#: Seconds before an entry is tried again.
PAUSE: Final = 0.25


class Journal:
    """
    Writes the log of one attempt.
    """

    def __init__(
        self,
        store: Store,
        job_id: str,
        attempt: int,
        worker: str,
        last: int,
        cancelling: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param last: the sequence of the last entry, which claims the attempt.
        @param cancelling: called when the log turns out to say that the job is to be cancelled.
        """
        self._store = store
        self._job_id = job_id
        self._attempt = attempt
        self._worker = worker
        self._last = last
        self._cancelling = cancelling
        self._lines: deque[tuple[Event, int]] = deque()  # each with the number of lines that it stands for
        self._dropped = 0  # since there were too many in a second
        self._overflowed = 0  # since they waited for too long
        self._rate = Rate(LINES_PER_SECOND, time.monotonic)
        self._progress: Event | None = None
        self._progress_at = 0.0
        self._final: Event | None = None
        self._wake = asyncio.Event()

    # What is said

    def event(self, kind: str, **members: Any) -> Event:
        """
        Something about this attempt.
        """
        return Event(
            job_id=self._job_id,
            event=kind,
            attempt=self._attempt,
            worker=self._worker,
            timestamp=timestamp(time.time()),
            **members,
        )

    def progress(self, percent: int, message: str | None) -> None:
        """
        Say how far it is; only the last word counts.
        """
        self._progress = self.event("progress", progress=percent, message=message)
        self._wake.set()

    def line(self, text: str, level: str = "info") -> None:
        """
        Keep a line, unless there are too many.
        """
        if self._final is not None or not self._rate.take():
            self._dropped += 1
            return
        self._note_dropped()
        self._lines.append((self.event("log", message=_cut(text), level=level), 1))
        while len(self._lines) > MAX_WAITING:
            self._overflowed += self._lines.popleft()[1]
        self._wake.set()

    def _note_dropped(self) -> None:
        if self._dropped:
            self._lines.append((self._note(self._dropped), self._dropped))
            self._dropped = 0

    def _note(self, count: int) -> Event:
        said = "1 line" if count == 1 else f"{count} lines"
        return self.event("log", message=f"{said} dropped", level="error")

    def end(self, **members: Any) -> None:
        """
        Say how it ended. Nothing comes after that.
        """
        self._note_dropped()
        self._final = self.event("status", ended_at=timestamp(time.time()), **members)
        self._wake.set()

    # What is written

    async def write(self) -> None:
        """
        Write until the end is written.

        @raise Superseded: when the attempt is no longer ours.
        """
        while True:
            event = self._next()
            if event is None:
                await self._idle()
                continue
            await self._write(event)
            if event is self._final:
                return

    def _next(self) -> Event | None:
        if self._overflowed:
            count, self._overflowed = self._overflowed, 0
            return self._note(count)
        if self._lines:
            return self._lines.popleft()[0]
        if self._progress is not None and (self._final is not None or self._due() <= 0):
            event, self._progress = self._progress, None
            self._progress_at = time.monotonic()
            return event
        return self._final

    def _due(self) -> float:
        return self._progress_at + PROGRESS_INTERVAL - time.monotonic()

    async def _idle(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(None if self._progress is None else self._due()):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _write(self, event: Event) -> None:
        content = event.to_json()
        while True:
            try:
                self._last = await self._store.append(self._job_id, content, self._last)
                return
            except ConflictError:
                if await self._catch_up(content):
                    return
            except UnavailableError as error:
                log.debug("an entry for job %s waits: %s", self._job_id, error)
                await asyncio.sleep(PAUSE)

    async def _catch_up(self, content: bytes) -> bool:
        """
        Read what others wrote.

        @return: whether our own entry was among it: only its acknowledgement was lost.
        """
        try:
            entries = await self._store.read(self._job_id, self._last)
        except UnavailableError:
            await asyncio.sleep(PAUSE)
            return False
        for entry in entries:
            if entry.content != content:
                self._consider(entry)
            self._last = entry.sequence
        return any(entry.content == content for entry in entries)

    def _consider(self, entry: Entry) -> None:
        try:
            event = Event.from_json(entry.content)
        except BrokenError:
            return
        by_other = event.attempt not in (BY_GATEWAYS, self._attempt) or event.worker not in (None, self._worker)
        if event.attempt == BY_GATEWAYS and event.event == "status":
            if event.status in TERMINAL:
                raise Superseded(ended=True)
            if event.status == "cancelling":
                self._cancelling()
        elif by_other and event.attempt >= self._attempt:
            raise Superseded(ended=event.event == "status" and event.status in TERMINAL)


def _cut(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")  # half of a surrogate pair cannot be written down
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"
