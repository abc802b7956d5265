"""
Following a bucket's stream, by way of a consumer that the server pushes from.

A consumer lives in the memory of one server, which may go away without this connection being lost; then even its
heartbeats stay away. After anything that went wrong, and on every new connection, everything is told from the
beginning, by a consumer of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any, Final, Protocol, TypeVar

from nats.aio.msg import Msg
from twisted.logger import Logger

from siger.messaging.errors import MessagingError, UnavailableError
from siger.messaging.link import Link
from siger.messaging.telling import Change, FlowControl, GapError, Heartbeat, Telling, Told, interpret

__all__ = ["Connected", "Consumer", "Followed", "Follower"]

T = TypeVar("T")
_log = Logger()

#: Seconds between the server's heartbeats.
HEARTBEAT: Final = 2.0
#: How many of them may stay away before the consumer is believed gone.
MISSING: Final = 2.5
#: Seconds that the server keeps a consumer to which nobody listens.
ABANDONED: Final = 30
#: Seconds of the first and of the longest pause before it is tried again.
FIRST: Final = 0.1
LONGEST: Final = 5.0
#: The policy by which the last message of each subject is told, and then what happens.
EVERYTHING: Final = "last_per_subject"
_SECOND: Final = 1_000_000_000


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


class Follower:
    """
    Tells one mirror, or whoever listens like one, over one connection after another.

    @ivar restarts: how often it had to begin again without the connection being lost.
    """

    def __init__(
        self,
        connection: Connected,
        bucket: Followed,
        ttl: float,
        heartbeat: float = HEARTBEAT,
        policy: str = EVERYTHING,
    ) -> None:
        """
        @param ttl: seconds that a record of the bucket lives; 0: for ever.
        @param heartbeat: seconds between the server's heartbeats.
        @param policy: what is told first: L{EVERYTHING}, or C{new} for nothing.
        """
        self._policy = policy
        self.restarts = 0
        self._heartbeat = heartbeat
        self._connection = connection
        self._bucket = bucket
        self._ttl = ttl
        self._random = Random()
        self._task: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None

    def watch(self, mirror: Told) -> None:
        """
        Begin to tell, now or when there is a connection.
        """
        self._forget = self._connection.on_state(lambda _state: self._connected(mirror))
        self._connected(mirror)

    def unwatch(self, mirror: Told) -> None:
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

    def _connected(self, mirror: Told) -> None:
        self._cancel()
        link = self._connection.link
        if link is None:
            mirror.lost()
        else:
            self._task = link.spawn(self._follow(link, mirror))

    async def _follow(self, link: Link, mirror: Told) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._bucket.with_stream(link, lambda: self._tell(link, mirror))
            except (MessagingError, GapError) as error:
                _log.debug("following {bucket} anew: {why!r}", bucket=self._bucket.name, why=error)
            except Exception:  # a mistake of ours or an answer that nobody expected: neither ends the mirror
                _log.failure("following {bucket} failed", bucket=self._bucket.name)
            mirror.lost()
            self.restarts += 1
            failures = 0 if time.monotonic() - began > LONGEST else failures + 1
            await asyncio.sleep(min(LONGEST, FIRST * 2.0 ** min(failures, 16)) * self._random.uniform(0.5, 1.0))

    async def _tell(self, link: Link, mirror: Told) -> None:
        """
        Tell everything, and then what happens, until something is lost.
        """
        consumer = Consumer(link, self._bucket, Telling(mirror, self._ttl), self._heartbeat, self._policy)
        try:
            await consumer.start()
            await consumer.attend()
        finally:
            await consumer.stop()


class Consumer:
    """
    A consumer on the server and the subscription that it sends to.
    """

    def __init__(self, link: Link, bucket: Followed, telling: Telling, heartbeat: float, policy: str) -> None:
        self._link = link
        self._bucket = bucket
        self._telling = telling
        self._heartbeat = heartbeat
        self._policy = policy
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
        # Those that were sent by then count as waiting too.
        self._telling.expect(int(answer["num_pending"]) + int(answer["delivered"]["consumer_seq"]))

    def _config(self, inbox: str) -> dict[str, Any]:
        return {
            "deliver_subject": inbox,
            "deliver_policy": self._policy,
            "filter_subject": f"{self._bucket.prefix}>",
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": int(self._heartbeat * _SECOND),
            "inactive_threshold": ABANDONED * _SECOND,
            "mem_storage": True,
            "num_replicas": 1,
        }

    async def attend(self) -> None:
        """
        Come back, with an error, when something was lost.
        """
        while True:
            done, _ = await asyncio.wait({self._failed}, timeout=self._heartbeat)
            if done:
                self._failed.result()
            if time.monotonic() - self._heard > self._heartbeat * MISSING:
                raise UnavailableError("the consumer is silent")

    async def stop(self) -> None:
        """
        Leave nothing behind.
        """
        if not self._failed.cancel() and not self._failed.cancelled():
            self._failed.exception()  # it was told, or something else went wrong as well
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
        told = interpret(message, self._bucket.prefix)
        if isinstance(told, Change):
            self._telling.change(told)
        elif isinstance(told, FlowControl):
            await self._link.publish(told.answer)
        elif isinstance(told, Heartbeat):
            if told.answer:
                await self._link.publish(told.answer)
            self._telling.heartbeat(told)
