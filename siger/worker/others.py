"""
What a worker can know of the other workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from nats.aio.msg import Msg

from siger.jobs import streams
from siger.messaging.errors import UnavailableError
from siger.worker.connection import Connection
from siger.worker.lease import FENCE
from siger.worker.pulse import Pulse, now

__all__ = ["Others"]


class Others:
    """
    Tells whether a job may still run elsewhere.
    """

    def __init__(self, connection: Connection, instance: str, pulse: Pulse) -> None:
        """
        @param instance: by which a worker knows what it said itself.
        """
        self._connection = connection
        self._instance = instance
        self._pulse = pulse

    async def listen(self, job_id: str) -> dict[str, Any] | None:
        """
        Listen for another worker that runs a job, for as long as one could without an answer from the queue.

        @return: what it said, or C{None} if there was silence.
        @raise UnavailableError: the connection was lost meanwhile, so that silence means nothing.
        """
        heard: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        async def hear(message: Msg) -> None:
            with contextlib.suppress(ValueError):
                said = json.loads(message.data)
                if isinstance(said, dict) and said.get("instance") != self._instance and not heard.done():
                    heard.set_result(said)

        since = self._connection.since
        subscription = await self._connection.subscribe(streams.alive_subject(job_id), hear)
        try:
            async with asyncio.timeout(self._pulse.lease * FENCE * 1.05):
                return await heard
        except TimeoutError:
            if not self._connection.connected or self._connection.since != since:
                raise UnavailableError("the connection was lost while listening") from None
            return None
        finally:
            await self._connection.unsubscribe(subscription)

    def trusted(self) -> bool:
        """
        Whether the server is known to have been up for a lease, and so has heard of whoever runs anything.
        """
        return self._connection.connected and now() - self._connection.since > self._pulse.lease
