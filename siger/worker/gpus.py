"""
The GPUs of a worker, and which jobs fit it.
"""

from __future__ import annotations

from typing import Final

from siger.jobs.model import Job

__all__ = ["ANY", "Gpus", "Misfits"]

ANY: Final = "any"

#: Seconds for which what does not fit is given back, at least and at most, and how many of those come back a second.
_SHORT: Final = 1.0
_LONG: Final = 30.0
_A_SECOND: Final = 4.0


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

    def fits(self, job: Job) -> bool:
        """
        Whether a job can run here now.
        """
        if self._type and job.gpu_type not in (ANY, self._type):
            return False
        return not self.count or job.gpu_count <= self.free

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


class Misfits:
    """
    The jobs in the queue that do not fit: the more there are, the longer each is left alone, so that they do not keep
    their worker from others, and only as long as necessary, since a worker that they fit may come.
    """

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def delay(self, job_id: str, now: float) -> float:
        """
        For how many seconds to give a job back.
        """
        self._seen.pop(job_id, None)
        self._seen[job_id] = now
        for other, at in list(self._seen.items()):  # the oldest first
            if at > now - 2 * _LONG:
                break
            del self._seen[other]
        return min(_LONG, max(_SHORT, len(self._seen) / _A_SECOND))
