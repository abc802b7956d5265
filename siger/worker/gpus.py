"""
The GPUs of a worker, and which jobs fit it.
"""

from __future__ import annotations

from typing import Literal

from siger.jobs.model import Job

__all__ = ["ANY", "Fit", "Gpus"]

ANY = "any"
Fit = Literal["now", "later", "never"]


class Gpus:
    """
    Hands out GPUs by their number.

    A worker of no GPUs takes any job, and leaves it to whoever runs it what runs where.
    """

    def __init__(self, count: int = 0, gpu_type: str = "") -> None:
        self.count = count
        self._type = gpu_type
        self._free = set(range(count))

    @property
    def free(self) -> int:
        """
        How many nobody uses.
        """
        return len(self._free)

    @property
    def exhausted(self) -> bool:
        """
        Whether there are GPUs, but none to give.
        """
        return self.count > 0 and not self._free

    def fit(self, job: Job) -> Fit:
        """
        Whether a job can run here.
        """
        if not self.count and not self._type:
            return "now"
        if self._type and job.gpu_type not in (ANY, self._type):
            return "never"
        if not self.count:
            return "now"
        if job.gpu_count > self.count:
            return "never"
        return "now" if job.gpu_count <= self.free else "later"

    def take(self, job: Job) -> tuple[int, ...]:
        """
        The GPUs for a job that fits now: the lowest numbers that are free.
        """
        if not self.count:
            return ()
        taken = tuple(sorted(self._free)[: job.gpu_count])
        self._free.difference_update(taken)
        return taken

    def give_back(self, taken: tuple[int, ...]) -> None:
        """
        Nobody uses them any more.
        """
        self._free.update(taken)
