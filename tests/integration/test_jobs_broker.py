"""
The broker, the records and the projector of jobs, with a real nats-server.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults

from siger.config.settings.jobs import JobsSettings
from siger.jobs.broker import Broker
from siger.jobs.catching import CatchUp
from siger.jobs.errors import ConflictError, FullError
from siger.jobs.events import BY_GATEWAYS, Event, replay
from siger.jobs.identifiers import JobIds
from siger.jobs.logs import UNREADABLE
from siger.jobs.model import Job
from siger.jobs.projector import Projector
from siger.jobs.records import Records
from siger.jobs.streams import (
    CONTROL,
    DEAD,
    EVENTS,
    JOBS,
    PROJECTOR,
    RECORDS_BUCKET,
    alive_subject,
    differences,
    event_subject,
    stream_configs,
)
from siger.jobs.submission import message_bytes, read_message
from siger.jobs.times import timestamp
from siger.messaging.connection import NatsConnection
from siger.messaging.errors import TooLargeError, UnavailableError
from tests.integration.test_messaging import MessagingCase, until
from tests.jobs.making import job

SETTINGS = JobsSettings()
IDS = JobIds()


def claim(job_id: str, attempt: int, worker: str = "w") -> Event:
    """
    A claim of an attempt.
    """
    return Event(job_id, "status", attempt, timestamp(3000), status="processing", worker=worker)


def line(job_id: str, attempt: int, number: int) -> Event:
    """
    A line of output.
    """
    return Event(job_id, "log", attempt, timestamp(3001), message=f"line {number}")


class Gateway:
    """
    What one gateway has of jobs.
    """

    def __init__(self, connection: NatsConnection, settings: JobsSettings = SETTINGS) -> None:
        self.connection = connection
        self.broker = Broker(connection, settings)
        self.records = Records(connection.bucket(RECORDS_BUCKET))
        self.projector = Projector(connection, self.broker.preparation, CatchUp(self.broker, self.records))

    async def ask(self, verb: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Ask JetStream.
        """
        answer: dict[str, Any] = await self.connection.run(lambda link: link.ask(f"$JS.API.{verb}", question))
        return answer

    async def stored(self, stream: str) -> int:
        """
        How many messages a stream has.
        """
        return int((await self.ask(f"STREAM.INFO.{stream}"))["state"]["messages"])

    async def waiting(self) -> int:
        """
        How many events the projectors have not done with.
        """
        about = await self.ask(f"CONSUMER.INFO.{EVENTS}.{PROJECTOR}")
        return int(about["num_pending"]) + int(about["num_ack_pending"])

    async def settled(self, seconds: float = 12.0) -> None:
        """
        Come back when the projectors have nothing to do.
        """
        end = self.connection.clock.seconds() + seconds
        while await self.waiting():
            assert self.connection.clock.seconds() < end, "events are left"
            await until_later(0.02)


async def until_later(seconds: float) -> None:
    """
    Wait.
    """
    done: Deferred[None] = Deferred()
    clock: Any = reactor
    clock.callLater(seconds, done.callback, None)
    await done


class BrokerCase(MessagingCase):
    """
    What these tests need.
    """

    async def gateway(self, url: str, settings: JobsSettings = SETTINGS, prepared: bool = True) -> Gateway:
        """
        A gateway that knows everything.
        """
        gateway = Gateway(await self.connected(url), settings)
        gateway.broker.start()
        self.addCleanup(gateway.broker.stop)
        gateway.records.start()
        self.addCleanup(gateway.records.stop)
        if prepared:
            await gateway.broker.preparation.prepare()
            await gateway.records.when_current()
        return gateway

    def project(self, gateway: Gateway) -> None:
        """
        Let a gateway do its part until the test ends.
        """
        gateway.projector.start()
        self.addCleanup(gateway.projector.stop)


