"""
Several gateways and workers on one NATS, and clients that submit jobs and never forget what they were promised.

    world = JobsWorld()
    self.addCleanup(world.stop)
    world.start()
    worker = world.work()               # a worker in a process of its own
    async with world.client() as client:
        accepted = await client.submit("a job @flaky")
    world.runs.of(accepted.job_id)      # what its program itself has written down

Gateways, workers and servers are processes that can be killed and started again at any moment; what they store stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from attrs import Factory, define, frozen

from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.nats_cluster import NatsCluster
from tests.integration.nats_server import NatsServer
from tests.integration.run_journal import RunJournal

__all__ = ["TERMINAL", "Accepted", "Client", "JobsWorld", "WorkerProcess", "connected", "crash", "token", "wait_for"]

TERMINAL = ("completed", "failed", "cancelled")

_REPOSITORY = Path(__file__).parent.parent.parent
_SECRET = "an-integration-test-signs-with-this-and-nothing-else-does"
_PAGE = 500
_numbers = itertools.count()
_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the tests
os.execv(sys.argv[1], sys.argv[1:])
"""


def token(user: str = "4711", role: str = "user") -> str:
    """
    A token that all gateways of these tests believe, for somebody who never logged in.
    """
    now = int(time.time())
    claims = {
        "user_id": user,
        "username": f"user-{user}",
        "role": role,
        "sub": user,
        "iss": "siger-api-gateway",
        "aud": "siger",
        "iat": now,
        "exp": now + 3600,
        "jti": f"{user}-{role}-{now}-{os.getpid()}",
    }
    return jwt.encode(claims, _SECRET, "HS256")


