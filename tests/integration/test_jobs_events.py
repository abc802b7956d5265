"""
The events of jobs with real gateways on a real NATS. The tests are the worker: they write the logs themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import nats
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.events import Event
from siger.jobs.times import timestamp
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import in_loop
from tests.integration.nats_server import NatsServer

MIB = 1024 * 1024
JOB = {"type": "ai_training", "name": "a job", "gpu_type": "any", "gpu_count": 1}


class Worker:
    """
    Writes the log of a job, as a worker does.
    """

    def __init__(self, url: str, job_id: str) -> None:
        self._url = url
        self.job_id = job_id
        self.said: list[int] = []

    async def __aenter__(self) -> Worker:
        async def silent(error: Exception) -> None:
            pass

        self._client = await nats.connect(
            self._url, reconnect_time_wait=0.05, max_reconnect_attempts=-1, error_cb=silent
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.close()

    def _event(self, kind: str, attempt: int, **fields: Any) -> bytes:
        return Event(self.job_id, kind, attempt, timestamp(time.time()), **fields).to_json()

    async def say(self, kind: str, attempt: int = 1, **fields: Any) -> int:
        """
        Add an entry; try again until it is acknowledged, but have it stored once.
        """
        content = self._event(kind, attempt, **fields)
        headers = {"Nats-Msg-Id": f"{self.job_id} {random.getrandbits(64)}"}
        while True:
            with contextlib.suppress(Exception):
                answer = await self._client.jetstream().publish(
                    f"jobs.events.{self.job_id}", content, timeout=1, headers=headers
                )
                self.said.append(answer.seq)
                return answer.seq
            await asyncio.sleep(0.05)

    async def say_much(self, count: int, size: int) -> None:
        """
        Add very many entries.
        """
        for number in range(count):
            content = self._event("log", 1, message=f"{number} ".ljust(size, "x"))
            await self._client.publish(f"jobs.events.{self.job_id}", content)
            if number % 500 == 0:
                await self._client.flush()
        await self._client.flush()

    async def stored(self) -> int:
        """
        How many entries there are in all logs.
        """
        return int((await self._client.jetstream().stream_info("JOB_EVENTS")).state.messages)


class Reader:
    """
    Reads a stream, over one connection after another.

    @ivar told: the events: id, kind and data.
    @ivar ids: those that events had.
    @ivar comments: what was said besides.
    """

    def __init__(self, session: aiohttp.ClientSession, job_id: str, token: str) -> None:
        self._session = session
        self._job_id = job_id
        self._token = token
        self.told: list[tuple[int | None, str, dict[str, Any]]] = []
        self.ids: list[int] = []
        self.comments: list[str] = []

    @contextlib.asynccontextmanager
    async def open(self, gateway: GatewayProcess) -> AsyncIterator[aiohttp.ClientResponse]:
        """
        Connect, where it was.
        """
        headers = {"Authorization": f"Bearer {self._token}"}
        if self.ids:
            headers["Last-Event-ID"] = str(self.ids[-1])
        url = f"http://127.0.0.1:{gateway.port}/api/v1/jobs/{self._job_id}/events"
        async with self._session.get(url, headers=headers) as response:
            yield response

    async def read(self, response: aiohttp.ClientResponse, until: int | None = None, seconds: float = 10) -> None:
        """
        Read to the end, or until an id has come.
        """
        rest = b""
        async with asyncio.timeout(seconds):
            while until is None or not self.ids or self.ids[-1] < until:
                data = await response.content.readany()
                if not data:
                    return
                *blocks, rest = (rest + data).split(b"\n\n")
                for block in blocks:
                    self._take(block.decode("utf-8").split("\n"))

    def _take(self, lines: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in lines)
        if "" in fields:
            self.comments.append(fields[""])
        if "data" in fields:
            place = int(fields["id"]) if "id" in fields else None
            self.told.append((place, fields["event"], json.loads(fields["data"])))
            if place is not None:
                self.ids.append(place)


class EventsCase(SynchronousTestCase):
    """
    One NATS and gateways.
    """

    secret = "an-integration-test-signs-with-this-and-nothing-else-does"

    def setUp(self) -> None:
        """
        Start NATS.
        """
        self.nats = NatsServer()
        self.addCleanup(self.nats.stop)
        self.nats.start()

    def gateways(self, count: int) -> list[GatewayProcess]:
        """
        Start gateways, all at once.
        """
        found = []
        for _ in range(count):
            config = echo_config(1, nats_address=f"127.0.0.1:{self.nats.port}", drain_timeout=5)
            found.append(GatewayProcess(config).launch())
            self.addCleanup(found[-1].kill)
        for gateway in found:
            gateway.wait_until(lambda: self.ready(gateway), "ready", 30)  # noqa: B023  (used at once)
        return found

    def ready(self, gateway: GatewayProcess) -> bool:
        """
        Whether a gateway serves jobs.
        """
        with contextlib.suppress(OSError):
            return b"siger_nats_connected 1.0" in gateway.get("/metrics") and gateway.status_of("/readyz") == 200
        return False

    def token(self, seconds: float = 3600, user: str = "4711") -> str:
        """
        A token that is good for so long.
        """
        now = int(time.time())
        claims = {"user_id": user, "username": user, "role": "user", "sub": user, "jti": f"{user} {now} {seconds}"}
        claims |= {"iss": "siger-api-gateway", "aud": "siger", "iat": now, "exp": now + seconds}  # type: ignore[dict-item]
        return jwt.encode(claims, self.secret, "HS256")

    async def submit(self, session: aiohttp.ClientSession, gateway: GatewayProcess) -> str:
        """
        Submit a job.
        """
        url = f"http://127.0.0.1:{gateway.port}/api/v1/jobs"
        async with session.post(url, json=JOB, headers={"Authorization": f"Bearer {self.token()}"}) as response:
            document = await response.json(content_type=None)
            self.assertEqual(response.status, 202, document)
            return str(document["job_id"])


class TwoGatewaysTests(EventsCase):
    """
    Two gateways tell the same.
    """

    @in_loop
    async def test_resumes_through_the_other(self) -> None:
        """
        Who reads by way of one gateway goes on by way of the other, again and again, with nothing missing and nothing
        twice; a worker that was given up is not heard by way of either; after the end both say so.
        """
        gateways = await asyncio.to_thread(self.gateways, 2)
        async with aiohttp.ClientSession() as session:
            job_id = await self.submit(session, gateways[0])
            reader = Reader(session, job_id, self.token())
            async with Worker(self.nats.url, job_id) as worker:
                await worker.say("status", 1, status="processing", worker="w1")
                for number in range(6):
                    async with reader.open(gateways[number % 2]) as response:
                        self.assertEqual(response.status, 200)
                        self.assertEqual(response.headers["Content-Type"], "text/event-stream; charset=utf-8")
                        for _ in range(3):
                            await worker.say("log", 1 + (number > 2), message=f"line\n{number}")
                        if number == 2:
                            await worker.say("status", 2, status="processing", worker="w2")
                        if number > 2:
                            ghost = await worker.say("log", 1, message="a ghost")
                            worker.said.remove(ghost)
                        last = await worker.say("progress", 1 + (number > 1), progress=number)
                        await reader.read(response, last)
                await worker.say("status", 2, status="completed", result={"loss": 0.25})
                async with reader.open(gateways[0]) as response:
                    await reader.read(response)
            self.assertEqual(reader.ids, worker.said)
            self.assertEqual([kind for place, kind, _ in reader.told if place is None], ["status"])
            self.assertEqual(reader.told[-1][2]["result"], {"loss": 0.25})
            for gateway in gateways:
                async with reader.open(gateway) as response:
                    self.assertEqual((response.status, await response.read()), (204, b""))

    @in_loop
    async def test_draining(self) -> None:
        """
        When a gateway is told to stop its streams end in an orderly way at once, and go on elsewhere.
        """
        gateways = await asyncio.to_thread(self.gateways, 2)
        async with aiohttp.ClientSession() as session:
            job_id = await self.submit(session, gateways[0])
            reader = Reader(session, job_id, self.token())
            async with Worker(self.nats.url, job_id) as worker:
                await worker.say("status", 1, status="processing")
                async with reader.open(gateways[0]) as response:
                    await reader.read(response, worker.said[-1])
                    gateways[0].signal(signal.SIGTERM)
                    await reader.read(response, seconds=10)
                self.assertEqual(reader.comments, ["this gateway stops; connect again"])
                self.assertEqual(await asyncio.to_thread(gateways[0].wait, 10), 0)
                await worker.say("log")
                await worker.say("status", 1, status="failed", error="no")
                async with reader.open(gateways[1]) as response:
                    await reader.read(response)
            self.assertEqual(reader.ids, worker.said)


class OutageTests(EventsCase):
    """
    NATS ends without a word, and starts again.
    """

    @in_loop
    async def test_killed_while_streaming(self) -> None:
        """
        Streams stay open while NATS is away, and go on by themselves; others that go from gateway to gateway meanwhile
        miss nothing either. While it is away none can begin.
        """
        gateways = await asyncio.to_thread(self.gateways, 2)
        async with aiohttp.ClientSession() as session:
            job_id = await self.submit(session, gateways[0])
            readers = [Reader(session, job_id, self.token()) for _ in range(4)]
            over = asyncio.Event()
            async with Worker(self.nats.url, job_id) as worker, asyncio.TaskGroup() as group:
                await worker.say("status", 1, status="processing")
                connections = [group.create_task(self.stay(reader, gateways[0])) for reader in readers[:2]]
                group.create_task(self.roam(readers[2], gateways, over))
                group.create_task(self.roam(readers[3], gateways[::-1], over))
                await self.write(worker, 150)
                async with asyncio.timeout(20):
                    while not all(reader.ids for reader in readers[:2]):
                        await asyncio.sleep(0.01)
                self.nats.kill()
                await asyncio.sleep(0.5)
                async with Reader(session, job_id, self.token()).open(gateways[1]) as response:
                    self.assertEqual((response.status, response.headers["Retry-After"]), (503, "2"))
                    self.assertEqual((await response.json(content_type=None))["reason"], "store_unavailable")
                await asyncio.to_thread(self.nats.start)
                await self.write(worker, 150)
                await worker.say("status", 1, status="completed")
                over.set()
            self.assertEqual([task.result() for task in connections], [1, 1])
            for reader in readers:
                self.assertEqual(reader.ids, worker.said)

    async def write(self, worker: Worker, count: int) -> None:
        """
        Log many lines, one after the other.
        """
        for _ in range(count):
            await worker.say("log", message="x" * 200)

    async def stay(self, reader: Reader, gateway: GatewayProcess) -> int:
        """
        Read to the end.

        @return: how many connections that took.
        """
        async with reader.open(gateway) as response:
            self.assertEqual(response.status, 200)
            await reader.read(response, seconds=40)
        return 1

    async def roam(self, reader: Reader, gateways: list[GatewayProcess], over: asyncio.Event) -> None:
        """
        Read a little here and a little there, until there is nothing more to read.
        """
        chance = random.Random(5)
        status = 0
        async with asyncio.timeout(40):
            while status != 204:
                async with reader.open(chance.choice(gateways)) as response:
                    status = response.status
                    if status == 200:
                        with contextlib.suppress(TimeoutError):
                            await reader.read(response, seconds=chance.uniform(0.01, 0.2))
                    elif status == 503:
                        await asyncio.sleep(0.1)


class SlowReadersTests(EventsCase):
    """
    Clients that do not read.
    """

    @in_loop
    async def test_a_slow_reader_costs_no_memory(self) -> None:
        """
        Clients that read nothing of a log of ten thousand entries cost what their sockets hold, and no more; one that
        reads at last gets everything.
        """
        (gateway,) = await asyncio.to_thread(self.gateways, 1)
        async with aiohttp.ClientSession() as session:
            job_id = await self.submit(session, gateway)
            async with Worker(self.nats.url, job_id) as worker:
                first = await worker.say("status", 1, status="processing")
                await worker.say_much(9_900, 900)
                while await worker.stored() < 9_901:
                    await asyncio.sleep(0.05)
                await self.read_all(session, gateway, job_id, first, first + 9_900)
                before = gateway.rss()
                sockets = [await self.connect(gateway, job_id) for _ in range(20)]
                for _ in range(98):
                    last = await worker.say("log", 1, message="x" * 900)
                await self.settle(gateway)
                held = (gateway.rss() - before) / MIB
                self.assertTrue(held < 8, f"{held:.1f} MiB for 20 readers of 10 MiB")
                await self.read_all(session, gateway, job_id, first, last)
                for each in sockets[:3]:
                    await self.read_at_last(each, last)
                grown = (gateway.rss() - before) / MIB
                self.assertTrue(grown < 12, f"{grown:.1f} MiB after some have read")
                for each in sockets:
                    each.close()

    async def settle(self, gateway: GatewayProcess) -> None:
        """
        Wait until a gateway has nothing more to do: what is sent fills the kernel's buffers first.
        """
        used = -1.0
        async with asyncio.timeout(30):
            while gateway.cpu_seconds() - used > 0.05:
                used = gateway.cpu_seconds()
                await asyncio.sleep(0.5)

    async def read_all(
        self, session: aiohttp.ClientSession, gateway: GatewayProcess, job_id: str, first: int, last: int
    ) -> None:
        """
        Read everything as fast as it comes.
        """
        reader = Reader(session, job_id, self.token())
        async with reader.open(gateway) as response:
            await reader.read(response, last, seconds=20)
        self.assertEqual(reader.ids, list(range(first, last + 1)))

    async def connect(self, gateway: GatewayProcess, job_id: str) -> socket.socket:
        """
        Ask for a stream, and read nothing.
        """
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", gateway.port))
        request = (
            f"GET /api/v1/jobs/{job_id}/events HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {self.token()}\r\n\r\n"
        )
        await loop.sock_sendall(client, request.encode("ascii"))
        return client

    async def read_at_last(self, client: socket.socket, last: int) -> None:
        """
        Read, until an id has come.
        """
        loop = asyncio.get_running_loop()
        wanted, tail = b"id: %d\n" % last, b""
        async with asyncio.timeout(20):
            while wanted not in tail:
                data = await loop.sock_recv(client, 65536)
                assert data, "the stream has ended"
                tail = tail[-100:] + data


class TokenTests(EventsCase):
    """
    Tokens end.
    """

    @in_loop
    async def test_expiry(self) -> None:
        """
        When its token expires a stream says so and ends, and cannot be opened again with it; nobody else's job can be
        read.
        """
        (gateway,) = await asyncio.to_thread(self.gateways, 1)
        async with aiohttp.ClientSession() as session:
            job_id = await self.submit(session, gateway)
            reader = Reader(session, job_id, self.token(seconds=4))
            async with reader.open(gateway) as response:
                self.assertEqual(response.status, 200)
                await reader.read(response, seconds=15)
            self.assertEqual(
                [(kind, data.get("status")) for _, kind, data in reader.told],
                [("status", "queued"), ("auth-expired", None)],
            )
            async with Reader(session, job_id, self.token(user="another")).open(gateway) as response:
                self.assertEqual(response.status, 404)
