"""
A worker: takes jobs from the queue that fit it, and has them handled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from siger.worker.connection import Connection, Servers
from siger.worker.context import Handler
from siger.worker.dispatch import Dispatcher
from siger.worker.gpus import Gpus
from siger.worker.handlers import Handlers
from siger.worker.others import Others
from siger.worker.pulse import Pulse
from siger.worker.queues import Queues
from siger.worker.running import Run, Terms
from siger.worker.store import Store

__all__ = ["Worker"]

log = logging.getLogger("siger.worker")

H = TypeVar("H", bound=Handler)

#: Seconds for the last words when a worker goes away.
_LAST_WORDS: Final = 3.0


class Worker:
    """
    Runs jobs.

        worker = Worker("nats://127.0.0.1:4222", ["ai_training"])

        @worker.handler("ai_training")
        async def train(job):
            for epoch in range(job.params["epochs"]):
                await job.check()
                ...
                await job.progress(100 * epoch / job.params["epochs"], f"epoch {epoch}")
            return {"loss": loss}

        asyncio.run(worker.run())

    Handlers share one event loop, which must not be blocked: a worker that is silent for a lease has lost its jobs.
    What computes belongs into a thread (C{asyncio.to_thread}) or another process.

    @ivar name: what it calls itself, for those who look at jobs.
    """

    def __init__(
        self,
        servers: str | Servers,
        types: Sequence[str],
        *,
        handlers: Mapping[str, Handler] | Handler | None = None,
        gpu_type: str = "",
        gpus: int = 0,
        concurrency: int | None = None,
        name: str = "",
        lease: float = 30.0,
        grace: float = 30.0,
        drain: float = 60.0,
        user: str = "",
        password: str = "",
        token: str = "",
        credentials: str = "",
    ) -> None:
        """
        @param servers: where NATS is: C{host:port} or URLs, or a function that tells before each connection.
        @param types: the types of jobs to take.
        @param handlers: by type, or one for all; see also L{handler}.
        @param gpu_type: take only jobs for these GPUs, or for any.
        @param gpus: how many GPUs there are to give to jobs; 0 for not counting them.
        @param concurrency: how many jobs can run at once; by default as many as GPUs, or one.
        @param lease: seconds without a sign of life after which a job is given to another worker, unless the queue has
            been told another number before.
        @param grace: seconds that a job gets to end by itself when it is cancelled.
        @param drain: seconds that jobs get to be finished when the worker is to stop.
        @param credentials: the path of a credentials file.
        """
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.types = list(dict.fromkeys(types))
        if not self.types:
            raise ValueError("no types of jobs to take")
        self._handlers = Handlers(handlers)
        self._grace = grace
        self._drain = drain
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        options = {"user": user, "password": password, "token": token, "user_credentials": credentials}
        given = {name: value for name, value in options.items() if value}
        servers = [servers] if isinstance(servers, str) else servers
        self._connection = Connection(servers, given, f"siger worker {self.name}")
        self._connection.on_up.append(self._connected)
        self._pulse = Pulse(lease)
        store = Store(self._connection)
        terms = Terms(self.name, secrets.token_hex(8), lease, grace)
        others = Others(self._connection, terms.instance, self._pulse)
        slots = concurrency or max(1, gpus)
        self._jobs = Dispatcher(store, self._handlers, Gpus(gpus, gpu_type), slots, terms, self._pulse, others)
        self._queues = Queues(self._connection, store, self.types, self._pulse, self._jobs)

    def __repr__(self) -> str:
        return f"<Worker {self.name} {len(self.running)}/{self._jobs.slots}>"

    @property
    def running(self) -> dict[str, Run]:
        """
        What it runs, by the name of the job.
        """
        return self._jobs.running

    def handler(self, *types: str) -> Callable[[H], H]:
        """
        Decorate the handler of some types, or of all that have none of their own.
        """
        return self._handlers.register(types)

    # Its life

    async def run(self, signals: bool = True) -> None:
        """
        Take jobs and run them until L{stop} is called.

        @param signals: whether to stop on SIGTERM and SIGINT, and at once on a second one.
        """
        missing = [type_ for type_ in self.types if self._handlers.find(type_) is None]
        if missing:
            raise ValueError(f"no handler for {', '.join(missing)}")
        works = (self._connection.keep(), self._pulse.beat(), self._queues.take())
        background = [asyncio.create_task(work) for work in works]
        with _signals(self._signalled) if signals else contextlib.nullcontext():
            log.info("worker %s takes %s", self.name, ", ".join(self.types))
            try:
                await self._until_stopped(background)
                background[2].cancel()
                await self._leave()
            finally:
                await _end([*background[1:], *self._jobs.tasks])
                await _end(background[:1])

    async def _until_stopped(self, background: list[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopping, *background}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in background:  # none of them ends by itself
            if task.done():
                task.result()

    def stop(self, hurry: bool = False) -> None:
        """
        Take no more jobs, finish those that run or hand them back, and end.

        @param hurry: hand them back at once.
        """
        self._jobs.close()
        self._stopping.set()
        if hurry:
            self._hurry.set()

    def _signalled(self) -> None:
        log.info("stopping%s", " at once" if self._stopping.is_set() else "")
        self.stop(hurry=self._stopping.is_set())

    async def _leave(self) -> None:
        """
        Finish what runs, or hand it back.
        """
        await self._queues.stop()
        await self._jobs.settle(self._drain, self._hurry)
        self._jobs.hand_back(self._hurry.is_set())
        await self._jobs.settle(self._grace, self._hurry)
        self._jobs.hand_back(hurry=True)
        await self._jobs.settle(_LAST_WORDS, asyncio.Event())

    async def _connected(self) -> None:
        await self._connection.subscribe("jobs.control.*", self._jobs.ordered)
        await self._queues.connect()
        self._jobs.check_orders()
        self._queues.wake()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _signals(react: Callable[[], None]) -> Iterator[None]:
    """
    React to SIGTERM and SIGINT, where that can be: in the main thread.
    """
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    for number in numbers:
        loop.add_signal_handler(number, react)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
