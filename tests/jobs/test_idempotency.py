"""
Tests for L{siger.jobs.idempotency}, as it is used by L{siger.jobs.service}.
"""

from __future__ import annotations

from typing import NoReturn

from attrs import evolve
from twisted.internet.defer import fail

from siger.errors import Reason
from siger.jobs.idempotency import IN_FLIGHT
from siger.jobs.marks import TICK
from siger.messaging.errors import UnavailableError
from tests.jobs.test_service import ServiceTestCase, identity


class KeyTests(ServiceTestCase):
    """
    Submissions with keys (rows K2, K3).
    """

    def test_replayed(self) -> None:
        """
        The same again is answered with the same, on any gateway, and done once.
        """
        first = self.submit("key")
        self.time += 3600
        for jobs in (self.jobs, self.other.jobs):
            again = self.submit("key", jobs)
            self.assertEqual(again, evolve(first, replayed=True))
        self.assertEqual(len(self.store.queue), 1)
        self.assertEqual(self.jobs.outcomes, {"accepted": 1, "replayed": 1, "refused": 0, "unknown": 0, "failed": 0})

    def test_ended_meanwhile(self) -> None:
        """
        The answer is the same after the job has ended.
        """
        first = self.submit("key")
        self.say(first.job_id, "processing")
        self.say(first.job_id, "completed")
        self.project(first.job_id)
        self.assertEqual(self.submit("key"), evolve(first, replayed=True))

    def test_other_payload(self) -> None:
        """
        Another submission with the same key is refused, and changes nothing.
        """
        self.submit("key")
        for jobs in (self.jobs, self.other.jobs):
            submitted = jobs.submit(self.submission(priority=9), self.ada, "key")
            self.refusal(submitted, Reason.KEY_REUSED)
        self.assertEqual(len(self.store.queue), 1)

    def test_users_apart(self) -> None:
        """
        Keys of two users have nothing to do with each other, nor those of two issuers' users with one id.
        """
        first = self.submit("key")
        for who in (identity("bob"), identity("ada", issuer="https://issuer.test")):
            receipt = self.successResultOf(self.jobs.submit(self.submission(), who, "key"))
            self.assertFalse(receipt.replayed)
            self.assertNotEqual(receipt.job_id, first.job_id)

    def test_in_flight(self) -> None:
        """
        While the first is on its way, the second is told so: by the same gateway, and by another.
        """
        self.gateway.broker.held = []
        first = self.jobs.submit(self.submission(), self.ada, "key")
        for jobs in (self.jobs, self.other.jobs):
            self.refusal(jobs.submit(self.submission(), self.ada, "key"), Reason.IN_PROGRESS)
        self.gateway.broker.held.pop()()
        receipt = self.successResultOf(first)
        self.assertEqual(self.submit("key", self.other.jobs), evolve(receipt, replayed=True))
        self.assertEqual(len(self.store.queue), 1)

    def test_resumed_here(self) -> None:
        """
        What its own gateway knows to have failed is finished by the next submission with the key, at once, and once.
        """
        self.gateway.broker.held = []
        submitted = self.jobs.submit(self.submission(), self.ada, "key")
        self.store.silent = True
        self.gateway.broker.held.pop()()
        said = self.refusal(submitted, Reason.STORE_UNAVAILABLE)
        self.store.silent, self.gateway.broker.held = False, None
        again = self.submit("key")
        self.assertEqual((again.job_id, again.replayed), (said["job_id"], True))
        self.assertEqual(len(self.store.queue), 1)
        self.assertTrue(self.record(again.job_id).published)

    def test_resumed_elsewhere(self) -> None:
        """
        What a gateway left unfinished, between any two steps, another finishes once enough time has gone by.
        """
        for recorded in (False, True):
            key = f"key {recorded}"
            self.gateway.broker.held = []
            self.gateway.jobs.submit(self.submission(), self.ada, key)
            self.gateway.broker.held.clear()  # it crashed
            (left,) = [job for job in self.gateway.records.all() if not job.published]
            if not recorded:
                self.successResultOf(self.gateway.records.remove(left.job_id))
            self.refusal(self.other.jobs.submit(self.submission(), self.ada, key), Reason.IN_PROGRESS)
            self.time += IN_FLIGHT
            receipt = self.submit(key, self.other.jobs)
            self.assertEqual((receipt.job_id, receipt.replayed), (left.job_id, recorded))
            self.assertTrue(self.record(left.job_id).published)
            self.assertEqual(self.submit(key, self.other.jobs).job_id, left.job_id)
        self.assertEqual(len(self.store.queue), 2)

    def assert_never_replayed_in_vain(self) -> None:
        """
        Now that a key stands for a job that has no record: if its next submission gets no further than the record,
        nobody who comes after that is told that the job is in the queue when it is not.
        """
        self.time += 2 * IN_FLIGHT
        for gateway in (self.gateway, self.other):
            gateway.clock.advance(TICK)
        publish = self.gateway.broker.publish_job
        self.gateway.broker.publish_job = lambda *_: fail(UnavailableError("no answer in time"))
        self.refusal(self.jobs.submit(self.submission(), self.ada, "key"), Reason.STORE_UNAVAILABLE)
        self.gateway.broker.publish_job = publish
        self.assertEqual(self.store.queue, [])
        (left,) = self.gateway.records.all()
        for gateway in (self.gateway, self.other):
            self.assertFalse(gateway.marks.covers(left.job_id))
        self.assertEqual(self.submit("key", self.other.jobs).job_id, left.job_id)
        self.assertEqual([name for _, _, name in self.store.queue], [left.job_id])

    def test_claim_unanswered(self) -> None:
        """
        A key that was written without its writer hearing so.
        """
        create = self.store.keys.create
        self.store.keys.create = lambda *of: create(*of).addCallback(unheard)
        self.refusal(self.jobs.submit(self.submission(), self.ada, "key"), Reason.STORE_UNAVAILABLE)
        self.store.keys.create = create
        self.assert_never_replayed_in_vain()

    def test_refused_and_kept(self) -> None:
        """
        A key whose submission was refused for good, but that could not be let go.
        """
        delete = self.store.keys.delete
        self.store.keys.delete = lambda *_: fail(UnavailableError("no answer in time"))
        self.store.full = True
        self.refusal(self.jobs.submit(self.submission(), self.ada, "key"), Reason.STORE_UNAVAILABLE)
        self.store.keys.delete, self.store.full = delete, False
        self.assert_never_replayed_in_vain()

    def test_key_unreadable(self) -> None:
        """
        What is kept of a key does not tell what it was.
        """
        self.submit("secret-key")
        entries = self.store.keys._latest
        self.assertEqual(len(entries), 1)
        self.assertNotIn("secret", repr(entries))


def unheard(result: object) -> NoReturn:
    """
    Lose an answer.
    """
    raise UnavailableError("no answer in time")
