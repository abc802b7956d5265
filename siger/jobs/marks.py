"""
Which jobs are known to be in the queue, without writing that down for each.

A gateway gives rising names to the jobs that it accepts, and each name says which gateway gave it. So one line tells
of all of them, however many: everything below this name is in the queue, but for these few. Each gateway keeps its line
in a bucket that all of them follow, and brings it up to date once a second. What is not below the line of a gateway
that is silent is in doubt, and L{siger.jobs.reconciler} sees to it: after a crash that is what was accepted in the last
second.
"""

from __future__ import annotations

import secrets
from typing import Final

import orjson
from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.messaging.bucket import Bucket, Entry
from siger.messaging.errors import MessagingError

__all__ = ["MARKS_BUCKET", "MARKS_TTL", "MOST", "TICK", "Marks"]

MARKS_BUCKET: Final = "job_marks"
MARKS_TTL: Final = 30 * 86400.0
"""
Seconds that a line is kept after its last change. A job that waits for longer may be put into the queue a second time,
where whoever takes it sees that it has been claimed.
"""

TICK: Final = 1.0
"""Seconds from one change of a line to the next."""

MOST: Final = 1000
"""How many exceptions a line may have: it has to fit into a message. Beyond them it tells of no more jobs."""

_TAG: Final = slice(24, 34)
_LENGTH: Final = 36
_ABOVE_ALL: Final = "~"


@frozen
class _Line:
    """
    @ivar below: every name that sorts below this one is in the queue.
    @ivar but: except these.
    """

    below: str
    but: frozenset[str] = frozenset()

    def covers(self, job_id: str) -> bool:
        return job_id < self.below and job_id not in self.but

    def to_json(self) -> bytes:
        return orjson.dumps({"below": self.below, "but": sorted(self.but)})

    @classmethod
    def from_json(cls, content: bytes) -> _Line:
        said = orjson.loads(content)
        return cls(str(said["below"]), frozenset(map(str, said["but"])))


class Marks:
    """
    The lines of all gateways, and what this one has under way.

    @ivar tag: what the names have in common that this gateway gives: bytes for L{siger.jobs.identifiers.JobIds}.
    """

    log = Logger(namespace="siger.jobs")

    def __init__(self, bucket: Bucket, clock: IReactorTime) -> None:
        self.tag = secrets.token_bytes(5)
        self._name = self.tag.hex()
        self._bucket = bucket
        self._lines: dict[str, _Line] = {}
        self._under_way: dict[str, None] = {}
        self._doubtful: set[str] = set()
        self._last = ""
        self._written: _Line | None = None
        self._mirror = bucket.mirror(self._heard)
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    def start(self) -> None:
        """
        Follow others, and keep our own line.
        """
        self._mirror.start()
        self._loop.start(TICK, now=False)

    def stop(self) -> Deferred[None]:
        """
        Follow no more.

        @return: fires when our line is as it is to stay.
        """
        if self._loop.running:
            self._loop.stop()
        self._mirror.stop()
        return self._tick() or succeed(None)

    # Our own jobs.

    def begin(self, job_id: str) -> None:
        """
        A job of ours, whose name is above all others, is on its way to the queue.
        """
        self._under_way[job_id] = None
        self._last = job_id

    def end(self, job_id: str, doubtful: bool = False) -> None:
        """
        It is there, or refused for good; or nobody knows.
        """
        if doubtful:
            self._doubtful.add(job_id)
        del self._under_way[job_id]

    def settle(self, job_id: str) -> None:
        """
        What was in doubt is no longer.
        """
        self._doubtful.discard(job_id)

    @property
    def doubts(self) -> list[str]:
        """
        Those of ours that may not be in the queue.
        """
        return list(self._doubtful)

    # Everybody's.

    def covers(self, job_id: str) -> bool:
        """
        Whether a job is known to be in the queue, or was refused, if there was no doubt about it.
        """
        if len(job_id) != _LENGTH:
            return False
        name = job_id[_TAG]
        if name == self._name:
            return job_id <= self._last and job_id not in self._under_way and job_id not in self._doubtful
        line = self._lines.get(name)
        return line is not None and line.covers(job_id)

    def _line(self) -> _Line:
        below = next(iter(self._under_way), None) or self._last + _ABOVE_ALL
        doubts = sorted(self._doubtful)
        return _Line(min([below, *doubts[MOST : MOST + 1]]), frozenset(doubts[:MOST]))

    def _tick(self) -> Deferred[None] | None:
        line = self._line()
        if line == self._written or not self._last:
            return None

        def written(_: int) -> None:
            self._written = line

        def failed(failure: Failure) -> None:
            failure.trap(MessagingError)  # whatever it is: this goes on as long as the gateway

        return self._bucket.put(self._name, line.to_json()).addCallbacks(written, failed)

    def _heard(self, entry: Entry) -> None:
        if entry.value is None:
            self._lines.pop(entry.key, None)
            return
        try:
            self._lines[entry.key] = _Line.from_json(entry.value)
        except (orjson.JSONDecodeError, KeyError, TypeError):
            self.log.error("the mark of gateway {name} is broken", name=entry.key)
