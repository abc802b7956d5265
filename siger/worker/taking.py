"""
How a worker gets at messages of the queue: it asks for each.

While there is work, the queues are asked in turn for one message, to be answered at once. When none has any, all are
asked to answer as soon as there is one: nobody polls. What comes when there is no room any more is given back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Final

from nats.aio.msg import Msg

from siger.jobs import streams
from siger.messaging.errors import UnavailableError
from siger.worker.connection import Connection

__all__ = ["PATIENCE", "Puller"]

log = logging.getLogger("siger.worker")

PATIENCE: Final = 30.0
"""
Seconds that a queue without messages keeps a question.
"""
#: Seconds for an answer beyond those.
_ANSWER: Final = 3.0
_SECOND: Final = 1_000_000_000


class Puller:
    """
    Asks one queue. At most one question is open.
    """

    def __init__(
        self,
        connection: Connection,
        type_: str,
        lane: str,
        arrived: Callable[[Msg], None],
        answered: Callable[[], None],
    ) -> None:
        """
        @param arrived: called with each message.
        @param answered: called with each answer, also when it is no message.
        """
        self.type = type_
        self.lane = lane
        self.broken = False
        self._connection = connection
        self._consumer = streams.work_consumer(type_, lane, 1)["durable_name"]
        self._arrived = arrived
        self._answered = answered
        self._inbox = ""
        self._subscription: Any = None
        self._until = 0.0
        self._answer: asyncio.Future[bool] | None = None

    def __repr__(self) -> str:
        return f"<Puller {self._consumer}>"

    @property
    def open(self) -> bool:
        """
        Whether there is a question without an answer.
        """
        return self._until > asyncio.get_running_loop().time()

    async def connect(self) -> None:
        """
        Begin on a new connection, which knows nothing of earlier questions.
        """
        self._inbox = self._connection.new_inbox()
        self._subscription = await self._connection.subscribe(self._inbox, self._heard)
        self._until = 0.0
        self._settle(False)

    async def now(self) -> bool:
        """
        Ask for a message that is there already.

        @return: whether there was one.
        @raise UnavailableError: when there is no answer.
        """
        self._answer = asyncio.get_running_loop().create_future()
        await self._ask({"batch": 1, "no_wait": True}, _ANSWER)
        try:
            async with asyncio.timeout(_ANSWER):
                return await self._answer
        except TimeoutError as error:
            raise UnavailableError("no answer in time") from error

    async def wait(self) -> None:
        """
        Ask for the next message that there is, and go on.
        """
        if not self.open:
            await self._ask({"batch": 1, "expires": int(PATIENCE * _SECOND)}, PATIENCE + _ANSWER)

    async def _ask(self, question: dict[str, object], patience: float) -> None:
        self._until = asyncio.get_running_loop().time() + patience
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{streams.JOBS}.{self._consumer}"
        await self._connection.publish(subject, json.dumps(question).encode(), self._inbox)

    async def _heard(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status == "100":
            return
        self._until = 0.0
        if status is None:
            self._arrived(message)
        elif status not in ("404", "408"):  # such as: the consumer is gone
            log.debug("%r: %s", self, (message.headers or {}).get("Description", status))
            self.broken = True
        self._settle(status is None)
        self._answered()

    def _settle(self, found: bool) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(found)

    async def stop(self) -> None:
        """
        Take the question back. What is on its way still arrives.
        """
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                async with asyncio.timeout(_ANSWER):
                    await subscription.drain()
            except Exception as error:  # the connection is gone, and the question with it
                log.debug("%r: %s", self, error)
