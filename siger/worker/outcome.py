"""
What is written down about the end of an attempt: by what its handler returned or raised, and why it was stopped.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson

from siger.jobs.events import MAX_ERROR
from siger.jobs.members import MAX_DEPTH, deeper
from siger.jobs.model import Job
from siger.worker.errors import JobCancelled, JobFailed
from siger.worker.stopping import Reason

__all__ = ["MAX_BACK_OFF", "MAX_RESULT", "back_off", "end_of"]

MAX_RESULT: Final = 64 * 1024
"""
The longest result, in bytes of JSON.
"""
MAX_BACK_OFF: Final = 60.0


def back_off(attempt: int) -> float:
    """
    Seconds before the next attempt after this one.
    """
    return float(min(MAX_BACK_OFF, 2.0 ** min(attempt, 10)))


def end_of(job: Job, attempt: int, handling: asyncio.Task[object], reason: Reason | None) -> dict[str, Any]:
    """
    What to write down about the end of an attempt. Whoever was told to stop has completed the job only if there is a
    result.

    @param handling: the handler's task, which has ended.
    @param reason: why the job was to stop, if it was.
    @return: members of an event.
    """
    result, failure = _outcome(handling)
    if reason == "cancel":
        error = None if failure is None or isinstance(failure, JobCancelled) else _said(failure)
        return {"status": "cancelled", "result": result, "error": error}
    if reason == "timeout":
        return {"status": "failed", "error": f"timeout: the job took longer than {job.timeout} s"}
    if failure is None and (result is not None or reason is None):
        return {"status": "completed", "progress": 100, "result": result}
    if reason == "return":
        return {"status": "retrying", "returned": True, "message": "handed back: the worker is stopping"}
    return _failed(job, attempt, failure or JobCancelled())


def _failed(job: Job, attempt: int, failure: BaseException) -> dict[str, Any]:
    error = _said(failure)
    final = isinstance(failure, JobFailed) and not failure.retry
    if final or attempt > job.max_retries:
        return {"status": "failed", "error": error}
    return {"status": "retrying", "error": error, "message": f"trying again in {back_off(attempt):.0f} s"}


def _outcome(handling: asyncio.Task[object]) -> tuple[object, BaseException | None]:
    """
    What a handler returned, as plain JSON, or what it raised.
    """
    if handling.cancelled():
        return None, JobCancelled("the handler was cancelled")
    failure = handling.exception()
    if failure is not None:
        return None, failure
    try:
        written = orjson.dumps(handling.result())
    except (orjson.JSONEncodeError, RecursionError):
        return None, JobFailed("the result is no JSON", retry=False)
    if len(written) > MAX_RESULT:
        return None, JobFailed(f"the result is longer than {MAX_RESULT} bytes", retry=False)
    result: object = orjson.loads(written)
    if deeper(result, MAX_DEPTH):
        return None, JobFailed(f"the result has more than {MAX_DEPTH} levels", retry=False)
    return result, None


def _said(failure: BaseException) -> str:
    """
    What to tell of a failure: what handlers say on purpose as it is, else with its kind.
    """
    text = str(failure)
    if not isinstance(failure, JobFailed):
        text = f"{type(failure).__name__}: {text}" if text else type(failure).__name__
    return text[:MAX_ERROR].encode("utf-8", "replace").decode("utf-8")
