"""
Where jobs are kept, in memory: for tests of everything above it. Several gateways share one L{MemoryStore}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed

from siger.jobs.errors import ConflictError, FullError, UnknownJobError
from siger.jobs.events import Event
from siger.jobs.model import Job
from siger.jobs.query import Query, cursor_of
from siger.jobs.streams import submit_subject
from siger.messaging.errors import UnavailableError
from siger.messaging.mirror import Entry
from tests.messaging.memory_bucket import MemoryBucket

__all__ = ["Counts", "MemoryBroker", "MemoryRecords", "MemoryStore"]

T = TypeVar("T")


@frozen
class Counts:
    """
    What a user has.
    """

    queued: int = 0
    running: int = 0
    gpus: int = 0
    kept: int = 0


class MemoryStore:
    """
    The server.

    @ivar queue: the messages that make jobs run: the subject, what they say, and their name.
    @ivar logs: of each job its entries with their sequences.
    @ivar orders: for workers.
    @ivar dead: what failed for good, with the reason.
    @ivar full: the queue takes no more.
    @ivar silent: what is published is stored, but its writer does not hear so.
    """

    def __init__(self) -> None:
        self.records = MemoryBucket("jobs")
        self.keys = MemoryBucket("job_keys")
        self.marks = MemoryBucket("job_marks")
        self.queue: list[tuple[str, bytes, str]] = []
        self.logs: dict[str, list[tuple[int, Event]]] = {}
        self.orders: list[tuple[str, str]] = []
        self.dead: list[tuple[Job, str]] = []
        self.full = self.silent = False
        self.sequence = 0
        self._available = True

    @property
    def available(self) -> bool:
        return self._available

    @available.setter
    def available(self, available: bool) -> None:
        self._available = self.records.available = self.keys.available = available
        self.marks.available = available

    def say(self, event: Event) -> int:
        """
        Add to a log, as a worker does.
        """
        self.sequence += 1
        self.logs.setdefault(event.job_id, []).append((self.sequence, event))
        return self.sequence


class MemoryBroker:
    """
    A gateway's broker. Deferreds have fired when they are returned, but for what is held.

    @ivar held: what is published as a job waits in here to be acknowledged, if it is a list.
    """

    connected = property(lambda self: self._store.available)
    max_payload = 1024 * 1024

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.held: list[Callable[[], None]] | None = None
        self.alive: list[Callable[[str, int], object]] = []

    def _do(self, work: Callable[[], T]) -> Deferred[T]:
        if not self._store.available:
            return fail(UnavailableError("the store is away"))
        try:
            result = work()
        except Exception as error:
            return fail(error)
        if self._store.silent:
            return fail(UnavailableError("no answer in time"))
        return succeed(result)

    def publish_job(self, submission: bytes, type_: str, lane: str, job_id: str) -> Deferred[int]:
        def publish() -> int:
            if self._store.full:
                raise FullError("no room")
            if all(name != job_id for _, _, name in self._store.queue):
                self._store.queue.append((submit_subject(type_, lane), submission, job_id))
            return len(self._store.queue)

        if self.held is None:
            return self._do(publish)
        answer: Deferred[int] = Deferred()
        self.held.append(lambda: self._do(publish).chainDeferred(answer))
        return answer

    def publish_event(self, event: Event, expected: int | None = None) -> Deferred[int]:
        def publish() -> int:
            log = self._store.logs.get(event.job_id) or [(0, None)]
            if expected is not None and expected != log[-1][0]:
                raise ConflictError("another came first")
            return self._store.say(Event.from_json(event.to_json()))

        return self._do(publish)

    def publish_control(self, job_id: str, action: str) -> Deferred[int]:
        def publish() -> int:
            self._store.orders.append((job_id, action))
            return len(self._store.orders)

        return self._do(publish)

    def publish_dead(self, job: Job, reason: str) -> Deferred[int]:
        def publish() -> int:
            self._store.dead.append((job, reason))
            return len(self._store.dead)

        return self._do(publish)

    def last_event(self, job_id: str) -> Deferred[tuple[Event, int] | None]:
        def last() -> tuple[Event, int] | None:
            log = self._store.logs.get(job_id)
            return None if log is None else (log[-1][1], log[-1][0])

        return self._do(last)

    def read_events(
        self, job_id: str, after: int, limit: int = 100, at_least: int | None = None
    ) -> Deferred[list[tuple[int, Event]]]:
        return self._do(lambda: [each for each in self._store.logs.get(job_id, []) if each[0] > after][:limit])

    def on_alive(self, callback: Callable[[str, int], object]) -> Callable[[], None]:
        self.alive.append(callback)
        return lambda: self.alive.remove(callback)


class MemoryRecords:
    """
    A gateway's records.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._bucket = store.records
        self._jobs: dict[str, Job] = {}
        self._listeners: list[Callable[[Job], object]] = []
        self.mirror = store.records.mirror(self._taken)

    def start(self) -> None:
        """
        Begin to follow.
        """
        self.mirror.start()

    def _taken(self, entry: Entry) -> None:
        if entry.value is None:
            self._jobs.pop(entry.key, None)
            return
        job = self._jobs[entry.key] = Job.from_json(entry.value)
        for listener in list(self._listeners):
            listener(job)

    current = property(lambda self: self.mirror.current)
    stale = property(lambda self: self.mirror.stale)

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def fetch(self, job_id: str) -> Deferred[Job | None]:
        def read(entry: Entry | None) -> Job | None:
            return None if entry is None or entry.value is None else Job.from_json(entry.value)

        return self._bucket.get(job_id).addCallback(read)

    def create(self, job: Job) -> Deferred[int]:
        return self._bucket.create(job.job_id, job.to_json()).addCallback(self._apply, job)

    def _apply(self, revision: int, job: Job) -> Any:
        self.mirror.apply(Entry(job.job_id, job.to_json(), revision))
        return revision

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Deferred[Job]:
        def changed(entry: Entry | None) -> Any:
            if entry is None or entry.value is None:
                raise UnknownJobError(job_id)
            old = Job.from_json(entry.value)
            new = change(old)
            if new is old:
                return old
            return self._bucket.update(job_id, new.to_json(), entry.revision).addCallback(lambda _: new)

        return self._bucket.get(job_id).addCallback(changed)

    def remove(self, job_id: str) -> Deferred[None]:
        return self._bucket.delete(job_id)

    def list(self, query: Query) -> tuple[Any, str | None]:
        found = sorted(filter(query.matches, self._jobs.values()), key=lambda job: job.key, reverse=True)
        page = [job for job in found if query.reaches(job)]
        more = len(page) > query.limit
        page = page[: query.limit]
        return page, cursor_of(page[-1]) if more else None

    def counts(self, user_id: str) -> Counts:
        kept = [job for job in self._jobs.values() if job.user_id == user_id]
        jobs = [job for job in kept if not job.terminal]
        running = [job for job in jobs if job.status != "queued"]
        return Counts(len(jobs) - len(running), len(running), sum(job.gpu_count for job in jobs), len(kept))

    def ahead(self, job: Job) -> int:
        same = [
            each
            for each in self._jobs.values()
            if (each.status, each.type, each.lane) == ("queued", job.type, job.lane)
        ]
        return sum(each.key < job.key for each in same)

    def on_change(self, callback: Callable[[Job], object]) -> Callable[[], None]:
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def all(self) -> Iterable[Job]:
        return list(self._jobs.values())

    def ended_before(self, time: str, most: int) -> Any:
        ended = [job for job in self._jobs.values() if job.terminal and (job.ended_at or job.updated_at) < time]
        return [job.job_id for job in ended][:most]
