"""
In which order the queues are asked for a job: the urgent ones first, but no lane is passed over for ever.

Of twelve rounds eight begin with the high lane, three with the normal one and one with the low one, spread evenly; each
goes on with the others by their urgency. Types take turns within a lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from siger.jobs.model import LANES

__all__ = ["WEIGHTS", "Rounds"]

WEIGHTS: Final = {"high": 8, "normal": 3, "low": 1}


class Rounds:
    """
    Gives the order of each round.
    """

    def __init__(self, types: Sequence[str]) -> None:
        self._types = list(types)
        self._credit = dict.fromkeys(LANES, 0)

    def next(self) -> list[tuple[str, str]]:
        """
        Types with lanes, the first to be asked first.
        """
        for lane in LANES:
            self._credit[lane] += WEIGHTS[lane]
        first = max(LANES, key=lambda lane: self._credit[lane])
        self._credit[first] -= sum(WEIGHTS.values())
        self._types.append(self._types.pop(0))
        lanes = [first, *(lane for lane in LANES if lane != first)]
        return [(type_, lane) for lane in lanes for type_ in self._types]
