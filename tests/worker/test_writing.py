"""
Tests of L{siger.worker.writing}.
"""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from siger.worker.errors import Superseded
from siger.worker.writing import MAX_LINE, MAX_WAITING, Journal
from tests.jobs.making import JOB_ID, status
from tests.worker.memory import MemoryStore, run


class JournalTests(SynchronousTestCase):
    """
    What a worker writes into a log.
    """

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.store.add(status("processing", worker="w"))
        self.cancelled = 0

    def journal(self) -> Journal:
        """
        That of the attempt which was claimed.
        """

        def cancel() -> None:
            self.cancelled += 1

        return Journal(self.store, JOB_ID, 1, "w", self.store.last, cancel)

    def test_order(self) -> None:
        """
        Lines come in order, progress before the end, and the end last.
        """

        async def work() -> None:
            journal = self.journal()
            journal.line("one")
            journal.line("two", "error")
            journal.progress(10, None)
            journal.progress(30, "third")
            journal.end(status="completed", result=1)
            journal.line("too late")
            await journal.write()

        run(work())
        events = self.store.events()[1:]
        self.assertEqual([event.event for event in events], ["log", "log", "progress", "status"])
        self.assertEqual([event.message for event in events], ["one", "two", "third", None])
        self.assertEqual({(event.attempt, event.worker) for event in events}, {(1, "w")})

    def test_lost_acknowledgement(self) -> None:
        """
        An entry whose acknowledgement was lost is not written twice.
        """

        async def work() -> None:
            journal = self.journal()
            self.store.lose = 2
            for number in range(4):
                journal.line(str(number))
            journal.end(status="completed")
            await journal.write()

        run(work())
        self.assertEqual([event.message for event in self.store.events()[1:-1]], ["0", "1", "2", "3"])

    def test_outage(self) -> None:
        """
        While nothing can be written it waits, in order, and of too many lines the oldest are dropped; that is said.
        """

        async def work() -> None:
            journal = self.journal()
            journal._rate.take = lambda: True  # type: ignore[method-assign]  # no matter how fast
            self.store.away = True
            writing = asyncio.ensure_future(journal.write())
            for number in range(MAX_WAITING + 50):
                journal.line(str(number))
            journal.end(status="failed", error="x")
            await asyncio.sleep(0.05)
            self.assertFalse(writing.done())
            self.store.away = False
            await writing

        run(work())
        messages = [event.message for event in self.store.events()[1:-1]]
        self.assertLessEqual(len(messages), MAX_WAITING + 2)
        self.assertEqual(messages[-1], str(MAX_WAITING + 49))
        numbers = [int(message or "") for message in messages if (message or "").isdigit()]
        self.assertEqual(numbers, sorted(numbers))
        dropped = sum(int((message or "").split()[0]) for message in messages if (message or "").endswith("dropped"))
        self.assertEqual(dropped + len(numbers), MAX_WAITING + 50)
        self.assertEqual(self.store.events()[-1].status, "failed")

    def test_cancelling(self) -> None:
        """
        What gateways write in between is no obstacle, and that the job is to be cancelled is noticed.
        """

        async def work() -> None:
            journal = self.journal()
            self.store.add(status("cancelling", 0))
            journal.line("one")
            journal.end(status="cancelled")
            await journal.write()

        run(work())
        self.assertEqual(
            [event.status for event in self.store.events()], ["processing", "cancelling", None, "cancelled"]
        )
        self.assertEqual(self.cancelled, 1)

    def test_superseded(self) -> None:
        """
        Nothing is written once the job is another's or has ended.
        """
        for event, ended in (
            (status("processing", 2, worker="v"), False),
            (status("processing", 1, worker="v"), False),
            (status("cancelled", 0), True),
            (status("failed", 0, error="worker lost"), True),
            (status("completed", 2, worker="v"), True),
        ):
            self.setUp()

            async def work(ended: bool = ended, event: object = event) -> None:
                journal = self.journal()
                self.store.add(event)  # type: ignore[arg-type]
                journal.end(status="completed")
                with self.assertRaises(Superseded) as caught:
                    await journal.write()
                self.assertEqual(caught.exception.ended, ended)

            run(work())
            self.assertEqual(len(self.store.log), 2)

    def test_zombie_before(self) -> None:
        """
        What an earlier attempt still writes is no reason to give up.
        """
        self.store.log.clear()
        self.store.add(status("processing", 2, worker="w"))

        async def work() -> None:
            journal = Journal(self.store, JOB_ID, 2, "w", self.store.last)
            self.store.add(status("completed", 1, worker="v"))
            journal.end(status="failed")
            await journal.write()

        run(work())
        self.assertEqual(self.store.events()[-1].status, "failed")

    def test_lines(self) -> None:
        """
        Lines are cut, and made such that they can be written down.
        """

        async def work() -> None:
            journal = self.journal()
            journal.line("x" * (MAX_LINE + 1))
            journal.line("half \ud800")
            journal.end(status="completed")
            await journal.write()

        run(work())
        first, second = [event.message for event in self.store.events()[1:-1]]
        self.assertEqual((len(first or ""), (first or "")[-1], second), (MAX_LINE, "…", "half ?"))
