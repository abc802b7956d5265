"""
How the service of jobs says no.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from siger.errors import Reason

__all__ = ["RETRY_AFTER", "RefusedError", "unavailable"]

RETRY_AFTER = 2
"""Seconds after which what could not be done now is worth another attempt."""

_AWAY = "The store of jobs cannot be reached now; nothing was done."
_UNKNOWN = (
    "The store of jobs did not answer; the job may have been accepted. Ask for it, or send it again with its key."
)


class RefusedError(Exception):
    """
    A request is refused.

    @ivar detail: a sentence for the client; C{""} for the reason's own.
    @ivar members: more members of the problem document, each with the comma before it.
    """

    def __init__(self, reason: Reason, detail: str = "", retry_after: int = 1, members: bytes = b"") -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.members = members

    @classmethod
    def faults(cls, reason: Reason, place: str, faults: Sequence[tuple[str, str]], detail: str = "") -> RefusedError:
        """
        Refuse what has faults: each says where it is, and which rule it breaks.

        @param place: what the places are: C{pointer} or C{parameter}.
        """
        members = orjson.dumps([{place: where, "detail": rule} for where, rule in faults])
        return cls(reason, detail, members=b',"errors":' + members)


def unavailable(job_id: str = "") -> RefusedError:
    """
    The store is away.

    @param job_id: of a job that may have been accepted all the same.
    """
    if not job_id:
        return RefusedError(Reason.STORE_UNAVAILABLE, _AWAY, RETRY_AFTER)
    members = b',"job_id":"%b","status":"unknown"' % job_id.encode("ascii")
    return RefusedError(Reason.STORE_UNAVAILABLE, _UNKNOWN, RETRY_AFTER, members)
