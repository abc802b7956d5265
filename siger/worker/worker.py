"""
A worker: takes jobs from the queue that fit it, and has them handled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from nats.aio.msg import Msg

from siger.jobs import streams
from siger.jobs.members import BrokenError
from siger.jobs.model import LANES, Job
from siger.jobs.submission import read_message
from siger.messaging.errors import UnavailableError
from siger.worker.claiming import FENCE, Delivery
from siger.worker.connection import Connection, Servers
from siger.worker.context import Handler
from siger.worker.gpus import Gpus, Misfits
from siger.worker.lanes import Rounds
from siger.worker.rate import Rate
from siger.worker.running import Run, Terms
from siger.worker.store import Store, is_cancellation
from siger.worker.taking import Puller

__all__ = ["Worker"]

log = logging.getLogger("siger.worker")

H = TypeVar("H", bound=Handler)

#: Seconds before something is tried again that did not work.
_PAUSE: Final = 1.0
#: Seconds after which it is looked again whether the queue is as it should be, and has the same lease.
_CHECK: Final = 60.0
#: Seconds between two looks at the clock, at most.
_PULSE: Final = 0.25
#: How many jobs a second can be looked at that do not fit.
_UNFIT_PER_SECOND: Final = 20
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
    @ivar running: what it runs, by the name of the job.
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
        self._instance = secrets.token_hex(8)
        self.types = list(dict.fromkeys(types))
        if not self.types:
            raise ValueError("no types of jobs to take")
        self.running: dict[str, Run] = {}
        self._handlers: dict[str, Handler] = {}
        self._default: Handler | None = None
        if isinstance(handlers, Mapping):
            self._handlers.update(handlers)
        else:
            self._default = handlers
        self._gpus = Gpus(gpus, gpu_type)
        self._slots = concurrency or max(1, gpus)
        self._lease = self._agreed = lease
        self._grace = grace
        self._drain = drain
        options = {"user": user, "password": password, "token": token, "user_credentials": credentials}
        given = {name: value for name, value in options.items() if value}
        servers = [servers] if isinstance(servers, str) else servers
        self._connection = Connection(servers, given, f"siger worker {self.name}")
        self._connection.on_up.append(self._connected)
        self._store = Store(self._connection)
        self._pullers = {
            (type_, lane): Puller(self._connection, type_, lane, self._arrived, self._wake)
            for type_ in self.types
            for lane in LANES
        }
        self._rounds = Rounds(self.types)
        self._prepared = self._prepared_at = -1.0
        self._pulse = 0.0
        self._misfits = Misfits()
        self._unfit = Rate(_UNFIT_PER_SECOND, _now)
        self._hold_until = 0.0
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<Worker {self.name} {len(self.running)}/{self._slots}>"

    def handler(self, *types: str) -> Callable[[H], H]:
        """
        Decorate the handler of some types, or of all that have none of their own.
        """

        def register(handle: H) -> H:
            for type_ in types:
                self._handlers[type_] = handle
            if not types:
                self._default = handle
            return handle

        return register

    # Its life

    async def run(self, signals: bool = True) -> None:
        """
        Take jobs and run them until L{stop} is called.

        @param signals: whether to stop on SIGTERM and SIGINT, and at once on a second one.
        """
        missing = [type_ for type_ in self.types if type_ not in self._handlers and self._default is None]
        if missing:
            raise ValueError(f"no handler for {', '.join(missing)}")
        self._pulse = _now()
        background = [asyncio.create_task(work) for work in (self._connection.keep(), self._beat(), self._take())]
        with _signals(self._signalled) if signals else contextlib.nullcontext():
            log.info("worker %s takes %s", self.name, ", ".join(self.types))
            try:
                await self._until_stopped(background)
                background[2].cancel()
                await self._leave()
            finally:
                await _end([*background[1:], *self._tasks])
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
        await asyncio.gather(*(puller.stop() for puller in self._pullers.values()))
        await self._runs_end(self._drain, self._hurry)
        for run in list(self.running.values()):
            run.hand_back(self._hurry.is_set())
        await self._runs_end(self._grace, self._hurry)
        for run in list(self.running.values()):
            run.hand_back(hurry=True)
        await self._runs_end(_LAST_WORDS, asyncio.Event())

    async def _runs_end(self, timeout: float, unless: asyncio.Event) -> None:
        """
        Wait until all jobs have ended, or for so long.
        """
        waiting = asyncio.create_task(unless.wait())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._tasks and not unless.is_set():
                    await asyncio.wait({waiting, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def _beat(self) -> None:
        """
        Notice it when the loop did not go on for long: then nobody knows how old a message is that arrives.
        """
        while True:
            self._pulse = _now()
            await asyncio.sleep(min(_PULSE, self._agreed / 20))

    # The connection

    async def _connected(self) -> None:
        await self._connection.subscribe("jobs.control.*", self._ordered)
        for puller in self._pullers.values():
            await puller.connect()
        for run in self.running.values():
            self._start(run.check_orders())
        self._wake()

    async def _ordered(self, message: Msg) -> None:
        run = self.running.get(streams.job_of(message.subject))
        if run is not None and is_cancellation(message.data):
            log.info("job %s is to be cancelled", run.job.job_id)
            run.cancel()

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Taking jobs

    @property
    def _room(self) -> bool:
        return len(self.running) < self._slots and not self._gpus.exhausted and not self._stopping.is_set()

    def _wake(self) -> None:
        self._changed.set()

    async def _take(self) -> None:
        while True:
            try:
                await self._connection.wait()
                await self._prepare()
                await self._round()
            except UnavailableError as error:
                log.debug("no jobs: %s", error)
                await asyncio.sleep(_PAUSE)

    async def _prepare(self) -> None:
        """
        See for each connection, when it seems necessary, and now and then, that there is something to take from.
        """
        broken = [puller for puller in self._pullers.values() if puller.broken]
        fresh = self._prepared == self._connection.since and _now() - self._prepared_at < _CHECK
        if fresh and not broken:
            return
        if broken:
            await asyncio.sleep(_PAUSE)
        since = self._connection.since
        self._agreed = await self._store.prepare(self.types, self._lease)
        if self._agreed != self._lease:
            log.info("the queue's lease is %g s", self._agreed)
        for puller in broken:
            puller.broken = False
        self._prepared, self._prepared_at = since, _now()

    async def _round(self) -> None:
        self._changed.clear()
        if not self._room:
            await self._changed.wait()
            return
        await asyncio.sleep(max(0.0, self._hold_until - _now()))
        for place in self._rounds.next():
            if not self._room:
                return
            puller = self._pullers[place]
            if not puller.open and await puller.now():
                return
        for puller in self._pullers.values():
            await puller.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE if any(p.broken for p in self._pullers.values()) else None):
                await self._idle()

    async def _idle(self) -> None:
        """
        Wait for any answer, or for the longest that one may take.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(40):
                await self._changed.wait()

    def _arrived(self, message: Msg) -> None:
        """
        Decide about a message at once.
        """
        if _now() - self._pulse > self._agreed / 3:
            log.warning("the event loop was blocked for %.1f s; a message is left alone", _now() - self._pulse)
            return
        try:
            delivery = read_delivery(message)
        except BrokenError as error:
            self._start(self._refuse(message, str(error)))
            return
        running = self.running.get(delivery.job.job_id)
        if running is not None:
            self._comes_again(running, delivery)
        elif not self._room:
            self._give_back(delivery, 0.0)
        else:
            self._consider(delivery)

    def _comes_again(self, running: Run, delivery: Delivery) -> None:
        """
        A job that runs here goes on by the last delivery of its message. Another message about it is of no use.
        """
        if not running.runs_by(delivery):
            self._start(self._drop(delivery))
        elif not running.adopt(delivery):
            self._give_back(delivery, self._agreed)

    async def _drop(self, delivery: Delivery) -> None:
        with contextlib.suppress(UnavailableError):
            await self._store.acknowledge(delivery.reply)

    def _consider(self, delivery: Delivery) -> None:
        if self._gpus.fits(delivery.job):
            self._begin(delivery)
            return
        if not self._unfit.take():
            self._hold_until = _now() + _PAUSE
        self._give_back(delivery, self._misfits.delay(delivery.job.job_id, _now()) * random.uniform(0.5, 1.0))

    def _begin(self, delivery: Delivery) -> None:
        job = delivery.job
        handler = self._handlers.get(job.type) or self._default
        assert handler is not None
        gpus = self._gpus.take(job)
        terms = Terms(self.name, self._instance, self._agreed, self._grace)
        run = Run(self._store, delivery, handler, gpus, terms, self._pulse, self._listen, self._trusted)
        self.running[job.job_id] = run
        self._start(self._see_through(run))

    async def _see_through(self, run: Run) -> None:
        try:
            await run.go()
        except Exception:
            log.exception("job %s: the worker itself has failed", run.job.job_id)
        finally:
            del self.running[run.job.job_id]
            self._gpus.give_back(run.gpus)
            self._wake()

    def _give_back(self, delivery: Delivery, delay: float) -> None:
        async def give_back() -> None:
            with contextlib.suppress(UnavailableError):  # it comes back by itself then, later
                await self._store.give_back(delivery.reply, delay)

        self._start(give_back())

    async def _refuse(self, message: Msg, why: str) -> None:
        """
        Put a message that nobody can read where somebody may look at it.
        """
        log.error("a message in %s is no job: %s", message.subject, why)
        type_, sequence = message.subject.split(".")[2], message.metadata.sequence.stream
        content = {"reason": f"unreadable: {why}", "attempts": 0, "content": message.data[:65536].decode("latin-1")}
        with contextlib.suppress(UnavailableError):
            await self._store.bury(type_, f"unreadable-{sequence}", json.dumps(content).encode())
            await self._store.acknowledge(message.reply)

    # Others

    async def _listen(self, job_id: str) -> dict[str, Any] | None:
        """
        Listen for another worker that runs a job, for as long as one could without an answer from the queue.
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
            async with asyncio.timeout(self._agreed * FENCE * 1.05):
                return await heard
        except TimeoutError:
            if not self._connection.connected or self._connection.since != since:
                raise UnavailableError("the connection was lost while listening") from None
            return None
        finally:
            await self._connection.unsubscribe(subscription)

    def _trusted(self) -> bool:
        return self._connection.connected and _now() - self._connection.since > self._agreed


def read_delivery(message: Msg) -> Delivery:
    """
    Read a message of the queue.

    @raise BrokenError: it is none that could be run.
    """
    metadata = message.metadata
    job: Job = read_message(message.data)
    return Delivery(
        reply=message.reply,
        sequence=metadata.sequence.stream,
        again=metadata.num_delivered > 1,
        job=job,
        content=bytes(message.data),
    )


_now = time.monotonic  # as the loops of asyncio do


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _signals(react: Callable[[], None]) -> Any:
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
