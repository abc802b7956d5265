"""
Workers: they take jobs from the queue on NATS, run them, and tell how they get on.

Nothing here needs Twisted, or anything of the gateway but what both know of jobs. What is imported from here is loaded
only then: the C{siger} command reads one light module of this package whatever it is to do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siger.worker.context import Handler, JobContext
    from siger.worker.errors import JobCancelled, JobFailed
    from siger.worker.worker import Worker

__all__ = ["Handler", "JobCancelled", "JobContext", "JobFailed", "Worker"]

_HOMES = {
    "Handler": "context",
    "JobCancelled": "errors",
    "JobContext": "context",
    "JobFailed": "errors",
    "Worker": "worker",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
