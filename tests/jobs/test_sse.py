"""
Tests for L{siger.jobs.sse} and L{siger.jobs.event_stream}: real streams over the bridge to local endpoints.
"""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.jobs.event_stream import HEARTBEAT, KEEP_ALIVE, EventStream
from siger.jobs.feed import BATCH
from siger.jobs.sse import EXPIRED, GOODBYE
from tests.jobs.live_log import Client, GatewayOf, MemoryLogs, identity
from tests.jobs.making import event, job, status

BIG = "x" * 4000


class StreamCase(SynchronousTestCase):
    """
    A gateway that serves a job.
    """

    def setUp(self) -> None:
        """
        Nothing has happened.
        """
        self.clock = Clock()
        self.logs = MemoryLogs()
        self.gateway = GatewayOf(self.logs, self.clock, most=3)

    def open(self, last: object = None, **options: Any) -> Client:
        """
        A client that the stream was opened for.
        """
        client = Client(self.gateway, last, **options)
        self.assertEqual(client.stream.status, 200, client.stream.body)
        self.assertFalse(client.stream.ended)
        return client

    def refused(self, client: Client, reason: Reason) -> dict[str, Any]:
        """
        Fail unless it was refused for this reason.
        """
        document: dict[str, Any] = orjson.loads(client.stream.body)
        self.assertEqual((client.stream.status, document["reason"]), (reason.status, reason.code))
        return document

    def wait(self, seconds: float) -> None:
        """
        Let time pass.
        """
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)

    def gone(self) -> None:
        """
        Fail if anything is left of the streams.
        """
        self.assertEqual((len(self.gateway.streams), len(self.gateway.feed)), (0, 0))
        self.assertEqual((self.gateway.streams._users, self.gateway.feed._readers), ({}, {}))


