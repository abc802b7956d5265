"""
One asyncio loop in a thread of its own, for the clients and backends of these tests.

They are plain asyncio so that nothing of Siger, its reactor above all, sits on the measuring side of a test.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Signal", "in_loop", "run_in_loop"]

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _the_loop() -> asyncio.AbstractEventLoop:
    """
    The loop, started with its daemon thread at first use.
    """
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.SelectorEventLoop()
            threading.Thread(target=_loop.run_forever, name="test-loop", daemon=True).start()
        return _loop


def run_in_loop(work: Coroutine[Any, Any, T], timeout: float = 120) -> T:
    """
    Run C{work} in the loop's thread while the calling thread waits.
    """
    return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout), _the_loop()).result()


def in_loop(method: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """
    Make a coroutine method an ordinary test method.
    """

    @functools.wraps(method)
    def test(self: Any) -> None:
        run_in_loop(method(self))

    return test


class Signal:
    """
    Wakes whoever waits for something to become true.
    """

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def fire(self) -> None:
        """
        Something changed: everyone looks again.
        """
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, true: Callable[[], object], timeout: float) -> bool:
        """
        Wait until C{true()} is, at most C{timeout} seconds.

        @return: whether it is.
        """
        deadline = time.monotonic() + timeout
        while not true():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await asyncio.wait([waiter], timeout=left)
        return True
