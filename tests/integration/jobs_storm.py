"""
Processes that die and come back at random moments, while jobs are submitted and run.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from attrs import Factory, frozen

from tests.integration.jobs_world import Client, JobsWorld, WorkerProcess, crash
from tests.integration.nats_server import NatsServer

__all__ = ["Storm", "Submissions"]


@frozen
class Storm:
    """
    Kills and restarts, for use in a thread of its own.

    @ivar workers: how to start each worker anew.
    @ivar happened: what was done when, for whoever wants to see it again.
    """

    world: JobsWorld
    workers: list[WorkerProcess]
    random: random.Random
    happened: list[str]

    def blow(self, seconds: float) -> None:
        """
        Go on for so long, then have everything run again.
        """
        began = time.monotonic()
        deck: list[Callable[[], None]] = []
        while time.monotonic() < began + seconds:
            if not deck:
                deck = self._deck()
            strike = deck.pop()
            self.happened.append(f"{time.monotonic() - began:5.1f} {strike.__name__.strip('_')}")
            strike()
            time.sleep(self.random.uniform(0.1, 1.0))
        self.calm()

    def _deck(self) -> list[Callable[[], None]]:
        """
        Each kind of blow, in an order by chance.
        """
        deck: list[Callable[[], None]] = [self._kill_worker, self._kill_gateway, self._kill_nats] * 2
        deck += [self._drain_worker, self._drain_gateway]
        self.random.shuffle(deck)
        return deck

    def calm(self) -> None:
        """
        Have everything run.
        """
        assert isinstance(self.world.nats, NatsServer)
        if not self.world.nats.alive:
            self.world.nats.start()
        for process in self.workers:
            if not process.alive:
                process.start()
        for gateway in self.world.gateways:
            if not gateway.alive:
                gateway.launch()
        self.world.wait_ready()

    def _pause(self) -> None:
        time.sleep(self.random.uniform(0.05, 0.8))

    def _worker(self) -> WorkerProcess:
        return self.random.choice(self.workers)

    def _kill_worker(self) -> None:
        worker = self._worker()
        worker.crash()
        self._pause()
        worker.start()

    def _drain_worker(self) -> None:
        worker = self._worker()
        worker.signal()
        worker.wait(20)
        worker.start()

    def _kill_gateway(self) -> None:
        gateway = self.random.choice(self.world.gateways)
        crash(gateway)
        self._pause()
        gateway.launch()

    def _drain_gateway(self) -> None:
        gateway = self.random.choice(self.world.gateways)
        gateway.signal()
        gateway.wait(20)
        gateway.launch()

    def _kill_nats(self) -> None:
        assert isinstance(self.world.nats, NatsServer)
        self.world.nats.kill()
        self._pause()
        self.world.nats.start()


@frozen
class Submissions:
    """
    Very many jobs, spread over some time: most are to complete, some fail for good, some fail at first, some are
    cancelled, and every tenth comes without a key.

    @ivar cancelled: what was answered to those who cancelled, by job.
    @ivar watched: the ids of the events that those got who watched a job, one in thirty.
    """

    client: Client
    count: int
    seconds: float
    cancelled: dict[str, int] = Factory(dict)
    watched: dict[str, list[int]] = Factory(dict)

    async def submit(self) -> None:
        """
        Submit all.
        """
        began = time.monotonic()
        await asyncio.gather(
            *(self._submit(number, began + number * self.seconds / self.count) for number in range(self.count))
        )

    async def _submit(self, number: int, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        words = {7: "@fail", 17: "@flaky", 27: "@wait", 28: ""}.get(number % 40, "")
        members = {"max_retries": 0 if words == "@fail" else 10, "priority": number % 11}
        key = "" if number % 10 == 5 else None
        accepted = await self.client.submit(f"job {number} {words}", key, **members)
        if accepted is None:
            return
        watching = asyncio.create_task(self._watch(accepted.job_id)) if number % 30 in (7, 8) else None
        if number % 40 in (27, 28):
            await asyncio.sleep(self.client.random.uniform(0, 0.5))
            await self._cancel(accepted.job_id)
        if watching is not None:
            await watching

    async def _cancel(self, job_id: str) -> None:
        """
        Cancel until somebody says yes.
        """
        deadline = time.monotonic() + 30
        while True:
            status, document = await self.client.call("DELETE", f"/api/v1/jobs/{job_id}")
            if status in (200, 202):
                self.cancelled[job_id] = status
                return
            if not (status in (0, 503) or (status, document.get("reason")) == (409, "in_progress")):
                self.client.wrong.append(f"{job_id} cannot be cancelled: {status} {document}")
                return
            assert time.monotonic() < deadline, f"{job_id} cannot be cancelled: {status} {document}"
            await asyncio.sleep(0.2)

    async def _watch(self, job_id: str) -> None:
        """
        Read the events of a job by way of whichever gateway there is, until there are no more.
        """
        deadline = time.monotonic() + 60
        found = self.watched[job_id] = []
        while not await self.client.watch(job_id, found):
            assert time.monotonic() < deadline, f"the events of {job_id} do not end: {found}"
            await asyncio.sleep(self.client.random.uniform(0.05, 0.3))