class ProtocolTests(StreamCase):
    """
    What a stream looks like.
    """

    def test_head(self) -> None:
        """
        The head says what it is, and that nobody on the way shall keep it or wait for more; it is sent at once.
        """
        fields = self.open().stream.fields()
        self.assertEqual(fields["content-type"], ["text/event-stream; charset=utf-8"])
        self.assertEqual(fields["cache-control"], ["no-store"])
        self.assertEqual((fields["x-accel-buffering"], fields["incremental"]), (["no"], ["?1"]))

    def test_from_the_beginning(self) -> None:
        """
        A stream begins with how long to wait before another attempt, and that the job was queued; then comes the log,
        each entry with its sequence as id and its JSON on one line.
        """
        self.logs.say(status("processing", worker="w1"))
        self.logs.say(event("log", 1, message="first\nline\u2028\r"), "another")
        self.logs.say(event("progress", 1, progress=50))
        client = self.open()
        self.assertTrue(client.text.startswith("retry: 2000\n\nevent: status\ndata: {"), client.text)
        self.assertEqual(
            [(place, kind) for place, kind, _ in client.told], [(None, "status"), (1, "status"), (3, "progress")]
        )
        self.assertEqual(client.told[0][2]["status"], "queued")
        self.assertEqual(client.told[1][2], orjson.loads(self.logs.log()[0][1].to_json()))
        self.logs.say(event("log", 1, message="two\r\nlines \u2028 \U0001f680"))
        self.assertEqual(client.told[-1][2]["message"], "two\r\nlines \u2028 \U0001f680")
        self.assertEqual(client.stream.body.count(b"\r"), 0)

    def test_as_it_happens(self) -> None:
        """
        What happens to the job is told at once, what happens to others is not.
        """
        client = self.open()
        self.assertEqual(client.ids, [])
        self.logs.say(status("processing"))
        self.assertEqual(client.ids, [1])
        self.logs.say(event("log", 1), "another")
        self.logs.say(event("log", 1))
        self.assertEqual(client.ids, [1, 3])

    def test_end(self) -> None:
        """
        The stream ends after the event that ends the job, and nothing is left of it.
        """
        client = self.open()
        self.logs.say(status("processing"))
        self.logs.say(status("completed", result={"loss": 0.5}))
        self.assertTrue(client.stream.ended)
        self.assertEqual((client.ids, client.told[-1][2]["result"]), ([1, 2], {"loss": 0.5}))
        self.gone()

    def test_one_that_has_ended(self) -> None:
        """
        The log of a job that has ended is told to its end at once.
        """
        self.logs.say(status("processing"))
        self.logs.say(status("failed", error="no"))
        self.gateway.record = job(status="failed", attempts=1, event_seq=2)
        client = Client(self.gateway)
        self.assertTrue(client.stream.ended)
        self.assertEqual(client.ids, [1, 2])
        self.gone()

    def test_nothing_to_come(self) -> None:
        """
        Who has the end already is told that there is no content, so that a browser stays away: whether the record
        knows it or only the log.
        """
        for word in ("processing", "completed"):
            self.logs.say(status(word))
        for record in (
            job(status="completed", attempts=1, event_seq=2),
            job(status="processing", attempts=1, event_seq=1),
        ):
            self.gateway.record = record
            for last in (2, 3, 2**63 - 1):
                client = Client(self.gateway, last)
                self.assertEqual((client.stream.status, client.stream.body, client.stream.ended), (204, b"", True))
        self.gone()

    def test_head_request(self) -> None:
        """
        HEAD gets the head and no stream.
        """
        client = Client(self.gateway, method="HEAD")
        self.assertEqual((client.stream.status, client.stream.body, client.stream.ended), (200, b"", True))
        self.assertEqual(client.stream.fields()["content-type"], ["text/event-stream; charset=utf-8"])
        self.gone()

    def test_log_that_is_gone(self) -> None:
        """
        When the log of a job that has ended is not kept any more, its record tells how it ended; after a while, as
        entries may only be late.
        """
        self.gateway.record = job(status="failed", attempts=1, event_seq=7, message="no")
        client = self.open()
        self.wait(10)
        self.assertTrue(client.stream.ended)
        self.assertEqual([(place, data["status"]) for place, _, data in client.told], [(None, "queued"), (7, "failed")])
        self.assertEqual(Client(self.gateway, client.last).stream.status, 204)
        self.gone()


class ResumingTests(StreamCase):
    """
    Going on where one was.
    """

    def say(self, count: int) -> None:
        """
        Log some lines.
        """
        for number in range(count):
            self.logs.say(event("log", 1, message=str(number)))

    def test_last_event_id(self) -> None:
        """
        Who has some of it is told the rest, without what comes before the log.
        """
        self.say(5)
        for record in (job(), job(event_seq=5, attempts=1, status="processing")):
            self.gateway.record = record
            client = self.open(3)
            self.assertEqual([place for place, _, _ in client.told], [4, 5])
            client.leave()

    def test_from(self) -> None:
        """
        The address may say the place, too; the field, which a browser sets later, counts for more. 0 is the beginning,
        and so is nothing.
        """
        self.say(5)
        for last, query, first in ((None, "?from=3", 4), (4, "?from=3", 5), (0, "?from=3", None), ("", "", None)):
            client = self.open(last, query=query)
            self.assertEqual(client.told[0][0], first, (last, query))
            client.leave()

    def test_no_number(self) -> None:
        """
        What is no id is refused.
        """
        for last in ("x", "-1", "1.5", "1e3", "9223372036854775808", "0" * 30, "\u0661".encode()):
            document = self.refused(Client(self.gateway, last), Reason.INVALID_FIELDS)
            self.assertEqual(document["errors"][0]["parameter"], "Last-Event-ID")
        document = self.refused(Client(self.gateway, query="?from=end"), Reason.INVALID_FIELDS)
        self.assertEqual(document["errors"][0]["parameter"], "from")
        self.gone()

    def test_beyond_the_end(self) -> None:
        """
        Who claims to have more than there is waits, and is told nothing that it claims to have.
        """
        self.say(2)
        client = self.open(4)
        self.say(3)
        self.assertEqual(client.ids, [5])

    def test_long_logs(self) -> None:
        """
        A log of many batches is told whole, and so is the rest of one whose beginning has to be looked at.
        """
        self.say(3 * BATCH + 7)
        self.assertEqual(self.open().ids, [sequence for sequence, _ in self.logs.log()])
        self.gateway.record = job(status="processing", attempts=2, event_seq=3)
        self.assertEqual(self.open(2 * BATCH + 1).ids, list(range(2 * BATCH + 2, 3 * BATCH + 8)))

    def test_a_ghost_stays_one(self) -> None:
        """
        A worker that was given up is not heard by those who come later either.
        """
        for each in (status("processing", 1), status("processing", 2), event("log", 1), event("log", 2)):
            self.logs.say(each)
        self.gateway.record = job(status="processing", attempts=2, event_seq=2)
        self.assertEqual(self.open(2).ids, [4])


