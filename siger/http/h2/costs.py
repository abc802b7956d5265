"""
What a connection's peer may cost: two allowances (L{Budget}), of streams that it breaks off or has broken off, and of
all other frames that are cheap to send.
"""

from __future__ import annotations

from typing import Final

from siger.http.deadlines import Deadlines
from siger.http.h2.budget import Budget
from siger.http.h2.constants import (
    ENHANCE_YOUR_CALM,
)
from siger.http.h2.errors import ConnectionFault
from siger.http.h2.writing import Batch, Outlet
from siger.http.transport import Transport

__all__ = ["Costs"]

_CHEAP_FRAMES: Final = 1000
_CHEAP_PER_SECOND: Final = 50.0
_RESETS: Final = 100
_RESETS_PER_SECOND: Final = 10.0

_MAX_UNREAD: Final = 1000
"""Answers to frames that may wait for a peer that does not read."""


class Costs(Outlet):
    """
    A connection that keeps accounts.

    @ivar deadlines: where the time comes from, and who looks after the connection.
    """

    __slots__ = (
        "_cheap",
        "_resets",
        "_unread",
        "deadlines",
    )

    def __init__(self, batch: Batch, transport: Transport, deadlines: Deadlines) -> None:
        super().__init__(batch, transport)
        self.deadlines = deadlines
        self._cheap = Budget(_CHEAP_FRAMES, _CHEAP_PER_SECOND, deadlines.now)
        self._resets = Budget(_RESETS, _RESETS_PER_SECOND, deadlines.now)
        self._unread = 0

    @property
    def now(self) -> float:
        """
        The time, as of the last sweep.
        """
        return self.deadlines.now

    def useful(self) -> None:
        """
        Something was carried, for which some of the cheap frames are fair.
        """
        if self._cheap.left < _CHEAP_FRAMES:
            self._cheap.earn(2)

    def _charge(self, cost: int) -> None:
        if not self._cheap.spend(cost, self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def _count_reset(self) -> None:
        if not self._resets.spend(1, self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many streams were broken off")

    def _answer(self) -> None:
        # The peer asks for a frame. One that does not read gets so many and no more.
        if self.choked:
            self._unread += 1
            if self._unread > _MAX_UNREAD:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "too many answers that nobody reads")
