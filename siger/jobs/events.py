"""
The log of a job: what its events are, and what they make of its record.

The log decides, the record only shows it. So whatever comes twice, late or from a worker that was given up long ago,
the record has to come out the same: states go one way, and what has ended has ended (row K10).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson
from attrs import evolve, field, fields_dict, frozen

from siger.jobs.identifiers import is_job_id
from siger.jobs.members import MAX_DEPTH, BrokenError, Members, deeper, read_object
from siger.jobs.model import TERMINAL, Job, bounded_result
from siger.jobs.times import canonical

__all__ = [
    "BY_GATEWAYS",
    "CANCELLATION",
    "MAX_ERROR",
    "MAX_MESSAGE",
    "Event",
    "fold",
    "is_stale",
    "next_attempt",
    "replay",
]

CANCELLATION: Final = "Job cancellation requested"
BY_GATEWAYS: Final = 0
"""
The attempt of events that are none of a worker's.
"""
MAX_MESSAGE: Final = 2000
MAX_ERROR: Final = 8000
"""
How many characters of a message and of an error a record keeps.
"""

_LARGEST: Final = 2**31 - 1
_ENDS: Final = {"completed": "Job completed", "failed": "Job failed", "cancelled": "Job cancelled"}
_TOO_LATE: Final = {
    "completed": "Job was completed before it could be cancelled",
    "failed": "Job failed before it could be cancelled",
    "cancelled": "Job cancelled",
}
_STATUSES_OF_GATEWAYS: Final = ("cancelling", "cancelled", "failed")
_STATUSES_OF_WORKERS: Final = ("processing", "retrying", "completed", "failed", "cancelled")


@frozen
class Event:
    """
    One entry of a log.

    @ivar event: C{status}, C{progress} or C{log}; others, of later versions, mean nothing.
    @ivar attempt: which attempt it is about; L{BY_GATEWAYS} when a gateway says it.
    @ivar timestamp: a time in the form of L{siger.jobs.times}.
    @ivar status: of a C{status} event. C{processing} claims the attempt; C{retrying} ends it, with another to come.
    @ivar returned: of C{retrying}: the attempt was handed back and does not count; the next has the same number.
    """

    job_id: str
    event: str
    attempt: int
    timestamp: str
    worker: str | None = None
    status: str | None = None
    message: str | None = None
    progress: int | None = None
    started_at: str | None = None
    ended_at: str | None = None
    result: object = field(default=None, hash=False)
    error: str | None = None
    level: str | None = None
    returned: bool = False

    def to_json(self) -> bytes:
        """
        Write it down: what says nothing is left out.
        """
        said = {name: getattr(self, name) for name in _NAMES}
        return orjson.dumps({name: value for name, value in said.items() if value is not None and value is not False})

    @classmethod
    def from_json(cls, content: bytes) -> Event:
        """
        Read an event. Members of later versions are passed over.

        @raise BrokenError: it is none.
        """
        members = read_object(content)
        job_id = members.text("job_id")
        if not is_job_id(job_id):
            raise BrokenError("job_id is no name of a job")
        return cls(
            job_id=job_id,
            event=members.text("event"),
            attempt=members.integer("attempt", 0, _LARGEST),
            timestamp=_time(members, "timestamp") or "",
            **{name: members.maybe_text(name) for name in ("worker", "status", "message", "error", "level")},
            progress=None if members.found.get("progress") is None else members.integer("progress", 0, 100),
            started_at=_time(members, "started_at"),
            ended_at=_time(members, "ended_at"),
            result=_result(members),
            returned=members.flag("returned", False),
        )


_NAMES: Final = tuple(fields_dict(Event))


def _time(members: Members, name: str) -> str | None:
    if name != "timestamp" and members.found.get(name) is None:
        return None
    try:
        return canonical(members.text(name))
    except ValueError as error:
        raise BrokenError(f"{name} is no time") from error


def _result(members: Members) -> object:
    """
    A result, unless it is so deep that it could not be passed on. To lose it is less than to lose that the job ended.
    """
    result: object = members.found.get("result")
    return None if deeper(result, MAX_DEPTH) else result


def fold(job: Job, event: Event, sequence: int) -> Job:
    """
    What an event makes of a record. The events of a job should come in the order of its log; one that comes again, or
    after a later one, is passed over, but for what is for good.

    @param sequence: where it stands in the stream.
    @return: the very same object if it changes nothing.
    """
    if job.terminal or event.job_id != job.job_id or is_stale(job, event):
        return job
    if sequence <= job.event_seq and not _is_final(event):
        return job
    changes = _changes(job, event)
    if all(getattr(job, name) == value for name, value in changes.items()):
        return job
    newest = max(job.event_seq, sequence)
    return evolve(job, **changes, event_seq=newest, updated_at=max(job.updated_at, event.timestamp))


def replay(job: Job, log: Iterable[tuple[int, Event]]) -> Job:
    """
    What a log, or a part of one, makes of a record.

    @param log: sequences with their events.
    """
    for sequence, event in log:
        job = fold(job, event, sequence)
    return job


def _is_final(event: Event) -> bool:
    """
    Whether an event is for good. A record that does not show it has not seen it, so however late it comes, it counts:
    two gateways that take entries of one log at the same time must not lose that it ended.
    """
    return event.event == "status" and (event.status in TERMINAL or event.status == "cancelling")


def is_stale(job: Job, event: Event) -> bool:
    """
    Whether an event comes from a worker whose attempt is over, since the job went on to another.
    """
    return event.attempt != BY_GATEWAYS and event.attempt < job.attempts


def next_attempt(job: Job) -> int:
    """
    The number under which the next worker has to claim a job.
    """
    return job.attempts if job.between == "returned" else job.attempts + 1


def _changes(job: Job, event: Event) -> dict[str, Any]:
    """
    The fields that an event sets. Those that it sets to what they are already do no harm.
    """
    if event.event == "status" and event.attempt == BY_GATEWAYS:
        return _by_gateway(job, event) if event.status in _STATUSES_OF_GATEWAYS else {}
    if event.attempt == BY_GATEWAYS:
        return {}
    if event.event == "status" and event.status in _STATUSES_OF_WORKERS:
        return _implied(job, event) | _by_worker(job, event)
    if event.event == "progress":
        return _implied(job, event) | _progress(job, event)
    return _implied(job, event) if event.event == "log" else {}


def _by_gateway(job: Job, event: Event) -> dict[str, Any]:
    if event.status != "cancelling":
        return _end(job, event)
    return {} if job.status == "cancelling" else {"status": "cancelling", "message": _message(event, CANCELLATION)}


def _by_worker(job: Job, event: Event) -> dict[str, Any]:
    if event.status == "processing":
        return _claim(job, event)
    if event.status == "retrying":
        return _interlude(job, event)
    return _end(job, event)


def _implied(job: Job, event: Event) -> dict[str, Any]:
    """
    The claim of the attempt that an event is about, if it is not known: whoever works has claimed, even when that
    entry of the log is gone.
    """
    if event.attempt == job.attempts:
        return {}
    return _begin(job, event)


def _claim(job: Job, event: Event) -> dict[str, Any]:
    taken_over = event.attempt == job.attempts and job.between == "returned"
    return _begin(job, event) if taken_over else {}  # one of a new number is implied


def _begin(job: Job, event: Event) -> dict[str, Any]:
    changes = {
        "attempts": event.attempt,
        "worker": event.worker,
        "started_at": job.started_at or event.started_at or event.timestamp,
        "progress": 0,
        "between": "",
        "error": None,
    }
    if job.status == "cancelling":
        return changes
    message = event.message if event.status == "processing" else None
    return changes | {"status": "processing", "message": _cut(message or "Job is currently processing", MAX_MESSAGE)}


def _interlude(job: Job, event: Event) -> dict[str, Any]:
    """
    An attempt is over, and another will come. The state that is shown stays as it is.
    """
    if event.attempt == job.attempts and job.between:
        return {}
    message = f"Attempt {event.attempt} failed; trying again"
    if event.returned:
        message = _message(event, "Job was handed back; another worker will take it")
    changes = {
        "between": "returned" if event.returned else "retry",
        "progress": 0,
        "error": _error(event),
    }
    return changes if job.status == "cancelling" else changes | {"message": message}


def _progress(job: Job, event: Event) -> dict[str, Any]:
    new = event.attempt != job.attempts
    if job.between and not new:
        return {}
    changes: dict[str, Any] = {"progress": max(0 if new else job.progress, event.progress or 0)}
    if event.message and job.status != "cancelling":
        changes["message"] = _message(event, "")
    return changes


def _end(job: Job, event: Event) -> dict[str, Any]:
    """
    It ended. What ends while it is being cancelled is cancelled, but keeps what it came to.
    """
    assert event.status is not None
    cancelling = job.status == "cancelling"
    completed = event.status == "completed"
    default = (_TOO_LATE if cancelling else _ENDS)[event.status]
    kept = event.result if bounded_result(event.result) else None
    return {
        "status": "cancelled" if cancelling else event.status,
        "message": default if cancelling else _message(event, default),
        "progress": 100 if completed else 0 if event.attempt > job.attempts else job.progress,
        "ended_at": event.ended_at or event.timestamp,
        "result": kept,
        "error": _error(event) or _lost(event, kept),
        "between": "",
    }


def _lost(event: Event, kept: object) -> str | None:
    return None if kept is event.result else "the result was too large to keep"


def _error(event: Event) -> str | None:
    return None if event.error is None else _cut(event.error, MAX_ERROR)


def _message(event: Event, default: str) -> str:
    return _cut(event.message or default, MAX_MESSAGE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
