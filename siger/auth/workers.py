"""
A few threads for work that takes long and needs no lock: hashing passwords.

Few, so that they cannot fill the machine; with a short queue, so that nobody waits for long and memory is bounded; and
of lower priority than the reactor's thread, so that on a busy core requests go first.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from siger.auth.errors import BusyError

__all__ = ["Runner", "Workers"]

T = TypeVar("T")

_NICER: Final = 10


class Runner(Protocol):
    """
    Runs functions somewhere.
    """

    @property
    def full(self) -> bool:
        """
        Whether the next function would be refused.
        """

    def run(self, function: Callable[..., T], *arguments: object) -> Deferred[T]:
        """
        Run a function; L{BusyError} when there is no room for it.
        """

    def stop(self) -> Deferred[None]:
        """
        Refuse everything from now on. Fires when nothing runs any more.
        """


class Workers:
    """
    Theory of operation. All is decided on the reactor's thread: what waits is a queue here, and a thread is given a
    function only when it is free, so the executor itself never queues. A Deferred that is cancelled while it waits
    leaves the queue; one whose function runs already keeps its thread busy to the end, unheard.

    Threads start with the first work, so that a process may fork before.

    @ivar running: functions that threads are busy with.
    """

    def __init__(self, reactor: IReactorFromThreads, threads: int, queue: int) -> None:
        self.running = 0
        self._reactor = reactor
        self._threads = threads
        self._room = queue
        self._queue: deque[tuple[Deferred[Any], Callable[[], object]]] = deque()
        self._executor = ThreadPoolExecutor(threads, "siger-hashing", _lower_priority)
        self._ended: Deferred[None] | None = None

    def __repr__(self) -> str:
        return f"<Workers {self.running} running, {len(self._queue)} waiting>"

    @property
    def full(self) -> bool:
        """
        Whether the next function would be refused.
        """
        return self._ended is not None or (self.running >= self._threads and len(self._queue) >= self._room)

    def run(self, function: Callable[..., T], *arguments: object) -> Deferred[T]:
        """
        Run a function in a thread; L{BusyError} at once when there is no room for it.
        """
        if self.full:
            return fail(BusyError())
        result: Deferred[T] = Deferred(self._cancel)
        self._queue.append((result, partial(function, *arguments)))
        self._next()
        return result

    def stop(self) -> Deferred[None]:
        """
        Turn away all who wait, with L{BusyError}. Fires once what runs has ended, and the threads with it.
        """
        if self._ended is None:
            self._ended = Deferred()
            waiting, self._queue = self._queue, deque()
            for result, _ in waiting:
                result.errback(BusyError())
            self._end_when_idle()
        ended: Deferred[None] = Deferred()
        self._ended.chainDeferred(ended) if not self._ended.called else ended.callback(None)
        return ended

    def _next(self) -> None:
        while self._queue and self.running < self._threads:
            result, work = self._queue.popleft()
            self.running += 1
            self._executor.submit(self._work, result, work)

    def _work(self, result: Deferred[Any], work: Callable[[], object]) -> None:
        # In a thread.
        try:
            outcome: object = work()
        except Exception:
            outcome = Failure()
        self._reactor.callFromThread(self._done, result, outcome)

    def _done(self, result: Deferred[Any], outcome: object) -> None:
        self.running -= 1
        self._next()
        self._end_when_idle()
        if not result.called:
            result.callback(outcome)

    def _cancel(self, result: Deferred[Any]) -> None:
        self._queue = deque(each for each in self._queue if each[0] is not result)

    def _end_when_idle(self) -> None:
        if self._ended is not None and not self._ended.called and not self.running:
            # Its threads have nothing to do, so this takes no time to speak of.
            self._executor.shutdown(wait=True)
            self._ended.callback(None)


def _lower_priority() -> None:
    # Linux counts threads as processes here; elsewhere this would be the priority of everything.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICER))
