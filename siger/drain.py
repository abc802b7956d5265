"""
Ending: connections that are idle close, requests that are in progress finish, and nobody waits for ever.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from siger.http.context import ChannelContext

__all__ = ["IDLE_GRACE", "drain"]

_TICK: Final = 0.05

IDLE_GRACE: Final = 1.0
"""
Seconds in which an idle connection stays open: a request that is on its way to it is still answered, and told
C{Connection: close}, where a close would have lost it.
"""


def drain(clock: Any, context: ChannelContext, timeout: float) -> Deferred[Any]:
    """
    End all connections.

    @param timeout: seconds after which what is still in progress is broken off.
    @return: fires when no connection is left.
    """
    context.draining = True
    begun = clock.seconds()

    def step() -> None:
        elapsed = clock.seconds() - begun
        over = elapsed >= timeout
        for channel in list(context.channels):
            if over:
                channel.transport.abortConnection()
            else:
                channel.drain(elapsed >= min(IDLE_GRACE, timeout / 2))
        if over or not context.channels:
            call.stop()

    call = LoopingCall(step)
    call.clock = clock
    return call.start(_TICK)
