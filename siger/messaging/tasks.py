"""
Tasks that somebody answers for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Tasks"]

T = TypeVar("T")


class Tasks:
    """
    Holds each task until it has ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """
        Start a task.
        """
        task = self.loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)

    def cancel(self) -> None:
        """
        Cancel all but the one that asks.
        """
        for task in self._running - {_current()}:
            task.cancel()

    async def wait(self, timeout: float | None = None) -> None:
        """
        Wait until those have ended that run now.
        """
        others = self._running - {_current()}
        if others:
            await asyncio.wait(others, timeout=timeout)


def _current() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # the loop does not run yet, or no longer
        return None
