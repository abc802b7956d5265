"""
The measurement: all proxies up, a shuffled order in each round, one sample each a round.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.generators import Generators
from benchmarks.idle import kib_per_thousand
from benchmarks.peers.base import CHAIN, Peer
from benchmarks.running import Running, Stage
from benchmarks.workloads import IDLE, Workload

__all__ = ["Sample", "measure_idle", "measure_rounds", "take"]

_SETTLE = 0.2


@dataclass(frozen=True)
class Sample:
    """
    One proxy under one workload in one round.

    @ivar value: CPU microseconds per request, or KiB per thousand idle connections.
    @ivar rate: requests a second.
    @ivar busy: how much of its core the proxy used.
    """

    workload: str
    series: str
    peer: str
    round: int
    value: float
    rate: float = 0.0
    busy: float = 0.0
    errors: int = 0
    complaint: str = ""
    p50: int = 0
    p99: int = 0

    def as_dict(self) -> dict[str, object]:
        """
        For the JSON results.
        """
        return asdict(self)


def take(generators: Generators, running: Running, workload: Workload, seconds: int, number: int) -> Sample:
    """
    Load one proxy and read its CPU time before and after.
    """
    before = running.process.cpu_seconds()
    answered = generators.run(workload, running, seconds)
    time.sleep(_SETTLE)  # what it does after the last answer (closing, logging) is part of the price
    spent = running.process.cpu_seconds() - before
    running.forget_log()
    return Sample(
        workload.name,
        running.series,
        running.peer.name,
        number,
        value=spent / answered.requests * 1e6 if answered.requests else math.nan,
        rate=answered.requests / answered.seconds,
        busy=spent / answered.seconds,
        errors=answered.errors,
        complaint=answered.complaint,
        p50=answered.p50,
        p99=answered.p99,
    )


def measure_rounds(
    generators: Generators,
    proxies: Sequence[Running],
    workload: Workload,
    rounds: int,
    seconds: int,
    tell: Callable[[str], None],
) -> list[Sample]:
    """
    Some rounds of one workload.
    """
    taking_part = [running for running in proxies if running.series in workload.series]
    samples = []
    for number in range(1, rounds + 1):
        for running in random.sample(taking_part, len(taking_part)):
            sample = take(generators, running, workload, seconds, number)
            samples.append(sample)
            failures = f", {sample.errors} errors {sample.complaint}".rstrip() if sample.errors else ""
            tell(
                f"  {workload.name} {number}/{rounds} {running.key:24}"
                f"{sample.value:9.1f} us {sample.rate:9.0f}/s {sample.busy:5.0%}{failures}"
            )
    return samples


def measure_idle(stage: Stage, peers: Sequence[Peer], rounds: int, tell: Callable[[str], None]) -> list[Sample]:
    """
    Memory for idle connections, each proxy started anew with its chain.
    """
    samples = []
    for number in range(1, rounds + 1):
        for peer in random.sample(list(peers), len(peers)):
            running = stage.start(peer, CHAIN, purpose="idle")
            try:
                value = kib_per_thousand(running)
            finally:
                stage.stop(running)
            failed = int(math.isnan(value))
            sample = Sample(IDLE, running.series, peer.name, number, value, errors=failed)
            samples.append(sample)
            tell(f"  {IDLE} {number}/{rounds} {running.key:24}{sample.value:9.0f} KiB per 1,000 connections")
    return samples
