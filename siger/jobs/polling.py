"""
Waiting for a job to change, so that clients need not ask again and again.

Whoever waits holds a connection and little else; still, a user has only so many at once. Nobody waits longer than they
asked for, nor longer than the gateway serves.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from siger.errors import Reason
from siger.jobs.model import Job
from siger.jobs.refusals import RefusedError
from siger.messaging.waiting import Waiters

__all__ = ["LONGEST", "MOST", "Changes"]

LONGEST: Final = 60
"""Seconds that anybody may wait."""

MOST: Final = 100
"""How many answers one user may wait for at once."""

_TOO_MANY: Final = "You wait for as many answers as you may."


class Changes:
    """
    Everybody who waits for a job to change.
    """

    def __init__(self, clock: IReactorTime, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._jobs: dict[str, Waiters] = {}
        self._users: dict[str, int] = {}
        self._over = False

    def __len__(self) -> int:
        return sum(self._users.values())

    def wait(self, job_id: str, user_id: str, seconds: float) -> Deferred[None]:
        """
        Wait until a job changes, for so long at most. To cancel is to wait no longer.

        @raise RefusedError: the user waits for too much already.
        """
        if self._users.get(user_id, 0) >= self._most:
            raise RefusedError(Reason.RATE_LIMITED, _TOO_MANY)
        answer: Deferred[None] = Deferred()
        if self._over:
            answer.callback(None)
            return answer
        waiting = self._jobs.setdefault(job_id, Waiters()).wait()
        self._users[user_id] = self._users.get(user_id, 0) + 1
        call = self._clock.callLater(seconds, waiting.cancel)

        def ended(result: object) -> None:
            if call.active():
                call.cancel()
            self._leave(job_id, user_id)
            if isinstance(result, Failure):
                result.trap(CancelledError)

        return waiting.addBoth(ended)

    def _leave(self, job_id: str, user_id: str) -> None:
        left = self._users[user_id] - 1
        if left:
            self._users[user_id] = left
        else:
            del self._users[user_id]
        waiters = self._jobs.get(job_id)
        if waiters is not None and not len(waiters):
            del self._jobs[job_id]

    def changed(self, job: Job) -> None:
        """
        A job has changed. Before the first entry of its log nothing about it does that anybody could see.
        """
        if not job.event_seq:
            return
        waiters = self._jobs.get(job.job_id)
        if waiters is not None:
            waiters.fire()

    def end(self) -> None:
        """
        Nobody waits any longer.
        """
        self._over = True
        for waiters in list(self._jobs.values()):
            waiters.fire()