class StreamsTests(BrokerCase):
    """
    Everything is made, and kept as it should be.
    """

    async def test_made(self) -> None:
        """
        Two gateways that come at once make all streams and consumers, as they are described.
        """
        url = self.server().url
        one, _ = await gatherResults([Deferred.fromCoroutine(self.gateway(url)) for _ in range(2)])
        for config in stream_configs(1, SETTINGS.retention_days):
            found = (await one.ask(f"STREAM.INFO.{config['name']}"))["config"]
            self.assertEqual(found, {**found, **{key: config[key] for key in ("subjects", "retention", "storage")}})
            self.assertEqual(differences(found, config), {})
        names = (await one.ask(f"CONSUMER.NAMES.{JOBS}"))["consumers"]
        lanes = ("high", "low", "normal")
        self.assertEqual(sorted(names), sorted(f"work-{type_}-{lane}" for type_ in SETTINGS.types for lane in lanes))
        lease = (await one.ask(f"CONSUMER.INFO.{JOBS}.work-inference-high"))["config"]["ack_wait"]
        self.assertEqual(lease, 30_000_000_000)

    async def test_repaired(self) -> None:
        """
        What somebody changed, or other settings change, is as it should be once a gateway has come.
        """
        url = self.server().url
        one = await self.gateway(url)
        config = stream_configs(1, SETTINGS.retention_days)[0]
        await one.ask(f"STREAM.UPDATE.{JOBS}", {**config, "max_msgs": 5, "discard": "old"})
        await self.gateway(url, JobsSettings(lease=7.0, retention_days=3))
        found = (await one.ask(f"STREAM.INFO.{JOBS}"))["config"]
        self.assertEqual((found["max_msgs"], found["discard"]), (1_000_000, "new"))
        self.assertEqual((await one.ask(f"STREAM.INFO.{EVENTS}"))["config"]["max_age"], 3 * 86400 * 10**9)
        about = await one.ask(f"CONSUMER.INFO.{JOBS}.work-inference-low")
        self.assertEqual(about["config"]["ack_wait"], 7_000_000_000)

    async def test_taken_away(self) -> None:
        """
        A stream that is gone is made again by whoever publishes next, and a log that is gone reads as empty.
        """
        one = await self.gateway(self.server().url)
        await one.ask(f"STREAM.DELETE.{JOBS}")
        self.assertEqual(await one.broker.publish_job(b"{}", "inference", "high", "a"), 1)
        await one.ask(f"STREAM.DELETE.{EVENTS}")
        self.assertEqual(await one.broker.publish_event(claim("a", 1), 0), 1)
        await one.ask(f"STREAM.DELETE.{EVENTS}")
        self.assertEqual(await one.broker.read_events("a", 0), [])


