"""
To call the handler of a job, and to end it when its job is to stop.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from siger.worker.context import Handler, JobContext
from siger.worker.errors import JobCancelled, JobFailed
from siger.worker.stopping import Stop, first_of

__all__ = ["handle"]

log = logging.getLogger("siger.worker")

#: Seconds between complaints of a handler that does not end.
_COMPLAIN: Final = 30.0


async def handle(handler: Handler, context: JobContext, stop: Stop, grace: float) -> asyncio.Task[object]:
    """
    Have a job handled.

    @param stop: is asked to, too, when the job takes longer than it may.
    @param grace: seconds that the handler gets then to end by itself.
    @return: the handler's task, which has ended, by itself or not.
    """
    handling = asyncio.create_task(_called(handler, context, stop.asked.is_set()))
    try:
        await first_of(handling, stop.asked, context.job.timeout or None)
        if not handling.done():
            stop.ask(stop.reason or "timeout")
            context.cancelled.set()
            await first_of(handling, stop.hurry, grace)
    finally:
        await _ended(handling, context.id)
    return handling


async def _called(handler: Handler, context: JobContext, stopped: bool) -> object:
    """
    Call a handler, unless its job is to stop before it has begun.
    """
    if stopped:
        raise JobCancelled
    try:
        return await handler(context)
    except SystemExit as leaving:  # which would end the worker
        raise JobFailed(f"the handler exits: {leaving}") from leaving


async def _ended(handling: asyncio.Task[object], job_id: str) -> None:
    while not handling.done():
        handling.cancel()
        await asyncio.wait({handling}, timeout=_COMPLAIN)
        if not handling.done():
            log.error("the handler of job %s does not end although it was cancelled", job_id)
