"""
Workers: they take jobs from the queue on NATS, run them, and tell how they get on.

Nothing here needs Twisted, or anything of the gateway but what both know of jobs.
"""

from __future__ import annotations

from siger.worker.context import Handler, JobContext
from siger.worker.errors import JobCancelled, JobFailed
from siger.worker.worker import Worker

__all__ = ["Handler", "JobCancelled", "JobContext", "JobFailed", "Worker"]
