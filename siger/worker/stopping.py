"""
Why a job that runs is to stop, and how soon.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

__all__ = ["Reason", "Stop", "first_of"]

Reason = Literal["cancel", "timeout", "return", "fence", "superseded"]
_WEIGHT: Final = {"timeout": 1, "return": 2, "cancel": 3, "fence": 4, "superseded": 4}


class Stop:
    """
    What one job was told.

    @ivar reason: the weightiest of all, or C{None} as long as it may go on.
    @ivar asked: set once there is one.
    @ivar hurry: set once it gets no time any more to end by itself.
    """

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()

    def ask(self, reason: Reason, hurry: bool = False) -> None:
        """
        It is to stop.

        @param hurry: at once, which some reasons mean anyway.
        """
        if self.reason is None or _WEIGHT[reason] > _WEIGHT[self.reason]:
            self.reason = reason
        if hurry or reason in ("fence", "superseded"):
            self.hurry.set()
        self.asked.set()


async def first_of(task: asyncio.Task[Any], event: asyncio.Event, timeout: float | None = None) -> None:
    """
    Wait for a task or an event, whichever comes first, or for so many seconds.
    """
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