class FlowTests(StreamCase):
    """
    Clients that are slow.
    """

    def test_nothing_is_read_for_who_does_not_read(self) -> None:
        """
        While a client is slow nothing is read for it, and nothing written; then it gets everything.
        """
        client = self.open()
        client.pause()
        asked, body = len(self.gateway.view.asked), client.stream.body
        for _ in range(250):
            self.logs.say(event("log", 1))
        self.wait(60)
        self.gateway.view.return_()
        self.assertEqual((len(self.gateway.view.asked), client.stream.body), (asked, body))
        client.resume()
        self.assertEqual(client.ids, list(range(1, 251)))

    def test_what_is_not_taken_is_let_go(self) -> None:
        """
        When a client becomes slow in the middle of a batch the rest of it is not written, and read again later.
        """
        client = self.open()
        self.gateway.view.leave()
        for _ in range(50):
            self.logs.say(event("log", 1, message=BIG))
        send, sizes = client.stream.send_body, []

        def send_body(data: bytes) -> None:
            sizes.append(len(data))
            send(data)
            client.pause()

        client.stream.send_body = send_body  # type: ignore[method-assign]
        self.gateway.view.return_()
        self.assertTrue(0 < len(client.ids) < 10)
        for _ in range(100):
            client.resume()
        self.assertEqual(client.ids, list(range(1, 51)))
        self.assertTrue(max(sizes) < 25_000, max(sizes))

    def test_paused_while_reading(self) -> None:
        """
        What is read when the client has become slow meanwhile is read again.
        """
        client = self.open()
        self.gateway.view.held = []
        self.logs.say(event("log", 1))
        client.pause()
        self.gateway.view.release()
        self.assertEqual(client.ids, [])
        client.resume()
        self.assertEqual(client.ids, [1])

    def test_leaving(self) -> None:
        """
        Nothing is left of a stream whose client leaves, whatever it waits for.
        """
        for prepare in ("idle", "reading", "paused", "away", "failed", "beginning"):
            self.gateway.view.held = [] if prepare == "beginning" else None
            client = Client(self.gateway)
            if prepare == "reading":
                self.gateway.view.held = []
                self.logs.say(event("log", 1))
            elif prepare == "paused":
                client.pause()
            elif prepare == "away":
                self.gateway.view.leave()
                self.logs.say(event("log", 1))
                self.gateway.view.return_()
            elif prepare == "failed":
                self.gateway.view.held = []
                self.logs.say(event("log", 1))
                self.gateway.view.leave()
                self.gateway.view.return_()
                self.gateway.view.held = []
                self.logs.say(event("log", 1))
                self.gateway.view.leave()
                self.gateway.view.away = False
            client.leave()
            self.wait(0.1)
            self.gone()
            self.gateway.view.release()
            self.assertEqual(len(self.clock.getDelayedCalls()), 1, prepare)  # the ticks

    def test_the_size_of_a_stream(self) -> None:
        """
        A stream has a fixed set of slots, and no place for events.
        """
        self.assertFalse(hasattr(EventStream(self.gateway.feed, None, None, 0, self.clock), "__dict__"))  # type: ignore[arg-type]


