"""
What a peer may cost without doing anything useful.

HTTP/2 has many frames that are cheap to send and cost the receiver work: resets, pings, settings, updates of windows,
empty data. None is wrong by itself, and honest peers send some of each, the more the more they do. So a connection has
an allowance of them, which useful work and time refill.
"""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """
    An allowance.

    @ivar left: what may still be spent at once.
    """

    __slots__ = ("_capacity", "_per_second", "_since", "left")

    def __init__(self, capacity: int, per_second: float, now: float) -> None:
        """
        @param capacity: the most that can be saved up; there is so much at first.
        @param per_second: how fast it refills by itself.
        @param now: seconds on the scale of L{spend}.
        """
        self._capacity = capacity
        self._per_second = per_second
        self._since = now
        self.left = capacity

    def spend(self, cost: int, now: float) -> bool:
        """
        @return: whether there was enough.
        """
        self.left -= cost
        if self.left >= 0:
            return True
        # Time is looked at only when there is nothing left.
        refill = int((now - self._since) * self._per_second)
        if refill <= 0:
            return False
        self._since = now
        self.left = min(self._capacity, self.left + refill)
        return self.left >= 0

    def earn(self, amount: int) -> None:
        """
        Something useful was done.
        """
        left = self.left + amount
        self.left = left if left < self._capacity else self._capacity
