"""
What happens to jobs, as it happens: one subscription of a gateway for all events, and one for signs of life.

Nothing is made up for: after an outage, or when something did not arrive, whoever listens is told that, and reads what
it needs from where it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import orjson
from nats.aio.msg import Msg
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.jobs.answers import NO_STREAM, ApiError
from siger.jobs.events import Event
from siger.jobs.logs import read_event
from siger.jobs.preparing import AnyConnection, Preparation, ask
from siger.jobs.streams import ALIVE, EVENTS, job_of
from siger.messaging.bucket import Entry
from siger.messaging.errors import UnavailableError
from siger.messaging.following import Follower

__all__ = ["Listeners", "Live", "Signs"]

T = TypeVar("T")
_log = Logger()
_PREFIX: Final = "jobs.events."


class Listeners:
    """
    Functions to call. One that fails stops no other.
    """

    def __init__(self) -> None:
        self._functions: list[Callable[..., object]] = []

    def __bool__(self) -> bool:
        return bool(self._functions)

    def add(self, function: Callable[..., object]) -> Callable[[], None]:
        """
        One more.

        @return: ends that.
        """
        self._functions.append(function)

        def forget() -> None:
            with suppress(ValueError):
                self._functions.remove(function)

        return forget

    def tell(self, *arguments: Any) -> None:
        """
        Call them all.
        """
        for function in tuple(self._functions):
            try:
                function(*arguments)
            except Exception:
                _log.failure("a listener to jobs failed")


class Live:
    """
    All events from now on, in their order.

    @ivar current: whether they come just now.
    @ivar events: called with job, sequence and event.
    @ivar positions: called with job and sequence; for those who need no more, as it spares the reading.
    @ivar resets: called whenever events begin to come: others may have happened before.
    """

    name = "job events"
    stream = EVENTS
    prefix = _PREFIX

    def __init__(self, connection: Any, preparation: Preparation) -> None:
        self.current = False
        self.events, self.positions, self.resets = Listeners(), Listeners(), Listeners()
        self._preparation = preparation
        self._follower = Follower(connection, self, 0.0, policy="new")

    def start(self) -> None:
        """
        Begin, now or when there is a connection.
        """
        self._follower.watch(self)

    def stop(self) -> None:
        """
        Hear no more.
        """
        self._follower.unwatch(self)
        self.current = False

    # What the follower asks

    async def ask(self, link: Any, verb: str, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        Ask JetStream itself.
        """
        try:
            return await ask(link, verb, question)
        except ApiError as error:
            if error.number == NO_STREAM:
                self._preparation.forget()
            raise

    async def with_stream(self, link: Any, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Do something with the stream, once it is there.
        """
        await self._preparation.over(link)
        return await work()

    # What it tells

    def begin(self) -> None:
        """
        It begins anew.
        """
        self.current = False

    def complete(self) -> None:
        """
        Everything from now on comes.
        """
        self.current = True
        self.resets.tell()

    def lost(self) -> None:
        """
        Nothing comes for now.
        """
        self.current = False

    def received(self, entry: Entry, expires_in: float | None = None) -> None:
        """
        An event.
        """
        self.positions.tell(entry.key, entry.revision)
        if self.events:
            event: Event = read_event(entry.key, entry.value or b"")
            self.events.tell(entry.key, entry.revision, event)


class Signs:
    """
    The signs of life of workers.

    @ivar listeners: called with job and attempt.
    """

    def __init__(self, connection: AnyConnection) -> None:
        self.listeners = Listeners()
        self._connection = connection
        self._forget: Callable[[], None] | None = None
        self._over: Any = None

    def start(self) -> None:
        """
        Begin, now or when there is a connection.
        """
        self._forget = self._connection.on_state(lambda _state: self._connected())
        self._connected()

    def stop(self) -> None:
        """
        Hear no more.
        """
        if self._forget is not None:
            self._forget()
            self._forget = None

    def _connected(self) -> None:
        if self._connection.link is None:
            return

        def failed(failure: Failure) -> None:
            failure.trap(UnavailableError)  # the connection is gone, or about to be

        subscribed: Deferred[Any] = self._connection.run(lambda link: link.subscribe(ALIVE, self._heard))
        subscribed.addErrback(failed).addErrback(lambda failure: _log.failure("no signs of life", failure))

    async def _heard(self, message: Msg) -> None:
        if self._forget is None:
            return
        try:
            sign = orjson.loads(message.data)
            attempt = sign["attempt"]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return
        if type(attempt) is int and attempt > 0:
            self.listeners.tell(job_of(message.subject), attempt)
