"""
Where jobs are on NATS: streams, consumers, subjects and buckets, as plain data in the form that JetStream itself takes.

Gateways and workers make them, whoever comes first, so both read this and nothing here needs either.

 - C{JOBS} holds what is to run, and what runs, until its worker has acknowledged the end. When it is full it refuses:
   nothing that was accepted is ever dropped for something newer (row K7).
 - C{JOB_EVENTS} holds the log of each job, which decides what becomes of it.
 - C{JOB_CONTROL} holds the last order for each job: to be cancelled.
 - C{JOB_DLQ} holds the submissions that failed for good, with their reasons.

No subject of one stream is a subject of another (row K12), and whatever becomes part of a subject is checked here, for
nats-py would write it as it is (row K11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from siger.jobs.identifiers import is_job_id
from siger.jobs.model import LANES

__all__ = [
    "ALIVE",
    "CONTROL",
    "DEAD",
    "DUPLICATES",
    "EVENTS",
    "EXPECTED_LAST",
    "EXPECTED_STREAM",
    "JOBS",
    "KEYS_BUCKET",
    "KEYS_TTL",
    "LIVE_EVENTS",
    "MESSAGE_ID",
    "PROJECTOR",
    "RECORDS_BUCKET",
    "alive_subject",
    "control_subject",
    "dead_subject",
    "differences",
    "event_subject",
    "job_of",
    "projector_consumer",
    "stream_configs",
    "submit_subject",
    "work_consumer",
    "work_consumers",
]

JOBS: Final = "JOBS"
EVENTS: Final = "JOB_EVENTS"
CONTROL: Final = "JOB_CONTROL"
DEAD: Final = "JOB_DLQ"

RECORDS_BUCKET: Final = "jobs"
KEYS_BUCKET: Final = "job_keys"
#: Seconds that a key of idempotency is remembered.
KEYS_TTL: Final = 86400.0

#: All events, and all signs of life, which no stream keeps.
LIVE_EVENTS: Final = "jobs.events.*"
ALIVE: Final = "jobs.alive.*"
#: The consumer of C{JOB_EVENTS} that all gateways share.
PROJECTOR: Final = "projector"

MESSAGE_ID: Final = "Nats-Msg-Id"
EXPECTED_STREAM: Final = "Nats-Expected-Stream"
EXPECTED_LAST: Final = "Nats-Expected-Last-Subject-Sequence"

_SECOND: Final = 1_000_000_000
_DAY: Final = 86400 * _SECOND
#: Nanoseconds that a server remembers the names of messages: one that is sent twice meanwhile is kept once.
DUPLICATES: Final = 120 * _SECOND

_TYPE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: What a server lets a stream be changed to. What it is for, and where it is kept, is as it was made.
_CHANGEABLE: Final = (
    "subjects",
    "discard",
    "max_msgs",
    "max_age",
    "max_msgs_per_subject",
    "num_replicas",
    "duplicate_window",
    "allow_direct",
)


def stream_configs(replicas: int, retention_days: int) -> tuple[dict[str, Any], ...]:
    """
    All streams.

    @param replicas: how many servers of a cluster keep each.
    @param retention_days: how long events are kept.
    """
    return (
        _stream(JOBS, "jobs.submit.*.*", replicas, retention="workqueue", discard="new", max_msgs=1_000_000),
        _stream(EVENTS, LIVE_EVENTS, replicas, max_age=retention_days * _DAY, max_msgs_per_subject=10_000),
        _stream(CONTROL, "jobs.control.*", replicas, max_age=_DAY, max_msgs_per_subject=1),
        _stream(DEAD, "jobs.dlq.*", replicas, max_age=30 * _DAY),
    )


def _stream(name: str, subject: str, replicas: int, **special: Any) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": [subject],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_msgs": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "num_replicas": replicas,
        "duplicate_window": DUPLICATES,
        "allow_direct": True,
    } | special


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """
    What of a stream has to change.

    @param found: how the server has it.
    """
    return {key: wanted[key] for key in _CHANGEABLE if found.get(key, _unsaid(key)) != wanted[key]}


def _unsaid(key: str) -> object:
    """
    What a server means that leaves a setting out.
    """
    return {"subjects": [], "discard": "old", "allow_direct": False}.get(key, 0)


def work_consumer(type_: str, lane: str, lease: float) -> dict[str, Any]:
    """
    From where workers take the jobs of a type in a lane. There is no last delivery: workers count attempts themselves,
    and a server that gave up on a job would leave it there for ever (row K8).

    @param lease: seconds of silence after which a job is given to another worker.
    """
    return {
        "durable_name": f"work-{_type(type_)}-{_lane(lane)}",
        "filter_subject": submit_subject(type_, lane),
        "deliver_policy": "all",
        "replay_policy": "instant",
        "ack_policy": "explicit",
        "ack_wait": int(lease * _SECOND),
        "max_deliver": -1,
        "max_ack_pending": 10_000,
    }


def work_consumers(types: Iterable[str], lease: float) -> list[dict[str, Any]]:
    """
    Those of all lanes.
    """
    return [work_consumer(type_, lane, lease) for type_ in types for lane in LANES]


def projector_consumer() -> dict[str, Any]:
    """
    From where gateways take events to bring records up to date: each event goes to one of them, and to another when
    that one says nothing.
    """
    return {
        "durable_name": PROJECTOR,
        "filter_subject": LIVE_EVENTS,
        "deliver_policy": "all",
        "replay_policy": "instant",
        "ack_policy": "explicit",
        "ack_wait": 5 * _SECOND,
        "max_deliver": -1,
        "max_ack_pending": 10_000,
    }


def submit_subject(type_: str, lane: str) -> str:
    """
    Where jobs are queued.
    """
    return f"jobs.submit.{_type(type_)}.{_lane(lane)}"


def event_subject(job_id: str) -> str:
    """
    The log of a job.
    """
    return f"jobs.events.{_job_id(job_id)}"


def control_subject(job_id: str) -> str:
    """
    Orders for a job.
    """
    return f"jobs.control.{_job_id(job_id)}"


def alive_subject(job_id: str) -> str:
    """
    Signs of life of the worker that runs a job.
    """
    return f"jobs.alive.{_job_id(job_id)}"


def dead_subject(type_: str) -> str:
    """
    Where submissions go that failed for good.
    """
    return f"jobs.dlq.{_type(type_)}"


def job_of(subject: str) -> str:
    """
    Whose log, order or sign of life a subject is.
    """
    return subject.rpartition(".")[2]


def _job_id(job_id: str) -> str:
    if not is_job_id(job_id):
        raise ValueError(f"not the name of a job: {job_id!r}")
    return job_id


def _type(type_: str) -> str:
    if not _TYPE.fullmatch(type_):
        raise ValueError(f"not a type of jobs: {type_!r}")
    return type_


def _lane(lane: str) -> str:
    if lane not in LANES:
        raise ValueError(f"not a lane: {lane!r}")
    return lane