class PublishingTests(BrokerCase):
    """
    What is published is where it belongs, once.
    """

    async def test_job(self) -> None:
        """
        Row K2: a job that is published twice is in the queue once, and both times its place is told.
        """
        one = await self.gateway(self.server().url)
        content = message_bytes(job(job_id="a"))
        first = await one.broker.publish_job(content, "inference", "high", "a")
        self.assertEqual(await one.broker.publish_job(content, "inference", "high", "a"), first)
        self.assertEqual((one.broker.published, one.broker.duplicates, await one.stored(JOBS)), (2, 1, 1))
        message = (await one.ask(f"STREAM.MSG.GET.{JOBS}", {"seq": first}))["message"]
        self.assertEqual(message["subject"], "jobs.submit.inference.high")

    async def test_orders(self) -> None:
        """
        Row K12: orders and submissions that failed are in streams of their own; of orders only the last is kept.
        """
        one = await self.gateway(self.server().url)
        await one.broker.publish_control("a", "other")
        await one.broker.publish_control("a", "cancel")
        await one.broker.publish_dead(job(job_id="a", attempts=3), "worker lost")
        await one.broker.publish_dead(job(job_id="a", attempts=3), "worker lost")
        self.assertEqual([await one.stored(stream) for stream in (JOBS, EVENTS, CONTROL, DEAD)], [0, 0, 1, 1])
        order = await one.connection.run(lambda link: link.request(f"$JS.API.DIRECT.GET.{CONTROL}.jobs.control.a"))
        self.assertEqual(json.loads(order.data)["action"], "cancel")
        dead = await one.connection.run(lambda link: link.request(f"$JS.API.DIRECT.GET.{DEAD}.jobs.dlq.ai_training"))
        self.assertEqual(read_message(dead.data).job_id, "a")
        self.assertEqual(json.loads(dead.data)["attempts"], 3)

    async def test_conflict(self) -> None:
        """
        An entry that is to follow another one stands only if it does.
        """
        one = await self.gateway(self.server().url)
        first = await one.broker.publish_event(claim("a", 1), 0)
        await one.broker.publish_event(claim("b", 1), 0)
        await self.fails(ConflictError, one.broker.publish_event(claim("a", 1), 0))
        second = await one.broker.publish_event(claim("a", 2), first)
        await self.fails(ConflictError, one.broker.publish_event(claim("a", 2), first))
        await one.broker.publish_event(line("a", 2, 1))
        self.assertEqual(second, first + 2)
        self.assertEqual(await one.stored(EVENTS), 4)

    async def test_many_claims(self) -> None:
        """
        Of many who claim a job at once over two connections, one gets it.
        """
        url = self.server().url
        two = [await self.gateway(url) for _ in range(2)]
        claims = [two[number % 2].broker.publish_event(claim("a", 1, f"w{number}"), 0) for number in range(40)]
        outcomes: Any = await DeferredList(claims, consumeErrors=True)
        self.assertEqual(sum(success for success, _ in outcomes), 1)
        self.assertTrue(all(failure.check(ConflictError) for success, failure in outcomes if not success))
        self.assertEqual(await two[0].stored(EVENTS), 1)

    async def test_full(self) -> None:
        """
        Row K7: a queue without room refuses, and keeps what it has.
        """
        one = await self.gateway(self.server().url)
        config = stream_configs(1, SETTINGS.retention_days)[0]
        await one.ask(f"STREAM.UPDATE.{JOBS}", {**config, "max_msgs": 2})
        for name in ("a", "b"):
            await one.broker.publish_job(b"{}", "inference", "high", name)
        await self.fails(FullError, one.broker.publish_job(b"{}", "inference", "high", "c"))
        self.assertEqual(await one.broker.publish_job(b"{}", "inference", "high", "a"), 1)
        self.assertEqual(await one.stored(JOBS), 2)

    async def test_too_large(self) -> None:
        """
        Row K6: what the server would not take, headers included, is refused, and the connection stands.
        """
        one = await self.gateway(self.server("max_payload: 4096").url)
        self.assertEqual(one.broker.max_payload, 4096)
        await self.fails(TooLargeError, one.broker.publish_job(b"x" * 4090, "inference", "high", "a"))
        await one.broker.publish_job(b"x" * 4000, "inference", "high", "b")
        self.assertEqual((one.connection.reconnects, await one.stored(JOBS)), (0, 1))

    async def test_away(self) -> None:
        """
        Rows K1, K5: while the server is away everything is refused at once, and none of it is sent later.
        """
        server = self.server()
        one = await self.gateway(server.url)
        server.kill()
        await until(lambda: not one.broker.connected)
        await self.fails(UnavailableError, one.broker.publish_job(b"{}", "inference", "high", "a"))
        await self.fails(UnavailableError, one.broker.publish_event(claim("a", 1), 0))
        await self.fails(UnavailableError, one.broker.read_events("a", 0))
        await self.fails(UnavailableError, one.broker.last_event("a"))
        server.start()
        await one.connection.when_connected()
        await one.broker.preparation.prepare()
        self.assertEqual((await one.stored(JOBS), await one.stored(EVENTS)), (0, 0))
        self.assertIsNone(await one.broker.last_event("a"))

    async def test_killed(self) -> None:
        """
        Rows K1, K2, K5: a server is killed amid many publications: what was acknowledged is stored, and when all that
        was not is published again, every job is there once.
        """
        server = self.server()
        one = await self.gateway(server.url)
        names = [f"job-{number}" for number in range(600)]
        left = first = iter(names)
        acknowledged: dict[str, int] = {}

        async def publish_all() -> None:
            for name in left:
                acknowledged[name] = await one.broker.publish_job(b"{}", "inference", "low", name)
                if len(acknowledged) == 200 and left is first:
                    server.kill()

        outcomes: Any = await DeferredList(
            [Deferred.fromCoroutine(publish_all()) for _ in range(50)], consumeErrors=True
        )
        self.assertTrue(all(failure.check(UnavailableError) for success, failure in outcomes if not success))
        before = dict(acknowledged)
        self.assertLess(len(before), 600)
        await until(lambda: not one.broker.connected)
        server.start()
        await one.connection.when_connected()
        left = iter(names)
        await gatherResults([Deferred.fromCoroutine(publish_all()) for _ in range(50)])
        self.assertEqual({name: acknowledged[name] for name in before}, before)
        self.assertEqual(sorted(acknowledged.values()), list(range(1, 601)))
        self.assertEqual(await one.stored(JOBS), 600)


