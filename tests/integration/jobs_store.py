"""
What JetStream itself has of jobs, read without anything of Siger's in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import nats
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from siger.jobs import streams
from siger.jobs.events import Event
from siger.jobs.model import Job

__all__ = ["JobsStore"]

_BATCH = 1000


class JobsStore:
    """
    A connection of the tests' own.
    """

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, addresses: str) -> AsyncIterator[JobsStore]:
        """
        Connect to any of some servers.
        """
        client = await nats.connect([f"nats://{address}" for address in addresses.split(",")])
        try:
            yield cls(client.jetstream(timeout=5))
        finally:
            await client.close()

    async def until_queue_empty(self, seconds: float) -> None:
        """
        Wait until no message is left in the queue.

        @raise AssertionError: when some are.
        """
        deadline = time.monotonic() + seconds
        while (await self._jetstream.stream_info(streams.JOBS)).state.messages:
            assert time.monotonic() < deadline, f"left in the queue after {seconds} s: {await self._left()}"
            await asyncio.sleep(0.05)

    async def _left(self) -> list[str]:
        """
        What is in the queue, and what its consumers say of it.
        """
        logs = await self.logs()
        found = [f"{job_id}: {logs.get(job_id)}" for job_id in await self.queued()]
        for info in await self._jetstream.consumers_info(streams.JOBS):
            counts = (info.num_pending, info.num_ack_pending, info.num_redelivered, info.num_waiting)
            found.append(f"{info.name}: {counts} {info.delivered} {info.ack_floor}")
        return found

    async def queued(self) -> set[str]:
        """
        The jobs in the queue, whether or not they run.
        """
        info = await self._jetstream.stream_info(streams.JOBS)
        found = set()
        for sequence in range(info.state.first_seq, info.state.last_seq + 1):
            with contextlib.suppress(nats.js.errors.NotFoundError):
                message = await self._jetstream.get_msg(streams.JOBS, sequence)
                found.add(str(json.loads(message.data or b"")["job_id"]))
        return found

    async def logs(self) -> dict[str, list[tuple[int, Event]]]:
        """
        The logs of all jobs.
        """
        found: dict[str, list[tuple[int, Event]]] = {}
        for sequence, _, data in await self._all(streams.EVENTS, DeliverPolicy.ALL):
            event = Event.from_json(data)
            found.setdefault(event.job_id, []).append((sequence, event))
        return found

    async def records(self) -> dict[str, Job]:
        """
        The records of all jobs.
        """
        every = await self._all(f"KV_{streams.RECORDS_BUCKET}", DeliverPolicy.LAST_PER_SUBJECT)
        return {subject.rpartition(".")[2]: Job.from_json(data) for _, subject, data in every if data}

    async def dead(self) -> list[dict[str, Any]]:
        """
        What failed for good.
        """
        return [json.loads(data) for _, _, data in await self._all(streams.DEAD, DeliverPolicy.ALL)]

    async def _all(self, stream: str, policy: DeliverPolicy) -> list[tuple[int, str, bytes]]:
        """
        Sequence, subject and content of all messages of a stream.
        """
        config = ConsumerConfig(deliver_policy=policy, ack_policy=AckPolicy.NONE, mem_storage=True)
        subscription = await self._jetstream.pull_subscribe(">", stream=stream, config=config)
        found: list[tuple[int, str, bytes]] = []
        try:
            left = (await subscription.consumer_info()).num_pending or 0
            while left > 0:
                batch = await subscription.fetch(min(left, _BATCH), timeout=5)
                found += [(message.metadata.sequence.stream, message.subject, message.data) for message in batch]
                left -= len(batch)
        finally:
            await subscription.unsubscribe()
        return found
