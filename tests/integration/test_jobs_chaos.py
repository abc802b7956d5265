"""
Jobs, with real gateways, workers and a nats-server that are killed: at each step of a job's life, and at any moment.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import sys
import time
import traceback
from collections import Counter
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.events import Event, fold, is_stale, replay
from siger.jobs.model import Job
from siger.messaging.link import OPERATION_TIMEOUT
from tests.integration.gateway_process import GatewayProcess
from tests.integration.jobs_store import JobsStore
from tests.integration.jobs_storm import Storm, Submissions
from tests.integration.jobs_world import (
    TERMINAL,
    Accepted,
    Client,
    JobsWorld,
    WorkerProcess,
    connected,
    crash,
    wait_for,
)
from tests.integration.loop_thread import in_loop, run_in_loop
from tests.integration.nats_server import NatsServer
from tests.integration.tripwire import Tripwire

LONG = os.environ.get("SIGER_TEST_LONG") == "1"

_world: JobsWorld | None = None


def shared_world() -> JobsWorld:
    """
    Two gateways, without workers, for the tests that each kill one thing.
    """
    global _world
    if _world is None:
        world = JobsWorld()
        try:
            _world = world.start()
        except BaseException:
            world.stop()
            raise
    return _world


@atexit.register
def _stop() -> None:
    if _world is not None:
        _world.stop()


class StepTests(SynchronousTestCase):
    """
    Row K4: a process that is killed at a step of a job's life changes nothing of what becomes of the job.
    """

    def setUp(self) -> None:
        """
        Have two gateways, and no worker.
        """
        self.world = shared_world()
        self.addCleanup(self.recover)

    def recover(self) -> None:
        """
        Have everything run again, but for the workers.
        """
        for worker in self.world.workers:
            worker.crash()
        assert isinstance(self.world.nats, NatsServer)
        if not self.world.nats.alive:
            self.world.nats.start()
        for gateway in self.world.gateways:
            if not gateway.alive:
                gateway.start()
        self.world.wait_ready()

    async def wire(self) -> Tripwire:
        """
        A relay to NATS that can stop everything.
        """
        assert isinstance(self.world.nats, NatsServer)
        wire = await Tripwire(self.world.nats.port).open()
        self.addCleanup(lambda: run_in_loop(wire.close()))
        return wire

    def work(self, wire: Tripwire | None = None) -> WorkerProcess:
        """
        A worker that runs a program.

        @param wire: the way by which it finds NATS.
        """
        return self.world.work(1, program=True, nats="" if wire is None else f"127.0.0.1:{wire.port}")

    async def submitted(self, client: Client, name: str, **members: Any) -> Accepted:
        """
        A job that was accepted.
        """
        accepted = await client.submit(name, **{"patience": 15, **members})
        assert accepted is not None, client.wrong
        return accepted

    async def begun(self, job_id: str, attempt: int = 1) -> int:
        """
        Wait until a job's program runs.

        @return: its process.
        """
        async with asyncio.timeout(15):
            while not (found := [run for run in self.world.runs.of(job_id) if run.attempt == attempt]):
                await asyncio.sleep(0.01)
        return found[0].pid

    async def check(
        self, client: Client, job_id: str, runs: list[tuple[int, str]], status: str = "completed", attempts: int = 0
    ) -> None:
        """
        See how a job ends: as both gateways say it, by its runs, and in the queue.

        @param runs: the number and the outcome of each.
        @param attempts: as the record counts them, if not as the last run does.
        """
        jobs = [await client.until(job_id, TERMINAL, 25, port) for port in client.ports]
        self.assertEqual(jobs[0]["status"], status, jobs[0])
        self.assertEqual(jobs[0], jobs[1])
        self.assertEqual([(run.attempt, run.outcome) for run in self.world.runs.of(job_id)], runs, jobs[0])
        self.assertEqual(jobs[0]["attempts"], attempts or (runs[-1][0] if runs else 0), jobs[0])
        self.assertEqual(self.world.runs.overlaps(), [])
        self.assertEqual(client.wrong, [])
        async with JobsStore.of(self.world.addresses) as store:
            await store.until_queue_empty(8)

    @in_loop
    async def test_gateway_after_acceptance(self) -> None:
        """
        A gateway is killed right after its 202, and another serves the job until it is back.
        """
        async with self.world.client() as client:
            client.ports = self.world.ports[:1]
            accepted = await self.submitted(client, "gateway after acceptance")
            crash(self.world.gateways[0])
            client.ports = self.world.ports[1:]
            self.assertEqual((await client.until(accepted.job_id, ["queued"]))["queue"]["position"], 1)
            self.work()
            await client.until(accepted.job_id, ["completed"])
            await asyncio.to_thread(self.world.gateways[0].start)
            client.ports = self.world.ports
            await self.check(client, accepted.job_id, [(1, "end")])

    @in_loop
    async def test_nats_while_queued(self) -> None:
        """
        NATS is killed while a job waits, and has it still when it is back. Meanwhile nothing is accepted, and what is
        known is still told, marked as old.
        """
        async with self.world.client() as client:
            accepted = await self.submitted(client, "nats while queued")
            await client.until(accepted.job_id, ["queued"])
            assert isinstance(self.world.nats, NatsServer)
            self.world.nats.kill()
            await self.check_outage(client, accepted.job_id)
            await asyncio.to_thread(self.world.nats.start)
            self.work()
            await self.check(client, accepted.job_id, [(1, "end")])

    async def check_outage(self, client: Client, job_id: str) -> None:
        """
        What gateways say while NATS is away.
        """
        for port in client.ports:
            async with asyncio.timeout(5):
                while not (shown := await client.show(job_id, port)).get("stale"):
                    await asyncio.sleep(0.02)
            self.assertEqual(shown["status"], "queued")
            began = time.monotonic()
            status, problem = await client.call("POST", "/api/v1/jobs", {"type": "inference", "name": "x"}, port)
            self.assertEqual((status, problem["reason"]), (503, "store_unavailable"))
            self.assertLess(time.monotonic() - began, OPERATION_TIMEOUT / 2)

    @in_loop
    async def test_worker_after_claim(self) -> None:
        """
        A worker is killed when it has claimed a job and has not begun: another makes the next attempt.
        """
        wire = await self.wire()
        async with self.world.client() as client:
            worker = self.work(wire)
            wire.arm(b'"status":"processing"', passes=True)
            accepted = await self.submitted(client, "worker after claim")
            await wire.tripped()
            await client.until(accepted.job_id, ["processing"])
            worker.crash()
            self.work()
            await self.check(client, accepted.job_id, [(2, "end")])

    @in_loop
    async def test_worker_before_claim(self) -> None:
        """
        A worker is killed when it has got a job and not claimed it: that was no attempt.
        """
        wire = await self.wire()
        async with self.world.client() as client:
            worker = self.work(wire)
            wire.arm(b'"status":"processing"', passes=False)
            accepted = await self.submitted(client, "worker before claim")
            await wire.tripped()
            worker.crash()
            self.work()
            await self.check(client, accepted.job_id, [(1, "end")])

    @in_loop
    async def test_worker_amid_run(self) -> None:
        """
        A worker is killed amid a run: its program ends with it, and another worker tries again when the lease is over.
        """
        async with self.world.client() as client:
            accepted = await self.submitted(client, "worker amid run @wait")
            worker = self.work()
            pid = await self.begun(accepted.job_id)
            worker.crash()
            await asyncio.to_thread(wait_for, lambda: not _lives(pid), "the end of the program")
            self.world.runs.go_on(accepted.job_id)
            self.work()
            await self.check(client, accepted.job_id, [(1, ""), (2, "end")])

    @in_loop
    async def test_gateways_amid_run(self) -> None:
        """
        All gateways are killed amid a run. The job runs to its end without them, and they learn of it afterwards.
        """
        async with self.world.client() as client:
            accepted = await self.submitted(client, "gateways amid run @wait")
            self.work()
            await self.begun(accepted.job_id)
            for gateway in self.world.gateways:
                crash(gateway)
            self.world.runs.go_on(accepted.job_id)
            await asyncio.to_thread(
                wait_for, lambda: self.world.runs.of(accepted.job_id)[0].outcome == "end", "the end of the run"
            )
            await asyncio.gather(*(asyncio.to_thread(gateway.start) for gateway in self.world.gateways))
            await self.check(client, accepted.job_id, [(1, "end")])

    @in_loop
    async def test_nats_amid_run(self) -> None:
        """
        NATS is killed amid a run and comes back soon: the run goes on, and its end is told.
        """
        await self.check_nats_away(ends_meanwhile=False)

    @in_loop
    async def test_nats_at_end(self) -> None:
        """
        NATS is away when a run ends: the end is told when it is back.
        """
        await self.check_nats_away(ends_meanwhile=True)

    async def check_nats_away(self, ends_meanwhile: bool) -> None:
        """
        Have a job run while NATS is away for a moment.
        """
        assert isinstance(self.world.nats, NatsServer)
        async with self.world.client() as client:
            accepted = await self.submitted(client, "nats amid run @wait")
            self.work()
            await self.begun(accepted.job_id)
            self.world.nats.kill()
            if ends_meanwhile:
                self.world.runs.go_on(accepted.job_id)
                await asyncio.to_thread(
                    wait_for, lambda: self.world.runs.of(accepted.job_id)[0].outcome == "end", "the end of the run"
                )
            await asyncio.to_thread(self.world.nats.start)
            self.world.runs.go_on(accepted.job_id)
            await self.check(client, accepted.job_id, [(1, "end")])

    @in_loop
    async def test_worker_after_run(self) -> None:
        """
        A worker is killed when the program has ended and before anybody could know: so there is another attempt.
        """
        wire = await self.wire()
        async with self.world.client() as client:
            worker = self.work(wire)
            wire.arm(b'"status":"completed"', passes=False)
            accepted = await self.submitted(client, "worker after run")
            await wire.tripped()
            worker.crash()
            self.work()
            await self.check(client, accepted.job_id, [(1, "end"), (2, "end")])

    @in_loop
    async def test_worker_after_result(self) -> None:
        """
        A worker is killed when it has written the end down, but does not know it: nobody runs the job again.
        """
        await self.check_after(b'"status":"completed"', passes=True)

    @in_loop
    async def test_worker_before_acknowledgement(self) -> None:
        """
        A worker is killed before it has taken a completed job out of the queue: somebody else does, and does not run it
        again.
        """
        await self.check_after(b"+ACK", passes=False)

    async def check_after(self, pattern: bytes, passes: bool) -> None:
        """
        Kill a worker at a moment after the end of a job.
        """
        wire = await self.wire()
        async with self.world.client() as client:
            worker = self.work(wire)
            wire.arm(pattern, passes)
            accepted = await self.submitted(client, "worker after result")
            await wire.tripped()
            worker.crash()
            self.assertEqual((await client.until(accepted.job_id, TERMINAL))["status"], "completed")
            self.work()
            await self.check(client, accepted.job_id, [(1, "end")])

    @in_loop
    async def test_worker_amid_cancellation(self) -> None:
        """
        A worker is killed while it is to stop a job: the job ends as cancelled, and is not run again.
        """
        wire = await self.wire()
        async with self.world.client() as client:
            worker = self.work(wire)
            accepted = await self.submitted(client, "worker amid cancellation @wait")
            pid = await self.begun(accepted.job_id)
            wire.arm(b'"status":"cancelled"', passes=False)
            status, document = await client.call("DELETE", f"/api/v1/jobs/{accepted.job_id}")
            self.assertEqual((status, document["status"]), (202, "cancelling"))
            await wire.tripped()
            worker.crash()
            await asyncio.to_thread(wait_for, lambda: not _lives(pid), "the end of the program")
            self.work()
            await self.check(client, accepted.job_id, [(1, "")], "cancelled")

    @in_loop
    async def test_gateway_after_publishing(self) -> None:
        """
        Rows K2 and K4: a gateway is killed when a job is in the queue, before it could say so. The job runs once, and
        whoever submits it again with its key is told of that very job.
        """
        await self.check_gateway("after", passes=True)

    @in_loop
    async def test_gateway_before_publishing(self) -> None:
        """
        Row K4: a gateway is killed when it has written a record, before the job is in the queue. Whoever submits it
        again with its key finishes that, and what nobody submits again the other gateways finish by themselves.
        """
        await self.check_gateway("before", passes=False)

    async def check_gateway(self, when: str, passes: bool) -> None:
        """
        Have a gateway killed in a submission without a key, and in one with a key.
        """
        wire = await self.wire()
        gateway = self.world.gateway_by(wire.port)
        self.addCleanup(gateway.kill)
        for key in ("", f"key-{when}"):
            wire.mend()
            await asyncio.to_thread(gateway.start)
            await asyncio.to_thread(self.world.wait_ready)
            await asyncio.to_thread(wait_for, lambda: connected(gateway), "connected")
            await self.interrupt(gateway, wire, f"{when} {key}", key, passes)
        self.work()
        async with self.world.client() as client:
            accepted = await self.submitted(client, f"{when} key-{when}", key=f"key-{when}", patience=30)
            listed = [job for job in await client.pages(client.ports[0]) if job["name"].startswith(when)]
            self.assertEqual(sorted(job["name"] for job in listed), [f"{when} ", f"{when} key-{when}"])
            self.assertIn(accepted.job_id, [job["job_id"] for job in listed])
            for job in listed:
                await self.check(client, job["job_id"], [(1, "end")])

    async def interrupt(self, gateway: GatewayProcess, wire: Tripwire, name: str, key: str, passes: bool) -> None:
        """
        Kill a gateway when it puts a job into the queue.
        """
        async with self.world.client() as client:
            client.ports = [gateway.port]
            wire.arm(b"PUB jobs.submit.", passes)
            asking = asyncio.create_task(client.submit(name, key, patience=0))
            await wire.tripped(5)
            crash(gateway)
            self.assertIsNone(await asking)
            self.assertEqual(dict(client.answers), {0: 1})

    @in_loop
    async def test_worker_drains(self) -> None:
        """
        Row K16: a worker that is to end gives back what it cannot finish, which does not count as an attempt.
        """
        async with self.world.client() as client:
            accepted = await self.submitted(client, "worker drains @wait")
            worker = self.world.work(1, program=True, drain=0.2)
            pid = await self.begun(accepted.job_id)
            worker.signal()
            self.assertEqual(await asyncio.to_thread(worker.wait), 0)
            self.assertFalse(_lives(pid))
            self.world.runs.go_on(accepted.job_id)
            self.work()
            jobs = [await client.until(accepted.job_id, TERMINAL, port=port) for port in client.ports]
            self.assertEqual([(job["status"], job["attempts"]) for job in jobs], [("completed", 1)] * 2)
            found = [(run.attempt, run.outcome) for run in self.world.runs.of(accepted.job_id)]
            self.assertEqual(found, [(1, ""), (1, "end")])


def _lives(pid: int) -> bool:
    """
    Whether there is such a process, and it is not dead already.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


