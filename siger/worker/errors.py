"""
What a handler can say of its job by an exception, and what workers say among their own parts.
"""

from __future__ import annotations

__all__ = ["JobCancelled", "JobFailed", "Superseded"]


class JobFailed(Exception):  # noqa: N818  (as a sentence reads)
    """
    The attempt has failed.

    @ivar retry: whether another one can help. Any other exception that a handler raises means that it can.
    """

    def __init__(self, why: str, retry: bool = True) -> None:
        super().__init__(why)
        self.retry = retry


class JobCancelled(Exception):  # noqa: N818
    """
    The handler has stopped since it was told to.
    """


class Superseded(Exception):  # noqa: N818
    """
    The log says that the attempt is no longer ours: the job has ended otherwise, or runs elsewhere.

    @ivar ended: whether the job has ended, so that nothing is left to do for anybody.
    """

    def __init__(self, ended: bool) -> None:
        super().__init__("the job has ended" if ended else "another worker has the job")
        self.ended = ended
