"""
What the handler of a job gets to see of it, and can say about it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from siger.jobs.events import MAX_MESSAGE
from siger.jobs.model import Job
from siger.worker.errors import JobCancelled
from siger.worker.writing import Journal

__all__ = ["Handler", "JobContext"]


class JobContext:
    """
    One attempt at a job.

    @ivar id: the name of the job.
    @ivar attempt: 1, 2 and so on.
    @ivar gpus: the numbers of the GPUs that it may use; empty when the worker does not keep count of them.
    @ivar job: all that was submitted.
    @ivar cancelled: set once it is to stop, for whatever reason. Some time later the handler's task is cancelled.
    """

    def __init__(self, job: Job, attempt: int, gpus: tuple[int, ...], journal: Journal) -> None:
        self.job = job
        self.id = job.job_id
        self.attempt = attempt
        self.gpus = gpus
        self.cancelled = asyncio.Event()
        self._journal = journal

    def __repr__(self) -> str:
        return f"<JobContext {self.id} attempt {self.attempt}>"

    @property
    def type(self) -> str:
        return self.job.type

    @property
    def name(self) -> str:
        return self.job.name

    @property
    def params(self) -> dict[str, Any]:
        """
        What the job is about.
        """
        return self.job.params

    async def progress(self, percent: float, message: str = "") -> None:
        """
        Say how far it is, from 0 to 100. When it is said too often, some of it is not passed on.
        """
        whole = int(min(100, max(0, percent))) if math.isfinite(percent) else 0
        text = message[:MAX_MESSAGE].encode("utf-8", "replace").decode("utf-8")
        self._journal.progress(whole, text or None)
        await asyncio.sleep(0)

    async def log(self, line: str, level: str = "info") -> None:
        """
        Keep a line for whoever watches the job. There may be 200 in a second.

        @param level: C{info} or C{error}.
        """
        for part in line.split("\n"):
            self._journal.line(part, "error" if level == "error" else "info")
        await asyncio.sleep(0)

    async def check(self) -> None:
        """
        Let others have their turn, and go no further once the job is to stop.

        @raise JobCancelled: when it is.
        """
        await asyncio.sleep(0)
        if self.cancelled.is_set():
            raise JobCancelled


Handler = Callable[[JobContext], Awaitable[object]]