class OutageTests(StreamCase):
    """
    NATS goes away.
    """

    def test_cannot_begin(self) -> None:
        """
        A stream cannot begin while logs cannot be read.
        """
        self.gateway.view.leave()
        client = Client(self.gateway)
        self.refused(client, Reason.STORE_UNAVAILABLE)
        self.assertEqual(client.stream.fields()["retry-after"], ["2"])
        self.gone()

    def test_goes_on(self) -> None:
        """
        One that has begun stays, with heartbeats, and goes on by itself with what happened meanwhile.
        """
        client = self.open()
        self.logs.say(event("log", 1))
        self.gateway.view.leave()
        self.logs.say(event("log", 1))
        self.wait(40)
        self.assertEqual((client.ids, client.text.count(": keep-alive")), ([1], 2))
        self.gateway.view.return_()
        self.assertEqual(client.ids, [1, 2])

    def test_lost_while_reading(self) -> None:
        """
        A read that fails is tried again, also when the connection stays.
        """
        client = self.open()
        self.gateway.view.held = []
        self.logs.say(event("log", 1))
        self.gateway.view.leave()
        self.gateway.view.away = False
        self.assertEqual(client.ids, [])
        self.wait(1.1)
        self.assertEqual(client.ids, [1])

    def test_lost_while_reading_to_the_end(self) -> None:
        """
        A read for what may have been missed is tried again until it is answered.
        """
        client = self.open()
        self.gateway.view.held = []
        self.gateway.view.return_()
        self.gateway.view.leave()
        self.logs.say(event("log", 1))
        self.gateway.view.away = False
        self.wait(1.1)
        self.assertEqual(client.ids, [1])

    def test_slow_to_begin(self) -> None:
        """
        Nothing is sent before the log could be read, as it may be that the answer is another; then all is as ever.
        """
        self.gateway.view.held = []
        client = Client(self.gateway)
        self.logs.say(event("log", 1))
        self.wait(HEARTBEAT + 5)
        self.assertIs(client.stream.status, None)
        self.gateway.view.release()
        self.clock.advance(0)
        self.assertEqual((client.stream.status, client.ids), (200, [1]))

    def test_given_up_by_the_broker(self) -> None:
        """
        A read that is called off is no reason to say that nothing more comes.
        """
        self.gateway.view.held = []
        self.gateway.view.read_events = lambda *arguments: fail(CancelledError())  # type: ignore[method-assign]
        self.refused(Client(self.gateway), Reason.INTERNAL_ERROR)
        self.gone()
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_reset_while_reading(self) -> None:
        """
        What happened unheard, after a read was asked for and before the outage was over, is read.
        """
        client = self.open()
        self.gateway.view.held = []
        self.logs.say(event("log", 1))
        self.gateway.view.away = True
        self.logs.say(event("log", 1))
        held, self.gateway.view.held = self.gateway.view.held, None
        self.gateway.view.return_()
        for release in held:
            release()
        self.assertEqual(client.ids, [1, 2])

    def test_servers_that_are_behind(self) -> None:
        """
        An entry that is known but not to be found yet is looked for again, soon.
        """
        client = self.open()
        self.gateway.view.hidden = 1
        self.logs.say(event("log", 1))
        self.assertEqual(client.ids, [])
        self.gateway.view.hidden = float("inf")
        self.wait(0.1)
        self.assertEqual(client.ids, [1])

    def test_servers_that_are_behind_for_long(self) -> None:
        """
        That lasts some seconds, less and less often; and begins anew with the next entry.
        """
        client = self.open()
        for late in (*[0.05] * 10, 3.0):
            self.gateway.view.hidden = 1
            sequence = self.logs.say(event("log", 1))
            self.wait(late)
            self.assertEqual(client.last, sequence - 1 or None)
            self.gateway.view.hidden = float("inf")
            self.wait(0.1 if late < 1 else 2.0)
            self.assertEqual(client.last, sequence)

    def test_what_is_never_found(self) -> None:
        """
        An entry that is nowhere is not looked for for ever; and later ones are told.
        """
        client = self.open()
        self.gateway.view.hidden = 1
        self.logs.say(event("log", 1))
        self.wait(14)
        asked = len(self.gateway.view.asked)
        self.assertTrue(asked < 15, asked)
        self.wait(0.8)
        self.assertEqual(len(self.gateway.view.asked), asked)
        self.gateway.view.hidden = float("inf")
        self.logs.say(event("log", 1))
        self.assertEqual(client.ids, [1, 2])

    def test_unheard(self) -> None:
        """
        Even what nobody was told of, by whatever fault, is found within a heartbeat.
        """
        client = self.open()
        self.gateway.view.away = True
        self.logs.say(status("completed", 1))
        self.gateway.view.away = False
        self.wait(HEARTBEAT + 1)
        self.assertTrue(client.stream.ended)


