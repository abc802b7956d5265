"""
What one user may have at once.

Jobs that have ended are known for a while, in the store and in the memory of each gateway: those are counted too.

A job waits until a worker takes it, and nobody asks then: so the GPUs of jobs that wait count like those of jobs that
run, and a user can never use more of them at once than they may.

The counts come from the records as this gateway knows them, and what is on its way into the store is added. So one
gateway keeps to a quota exactly; several that are asked at the same moment may let a few too many pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from siger.config.settings.jobs import JobQuotas
from siger.errors import Reason
from siger.jobs.ports import AnyCounts
from siger.jobs.refusals import RefusedError

__all__ = ["Quotas"]

_NAMES = ("queued", "running", "gpus", "kept")
_WORDS = {
    "queued": "You have as many jobs waiting as you may have",
    "running": "You have as many jobs running as you may have",
    "gpus": "Your jobs would use more GPUs at once than you may have",
    "kept": "As many of your jobs are known as may be, those included that have ended",
}


class Quotas:
    """
    Counts what users have against what they may have.
    """

    def __init__(self, limits: JobQuotas, counts: Callable[[str], AnyCounts]) -> None:
        """
        @param counts: what a user has, by the records.
        """
        self._limits = limits
        self._counts = counts
        self._unlimited = not (limits.queued or limits.running or limits.gpus or limits.kept)
        self._coming: dict[str, tuple[int, int]] = {}

    def reserve(self, user_id: str, gpus: int) -> None:
        """
        Let a job come, until L{release}.

        @raise RefusedError: there are too many.
        """
        if not self._unlimited:
            self._check(user_id, gpus)
        jobs, reserved = self._coming.get(user_id, (0, 0))
        self._coming[user_id] = (jobs + 1, reserved + gpus)

    def release(self, user_id: str, gpus: int) -> None:
        """
        It is among the records, or will not be.
        """
        jobs, reserved = self._coming.pop(user_id)
        if jobs > 1:
            self._coming[user_id] = (jobs - 1, reserved - gpus)

    def check(self, user_id: str, gpus: int) -> None:
        """
        See whether a job could come.

        @raise RefusedError: there are too many.
        """
        if not self._unlimited:
            self._check(user_id, gpus)

    def verdict(self, user_id: str, gpus: int) -> dict[str, Any]:
        """
        How much of each quota is used, and whether a job could come.
        """
        used = self._used(user_id)
        limits = {name: getattr(self._limits, name) for name in _NAMES}
        found: dict[str, Any] = {name: {"used": used[name], "limit": limit} for name, limit in limits.items() if limit}
        return {"within": self._exceeded(used, gpus) is None, **found}

    def _check(self, user_id: str, gpus: int) -> None:
        exceeded = self._exceeded(self._used(user_id), gpus)
        if exceeded is not None:
            limit = getattr(self._limits, exceeded)
            members = f',"quota":"{exceeded}","limit":{limit}'.encode("ascii")
            raise RefusedError(Reason.QUOTA_EXCEEDED, f"{_WORDS[exceeded]}: {limit}.", 10, members)

    def _used(self, user_id: str) -> dict[str, int]:
        counts = self._counts(user_id)
        jobs, gpus = self._coming.get(user_id, (0, 0))
        return {
            "queued": counts.queued + jobs,
            "running": counts.running,
            "gpus": counts.gpus + gpus,
            "kept": counts.kept + jobs,
        }

    def _exceeded(self, used: dict[str, int], gpus: int) -> str | None:
        limits = self._limits
        if limits.queued and used["queued"] >= limits.queued:
            return "queued"
        if limits.running and used["running"] >= limits.running:
            return "running"
        if limits.gpus and gpus and used["gpus"] + gpus > limits.gpus:
            return "gpus"
        if limits.kept and used["kept"] >= limits.kept:
            return "kept"
        return None
