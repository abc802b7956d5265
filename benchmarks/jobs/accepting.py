"""
How many jobs a gateway on one core accepts in a second: each is answered only when JetStream has acknowledged it.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.jobs.stage import Stage
from benchmarks.load import LoadError, Wrk

__all__ = ["BODY", "Accepting", "measure_accepting"]

BODY = {
    "type": "ai_training",
    "name": "BERT fine-tuning",
    "description": "Fine-tuning of BERT on the customer support corpus",
    "gpu_type": "A100",
    "gpu_count": 2,
    "priority": 5,
    "params": {"model": "bert-base-uncased", "epochs": 10, "batch_size": 32, "learning_rate": 0.00002},
    "tags": ["nlp", "production"],
}

_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = {body}
"""


@dataclass(frozen=True)
class Accepting:
    """
    What was measured, as medians over the rounds.

    @ivar rate: jobs accepted in a second.
    @ivar p50: milliseconds until a job was accepted; C{p99} likewise.
    @ivar cpu: microseconds of the gateway's CPU time for each.
    @ivar nats_cpu: those of the nats-server's.
    @ivar busy: how much of its core the gateway used.
    """

    sync: str
    connections: int
    jobs: int
    rate: float
    p50: float
    p99: float
    cpu: float
    nats_cpu: float
    busy: float


def measure_accepting(
    stage: Stage, wrk: Wrk, sync: str, connections: int = 64, rounds: int = 3, seconds: int = 4
) -> Accepting:
    """
    Submit jobs as fast as they are accepted.

    @raise LoadError: when anything else than a 202 was answered, or jobs are not there afterwards.
    """
    script = _SCRIPT.format(body=json.dumps(json.dumps(BODY)))
    headers = (f"Authorization: {stage.tokens.good()}",)
    url = f"http://127.0.0.1:{stage.port}/api/v1/jobs"
    taken = [wrk.load("jobs", script, url, connections, 1, headers)]
    samples = []
    for _ in range(rounds):
        before = stage.gateway.cpu_seconds(), stage.nats.cpu_seconds()
        answered = wrk.load("jobs", script, url, connections, seconds, headers)
        time.sleep(0.2)
        spent = stage.gateway.cpu_seconds() - before[0], stage.nats.cpu_seconds() - before[1]
        taken.append(answered)
        samples.append((answered, *spent))
    errors = sum(answered.errors for answered in taken)
    count = sum(answered.requests for answered in taken)
    known = stage.metric("siger_jobs")
    if errors or known < count:
        raise LoadError(f"{errors} of {count} jobs were not accepted, and the gateway knows {known:.0f}")
    return Accepting(
        sync,
        connections,
        int(known),
        rate=_median(answered.requests / answered.seconds for answered, _, _ in samples),
        p50=_median(answered.p50 / 1000 for answered, _, _ in samples),
        p99=_median(answered.p99 / 1000 for answered, _, _ in samples),
        cpu=_median(cpu / answered.requests * 1e6 for answered, cpu, _ in samples),
        nats_cpu=_median(cpu / answered.requests * 1e6 for answered, _, cpu in samples),
        busy=_median(cpu / answered.seconds for answered, cpu, _ in samples),
    )


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else math.nan
