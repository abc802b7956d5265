"""
Clients that ask for the same thing at a steady pace, for tests in which the world changes meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from attrs import frozen

from tests.integration.flow_case import play
from tests.integration.loop_thread import run_in_loop
from tests.integration.raw_client import RawClient
from tests.integration.recording_backend import RecordingBackend
from tests.integration.recording_backend import answer as response_of

__all__ = ["Answer", "SteadyLoad", "named_backend"]

_PATIENCE = 5.0


@frozen
class Answer:
    """
    A complete 200.

    @ivar asked: when its request was sent, by C{time.monotonic}.
    @ivar came: when it was complete.
    @ivar body: who gave it, if the backends say their names.
    """

    asked: float
    came: float
    body: bytes


class SteadyLoad:
    """
    Keep-alive clients in the tests' loop. Start it from another thread; what it has seen may be read at any time.

    @ivar answers: what came, in order.
    @ivar failures: everything else, in words: a connection that the gateway ended counts, for it was to be kept.
    """

    def __init__(self, port: int, path: bytes, clients: int = 20, pause: float = 0.02) -> None:
        """
        @param pause: seconds that a client waits before it asks again.
        """
        self._port = port
        self._request = b"GET %b HTTP/1.1\r\nHost: gw.test\r\n\r\n" % path
        self._clients = clients
        self._pause = pause
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.answers: list[Answer] = []
        self.failures: list[str] = []

    def start(self) -> SteadyLoad:
        """
        Begin.
        """
        run_in_loop(self._start())
        return self

    def stop(self) -> None:
        """
        Let everyone finish what they asked; may be called again.
        """
        self._stopping = True
        run_in_loop(self._join())

    async def _start(self) -> None:
        self._tasks = [asyncio.ensure_future(self._ask_on()) for _ in range(self._clients)]

    async def _join(self) -> None:
        await asyncio.gather(*self._tasks)

    async def _ask_on(self) -> None:
        while not self._stopping:
            client = None
            try:
                client = await RawClient.connect(self._port)
                await self._use(client)
            except OSError as error:
                self.failures.append(f"no connection: {error}")
                await asyncio.sleep(0.1)
            finally:
                if client is not None:
                    await client.close()

    async def _use(self, client: RawClient) -> None:
        """
        Ask on one connection, which is a new one now and then so that its records stay short.
        """
        for count in range(1, 200):
            asked = time.monotonic()
            await client.send(self._request)
            complete = await client.finals(count, _PATIENCE)
            if not complete or client.reader.finals[-1].status != 200 or client.reader.finals[-1].faults:
                self.failures.append(f"request {count}: {client.closed or 'open'} {bytes(client.raw[-300:])!r}")
                return
            self.answers.append(Answer(asked, time.monotonic(), bytes(client.reader.finals[-1].body)))
            if self._stopping:
                return
            await asyncio.sleep(self._pause)

    def shares(self, since: float) -> dict[bytes, float]:
        """
        Which part of the requests sent since then each body has answered.
        """
        counts = Counter(answer.body for answer in list(self.answers) if answer.asked >= since)
        total = counts.total() or 1
        return {body: count / total for body, count in counts.items()}

    def heard(self, body: bytes, since: float) -> bool:
        """
        Whether a request that was sent since then was answered so.
        """
        return any(answer.body == body for answer in _backwards(self.answers, since))

    def last_asked(self, body: bytes) -> float:
        """
        When the last request was sent that was answered so.
        """
        return max((answer.asked for answer in list(self.answers) if answer.body == body), default=0.0)


def _backwards(answers: list[Answer], since: float) -> list[Answer]:
    """
    The answers to requests sent since then, without a look at all the others.
    """
    found = []
    for answer in reversed(list(answers)):
        if answer.came < since:
            break
        if answer.asked >= since:
            found.append(answer)
    return found


def named_backend(name: bytes) -> RecordingBackend:
    """
    A running backend that answers everything with its name.
    """
    backend = RecordingBackend()
    backend.scripts[b"/"] = play(response_of(name))
    return run_in_loop(backend.start())
