"""
What becomes of each message that a worker gets: its job is run, or somebody else may have it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

from attrs import evolve
from nats.aio.msg import Msg

from siger.jobs import streams
from siger.jobs.members import BrokenError
from siger.messaging.errors import UnavailableError
from siger.worker.delivery import Delivery, read_delivery
from siger.worker.gpus import Gpus, Misfits
from siger.worker.handlers import Handlers
from siger.worker.others import Others
from siger.worker.pulse import Pulse, now
from siger.worker.rate import Rate
from siger.worker.running import Run, Terms
from siger.worker.store import Store, is_cancellation

__all__ = ["Dispatcher"]

log = logging.getLogger("siger.worker")

#: How many jobs a second can be looked at that do not fit, and seconds without any after those.
_UNFIT_PER_SECOND: Final = 20
_PAUSE: Final = 1.0


class Dispatcher:
    """
    Minds the jobs that run.

    @ivar running: what runs, by the name of the job.
    @ivar tasks: all that goes on about jobs.
    @ivar slots: how many jobs can run at once.
    @ivar hold_until: the moment, on the loop's clock, until when the queue had better not be asked.
    @ivar on_room: called when there may be room for a job again.
    """

    def __init__(
        self,
        store: Store,
        handlers: Handlers,
        gpus: Gpus,
        slots: int,
        terms: Terms,
        pulse: Pulse,
        others: Others,
    ) -> None:
        """
        @param terms: but for the lease, which is that of C{pulse}.
        """
        self.running: dict[str, Run] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.slots = slots
        self._closed = False
        self.hold_until = 0.0
        self.on_room: list[Callable[[], None]] = []
        self._store = store
        self._handlers = handlers
        self._gpus = gpus
        self._terms = terms
        self._pulse = pulse
        self._others = others
        self._misfits = Misfits()
        self._unfit = Rate(_UNFIT_PER_SECOND, now)

    @property
    def room(self) -> bool:
        """
        Whether another job can be run.
        """
        return len(self.running) < self.slots and not self._gpus.exhausted and not self._closed

    def close(self) -> None:
        """
        Begin no more jobs.
        """
        self._closed = True

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # What arrives

    def arrived(self, message: Msg) -> None:
        """
        Decide about a message at once.
        """
        if self._pulse.missed:
            log.warning("the event loop was blocked for %.1f s; a message is left alone", self._pulse.silence)
            return
        try:
            delivery = read_delivery(message)
        except BrokenError as error:
            self._start(self._refuse(message, str(error)))
            return
        running = self.running.get(delivery.job.job_id)
        if running is not None:
            self._comes_again(running, delivery)
        elif not self.room:
            self._give_back(delivery, 0.0)
        else:
            self._consider(delivery)

    async def ordered(self, message: Msg) -> None:
        """
        Follow an order about a job, if it runs here.
        """
        run = self.running.get(streams.job_of(message.subject))
        if run is not None and is_cancellation(message.data):
            log.info("job %s is to be cancelled", run.job.job_id)
            run.cancel()

    def check_orders(self) -> None:
        """
        Look for orders that were missed.
        """
        for run in self.running.values():
            self._start(run.check_orders())

    def _comes_again(self, running: Run, delivery: Delivery) -> None:
        """
        A job that runs here goes on by the last delivery of its message. Another message about it is of no use.
        """
        if not running.runs_by(delivery):
            self._start(self._drop(delivery))
        elif not running.adopt(delivery):
            self._give_back(delivery, self._pulse.lease)

    def _consider(self, delivery: Delivery) -> None:
        if self._gpus.fits(delivery.job):
            self._begin(delivery)
            return
        if not self._unfit.take():
            self.hold_until = now() + _PAUSE
        self._give_back(delivery, self._misfits.delay(delivery.job.job_id, now()) * random.uniform(0.5, 1.0))

    # What is not run here

    def _give_back(self, delivery: Delivery, delay: float) -> None:
        async def give_back() -> None:
            with contextlib.suppress(UnavailableError):  # it comes back by itself then, later
                await self._store.give_back(delivery.reply, delay)

        self._start(give_back())

    async def _drop(self, delivery: Delivery) -> None:
        with contextlib.suppress(UnavailableError):
            await self._store.acknowledge(delivery.reply)

    async def _refuse(self, message: Msg, why: str) -> None:
        """
        Put a message that nobody can read where somebody may look at it.
        """
        log.error("a message in %s is no job: %s", message.subject, why)
        type_, sequence = message.subject.split(".")[2], message.metadata.sequence.stream
        content = {"reason": f"unreadable: {why}", "attempts": 0, "content": message.data[:65536].decode("latin-1")}
        with contextlib.suppress(UnavailableError):
            await self._store.bury(type_, f"unreadable-{sequence}", json.dumps(content).encode())
            await self._store.acknowledge(message.reply)

    # What runs

    def _begin(self, delivery: Delivery) -> None:
        job = delivery.job
        handler = self._handlers.find(job.type)
        assert handler is not None
        gpus = self._gpus.take(job)
        terms = evolve(self._terms, lease=self._pulse.lease)
        others = self._others
        run = Run(self._store, delivery, handler, gpus, terms, self._pulse.at, others.listen, others.trusted)
        self.running[job.job_id] = run
        self._start(self._see_through(run))

    async def _see_through(self, run: Run) -> None:
        try:
            await run.go()
        except Exception:
            log.exception("job %s: the worker itself has failed", run.job.job_id)
        finally:
            del self.running[run.job.job_id]
            self._gpus.give_back(run.gpus)
            for tell in self.on_room:
                tell()

    def hand_back(self, hurry: bool) -> None:
        """
        Have all that runs end, and let somebody else have it.

        @param hurry: at once.
        """
        for run in list(self.running.values()):
            run.hand_back(hurry)

    async def settle(self, timeout: float, unless: asyncio.Event) -> None:
        """
        Wait until all has ended, or for so many seconds.
        """
        waiting = asyncio.create_task(unless.wait())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.tasks and not unless.is_set():
                    await asyncio.wait({waiting, *self.tasks}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
