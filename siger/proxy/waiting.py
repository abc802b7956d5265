"""
The line of exchanges that wait for a connection, each no longer than it may.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from siger.errors import Reason
from siger.http.deadlines import NEVER, Deadlines
from siger.proxy.client_stream import ClientStream
from siger.proxy.connection import UpstreamConnection

__all__ = ["Waiter", "WaitingLine"]


class Waiter(Protocol):
    """
    An exchange that needs a connection.
    """

    def connected(self, connection: UpstreamConnection | ClientStream) -> None:
        """
        Here it is; it is the waiter's to begin on.
        """

    def connect_failed(self, reason: Reason) -> None:
        """
        There will be none from this pool. No byte of the request was sent.
        """


class WaitingLine:
    """
    First come, first served.

    @ivar deadline: when the first of them has waited too long; see L{siger.http.deadlines}.
    """

    def __init__(self, deadlines: Deadlines, expired: Callable[[Waiter], None]) -> None:
        """
        @param expired: is told who has waited too long, and is in line no more.
        """
        self._deadlines = deadlines
        self._expired = expired
        self._waiters: deque[tuple[float, Waiter]] = deque()
        self.deadline = NEVER

    def __len__(self) -> int:
        return len(self._waiters)

    def append(self, waiter: Waiter, patience: float) -> None:
        """
        Let another one wait.

        @param patience: for how many seconds.
        """
        if not self._waiters:
            self._deadlines.add(self)
        due = self._deadlines.now + patience
        self._waiters.append((due, waiter))
        self.deadline = min(self.deadline, due)

    def pop(self) -> Waiter | None:
        """
        Take the first one out of the line, if there is one.
        """
        if not self._waiters:
            return None
        _, waiter = self._waiters.popleft()
        self._settle()
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """
        Take this one out of the line, if it is in it.
        """
        self._waiters = deque(entry for entry in self._waiters if entry[1] is not waiter)
        self._settle()

    def _settle(self) -> None:
        if self._waiters:
            return
        self.deadline = NEVER
        self._deadlines.discard(self)

    def deadline_passed(self) -> None:
        """
        Somebody has waited too long.
        """
        now = self._deadlines.now
        late = [waiter for due, waiter in self._waiters if due <= now]
        self._waiters = deque(entry for entry in self._waiters if entry[0] > now)
        self.deadline = min((due for due, _ in self._waiters), default=NEVER)
        self._settle()
        for waiter in late:
            self._expired(waiter)
