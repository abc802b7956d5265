"""
What it costs a gateway to know very many jobs.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import urllib.request
import uuid
from dataclasses import dataclass
from typing import Any

import nats

from benchmarks.jobs.accepting import BODY
from benchmarks.jobs.stage import Stage
from benchmarks.load import LoadError
from benchmarks.tokens import USER

__all__ = ["Remembering", "measure_remembering"]

_TIMEOUT = 60.0
_PAGES = 50


@dataclass(frozen=True)
class Remembering:
    """
    What was measured.

    @ivar before: bytes of resident memory of a gateway that knows no job.
    @ivar after: those of one that knows all of them.
    @ivar record: bytes of a record as it is stored.
    @ivar ready: seconds from the start of a gateway until it knows them.
    @ivar page: milliseconds for a list of 50 of them, by a tag that every tenth has: the median.
    @ivar nothing: those for one by a tag that no job has, for which all jobs of a user, half of all, are looked at.
    """

    records: int
    before: int
    after: int
    record: int
    ready: float
    page: float
    nothing: float


def measure_remembering(stage: Stage, records: int = 100_000) -> Remembering:
    """
    Put records into the store and start a gateway that reads them.

    @raise LoadError: when it does not know all of them.
    """
    before = stage.gateway.resident_bytes()
    size = asyncio.run(_fill(stage.nats_port, records))
    stage.stop_gateway()
    began = time.monotonic()
    stage.start_gateway()
    while (known := stage.metric("siger_jobs")) < records:
        if time.monotonic() - began > _TIMEOUT:
            raise LoadError(f"the gateway knows {known:.0f} of {records} jobs")
        time.sleep(0.05)
    ready = time.monotonic() - began
    after = stage.gateway.resident_bytes()
    return Remembering(records, before, after, size, ready, _page(stage, "tenth", 50), _page(stage, "no-job", 0))


async def _fill(port: int, count: int) -> int:
    """
    @return: bytes of a record.
    """
    client = await nats.connect(f"nats://127.0.0.1:{port}", pending_size=2**24)
    try:
        content = b""
        for number in range(count):
            job_id, content = _record(number)
            await client.publish(f"$KV.jobs.{job_id}", content)
            if number % 1000 == 0:
                await client.flush(30)
        await client.flush(30)
        await _stored(client, count)
    finally:
        await client.close()
    return len(content)


async def _stored(client: Any, count: int) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while (await client.jetstream().stream_info("KV_jobs")).state.messages < count:
        if time.monotonic() > deadline:
            raise LoadError("the records were not stored in time")
        await asyncio.sleep(0.1)


def _record(number: int) -> tuple[str, bytes]:
    """
    A job as the store has it, most of them completed.
    """
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1767225600 + number)) + f".{number % 1000:03d}Z"
    job_id = str(uuid.UUID(int=(number + 1) << 80 | 7 << 76 | 2 << 62 | number))
    said: dict[str, Any] = {**BODY, "job_id": job_id, "user_id": USER if number % 2 else f"user-{number % 50}"}
    said |= {"username": "somebody", "max_retries": 2, "timeout": 0, "submitted_at": at, "updated_at": at}
    said |= {"tags": ["tenth"] if number % 10 == 1 else ["nlp", "production"], "published": True, "between": ""}
    said |= {"status": "queued", "message": "Job submitted successfully", "progress": 0, "attempts": 0}
    said |= {"worker": None, "started_at": None, "ended_at": None, "result": None, "error": None, "event_seq": 0}
    if number % 20:
        said |= {"status": "completed", "message": "Job completed", "progress": 100, "attempts": 1, "event_seq": number}
        said |= {"worker": "gpu-node-17", "started_at": at, "ended_at": at, "result": {"loss": 0.1, "accuracy": 0.93}}
    return job_id, json.dumps(said, separators=(",", ":")).encode()


def _page(stage: Stage, tag: str, count: int) -> float:
    """
    Milliseconds for a page of so many jobs, the median of some.
    """
    url = f"http://127.0.0.1:{stage.port}/api/v1/jobs?tag={tag}&limit=50"
    request = urllib.request.Request(url, headers={"Authorization": stage.tokens.good()})
    taken = []
    for _ in range(_PAGES):
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=30) as response:
            jobs = json.load(response)["jobs"]
        taken.append((time.perf_counter() - began) * 1000)
        if len(jobs) != count:
            raise LoadError(f"a page of {len(jobs)} jobs")
    return statistics.median(taken)
