"""
How many events of jobs a gateway on one core tells in a second, as server-sent events: those that were there before
their reader came, and those that happen meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from typing import Any

from benchmarks.jobs.accepting import BODY
from benchmarks.jobs.stage import Stage
from benchmarks.load import LoadError
from benchmarks.processes import pinned
from benchmarks.tools import REPOSITORY, python_path

__all__ = ["Streaming", "measure_streaming"]

_TIMEOUT = 150


@dataclass(frozen=True)
class Streaming:
    """
    What was measured.

    @ivar replay: events a second to readers that catch up.
    @ivar live: events a second to readers that wait for them, as fast as they are published.
    @ivar cpu: microseconds of the gateway's CPU time for each event, of both kinds.
    """

    readers: int
    events: int
    replay: float
    live: float
    cpu: float


def measure_streaming(stage: Stage, core: int, readers: int = 40, events: int = 2000) -> Streaming:
    """
    Have the events of some jobs read, one reader for each.

    @param core: the load's.
    @param events: of each job.
    @raise LoadError: when not every reader got every event once.
    """
    jobs = [_submit(stage) for _ in range(readers)]
    before = stage.gateway.cpu_seconds()
    asked = {
        "port": stage.port,
        "nats": stage.nats_port,
        "authorization": stage.tokens.good(),
        "jobs": jobs,
        "events": events,
    }
    told = _run(asked, core)
    spent = stage.gateway.cpu_seconds() - before
    if told["failures"] or told["counts"] != [events] * readers:
        raise LoadError(f"events were lost or came twice: {told['failures'][:3]} {sorted(set(told['counts']))}")
    half = readers * events / 2
    return Streaming(readers, events, half / told["replay"], half / told["live"], spent / (2 * half) * 1e6)


def _run(asked: dict[str, object], core: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.jobs.readers"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={"PYTHONPATH": python_path()},
        timeout=_TIMEOUT,
        preexec_fn=pinned(core),
        check=False,
    )
    if done.returncode:
        raise LoadError(f"the readers of events failed: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _submit(stage: Stage) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stage.port}/api/v1/jobs",
        json.dumps(BODY).encode(),
        {"Content-Type": "application/json", "Authorization": stage.tokens.good()},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["job_id"])
