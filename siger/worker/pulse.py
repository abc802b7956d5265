"""
How a worker knows what time it is for the queue.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

__all__ = ["Pulse", "now"]

#: Seconds between two looks at the clock, at most.
_PULSE: Final = 0.25

now = time.monotonic  # as the loops of asyncio do


class Pulse:
    """
    Notices it when the loop did not go on for long: then nobody knows how old a message is that arrives.

    @ivar lease: seconds that the queue waits for a sign of life; until it was asked, what it is going to be told.
    @ivar at: when the loop last went on: no lease of what arrives now runs for longer.
    """

    def __init__(self, lease: float) -> None:
        self.lease = lease
        self.at = 0.0

    async def beat(self) -> None:
        """
        Go on until cancelled.
        """
        while True:
            self.at = now()
            await asyncio.sleep(min(_PULSE, self.lease / 20))

    @property
    def silence(self) -> float:
        """
        Seconds for which the loop was blocked, or nearly so.
        """
        return now() - self.at

    @property
    def missed(self) -> bool:
        """
        Whether a lease that began meanwhile may have run for too long already.
        """
        return self.silence > self.lease / 3
