"""
What can go wrong between a job and where it is kept, beyond what can with any record
(L{siger.messaging.errors}).
"""

from __future__ import annotations

from siger.messaging.errors import MessagingError

__all__ = ["ConflictError", "FullError", "UnknownJobError"]


class ConflictError(MessagingError):
    """
    Somebody else has written to the log of a job meanwhile: read it, and decide again.
    """


class FullError(MessagingError):
    """
    The queue takes no more. Nothing was accepted.
    """


class UnknownJobError(MessagingError):
    """
    There is no record of such a job.
    """
