"""
Workers with a real nats-server, real programs and real signals.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from siger.jobs import streams
from siger.jobs.events import Event
from siger.jobs.times import timestamp
from siger.worker import JobContext, JobFailed, Worker
from siger.worker.program import Program
from siger.worker.taking import PATIENCE
from tests.integration.job_queue import JobQueue
from tests.integration.nats_server import NatsServer

LEASE = 2.0


def on_asyncio(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], Deferred[None]]:
    """
    Run a test that is written for asyncio on the reactor's loop.
    """

    @functools.wraps(test)
    def run(self: Any) -> Deferred[None]:
        loop = asyncio.get_event_loop_policy().get_event_loop()
        return Deferred.fromFuture(asyncio.ensure_future(self.within(test(self)), loop=loop))

    return run


async def eventually(condition: Callable[[], object], timeout: float = 20.0) -> None:
    """
    Wait until something is so.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    """
    Whether a process exists, and not only to be waited for.
    """
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


class Spans:
    """
    A handler that remembers when it ran which job.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.begun: list[str] = []
        self.now: list[str] = []
        self.most = 0
        self.finished: list[str] = []

    async def __call__(self, job: JobContext) -> dict[str, int]:
        self.begun.append(job.id)
        self.now.append(job.id)
        self.most = max(self.most, self.now.count(job.id))
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now.remove(job.id)
        self.finished.append(job.id)
        return {"attempt": job.attempt}


class WorkerCase(TestCase):
    """
    A server, and workers in this process.
    """

    timeout = 60
    server: NatsServer
    queue: JobQueue

    async def within(self, test: Coroutine[Any, Any, None]) -> None:
        """
        Have everything there that a test needs, and nothing afterwards.
        """
        self.workers: list[tuple[Worker, asyncio.Task[None]]] = []
        self.server = NatsServer()
        try:
            self.server.start()
            self.queue = await JobQueue.open(self.server.url, LEASE, self.types)
            try:
                await test
            finally:
                for worker, task in self.workers:
                    worker.stop(hurry=True)
                    await asyncio.wait({task}, timeout=10)
                    task.cancel()
                    await asyncio.wait({task}, timeout=10)
                await self.queue.close()
        finally:
            test.close()
            self.server.stop()

    types: tuple[str, ...] = ("work",)

    def work(self, handler: Callable[[JobContext], Awaitable[object]], **options: Any) -> Worker:
        """
        Start a worker.
        """
        options = {"grace": 1.0, "drain": 1.0} | options
        worker = Worker(self.server.url, self.types, handlers=handler, **options)
        self.workers.append((worker, asyncio.create_task(worker.run(signals=False))))
        return worker

    async def gone(self, worker: Worker) -> None:
        """
        Wait until a worker has left.
        """
        await asyncio.wait_for(next(task for other, task in self.workers if other is worker), 10)


class LifeTests(WorkerCase):
    """
    What becomes of one job.
    """

    @on_asyncio
    async def test_completed(self) -> None:
        """
        The log has the claim, lines, progress and the result in order, and the queue has nothing any more.
        """

        async def handle(job: JobContext) -> object:
            await job.log("one")
            await job.log("two\nthree", "error")
            await job.progress(40.7, "almost half")
            await asyncio.sleep(0.05)
            return {"params": job.params, "attempt": job.attempt, "gpus": job.gpus}

        self.work(handle, name="w1")
        job_id = await self.queue.submit(params={"x": [1]})
        job = await self.queue.ended(job_id)
        self.assertEqual((job.status, job.attempts, job.worker, job.progress), ("completed", 1, "w1", 100))
        self.assertEqual(job.result, {"params": {"x": [1]}, "attempt": 1, "gpus": []})
        events = await self.queue.events(job_id)
        self.assertEqual([e.event for e in events], ["status", "log", "log", "log", "progress", "status"])
        self.assertEqual([e.message for e in events[1:5]], ["one", "two", "three", "almost half"])
        self.assertEqual([e.level for e in events[1:4]], ["info", "error", "error"])
        self.assertEqual(events[4].progress, 40)
        await self.queue.emptied()

    @on_asyncio
    async def test_retries(self) -> None:
        """
        What fails is tried again after a while, for as often as the job allows, and is then among the dead.
        """
        times: list[float] = []

        async def handle(job: JobContext) -> object:
            times.append(time.monotonic())
            raise ValueError(f"number {job.attempt}")

        self.work(handle)
        job_id = await self.queue.submit(max_retries=1)
        job = await self.queue.ended(job_id)
        self.assertEqual((job.status, job.attempts, job.error), ("failed", 2, "ValueError: number 2"))
        expected = [("processing", 1), ("retrying", 1), ("processing", 2), ("failed", 2)]
        self.assertEqual(await self.queue.statuses(job_id), expected)
        self.assertGreater(times[1] - times[0], 1.9)
        await self.queue.emptied()
        [dead] = await self.queue.dead()
        self.assertEqual((dead["job_id"], dead["reason"], dead["attempts"]), (job_id, "ValueError: number 2", 2))
        self.assertEqual(dead["params"], {})

    @on_asyncio
    async def test_no_retry(self) -> None:
        """
        What says that another attempt would not help has none. So has a result that cannot be kept.
        """

        async def handle(job: JobContext) -> object:
            if "result" in job.params:
                return "x" * 65536
            raise JobFailed("no such data", retry=False)

        self.work(handle)
        refused, large = [await self.queue.submit(max_retries=3, params=p) for p in ({}, {"result": 1})]
        job = await self.queue.ended(refused)
        self.assertEqual((job.status, job.attempts, job.error), ("failed", 1, "no such data"))
        job = await self.queue.ended(large)
        self.assertEqual((job.status, job.error), ("failed", "the result is longer than 65536 bytes"))
        await self.queue.emptied()
        self.assertEqual(len(await self.queue.dead()), 2)

    @on_asyncio
    async def test_timeout(self) -> None:
        """
        What takes longer than it may is told to stop, then stopped, and has failed.
        """
        seen: list[object] = []

        async def handle(job: JobContext) -> object:
            try:
                await job.cancelled.wait()
                seen.append("told")
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        self.work(handle, grace=0.3)
        job = await self.queue.ended(await self.queue.submit(timeout=1, max_retries=2))
        self.assertEqual((job.status, job.error), ("failed", "timeout: the job took longer than 1 s"))
        self.assertEqual(seen, ["told", "cancelled"])
        await self.queue.emptied()

    @on_asyncio
    async def test_cancelled(self) -> None:
        """
        A running job is told by the control message; it ends as it likes, or by force after the grace time.
        """

        forced: list[str] = []

        async def handle(job: JobContext) -> object:
            try:
                while True:
                    if not job.params.get("stubborn"):
                        await job.check()
                    await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                forced.append(job.id)
                raise

        worker = self.work(handle, concurrency=2, grace=0.5)
        kind, stubborn = await self.queue.submit(), await self.queue.submit(params={"stubborn": True})
        await eventually(lambda: len(worker.running) == 2)
        for job_id in (kind, stubborn):
            await self.queue.until(job_id, lambda job: job.attempts)
            started = time.monotonic()
            await self.queue.cancel(job_id)
            job = await self.queue.ended(job_id)
            self.assertEqual((job.status, job.error), ("cancelled", None))
            self.assertTrue(job_id == kind or time.monotonic() - started > 0.45)
        self.assertEqual(forced, [stubborn])
        await self.queue.emptied()

    @on_asyncio
    async def test_cancelled_before(self) -> None:
        """
        What was cancelled in the queue, in the log or by an order alone, never starts.
        """
        ended, ordered = await self.queue.submit(), await self.queue.submit()
        now = timestamp(time.time())
        await self.queue.append(Event(job_id=ended, event="status", attempt=0, status="cancelled", timestamp=now))
        await self.queue.client.request(
            streams.control_subject(ordered), json.dumps({"job_id": ordered, "action": "cancel"}).encode()
        )
        spans = Spans()
        self.work(spans)
        await self.queue.emptied()
        self.assertEqual(spans.begun, [])
        self.assertEqual(await self.queue.statuses(ended), [("cancelled", 0)])
        self.assertEqual((await self.queue.record(ordered)).status, "cancelled")

    @on_asyncio
    async def test_duplicates(self) -> None:
        """
        A job that is in the queue twice runs once, whoever takes the copies, and whenever.
        """
        spans = Spans(0.5)
        self.work(spans, concurrency=2)
        self.work(spans, concurrency=2)
        job_ids = [await self.queue.submit(twice=True) for _ in range(3)]
        for job_id in job_ids:
            self.assertEqual((await self.queue.ended(job_id)).result, {"attempt": 1})
        await self.queue.emptied()
        self.assertEqual(sorted(spans.begun), sorted(job_ids))

    @on_asyncio
    async def test_superseded(self) -> None:
        """
        Whoever finds in the log that the job was given to another, or has ended, stops and writes nothing more.
        """

        async def handle(job: JobContext) -> object:
            while True:
                await job.log("still here")
                await asyncio.sleep(0.02)

        worker = self.work(handle, concurrency=2)
        taken, lost = await self.queue.submit(), await self.queue.submit()
        now = timestamp(time.time())
        for job_id in (taken, lost):
            await self.queue.until(job_id, lambda job: job.attempts)
        await self.queue.append(
            Event(job_id=taken, event="status", attempt=2, status="processing", worker="other", timestamp=now)
        )
        await self.queue.append(
            Event(job_id=lost, event="status", attempt=0, status="failed", error="lost", timestamp=now)
        )
        await eventually(lambda: not worker.running)
        self.assertEqual((await self.queue.events(taken))[-1].worker, "other")
        self.assertEqual((await self.queue.events(lost))[-1].error, "lost")

    @on_asyncio
    async def test_unreadable(self) -> None:
        """
        A message that is no job is put among the dead.
        """
        self.work(Spans())
        await self.queue.client.request(streams.submit_subject("work", "high"), b"{}")
        await self.queue.emptied()
        [dead] = await self.queue.dead()
        self.assertEqual((dead["reason"][:10], dead["content"]), ("unreadable", "{}"))

    @on_asyncio
    async def test_flood(self) -> None:
        """
        Of lines without number some are kept, each not too long, and how many were not is said.
        """

        async def handle(job: JobContext) -> object:
            await job.log("x" * 10_000)
            for number in range(1000):
                await job.log(str(number))
            return None

        self.work(handle)
        job_id = await self.queue.submit()
        self.assertEqual((await self.queue.ended(job_id)).status, "completed")
        lines = await self.queue.lines(job_id)
        self.assertEqual(len(lines[0] or ""), 4096)
        self.assertLess(len(lines), 300)
        dropped = sum(int((line or "").split()[0]) for line in lines if (line or "").endswith("dropped"))
        kept = sum(1 for line in lines[1:] if (line or "").isdigit())
        self.assertEqual(kept + dropped, 1000)


class TakingTests(WorkerCase):
    """
    Which jobs are taken when.
    """

    types = ("a", "b")

    @on_asyncio
    async def test_lanes(self) -> None:
        """
        Urgent jobs come first, but others get their turn meanwhile; all are run.
        """
        job_ids = {}
        for priority, lane in ((9, "high"), (5, "normal"), (0, "low")):
            for number in range(14):
                job_ids[await self.queue.submit("ab"[number % 2], priority=priority)] = lane
        spans = Spans()
        self.work(spans)
        await self.queue.emptied()
        order = [job_ids[job_id] for job_id in spans.begun]
        self.assertEqual(len(order), 42)
        self.assertEqual([order[:12].count(lane) for lane in ("high", "normal", "low")], [8, 3, 1])

    @on_asyncio
    async def test_gpus(self) -> None:
        """
        Jobs get GPUs of their own, and what does not fit holds nobody up: it waits, for others if need be.
        """
        used: dict[str, tuple[int, ...]] = {}
        now: list[int] = []
        clashes: list[object] = []

        async def handle(job: JobContext) -> object:
            used[job.name] = job.gpus
            clashes.extend(set(now) & set(job.gpus))
            now.extend(job.gpus)
            await asyncio.sleep(0.2)
            for number in job.gpus:
                now.remove(number)
            return list(job.gpus)

        other = await self.queue.submit("a", gpu_type="H100", priority=9)
        large = await self.queue.submit("a", gpu_type="any", gpu_count=5, priority=9)
        fitting = [await self.queue.submit("a", gpu_type="A100", gpu_count=count) for count in (1, 2, 3, 2, 1)]
        self.work(handle, gpus=4, gpu_type="A100")
        for job_id, count in zip(fitting, (1, 2, 3, 2, 1), strict=True):
            result = (await self.queue.ended(job_id)).result
            assert isinstance(result, list)
            self.assertEqual(len(set(result)), count)
        self.assertEqual(clashes, [])
        self.assertEqual([await self.queue.statuses(other), await self.queue.statuses(large)], [[], []])
        self.work(handle, gpus=8, gpu_type="H100")
        for job_id in (other, large):
            self.assertEqual((await self.queue.ended(job_id)).status, "completed")

    @on_asyncio
    async def test_idle(self) -> None:
        """
        A worker without work asks each queue once, and hears of a job at once.
        """
        asked: list[tuple[str, bool]] = []

        async def hear(message: Any) -> None:
            asked.append((message.subject, "expires" in json.loads(message.data)))

        await self.queue.client.subscribe("$JS.API.CONSUMER.MSG.NEXT.>", cb=hear)
        await self.queue.client.flush()
        self.work(Spans())
        await eventually(lambda: sum(waits for _, waits in asked) == 6)
        asked.clear()
        await asyncio.sleep(0.6)
        self.assertEqual(asked, [])
        started = time.monotonic()
        await self.queue.ended(await self.queue.submit("b"))
        self.assertLess(time.monotonic() - started, PATIENCE / 5)


class LossTests(WorkerCase):
    """
    Servers and workers that go away, on purpose or not.
    """

    @on_asyncio
    async def test_drain(self) -> None:
        """
        Who is to stop finishes what it can, hands back the rest, and takes nothing new. What was handed back goes on
        under the same number.
        """
        short, long = Spans(0.5), Spans(30)

        async def handle(job: JobContext) -> object:
            return await (long if job.params.get("long") and job.attempt == 1 and not long.begun else short)(job)

        worker = self.work(handle, concurrency=2, drain=1.0, grace=0.2)
        first, second = await self.queue.submit(), await self.queue.submit(params={"long": True})
        await eventually(lambda: short.now and long.now)
        worker.stop()
        third = await self.queue.submit()
        await self.gone(worker)
        self.assertEqual((await self.queue.record(first)).status, "completed")
        self.assertEqual(await self.queue.statuses(second), [("processing", 1), ("retrying", 1)])
        self.assertEqual((await self.queue.record(second)).between, "returned")
        self.assertEqual(await self.queue.statuses(third), [])
        self.work(handle)
        self.assertEqual((await self.queue.ended(second)).result, {"attempt": 1})
        self.assertEqual((await self.queue.ended(third)).status, "completed")

    @on_asyncio
    async def test_server_comes_later(self) -> None:
        """
        A worker waits for a server, makes what the server does not have, and goes on when it was away for a moment:
        nothing of a log is missing, and nothing runs twice.
        """
        self.server.kill()
        shutil.rmtree(self.server.directory / "store")
        begun: list[int] = []

        async def handle(job: JobContext) -> object:
            begun.append(job.attempt)
            for number in range(20):
                await job.log(str(number))
                await asyncio.sleep(0.05)
            return "done"

        self.work(handle, lease=10)
        await asyncio.sleep(0.3)
        self.server.start()
        job_id = await self.queue.submit_once_possible()
        await eventually(lambda: begun)
        await asyncio.sleep(0.2)
        self.server.kill()
        await asyncio.sleep(0.3)
        self.server.start()
        job = await self.queue.ended(job_id)
        self.assertEqual((job.status, job.result, begun), ("completed", "done", [1]))
        self.assertEqual(await self.queue.lines(job_id), [str(number) for number in range(20)])
        await self.queue.emptied()

    @on_asyncio
    async def test_credentials(self) -> None:
        """
        A server that refuses a worker is tried again and again; with the right password, jobs are run.
        """
        guarded = NatsServer(extra='authorization { user: "w", password: "p@ss" }')
        self.addCleanup(guarded.stop)
        guarded.start()
        queue = await JobQueue.open(guarded.url, LEASE, user="w", password="p@ss")
        spans = Spans()
        refused = Worker(guarded.url, ["work"], handlers=spans, user="w", password="wrong")
        self.workers.append((refused, asyncio.create_task(refused.run(signals=False))))
        job_id = await queue.submit()
        await asyncio.sleep(0.5)
        self.assertEqual((spans.begun, self.workers[0][1].done()), ([], False))
        for worker in (
            Worker(guarded.url, ["work"], handlers=spans, user="w", password="p@ss"),
            Worker(lambda: [guarded.url.replace("//", "//w:p%40ss@")], ["work"], handlers=spans),
        ):
            self.workers.append((worker, asyncio.create_task(worker.run(signals=False))))
            self.assertEqual((await queue.ended(job_id)).worker, worker.name)
            worker.stop()
            await self.gone(worker)
            job_id = await queue.submit()
        await queue.close()

    @on_asyncio
    async def test_fence(self) -> None:
        """
        A worker that cannot reach the queue stops its job before the lease has ended. It is run again later.
        """
        spans = Spans(30)
        self.work(spans)
        job_id = await self.queue.submit(max_retries=1)
        await eventually(lambda: spans.now)
        await asyncio.sleep(0.3)
        self.server.kill()
        killed = time.monotonic()
        await eventually(lambda: not spans.now)
        self.assertLess(time.monotonic() - killed, LEASE)
        spans.seconds = 0.1
        self.server.start()
        job = await self.queue.ended(job_id)
        self.assertEqual((job.status, job.attempts), ("completed", 2))

    @on_asyncio
    async def test_server_forgets(self) -> None:
        """
        A server that crashes may deliver again what runs; nobody runs it a second time meanwhile.
        """
        spans = Spans(1.0)
        for _ in range(3):
            self.work(spans, concurrency=2)
        await asyncio.sleep(0.3)
        job_ids = [await self.queue.submit(max_retries=3) for _ in range(3)]
        await eventually(lambda: set(job_ids) <= set(spans.begun))
        self.server.kill()
        self.server.start()
        for job_id in job_ids:
            self.assertEqual((await self.queue.ended(job_id)).status, "completed")
        self.assertEqual(spans.most, 1)
        await self.queue.emptied()


class ProgramTests(WorkerCase):
    """
    Programs as handlers.
    """

    async def run_shell(self, script: str, options: dict[str, Any] | None = None, **members: Any) -> str:
        """
        Run a job by a shell's script.
        """
        command = ["/bin/sh", "-c", script]
        environ = {"PATH": os.environ["PATH"], "SIGER_NATS__TOKEN": "secret", "OWN": "kept"}
        options = options or {}
        devices = ["4", "5", "7"] if options.get("gpus") else None
        self.work(Program(command, devices, environ), **options)
        return await self.queue.submit(**members)

    @on_asyncio
    async def test_protocol(self) -> None:
        """
        The program gets the job by input and environment; what it prints is progress, a result, or lines.
        """
        script = """
            read job; echo "$job"; echo "$SIGER_JOB"; echo "$SIGER_JOB_ID $SIGER_JOB_TYPE $SIGER_ATTEMPT $OWN"
            echo "[$SIGER_NATS__TOKEN] [$CUDA_VISIBLE_DEVICES]"; echo trouble >&2
            echo "::progress 42 some message"; echo '::result {"loss": 0.5}'; printf 'no end'
        """
        job_id = await self.run_shell(script, {"gpus": 3, "gpu_type": ""}, params={"x": "ü"}, gpu_count=2)
        job = await self.queue.ended(job_id)
        self.assertEqual((job.status, job.result), ("completed", {"loss": 0.5}))
        lines = await self.queue.lines(job_id)
        lines.remove("trouble")  # where it comes among those of the other pipe is for the system to say
        for line in lines[:2]:
            told = json.loads(line or "")
            self.assertEqual((told["job_id"], told["params"], told["attempt"]), (job_id, {"x": "ü"}, 1))
        self.assertEqual(lines[2:], [f"{job_id} work 1 kept", "[] [4,5]", "no end"])
        events = await self.queue.events(job_id)
        self.assertEqual([e.message for e in events if e.level == "error"], ["trouble"])
        self.assertEqual([(e.progress, e.message) for e in events if e.event == "progress"], [(42, "some message")])

    @on_asyncio
    async def test_statuses(self) -> None:
        """
        How it exits is how the job ends; some statuses say that trying again is of no use.
        """
        script = """
            read job
            echo "bad $SIGER_ATTEMPT" >&2
            case $job in *dies*) kill -9 $$;; esac
            exit $((SIGER_ATTEMPT == 1 ? 75 : 78))
        """
        tried = await self.run_shell(script, max_retries=9)
        died = await self.queue.submit(params={"dies": True})
        await self.queue.until(tried, lambda job: job.error == "exit status 75: bad 1")
        self.assertEqual((await self.queue.ended(died)).error, "signal 9 (SIGKILL): bad 1")
        job = await self.queue.ended(tried)
        self.assertEqual((job.status, job.error, job.attempts), ("failed", "exit status 78: bad 2", 2))

    @on_asyncio
    async def test_cancelled(self) -> None:
        """
        A cancelled program gets SIGTERM, and everything of it SIGKILL after the grace time: also what has made a
        session of its own. What ends properly leaves nothing behind either.
        """
        script = """
            trap 'echo asked' TERM
            setsid sleep 1000 & echo pid $!
            echo pid $$
            while true; do sleep 0.1; done
        """
        job_id = await self.run_shell(script, {"grace": 0.5})
        while len(await self.queue.lines(job_id)) < 2:
            await asyncio.sleep(0.02)
        pids = [int((line or "").split()[1]) for line in await self.queue.lines(job_id)]
        self.assertTrue(all(map(lives, pids)))
        await self.queue.cancel(job_id)
        self.assertEqual((await self.queue.ended(job_id)).status, "cancelled")
        self.assertIn("asked", await self.queue.lines(job_id))
        self.assertFalse(any(map(lives, pids)))

    @on_asyncio
    async def test_left_behind(self) -> None:
        """
        When the program has ended, nothing of it is left, and nobody waits for its children.
        """
        job_id = await self.run_shell("setsid sleep 1000 & echo $!")
        job = await self.queue.ended(job_id)
        self.assertEqual(job.status, "completed")
        self.assertFalse(lives(int((await self.queue.lines(job_id))[0] or "0")))

    @on_asyncio
    async def test_large(self) -> None:
        """
        Jobs that are too large for the environment are on the input all the same; a program need not read it.
        """
        script = '[ -z "$SIGER_JOB" ] && [ "$SIGER_ATTEMPT" = 1 ] && wc -c; exit $((SIGER_ATTEMPT * 0))'
        job_id = await self.run_shell(script, params={"x": "y" * 200_000})
        self.assertEqual((await self.queue.ended(job_id)).status, "completed")
        self.assertGreater(int((await self.queue.lines(job_id))[0] or "0"), 200_000)
        self.work(Program(["/bin/true"]))
        self.assertEqual(
            (await self.queue.ended(await self.queue.submit(params={"x": "y" * 200_000}))).status, "completed"
        )


class CommandTests(WorkerCase):
    """
    C{siger worker} as a process.
    """

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """
        Start one.
        """
        directory = Path(tempfile.mkdtemp(prefix="siger-worker-"))
        self.addCleanup(shutil.rmtree, directory)
        self.output = directory / "output"
        command = [
            sys.executable,
            "-m",
            "siger.cli",
            "worker",
            "--nats",
            self.server.url,
            "--types",
            "work",
            *arguments,
        ]
        with self.output.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=Path(__file__).parents[2]
            )
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.kill)
        return process

    async def pids(self, job_id: str, count: int) -> list[int]:
        """
        What a program says about its processes.
        """
        deadline = time.monotonic() + 10
        while len(found := await self.queue.lines(job_id)) < count:
            self.assertLess(time.monotonic(), deadline, self.output.read_text())
            await asyncio.sleep(0.03)
        return [int(line or "0") for line in found]

    @on_asyncio
    async def test_killed(self) -> None:
        """
        When a worker is killed, its programs are gone with it, and after the lease another one takes over. When no
        attempt is left, that one says that the job has failed.
        """
        again, failed = await self.queue.submit(max_retries=1), await self.queue.submit()
        process = self.spawn("--concurrency", "2", "--", "/bin/sh", "-c", "setsid sleep 1000 & echo $!; echo $$; wait")
        pids = [*await self.pids(again, 2), *await self.pids(failed, 2)]
        spans = Spans()
        self.work(spans)
        await asyncio.sleep(1)
        self.assertEqual(spans.begun, [])
        process.kill()
        killed = time.monotonic()
        await eventually(lambda: not any(map(lives, pids)))
        job = await self.queue.ended(again)
        self.assertEqual((job.status, job.attempts, job.worker), ("completed", 2, self.workers[0][0].name))
        self.assertGreater(time.monotonic() - killed, LEASE * 0.6)
        self.assertLess(time.monotonic() - killed, LEASE * 3)
        job = await self.queue.ended(failed)
        self.assertEqual((job.status, job.attempts, job.error), ("failed", 1, "worker lost"))
        self.assertEqual(spans.begun, [again])
        await self.queue.emptied()
        self.assertEqual([dead["reason"] for dead in await self.queue.dead()], ["worker lost"])

    @on_asyncio
    async def test_terminated(self) -> None:
        """
        SIGTERM lets it finish, and it exits with 0; a second one makes it hand back at once.
        """
        process = self.spawn("--", "/bin/sh", "-c", "echo $$; sleep 0.7; echo 0; [ $SIGER_ATTEMPT = 1 ]")
        job_id = await self.queue.submit()
        await self.pids(job_id, 1)
        process.terminate()
        self.assertEqual((await self.queue.ended(job_id)).status, "completed")
        await eventually(lambda: process.poll() is not None)
        self.assertEqual(process.returncode, 0, self.output.read_text())
        process = self.spawn("--", "/bin/sh", "-c", "trap '' TERM; echo $$; sleep 1000")
        job_id = await self.queue.submit()
        [pid] = await self.pids(job_id, 1)
        process.terminate()
        await asyncio.sleep(0.3)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        await eventually(lambda: process.poll() is not None)
        self.assertEqual(process.returncode, 0, self.output.read_text())
        self.assertFalse(lives(pid))
        self.assertEqual((await self.queue.record(job_id)).between, "returned")

    @on_asyncio
    async def test_demonstration(self) -> None:
        """
        Without a program the demonstration serves, and its loss falls.
        """
        self.spawn()
        job_id = await self.queue.submit(params={"epochs": 3, "batch_size": 32, "learning_rate": 0.00002})
        job = await self.queue.ended(job_id)
        assert isinstance(job.result, dict)
        self.assertEqual((job.status, job.result["epochs"]), ("completed", 3))
        self.assertLess(job.result["loss"], job.result["first_loss"])
        self.assertIn(f"epoch 3/3: loss {job.result['loss']:.4f}", await self.queue.lines(job_id))
