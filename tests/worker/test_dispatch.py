"""
Tests of L{siger.worker.dispatch}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from nats.aio.msg import Msg
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.submission import message_bytes
from siger.worker.connection import Connection
from siger.worker.context import JobContext
from siger.worker.dispatch import Dispatcher
from siger.worker.gpus import Gpus
from siger.worker.handlers import Handlers
from siger.worker.others import Others
from siger.worker.pulse import Pulse, now
from siger.worker.running import Terms
from tests.jobs.making import JOB_ID, job
from tests.worker.memory import MemoryStore, run


def message(sequence: int = 7, data: bytes | None = None, delivered: int = 1, **fields: Any) -> Msg:
    """
    A message of the queue.
    """
    reply = f"$JS.ACK.JOBS.consumer.{delivered}.{sequence}.1.1700000000000000000.0"
    content = message_bytes(job(**fields)) if data is None else data
    return Msg(_client=None, subject="jobs.queue.ai_training.normal", reply=reply, data=content)  # type: ignore[arg-type]


class DispatcherTests(SynchronousTestCase):
    """
    What becomes of messages.
    """

    def see(self, work: Callable[[Dispatcher], Any], gpus: int = 0, slots: int = 1) -> Dispatcher:
        """
        Do something with a dispatcher whose jobs end when C{finish} is set, and let them end.
        """
        self.store = MemoryStore()
        self.pulse = Pulse(30.0)
        self.heard = 0

        async def handle(context: JobContext) -> object:
            await self.finish.wait()
            return "done"

        async def go() -> Dispatcher:
            self.finish = asyncio.Event()
            self.pulse.at = now()
            others = Others(Connection(["localhost"], {}, "test"), "i", self.pulse)
            terms = Terms("w", "i", 30.0, 0.1)
            found = Dispatcher(self.store, Handlers(handle), Gpus(gpus), slots, terms, self.pulse, others)
            found.on_room.append(self.hear)
            await work(found)
            self.finish.set()
            await found.settle(5, asyncio.Event())
            return found

        return run(go())

    def hear(self) -> None:
        self.heard += 1

    def said(self) -> list[object]:
        """
        What the queue was told, without the subjects to answer to.
        """
        return [told[0] for told in self.store.told]

    def test_run(self) -> None:
        """
        A job that fits is run; then there is room for another.
        """

        async def work(dispatcher: Dispatcher) -> None:
            self.assertTrue(dispatcher.room)
            dispatcher.arrived(message())
            self.assertEqual((list(dispatcher.running), dispatcher.room, self.heard), ([JOB_ID], False, 0))

        dispatcher = self.see(work)
        self.assertEqual((dispatcher.running, dispatcher.room, self.heard), ({}, True, 1))
        self.assertEqual((self.said(), self.store.events()[-1].result), (["+ACK"], "done"))

    def test_no_room(self) -> None:
        """
        What comes when there is no room is given back at once, so also when no more jobs are begun.
        """

        async def full(dispatcher: Dispatcher) -> None:
            dispatcher.arrived(message())
            dispatcher.arrived(message(8, job_id="other"))

        async def closed(dispatcher: Dispatcher) -> None:
            dispatcher.close()
            dispatcher.arrived(message(8))

        self.see(full)
        self.assertIn(("-NAK", message(8).reply, 0.0), self.store.told)
        self.see(closed)
        self.assertEqual(self.store.told, [("-NAK", message(8).reply, 0.0)])

    def test_misfit(self) -> None:
        """
        What does not fit is given back for a while, and when there is much of it, the queue is not asked for a moment.
        """

        async def work(dispatcher: Dispatcher) -> None:
            for number in range(40):
                dispatcher.arrived(message(number, gpu_count=8, job_id=f"job-{number}"))
            self.assertGreater(dispatcher.hold_until, now())

        self.see(work, gpus=4)
        self.assertEqual(self.said(), ["-NAK"] * 40)
        self.assertGreater(min(told[2] for told in self.store.told), 0.0)  # type: ignore[type-var]

    def test_comes_again(self) -> None:
        """
        A message that comes again is the one that the job goes on by; another about the same job is dropped.
        """

        async def again(dispatcher: Dispatcher) -> None:
            dispatcher.arrived(message())
            dispatcher.arrived(message(delivered=2))

        async def other(dispatcher: Dispatcher) -> None:
            dispatcher.arrived(message())
            dispatcher.arrived(message(8))

        self.see(again)
        self.assertEqual(self.store.told, [("+ACK", message(delivered=2).reply)])
        self.see(other)
        self.assertEqual(self.store.told, [("+ACK", message(8).reply), ("+ACK", message().reply)])

    def test_unreadable(self) -> None:
        """
        What is no job is put among the dead.
        """

        async def work(dispatcher: Dispatcher) -> None:
            dispatcher.arrived(message(data=b"{"))

        self.see(work)
        self.assertEqual(self.said(), ["buried", "+ACK"])
        buried: Any = self.store.told[0][1]
        self.assertEqual(orjson.loads(buried)["content"], "{")

    def test_blocked(self) -> None:
        """
        After the loop was blocked for long, nobody knows how old a message is, so nothing is done about it.
        """

        async def work(dispatcher: Dispatcher) -> None:
            self.pulse.at = now() - 11
            dispatcher.arrived(message())
            self.assertFalse(dispatcher.tasks)

        self.see(work)
        self.assertEqual(self.store.told, [])

    def test_orders(self) -> None:
        """
        Jobs that run are cancelled by an order, also by one that was missed.
        """

        async def heard(dispatcher: Dispatcher) -> None:
            dispatcher.arrived(message())
            await asyncio.sleep(0.01)
            order = Msg(_client=None, subject=f"jobs.control.{JOB_ID}", data=b'{"action": "cancel"}')  # type: ignore[arg-type]
            await dispatcher.ordered(order)

        async def missed(dispatcher: Dispatcher) -> None:
            dispatcher.arrived(message())
            await asyncio.sleep(0.01)
            self.store.ordered = True
            dispatcher.check_orders()
            await asyncio.sleep(0.01)

        for work in (heard, missed):
            self.see(work)
            self.assertEqual(self.store.events()[-1].status, "cancelled")

    def test_handed_back(self) -> None:
        """
        What runs is handed back.
        """

        async def work(dispatcher: Dispatcher) -> None:
            dispatcher.arrived(message())
            await asyncio.sleep(0.01)
            dispatcher.hand_back(hurry=True)
            await dispatcher.settle(5, asyncio.Event())

        self.see(work)
        self.assertEqual(self.said(), ["-NAK"])
