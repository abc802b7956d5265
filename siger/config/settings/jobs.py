"""
Jobs: their kinds, and what one user may have of them.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["JobQuotas", "JobsSettings"]


@frozen
class JobQuotas:
    """
    What one user may have at once; 0 for as much as they like.

    @ivar queued: jobs that wait.
    @ivar running: jobs that run.
    @ivar gpus: GPUs that those use.
    @ivar kept: jobs that are known, those included that have ended and are kept for a while.
    """

    queued: int = 1000
    running: int = 0
    gpus: int = 0
    kept: int = 100_000


@frozen
class JobsSettings:
    """
    What jobs there can be, and what becomes of them, where C{nats_address} says that there are any.

    @ivar types: the types of jobs, each one token of a subject.
    @ivar gpu_types: the types of GPUs that a job can ask for, C{any} always among them.
    @ivar max_gpus: how many GPUs a job can ask for.
    @ivar retention_days: how long finished jobs, and the events of all, are kept.
    @ivar lease: seconds of silence after which a worker's job is given to another.
    @ivar grace: seconds that a cancelled job gets to end by itself.
    @ivar lost_after: seconds of silence, with nobody who takes over, after which a job has failed.
    """

    types: tuple[str, ...] = ("ai_training", "data_processing", "inference")
    gpu_types: tuple[str, ...] = ("A100", "H100", "H200", "L4", "any")
    max_gpus: int = 64
    quotas: JobQuotas = JobQuotas()
    retention_days: int = 7
    lease: float = 30.0
    grace: float = 30.0
    lost_after: float = 300.0
