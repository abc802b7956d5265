"""
Tests of how a mirror is kept told, over consumers that come and go. The server is an object here; the loop is real.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from nats.aio.msg import Msg
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from siger.messaging.dialling import loop_of
from siger.messaging.errors import UnavailableError
from siger.messaging.following import Follower
from siger.messaging.mirror import Entry, Mirror

CLOCK: Any = reactor
LOOP = loop_of(reactor)


class Server:
    """
    A link, a connection and a bucket in one, with a server behind them.

    @ivar consumers: what each consumer's messages are given to.
    @ivar answers: what making a consumer comes to, each once; then a consumer with nothing waiting.
    @ivar sent: where something was published.
    """

    name = "users"
    stream = "KV_users"
    prefix = "$KV.users."

    def __init__(self) -> None:
        self.link: Any = self
        self.consumers: list[Callable[[Msg], Awaitable[None]]] = []
        self.unsubscribed = 0
        self.answers: list[Any] = []
        self.asked: list[tuple[str, Any]] = []
        self.sent: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.listeners: list[Callable[[str], object]] = []

    def on_state(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """
        Note who listens.
        """
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def become(self, state: str, link: Any) -> None:
        """
        Another state.
        """
        self.link = link
        for listener in self.listeners:
            listener(state)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """
        Start a task.
        """
        task = LOOP.create_task(work)
        self.tasks.append(task)
        return task

    async def with_stream(self, link: Any, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """
        The stream is there.
        """
        return await work()

    async def ask(self, link: Any, verb: str, question: Mapping[str, Any] | None = None) -> Any:
        """
        Make a consumer.
        """
        self.asked.append((verb, question))
        nothing = {"name": f"c{len(self.asked)}", "num_pending": 0, "delivered": {"consumer_seq": 0}}
        answer = self.answers.pop(0) if self.answers else nothing
        if isinstance(answer, Exception):
            raise answer
        return answer

    def new_inbox(self) -> str:
        """
        A subject.
        """
        return f"_INBOX.{len(self.consumers)}"

    async def subscribe(self, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> Any:
        """
        Note who hears.
        """
        self.consumers.append(heard)
        return subject

    async def unsubscribe(self, subscription: Any) -> None:
        """
        Count it.
        """
        self.unsubscribed += 1

    async def publish(self, subject: str) -> None:
        """
        Note it.
        """
        self.sent.append(subject)

    abandon = publish

    async def send(self, place: int, waiting: int, key: str = "a", consumer: int = -1) -> None:
        """
        Send a change.
        """
        reply = f"$JS.ACK.KV_users.c.1.{place}.{place}.1700000000000000000.{waiting}"
        await self.consumers[consumer](_message(self.prefix + key, reply, b"%d" % place, None))

    async def control(self, headers: dict[str, str], reply: str = "") -> None:
        """
        Send a word of the server's own.
        """
        await self.consumers[-1](_message("_INBOX", reply, b"", {"Status": "100", **headers}))


def _message(subject: str, reply: str, data: bytes, headers: dict[str, str] | None) -> Msg:
    client: Any = None
    return Msg(_client=client, subject=subject, reply=reply, data=data, headers=headers)


class FollowerTests(TestCase):
    """
    L{Follower}.
    """

    timeout = 10

    def setUp(self) -> None:
        """
        Make one that is in no hurry.
        """
        self.follow(5.0)

    def follow(self, heartbeat: float) -> None:
        """
        Make one, and what it follows, with so many seconds between heartbeats.
        """
        self.server = Server()
        self.follower = Follower(self.server, self.server, 0, heartbeat)
        self.told: list[Entry] = []
        self.mirror = Mirror(self.follower, self.told.append)

    async def start(self) -> None:
        """
        Start following, and wait for the consumer.
        """
        self.mirror.start()
        self.addCleanup(self.mirror.stop)
        await self.until(lambda: len(self.server.asked) == 1)

    async def until(self, condition: Callable[[], bool]) -> None:
        """
        Wait until a condition holds.
        """
        while not condition():
            await deferLater(CLOCK, 0.001)

    async def again(self) -> None:
        """
        Fail unless it begins again, and is complete then.
        """
        await self.until(lambda: len(self.server.consumers) == 2 and not self.mirror.stale)
        self.assertEqual((self.follower.restarts, self.mirror.resyncs, self.server.unsubscribed), (1, 2, 1))

    async def test_consumer(self) -> None:
        """
        It has the server push the last message of each key, unacknowledged, with heartbeats and flow control.
        """
        await self.start()
        verb, question = self.server.asked[0]
        self.assertEqual((verb, question["stream_name"]), ("CONSUMER.CREATE.KV_users", "KV_users"))
        expected = {
            "deliver_subject": "_INBOX.0",
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "filter_subject": "$KV.users.>",
            "flow_control": True,
            "idle_heartbeat": 5_000_000_000,
        }
        self.assertEqual(question["config"], {**question["config"], **expected})
        await self.until(lambda: self.mirror.current)

    async def test_gap(self) -> None:
        """
        When a message is missing, everything is told again; what the old consumer still sends is passed over.
        """
        await self.start()
        await self.server.send(1, 0)
        await self.server.send(3, 0, "b")
        await self.server.send(2, 0, "c")
        self.assertEqual(list(self.mirror.entries), ["a"])
        await self.until(lambda: len(self.server.consumers) == 2)
        await self.server.send(2, 0, "d", consumer=0)
        await self.server.send(1, 0, "e")
        await self.until(lambda: not self.mirror.stale)
        self.assertNotIn("d", self.mirror.entries)
        self.assertIn("e", self.mirror.entries)

    async def test_nonsense(self) -> None:
        """
        So it is after a message that makes no sense.
        """
        await self.start()
        await self.server.consumers[-1](_message("$KV.users.a", "", b"1", None))
        await self.again()

    async def test_silence(self) -> None:
        """
        So it is when even heartbeats stay away, and until then everything counts as known.
        """
        self.follow(0.2)
        await self.start()
        await self.server.send(1, 0)
        self.assertFalse(self.mirror.stale)
        await self.until(lambda: self.mirror.stale)
        self.assertEqual(list(self.mirror.entries), ["a"])
        await self.again()
        self.assertEqual(list(self.mirror.entries), [])

    async def test_heartbeats(self) -> None:
        """
        While heartbeats come all is well; one that shows that something is missing is not.
        """
        self.follow(0.2)
        await self.start()
        await self.server.send(1, 0)
        for _ in range(60):
            await self.server.control({"Nats-Last-Consumer": "1"})
            await deferLater(CLOCK, 0.01)
        self.assertEqual((self.mirror.stale, self.follower.restarts), (False, 0))
        await self.server.control({"Nats-Last-Consumer": "2"})
        await self.again()

    async def test_flow_control(self) -> None:
        """
        The server is answered when it waits for that, whichever way it asks.
        """
        await self.start()
        await self.server.control({"Description": "FlowControl Request"}, "$JS.FC.1")
        await self.server.control({"Nats-Last-Consumer": "0", "Nats-Consumer-Stalled": "$JS.FC.2"})
        self.assertEqual(self.server.sent, ["$JS.FC.1", "$JS.FC.2"])

    async def test_no_consumer(self) -> None:
        """
        When no consumer can be made it is tried again, and each subscription is given up.
        """
        self.server.answers = [UnavailableError("no leader"), UnavailableError("slow")]
        await self.start()
        await self.until(lambda: self.mirror.current)
        self.assertEqual((len(self.server.consumers), self.server.unsubscribed), (3, 2))

    async def test_unexpected(self) -> None:
        """
        What nobody expected is logged, and it is tried again.
        """
        self.server.answers = [{}]
        await self.start()
        await self.until(lambda: self.mirror.current)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_stop(self) -> None:
        """
        Stopped, it takes its consumer away and leaves no task; so it does in the middle of beginning.
        """
        await self.start()
        self.mirror.stop()
        await self.until(lambda: self.server.tasks[0].done())
        self.assertEqual((self.server.unsubscribed, self.server.listeners), (1, []))
        self.assertEqual(self.server.sent, ["$JS.API.CONSUMER.DELETE.KV_users.c1"])
        self.mirror.start()
        self.mirror.stop()
        await self.until(lambda: self.server.tasks[1].done())

    async def test_connections(self) -> None:
        """
        It begins on each new connection; without one, the mirror is stale.
        """
        self.server.link = None
        self.mirror.start()
        self.addCleanup(self.mirror.stop)
        self.assertEqual(self.server.tasks, [])
        self.server.become("connected", self.server)
        await self.until(lambda: self.mirror.current)
        self.server.become("disconnected", None)
        self.assertTrue(self.mirror.stale)
        await self.until(lambda: self.server.tasks[0].done())
        self.server.become("connected", self.server)
        await self.until(lambda: not self.mirror.stale)
        self.assertEqual((self.mirror.resyncs, self.follower.restarts), (2, 0))
