"""
The load generators, and which of them a workload asks for.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from benchmarks.http2.load import Calls, H2load
from benchmarks.load import Answered, Wrk
from benchmarks.running import Running
from benchmarks.workloads import CALLS, H2LOAD, Workload

__all__ = ["Generators"]


class Generators:
    """
    All of them; each program is looked for when it is first needed.
    """

    def __init__(self, core: int, room: Path) -> None:
        self._core = core
        self._room = room

    def run(self, workload: Workload, running: Running, seconds: int) -> Answered:
        """
        Load a proxy for some seconds.
        """
        if workload.generator == CALLS:
            return Calls(self._core).run(workload, running, seconds)
        return (self._h2load if workload.generator == H2LOAD else self._wrk).run(workload, running, seconds)

    @cached_property
    def _wrk(self) -> Wrk:
        return Wrk(self._core, self._room)

    @cached_property
    def _h2load(self) -> H2load:
        return H2load(self._core, self._room)
