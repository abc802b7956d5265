"""
Time limits for many connections at the price of an attribute.

Arming a timer for each request and cancelling it again costs more than answering the request. Here every connection
has a C{deadline} that is merely assigned, and one sweep a quarter of a second looks at all of them. Where a sweep would
come too late, those that are so near are looked at by themselves, in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
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

    __slots__ = ("_alarm", "_call", "_clock", "_count", "_members", "_near", "now")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: set[Timed] = set()
        self._call: Any = None
        self._near: list[tuple[float, int, Timed]] = []
        self._count = 0
        self._alarm: Any = None
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
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def add(self, member: Timed) -> None:
        """
        Watch this one until it is discarded.
        """
        self._members.add(member)

    def allow(self, member: Timed, seconds: float) -> None:
        """
        Watch this one, with a deadline so many seconds from now, and look at it at that very time if the next sweep
        were later.
        """
        due = member.deadline = self._clock.seconds() + seconds
        self._members.add(member)
        if seconds < INTERVAL:
            self._count += 1
            heappush(self._near, (due, self._count, member))
            if self._near[0][1] == self._count:
                self._set_alarm(seconds)

    def _set_alarm(self, seconds: float) -> None:
        # There is one at a time, for the nearest: whoever makes many calls must not make the sweeps many.
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._clock.callLater(max(0.0, seconds), self._look)

    def _look(self) -> None:
        self._alarm = None
        now = self.now = self._clock.seconds()
        near = self._near
        while near and near[0][0] <= now:
            member = heappop(near)[2]
            if member.deadline <= now and member in self._members:
                member.deadline_passed()
        if near and self._alarm is None:
            self._set_alarm(near[0][0] - now)

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