class LogsTests(BrokerCase):
    """
    Logs are read whole and in order.
    """

    async def test_read(self) -> None:
        """
        Entries come in their order, from where one asks for and as many.
        """
        one = await self.gateway(self.server().url)
        self.assertEqual(await one.broker.read_events("a", 0), [])
        self.assertIsNone(await one.broker.last_event("a"))
        events = [claim("a", 1), *(line("a", 1, number) for number in range(5))]
        log = []
        for event in events:
            log.append((await one.broker.publish_event(event), event))
            await one.broker.publish_event(claim("b", 1))
        self.assertEqual(await one.broker.read_events("a", 0), log)
        self.assertEqual(await one.broker.read_events("a", log[1][0], 3), log[2:5])
        self.assertEqual(await one.broker.read_events("a", log[2][0], at_least=log[4][0]), log[3:])
        self.assertEqual(await one.broker.read_events("a", log[-1][0], at_least=log[-1][0]), [])
        self.assertEqual(await one.broker.last_event("a"), (log[-1][1], log[-1][0]))

    async def test_long(self) -> None:
        """
        A log that is longer than one answer is read without a gap.
        """
        one = await self.gateway(self.server().url)
        for first in range(0, 2100, 300):  # each is to be acknowledged within seconds
            await gatherResults([one.broker.publish_event(line("a", 1, first + number)) for number in range(300)])
        log = await one.broker.read_events("a", 0, 5000)
        self.assertEqual([sequence for sequence, _ in log], list(range(1, 2101)))
        self.assertEqual(log[2099][1].message, "line 2099")

    async def test_unreadable(self) -> None:
        """
        Row K13: what is no event, or another job's, has its place in a log and no meaning.
        """
        one = await self.gateway(self.server().url)
        await one.connection.run(lambda link: link.request(event_subject("a"), b"\xff{"))
        await one.connection.run(lambda link: link.request(event_subject("a"), claim("b", 1).to_json()))
        log = await one.broker.read_events("a", 0)
        self.assertEqual([(sequence, event.event) for sequence, event in log], [(1, UNREADABLE), (2, UNREADABLE)])
        last = await one.broker.last_event("a")
        assert last is not None
        self.assertEqual(await one.broker.publish_event(claim("a", 1), last[1]), 3)