class EndingTests(StreamCase):
    """
    Ends that are not the job's.
    """

    def test_heartbeats(self) -> None:
        """
        After so much silence something is said that means nothing; not while there is something to tell.
        """
        client = self.open()
        for _ in range(4):
            self.wait(HEARTBEAT - 2)
            self.logs.say(event("log", 1))
        self.assertEqual(client.text.count(": keep-alive"), 0)
        self.wait(HEARTBEAT + 1)
        self.assertTrue(client.stream.body.endswith(KEEP_ALIVE))
        self.wait(2 * HEARTBEAT + 2)
        self.assertEqual(client.text.count(": keep-alive"), 3)

    def test_expiry(self) -> None:
        """
        When the token expires the stream says so, and ends.
        """
        client = self.open(who=identity(seconds=20))
        self.wait(19)
        self.assertFalse(client.stream.ended)
        self.wait(2)
        self.assertTrue(client.stream.ended)
        self.assertTrue(client.stream.body.endswith(EXPIRED))
        self.assertEqual(client.told[-1][:2], (None, "auth-expired"))
        self.gone()

    def test_revocation(self) -> None:
        """
        When the token is revoked the stream ends within a second, even in the middle of a read.
        """
        who = identity()
        client = self.open(who=who)
        self.gateway.view.held = []
        self.logs.say(event("log", 1))
        who.expires = 0.0
        self.wait(1.1)
        self.assertTrue(client.stream.body.endswith(EXPIRED))
        self.assertTrue(client.stream.ended)
        self.gone()

    def test_draining(self) -> None:
        """
        When the gateway stops all streams end in an orderly way, and no more begin.
        """
        clients = [self.open(), self.open(), self.open()]
        clients[1].pause()
        self.gateway.view.held = []
        self.logs.say(event("log", 1))
        late = Client(self.gateway, who=identity("2"))
        self.gateway.streams.stop()
        for client in clients:
            self.assertTrue(client.stream.ended)
            self.assertTrue(client.stream.body.endswith(GOODBYE))
        self.refused(late, Reason.DRAINING)
        self.refused(Client(self.gateway), Reason.DRAINING)
        self.gone()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.gateway.view.listened_to)

    def test_too_many(self) -> None:
        """
        One user has only so many streams at once; others are not concerned.
        """
        clients = [self.open() for _ in range(3)]
        self.refused(Client(self.gateway), Reason.RATE_LIMITED)
        self.open(who=identity("2"))
        clients[0].leave()
        self.open()
        self.refused(Client(self.gateway), Reason.RATE_LIMITED)

    def test_a_fault_ends_it_so_that_the_client_can_tell(self) -> None:
        """
        When something is wrong in the gateway the stream is broken off, and nothing is left of it.
        """
        client = self.open()

        def broken(*arguments: object) -> Any:
            raise RuntimeError("broken")

        self.gateway.view.read_events = broken  # type: ignore[method-assign,assignment]
        self.logs.say(event("log", 1))
        self.assertEqual((client.stream.aborted, client.stream.ended), (True, False))
        self.gone()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class EverythingTests(SynchronousTestCase):
    """
    Everything at once.
    """

    @given(seed=st.integers(0, 2**32), steps=st.integers(10, 120))
    @settings(max_examples=150, deadline=None)
    def test_the_log_once_and_in_order(self, seed: int, steps: int) -> None:
        """
        However the log grows, gateways lose NATS, servers answer late, and a client is slow, leaves, and goes on by way
        of another gateway: it is told the log, each entry once, in order, to its end.
        """
        story = _Story(Random(seed))
        for _ in range(steps):
            story.step()
        story.finish()
        self.assertEqual(story.got, [sequence for sequence, _ in story.logs.log()])
        self.assertEqual(Client(story.gateways[0], story.got[-1]).stream.status, 204)
        for gateway in story.gateways:
            self.assertEqual((len(gateway.streams), len(gateway.feed)), (0, 0))


