"""
The records of jobs: a bucket that all gateways share, and all of it in memory.

Writes go to the bucket and name the revision that they replace (row K10). Reads come from memory, so they cost nothing
and go on while NATS is away. What is in memory is each record as it came, in bytes, and a row of the index. A job is
made of the bytes when somebody wants one; the last few of them are kept.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from siger.jobs.errors import ConflictError, UnknownJobError
from siger.jobs.index import Counts, Index, Row
from siger.jobs.live import Listeners
from siger.jobs.model import STATES, TERMINAL, BrokenError, Job
from siger.jobs.ordering import Key
from siger.jobs.query import Query, cursor_of_key
from siger.messaging.bucket import Bucket, Entry
from siger.messaging.errors import RevisionError

__all__ = ["Records"]

_log = Logger()

#: How often a change is tried that others come before.
_TRIES: Final = 20
#: How many jobs one page may look at, which is some milliseconds.
_MOST: Final = 20_000
#: How many bytes of records one page may read, which is as long, if there is more than one.
_MOST_BYTES: Final = 1024 * 1024
#: How many jobs are kept as such, and how long their records may be.
_READ: Final = 1000
_SHORT: Final = 8192

Change = Callable[[Job], Job]


class Records:
    """
    All records.

    @ivar broken: how many could not be read.
    """

    def __init__(self, bucket: Bucket) -> None:
        """
        @param bucket: L{RECORDS_BUCKET<siger.jobs.streams.RECORDS_BUCKET>}.
        """
        self.broken = 0
        self._bucket = bucket
        self._index = Index()
        self._listeners = Listeners()
        self._read: dict[str, tuple[int, Job]] = {}
        self._mirror = bucket.mirror(self._heard)

    def __len__(self) -> int:
        return len(self._index)

    # Beginning and end

    def start(self) -> None:
        """
        Begin to follow the bucket.
        """
        self._mirror.start()

    def stop(self) -> None:
        """
        Follow no longer. What is known stays readable.
        """
        self._mirror.stop()

    @property
    def current(self) -> bool:
        """
        Whether everything has been read once.
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
        Fire once everything has been read.
        """
        return self._mirror.when_current()

    def on_change(self, callback: Callable[[Job], object]) -> Callable[[], None]:
        """
        Have a function called with each new or changed record.

        @return: ends that.
        """
        return self._listeners.add(callback)

    # What is known

    def get(self, job_id: str) -> Job | None:
        """
        A record, as far as it is known here.
        """
        known = self._known(job_id)
        return None if known is None else known[0]

    def revision(self, job_id: str) -> int:
        """
        Which of its versions that is; 0 for none.
        """
        entry = self._mirror.entries.get(job_id)
        return 0 if entry is None else entry.revision

    def all(self) -> Iterator[Job]:
        """
        Every record, in no order. Meanwhile nothing may change. It takes long where there are many: those that have
        not ended are found faster by their states.
        """
        return self.of_status(*STATES)

    def of_status(self, *statuses: str) -> Iterator[Job]:
        """
        All records in these states. Meanwhile nothing may change.
        """
        return self._jobs(job_id for status in statuses for job_id in self._index.of_status(status))

    def ended_before(self, time: str, most: int) -> builtins.list[str]:
        """
        The names of jobs that ended before a time, some of them if there are many.

        @param time: in the form of L{siger.jobs.times}.
        """
        found: builtins.list[str] = []
        for status in sorted(TERMINAL):
            for job in self._jobs(self._index.submitted_before(status, time)):
                if len(found) == most:
                    return found
                if (job.ended_at or job.updated_at) < time:
                    found.append(job.job_id)
        return found

    def list(self, query: Query) -> tuple[builtins.list[Job], str | None]:
        """
        A page of the jobs that match a query, and the cursor for the next. A page may be short, or even empty, although
        there are more: nobody's filter keeps others waiting.
        """
        keys, end = self._index.find(query, _MOST)
        some = self._readable(keys)
        if len(some) < len(keys):
            end = some[-1]
        return builtins.list(self._jobs(key[1] for key in some)), None if end is None else cursor_of_key(end)

    def _readable(self, keys: builtins.list[Key]) -> builtins.list[Key]:
        """
        The first of some jobs, as many as can be read at once.
        """
        size = 0
        for count, key in enumerate(keys):
            entry = self._mirror.entries.get(key[1])
            size += 0 if entry is None or entry.value is None else len(entry.value)
            if count and size > _MOST_BYTES:
                return keys[:count]
        return keys

    def count(self, status: str) -> int:
        """
        How many jobs are in a state.
        """
        return self._index.count(status)

    def counts(self, user_id: str) -> Counts:
        """
        What a user has.
        """
        return self._index.counts(user_id)

    def ahead(self, job: Job) -> int:
        """
        How many queued jobs come before one, which need not be known.
        """
        return self._index.ahead(job.type, job.lane, job.key)

    def _jobs(self, job_ids: Iterator[str]) -> Iterator[Job]:
        return (known[0] for known in map(self._known, job_ids) if known is not None)

    def _known(self, job_id: str) -> tuple[Job, int] | None:
        entry = self._mirror.entries.get(job_id)
        job = None if entry is None else self._job(entry)
        return None if job is None or entry is None else (job, entry.revision)

    # What is written

    def fetch(self, job_id: str) -> Deferred[Job | None]:
        """
        A record, as the bucket has it.
        """

        async def fetch() -> Job | None:
            known = await self._fetch(job_id)
            return None if known is None else known[0]

        return Deferred.fromCoroutine(fetch())

    def create(self, job: Job) -> Deferred[int]:
        """
        Write a new record.

        @return: its revision; or L{KeyExistsError<siger.messaging.errors.KeyExistsError>}.
        """
        content = job.to_json()

        def created(revision: int) -> int:
            self._take(job, content, revision)
            return revision

        return self._bucket.create(job.job_id, content).addCallback(created)

    def change(self, job_id: str, change: Change, tries: int = _TRIES) -> Deferred[Job]:
        """
        Change a record, again and again while others come before.

        @param change: given the record returns what it is to be; the same object if it is right already.
        @return: the record then; or L{UnknownJobError}; or L{ConflictError} when it was tried too often.
        """
        return Deferred.fromCoroutine(self._change(job_id, change, tries))

    async def _change(self, job_id: str, change: Change, tries: int) -> Job:
        known = self._known(job_id)
        for _ in range(tries):
            known = known or await self._fetch(job_id)
            if known is None:
                raise UnknownJobError(job_id)
            job, revision = known
            changed = change(job)
            if changed is job:
                return job
            content = changed.to_json()
            try:
                revision = await self._bucket.update(job_id, content, revision)
            except RevisionError:
                known = None
            else:
                self._take(changed, content, revision)
                return changed
        raise ConflictError(job_id)

    def remove(self, job_id: str) -> Deferred[None]:
        """
        Take a record away, as it is known here; or L{RevisionError<siger.messaging.errors.RevisionError>} when it has
        changed.
        """
        return self._bucket.delete(job_id, self.revision(job_id) or None)

    async def _fetch(self, job_id: str) -> tuple[Job, int] | None:
        entry = await self._bucket.get(job_id)
        if entry is None:
            return None
        self._mirror.apply(entry)
        job = self._job(entry)
        return None if job is None else (job, entry.revision)

    def _take(self, job: Job, content: bytes, revision: int) -> None:
        self._keep(job, len(content), revision)
        # A copy: orjson's own bytes keep the room of some kilobytes in which they were made.
        self._mirror.apply(Entry(job.job_id, bytes(memoryview(content)), revision))

    # What comes

    def _heard(self, entry: Entry) -> None:
        job = None if entry.value is None else self._job(entry)
        if job is None:
            self._read.pop(entry.key, None)
            self._index.drop(entry.key)
        else:
            self._index.put(Row.of(job, entry.key))
            self._listeners.tell(job)

    def _job(self, entry: Entry) -> Job | None:
        """
        What the bytes of a record say; C{None} for those that say nothing.
        """
        read = self._read.get(entry.key)
        if read is not None and read[0] == entry.revision:
            return read[1]
        content = entry.value or b""
        try:
            job = Job.from_json(content)
            if job.job_id != entry.key:
                raise BrokenError("it is another job's")
        except BrokenError as error:
            self.broken += 1
            _log.error("the record of job {job_id} is broken: {error}", job_id=entry.key, error=error)
            return None
        self._keep(job, len(content), entry.revision)
        return job

    def _keep(self, job: Job, length: int, revision: int) -> None:
        self._read.pop(job.job_id, None)
        if length <= _SHORT:
            self._read[job.job_id] = (revision, job)
            if len(self._read) > _READ:
                del self._read[next(iter(self._read))]