class LiveTests(BrokerCase):
    """
    What happens is heard as it happens.
    """

    async def test_events(self) -> None:
        """
        Every gateway hears all events, in their order; after an outage it is told that it may have missed some.
        """
        server = self.server()
        one, two = [await self.gateway(server.url) for _ in range(2)]
        heard: list[Any] = []
        places: list[Any] = []
        self.addCleanup(two.broker.on_event(lambda job_id, sequence, event: heard.append((sequence, event))))
        self.addCleanup(two.broker.on_position(lambda job_id, sequence: places.append((job_id, sequence))))
        self.addCleanup(two.broker.on_reset(lambda: heard.append("reset")))
        await until(lambda: two.broker.live.current)
        heard.clear()
        await one.broker.publish_event(claim("a", 1), 0)
        await one.broker.publish_event(line("b", 1, 1))
        await until(lambda: len(heard) == 2)
        self.assertEqual(heard, [(1, claim("a", 1)), (2, line("b", 1, 1))])
        self.assertEqual(places, [("a", 1), ("b", 2)])
        server.kill()
        await until(lambda: not one.broker.connected)
        server.start()
        await one.connection.when_connected()
        await until(lambda: "reset" in heard, 5)
        await one.broker.publish_event(line("a", 1, 1))
        await until(lambda: len(heard) == 4)
        self.assertEqual(heard[2:], ["reset", (3, line("a", 1, 1))])

    async def test_signs_of_life(self) -> None:
        """
        Signs of life are heard, also over the next connection; what is none is passed over.
        """
        server = self.server()
        one = await self.gateway(server.url)
        heard: list[Any] = []
        self.addCleanup(one.broker.on_alive(lambda job_id, attempt: heard.append((job_id, attempt))))

        async def say(content: bytes) -> None:
            await one.connection.run(lambda link: link.publish(alive_subject("a"), content))

        for content in (b"", b"[]", b'{"attempt": "1"}', b'{"attempt": 2}'):
            await say(content)
        await until(lambda: heard == [("a", 2)])
        server.kill()
        await until(lambda: not one.broker.connected)
        server.start()
        await one.connection.when_connected()
        await one.ask("INFO")
        await say(b'{"attempt": 3}')
        await until(lambda: heard == [("a", 2), ("a", 3)])


