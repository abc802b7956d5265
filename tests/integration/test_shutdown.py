"""
A gateway that is told to stop finishes what it began, and a restart under load loses nothing that it had accepted.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.flow_case import get
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import run_in_loop
from tests.integration.raw_client import RawClient
from tests.integration.recording_backend import Connection, RecordingBackend, answer
from tests.integration.wire import Request, Response


class Gate:
    """
    A behaviour that answers when it is opened.
    """

    def __init__(self, backend: RecordingBackend, path: bytes) -> None:
        self._open = asyncio.Event()
        backend.scripts[path] = self._held

    async def _held(self, connection: Connection, request: Request) -> None:
        await connection.whole(request)
        await self._open.wait()
        connection.write(answer(b"done"))

    def open(self) -> None:
        """
        Let everyone through.
        """
        self._open.set()


class ShutdownCase(SynchronousTestCase):
    """
    What both groups of tests need.
    """

    def start(self, **overrides: Any) -> None:
        """
        A gateway and a backend of the test's own.
        """
        self.backend = run_in_loop(RecordingBackend().start())
        self.addCleanup(lambda: run_in_loop(self.backend.stop()))
        self.config = echo_config(self.backend.port, **overrides)
        self.gateway = GatewayProcess(self.config).start()
        self.addCleanup(self.gateway.kill)


class DrainTests(ShutdownCase):
    """
    SIGTERM and SIGINT.
    """

    def test_idle(self) -> None:
        """
        With nothing to finish, the gateway stops soon and exits 0, on either signal; idle connections are closed.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self.start()

            async def idle() -> str:
                client = await RawClient.connect(self.gateway.port)
                await client.send(get(b"/once"))
                await client.finals(1, 5)
                self.gateway.signal(number)  # noqa: B023
                await client.until_closed(10)
                await client.close()
                return client.closed

            began = time.monotonic()
            self.assertEqual(run_in_loop(idle()), "eof")
            self.assertEqual(self.gateway.wait(), 0)
            self.assertLess(time.monotonic() - began, 5)

    def test_running(self) -> None:
        """
        A request in progress is finished, its connection is told to close, nobody new is let in, and readiness is gone
        for those who are still connected.
        """
        self.start()

        async def drain() -> tuple[Response, Response]:
            gate = Gate(self.backend, b"/held")
            client, prober = [await RawClient.connect(self.gateway.port) for _ in range(2)]
            await client.send(get(b"/held"))
            await prober.send(b"GET /readyz HTTP/1.1\r\nHost: gw.test\r\n\r\n")
            await prober.finals(1, 5)
            await self.backend.changed.until(lambda: self.backend.find(b"/held"), 5)
            self.gateway.signal()
            async with asyncio.timeout(10):
                while not await self._is_refused():
                    await asyncio.sleep(0.01)
            await prober.send(b"GET /readyz HTTP/1.1\r\nHost: gw.test\r\n\r\n")
            await prober.finals(2, 5)
            gate.open()
            await client.finals(1, 5)
            await client.until_closed(5)
            for one in (client, prober):
                await one.close()
            return client.reader.finals[0], prober.reader.finals[1]

        response, readiness = run_in_loop(drain())
        self.assertEqual((response.status, bytes(response.body), response.complete), (200, b"done", True))
        self.assertEqual(response.value(b"connection"), b"close")
        self.assertEqual((readiness.status, readiness.value(b"connection")), (503, b"close"))
        self.assertEqual(self.gateway.wait(), 0)

    async def _is_refused(self) -> bool:
        try:
            client = await RawClient.connect(self.gateway.port)
        except ConnectionRefusedError:
            return True
        await client.close()
        return False

    def test_bodies(self) -> None:
        """
        An upload and a download that are under way are carried to their ends.
        """
        self.start()

        async def pour(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
            for _ in range(20):
                connection.write(b"x")
                await asyncio.sleep(0.05)

        async def drain() -> list[tuple[int, int, bool]]:
            self.backend.scripts[b"/down"] = pour
            up, down = [await RawClient.connect(self.gateway.port) for _ in range(2)]
            await up.send(get(b"/up", b"Content-Length: 20\r\n", b"POST"))
            await down.send(get(b"/down"))
            await self.backend.changed.until(lambda: len(self.backend.requests) == 2, 5)
            self.gateway.signal()
            for _ in range(20):
                await up.send(b"y")
                await asyncio.sleep(0.05)
            for client in (up, down):
                await client.finals(1, 5)
                await client.close()
            ends = [client.reader.finals[0] for client in (up, down)]
            return [(one.status, one.length, one.complete) for one in ends]

        (up_status, _, up_complete), down = run_in_loop(drain())
        self.assertEqual((up_status, up_complete), (200, True))
        self.assertEqual(down, (200, 20, True))
        self.assertEqual(self.gateway.wait(), 0)

    def test_timeout(self) -> None:
        """
        What does not end within C{drain_timeout} is broken off, at both sides, and the gateway still exits 0.
        """
        self.start(drain_timeout=1)

        async def hang() -> tuple[bool, float]:
            Gate(self.backend, b"/held")
            client = await RawClient.connect(self.gateway.port)
            await client.send(get(b"/held"))
            await self.backend.changed.until(lambda: self.backend.find(b"/held"), 5)
            began = time.monotonic()
            self.gateway.signal()
            ended = await client.until_closed(10)
            await client.close()
            return ended, time.monotonic() - began

        ended, seconds = run_in_loop(hang())
        self.assertTrue(ended)
        self.assertTrue(0.7 < seconds < 8, seconds)
        self.assertEqual(self.gateway.wait(10), 0)
        run_in_loop(self.backend.changed.until(lambda: not self.backend.open_connections, 5))
        self.assertEqual(self.backend.open_connections, [])


class Load:
    """
    Clients that ask all the time, over kept connections and over new ones.

    @ivar answered: complete 200s.
    @ivar lost: requests on established connections that got no complete answer, in words.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopping = False
        self.answered = 0
        self.turned_away = 0
        self.lost: list[str] = []

    def start(self, keeping: int, closing: int) -> None:
        """
        Begin, with so many clients of either kind.
        """
        kinds = [self._keep] * keeping + [self._close] * closing
        self._tasks = [asyncio.ensure_future(kind(number)) for number, kind in enumerate(kinds)]

    async def more(self, count: int) -> None:
        """
        Wait until so many further requests have been answered.
        """
        enough = self.answered + count
        async with asyncio.timeout(30):
            while self.answered < enough:
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """
        Let everyone finish.
        """
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _connected(self) -> RawClient | None:
        while not self._stopping:
            try:
                return await RawClient.connect(self._port)
            except OSError:
                self.turned_away += 1
                await asyncio.sleep(0.02)
        return None

    async def _keep(self, number: int) -> None:
        while (client := await self._connected()) is not None:
            await self._use(client, number)
            await client.close()

    async def _use(self, client: RawClient, number: int) -> None:
        """
        Ask on one connection until it is told to close.
        """
        for count in range(1, 1 << 30):
            await client.send(get(b"/load/%d/%d" % (number, count)))
            if not await self._answered(client, count):
                if count == 1 and not client.raw:
                    self.turned_away += 1  # taken by the kernel's queue, never by the gateway
                else:
                    self.lost.append(f"request {count} of client {number}: {client.closed} {bytes(client.raw[-80:])!r}")
                return
            if client.reader.finals[-1].value(b"connection") == b"close" or self._stopping:
                return
            await asyncio.sleep(0.002)

    async def _close(self, number: int) -> None:
        while (client := await self._connected()) is not None:
            body = b"x" * 1000
            await client.send(
                get(b"/load/%d" % number, b"Content-Length: 1000\r\nConnection: close\r\n", b"POST") + body
            )
            if not await self._answered(client, 1):
                if client.raw:
                    self.lost.append(f"request of client {number}: {client.closed} {bytes(client.raw[-80:])!r}")
                else:
                    self.turned_away += 1
            await client.close()

    async def _answered(self, client: RawClient, count: int) -> bool:
        complete = await client.finals(count, 10) and client.reader.finals[-1].status == 200
        self.answered += complete
        return complete


class RestartTests(ShutdownCase):
    """
    Stop and start under load.
    """

    def test_restart(self) -> None:
        """
        While clients go on asking, the gateway is stopped and started twice: every request that reached it is answered,
        and each has its line in the access log.
        """
        self.start()
        lines = 0

        async def begin() -> Load:
            load = Load(self.gateway.port)
            load.start(keeping=8, closing=4)
            await load.more(200)
            return load

        load = run_in_loop(begin())
        for _ in range(2):
            self.gateway.signal()
            self.assertEqual(self.gateway.wait(), 0)
            lines += self._logged()
            port = self.gateway.port
            self.gateway.kill()
            self.gateway = GatewayProcess(self.config, port=port).start()
            run_in_loop(load.more(200))
        run_in_loop(load.stop())
        self.assertEqual(load.lost, [])
        self.assertGreater(load.turned_away, 0, "nobody noticed the restart")
        self.gateway.signal()
        self.assertEqual(self.gateway.wait(), 0)
        self.assertEqual(lines + self._logged(), load.answered)

    def _logged(self) -> int:
        return sum(line["status"] == 200 and line["service"] == "echo" for line in self.gateway.access_lines())
