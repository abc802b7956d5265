"""
What is known of every job without reading its record: enough to find, count and order them.

A gateway may know a hundred thousand jobs and more. Their records stay as they came, in bytes, of which many fit into
little memory; only what jobs are looked for by is kept apart, and texts that many have in common are kept once.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import takewhile
from sys import intern
from typing import Final

from attrs import define, frozen

from siger.jobs.model import LANES, Job
from siger.jobs.ordering import Key, Ordered
from siger.jobs.query import Query

__all__ = ["Counts", "Index", "Row"]

_RUNNING: Final = ("processing", "cancelling")


@frozen
class Row:
    """
    What is known of a job.

    @ivar key: when it was submitted, and its name.
    """

    key: Key
    user_id: str
    type: str
    status: str
    lane: str
    tags: tuple[str, ...]
    gpu_count: int

    @property
    def submitted_at(self) -> str:
        """
        When it was submitted.
        """
        return self.key[0]

    @property
    def job_id(self) -> str:
        """
        Its name.
        """
        return self.key[1]

    @classmethod
    def of(cls, job: Job, job_id: str) -> Row:
        """
        What is to be known of a job.

        @param job_id: its name, as the text that is kept anyway.
        """
        return cls(
            (job.submitted_at, job_id),
            intern(job.user_id),
            intern(job.type),
            intern(job.status),
            job.lane,
            tuple(map(intern, job.tags)),
            job.gpu_count,
        )


@define
class Counts:
    """
    What a user has.

    @ivar queued: jobs that wait for their first attempt.
    @ivar running: jobs that run, or will again.
    @ivar gpus: GPUs that all of those use, or will.
    @ivar kept: all jobs, those that have ended included.
    """

    queued: int = 0
    running: int = 0
    gpus: int = 0
    kept: int = 0

    def add(self, row: Row, sign: int) -> None:
        """
        Count a job, or with -1 count it no longer.
        """
        self.kept += sign
        if row.status == "queued":
            self.queued += sign
        elif row.status in _RUNNING:
            self.running += sign
        else:
            return
        self.gpus += sign * row.gpu_count


class Index:
    """
    All jobs.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._all = Ordered()
        self._groups: dict[tuple[str, str], Ordered] = {}
        self._queues: dict[tuple[str, str], Ordered] = {}
        self._counts: dict[str, Counts] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: Row) -> None:
        """
        Take in a job, in place of what was known of it.
        """
        known = self._rows.get(row.job_id)
        if known == row:
            return
        if known is not None:
            self._change(known, -1)
        self._rows[row.job_id] = row
        self._change(row, 1)

    def drop(self, job_id: str) -> None:
        """
        Know no more of a job, if anything is known of it.
        """
        row = self._rows.pop(job_id, None)
        if row is not None:
            self._change(row, -1)

    def _change(self, row: Row, sign: int) -> None:
        self._all.add(row.key) if sign > 0 else self._all.remove(row.key)
        for group in (("user", row.user_id), ("type", row.type), ("status", row.status)):
            _member(self._groups, group, row.key, sign)
        if row.status == "queued":
            _member(self._queues, (row.type, row.lane), row.key, sign)
        counts = self._counts.setdefault(row.user_id, Counts())
        counts.add(row, sign)
        if sign < 0 and counts == Counts():
            del self._counts[row.user_id]

    # What is asked of it

    def count(self, status: str) -> int:
        """
        How many jobs are in a state.
        """
        return len(self._groups.get(("status", status), ()))

    def counts(self, user_id: str) -> Counts:
        """
        What a user has.
        """
        return self._counts.get(user_id) or Counts()

    def ahead(self, type_: str, lane: str, key: Key) -> int:
        """
        How many queued jobs of a type run before a job: those of more urgent lanes, and in its own those that were
        submitted before it.
        """
        queues = [self._queues.get((type_, other)) for other in LANES[: LANES.index(lane) + 1]]
        own = queues.pop()
        return sum(len(queue) for queue in queues if queue is not None) + (0 if own is None else own.rank(key))

    def of_status(self, status: str) -> Iterator[str]:
        """
        The names of all jobs in a state, the first submitted first. Meanwhile nothing may change.
        """
        group = self._groups.get(("status", status))
        return iter(()) if group is None else (key[1] for key in group.rising())

    def submitted_before(self, status: str, time: str) -> Iterator[str]:
        """
        Of those the ones that were submitted before a time.
        """
        group = self._groups.get(("status", status), Ordered())
        return (key[1] for key in takewhile(lambda key: key[0] < time, group.rising()))

    def find(self, query: Query, most: int) -> tuple[list[Key], Key | None]:
        """
        A page: the keys of jobs that match a query.

        @param most: how many are looked at. A page ends there, even if it is not full.
        @return: them, and where to go on if there may be more.
        """
        found: list[Key] = []
        last: Key | None = None
        for looked, key in enumerate(self._candidates(query)):
            if query.created_after is not None and key[0] <= query.created_after:
                break
            if looked == most:
                return found, last
            if query.matches(self._rows[key[1]]):
                if len(found) == query.limit:
                    return found, found[-1]
                found.append(key)
            last = key
        return found, None

    def _candidates(self, query: Query) -> Iterator[Key]:
        """
        The smallest part of all jobs in which those of a query are, the newest first.
        """
        before = query.after
        if query.created_before is not None:
            earlier = (query.created_before, "")
            before = earlier if before is None else min(before, earlier)
        parts = min(self._parts(query), key=lambda parts: sum(map(len, parts)))
        if len(parts) == 1:
            return parts[0].falling(before)
        return merge(*(part.falling(before) for part in parts), reverse=True)

    def _parts(self, query: Query) -> Iterator[list[Ordered]]:
        yield [self._all]
        users = frozenset() if query.owner is None else frozenset((query.owner,))
        for kind, words in (("user", users), ("type", query.types), ("status", query.statuses)):
            if words:
                yield [self._groups.get((kind, word), _NONE) for word in words]


_NONE: Final = Ordered()


def _member(groups: dict[tuple[str, str], Ordered], name: tuple[str, str], key: Key, sign: int) -> None:
    """
    Make a key a member of a group, or no longer. Groups without members are forgotten.
    """
    if sign > 0:
        group = groups.get(name)
        if group is None:
            group = groups[name] = Ordered()
        group.add(key)
        return
    group = groups[name]
    group.remove(key)
    if not group:
        del groups[name]
