"""
Time limits for many connections at the price of an attribute.

Arming a timer for each request and cancelling it again costs more than answering the request. Here every connection
has a C{deadline} that is merely assigned, and one sweep a quarter of a second looks at all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

__all__ = ["INTERVAL", "NEVER", "Deadlines", "Timed"]

INTERVAL: Final = 0.25
"""Seconds between sweeps: how late a deadline may be noticed."""

NEVER: Final = float("inf")


class Timed(Protocol):
    """
    Something that may take only so long.
    """

    deadline: float
    """When L{deadline_passed} is to be called, on the scale of L{Deadlines.now}, or L{NEVER}."""

    def deadline_passed(self) -> None:
        """
        Act on it. The deadline is left as it is: whoever goes on sets another.
        """


class Clock(Protocol):
    """
    The part of C{IReactorTime} that is used here.
    """

    def seconds(self) -> float: ...

    def callLater(self, delay: float, f: Callable[..., Any], /) -> Any: ...


class Deadlines:
    """
    Everything that has a deadline.

    @ivar now: seconds, as of the last sweep: up to L{INTERVAL} behind, which is near enough for limits of seconds.
    """

    __slots__ = ("_call", "_clock", "_members", "now")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: set[Timed] = set()
        self._call: Any = None
        self.now = clock.seconds()

    def start(self) -> None:
        """
        Begin to sweep.
        """
        self.now = self._clock.seconds()
        self._call = self._clock.callLater(INTERVAL, self._tick)

    def stop(self) -> None:
        """
        Sweep no more.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def add(self, member: Timed) -> None:
        """
        Watch this one until it is discarded.
        """
        self._members.add(member)

    def allow(self, member: Timed, seconds: float) -> None:
        """
        Watch this one, with a deadline so many seconds from now, and sweep at that very time if the next sweep were
        later.
        """
        member.deadline = self._clock.seconds() + seconds
        self._members.add(member)
        if seconds < INTERVAL:
            self._clock.callLater(max(0.0, seconds), self.sweep)

    def discard(self, member: Timed) -> None:
        """
        Forget it, if it is watched.
        """
        self._members.discard(member)

    def _tick(self) -> None:
        self._call = self._clock.callLater(INTERVAL, self._tick)
        self.sweep()

    def sweep(self) -> None:
        """
        Tell everyone whose time is over.
        """
        now = self.now = self._clock.seconds()
        for member in [member for member in self._members if member.deadline <= now]:
            # One that was told earlier in this sweep may have ended or extended another.
            if member.deadline <= now and member in self._members:
                member.deadline_passed()
