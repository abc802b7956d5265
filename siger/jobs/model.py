"""
A job as it is written down: what was submitted, and how far it has come.

The record is no truth of its own. It is the submission and what L{siger.jobs.events} makes of the job's log, so that
anybody who has both comes to the same one.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

import orjson
from attrs import field, fields_dict, frozen

from siger.jobs.identifiers import is_job_id
from siger.jobs.members import MAX_DEPTH, BrokenError, Members, deeper, read_object
from siger.jobs.times import is_canonical

__all__ = [
    "BETWEEN",
    "LANES",
    "MAX_RESULT",
    "STATES",
    "SUBMITTED",
    "TERMINAL",
    "BrokenError",
    "Job",
    "bounded_result",
    "lane",
]

STATES: Final = ("queued", "processing", "cancelling", "completed", "failed", "cancelled")
TERMINAL: Final = frozenset(("completed", "failed", "cancelled"))
LANES: Final = ("high", "normal", "low")
"""
The queues of a type, the most urgent first.
"""
BETWEEN: Final = ("", "retry", "returned")
"""
What C{Job.between} can be.
"""
SUBMITTED: Final = "Job submitted successfully"
MAX_RESULT: Final = 256 * 1024
"""
The longest result that a record keeps, in bytes of JSON. With the parameters, as long at most, it fits into a message.
"""

_LARGEST: Final = 2**63 - 1
_TEXTS: Final = ("user_id", "username", "type", "name", "description", "gpu_type", "message")
_MAYBE: Final = ("worker", "started_at", "ended_at", "error")
_HIDDEN: Final = ("published", "between")


def lane(priority: int) -> str:
    """
    The queue for a priority of 0 to 10.
    """
    return "high" if priority >= 7 else "normal" if priority >= 3 else "low"


def bounded_result(result: object) -> bool:
    """
    Whether a record can keep it: a worker's result must not make a record that cannot be written.
    """
    if deeper(result, MAX_DEPTH):
        return False
    try:
        return len(orjson.dumps(result)) <= MAX_RESULT
    except (orjson.JSONEncodeError, RecursionError):
        return False


@frozen
class Job:
    """
    A job.

    @ivar priority: 0 to 10, the most urgent.
    @ivar params: the worker's business alone.
    @ivar max_retries: how many attempts there may be after the first.
    @ivar timeout: seconds for one attempt, or 0.
    @ivar status: one of L{STATES}.
    @ivar progress: 0 to 100, of the attempt that runs or ran last.
    @ivar attempts: the number of that attempt; 0 before the first.
    @ivar worker: who makes it, or made it.
    @ivar submitted_at: a time in the form of L{siger.jobs.times}, as C{updated_at}.
    @ivar started_at: when the first attempt began; C{None} before.
    @ivar result: whatever a completed job came to.
    @ivar event_seq: the sequence of the last event that changed the record.
    @ivar published: whether the job is known to be in the queue.
    @ivar between: C{""}, or why no attempt runs although there was one and another will come: C{retry} (it failed) or
        C{returned} (its worker went away orderly, and the next takes over its number).
    """

    job_id: str
    user_id: str
    username: str
    type: str
    name: str
    description: str = ""
    gpu_type: str = "any"
    gpu_count: int = 1
    priority: int = 5
    params: dict[str, Any] = field(factory=dict, hash=False)
    tags: tuple[str, ...] = ()
    max_retries: int = 2
    timeout: int = 0
    status: str = "queued"
    message: str = SUBMITTED
    progress: int = 0
    attempts: int = 0
    worker: str | None = None
    submitted_at: str = "1970-01-01T00:00:00.000Z"
    started_at: str | None = None
    ended_at: str | None = None
    updated_at: str = "1970-01-01T00:00:00.000Z"
    result: object = field(default=None, hash=False)
    error: str | None = None
    event_seq: int = 0
    published: bool = False
    between: str = ""

    @property
    def terminal(self) -> bool:
        """
        Whether it has ended, and stays so.
        """
        return self.status in TERMINAL

    @property
    def running(self) -> bool:
        """
        Whether an attempt is being made, as far as the log says.
        """
        return self.attempts > 0 and not self.between and not self.terminal

    @property
    def lane(self) -> str:
        """
        The queue that it is in.
        """
        return lane(self.priority)

    @property
    def key(self) -> tuple[str, str]:
        """
        Its place among all jobs, by time.
        """
        return (self.submitted_at, self.job_id)

    def to_json(self) -> bytes:
        """
        Write it down.
        """
        return orjson.dumps(_fields(self))

    @classmethod
    def from_json(cls, content: bytes) -> Job:
        """
        Read what was written down. Members of later versions are passed over.

        @raise BrokenError: it is no job.
        """
        members = read_object(content)
        job = cls(
            job_id=members.text("job_id"),
            **_texts(members),
            **_numbers(members),
            params=members.mapping("params"),
            tags=members.texts("tags"),
            status=members.text("status"),
            submitted_at=members.text("submitted_at"),
            updated_at=members.text("updated_at"),
            result=members.found.get("result"),
            published=members.flag("published"),
            between=members.text("between", ""),
        )
        _check(job)
        return job

    def public(self) -> dict[str, Any]:
        """
        What its owner sees of it: all but what is about the bookkeeping.
        """
        fields = _fields(self)
        for name in _HIDDEN:
            del fields[name]
        return fields


_NAMES: Final = tuple(fields_dict(Job))
_values: Final = attrgetter(*_NAMES)


def _fields(job: Job) -> dict[str, Any]:
    fields = dict(zip(_NAMES, _values(job), strict=True))
    fields["tags"] = list(job.tags)
    return fields


def _texts(members: Members) -> dict[str, Any]:
    found: dict[str, Any] = {name: members.text(name) for name in _TEXTS}
    return found | {name: members.maybe_text(name) for name in _MAYBE}


def _numbers(members: Members) -> dict[str, Any]:
    bounds = {"priority": 10, "progress": 100}
    names = ("gpu_count", "priority", "max_retries", "timeout", "progress", "attempts", "event_seq")
    return {name: members.integer(name, 0, bounds.get(name, _LARGEST)) for name in names}


def _check(job: Job) -> None:
    """
    What cannot be said by the kind of one member alone.
    """
    if not is_job_id(job.job_id):
        raise BrokenError("job_id is no name of a job")
    if job.status not in STATES:
        raise BrokenError("status is no state of a job")
    if job.between not in BETWEEN:
        raise BrokenError("between is no such word")
    if not is_canonical(job.submitted_at) or not is_canonical(job.updated_at):
        raise BrokenError("submitted_at or updated_at is no time")
    if not bounded_result(job.result):
        raise BrokenError("result is too large or too deep")
