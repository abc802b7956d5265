"""
The connection to NATS, buckets and mirrors, with a real nats-server.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from siger.config.settings.nats import NatsSettings
from siger.messaging.bucket import Entry, Mirror
from siger.messaging.connection import NatsConnection
from siger.messaging.dialling import Dialler, loop_of
from siger.messaging.errors import RevisionError, TooLargeError, UnavailableError
from siger.messaging.following import Follower
from siger.messaging.jetstream import JetStreamBucket
from siger.messaging.link import Link
from tests.integration.nats_credentials import make_credentials
from tests.integration.nats_server import NatsServer
from tests.integration.relay import Relay
from tests.messaging.contract import BucketContract, Store

CLOCK: Any = reactor
Work = Callable[[NatsConnection], Coroutine[Any, Any, None]]


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """
    Wait until a condition holds, and fail when it does not within so many seconds.
    """
    end = CLOCK.seconds() + seconds
    while not condition():
        assert CLOCK.seconds() < end, f"not within {seconds} seconds"
        await deferLater(CLOCK, 0.002)


class MessagingCase(TestCase):
    """
    What these tests need.
    """

    timeout = 60

    def server(self, extra: str = "", start: bool = True) -> NatsServer:
        """
        A server.
        """
        server = NatsServer(extra=extra)
        self.addCleanup(server.stop)
        return server.start() if start else server

    def connection(self, url: str, dialler: Dialler | None = None, **settings: Any) -> NatsConnection:
        """
        A connection that looks for a server.
        """
        connection = NatsConnection(reactor, [url], NatsSettings(**settings), dialler=dialler)
        connection.start()
        self.addCleanup(connection.stop)
        return connection

    async def connected(self, url: str, **settings: Any) -> NatsConnection:
        """
        A connection that stands.
        """
        connection = self.connection(url, **settings)
        await connection.when_connected()
        return connection

    async def mirrored(self, bucket: JetStreamBucket) -> Mirror:
        """
        A mirror that is complete.
        """
        mirror = bucket.mirror(lambda entry: None)
        mirror.start()
        self.addCleanup(mirror.stop)
        await mirror.when_current()
        return mirror

    async def fails(self, error: type[Exception], operation: Deferred[Any]) -> Exception:
        """
        Fail unless an operation fails in this way.
        """
        try:
            result = await operation
        except error as expected:
            return expected
        raise AssertionError(f"{result!r}, not {error.__name__}")

    def log(self) -> list[str]:
        """
        The texts of what is logged from now on.
        """
        texts: list[str] = []

        def note(event: Any) -> None:
            texts.append(f"{getattr(event.get('log_level'), 'name', '')}: {event!r}")

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        return texts


class RealStore:
    """
    A bucket on a server of its own.
    """

    def __init__(self, server: NatsServer, connection: NatsConnection) -> None:
        self.server = server
        self.connection = connection
        self.bucket = connection.bucket("records")

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """
        Wait until the condition holds.
        """
        await until(condition, seconds)

    async def fail(self) -> None:
        """
        Crash.
        """
        self.server.kill()
        await until(lambda: not self.connection.connected)

    async def return_(self, empty: bool = False) -> None:
        """
        Start again.
        """
        if empty:
            shutil.rmtree(self.server.directory / "store")
        self.server.start()
        await self.connection.when_connected()


class BucketTests(BucketContract, MessagingCase):
    """
    The bucket on a real server does what a bucket does.
    """

    async def make_store(self) -> Store:
        """
        A server of its own.
        """
        server = self.server()
        return RealStore(server, await self.connected(server.url))


class StreamTests(MessagingCase):
    """
    The streams behind buckets.
    """

    async def config(self, connection: NatsConnection, name: str) -> dict[str, Any]:
        """
        How a bucket's stream is set up.
        """

        async def ask(link: Link) -> dict[str, Any]:
            return await link.ask(f"$JS.API.STREAM.INFO.KV_{name}")

        config: dict[str, Any] = (await connection.run(ask))["config"]
        return config

    async def test_made(self) -> None:
        """
        A bucket is made when it is first used: in files, with the last value of each key, and its time to live.
        """
        connection = await self.connected(self.server().url)
        await connection.bucket("users").put("a", b"")
        await connection.bucket("revoked", ttl=90).put("a", b"")
        users, revoked = await self.config(connection, "users"), await self.config(connection, "revoked")
        self.assertEqual((users["storage"], users["max_msgs_per_subject"], users["max_age"]), ("file", 1, 0))
        self.assertEqual((revoked["max_age"], revoked["duplicate_window"]), (90_000_000_000, 90_000_000_000))

    async def test_changed(self) -> None:
        """
        A bucket of other settings is changed to what they are now; what else was set on it stays, and its records.
        """
        server = self.server()
        first = await self.connected(server.url)
        await first.bucket("records", ttl=3600).put("a", b"1")

        changed = {**await self.config(first, "records"), "description": "ours", "max_bytes": 1 << 20}

        async def describe(link: Link) -> dict[str, Any]:
            return await link.ask("$JS.API.STREAM.UPDATE.KV_records", changed)

        self.assertNotIn("error", await first.run(describe))
        second = await self.connected(server.url)
        bucket = second.bucket("records", ttl=60)
        self.assertEqual(await bucket.get("a"), Entry("a", b"1", 1))
        config = await self.config(second, "records")
        self.assertEqual((config["max_age"], config["duplicate_window"]), (60_000_000_000, 60_000_000_000))
        self.assertEqual((config["description"], config["max_bytes"]), ("ours", 1 << 20))

    async def test_unchangeable(self) -> None:
        """
        A bucket that cannot be changed is used as it is: one server cannot keep three replicas.
        """
        server = self.server()
        await (await self.connected(server.url)).bucket("records").put("a", b"1")
        many = await self.connected(server.url, replicas=3)
        self.assertEqual(await many.bucket("records").get("a"), Entry("a", b"1", 1))
        await self.fails(UnavailableError, many.bucket("others").get("a"))

    async def test_deleted(self) -> None:
        """
        A bucket that somebody deletes is made again with the next write, and a mirror that lost its consumer by that
        follows the new one.
        """
        connection = await self.connected(self.server().url)
        bucket = connection.bucket("records")
        await bucket.put("a", b"1")
        mirror = Mirror(Follower(connection, bucket, 0, heartbeat=0.2), lambda entry: None)
        mirror.start()
        self.addCleanup(mirror.stop)
        await mirror.when_current()

        async def delete(link: Link) -> dict[str, Any]:
            return await link.ask("$JS.API.STREAM.DELETE.KV_records")

        self.assertTrue((await connection.run(delete))["success"])
        self.assertEqual(await bucket.create("b", b"2"), 1)
        await until(lambda: list(mirror.entries) == ["b"] and not mirror.stale, 3)
        self.assertEqual((connection.reconnects, mirror.resyncs), (0, 2))

    async def test_time_to_live(self) -> None:
        """
        A record is gone when its time to live is over, and its key can be created again.
        """
        connection = await self.connected(self.server().url)
        bucket = connection.bucket("short", ttl=0.3)
        await bucket.create("a", b"1")
        while await bucket.get("a") is not None:
            await deferLater(CLOCK, 0.05)
        self.assertEqual(await bucket.create("a", b"2"), 2)

    async def test_too_large(self) -> None:
        """
        A value that the server would not take is refused before it is sent, as that would end the connection.
        """
        connection = await self.connected(self.server("max_payload: 4096").url)
        bucket = connection.bucket("records")
        fits = 0
        for size in (*range(4000, 4097, 3), 5000):
            try:
                fits = await bucket.put("a", bytes(size))
            except TooLargeError:
                await self.fails(TooLargeError, bucket.put("a", bytes(size)))
        self.assertGreater(fits, 0)
        self.assertEqual((connection.reconnects, connection.errors), (0, 0))

    async def test_no_jetstream(self) -> None:
        """
        A server without JetStream leaves a connection that stands, and operations that fail.
        """
        server = self.server('accounts { A { users: [{user: "a", password: "b"}] } }')
        connection = await self.connected(server.url, user="a", password="b")
        bucket = connection.bucket("records")
        mirror = bucket.mirror(lambda entry: None)
        mirror.start()
        self.addCleanup(mirror.stop)
        await self.fails(UnavailableError, bucket.get("a"))
        await self.fails(UnavailableError, bucket.put("a", b""))
        self.assertEqual((connection.state, connection.errors, mirror.current), ("connected", 2, False))

    async def test_many(self) -> None:
        """
        A mirror of many records, more than the server sends without asking back, is complete when it says so.
        """
        server = self.server()
        connection = await self.connected(server.url)
        bucket = connection.bucket("records")
        for number in range(0, 1500, 50):
            await gatherResults([bucket.put(f"key.{number + i}", bytes(20_000)) for i in range(50)])
        complete: list[int] = []
        for other in (connection, await self.connected(server.url)):
            mirror = other.bucket("records").mirror(lambda entry: None)
            mirror.start()
            self.addCleanup(mirror.stop)
            await mirror.when_current()
            complete.append(len(mirror.entries))
        self.assertEqual(complete, [1500, 1500])


class WritersTests(MessagingCase):
    """
    Several gateways at once.
    """

    async def count(self, bucket: JetStreamBucket, times: int) -> int:
        """
        Add to a counter so often, each time to what it is.

        @return: how often somebody else was first.
        """
        conflicts = 0
        for _ in range(times):
            while True:
                entry = await bucket.get("counter")
                assert entry is not None
                assert entry.value is not None
                try:
                    await bucket.update("counter", b"%d" % (int(entry.value) + 1), entry.revision)
                    break
                except RevisionError:
                    conflicts += 1
        return conflicts

    async def test_thousand_updates(self) -> None:
        """
        Row K10: of a thousand updates by two writers none is lost, and mirrors of both end with the same.
        """
        server = self.server()
        buckets = [(await self.connected(server.url)).bucket("records") for _ in range(2)]
        mirrors = [await self.mirrored(bucket) for bucket in buckets]
        await buckets[0].create("counter", b"0")
        counting = [Deferred.fromCoroutine(self.count(bucket, 500)) for bucket in buckets]
        conflicts = await gatherResults(counting)
        entry = await buckets[0].get("counter")
        assert entry is not None
        self.assertEqual(entry.value, b"1000")
        self.assertGreater(sum(conflicts), 0)
        await until(lambda: all(mirror.entries["counter"] == entry for mirror in mirrors))

    async def test_live(self) -> None:
        """
        What one gateway writes, another's mirror shows well within a second.
        """
        server = self.server()
        one, other = [(await self.connected(server.url)).bucket("records") for _ in range(2)]
        mirror = await self.mirrored(other)
        took = []
        for number in range(50):
            began = CLOCK.seconds()
            revision = await one.put("a", b"%d" % number)
            await until(lambda revision=revision: "a" in mirror.entries and mirror.entries["a"].revision >= revision)
            took.append(CLOCK.seconds() - began)
        self.assertLess(sorted(took)[len(took) // 2], 0.5)

    async def test_one_creates(self) -> None:
        """
        Of many that create a key at once, one does.
        """
        server = self.server()
        buckets = [(await self.connected(server.url)).bucket("records") for _ in range(3)]
        operations = [bucket.create("name", b"%d" % number) for number, bucket in enumerate(buckets * 10)]
        won = []
        for number, operation in enumerate(operations):
            try:
                won.append((number, await operation))
            except Exception as error:
                self.assertEqual(type(error).__name__, "KeyExistsError")
        self.assertEqual(len(won), 1)
        self.assertEqual(await buckets[0].get("name"), Entry("name", b"%d" % won[0][0], won[0][1]))


class OutageTests(MessagingCase):
    """
    Servers and networks that go away.
    """

    async def test_server_later(self) -> None:
        """
        Row K15: without a server the connection goes on looking, quietly, and is there soon after one is.
        """
        texts = self.log()
        server = self.server(start=False)
        connection = self.connection(server.url)
        mirror = connection.bucket("records").mirror(lambda entry: None)
        mirror.start()
        self.addCleanup(mirror.stop)
        await self.fails(UnavailableError, connection.bucket("records").get("a"))
        await until(lambda: connection.failures >= 4)
        self.assertEqual((connection.state, connection.describe()), ("connecting", "connecting"))
        self.assertFalse(connection.connected)
        self.assertEqual(len([text for text in texts if text.startswith("warn")]), 1)
        server.start()
        await connection.when_connected()
        await mirror.when_current()
        self.assertEqual((connection.state, connection.reconnects, mirror.entries), ("connected", 0, {}))

    async def test_changed_meanwhile(self) -> None:
        """
        After an outage of the network a mirror has what others changed meanwhile, and tells of that alone.
        """
        server = self.server()
        relay = await self.relay(server)
        cut_off = await self.connected(relay.url)
        other = (await self.connected(server.url)).bucket("records")
        for key in ("same", "changed", "deleted"):
            await other.put(key, b"1")
        told: list[tuple[str, bytes | None]] = []
        mirror = cut_off.bucket("records").mirror(lambda entry: told.append((entry.key, entry.value)))
        mirror.start()
        self.addCleanup(mirror.stop)
        await mirror.when_current()
        del told[:]
        await relay.cut()
        await until(lambda: mirror.stale)
        await other.put("changed", b"2")
        await other.delete("deleted")
        await other.put("new", b"1")
        self.assertEqual({entry.value for entry in mirror.entries.values()}, {b"1"})
        relay.open()
        await until(lambda: not mirror.stale)
        self.assertEqual(told, [("changed", b"2"), ("deleted", None), ("new", b"1")])
        self.assertEqual((cut_off.reconnects, sorted(mirror.entries)), (1, ["changed", "new", "same"]))

    async def test_nothing_late(self) -> None:
        """
        Row K5: what is refused during an outage is not sent after it.
        """
        server = self.server()
        relay = await self.relay(server)
        connection = await self.connected(relay.url)
        bucket = connection.bucket("records")
        await bucket.put("a", b"1")
        await relay.cut()
        await until(lambda: not connection.connected)
        for number in range(20):
            operation = bucket.put(f"late-{number}", b"")
            self.assertTrue(operation.called)
            await self.fails(UnavailableError, operation)
        relay.open()
        await connection.when_connected()
        await deferLater(CLOCK, 0.3)
        self.assertEqual(list((await self.mirrored(bucket)).entries), ["a"])

    async def test_silent_network(self) -> None:
        """
        A network that passes nothing on is noticed within seconds, whoever waits is told, and the mirror is stale; and
        once it passes everything on again, all is well.
        """
        server = self.server()
        relay = await self.relay(server)
        dialler = Dialler(loop_of(reactor), NatsSettings(), "siger", ping_interval=0.2)
        connection = self.connection(relay.url, dialler)
        await connection.when_connected()
        bucket = connection.bucket("records")
        await bucket.put("a", b"1")
        mirror = await self.mirrored(bucket)
        relay.block()
        waiting = bucket.put("a", bytes(100_000))
        await until(lambda: not connection.connected)
        await self.fails(UnavailableError, waiting)
        self.assertTrue(mirror.stale and mirror.entries["a"].value == b"1")
        relay.unblock()
        await until(lambda: not mirror.stale, 8)
        self.assertEqual(await bucket.get("a"), mirror.entries["a"])

    async def test_quiet(self) -> None:
        """
        A bucket in which nothing happens is followed on the strength of the server's heartbeats.
        """
        connection = await self.connected(self.server().url)
        bucket = connection.bucket("records")
        await bucket.put("a", b"1")
        follower = Follower(connection, bucket, 0, heartbeat=0.5)
        mirror = Mirror(follower, lambda entry: None)
        mirror.start()
        self.addCleanup(mirror.stop)
        await mirror.when_current()
        await deferLater(CLOCK, 1.6)
        self.assertEqual((mirror.stale, mirror.resyncs, follower.restarts), (False, 1, 0))

    async def test_lost_consumer(self) -> None:
        """
        A mirror whose consumer is gone from the server begins again, though the connection stands.
        """
        connection = await self.connected(self.server().url)
        bucket = connection.bucket("records")
        await bucket.put("a", b"1")
        follower = Follower(connection, bucket, 0, heartbeat=0.2)
        mirror = Mirror(follower, lambda entry: None)
        mirror.start()
        self.addCleanup(mirror.stop)
        await mirror.when_current()

        async def delete(link: Link) -> list[str]:
            names: list[str] = (await link.ask("$JS.API.CONSUMER.NAMES.KV_records"))["consumers"]
            for name in names:
                await link.ask(f"$JS.API.CONSUMER.DELETE.KV_records.{name}")
            return names

        self.assertEqual(len(await connection.run(delete)), 1)
        await bucket.put("a", b"2")
        await until(lambda: mirror.entries["a"].value == b"2" and not mirror.stale)
        self.assertEqual((follower.restarts, connection.reconnects), (1, 0))

    async def test_given_up(self) -> None:
        """
        Whoever no longer wants an answer gets none, and the connection goes on.
        """
        connection = await self.connected(self.server().url)
        bucket = connection.bucket("records")
        operation = bucket.get("a")
        operation.cancel()
        await self.fails(CancelledError, operation)
        self.assertEqual((await bucket.put("a", b""), connection.reconnects, connection.errors), (1, 0, 0))

    async def test_other_port(self) -> None:
        """
        A server that comes back on another port is found there at once, however long the pauses have become.
        """
        first, second = self.server(), self.server(start=False)
        connection = await self.connected(first.url)
        first.kill()
        await until(lambda: connection.failures >= 5, 8)
        second.start()
        connection.set_servers([second.url])
        await until(lambda: connection.connected, 1.2)

    async def test_credentials(self) -> None:
        """
        Wrong credentials are said to be that, without saying them; with the right ones it goes on.
        """
        texts = self.log()
        server = self.server('authorization { user: "alice", password: "correct-horse" }')
        wrong = f"nats://alice:wrong-horse@127.0.0.1:{server.port}"
        connection = self.connection(wrong)
        await until(lambda: connection.failures >= 1)
        self.assertEqual((connection.describe(), connection.state), ("credentials refused", "connecting"))
        connection.set_servers([wrong.replace("wrong", "correct")])
        await connection.when_connected()
        self.assertEqual(connection.describe(), "connected")
        self.assertEqual(await connection.bucket("records").put("a", b""), 1)
        self.assertIn("does not accept our credentials", "".join(texts))
        self.assertNotIn("horse", "".join(texts))

    async def test_settings(self) -> None:
        """
        Credentials of the settings are used where the URL has none.
        """
        named = self.server('authorization { user: "alice", password: "secret" }')
        await self.connected(named.url, user="alice", password="secret")
        path = Path(self.mktemp())
        vouched = self.server(make_credentials(path))
        await self.connected(vouched.url, credentials=str(path))
        missing = self.connection(vouched.url, credentials=str(path) + "-missing")
        await until(lambda: missing.failures >= 1)
        tokened = self.server('authorization { token: "secret" }')
        await self.connected(tokened.url, token="secret")

    async def relay(self, server: NatsServer) -> Relay:
        """
        A relay before a server.
        """
        relay = Relay(CLOCK, server.port)
        relay.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(relay.cut()))
        return relay


class Scripted(Protocol):
    """
    Speaks first, answers the first data, and then ends the connection or goes on saying nothing.
    """

    first = b""
    answer = b""
    ends = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.first)
        if self.ends and not self.answer:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.answer)
        if self.ends:
            self.transport.loseConnection()


INFO = b"INFO " + json.dumps({"server_id": "x", "version": "2.10.0", "max_payload": 1 << 20}).encode() + b"\r\n"


class OddServerTests(MessagingCase):
    """
    What listens there may be anything.
    """

    async def test_no_tls(self) -> None:
        """
        One that does without TLS where that was asked for is told nothing at all.
        """
        heard: list[bytes] = []
        script = {"first": INFO, "dataReceived": lambda odd, data: heard.append(data)}
        port = CLOCK.listenTCP(0, Factory.forProtocol(type("Plain", (Scripted,), script)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        connection = self.connection(f"tls://alice:secret@127.0.0.1:{port.getHost().port}")
        await until(lambda: connection.failures >= 2, 5)
        await connection.stop()
        self.assertEqual(heard, [])

    async def meets(self, **script: Any) -> NatsConnection:
        """
        A connection after some attempts on a server that behaves like this.
        """
        texts = self.log()
        factory = Factory.forProtocol(type("Odd", (Scripted,), script))
        port = CLOCK.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        connection = self.connection(f"nats://127.0.0.1:{port.getHost().port}")
        await until(lambda: connection.failures >= 2 or connection.reconnects >= 2, 5)
        await connection.stop()
        if not connection.reconnects:
            self.assertEqual(len([text for text in texts if text.startswith(("warn", "error", "critical"))]), 1)
        return connection

    async def test_ends_at_once(self) -> None:
        """
        One that ends every connection at once is tried on.
        """
        self.assertEqual((await self.meets(ends=True)).reconnects, 0)

    async def test_another_protocol(self) -> None:
        """
        So is one that speaks another protocol.
        """
        self.assertEqual((await self.meets(first=b"SSH-2.0-OpenSSH_9.2\r\n")).reconnects, 0)

    async def test_no_json(self) -> None:
        """
        So is one whose greeting cannot be read.
        """
        self.assertEqual((await self.meets(first=b"INFO {nonsense\r\n")).reconnects, 0)

    async def test_ends_during_greeting(self) -> None:
        """
        So is one that ends after its greeting.
        """
        self.assertEqual((await self.meets(first=INFO, ends=True)).reconnects, 0)

    async def test_neither_yes_nor_no(self) -> None:
        """
        So is one that greets twice instead of answering.
        """
        self.assertEqual((await self.meets(first=INFO, answer=INFO)).reconnects, 0)

    async def test_ends_after_yes(self) -> None:
        """
        One that welcomes and then ends the connection is tried ever more slowly.
        """
        connection = await self.meets(first=INFO, answer=b"PONG\r\n", ends=True)
        self.assertEqual((connection.link, connection.state), (None, "closed"))

    async def test_nonsense_after_yes(self) -> None:
        """
        One that welcomes and then talks nonsense is left.
        """
        await self.meets(first=INFO, answer=b"PONG\r\nNONSENSE\r\n")


class EndTests(MessagingCase):
    """
    What is left of a connection that was stopped.
    """

    async def nothing_left(self, work: Work, server: NatsServer) -> None:
        """
        Fail if there are tasks after stopping a connection that were not there before.
        """
        loop = loop_of(reactor)
        before = asyncio.all_tasks(loop)
        connection = NatsConnection(reactor, [server.url], NatsSettings())
        connection.start()
        await work(connection)
        began = CLOCK.seconds()
        await connection.stop()
        self.assertLess(CLOCK.seconds() - began, 1.5)
        self.assertEqual(asyncio.all_tasks(loop) - before, set())
        self.assertEqual((connection.state, connection.describe(), connection.connected), ("closed", "closed", False))
        await self.fails(UnavailableError, connection.bucket("records").get("a"))
        await connection.stop()

    async def test_connected(self) -> None:
        """
        Nothing, after work; and the mirror can still be read.
        """
        mirrors: list[Mirror] = []

        async def work(connection: NatsConnection) -> None:
            await connection.when_connected()
            bucket = connection.bucket("records")
            await bucket.put("a", b"1")
            mirrors.append(bucket.mirror(lambda entry: None))
            mirrors[0].start()
            await mirrors[0].when_current()

        await self.nothing_left(work, self.server())
        self.assertEqual((list(mirrors[0].entries), mirrors[0].stale), (["a"], True))
        mirrors[0].stop()

    async def test_running(self) -> None:
        """
        What runs when it is stopped is still done.
        """
        running: list[Deferred[int]] = []

        async def work(connection: NatsConnection) -> None:
            await connection.when_connected()
            running.extend(connection.bucket("records").put(f"key-{number}", b"") for number in range(50))

        await self.nothing_left(work, self.server())
        self.assertEqual(sorted(await gatherResults(running)), list(range(1, 51)))

    async def test_looking(self) -> None:
        """
        Nothing, when there never was a server, and when the server is being looked for again.
        """

        async def never(connection: NatsConnection) -> None:
            await until(lambda: connection.failures >= 1)

        async def again(connection: NatsConnection) -> None:
            await connection.when_connected()
            server.kill()
            await until(lambda: connection.failures >= 1)

        server = self.server(start=False)
        await self.nothing_left(never, server)
        server.start()
        await self.nothing_left(again, server)

    async def test_at_once(self) -> None:
        """
        Nothing, when it is stopped in the middle of connecting.
        """
        server = self.server()
        for turns in range(12):

            async def little(connection: NatsConnection, turns: int = turns) -> None:
                for _ in range(turns):
                    await deferLater(CLOCK, 0)

            await self.nothing_left(little, server)
