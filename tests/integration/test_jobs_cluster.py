"""
Jobs on a JetStream cluster of three servers, each of which may go at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.jobs_store import JobsStore
from tests.integration.jobs_world import TERMINAL, Client, JobsWorld
from tests.integration.loop_thread import run_in_loop
from tests.integration.nats_cluster import Member, NatsCluster

_JOBS = 400
_STREAMS = ("JOBS", "JOB_EVENTS", "KV_jobs")


class ClusterTests(SynchronousTestCase):
    """
    Streams with three copies.
    """

    def setUp(self) -> None:
        """
        Have a cluster, two gateways that make the streams, and workers.
        """
        self.cluster = NatsCluster()
        self.world = JobsWorld(nats=self.cluster, lease=3.0)
        self.addCleanup(self.world.stop)
        self.world.start()
        for stream in _STREAMS:
            self.cluster.wait_for(lambda: self.cluster.replicas(stream) == 3, f"whole: {stream}")  # noqa: B023

    def test_leader_killed(self) -> None:
        """
        Row K1: the leader of the queue is killed amid submissions. Every job for which there was a 202 is in the
        queue of its successor, and runs to its end when there are workers.
        """
        run_in_loop(self.play(), 100)

    async def play(self) -> None:
        """
        All of it.
        """
        async with self.world.client() as client:
            submitting = asyncio.create_task(self.submit(client))
            while len(client.accepted) < _JOBS // 4:
                await asyncio.sleep(0.01)
            killed = await asyncio.to_thread(self.kill_leader)
            await submitting
            self.assertEqual(client.wrong, [])
            self.assertGreater(sum(each.tries > 1 for each in client.accepted.values()), 0)
            accepted = {each.job_id for each in client.accepted.values()}
            self.assertEqual(len(accepted) + len(client.doubtful), _JOBS)
            async with JobsStore.of(self.cluster.addresses_of(self.cluster.running)) as store:
                self.assertEqual(accepted - await store.queued(), set())
            await asyncio.to_thread(killed.start)
            jobs = await self.ended(client, 40)
            self.check(client, accepted, jobs)
            async with JobsStore.of(self.cluster.addresses) as store:
                await store.until_queue_empty(10)

    async def submit(self, client: Client) -> None:
        """
        Submit all jobs, every fourth without a key, for some seconds.
        """

        async def one(number: int) -> None:
            await asyncio.sleep(number * 6.0 / _JOBS)
            await client.submit(f"job {number}", "" if number % 4 == 0 else None)

        await asyncio.gather(*map(one, range(_JOBS)))

    def kill_leader(self) -> Member:
        """
        Kill the leader of the queue, and wait for the next.
        """
        leader = self.cluster.leader("JOBS")
        assert leader is not None
        leader.kill()
        self.cluster.wait_for(lambda: self.cluster.leader("JOBS", wait=0) not in (None, leader), "led by another")
        return leader

    async def ended(self, client: Client, seconds: float) -> list[dict[str, Any]]:
        """
        All jobs as both gateways tell of them, once workers have run them.
        """
        for _ in range(2):
            self.world.work(8)
        deadline = time.monotonic() + seconds
        while True:
            first, second = [await client.pages(port) for port in client.ports]
            if first == second and all(job["status"] in TERMINAL for job in first):
                return first
            self.assertLess(time.monotonic(), deadline, Counter(job["status"] for job in (*first, *second)))
            await asyncio.sleep(0.2)

    def check(self, client: Client, accepted: set[str], jobs: list[dict[str, Any]]) -> None:
        """
        See that each job ran once, and that there is one for each that was accepted.
        """
        self.assertEqual(accepted - {job["job_id"] for job in jobs}, set())
        self.assertEqual({job["name"] for job in jobs} - set(client.accepted) - client.doubtful, set())
        self.assertEqual(len({job["name"] for job in jobs}), len(jobs))
        self.assertEqual({job["status"] for job in jobs}, {"completed"})
        self.assertEqual(self.world.runs.faults(), [])
        runs = self.world.runs.runs()
        for job in jobs:
            last = runs[job["job_id"]][-1]
            self.assertEqual((last.attempt, last.outcome), (job["attempts"], "end"))