class ProjectorTests(BrokerCase):
    """
    Records become what logs say.
    """

    def life(self, job_id: str, random: Random) -> list[Event]:
        """
        What may become of a job: some attempts, much talk, perhaps a cancellation, and an end.
        """
        events: list[Event] = []
        for attempt in range(1, random.randint(2, 4)):
            at = timestamp(3000 + attempt)
            events.append(claim(job_id, attempt, f"w{attempt}"))
            for number in range(random.randint(0, 5)):
                events.append(line(job_id, attempt, number))
                events.append(Event(job_id, "progress", attempt, at, progress=20 * number, message=f"at {number}"))
            events.append(Event(job_id, "status", attempt, at, status="retrying", returned=random.random() < 0.5))
        if random.random() < 0.3:
            events.append(Event(job_id, "status", BY_GATEWAYS, timestamp(3500), status="cancelling"))
        end = random.choice(["completed", "failed", "cancelled"])
        events.append(Event(job_id, "status", attempt, timestamp(4000), status=end, result={"x": random.random()}))
        return events

    async def publish(self, gateways: list[Gateway], lives: list[list[Event]]) -> None:
        """
        Publish the events of each life in their order, those of all lives at the same time.
        """

        async def live(gateway: Gateway, events: list[Event]) -> None:
            for event in events:
                while True:
                    try:
                        await gateway.broker.publish_event(event)
                    except UnavailableError:
                        await until_later(0.05)
                    else:
                        break

        works = [live(gateways[number % len(gateways)], events) for number, events in enumerate(lives)]
        await gatherResults([Deferred.fromCoroutine(work) for work in works])

    async def submitted(self, gateway: Gateway, number: int) -> list[Job]:
        """
        Records of jobs.
        """
        jobs = [job(job_id=IDS.next()) for _ in range(number)]
        await gatherResults([gateway.records.create(each) for each in jobs])
        return jobs

    async def check(self, gateways: list[Gateway], jobs: list[Job]) -> None:
        """
        Every record, on every gateway and on the server, is the straight replay of its log.
        """
        for each in jobs:
            log = await gateways[0].broker.read_events(each.job_id, 0, 1000)
            expected = replay(each, log)
            self.assertTrue(expected.terminal)
            self.assertEqual(await gateways[0].records.fetch(each.job_id), expected)
            for gateway in gateways:
                await until(lambda gateway=gateway, expected=expected: gateway.records.get(expected.job_id) == expected)

    async def test_two(self) -> None:
        """
        Two gateways that take events at the same time write the same records as a straight replay of the logs, and
        both do a part of it.
        """
        url = self.server().url
        two = [await self.gateway(url) for _ in range(2)]
        jobs = await self.submitted(two[0], 60)
        for gateway in two:
            self.project(gateway)
        random = Random(1)
        lives = [self.life(each.job_id, random) for each in jobs]
        await self.publish(two, lives)
        await two[0].settled()
        await self.check(two, jobs)
        parts = [gateway.projector.applied for gateway in two]
        self.assertGreater(min(parts), 0)
        self.assertGreaterEqual(sum(parts), sum(map(len, lives)))

    async def test_killed(self) -> None:
        """
        The same when the server is killed twice meanwhile.
        """
        server = self.server()
        two = [await self.gateway(server.url) for _ in range(2)]
        jobs = await self.submitted(two[0], 30)
        for gateway in two:
            self.project(gateway)
        random = Random(2)
        published = Deferred.fromCoroutine(self.publish(two, [self.life(each.job_id, random) for each in jobs]))
        for number in (30, 120):
            await until(lambda number=number: sum(gateway.projector.applied for gateway in two) > number, 5)
            server.kill()
            await until(lambda: not any(gateway.broker.connected for gateway in two))
            server.start()
        await published
        await two[0].settled(20)
        await self.check(two, jobs)

    async def test_backlog(self) -> None:
        """
        Events that wait become few writes: one for each job of a batch, not one for each event.
        """
        one = await self.gateway(self.server().url)
        jobs = await self.submitted(one, 5)
        random = Random(3)
        lives = [self.life(each.job_id, random) for each in jobs]
        await self.publish([one], lives)
        self.project(one)
        await one.settled()
        await self.check([one], jobs)
        about = await one.ask(f"STREAM.INFO.KV_{RECORDS_BUCKET}")
        self.assertLessEqual(about["state"]["last_seq"], 5 + 2 * 5)
        self.assertGreater(sum(map(len, lives)), 40)

    async def test_not_applicable(self) -> None:
        """
        What is no event is passed over at once; an event without a record after some tries. Others do not wait.
        """
        one = await self.gateway(self.server().url)
        [known] = await self.submitted(one, 1)
        await one.connection.run(lambda link: link.request(event_subject("a"), b"no event"))
        await one.broker.publish_event(claim("nobody", 1))
        await one.broker.publish_event(claim(known.job_id, 1))
        self.project(one)
        await until(lambda: one.records.get(known.job_id).status == "processing")  # type: ignore[union-attr]
        self.assertEqual((one.projector.unreadable, one.projector.orphans), (1, 0))
        await one.settled()
        self.assertEqual((one.projector.unreadable, one.projector.orphans), (1, 1))

    async def test_stopped(self) -> None:
        """
        A gateway that stops leaves nothing undone that another would have to wait for.
        """
        url = self.server().url
        one, two = [await self.gateway(url) for _ in range(2)]
        jobs = await self.submitted(one, 20)
        random = Random(4)
        self.project(one)
        await self.publish([one], [self.life(each.job_id, random) for each in jobs])
        await one.projector.stop()
        self.project(two)
        await two.settled(5)
        await self.check([one, two], jobs)
