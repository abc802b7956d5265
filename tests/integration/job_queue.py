"""
The queue as gateways use it, for tests of workers: jobs are put there, and logs are read, straight from JetStream.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from siger.jobs import streams
from siger.jobs.events import Event
from siger.jobs.identifiers import JobIds
from siger.jobs.model import Job, lane
from siger.jobs.submission import Submission, message_bytes, new_job
from siger.jobs.times import timestamp
from siger.worker.claiming import replay
from siger.worker.store import Entry

__all__ = ["JobQueue"]

_IDS = JobIds()


class JobQueue:
    """
    A client of a NATS server.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    async def open(
        cls, url: str, lease: float = 2.0, types: tuple[str, ...] = ("work",), **credentials: str
    ) -> JobQueue:
        """
        Connect, and make streams and consumers.
        """

        async def ignore(error: Exception) -> None:  # such as that the server is away
            pass

        client = await nats.connect(
            url, connect_timeout=5, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=ignore, **credentials
        )
        queue = cls(client)
        for config in streams.stream_configs(1, 1):
            await queue.ask(f"STREAM.CREATE.{config['name']}", config)
        for config in streams.work_consumers(types, lease):
            place = f"{streams.JOBS}.{config['durable_name']}"
            await queue.ask(f"CONSUMER.DURABLE.CREATE.{place}", {"stream_name": streams.JOBS, "config": config})
        return queue

    async def close(self) -> None:
        """
        Disconnect.
        """
        await self.client.close()

    async def ask(self, subject: str, question: object = None) -> dict[str, Any]:
        """
        Ask JetStream.
        """
        payload = b"" if question is None else json.dumps(question).encode()
        answer = json.loads((await self.client.request(f"$JS.API.{subject}", payload, timeout=5)).data)
        if "error" in answer:
            raise AssertionError(f"{subject}: {answer['error']}")
        return dict(answer)

    async def submit(self, type_: str = "work", twice: bool = False, **members: Any) -> str:
        """
        Put a job there.

        @param twice: as two messages, as if the server had forgotten the first.
        @return: its name.
        """
        members = {"max_retries": 0, "params": {}} | members
        job = new_job(
            Submission(type=type_, name="a test", **members), _IDS.next(), "u1", "user", timestamp(time.time())
        )
        for copy in range(2 if twice else 1):
            headers = {streams.MESSAGE_ID: f"{job.job_id}-{copy}", streams.EXPECTED_STREAM: streams.JOBS}
            subject = streams.submit_subject(type_, lane(job.priority))
            await self._stored(subject, message_bytes(job), headers)
        return job.job_id

    async def submit_once_possible(self, timeout: float = 10.0) -> str:
        """
        Put a job there as soon as somebody has made the stream.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                return await self.submit()
            except (NatsError, AssertionError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def _stored(self, subject: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        answer = json.loads((await self.client.request(subject, content, timeout=5, headers=headers)).data)
        assert "seq" in answer, answer

    async def cancel(self, job_id: str) -> None:
        """
        Cancel a running job, as gateways do.
        """
        event = Event(job_id=job_id, event="status", attempt=0, status="cancelling", timestamp=timestamp(time.time()))
        await self._stored(streams.event_subject(job_id), event.to_json())
        order = {"job_id": job_id, "action": "cancel", "timestamp": timestamp(time.time())}
        await self._stored(streams.control_subject(job_id), json.dumps(order).encode())

    async def append(self, event: Event) -> None:
        """
        Write into the log of a job.
        """
        await self._stored(streams.event_subject(event.job_id), event.to_json())

    async def entries(self, job_id: str) -> list[Entry]:
        """
        The log of a job.
        """
        found: list[Entry] = []
        question = {"seq": 1, "next_by_subj": streams.event_subject(job_id)}
        while True:
            content = json.dumps(question).encode()
            asked = await self.client.request(f"$JS.API.STREAM.MSG.GET.{streams.EVENTS}", content, timeout=5)
            message = json.loads(asked.data).get("message")
            if message is None:
                return found
            found.append(Entry(message["seq"], base64.b64decode(message["data"])))
            question["seq"] = message["seq"] + 1

    async def events(self, job_id: str) -> list[Event]:
        """
        The same, read.
        """
        return [Event.from_json(entry.content) for entry in await self.entries(job_id)]

    async def statuses(self, job_id: str) -> list[tuple[str | None, int]]:
        """
        Only what decides: statuses with their attempts.
        """
        return [(event.status, event.attempt) for event in await self.events(job_id) if event.event == "status"]

    async def lines(self, job_id: str) -> list[str | None]:
        """
        Only the lines.
        """
        return [event.message for event in await self.events(job_id) if event.event == "log"]

    async def record(self, job_id: str) -> Job:
        """
        What the log makes of a job.
        """
        job = Job(job_id=job_id, user_id="u1", username="", type="work", name="a test")
        return replay(job, await self.entries(job_id))

    async def until(self, job_id: str, condition: Callable[[Job], object], timeout: float = 20.0) -> Job:
        """
        Wait until the record of a job is as it should be.
        """
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(NatsError):  # the server may be away
                job = await self.record(job_id)
                if condition(job):
                    return job
            if time.monotonic() > deadline:
                raise AssertionError(f"still {await self.record(job_id)} with {await self.statuses(job_id)}")
            await asyncio.sleep(0.03)

    async def ended(self, job_id: str, timeout: float = 20.0) -> Job:
        """
        Wait until a job has ended.
        """
        return await self.until(job_id, lambda job: job.terminal, timeout)

    async def waiting(self) -> int:
        """
        How many messages the queue has.
        """
        return int((await self.ask(f"STREAM.INFO.{streams.JOBS}"))["state"]["messages"])

    async def emptied(self, timeout: float = 15.0) -> None:
        """
        Wait until there are none.
        """
        deadline = time.monotonic() + timeout
        while await self.waiting():
            if time.monotonic() > deadline:
                raise AssertionError(f"{await self.waiting()} messages are left")
            await asyncio.sleep(0.03)

    async def dead(self, type_: str = "work") -> list[dict[str, Any]]:
        """
        What failed for good.
        """
        info = await self.ask(f"STREAM.INFO.{streams.DEAD}")
        found = []
        for sequence in range(1, info["state"]["last_seq"] + 1):
            message = await self.client.jetstream().get_msg(streams.DEAD, sequence)
            if message.subject == streams.dead_subject(type_):
                found.append(json.loads(message.data or b""))
        return found
