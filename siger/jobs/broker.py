"""
Jobs on JetStream: the queue, the log of each job, and orders for workers.

What is published is stored when its Deferred fires, in the stream where it belongs (row K1). While there is no
connection everything is refused at once, and nothing is kept to be sent later (row K5). When no answer comes, or the
connection is lost before it, what was published may or may not be stored: a job can be published again, as the server
knows its name for two minutes (row K2), and an entry of a log that was to be the next can be looked for there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
from nats.aio.msg import Msg
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.config.settings.jobs import JobsSettings
from siger.jobs.answers import acknowledged
from siger.jobs.events import Event
from siger.jobs.live import Live, Signs
from siger.jobs.logs import Entries, Logs
from siger.jobs.model import Job
from siger.jobs.preparing import AnyConnection, Preparation
from siger.jobs.streams import (
    CONTROL,
    DEAD,
    EVENTS,
    EXPECTED_LAST,
    EXPECTED_STREAM,
    JOBS,
    MESSAGE_ID,
    control_subject,
    dead_subject,
    event_subject,
    projector_consumer,
    stream_configs,
    submit_subject,
    work_consumers,
)
from siger.jobs.submission import message_bytes
from siger.jobs.times import timestamp
from siger.messaging.errors import MessagingError, NobodyAnswersError, UnavailableError
from siger.messaging.pipeline import header

__all__ = ["Broker"]

_log = Logger()
#: Seconds between attempts to make what is missing.
_PAUSE: Final = 1.0


class Broker:
    """
    What gateways do with jobs on NATS.

    @ivar preparation: of all streams and consumers.
    @ivar logs: for whoever needs to read them in other ways.
    @ivar live: events as they come.
    @ivar published: messages that were acknowledged.
    @ivar duplicates: jobs among them that were there already.
    """

    def __init__(
        self,
        connection: AnyConnection,
        settings: JobsSettings,
        replicas: int = 1,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param replicas: how many servers of a cluster keep each stream.
        @param now: the wall clock, in seconds.
        """
        self.published = self.duplicates = 0
        self._connection = connection
        self._now = now
        consumers = {JOBS: work_consumers(settings.types, settings.lease), EVENTS: [projector_consumer()]}
        self.preparation = Preparation(connection, stream_configs(replicas, settings.retention_days), consumers)
        self.logs = Logs(connection, self.preparation)
        self.live = Live(connection, self.preparation)
        self._signs = Signs(connection)
        self._forget: Callable[[], None] | None = None

    # Beginning and end

    def start(self) -> None:
        """
        Make what is missing and begin to listen, now or when there is a connection.
        """
        self._forget = self._connection.on_state(lambda _state: self._connected())
        self._connected()
        self.live.start()
        self._signs.start()

    def stop(self) -> None:
        """
        Listen no longer. What was published is still acknowledged.
        """
        if self._forget is not None:
            self._forget()
            self._forget = None
            self.live.stop()
            self._signs.stop()

    def _connected(self) -> None:
        link = self._connection.link
        if link is not None:
            link.spawn(self._prepare(link))

    async def _prepare(self, link: Any) -> None:
        while self._forget is not None:
            try:
                await self.preparation.over(link)
            except MessagingError as error:
                _log.debug("the streams of jobs are not there yet: {why}", why=error)
                await asyncio.sleep(_PAUSE)
            else:
                return

    @property
    def connected(self) -> bool:
        """
        Whether there is a connection now.
        """
        return self._connection.link is not None

    @property
    def max_payload(self) -> int:
        """
        The most bytes that a message may have, its headers included; 0 without a connection.
        """
        link = self._connection.link
        return 0 if link is None else int(link.max_payload)

    # What is published

    def publish_job(self, submission: bytes, type_: str, lane: str, job_id: str) -> Deferred[int]:
        """
        Put a job into the queue: once, however often that is tried within two minutes.

        @return: its sequence; if it was there already, that of the first.
        """
        fields = {MESSAGE_ID: job_id, EXPECTED_STREAM: JOBS}
        return self._publish(submit_subject(type_, lane), submission, fields, JOBS)

    def publish_event(self, event: Event, expected: int | None = None) -> Deferred[int]:
        """
        Add an entry to a log.

        @param expected: the sequence of the log's last entry that the writer knows, 0 for none; or C{None} when it
            does not matter.
        @return: its sequence; or L{ConflictError<siger.jobs.errors.ConflictError>} when there is another by now.
        """
        fields = {EXPECTED_STREAM: EVENTS}
        if expected is not None:
            fields[EXPECTED_LAST] = str(expected)
        return self._publish(event_subject(event.job_id), event.to_json(), fields, EVENTS)

    def publish_control(self, job_id: str, action: str) -> Deferred[int]:
        """
        Give an order to the worker of a job. It replaces an earlier one.
        """
        order = {"job_id": job_id, "action": action, "timestamp": timestamp(self._now())}
        return self._publish(control_subject(job_id), orjson.dumps(order), {EXPECTED_STREAM: CONTROL}, CONTROL)

    def publish_dead(self, job: Job, reason: str) -> Deferred[int]:
        """
        Keep a submission that failed for good: once, however often that is tried within two minutes.
        """
        ended_at = job.ended_at or timestamp(self._now())
        content = orjson.loads(message_bytes(job)) | {"reason": reason, "attempts": job.attempts, "ended_at": ended_at}
        fields = {MESSAGE_ID: job.job_id, EXPECTED_STREAM: DEAD}
        return self._publish(dead_subject(job.type), orjson.dumps(content), fields, DEAD)

    def _publish(self, subject: str, content: bytes, fields: dict[str, str], stream: str) -> Deferred[int]:
        head = header(fields)
        link = self._connection.link
        if link is None:
            self._connection.errors += 1
            return fail(UnavailableError("not connected to NATS"))
        if not self.preparation.is_done(link):
            return self._publish_prepared(subject, content, head, stream)
        sent: Deferred[Msg] = link.pipeline.ask(subject, content, head)
        again = (subject, content, head, stream)
        return sent.addCallbacks(self._acknowledged, self._refused, (stream,), {}, again).addErrback(self._count)

    def _publish_prepared(self, subject: str, content: bytes, head: bytes, stream: str) -> Deferred[int]:
        async def publish() -> int:
            await self.preparation.prepare()
            link = self._connection.link
            if link is None:
                raise UnavailableError("the connection was lost")
            return self._acknowledged(await link.pipeline.ask(subject, content, head), stream)

        return Deferred.fromCoroutine(publish())

    def _acknowledged(self, answer: Msg, stream: str) -> int:
        sequence, duplicate = acknowledged(answer, stream)
        self.published += 1
        self.duplicates += duplicate
        return sequence

    def _refused(self, failure: Failure, subject: str, content: bytes, head: bytes, stream: str) -> Deferred[int]:
        """
        Nobody was there to store it: the stream is gone, or has no leader.
        """
        failure.trap(NobodyAnswersError)
        self.preparation.forget()
        return self._publish_prepared(subject, content, head, stream)

    def _count(self, failure: Failure) -> Failure:
        if failure.check(UnavailableError):
            self._connection.errors += 1
        return failure

    # What is read

    def last_event(self, job_id: str) -> Deferred[tuple[Event, int] | None]:
        """
        The last entry of a log and its sequence, which the next writer has to expect.
        """
        return self.logs.last(job_id)

    def read_events(self, job_id: str, after: int, limit: int = 100, at_least: int | None = None) -> Deferred[Entries]:
        """
        Entries of a log with their sequences, in their order: fewer than the limit are all that were acknowledged.
        What is no event reads as one of an unknown kind.

        @param after: the sequence after which they begin.
        @param at_least: a sequence known to be in this log: what comes after it may be missing, which costs one
            question less.
        """
        return self.logs.read(job_id, after, limit, at_least)

    # What is heard

    def on_event(self, callback: Callable[[str, int, Event], object]) -> Callable[[], None]:
        """
        Have a function called with job, sequence and event for every event from now on.

        @return: ends that.
        """
        return self.live.events.add(callback)

    def on_position(self, callback: Callable[[str, int], object]) -> Callable[[], None]:
        """
        Have a function called with job and sequence for every event from now on: for those who read logs by
        themselves.

        @return: ends that.
        """
        return self.live.positions.add(callback)

    def on_reset(self, callback: Callable[[], object]) -> Callable[[], None]:
        """
        Have a function called whenever events may have been missed.

        @return: ends that.
        """
        return self.live.resets.add(callback)

    def on_alive(self, callback: Callable[[str, int], object]) -> Callable[[], None]:
        """
        Have a function called with job and attempt for every sign of life.

        @return: ends that.
        """
        return self._signs.listeners.add(callback)
