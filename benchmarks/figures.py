"""
From samples to figures: medians, and ratios paired within a round.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Sample
from benchmarks.peers.base import SERIES

__all__ = ["Figure", "Figures"]


@dataclass(frozen=True)
class Figure:
    """
    One proxy under one workload in one series.

    @ivar value: the median over the rounds, as are the other values.
    @ivar low: the smallest and C{high} the largest sample.
    @ivar ratios: to each other proxy by name, the median of the ratios within a round.
    """

    value: float
    low: float
    high: float
    rate: float
    busy: float
    p99: float
    errors: int
    ratios: dict[str, float]


class Figures:
    """
    All the figures of a run.

    Siger has only one series, with its chain; it stands in the bare one too, so that its column is complete there.
    """

    def __init__(self, samples: Sequence[Sample], always: str = "siger") -> None:
        self._samples = samples
        self._always = always

    def workloads(self) -> list[str]:
        """
        The workloads that were run, in order.
        """
        return list(dict.fromkeys(sample.workload for sample in self._samples))

    def series(self, workload: str) -> list[str]:
        """
        The series that a workload was run in, the full chain first.
        """
        run = {sample.series for sample in self._samples if sample.workload == workload}
        return [series for series in SERIES if series in run]

    def peers(self, workload: str, series: str) -> list[str]:
        """
        The proxies of a series, the cheapest first.
        """
        names = dict.fromkeys(sample.peer for sample in self._of(workload, series))
        return sorted(names, key=lambda name: self.figure(workload, series, name).value)

    def figure(self, workload: str, series: str, peer: str) -> Figure:
        """
        One proxy's figures.
        """
        mine = [sample for sample in self._of(workload, series) if sample.peer == peer]
        values = [sample.value for sample in mine if not math.isnan(sample.value)] or [math.nan]
        others = dict.fromkeys(sample.peer for sample in self._of(workload, series))
        return Figure(
            value=statistics.median(values),
            low=min(values),
            high=max(values),
            rate=statistics.median(sample.rate for sample in mine),
            busy=statistics.median(sample.busy for sample in mine),
            p99=statistics.median(sample.p99 for sample in mine),
            errors=sum(sample.errors for sample in mine),
            ratios={other: self._ratio(mine, workload, series, other) for other in others},
        )

    def _of(self, workload: str, series: str) -> list[Sample]:
        return [
            sample
            for sample in self._samples
            if sample.workload == workload and (sample.series == series or sample.peer == self._always)
        ]

    def _ratio(self, mine: Sequence[Sample], workload: str, series: str, other: str) -> float:
        """
        The median over the rounds of the ratio within each round.
        """
        theirs = {sample.round: sample.value for sample in self._of(workload, series) if sample.peer == other}
        pairs = [(sample.value, theirs[sample.round]) for sample in mine if theirs.get(sample.round)]
        ratios = [value / their for value, their in pairs if not math.isnan(value / their)]
        return statistics.median(ratios) if ratios else math.nan