class ChaosTests(SynchronousTestCase):
    """
    Thousands of jobs while gateways, workers and NATS are killed and drained at random.

    C{SIGER_TEST_LONG=1} makes it a longer one; C{SIGER_TEST_SEED} repeats one that was bad, as far as that can be done.
    """

    def setUp(self) -> None:
        """
        Have a world of its own, with three workers.
        """
        self.count, self.seconds = (20_000, 300.0) if LONG else (1500, 18.0)
        self.seed = int(os.environ.get("SIGER_TEST_SEED") or random.randrange(2**32))
        self.world = JobsWorld()
        self.addCleanup(self.world.stop)
        self.world.start()
        workers = [self.world.work(8), self.world.work(8), self.world.work(3, program=True)]
        self.storm = Storm(self.world, workers, random.Random(self.seed), [])

    def test_chaos(self) -> None:
        """
        Every job for which there was a 202 comes to an end that fits it. None runs twice at once, none is lost, none is
        stuck, no key makes two jobs, and both gateways tell the same, which is what the logs say.
        """
        try:
            run_in_loop(self.play(), self.seconds + 150)
        except BaseException as error:
            self.report(error)
            raise

    async def play(self) -> None:
        """
        All of it.
        """
        async with self.world.client(seed=self.seed) as client:
            submissions = Submissions(client, self.count, self.seconds)
            async with asyncio.TaskGroup() as group:
                group.create_task(submissions.submit())
                group.create_task(asyncio.to_thread(self.storm.blow, self.seconds))
            await self.check(client, submissions)
            self.summarise(client)

    def summarise(self, client: Client) -> None:
        """
        Say how bad it was, and see that it was bad at all.
        """
        runs = self.world.runs.runs().values()
        again = sum(len(each) > 1 for each in runs)
        retried = sum(accepted.tries > 1 for accepted in client.accepted.values())
        answers = ", ".join(f"{times} times {status}" for status, times in sorted(client.answers.items()))
        print(
            f"\n    SIGER_TEST_SEED={self.seed}: {len(self.storm.happened)} blows; {len(client.accepted)} accepted, "
            f"{retried} of them not at first, {len(client.doubtful)} in doubt; {answers}; {again} ran more than once"
        )
        self.assertGreater(len(self.storm.happened), self.seconds / 4)
        self.assertGreater(retried, 0)
        self.assertGreater(again, 0)

    def report(self, error: BaseException) -> None:
        """
        What is needed to understand a failure.
        """
        print(f"\nSIGER_TEST_SEED={self.seed}", *self.storm.happened, sep="\n")
        traceback.print_exception(error, file=sys.stdout)  # with all those of a group
        for process in (*self.world.gateways, *self.storm.workers):
            text = process.output() if isinstance(process, GatewayProcess) else process.log.read_text()
            bad = [line for line in text.splitlines() if '"traceback"' in line or " ERROR " in line]
            print(f"--- {process}", *bad[:20], text[-3000:], sep="\n")

    async def check(self, submitter: Client, submissions: Submissions) -> None:
        """
        See what has become of everything.
        """
        self.assertEqual(submitter.wrong, [])
        async with self.world.client() as client:
            jobs = await self.settled(client, 60)
        self.check_answers(submitter, jobs)
        self.check_ends(jobs, submissions.cancelled)
        self.assertEqual(self.world.runs.faults(), [])
        async with JobsStore.of(self.world.addresses) as store:
            await self.until_queue_empty(store)
            records, logs = await store.records(), await store.logs()
            dead = Counter(document["job_id"] for document in await store.dead())
        self.check_records(records, logs, jobs)
        self.check_watched(records, logs, submissions.watched)
        self.assertEqual(dead, Counter(job_id for job_id, job in jobs.items() if job["status"] == "failed"))

    async def until_queue_empty(self, store: JobsStore) -> None:
        """
        Wait until the queue is empty: a lease after the last end at the latest, or, should a server have forgotten a
        worker's question, when that asks again.
        """
        try:
            await store.until_queue_empty(8)
        except AssertionError as late:
            print(f"\n    SIGER_TEST_SEED={self.seed}: {late}")
            await store.until_queue_empty(35)

    async def settled(self, client: Client, seconds: float) -> dict[str, dict[str, Any]]:
        """
        All jobs, once all of them have ended and both gateways say the same.
        """
        deadline = time.monotonic() + seconds
        while True:
            first, second = [await client.pages(port) for port in client.ports]
            going = [job for job in (*first, *second) if job["status"] not in TERMINAL]
            if not going and first == second:
                return {job["job_id"]: job for job in first}
            differing = [pair for pair in zip(first, second, strict=False) if pair[0] != pair[1]]
            self.assertLess(time.monotonic(), deadline, f"stuck: {going[:3]}; different: {differing[:3]}")
            await asyncio.sleep(0.5)

    def check_answers(self, client: Client, jobs: dict[str, dict[str, Any]]) -> None:
        """
        Rows K1 to K5: each 202 has its job, each job was asked for once.
        """
        self.assertEqual([accepted for accepted in client.accepted.values() if accepted.job_id not in jobs], [])
        self.assertEqual(len(client.accepted) + len(client.doubtful), self.count)
        names = Counter(job["name"] for job in jobs.values())
        self.assertEqual([name for name, times in names.items() if times > 1], [])
        self.assertEqual(set(names) - set(client.accepted) - client.doubtful, set())
        for accepted in client.accepted.values():
            self.assertEqual(jobs[accepted.job_id]["name"], accepted.name)

    def check_ends(self, jobs: dict[str, dict[str, Any]], cancelled: dict[str, int]) -> None:
        """
        Rows K10 and K17: each job has the end that it should have, and the runs that its record tells of.
        """
        runs = self.world.runs.runs()
        for job_id, job in jobs.items():
            ended = [run.attempt for run in runs.get(job_id, []) if run.outcome == "end"]
            if cancelled.get(job_id) == 202:
                self.assertEqual(job["status"], "cancelled", job)
            elif "@fail" in job["name"]:
                self.assertEqual(job["status"], "failed", job)
            elif job_id not in cancelled and "@wait" not in job["name"]:
                self.assertEqual(job["status"], "completed", job)
            if job["status"] == "completed":
                self.assertIn(job["attempts"], ended, (job, runs.get(job_id)))
            if not job["attempts"]:
                self.assertNotIn(job_id, runs, job)
            self.assertTrue(all(run.attempt <= job["attempts"] for run in runs.get(job_id, [])), job)

    def check_records(
        self, records: dict[str, Job], logs: dict[str, list[tuple[int, Event]]], jobs: dict[str, dict[str, Any]]
    ) -> None:
        """
        What is in the store is what the gateways tell, and what the log makes of the submission.
        """
        self.assertEqual(set(records), set(jobs))
        for job_id, record in records.items():
            told = {name: value for name, value in record.public().items() if name in jobs[job_id]}
            self.assertEqual(told, {name: value for name, value in jobs[job_id].items() if name in told})
            replayed = replay(_anew(record), logs[job_id])
            self.assertEqual(evolve(replayed, published=record.published), record)

    def check_watched(
        self, records: dict[str, Job], logs: dict[str, list[tuple[int, Event]]], watched: dict[str, list[int]]
    ) -> None:
        """
        Whoever watched a job got each entry of its log once, in order, through whatever there was; but for what
        workers said whose attempts were over.
        """
        self.assertGreater(len(watched), self.count / 20)
        for job_id, found in watched.items():
            self.assertEqual(found, _told(_anew(records[job_id]), logs[job_id]), job_id)


def _told(job: Job, log: list[tuple[int, Event]]) -> list[int]:
    """
    The entries of a log that are told, up to the end of the job.
    """
    found = []
    for sequence, event in log:
        if not job.terminal and not is_stale(job, event):
            found.append(sequence)
        job = fold(job, event, sequence)
    return found


def _anew(job: Job) -> Job:
    """
    A job as it was submitted.
    """
    names = (
        "user_id",
        "username",
        "type",
        "name",
        "description",
        "gpu_type",
        "gpu_count",
        "priority",
        "params",
        "tags",
    )
    same = {name: getattr(job, name) for name in (*names, "job_id", "max_retries", "timeout", "submitted_at")}
    return Job(**same, updated_at=job.submitted_at)
