"""
Tests of L{siger.worker.claiming}.
"""

from __future__ import annotations

from typing import Any

import orjson
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.events import Event
from siger.jobs.submission import message_bytes
from siger.worker.claiming import Claim, Claimer, Elsewhere, Ended
from siger.worker.delivery import Delivery
from tests.jobs.making import job, status
from tests.worker.memory import MemoryStore, run


class ClaimerTests(SynchronousTestCase):
    """
    Who gets a job.
    """

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.listened = 0
        self.heard: dict[str, Any] | None = None
        self.trusted = False

    def claim(self, again: bool = False, sequence: int = 7, **fields: Any) -> Claim | Ended | Elsewhere:
        """
        Claim a job.
        """
        one = job(max_retries=1, **fields)
        delivery = Delivery("reply", sequence, again, one, message_bytes(one))

        async def listen(job_id: str) -> dict[str, Any] | None:
            self.listened += 1
            return self.heard

        claimer = Claimer(self.store, delivery, "w", "instance", listen, lambda: self.trusted)
        return run(claimer.claim())

    def running(self, delivery: int = 7, attempt: int = 1, worker: str = "v") -> None:
        """
        An attempt of another worker.
        """
        event = status("processing", attempt, worker=worker)
        self.store.add(orjson.dumps(orjson.loads(event.to_json()) | {"delivery": delivery}))

    def test_first(self) -> None:
        """
        A job that nobody has seen is claimed at once.
        """
        self.assertEqual(self.claim(), Claim(1, 10))
        [event] = self.store.events()
        self.assertEqual((event.status, event.attempt, event.worker), ("processing", 1, "w"))
        self.assertEqual(orjson.loads(self.store.log[0].content)["delivery"], 7)

    def test_lost_acknowledgement(self) -> None:
        """
        A claim whose acknowledgement was lost is found, and holds.
        """
        self.store.lose = 1
        self.assertEqual(self.claim(), Claim(1, 10))
        self.assertEqual((len(self.store.log), self.listened), (1, 0))

    def test_ended(self) -> None:
        """
        What has ended is not run, whoever ended it.
        """
        self.store.add(status("cancelled", 0))
        outcome = self.claim()
        assert isinstance(outcome, Ended)
        self.assertEqual((outcome.job.status, len(self.store.log)), ("cancelled", 1))

    def test_zombie_end(self) -> None:
        """
        An end of an attempt that was over does not count.
        """
        self.running()
        self.store.add(status("retrying", 1, worker="v"))
        self.running(attempt=2)
        self.store.add(status("retrying", 2, worker="v", returned=True))
        self.store.add(status("completed", 1, worker="v"))
        self.assertEqual(self.claim(), Claim(2, 15))

    def test_next(self) -> None:
        """
        The next attempt has the next number, unless the last one was handed back.
        """
        self.running()
        self.store.add(status("retrying", 1, worker="v"))
        self.assertEqual(self.claim(again=True), Claim(2, 12))
        self.store.add(status("retrying", 2, worker="w", returned=True))
        self.assertEqual(self.claim(again=True), Claim(2, 14))
        self.assertEqual(self.listened, 0)

    def test_silent(self) -> None:
        """
        A job of a worker of which nothing is heard is taken over.
        """
        self.running()
        self.assertEqual(self.claim(), Claim(2, 11))
        self.assertEqual(self.listened, 1)

    def test_lease_over(self) -> None:
        """
        Nobody needs to listen when the queue has seen the lease end: the same message, from a server that has been up.
        """
        self.running()
        self.trusted = True
        self.assertEqual(self.claim(again=True), Claim(2, 11))
        self.assertEqual(self.listened, 0)

    def test_other_message(self) -> None:
        """
        Of another message the queue knows nothing.
        """
        for delivery, again, trusted in ((8, True, True), (7, False, True), (7, True, False)):
            self.setUp()
            self.running(delivery)
            self.trusted = trusted
            self.claim(again=again)
            self.assertEqual(self.listened, 1)

    def test_elsewhere(self) -> None:
        """
        A job that runs elsewhere is left alone; by another message, this one is of no use.
        """
        for sequence, duplicate in ((7, False), (8, True)):
            self.setUp()
            self.running()
            self.heard = {"delivery": sequence}
            self.assertEqual(self.claim(), Elsewhere(duplicate))
            self.assertEqual(len(self.store.log), 1)

    def test_exhausted(self) -> None:
        """
        When there have been all attempts, it has failed, with the reason of the last.
        """
        for event, reason in ((None, "worker lost"), (status("retrying", 2, worker="v", error="bad"), "bad")):
            self.setUp()
            self.running(attempt=2)
            if event is not None:
                self.store.add(event)
            outcome = self.claim()
            assert isinstance(outcome, Ended)
            self.assertEqual((outcome.job.status, outcome.job.error), ("failed", reason))
            last = self.store.events()[-1]
            self.assertEqual((last.status, last.attempt, last.error), ("failed", 2, reason))

    def test_cancelled(self) -> None:
        """
        What is to be cancelled, by the log or by an order, ends so without being run.
        """
        self.store.add(status("cancelling", 0))
        outcome = self.claim()
        assert isinstance(outcome, Ended)
        self.assertEqual((outcome.job.status, self.store.events()[-1].status), ("cancelled", "cancelled"))
        self.setUp()
        self.store.ordered = True
        outcome = self.claim()
        assert isinstance(outcome, Ended)
        self.assertEqual([event.status for event in self.store.events()], ["cancelled"])

    def test_race(self) -> None:
        """
        When somebody else writes first, it is decided anew by what they wrote.
        """
        store = self.store

        class Racing(MemoryStore):
            async def append(self, job_id: str, content: bytes, expected: int) -> int:
                if not self.log:
                    self.add(status("cancelled", 0))
                return await super().append(job_id, content, expected)

        self.store = Racing()
        outcome = self.claim()
        assert isinstance(outcome, Ended)
        self.assertEqual(outcome.job.status, "cancelled")
        self.assertEqual(store.log, [])

    def test_broken_entries(self) -> None:
        """
        Entries that nobody can read are passed over.
        """
        for content in (b"", b"[]", b"{}", b'"x"'):
            self.store.add(content)
        self.running()
        self.assertEqual(self.claim(again=True), Claim(2, 15))

    def test_evolved(self) -> None:
        """
        The claim begins the attempt in the record, too.
        """
        self.claim()
        event = self.store.events()[0]
        self.assertIsInstance(event, Event)
        self.assertEqual(evolve(event, worker="w"), event)
        self.assertIsNotNone(event.started_at)
