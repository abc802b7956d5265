"""
Jobs as text: many as a table, one as a list of what is known of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from siger.jobs.client.text import cut, pad, plain, width
from siger.jobs.client.view import gpus

__all__ = ["described", "table"]

_HEADINGS: Final = ("JOB ID", "STATUS", "DONE", "TYPE", "GPUS", "SUBMITTED", "NAME")
_GAP: Final = "  "
_LABEL: Final = 13


def table(jobs: Sequence[Mapping[str, Any]], columns: int | None = None, owners: bool = False) -> str:
    """
    A line for each job.

    @param columns: how wide a terminal is; C{None} cuts nothing.
    @param owners: whose each is, too.
    """
    headings = (*_HEADINGS[:-1], "USER", _HEADINGS[-1]) if owners else _HEADINGS
    rows = [headings, *(_row(job, owners) for job in jobs)]
    widths = [max(width(row[at]) for row in rows) for at in range(len(headings))]
    lines = (_GAP.join(map(pad, row, widths)).rstrip() for row in rows)
    return "\n".join(line if columns is None else cut(line, columns) for line in lines)


def _row(job: Mapping[str, Any], owners: bool) -> tuple[str, ...]:
    cells = [job.get("job_id"), job.get("status"), f"{job.get('progress', 0)} %", job.get("type"), gpus(job)]
    cells.append(_time(job.get("submitted_at"), seconds=True))
    if owners:
        cells.append(job.get("username") or job.get("user_id"))
    return tuple(plain(str(cell)) for cell in (*cells, job.get("name")))


def _time(text: object, seconds: bool = False) -> str:
    """
    A time with a blank in its middle.
    """
    shown = str(text or "").replace("T", " ", 1)
    return shown[:19] + "Z" if seconds and len(shown) > 19 else shown


def described(job: Mapping[str, Any]) -> str:
    """
    All that is known of a job.
    """
    return "\n".join(line for label, value in _facts(job) if value for line in _lines(label, value))


def _lines(label: str, value: str) -> Iterator[str]:
    for line in value.split("\n"):
        yield pad(label, _LABEL) + plain(line)
        label = ""


def _facts(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Job", str(job.get("job_id"))
    yield "Name", str(job.get("name"))
    yield "Description", str(job.get("description") or "")
    yield "State", _state(job)
    yield "Message", str(job.get("message") or "")
    yield "Error", str(job.get("error") or "")
    yield "Type", f"{job.get('type')}, {gpus(job)}, priority {job.get('priority')}"
    yield "Tags", ", ".join(map(str, job.get("tags") or ()))
    yield "Limits", _limits(job)
    yield "Submitted", f"{_time(job.get('submitted_at'))} by {job.get('username') or job.get('user_id')}"
    yield "Started", _time(job.get("started_at"))
    yield "Ended", _time(job.get("ended_at"))
    yield "Parameters", _json(job.get("params") or None)
    yield "Result", _json(job.get("result"))
    yield "Note", "the gateway has lost its store; this may be old" if job.get("stale") else ""


def _state(job: Mapping[str, Any]) -> str:
    parts = [str(job.get("status"))]
    queue = job.get("queue")
    if isinstance(queue, dict):
        parts.append(f"{_ahead(queue)} in the {queue.get('lane')} lane of {queue.get('type')}")
    elif job.get("attempts"):
        parts += [f"{job.get('progress')} %", f"attempt {job.get('attempts')} by {job.get('worker')}"]
    return ", ".join(parts)


def _ahead(queue: Mapping[str, Any]) -> str:
    ahead = queue.get("ahead")
    return "next" if not ahead else f"after {ahead} other{'s' if ahead != 1 else ''}"


def _limits(job: Mapping[str, Any]) -> str:
    retries, timeout = job.get("max_retries"), job.get("timeout")
    limit = f", {timeout} s for each attempt" if timeout else ""
    return f"{retries} {'retry' if retries == 1 else 'retries'}{limit}"


def _json(value: object) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
