"""
The gateway's jobs: where they are kept, what serves them, and what looks after them.

Without NATS there are no jobs, which their endpoints say. When the gateway drains, whoever only waits is sent away
first; then what was begun is carried to its end, and only then nothing is listened to any more (row K16).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from siger.jobs.app import JobsApp
from siger.jobs.broker import Broker
from siger.jobs.catching import CatchUp
from siger.jobs.feed import Feed
from siger.jobs.marks import MARKS_BUCKET, MARKS_TTL, Marks
from siger.jobs.model import STATES
from siger.jobs.polling import Changes
from siger.jobs.projector import Projector
from siger.jobs.reconciler import Reconciler
from siger.jobs.records import Records
from siger.jobs.service import Jobs
from siger.jobs.sse import EventStreams
from siger.jobs.streams import KEYS_BUCKET, KEYS_TTL, RECORDS_BUCKET

if TYPE_CHECKING:
    from siger.config.settings.gateway import Settings
    from siger.messaging.connection import NatsConnection
    from siger.observe.metrics import Metrics, Reading
    from siger.store import Store

__all__ = ["Queue"]


class Queue:
    """
    The jobs of one gateway.

    @ivar app: the endpoints below C{/api/v1/jobs}.
    """

    def __init__(self, reactor: Any, settings: Settings, store: Store) -> None:
        self._changes = Changes(reactor)
        self._parts = None if store.connection is None else _Parts(reactor, settings, store, store.connection)
        parts = self._parts
        if parts is None:
            self.app = JobsApp(None, None, self._changes, settings.jobs)
        else:
            parts.records.on_change(self._changes.changed)
            self.app = JobsApp(parts.jobs, parts.streams, self._changes, settings.jobs)

    def describe(self) -> str:
        """
        How much is known of them, in a word.
        """
        if self._parts is None:
            return "none"
        records = self._parts.records
        return "unknown" if not records.current else "stale" if records.stale else "current"

    def expose(self, metrics: Metrics) -> None:
        """
        Show them among the metrics.
        """
        metrics.gauge("siger_job_waiters", "Answers held until a job changes", lambda: float(len(self._changes)))
        if self._parts is not None:
            self._parts.expose(metrics)

    def first_sync(self) -> Deferred[Any]:
        """
        Fire when all records have been read, or at once where there are none.
        """
        return succeed(None) if self._parts is None else self._parts.records.when_current()

    def start(self) -> None:
        """
        Begin. Nothing waits for the store.
        """
        if self._parts is not None:
            self._parts.start()

    def drain(self) -> None:
        """
        Let nobody wait any longer.
        """
        self._changes.end()
        if self._parts is not None:
            self._parts.streams.stop()

    def stop(self) -> Deferred[Any]:
        """
        Accept nothing more, and end when what was begun has ended.
        """
        return succeed(None) if self._parts is None else self._parts.stop()


class _Parts:
    """
    What jobs are made of where there is a store.
    """

    def __init__(self, reactor: Any, settings: Settings, store: Store, connection: NatsConnection) -> None:
        jobs = settings.jobs
        self.broker = Broker(connection, jobs, settings.nats.replicas)
        self.records = Records(store.bucket(RECORDS_BUCKET))
        self.projector = Projector(connection, self.broker.preparation, CatchUp(self.broker, self.records))
        self.marks = Marks(store.bucket(MARKS_BUCKET, ttl=MARKS_TTL), reactor)
        self.jobs = Jobs(self.broker, self.records, store.bucket(KEYS_BUCKET, ttl=KEYS_TTL), self.marks, jobs)
        self.reconciler = Reconciler(self.broker, self.records, self.marks, jobs, reactor, self.jobs.is_in_flight)
        self.streams = EventStreams(Feed(self.broker), reactor)

    def start(self) -> None:
        """
        Begin: whoever wants to hear of records has to listen before they are read.
        """
        self.broker.start()
        self.marks.start()
        self.reconciler.start()
        self.records.start()
        self.projector.start()
        self.streams.start()

    def stop(self) -> Deferred[Any]:
        """
        Carry to its end what was begun, and end.
        """
        self.reconciler.stop()
        return self.jobs.stop().addCallback(lambda _: self.marks.stop()).addCallback(lambda _: self._end())

    def _end(self) -> Deferred[None]:
        def listen_no_longer(_: object) -> None:
            self.records.stop()
            self.broker.stop()

        return self.projector.stop().addBoth(listen_no_longer)

    def expose(self, metrics: Metrics) -> None:
        """
        Show how many there are, and what becomes of submissions.
        """
        jobs, reconciler = self.jobs, self.reconciler
        metrics.gauge("siger_jobs", "Jobs known, by state", self._states)
        metrics.counter("siger_job_submissions_total", "Submissions, by outcome", lambda: _by("outcome", jobs.outcomes))
        metrics.counter(
            "siger_jobs_requeued_total", "Jobs put into the queue again", lambda: float(reconciler.requeued)
        )
        metrics.counter("siger_jobs_lost_total", "Jobs whose worker was given up", lambda: float(reconciler.lost))
        metrics.gauge("siger_job_event_streams", "Streams of events open", lambda: float(len(self.streams)))
        metrics.gauge("siger_jobs_stale", "Whether jobs may be shown as they were", lambda: float(self.records.stale))

    def _states(self) -> Reading:
        return _by("state", {state: self.records.count(state) for state in STATES})


def _by(label: str, counts: dict[str, int]) -> Reading:
    return [({label: name}, float(count)) for name, count in counts.items()]