class WorkerProcess:
    """
    One worker.

    @ivar log: what it printed.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> WorkerProcess:
        """
        Start it; it connects when it can.
        """
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCH, *self._command],
                cwd=_REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "never started"
        return self._process

    @property
    def alive(self) -> bool:
        """
        Whether the process runs.
        """
        return self._process is not None and self._process.poll() is None

    def crash(self) -> None:
        """
        End it at once. What it ran ends with it, by itself.
        """
        if self.alive:
            self._running.kill()
            self._running.wait(10)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """
        Send it a signal.
        """
        self._running.send_signal(number)

    def wait(self, timeout: float = 30) -> int:
        """
        Wait for its end.

        @return: the exit status.
        """
        try:
            return self._running.wait(timeout)
        except subprocess.TimeoutExpired as expired:
            raise AssertionError(f"the worker still runs:\n{self.log.read_text()[-4000:]}") from expired


@frozen
class Accepted:
    """
    A job for which there was a 202.

    @ivar tries: how often it was submitted.
    @ivar seconds: until it was accepted.
    """

    job_id: str
    name: str
    key: str
    tries: int
    seconds: float


@define
class Client:
    """
    Submits jobs to any of the gateways, by as many connections as it needs, which are kept.

    @ivar accepted: by the name of the job.
    @ivar doubtful: names of jobs without a key for which there was no answer, or one that says so.
    @ivar answers: how often each kind of answer came; 0 is for none at all.
    @ivar wrong: whatever should never be, in words.
    """

    session: aiohttp.ClientSession
    ports: list[int]
    random: random.Random = Factory(random.Random)
    accepted: dict[str, Accepted] = Factory(dict)
    doubtful: set[str] = Factory(set)
    answers: Counter[int] = Factory(Counter)
    wrong: list[str] = Factory(list)

    async def call(
        self, method: str, path: str, body: object = None, port: int = 0, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """
        Ask a gateway, any if none is named.

        @return: the status, 0 if there is no complete answer, and the document.
        """
        url = f"http://127.0.0.1:{port or self.random.choice(self.ports)}{path}"
        try:
            async with self.session.request(method, url, json=body, headers=headers) as response:
                document = await response.json(content_type=None) if response.content_type.endswith("json") else {}
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.answers[0] += 1
            return 0, {}
        self.answers[response.status] += 1
        return response.status, document

    async def submit(self, name: str, key: str | None = None, patience: float = 45, **members: Any) -> Accepted | None:
        """
        Submit until it is accepted. Without a key, which is C{""}, only until it may have been.

        @param key: C{None} for one that nobody has used.
        @return: C{None} when it may have been.
        """
        key = f"key-{os.getpid()}-{next(_numbers)}" if key is None else key
        body = {"type": "inference", "name": name, "gpu_count": 0, "max_retries": 10, **members}
        began, promised = time.monotonic(), ""
        for tries in itertools.count(1):
            status, document = await self.call(
                "POST", "/api/v1/jobs", body, headers={"Idempotency-Key": key} if key else None
            )
            if not _allowed(status, document.get("reason", "")):
                self.wrong.append(f"{name}: {status} {document}")
                return None
            if promised and document.get("job_id", promised) != promised:
                self.wrong.append(f"{name} was to be {promised} and is {document['job_id']}")
            promised = promised or document.get("job_id", "")
            if status == 202:
                found = Accepted(document["job_id"], name, key, tries, time.monotonic() - began)
                self.accepted[name] = found
                return found
            if not key and (status == 0 or promised):
                self.doubtful.add(name)
                return None
            if time.monotonic() - began > patience:
                self.wrong.append(f"{name} was not accepted within {patience} s: {status} {document}")
                return None
            await asyncio.sleep(self.random.uniform(0.05, 0.4))
        return None

    async def show(self, job_id: str, port: int = 0) -> dict[str, Any]:
        """
        One job.
        """
        status, document = await self.call("GET", f"/api/v1/jobs/{job_id}", port=port)
        return document if status == 200 else {"status": f"({status})"}

    async def pages(self, port: int, parameters: str = "") -> list[dict[str, Any]]:
        """
        All jobs that a gateway lists.
        """
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            path = f"/api/v1/jobs?limit={_PAGE}{parameters}{cursor}"
            status, document = await self.call("GET", path, port=port)
            assert status == 200, (status, document)
            found += document["jobs"]
            if document["next_cursor"] is None:
                return found
            cursor = f"&cursor={document['next_cursor']}"

    async def watch(self, job_id: str, found: list[int]) -> bool:
        """
        Read the events of a job from any gateway, for as long as it tells them.

        @param found: the ids of those that came already, and then of all.
        @return: whether there will be no more.
        """
        url = f"http://127.0.0.1:{self.random.choice(self.ports)}/api/v1/jobs/{job_id}/events"
        headers = {"Last-Event-ID": str(found[-1])} if found else {}
        timeout = aiohttp.ClientTimeout(total=60, sock_read=20)
        try:
            async with self.session.get(url, headers=headers, timeout=timeout) as response:
                if response.status not in (200, 204, 503):
                    self.wrong.append(f"events of {job_id}: {response.status} {await response.text()}")
                async for line in response.content:
                    found += [int(line[4:])] if line.startswith(b"id: ") else []
                return response.status == 204
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def until(self, job_id: str, statuses: Sequence[str], seconds: float = 15, port: int = 0) -> dict[str, Any]:
        """
        Wait until a job is in one of some states.

        @raise AssertionError: when it is not in time.
        """
        deadline = time.monotonic() + seconds
        while (job := await self.show(job_id, port))["status"] not in statuses:
            assert time.monotonic() < deadline, f"not {statuses} within {seconds} s: {job}"
            await asyncio.sleep(0.03)
        return job


def _allowed(status: int, reason: str) -> bool:
    """
    Whether a submission may be answered so while anything may be down.
    """
    return status in (0, 202) or (status, reason) in (
        (503, "store_unavailable"),
        (503, "draining"),
        (409, "in_progress"),
    )


class JobsWorld:
    """
    The world.

    @ivar runs: the journal of what jobs' programs do.
    @ivar workers: all that were started.
    @ivar lease: see L{JobsWorld.__init__}.
    """

    def __init__(self, gateways: int = 2, lease: float = 2.0, nats: NatsServer | NatsCluster | None = None) -> None:
        """
        @param lease: seconds after which a silent worker has lost its job.
        @param nats: what they share; it is started and stopped with the rest.
        """
        self.directory = Path(tempfile.mkdtemp(prefix="siger-jobs-"))
        self.runs = RunJournal(self.directory).make()
        self.nats = NatsServer(free_port()) if nats is None else nats
        self.lease = lease
        self.gateways = [GatewayProcess(self.config(), port=free_port()) for _ in range(gateways)]
        self.workers: list[WorkerProcess] = []

    @property
    def addresses(self) -> str:
        """
        Where NATS is.
        """
        nats = self.nats
        return nats.addresses if isinstance(nats, NatsCluster) else f"127.0.0.1:{nats.port}"

    @property
    def ports(self) -> list[int]:
        """
        Where the gateways are.
        """
        return [gateway.port for gateway in self.gateways]

    def config(self, **more: Any) -> dict[str, Any]:
        """
        What a gateway is configured with.
        """
        unlimited = {"queued": 0, "kept": 0}
        jobs = {"lease": self.lease, "grace": 2, "lost_after": max(30, 3 * self.lease), "quotas": unlimited}
        replicas = 3 if isinstance(self.nats, NatsCluster) else 1
        return echo_config(
            **{
                "nats_address": self.addresses,
                "nats": {"replicas": replicas},
                "jobs": jobs,
                "drain_timeout": 5,
                "jwt_secret": _SECRET,
                "services": {},
                **more,
            }
        )

    def gateway_by(self, port: int) -> GatewayProcess:
        """
        One more gateway, to be started, which finds NATS by way of this port.
        """
        return GatewayProcess(self.config(nats_address=f"127.0.0.1:{port}"), port=free_port())

    def start(self) -> JobsWorld:
        """
        Start NATS, then the gateways.
        """
        self.nats.start()
        for gateway in self.gateways:
            gateway.launch()
        self.wait_ready()
        return self

    def wait_ready(self, timeout: float = 30) -> None:
        """
        Wait until all gateways can serve jobs.
        """
        for gateway in self.gateways:
            gateway.wait_until(lambda: connected(gateway), "connected to NATS", timeout)  # noqa: B023  (used at once)

    def work(
        self,
        concurrency: int = 4,
        program: bool = False,
        nats: str = "",
        drain: float = 10,
    ) -> WorkerProcess:
        """
        Start a worker.

        @param program: C{siger worker} with a program, rather than a handler in Python.
        @param nats: where it finds NATS.
        """
        nats = nats or self.addresses
        name = f"worker-{len(self.workers)}"
        if program:
            options = ["--types", "ai_training,data_processing,inference", "--concurrency", str(concurrency)]
            options += ["--drain", str(drain), "--grace", "2", "--name", f"{name}-{random.randrange(10**6)}"]
            options += [part for address in nats.split(",") for part in ("--nats", address)]
            command = ["-m", "siger.cli", "worker", *options, "--", *self.runs.command]
        else:
            command = [
                "-m",
                "tests.integration.journal_worker",
                nats,
                str(self.directory),
                str(concurrency),
                str(drain),
            ]
        worker = WorkerProcess([sys.executable, *command], self.directory / f"{name}.log")
        self.workers.append(worker)
        return worker.start()

    @contextlib.asynccontextmanager
    async def client(self, user: str = "4711", role: str = "user", seed: int = 0) -> AsyncIterator[Client]:
        """
        A client with a token.
        """
        headers = {"Authorization": f"Bearer {token(user, role)}"}
        timeout = aiohttp.ClientTimeout(total=10)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            yield Client(session, self.ports, random.Random(seed))

    def stop(self) -> None:
        """
        End all, and take the files away.
        """
        for worker in self.workers:
            worker.crash()
        for gateway in self.gateways:
            gateway.kill()
        self.nats.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def crash(gateway: GatewayProcess) -> None:
    """
    End a gateway at once; it can be started again.
    """
    gateway.signal(signal.SIGKILL)
    gateway.wait()


def connected(gateway: GatewayProcess) -> bool:
    """
    Whether a gateway is ready and has a connection to NATS.
    """
    with contextlib.suppress(OSError):
        return gateway.status_of("/readyz") == 200 and b"siger_nats_connected 1.0" in gateway.get("/metrics")
    return False


def wait_for(true: Callable[[], bool], what: str, timeout: float = 15) -> None:
    """
    Look until something is true.

    @raise AssertionError: when it is not in time.
    """
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"not {what} within {timeout} s"
        time.sleep(0.01)
