"""
Logs of jobs in memory, with everything that can happen between them and a gateway; and clients that read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from klein import Klein
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from siger.http.bridge import LocalApplication, LocalSite
from siger.http.local_errors import answer_errors, refuse
from siger.http.request_parser import RequestParser
from siger.jobs.events import Event
from siger.jobs.feed import BATCH, Feed
from siger.jobs.refusals import RefusedError
from siger.jobs.sse import EventStreams
from siger.messaging.errors import UnavailableError
from siger.observe.observer import Observer
from siger.policy.identity import Identity
from tests.http.fakes import FakeStream
from tests.jobs.making import JOB_ID, job
from tests.observe.test_observer import RecordingLog

__all__ = ["Client", "GatewayOf", "LogView", "MemoryLogs", "messages"]

START = 1_000_000.0
"""What the wall clock says when the tests' clock says 0."""


class MemoryLogs:
    """
    The server: all logs, in one order.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[int, str, Event]] = []
        self.views: list[LogView] = []

    def say(self, event: Event, job_id: str = "") -> int:
        """
        Add an entry, and tell those who hear.

        @param job_id: whose log it is in; the event's own by default.
        """
        sequence = self.entries[-1][0] + 1 if self.entries else 1
        self.entries.append((sequence, job_id or event.job_id, event))
        for view in self.views:
            view.told(job_id or event.job_id, sequence)
        return sequence

    def log(self, job_id: str = JOB_ID) -> list[tuple[int, Event]]:
        """
        One log.
        """
        return [(sequence, event) for sequence, whose, event in self.entries if whose == job_id]


class LogView:
    """
    The broker of one gateway.

    @ivar away: it cannot reach the server, and hears nothing.
    @ivar held: reads that were asked for wait in here to be answered, if it is a list.
    @ivar asked: the reads that there were: job, position, and what is known to be there.
    @ivar hidden: entries from this sequence on cannot be read here yet.
    """

    def __init__(self, logs: MemoryLogs) -> None:
        self._logs = logs
        logs.views.append(self)
        self.away = False
        self.held: list[Callable[[], None]] | None = None
        self.asked: list[tuple[str, int, int | None]] = []
        self.hidden: float = float("inf")
        self._positions: list[Callable[[str, int], object]] = []
        self._resets: list[Callable[[], object]] = []

    def told(self, job_id: str, sequence: int) -> None:
        """
        Something happened.
        """
        if not self.away:
            for listener in list(self._positions):
                listener(job_id, sequence)

    def leave(self) -> None:
        """
        Lose the server.
        """
        self.away = True
        held, self.held = self.held, None
        for release in held or ():
            release()

    def return_(self) -> None:
        """
        Have it again.
        """
        self.away = False
        for listener in list(self._resets):
            listener()

    def release(self) -> None:
        """
        Answer what was asked.
        """
        held, self.held = self.held or [], None
        for release in held:
            release()

    @property
    def listened_to(self) -> bool:
        """
        Whether anybody listens.
        """
        return bool(self._positions or self._resets)

    def read_events(
        self, job_id: str, after: int, limit: int = BATCH, at_least: int | None = None
    ) -> Deferred[list[tuple[int, Event]]]:
        """
        Read. What is found is what there was when it was asked.
        """
        self.asked.append((job_id, after, at_least))
        if self.away:
            return fail(UnavailableError("away"))
        found = [each for each in self._logs.log(job_id) if after < each[0] < self.hidden][:limit]
        answer: Deferred[list[tuple[int, Event]]] = Deferred()

        def release() -> None:
            if self.away:
                answer.errback(UnavailableError("lost"))
            else:
                answer.callback(found)

        if self.held is None:
            release()
        else:
            self.held.append(release)
        return answer

    def on_position(self, callback: Callable[[str, int], object]) -> Callable[[], None]:
        """
        Tell of positions.
        """
        self._positions.append(callback)
        return lambda: self._positions.remove(callback)

    def on_reset(self, callback: Callable[[], object]) -> Callable[[], None]:
        """
        Tell of resets.
        """
        self._resets.append(callback)
        return lambda: self._resets.remove(callback)


class GatewayOf:
    """
    What of a gateway serves events: the real thing, from the stream that a channel offers to the log.

    @ivar record: what the gateway believes of the job.
    """

    def __init__(self, logs: MemoryLogs, clock: Clock, most: int = 100) -> None:
        self.clock = clock
        self.view = LogView(logs)
        self.record = job()
        self.feed = Feed(self.view)
        self.streams = EventStreams(self.feed, clock, most, lambda: START + clock.seconds())
        self.streams.start()
        self._app = Klein()
        self._app.route("/events", methods=["GET"])(self._answer)
        answer_errors(self._app)
        site = LocalSite(self._app.resource(), clock)
        observer = Observer(RecordingLog())  # type: ignore[arg-type]
        self.application = LocalApplication(site, observer, lambda path: "/events")

    def _answer(self, request: Any) -> Any:
        def refused(failure: Any) -> bytes:
            failure.trap(RefusedError)
            error = failure.value
            return refuse(request, error.reason, error.detail, members=error.members, retry_after=error.retry_after)

        answer: Deferred[bytes] = Deferred()  # what Klein cancels when the client leaves is not the stream
        try:
            self.streams.serve(request, self.record).addErrback(refused).chainDeferred(answer)
            return answer
        except RefusedError as error:
            return refuse(request, error.reason, error.detail, members=error.members, retry_after=error.retry_after)


def identity(user_id: str = "1", seconds: float = 3600.0) -> Identity:
    """
    Somebody whose token is good for so long.
    """
    return Identity(user_id, "alice", ("user",), "token", START, START + seconds, {})


class Client:
    """
    Somebody who reads a stream.

    @ivar stream: what arrives.
    """

    def __init__(
        self,
        gateway: GatewayOf,
        last: object = None,
        who: Identity | None = None,
        method: str = "GET",
        query: str = "",
    ) -> None:
        """
        @param last: the id of the last event that is known.
        """
        self.stream = FakeStream()
        parser = RequestParser()
        fields = b"Host: gw.test" if last is None else b"Host: gw.test\r\nLast-Event-ID: %b" % str(last).encode("ascii")
        line = f"{method} /events{query} HTTP/1.1".encode("ascii")
        head = parser.head(line, parser.fields(fields))
        self.exchange = gateway.application(head, self.stream, b"id", b"192.0.2.7", who or identity())
        gateway.clock.advance(0)

    @property
    def text(self) -> str:
        """
        What came so far.
        """
        return self.stream.body.decode("utf-8")

    @property
    def told(self) -> list[tuple[int | None, str, dict[str, Any]]]:
        """
        The events that came so far.
        """
        return messages(self.stream.body)

    @property
    def ids(self) -> list[int]:
        """
        Those of them that are of the log.
        """
        return [place for place, _, _ in self.told if place is not None]

    @property
    def last(self) -> int | None:
        """
        What it says when it comes again.
        """
        return self.ids[-1] if self.ids else None

    def leave(self) -> None:
        """
        Close the connection.
        """
        if self.exchange is not None:
            self.exchange.client_gone()

    def pause(self) -> None:
        """
        Read no more for now.
        """
        assert self.exchange is not None
        self.exchange.pause_response()

    def resume(self) -> None:
        """
        Read on.
        """
        assert self.exchange is not None
        self.exchange.resume_response()


def messages(body: bytes) -> list[tuple[int | None, str, dict[str, Any]]]:
    """
    The events of a stream: id, kind and data of each. What is not complete does not count, nor do comments.
    """
    found = []
    for block in body.split(b"\n\n")[:-1]:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n"))
        if b"data" in fields:
            place = int(fields[b"id"]) if b"id" in fields else None
            found.append((place, fields[b"event"].decode("ascii"), orjson.loads(fields[b"data"])))
    return found
