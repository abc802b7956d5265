"""
Token buckets, exact to the request: how often somebody may ask.

A bucket is one whole number, the moment at which it will be full again (the theoretical arrival time of the generic
cell rate algorithm), so there is nothing to refill and nothing to round. The unit of time is chosen for the rate: with
C{p} requests in C{q} nanoseconds, in lowest terms, a nanosecond is C{p} ticks long and a request costs C{q} of them;
both are whole, whatever the rate. No error can add up, since no division is done before somebody has to wait.

A full bucket is one that was never used, so it needs no room. Buckets that have filled up again give theirs to new
ones; when all the room is taken, the fullest of a few looked at has to go, and that is never one that is empty while
another has something left. Each gateway process counts for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from time import monotonic_ns
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from siger.config.settings.admission import RateLimit

__all__ = ["Limiter"]

_CAPACITY: Final = 100_000
_NANOSECONDS: Final = 1_000_000_000

# How many old buckets a new one looks at: while there is room, and when there is none.
_LOOKS: Final = 2
_LOOKS_WHEN_CROWDED: Final = 8


class Limiter:
    """
    One limit, with a bucket for each key.

    @ivar name: what it is called.
    @ivar allowed: how many requests passed.
    @ivar limited: how many were refused.
    @ivar shadowed: how many passed that would have been refused, were this not a limit in shadow.
    """

    __slots__ = (
        "_burst",
        "_capacity",
        "_clock",
        "_cost",
        "_full_at",
        "_hand",
        "_keys",
        "_lines",
        "_second",
        "_shadow",
        "_start",
        "_ticks",
        "allowed",
        "limited",
        "name",
        "shadowed",
    )

    def __init__(
        self,
        name: str,
        settings: RateLimit,
        clock: Callable[[], int] = monotonic_ns,
        capacity: int = _CAPACITY,
    ) -> None:
        """
        @param name: what clients are told that this limit is called.
        @param clock: nanoseconds that never go back.
        @param capacity: how many buckets there may be.
        """
        rate = Fraction(settings.requests_per_second)
        if rate <= 0 or settings.burst < 1 or capacity < 1:
            raise ValueError("a limit needs a rate, a burst and room for a bucket")
        per_nanosecond = rate / _NANOSECONDS
        self._ticks: int = per_nanosecond.numerator
        self._cost: int = per_nanosecond.denominator
        self._second: int = self._ticks * _NANOSECONDS
        self._burst: int = self._cost * settings.burst
        self._shadow: bool = settings.shadow
        self._clock = clock
        self._start: int = clock()  # small numbers are cheaper
        self._full_at: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._hand = 0
        self._capacity = capacity
        self._lines: bytes = _lines(name, settings.burst, rate)
        self.name = name
        self.allowed = 0
        self.limited = 0
        self.shadowed = 0

    def __len__(self) -> int:
        return len(self._keys)

    def admit(self, key: bytes) -> int:
        """
        Take a token from a bucket.

        @return: 0 when there was one; else in how many seconds there will be.
        """
        now = (self._clock() - self._start) * self._ticks
        full_at = self._full_at.get(key, -1)
        if full_at < 0:
            self._make_room(key, now)
            full_at = now
        elif full_at < now:
            full_at = now
        full_at += self._cost
        missing = full_at - now - self._burst
        if missing > 0:
            return self._refuse(missing)
        self._full_at[key] = full_at
        self.allowed += 1
        return 0

    def lines(self, wait: int) -> bytes:
        """
        What a refused client is told besides C{Retry-After} (draft-ietf-httpapi-ratelimit-headers).

        @param wait: what L{admit} returned.
        """
        return self._lines + b"%d\r\n" % wait

    def _refuse(self, missing: int) -> int:
        if self._shadow:
            self.shadowed += 1
            return 0
        self.limited += 1
        return -(-missing // self._second)

    def _make_room(self, key: bytes, now: int) -> None:
        # The keys stand in a ring; the hand goes round it as buckets come, so what it points at is old.
        keys = self._keys
        crowded = len(keys) >= self._capacity
        fullest = self._hand
        least = -1
        for _ in range(min(_LOOKS_WHEN_CROWDED if crowded else _LOOKS, len(keys))):
            place = self._next_place()
            full_at = self._full_at[keys[place]]
            if least < 0 or full_at < least:
                fullest, least = place, full_at
            if full_at <= now:
                break
        if crowded or 0 <= least <= now:
            del self._full_at[keys[fullest]]
            keys[fullest] = key
        else:
            keys.append(key)

    def _next_place(self) -> int:
        place = self._hand
        self._hand = place + 1 if place + 1 < len(self._keys) else 0
        return place


def _lines(name: str, burst: int, rate: Fraction) -> bytes:
    # A token bucket has no window; the time that an empty one takes to fill is the nearest thing to one.
    quoted = _quoted(name)
    window = -(-burst * rate.denominator // rate.numerator)
    return b"RateLimit-Policy: %b;q=%d;w=%d\r\nRateLimit: %b;r=0;t=" % (quoted, burst, window, quoted)


def _quoted(name: str) -> bytes:
    # A String of RFC 9651 section 3.3.3: visible ASCII and spaces, with a backslash before quotes and backslashes.
    visible = "".join(letter if " " <= letter <= "~" else "?" for letter in name)
    return b'"%b"' % visible.replace("\\", "\\\\").replace('"', '\\"').encode("ascii")
