"""
Taking messages from a consumer that several processes share.

The server is asked for some messages, and sends them as they come, each to one of those who asked. What is not
acknowledged it sends again, to whomever. So nothing is asked for that could not be handled soon: the next are asked for
when those before are done with.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
from nats.aio.msg import Msg
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from siger.jobs.preparing import AnyConnection, Preparation
from siger.messaging.errors import MessagingError, UnavailableError

__all__ = ["Handler", "Pulling", "acknowledge", "hand_back"]

_log = Logger()

Handler = Callable[[Any, list[Msg]], Coroutine[Any, Any, None]]

#: How many messages are asked for at once, and how many bytes.
BATCH: Final = 256
_BYTES: Final = 8 * 1024 * 1024
#: Seconds that the server may take to send them, and that it may be late.
EXPIRES: Final = 5.0
_LATE: Final = 3.0
#: Seconds of the first and of the longest pause after a failure.
FIRST: Final = 0.1
LONGEST: Final = 5.0
_SECOND: Final = 1_000_000_000
#: Where messages of a consumer are acknowledged; what else comes, says why none do.
_ACKS: Final = "$JS.ACK."


def acknowledge(link: Any, message: Msg) -> None:
    """
    A message is done with.
    """
    link.pipeline.send(message.reply, b"+ACK")


def hand_back(link: Any, message: Msg, delay: float = 0.0) -> None:
    """
    A message shall come again, here or elsewhere.

    @param delay: in so many seconds at the earliest.
    """
    link.pipeline.send(message.reply, b"-NAK " + orjson.dumps({"delay": int(delay * _SECOND)}))


class Pulling:
    """
    Takes messages, over one connection after another.
    """

    def __init__(
        self, connection: AnyConnection, preparation: Preparation, stream: str, consumer: str, handler: Handler
    ) -> None:
        """
        @param consumer: made by the preparation.
        @param handler: a coroutine function, of asyncio's kind, called with the connection and with some messages, and
            with none at the beginning of a connection.
        """
        self._connection = connection
        self._preparation = preparation
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._handler = handler
        self._forget: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()

    def start(self) -> None:
        """
        Begin, now or when there is a connection.
        """
        self._forget = self._connection.on_state(lambda _state: self._connected())
        self._connected()

    def stop(self) -> Deferred[None]:
        """
        Take no more messages.

        @return: fires when those that came are handled, or handed back.
        """
        if self._forget is None:
            return succeed(None)
        self._forget()
        self._forget = None
        task, self._task = self._task, None
        if task is None or task.done():
            return succeed(None)
        self._queue.put_nowait(None)
        ended: Deferred[None] = Deferred()
        task.add_done_callback(lambda _: ended.callback(None))
        return ended

    def _connected(self) -> None:
        link = self._connection.link
        if link is not None:
            self._queue = asyncio.Queue()  # what came over an earlier connection comes again
            self._task = link.spawn(self._run(link, self._queue))

    async def _run(self, link: Any, queue: asyncio.Queue[Msg | None]) -> None:
        async def heard(message: Msg) -> None:
            queue.put_nowait(message)

        inbox = link.new_inbox()
        failures = 0
        subscription = None
        while self._forget is not None:
            try:
                subscription = subscription or await link.subscribe(f"{inbox}.*", heard)
                await self._preparation.over(link)
                await self._handler(link, [])
                await self._pull(link, queue, inbox)
                failures = 0
            except MessagingError as error:
                _log.debug("no messages from {subject}: {why!r}", subject=self._subject, why=error)
                failures += 1
            except Exception:  # a mistake of ours, or an answer that nobody expected
                _log.failure("no messages from {subject}", subject=self._subject)
                failures += 1
            if failures:
                await asyncio.sleep(min(LONGEST, FIRST * 2.0 ** min(failures - 1, 16)))
        self._return(link, queue)
        if subscription is not None:
            await link.unsubscribe(subscription)

    async def _pull(self, link: Any, queue: asyncio.Queue[Msg | None], inbox: str) -> None:
        """
        Take messages until there is an end to it: C{stop}, or an error.
        """
        count = 0
        while self._forget is not None:
            count += 1
            reply = f"{inbox}.{count}"
            most = max(_BYTES, 2 * link.max_payload)
            question = {"batch": BATCH, "max_bytes": most, "expires": int(EXPIRES * _SECOND)}
            if not link.pipeline.send(self._subject, orjson.dumps(question), reply):
                raise UnavailableError("the connection was lost")
            await self._take(link, queue, reply)

    async def _take(self, link: Any, queue: asyncio.Queue[Msg | None], reply: str) -> None:
        """
        Handle what comes for one question.
        """
        left = BATCH
        try:
            async with asyncio.timeout(None) as patience:
                while left > 0:
                    patience.reschedule(asyncio.get_running_loop().time() + EXPIRES + _LATE)
                    came = await _some(queue)
                    patience.reschedule(None)
                    messages = [message for message in came if message.reply.startswith(_ACKS)]
                    if messages:
                        await self._handler(link, messages)
                    left -= len(messages)
                    if self._forget is None or any(self._is_end(message, reply) for message in came):
                        return
        except TimeoutError as error:
            self._preparation.forget()
            raise UnavailableError("the consumer is silent") from error

    def _is_end(self, message: Msg, reply: str) -> bool:
        """
        Whether a message says that no more come for a question.
        """
        status = _status(message)
        if status in ("", "100") or message.subject != reply:
            return False
        if status == "503" or (status == "409" and "Deleted" in str(message.headers)):
            self._preparation.forget()
            raise UnavailableError("the consumer is gone")
        return True

    def _return(self, link: Any, queue: asyncio.Queue[Msg | None]) -> None:
        while not queue.empty():
            message = queue.get_nowait()
            if message is not None and message.reply.startswith(_ACKS):
                hand_back(link, message)


async def _some(queue: asyncio.Queue[Msg | None]) -> list[Msg]:
    """
    What has come; there is something.
    """
    found = [await queue.get()]
    with contextlib.suppress(asyncio.QueueEmpty):
        while True:
            found.append(queue.get_nowait())
    return [message for message in found if message is not None]


def _status(message: Msg) -> str:
    if not message.headers or message.data:
        return ""
    return str(message.headers.get("Status", ""))