class _Story:
    """
    One client's way through two gateways.

    @ivar got: the ids that it was told.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clock = Clock()
        self.logs = MemoryLogs()
        self.gateways = [GatewayOf(self.logs, self.clock) for _ in range(2)]
        self.got: list[int] = []
        self.client: Client | None = None
        self.logs.say(status("processing"))

    def step(self) -> None:
        """
        Let something happen.
        """
        gateway = self.random.choice(self.gateways)
        view = gateway.view
        happens: list[Any] = [
            *[self.grow] * 3,
            *[lambda: self.come(gateway)] * 3,
            *[lambda: self.clock.advance(self.random.choice((0.1, 1, 16)))] * 3,
            self.go,
            lambda: self.slow(True),
            *[lambda: self.slow(False)] * 2,
            view.leave,
            *[view.return_] * 2,
            lambda: setattr(view, "held", []) if view.held is None else None,
            *[view.release] * 2,
            lambda: setattr(view, "hidden", self.random.choice((float("inf"), len(self.logs.entries)))),
            lambda: setattr(gateway, "record", self.record()),
        ]
        self.random.choice(happens)()

    def grow(self) -> None:
        """
        Let logs grow, of this job and of another.
        """
        for _ in range(self.random.choice((1, 2, 30, 150))):
            size = self.random.choice((1, 1, 3000))
            self.logs.say(event("log", 1, message="x" * size), self.random.choice(("", "", "another")))

    def slow(self, slow: bool) -> None:
        """
        Have the client read slowly, or as it should.
        """
        if self.client is not None and self.client.exchange is not None:
            self.client.pause() if slow else self.client.resume()

    def record(self) -> Any:
        """
        What the record may be by now.
        """
        seen = self.random.choice(self.logs.log())[0]
        return job(status="processing", attempts=self.random.choice((1, 2)), event_seq=seen)

    def come(self, gateway: GatewayOf) -> None:
        """
        Open a stream, in place of one that may be there.
        """
        self.go()
        self.client = Client(gateway, self.got[-1] if self.got else None)

    def go(self) -> None:
        """
        Leave.
        """
        client, self.client = self.client, None
        if client is not None:
            client.leave()
            if client.stream.status == 200:
                self.got += client.ids

    def finish(self) -> None:
        """
        Let the job end and everything work again, and read to the end.
        """
        self.logs.say(status("completed"))
        for gateway in self.gateways:
            gateway.view.hidden = float("inf")
            gateway.view.release()
            gateway.view.return_()
        if self.client is None or self.client.stream.status != 200:
            self.come(self.random.choice(self.gateways))
        assert self.client is not None
        if self.client.exchange is not None and not self.client.stream.ended:
            self.client.resume()
        for _ in range(60):
            self.clock.advance(0.5)
        assert self.client.stream.ended
        self.go()
