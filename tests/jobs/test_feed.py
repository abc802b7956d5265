"""
Tests for L{siger.jobs.feed}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.feed import BATCH, Feed
from siger.messaging.errors import UnavailableError
from tests.jobs.live_log import LogView, MemoryLogs
from tests.jobs.making import JOB_ID, event


class Noting:
    """
    A reader that notes how it is woken.
    """

    def __init__(self) -> None:
        self.woken: list[int | str] = []

    def wake(self, sequence: int) -> None:
        """
        Note it.
        """
        self.woken.append(sequence)

    def wake_anyhow(self) -> None:
        """
        Note it.
        """
        self.woken.append("anyhow")


class FeedCase(SynchronousTestCase):
    """
    A feed on logs in memory.
    """

    def setUp(self) -> None:
        """
        Listen.
        """
        self.logs = MemoryLogs()
        self.view = LogView(self.logs)
        self.feed = Feed(self.view, reads=2)
        self.feed.start()


class WakingTests(FeedCase):
    """
    Who is woken.
    """

    def test_by_their_own_job(self) -> None:
        """
        Everybody who reads a log is woken by its entries, and by no others.
        """
        readers = [Noting(), Noting(), Noting()]
        for reader, job_id in zip(readers, (JOB_ID, JOB_ID, "another"), strict=True):
            self.feed.watch(job_id, reader)
        self.logs.say(event("log", 1))
        self.logs.say(event("log", 1), "another")
        self.assertEqual([reader.woken for reader in readers], [[1], [1], [2]])

    def test_all_after_an_outage(self) -> None:
        """
        After an outage everybody is woken, as anything may have happened.
        """
        readers = [Noting(), Noting()]
        for reader, job_id in zip(readers, (JOB_ID, "another"), strict=True):
            self.feed.watch(job_id, reader)
        self.view.leave()
        self.logs.say(event("log", 1))
        self.view.return_()
        self.assertEqual([reader.woken for reader in readers], [["anyhow"], ["anyhow"]])

    def test_nobody_who_has_left(self) -> None:
        """
        Who has left is not woken, even when another that is woken makes it leave; and nothing is kept of it.
        """
        first, second = Noting(), Noting()
        self.feed.watch(JOB_ID, first)
        forget = self.feed.watch(JOB_ID, second)
        self.assertEqual(len(self.feed), 2)
        forget()
        forget()
        self.logs.say(event("log", 1))
        self.view.return_()
        self.assertEqual((first.woken, second.woken), ([1, "anyhow"], []))
        self.assertEqual(len(self.feed), 1)
        self.feed.watch("another", second)()
        self.assertEqual(list(self.feed._readers), [JOB_ID])

    def test_starts_once_and_stops(self) -> None:
        """
        A feed that was started twice wakes once, and one that was stopped does not.
        """
        reader = Noting()
        self.feed.watch(JOB_ID, reader)
        self.feed.start()
        self.logs.say(event("log", 1))
        self.feed.stop()
        self.logs.say(event("log", 1))
        self.view.return_()
        self.assertEqual(reader.woken, [1])
        self.assertFalse(self.view.listened_to)


class ReadingTests(FeedCase):
    """
    How logs are read.
    """

    def hold(self) -> None:
        """
        Have reads wait to be answered.
        """
        self.view.held = []

    def read(self, after: int = 0, at_least: int | None = None) -> Deferred[Any]:
        """
        Read.
        """
        return self.feed.read(JOB_ID, after, at_least)

    def test_a_batch(self) -> None:
        """
        A read gives what comes after a position, in a batch.
        """
        for _ in range(BATCH + 5):
            self.logs.say(event("log", 1))
        self.assertEqual(self.successResultOf(self.read(3)), self.logs.log()[3 : BATCH + 3])
        self.assertEqual(self.successResultOf(self.read(BATCH)), self.logs.log()[BATCH:])
        self.assertEqual(self.successResultOf(self.read(BATCH + 5)), [])

    def test_one_for_all_who_know_of_an_entry(self) -> None:
        """
        Those who were woken by an entry and are at the same place share one read, while it goes on; the next is
        another.
        """
        self.hold()
        self.logs.say(event("log", 1))
        answers = [self.read(0, 1) for _ in range(3)]
        self.assertEqual(self.view.asked, [(JOB_ID, 0, 1)])
        self.view.release()
        for answer in answers:
            self.assertEqual(self.successResultOf(answer), self.logs.log())
        self.successResultOf(self.read(0, 1))
        self.assertEqual(len(self.view.asked), 2)

    def test_none_joins_what_may_be_too_old(self) -> None:
        """
        Who reads to the end, wherever that is, does not join a read that was asked already: something may have
        happened since. One that is only about to be asked is joined.
        """
        self.hold()
        answers = [self.read(), self.read(), self.read(), self.read()]
        self.assertEqual(len(self.view.asked), 2)  # no more at once
        self.logs.say(event("log", 1))
        self.view.release()
        self.assertEqual([self.successResultOf(answer) for answer in answers], [[], [], *[self.logs.log()] * 2])
        self.assertEqual(len(self.view.asked), 3)

    def test_who_left_is_not_waited_for(self) -> None:
        """
        A read that nobody waits for any more is not asked for, and answers nobody.
        """
        self.hold()
        first, second, third = self.read(1), self.read(2), self.read(3)
        for each in (first, third):
            each.cancel()
            self.failureResultOf(each)
        self.view.release()
        self.assertEqual(self.successResultOf(second), [])
        self.assertEqual([after for _, after, _ in self.view.asked], [1, 2])

    def test_one_that_leaves_as_another_is_answered(self) -> None:
        """
        An answer may make somebody leave who waits for the same.
        """
        self.hold()
        first, second = self.read(0, 1), self.read(0, 1)
        first.addCallback(lambda _: second.cancel())
        self.view.release()
        self.successResultOf(first)
        self.failureResultOf(second)

    def test_failures_are_everybodys(self) -> None:
        """
        When a read fails all who wait for it hear so, and the next is tried anew.
        """
        self.hold()
        answers = [self.read(0, 1), self.read(0, 1), self.read()]
        self.view.leave()
        for answer in answers:
            self.failureResultOf(answer, UnavailableError)
        self.view.return_()
        self.assertEqual(self.successResultOf(self.read(0, 1)), [])

    def test_a_broken_broker_breaks_no_more(self) -> None:
        """
        A read that cannot even be asked for fails, and the next is tried anew.
        """

        def broken(*arguments: object) -> Any:
            raise RuntimeError("broken")

        works, self.view.read_events = self.view.read_events, broken  # type: ignore[method-assign,assignment]
        self.failureResultOf(self.read(0, 1), RuntimeError)
        self.failureResultOf(self.read(), RuntimeError)
        self.view.read_events = works  # type: ignore[method-assign]
        self.assertEqual(self.successResultOf(self.read(0, 1)), [])

    def test_not_all_at_once(self) -> None:
        """
        Only so many reads go on at once; the others follow.
        """
        self.hold()
        answers = [self.read(position) for position in range(5)]
        self.assertEqual(len(self.view.asked), 2)
        self.view.release()
        for answer in answers:
            self.successResultOf(answer)
        self.assertEqual(len(self.view.asked), 5)
