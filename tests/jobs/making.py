"""
What tests of jobs are made of.
"""

from __future__ import annotations

from typing import Any

from siger.jobs.events import Event
from siger.jobs.model import Job
from siger.jobs.times import timestamp

__all__ = ["JOB_ID", "event", "job", "status"]

JOB_ID = "0193e7a0-0000-7000-8000-000000000001"


def job(**fields: Any) -> Job:
    """
    A queued job, but for what is said.
    """
    base = {
        "job_id": JOB_ID,
        "user_id": "1",
        "username": "alice",
        "type": "ai_training",
        "name": "A job",
        "submitted_at": timestamp(1000),
        "updated_at": timestamp(1000),
        "published": True,
    }
    return Job(**{**base, **fields})


def event(kind: str, attempt: int, at: float = 2000, **fields: Any) -> Event:
    """
    An event of that job.

    @param at: when it is said.
    """
    return Event(JOB_ID, kind, attempt, timestamp(at), **fields)


def status(word: str, attempt: int = 1, at: float = 2000, **fields: Any) -> Event:
    """
    A C{status} event of that job.
    """
    return event("status", attempt, at, status=word, **fields)
