"""
What a worker reads and writes on JetStream: logs of jobs, orders, the queue and its end for what failed.

Logs are written with the sequence of the last entry that the writer knows of. Who is not up to date is refused, so an
attempt that was given up cannot write into the log of the next, and an entry whose acknowledgement was lost is found
there rather than written twice.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen
from nats.aio.msg import Msg

from siger.jobs import streams
from siger.jobs.errors import ConflictError
from siger.messaging.errors import UnavailableError
from siger.worker.connection import ApiError, Connection, read_answer

__all__ = ["Entry", "Store"]

#: The server's numbers for what may happen.
_NO_CONSUMER: Final = 10014
_NO_MESSAGE: Final = 10037
_NAME_IN_USE: Final = 10058
_NO_STREAM: Final = 10059
_WRONG_SEQUENCE: Final = (10071, 10164)

_SECOND: Final = 1_000_000_000
#: Entries of a log that are fetched at once, and seconds for that.
_BATCH: Final = 256
_BATCH_TIMEOUT: Final = 3.0
#: What the worker makes streams with if it comes before every gateway, which then sets them right.
_RETENTION_DAYS: Final = 7


@frozen
class Entry:
    """
    One entry of a log.
    """

    sequence: int
    content: bytes


class Store:
    """
    JetStream, for workers.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # The queue

    async def prepare(self, types: Sequence[str], lease: float) -> float:
        """
        See that streams and consumers are there.

        @param lease: for consumers that are not.
        @return: the shortest lease of all, which is the one to keep: what is there already may have another.
        """
        for config in streams.stream_configs(1, _RETENTION_DAYS):
            await self._prepare_stream(config)
        waits = [await self._prepare_consumer(config) for config in streams.work_consumers(types, lease)]
        return min(waits)

    async def _prepare_stream(self, config: dict[str, Any]) -> None:
        try:
            await self._connection.ask(f"STREAM.INFO.{config['name']}")
        except ApiError as error:
            if error.number != _NO_STREAM:
                raise
            try:
                await self._connection.ask(f"STREAM.CREATE.{config['name']}", config)
            except ApiError as error:
                if error.number != _NAME_IN_USE:  # somebody else made it just now
                    raise

    async def _prepare_consumer(self, config: dict[str, Any]) -> float:
        place = f"{streams.JOBS}.{config['durable_name']}"
        try:
            found = await self._connection.ask(f"CONSUMER.INFO.{place}")
        except ApiError as error:
            if error.number != _NO_CONSUMER:
                raise
            question = {"stream_name": streams.JOBS, "config": config}
            found = await self._connection.ask(f"CONSUMER.DURABLE.CREATE.{place}", question)
        return float(found["config"].get("ack_wait", config["ack_wait"])) / _SECOND

    async def acknowledge(self, reply: str) -> None:
        """
        Take a message out of the queue, and hear that it is.
        """
        await self._connection.request(reply, b"+ACK")

    async def in_progress(self, reply: str, timeout: float) -> None:
        """
        Say that its job is still being run, and hear that this was heard.
        """
        await self._connection.request(reply, b"+WPI", timeout=timeout)

    async def give_back(self, reply: str, delay: float = 0.0) -> None:
        """
        Let somebody else have it, after so many seconds.
        """
        options = json.dumps({"delay": int(delay * _SECOND)}).encode() if delay else b""
        await self._connection.request(reply, b" ".join([b"-NAK", options]).strip())

    # Logs

    async def append(self, job_id: str, content: bytes, expected: int) -> int:
        """
        Write an entry.

        @param expected: the sequence of the last entry; 0 for none.
        @return: its sequence.
        @raise ConflictError: when there is a later one.
        """
        headers = {streams.EXPECTED_STREAM: streams.EVENTS, streams.EXPECTED_LAST: str(expected)}
        return await self._write(streams.event_subject(job_id), content, headers)

    async def _write(self, subject: str, content: bytes, headers: dict[str, str]) -> int:
        try:
            answer = read_answer(await self._connection.request(subject, content, headers))
        except ApiError as error:
            if error.number in _WRONG_SEQUENCE:
                raise ConflictError(str(error)) from error
            raise
        sequence = answer.get("seq")
        if not isinstance(sequence, int):
            raise UnavailableError("an acknowledgement without a sequence")
        return sequence

    async def read(self, job_id: str, after: int = 0) -> list[Entry]:
        """
        All later entries of a log, up to the last that there was when asked.
        """
        last = await self._last(streams.EVENTS, streams.event_subject(job_id))
        if last is None or last.sequence <= after:
            return []
        found: list[Entry] = []
        while not found or found[-1].sequence < last.sequence:
            new = await self._batch(job_id, found[-1].sequence if found else after)
            if not new:
                raise UnavailableError("a replica that is behind")
            found += new
        return found

    async def _batch(self, job_id: str, after: int) -> list[Entry]:
        """
        Some entries by one request.
        """
        got: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = self._connection.new_inbox()
        subscription = await self._connection.subscribe(inbox, got.put)
        question = {"seq": after + 1, "next_by_subj": streams.event_subject(job_id), "batch": _BATCH}
        try:
            subject = f"$JS.API.DIRECT.GET.{streams.EVENTS}"
            await self._connection.publish(subject, json.dumps(question).encode(), inbox)
            async with asyncio.timeout(_BATCH_TIMEOUT):
                return [entry async for entry in _entries(got)]
        except TimeoutError as error:
            raise UnavailableError("no answer in time") from error
        finally:
            await self._connection.unsubscribe(subscription)

    async def _last(self, stream: str, subject: str) -> Entry | None:
        try:
            answer = await self._connection.ask(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
            message = answer["message"]
            return Entry(int(message["seq"]), base64.b64decode(message.get("data", "")))
        except ApiError as error:
            if error.number == _NO_MESSAGE:
                return None
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise UnavailableError("a message that cannot be read") from error

    # Orders, and the dead

    async def is_cancelled(self, job_id: str) -> bool:
        """
        Whether the last order for a job is to cancel it.
        """
        last = await self._last(streams.CONTROL, streams.control_subject(job_id))
        return last is not None and is_cancellation(last.content)

    async def bury(self, type_: str, job_id: str, content: bytes) -> None:
        """
        Keep what failed for good, once.
        """
        headers = {streams.EXPECTED_STREAM: streams.DEAD, streams.MESSAGE_ID: job_id}
        await self._write(streams.dead_subject(type_), content, headers)

    async def say_alive(self, job_id: str, content: bytes) -> None:
        """
        Let everybody know who runs a job.
        """
        await self._connection.publish(streams.alive_subject(job_id), content)


def is_cancellation(content: bytes) -> bool:
    """
    Whether an order is to cancel a job.
    """
    try:
        order = json.loads(content)
    except ValueError:
        return False
    return isinstance(order, dict) and order.get("action") == "cancel"


async def _entries(got: asyncio.Queue[Msg]) -> Any:
    """
    What a direct get answers: messages, each with its sequence, then a status.
    """
    while True:
        message = await got.get()
        headers = message.headers or {}
        status = headers.get("Status")
        if status in ("204", "404"):  # the end of the batch; no message
            return
        if status is not None:
            raise UnavailableError(f"status {status} instead of a message")
        yield Entry(int(headers["Nats-Sequence"]), bytes(message.data))
