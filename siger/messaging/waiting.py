"""
Deferreds that wait for one moment.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

__all__ = ["Waiters"]


class Waiters:
    """
    Everybody who waits. Whoever cancels, waits no longer.
    """

    def __init__(self) -> None:
        self._waiting: dict[Deferred[None], None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self) -> Deferred[None]:
        """
        Wait.
        """
        deferred: Deferred[None] = Deferred(lambda cancelled: self._waiting.pop(cancelled, None))
        self._waiting[deferred] = None
        return deferred

    def fire(self) -> None:
        """
        The moment has come for those who wait now.
        """
        waiting, self._waiting = self._waiting, {}
        for deferred in waiting:
            if not deferred.called:  # another's callback may have cancelled it
                deferred.callback(None)

    def forget(self) -> None:
        """
        The moment never comes.
        """
        self._waiting.clear()
