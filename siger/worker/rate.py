"""
How much of something there may be in a second.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Rate"]


class Rate:
    """
    Lets through so many a second, and as many at once after a silence.
    """

    def __init__(self, per_second: float, now: Callable[[], float]) -> None:
        self._per_second = per_second
        self._now = now
        self._left = per_second
        self._at = now()

    def take(self) -> bool:
        """
        Whether one more is let through.
        """
        now = self._now()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
