"""
What the service of jobs needs of where they are kept: the log and the queue behind a broker, and their records.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from siger.jobs.events import Event
from siger.jobs.model import Job
from siger.jobs.query import Query

__all__ = ["AnyBroker", "AnyCounts", "AnyRecords"]


class AnyCounts(Protocol):
    """
    What a user has.

    @ivar queued: jobs that wait for their first attempt.
    @ivar running: jobs that run, or will again.
    @ivar gpus: GPUs that all of those use, or will.
    @ivar kept: all jobs, those that have ended included.
    """

    @property
    def queued(self) -> int: ...

    @property
    def running(self) -> int: ...

    @property
    def gpus(self) -> int: ...

    @property
    def kept(self) -> int: ...


class AnyBroker(Protocol):
    """
    L{siger.jobs.broker.Broker}.
    """

    @property
    def connected(self) -> bool:
        """
        Whether anything can be asked of it now.
        """

    @property
    def max_payload(self) -> int:
        """
        The most bytes that a message may have, headers included.
        """

    def publish_job(self, submission: bytes, type_: str, lane: str, job_id: str) -> Deferred[int]:
        """
        Put a job into the queue; once, however often it is tried within two minutes.
        """

    def publish_event(self, event: Event, expected: int | None = None) -> Deferred[int]:
        """
        Add to a log, if its last entry is still the expected one.
        """

    def publish_control(self, job_id: str, action: str) -> Deferred[int]:
        """
        Give an order to the worker of a job.
        """

    def publish_dead(self, job: Job, reason: str) -> Deferred[int]:
        """
        Keep a submission that failed for good.
        """

    def last_event(self, job_id: str) -> Deferred[tuple[Event, int] | None]:
        """
        The last entry of a log.
        """

    def read_events(
        self, job_id: str, after: int, limit: int = 100, at_least: int | None = None
    ) -> Deferred[list[tuple[int, Event]]]:
        """
        Entries of a log, in their order.
        """

    def on_alive(self, callback: Callable[[str, int], object]) -> Callable[[], None]:
        """
        Have a function called with job and attempt for every sign of life.
        """


class AnyRecords(Protocol):
    """
    L{siger.jobs.records.Records}.
    """

    @property
    def current(self) -> bool:
        """
        Whether everything has been read once.
        """

    @property
    def stale(self) -> bool:
        """
        Whether changes may be missing just now.
        """

    def get(self, job_id: str) -> Job | None:
        """
        A record, as far as it is known here.
        """

    def fetch(self, job_id: str) -> Deferred[Job | None]:
        """
        A record, as the store has it.
        """

    def create(self, job: Job) -> Deferred[int]:
        """
        Write a new one; or L{KeyExistsError<siger.messaging.errors.KeyExistsError>}.
        """

    def change(self, job_id: str, change: Callable[[Job], Job]) -> Deferred[Job]:
        """
        Change one, however often others do at the same time.
        """

    def remove(self, job_id: str) -> Deferred[None]:
        """
        Take one away.
        """

    def list(self, query: Query) -> tuple[builtins.list[Job], str | None]:
        """
        A page of them, and the cursor for the next.
        """

    def counts(self, user_id: str) -> AnyCounts:
        """
        What a user has.
        """

    def ahead(self, job: Job) -> int:
        """
        How many queued jobs come before one, which need not be known.
        """

    def on_change(self, callback: Callable[[Job], object]) -> Callable[[], None]:
        """
        Have a function called with each changed record.
        """

    def ended_before(self, time: str, most: int) -> builtins.list[str]:
        """
        The names of jobs that ended before a time, some of them if there are many.
        """
