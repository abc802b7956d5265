"""
Telling a mirror what happens in a bucket's stream, by way of a consumer that the server pushes from.

Theory of operation. The server numbers what it sends to a consumer. When a number is missing, when a heartbeat names
another number than the last that came, or when even the heartbeats stay away (the consumer was in the memory of a
server that is gone), then something was lost, and everything is told again from the beginning; so it is with every new
connection. Everything has been told when a message says that none is waiting behind it, when as many came as were
waiting at the beginning, or when the server has time for a heartbeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any, Final, Protocol, TypeVar

from attrs import frozen
from nats.aio.msg import Msg
from nats.errors import NotJSMessageError
from twisted.logger import Logger

from siger.messaging.errors import MessagingError, UnavailableError
from siger.messaging.link import Link
from siger.messaging.mirror import Entry, Mirror

__all__ = ["Change", "Followed", "Follower", "GapError", "Telling", "is_deletion"]

T = TypeVar("T")
_log = Logger()

#: Seconds between the server's heartbeats, and without anything before the consumer is believed gone.
HEARTBEAT: Final = 2
SILENCE: Final = 5.0
#: Seconds that the server keeps a consumer to which nobody listens.
ABANDONED: Final = 30
#: Seconds of the first and of the longest pause before it is tried again.
FIRST: Final = 0.1
LONGEST: Final = 5.0
_SECOND: Final = 1_000_000_000

_OPERATION: Final = "KV-Operation"
_MARKER: Final = "Nats-Marker-Reason"
_LAST_CONSUMER: Final = "Nats-Last-Consumer"
_STALLED: Final = "Nats-Consumer-Stalled"


class GapError(Exception):
    """
    Something that the server sent did not arrive.
    """


class Followed(Protocol):
    """
    A bucket, as far as a follower is concerned.
    """

    name: str
    stream: str
    prefix: str

    async def ask(self, link: Link, verb: str, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        Ask JetStream itself.
        """

    async def with_stream(self, link: Link, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Do something with the stream, making it where it is missing.
        """


class Connected(Protocol):
    """
    A connection, as far as a follower is concerned.
    """

    link: Link | None

    def on_state(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """
        Tell of each new state.
        """


def is_deletion(headers: Mapping[str, str]) -> bool:
    """
    Whether a message says that its key is gone: deleted by a client, or removed by the server.
    """
    return headers.get(_OPERATION, "").strip() in ("DEL", "PURGE") or _MARKER in headers


@frozen
class Change:
    """
    A message of a consumer.

    @ivar place: its number among all that were sent to the consumer, from 1.
    @ivar waiting: how many more wait to be sent.
    @ivar stored: when it was stored, in seconds of the server's clock.
    """

    entry: Entry
    place: int
    waiting: int
    stored: float


class Telling:
    """
    What one consumer sends, told to a mirror in the right order. No sockets and no time of its own.
    """

    def __init__(self, mirror: Mirror, ttl: float = 0.0, now: Callable[[], float] = time.time) -> None:
        self._mirror = mirror
        self._ttl = ttl
        self._now = now
        self._place = 0
        self._expected: int | None = None
        self._complete = False
        mirror.begin()

    def expect(self, waiting: int) -> None:
        """
        The consumer was made when so many messages were waiting.
        """
        self._expected = waiting
        self._look()

    def change(self, change: Change) -> None:
        """
        A message came.

        @raise GapError: when another should have come before.
        """
        if change.place != self._place + 1:
            raise GapError
        self._place = change.place
        left = self._ttl - max(0.0, self._now() - change.stored) if self._ttl else None
        self._mirror.received(change.entry, left)
        if change.waiting == 0:
            self._finish()
        else:
            self._look()

    def heartbeat(self, last: int, stalled: bool) -> None:
        """
        The server has nothing to send, or waits before it sends more.

        @param last: the number of the last message that it sent.
        @raise GapError: when that did not come.
        """
        if last != self._place:
            raise GapError
        if not stalled:
            self._finish()

    def _look(self) -> None:
        if self._expected is not None and self._place >= self._expected:
            self._finish()

    def _finish(self) -> None:
        if not self._complete:
            self._complete = True
            self._mirror.complete()


class Follower:
    """
    Tells one mirror, over one connection after another.

    @ivar restarts: how often it had to begin again without the connection being lost.
    """

    def __init__(self, connection: Connected, bucket: Followed, ttl: float) -> None:
        self.restarts = 0
        self._connection = connection
        self._bucket = bucket
        self._ttl = ttl
        self._random = Random()
        self._task: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None

    def watch(self, mirror: Mirror) -> None:
        """
        Begin to tell, now or when there is a connection.
        """
        self._forget = self._connection.on_state(lambda _state: self._connected(mirror))
        self._connected(mirror)

    def unwatch(self, mirror: Mirror) -> None:
        """
        Tell no more.
        """
        if self._forget is not None:
            self._forget()
            self._forget = None
        self._cancel()

    def _cancel(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _connected(self, mirror: Mirror) -> None:
        self._cancel()
        link = self._connection.link
        if link is None:
            mirror.lost()
        else:
            self._task = link.spawn(self._follow(link, mirror))

    async def _follow(self, link: Link, mirror: Mirror) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._bucket.with_stream(link, lambda: self._tell(link, mirror))
            except (MessagingError, GapError) as error:
                _log.debug("following {bucket} anew: {why!r}", bucket=self._bucket.name, why=error)
            mirror.lost()
            self.restarts += 1
            failures = 0 if time.monotonic() - began > LONGEST else failures + 1
            await asyncio.sleep(min(LONGEST, FIRST * 2.0 ** min(failures, 16)) * self._random.uniform(0.5, 1.0))

    async def _tell(self, link: Link, mirror: Mirror) -> None:
        """
        Tell everything, and then what happens, until something is lost.
        """
        consumer = Consumer(link, self._bucket, Telling(mirror, self._ttl))
        try:
            await consumer.start()
            await consumer.attend()
        finally:
            await consumer.stop()


class Consumer:
    """
    A consumer on the server and the subscription that it sends to.
    """

    def __init__(self, link: Link, bucket: Followed, telling: Telling) -> None:
        self._link = link
        self._bucket = bucket
        self._telling = telling
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._heard = time.monotonic()
        self._subscription: Any = None
        self._name = ""

    async def start(self) -> None:
        """
        Subscribe, then have the consumer made.
        """
        inbox = self._link.new_inbox()
        self._subscription = await self._link.subscribe(inbox, self._message)
        question = {"stream_name": self._bucket.stream, "config": self._config(inbox)}
        answer = await self._bucket.ask(self._link, f"CONSUMER.CREATE.{self._bucket.stream}", question)
        self._name = str(answer.get("name", ""))
        self._telling.expect(int(answer.get("num_pending", 0)) + int(answer["delivered"]["consumer_seq"]))

    def _config(self, inbox: str) -> dict[str, Any]:
        return {
            "deliver_subject": inbox,
            "deliver_policy": "last_per_subject",
            "filter_subject": f"{self._bucket.prefix}>",
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": HEARTBEAT * _SECOND,
            "inactive_threshold": ABANDONED * _SECOND,
            "mem_storage": True,
            "num_replicas": 1,
        }

    async def attend(self) -> None:
        """
        Come back, with an error, when something was lost.
        """
        while True:
            done, _ = await asyncio.wait({self._failed}, timeout=HEARTBEAT)
            if done:
                self._failed.result()
            if time.monotonic() - self._heard > SILENCE:
                raise UnavailableError("the consumer is silent")

    async def stop(self) -> None:
        """
        Leave nothing behind.
        """
        self._failed.cancel()
        if self._subscription is not None:
            await self._link.unsubscribe(self._subscription)
        if self._name:
            await self._link.abandon(f"$JS.API.CONSUMER.DELETE.{self._bucket.stream}.{self._name}")

    async def _message(self, message: Msg) -> None:
        if self._failed.done():
            return
        self._heard = time.monotonic()
        try:
            await self._take(message)
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)

    async def _take(self, message: Msg) -> None:
        headers = message.headers or {}
        if headers.get("Status") != "100" or message.data:
            self._telling.change(self._read(message, headers))
        elif message.reply:  # flow control: the server waits until this arrives, behind all that it sent before
            await self._link.publish(message.reply)
        elif _LAST_CONSUMER in headers:
            stalled = headers.get(_STALLED)
            if stalled:
                await self._link.publish(stalled)
            self._telling.heartbeat(int(headers[_LAST_CONSUMER]), bool(stalled))

    def _read(self, message: Msg, headers: Mapping[str, str]) -> Change:
        try:
            about = message.metadata
        except (NotJSMessageError, ValueError, IndexError) as error:
            raise UnavailableError("a message without its place") from error
        key = message.subject.removeprefix(self._bucket.prefix)
        value = None if is_deletion(headers) else message.data
        entry = Entry(key, value, about.sequence.stream)
        return Change(entry, about.sequence.consumer, about.num_pending, about.timestamp.timestamp())
