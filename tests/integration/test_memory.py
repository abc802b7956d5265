"""
A gateway passes bytes on; it does not keep them. Shown on its resident memory, while the other side is slow.

With C{SIGER_TEST_LONG=1} the run is long: 10 GiB each way instead of 256 MiB, a minute with the slow reader instead of
three seconds. It prints what it measured.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, ClassVar

import attrs

from tests.integration.flow_case import FlowTestCase, get
from tests.integration.loop_thread import run_in_loop
from tests.integration.recording_backend import Connection, answer
from tests.integration.wire import Request

MIB = 1 << 20
LONG = os.environ.get("SIGER_TEST_LONG", "0") not in ("", "0")
TRANSFER = (10240 if LONG else 256) * MIB
TRICKLE_SECONDS = 60 if LONG else 3
PIECE = bytes(MIB // 4)


@attrs.define
class Watch:
    """
    How far the gateway's memory has risen above where it was.
    """

    gateway: Any
    start: int = 0
    began: float = attrs.Factory(time.monotonic)

    def __attrs_post_init__(self) -> None:
        self.gateway.forget_peak()
        self.start = self.gateway.rss()

    def report(self, what: str) -> None:
        """
        Print, in a long run, what was measured.
        """
        if LONG:
            start, peak, end = (size / MIB for size in (self.start, self.gateway.peak_rss(), self.gateway.rss()))
            seconds = time.monotonic() - self.began
            print(f"\n{what}: {seconds:.1f} s; RSS {start:.2f} MiB before, at most {peak:.2f}, {end:.2f} after")

    @property
    def risen(self) -> float:
        """
        In MiB, at the highest moment.
        """
        return float(self.gateway.peak_rss() - self.start) / MIB


class MemoryTests(FlowTestCase):
    """
    Memory stays flat whatever is transferred, and however slowly it is taken.
    """

    config: ClassVar[dict[str, Any]] = {"echo": {"timeouts": {"idle": 30}}, "limits": {"write_timeout": 30}}

    def setUp(self) -> None:
        super().setUp()
        self.backend.scripts = {b"/down": self._pour, b"/up": self._take}
        run_in_loop(self.ask(get(b"/warm")))

    async def _pour(self, connection: Connection, request: Request) -> None:
        """
        Send as many bytes as the target's query says.
        """
        left = int(request.target.partition(b"?")[2])
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
        while left and not connection.closed:
            await connection.write_slowly(PIECE[:left])
            left -= len(PIECE[:left])

    async def _take(self, connection: Connection, request: Request) -> None:
        """
        Read nothing for a moment, then everything.
        """
        connection.transport.pause_reading()
        await asyncio.sleep(1)
        connection.transport.resume_reading()
        await connection.whole(request)
        connection.write(answer(b"%d" % request.length))

    def test_download(self) -> None:
        """
        A large response to a client that reads nothing at first.
        """

        async def download() -> int:
            client = await self.connect(reading=False)
            await client.send(get(b"/down?%d" % TRANSFER))
            await asyncio.sleep(1)
            client.start_reading()
            response = await self.response(client, timeout=600)
            return response.length

        watch = Watch(self.gateway)
        self.assertEqual(run_in_loop(download(), 600), TRANSFER)
        watch.report(f"{TRANSFER} bytes down")
        self.assertLess(watch.risen, 8)

    def test_upload(self) -> None:
        """
        A large request to a backend that reads nothing at first.
        """

        async def upload() -> bytes:
            client = await self.connect()
            await client.send(get(b"/up", b"Content-Length: %d\r\n" % TRANSFER, b"PUT"))
            for _ in range(TRANSFER // len(PIECE)):
                await client.send(PIECE)
            return bytes((await self.response(client, timeout=600)).body)

        watch = Watch(self.gateway)
        self.assertEqual(run_in_loop(upload(), 600), b"%d" % TRANSFER)
        watch.report(f"{TRANSFER} bytes up")
        self.assertLess(watch.risen, 8)

    def test_chunked_upload(self) -> None:
        """
        A request in large chunks is passed on as it comes, not a chunk at a time.
        """
        size = 64 * MIB

        async def upload() -> bytes:
            client = await self.connect()
            await client.send(get(b"/up", b"Transfer-Encoding: chunked\r\n", b"PUT") + b"%x\r\n" % size)
            for _ in range(size // len(PIECE)):
                await client.send(PIECE)
            await client.send(b"\r\n0\r\n\r\n")
            return bytes((await self.response(client, timeout=60)).body)

        watch = Watch(self.gateway)
        self.assertEqual(run_in_loop(upload(), 60), b"%d" % size)
        self.assertLess(watch.risen, 8)

    def test_trickle(self) -> None:
        """
        A client that reads 10 kB a second gets them, and the backend is held back: little of a large response has left
        it.
        """

        async def trickle() -> tuple[int, int]:
            client = await self.connect(reading=False, window=16384)
            await client.send(get(b"/down?%d" % (512 * MIB)))
            connection, _ = await self.arrival(b"/down")
            for _ in range(TRICKLE_SECONDS * 10):
                await client.read_some(1000)
                await asyncio.sleep(0.1)
            waiting = connection.transport.get_write_buffer_size()
            await client.reset()
            await self.until(lambda: connection.closed, "closed upstream")
            return client.received, waiting

        watch = Watch(self.gateway)
        received, waiting = run_in_loop(trickle())
        watch.report(f"{received} bytes at 10 kB a second")
        self.assertGreater(received, TRICKLE_SECONDS * 7_000)
        self.assertGreater(waiting, 0)
        self.assertLess(watch.risen, 4)

    def test_many_stalled_readers(self) -> None:
        """
        Two hundred clients that ask for much and read nothing cost little each.
        """
        count = 200

        async def crowd() -> None:
            clients = [await self.connect(reading=False, window=4096) for _ in range(count)]
            for client in clients:
                await client.send(get(b"/down?%d" % (16 * MIB)))
            await self.until(lambda: len(self.backend.find(b"/down")) == count, "everyone at the backend", 60)
            await asyncio.sleep(2)
            for client in clients:
                await client.reset()
            await self.until(lambda: not any(one.busy for one in self.backend.connections), "released", 10)

        watch = Watch(self.gateway)
        run_in_loop(crowd())
        self.assertLess(watch.risen, count * 0.35)

    def test_pipeline_flood(self) -> None:
        """
        A client that sends requests without end and reads no response is not read any further.
        """

        async def flood() -> tuple[bool, int]:
            client = await self.connect(reading=False, window=4096)
            sending = asyncio.ensure_future(client.send(get(b"/flood") * 1000 * 400))
            _, pending = await asyncio.wait([sending], timeout=3)
            asked = len(self.backend.find(b"/flood"))
            sending.cancel()
            await asyncio.wait([sending])
            await client.reset()
            return bool(pending), asked

        watch = Watch(self.gateway)
        pending, asked = run_in_loop(flood())
        self.assertTrue(pending, "the gateway swallowed it all")
        self.assertLess(asked, 100_000)
        self.assertLess(watch.risen, 8)

    def test_returns(self) -> None:
        """
        After all that, ordinary requests are answered as before.
        """
        response = run_in_loop(self.ask(get(b"/after")))
        self.assertEqual(response.status, 200)
