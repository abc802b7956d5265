"""
Questions to the server, many at once and each for little work.

nats-py makes two futures, a timer and several coroutines for each request, which is most of what it costs to have a job
accepted. Here a question is a few bytes that go out with the next write, an entry in a table, and a Deferred; answers
come to one subscription, and one timer looks after all that have none. What is asked is written at once or not at all:
the table ends with its connection, and so does whatever was not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field
from nats.aio.client import Client
from nats.aio.msg import Msg
from twisted.internet.defer import Deferred, fail

from siger.messaging.errors import NobodyAnswersError, TooLargeError, UnavailableError

__all__ = ["Pipeline", "header"]

#: Seconds for an answer, and from one look for overdue ones to the next.
TIMEOUT: Final = 3.0
LOOK: Final = 0.25
#: The most bytes of questions that may wait for their answers: a server that answers slowly gets no more than that.
MOST_BYTES: Final = 64 * 1024 * 1024

_STATUS: Final = "Status"
_NOBODY: Final = "503"
#: A header of each message but the last, where one question is answered by several.
_MORE: Final = "Nats-Num-Pending"


def header(fields: Mapping[str, str]) -> bytes:
    """
    Write the head of a message.

    @raise ValueError: a value would end its line (row K11).
    """
    lines = ["NATS/1.0"]
    for name, value in fields.items():
        if "\r" in value or "\n" in value:
            raise ValueError(f"not a value of a header: {value!r}")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "\r\n"]).encode("utf-8")


@define(eq=False)
class _Waiting:
    """
    A question without its answer.

    @ivar several: the messages so far, if the answer may be made of several.
    """

    answer: Deferred[Any]
    size: int
    deadline: float
    several: list[Msg] | None = field(default=None)


class Pipeline:
    """
    The questions of one connection.

    @ivar waiting: how many bytes of questions wait for an answer.
    """

    def __init__(self, client: Client) -> None:
        """
        @param client: connected when L{open} is called.
        """
        self.waiting = 0
        self._client = client
        self._table: dict[str, _Waiting] = {}
        self._count = 0
        self._inbox = ""
        self._token = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._written: asyncio.Future[None] | None = None
        self._empty: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._table)

    # Beginning and end

    async def open(self) -> None:
        """
        Begin to hear answers.
        """
        self._loop = asyncio.get_running_loop()
        # nats-py's flusher wants a future to say that it has written; nobody waits for that, so one serves all.
        self._written = self._loop.create_future()
        self._written.set_result(None)
        inbox = self._client.new_inbox() + "."
        self._token = len(inbox)
        await self._client.subscribe(inbox + "*", cb=self._heard)
        self._inbox = inbox

    def close(self, reason: str) -> None:
        """
        Take no more questions, and tell everybody who waits why.
        """
        self._inbox = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        table, self._table = self._table, {}
        self.waiting = 0
        for waiting in table.values():
            waiting.answer.errback(UnavailableError(reason))
        self._look_empty()

    async def drain(self, timeout: float) -> None:
        """
        Give the questions that wait some time.
        """
        if self._table:
            self._empty = asyncio.Event()
            try:
                async with asyncio.timeout(timeout):
                    await self._empty.wait()
            except TimeoutError:
                pass

    # Questions

    def ask(self, subject: str, payload: bytes = b"", head: bytes = b"") -> Deferred[Msg]:
        """
        Send, and wait for the answer.

        @param subject: checked by the caller: it is written as it is.
        @param head: what L{header} makes.
        @return: fails with L{UnavailableError} when there is no answer in time, with L{NobodyAnswersError} when nobody
            listens, and with L{TooLargeError} when the server would not take it.
        """
        return self._ask(subject, payload, head, None)

    def gather(self, subject: str, payload: bytes = b"") -> Deferred[list[Msg]]:
        """
        Send, and wait for an answer that is made of several messages. The last says only that it is the last, and is
        among them.
        """
        return self._ask(subject, payload, b"", [])

    def _ask(self, subject: str, payload: bytes, head: bytes, several: list[Msg] | None) -> Deferred[Any]:
        size = len(payload) + len(head)
        if not self._inbox or not self._client.is_connected:
            return fail(UnavailableError("the connection is closed"))
        if (
            size > self._client.max_payload
        ):  # the server counts heads, too, and ends the connection over a byte too many
            return fail(TooLargeError(f"{size} bytes are too many for the server"))
        if self.waiting + size > MOST_BYTES:
            return fail(UnavailableError("too much waits for an answer"))
        self._count += 1
        token = str(self._count)
        reply = self._inbox + token
        if head:
            self._write(f"HPUB {subject} {reply} {len(head)} {size}\r\n".encode() + head + payload + b"\r\n")
        else:
            self._write(f"PUB {subject} {reply} {size}\r\n".encode() + payload + b"\r\n")
        return self._expect(token, size, several)

    def send(self, subject: str, payload: bytes = b"", reply: str = "") -> bool:
        """
        Send, without waiting for an answer.

        @param reply: where answers would go, if there were any.
        @return: whether there was a connection to send it over.
        """
        if not self._inbox or not self._client.is_connected:
            return False
        self._write(f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n")
        return True

    def _write(self, command: bytes) -> None:
        """
        What nats-py's own C{publish} comes to, without its coroutines.
        """
        client = self._client
        client._pending.append(command)
        client._pending_data_size += len(command)
        queue = client._flush_queue
        if queue is not None and self._written is not None and queue.empty():
            queue.put_nowait(self._written)

    def _expect(self, token: str, size: int, several: list[Msg] | None) -> Deferred[Any]:
        assert self._loop is not None
        answer: Deferred[Any] = Deferred(lambda _: self._forget(token))
        self._table[token] = _Waiting(answer, size, self._loop.time() + TIMEOUT, several)
        self.waiting += size
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK, self._look)
        return answer

    # Answers

    async def _heard(self, message: Msg) -> None:
        token = message.subject[self._token :]
        waiting = self._table.get(token)
        if waiting is None:
            return
        status = message.headers.get(_STATUS) if message.headers else None
        if status == _NOBODY:
            self._fail(token, NobodyAnswersError("nobody listens there"))
        elif waiting.several is None:
            self._take(token)
            waiting.answer.callback(message)
        else:
            waiting.several.append(message)
            if status is not None or _MORE not in (message.headers or {}):
                self._take(token)
                waiting.answer.callback(waiting.several)

    def _fail(self, token: str, error: Exception) -> None:
        waiting = self._take(token)
        if waiting is not None:
            waiting.answer.errback(error)

    def _take(self, token: str) -> _Waiting | None:
        waiting = self._table.pop(token, None)
        if waiting is not None:
            self.waiting -= waiting.size
            if not self._table:
                self._look_empty()
        return waiting

    def _forget(self, token: str) -> None:
        self._take(token)

    def _look_empty(self) -> None:
        if self._empty is not None:
            self._empty.set()

    def _look(self) -> None:
        """
        Fail what is overdue: questions stand in the table in the order in which they were asked.
        """
        assert self._loop is not None
        self._timer = None
        now = self._loop.time()
        while self._table:
            token, waiting = next(iter(self._table.items()))
            if waiting.deadline > now:
                break
            self._fail(token, UnavailableError("no answer in time"))
        if self._table and self._timer is None:
            self._timer = self._loop.call_later(LOOK, self._look)
