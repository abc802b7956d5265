"""
Readers of server-sent events, and the worker whose events they read: a process of its own on the load's core.

Run as C{python -m benchmarks.jobs.readers}, it takes one JSON document on standard input and prints one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import nats

__all__ = ["main"]

_CHUNK = 262_144
_PATIENCE = 100.0


class Readers:
    """
    One reader for each job.

    @ivar counts: events that each has got.
    @ivar failures: answers that were no streams.
    """

    def __init__(self, port: int, authorization: str, jobs: list[str]) -> None:
        self._port = port
        self._authorization = authorization
        self._jobs = jobs
        self.counts = [0] * len(jobs)
        self.failures: list[str] = []

    async def read(self, number: int) -> None:
        """
        Read until the stream ends, which it does after the end of the job.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_CHUNK)
        try:
            writer.write(
                f"GET /api/v1/jobs/{self._jobs[number]}/events HTTP/1.1\r\nHost: bench\r\n"
                f"Connection: close\r\nAuthorization: {self._authorization}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                self.failures.append(head.decode("latin-1").splitlines()[0])
                return
            await self._count(number, reader)
        finally:
            writer.close()

    async def _count(self, number: int, reader: asyncio.StreamReader) -> None:
        tail = b""
        while data := await reader.read(_CHUNK):
            data = tail + data
            self.counts[number] += data.count(b"\nid: ")
            tail = data[-4:]


async def _publish(client: Any, jobs: list[str], count: int, end: bool) -> None:
    """
    Say in each job's log that it runs, very much else, and in the end that it is complete.
    """
    for number in range(count):
        for job in jobs:
            await client.publish(f"jobs.events.{job}", _event(job, number, count, end))
        if number % 10 == 0:
            await client.flush(30)
    await client.flush(30)


def _event(job: str, number: int, count: int, end: bool) -> bytes:
    said: dict[str, Any] = {"event": "log", "level": "info", "message": f"step {number}: loss 0.{number:06d}, 42.1 s"}
    if number == 0 and not end:
        said = {"event": "status", "status": "processing"}
    elif end and number == count - 1:
        said = {"event": "status", "status": "completed", "result": {"loss": 0.1}}
    said |= {"job_id": job, "attempt": 1, "worker": "benchmark", "timestamp": "2026-01-01T00:00:00.000Z"}
    return json.dumps(said).encode()


async def main(asked: dict[str, Any]) -> dict[str, Any]:
    """
    Publish half of the events, have readers catch up with them, and publish the others to them.
    """
    jobs, half = asked["jobs"], asked["events"] // 2
    client = await nats.connect(f"nats://127.0.0.1:{asked['nats']}", pending_size=2**24)
    try:
        await _publish(client, jobs, half, end=False)
        await asyncio.sleep(1)
        readers = Readers(asked["port"], asked["authorization"], jobs)
        began = time.monotonic()
        reading = [asyncio.create_task(readers.read(number)) for number in range(len(jobs))]
        caught_up = await _until(lambda: min(readers.counts) >= half or readers.failures, began)
        before = time.monotonic()
        await _publish(client, jobs, half, end=True)
        await asyncio.wait_for(asyncio.gather(*reading), _PATIENCE)
        live = time.monotonic() - before
    finally:
        await client.close()
    return {"replay": caught_up, "live": live, "counts": readers.counts, "failures": readers.failures}


async def _until(true: Callable[[], object], began: float) -> float:
    while not true():
        if time.monotonic() - began > _PATIENCE:
            break
        await asyncio.sleep(0.005)
    return time.monotonic() - began


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.load(sys.stdin)))))
