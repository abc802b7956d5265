"""
Tests of L{siger.jobs.projector}: what becomes of the messages it takes. That they come, and come again, is tested with
a real server.
"""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from siger.jobs.catching import CatchUp
from siger.jobs.events import Event
from siger.jobs.preparing import Preparation
from siger.jobs.projector import DELIVERIES, Projector
from siger.jobs.records import Records
from siger.messaging.errors import TooLargeError
from tests.jobs.making import JOB_ID, event, job, status
from tests.jobs.memory import MemoryBroker, MemoryStore
from tests.jobs.scripted import ScriptedConnection


class ProjectorTests(TestCase):
    """
    One gateway's part.
    """

    timeout = 20

    def setUp(self) -> None:
        """
        A gateway that knows one job.
        """
        self.store = MemoryStore()
        self.records = Records(self.store.records)
        self.records.start()
        self.addCleanup(self.records.stop)
        self.successResultOf(self.records.create(job()))
        connection = ScriptedConnection(lambda *_: {})
        self.link = connection.link
        catch_up = CatchUp(MemoryBroker(self.store), self.records)
        self.projector = Projector(connection, Preparation(connection, (), {}), catch_up)

    def message(self, each: Event, delivered: int = 1, subject: str = JOB_ID, content: bytes | None = None) -> Any:
        """
        A message with an event that is in the log.
        """
        sequence = self.store.say(each)
        about = SimpleNamespace(sequence=SimpleNamespace(stream=sequence), num_delivered=delivered)
        return SimpleNamespace(
            subject=f"jobs.events.{subject}",
            data=each.to_json() if content is None else content,
            reply=f"ack-{sequence}",
            metadata=about,
        )

    def handle(self, *messages: Any) -> Deferred[None]:
        """
        Let messages be handled.
        """
        return Deferred.fromFuture(asyncio.ensure_future(self.projector.handle(self.link, list(messages))))

    def taken(self) -> list[Any]:
        """
        What was said about messages since this was asked last: their numbers, and for those that shall come again in
        how many seconds.
        """
        said = []
        for reply, content in self.link.pipeline.sent:
            number = int(reply.removeprefix("ack-"))
            again = json.loads(content[4:])["delay"] / 1e9 if content.startswith(b"-NAK") else None
            said.append(number if again is None else (number, again))
        self.link.pipeline.sent.clear()
        return said

    def status(self) -> str:
        """
        What the record shows.
        """
        record = self.records.get(JOB_ID)
        assert record is not None
        return record.status

    async def test_applied(self) -> None:
        """
        An event is acknowledged when the record shows it.
        """
        await self.handle(self.message(status("processing")), self.message(event("log", 1)))
        self.assertEqual((self.status(), self.taken(), self.projector.applied), ("processing", [1, 2], 2))
        self.assertEqual(self.store.records.writes, 2)

    async def test_unreadable(self) -> None:
        """
        Row K13: what is no event, or speaks of another job than its subject, is acknowledged, and others go on.
        """
        await self.handle(
            self.message(status("completed"), content=b"{"),
            self.message(status("completed"), subject="other"),
            self.message(status("processing")),
        )
        self.assertEqual((self.projector.unreadable, sorted(self.taken())), (2, [1, 2, 3]))

    async def test_away(self) -> None:
        """
        When the store is away events come again, later each time; and as soon as anything comes the record is brought
        up to date, without waiting for them.
        """
        self.store.available = False
        await self.handle(self.message(status("processing")))
        await self.handle(self.message(event("log", 1), delivered=3))
        self.assertEqual(self.taken(), [(1, 0.25), (2, 1.0)])
        self.store.available = True
        await self.handle()
        self.assertEqual((self.status(), self.taken()), ("processing", []))
        self.assertEqual(self.projector.orphans, 0)

    async def test_no_record(self) -> None:
        """
        An event without a record comes again a few times, and then no more.
        """
        claim = Event("nobody", "status", 1, "1970-01-01T00:00:00.000Z", status="processing")
        for delivered in range(1, DELIVERIES + 1):
            await self.handle(self.message(claim, delivered, "nobody"))
        self.assertEqual(self.taken(), [(1, 0.25), (2, 0.5), (3, 1.0), 4])
        self.assertEqual((self.projector.orphans, self.projector.applied), (1, 0))

    async def test_cannot_be_written(self) -> None:
        """
        A record that cannot be written, or a mistake of ours, holds up nothing for ever.
        """

        def fail(error: Exception) -> Any:
            def update(*_: Any) -> Any:
                raise error

            return update

        for error in (TooLargeError("large"), RuntimeError("mistake")):
            self.patch(self.store.records, "update", fail(error))
            await self.handle(self.message(status("processing"), DELIVERIES))
        self.assertEqual((self.taken(), self.projector.orphans), ([1, 2], 2))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_cancelled(self) -> None:
        """
        When the connection is lost while records are written, the writes are not torn.
        """
        held: Deferred[int] = Deferred()
        update = self.store.records.update
        self.patch(self.store.records, "update", lambda *arguments: held.addCallback(lambda _: update(*arguments)))
        task = asyncio.ensure_future(self.projector.handle(self.link, [self.message(status("processing"))]))
        await Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(0)))
        task.cancel()
        await Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(0)))
        held.callback(0)
        self.assertTrue(task.done())
        self.assertEqual(self.status(), "processing")
