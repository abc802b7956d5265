"""
How soon somebody may try a password again.

Failures are counted three ways, and each answers to another attack:

 - by client and name: after five, every further one costs a wait, of 1, 2, 4 and so on up to 60 seconds;
 - by client: likewise after twenty, so that nobody tries one password with many names;
 - by name, over all clients: this alone makes nobody wait, or whoever knows a name could keep its owner out. But while
   a hundred failures are remembered, every client is allowed one for this name instead of five. So many clients
   together get one attempt each before they wait, and the owner's first attempt from anywhere is heard at once.

Failures are forgiven one by one as time passes. A success forgives those that the client had with this name, not those
with others: an account of one's own is no way to go on. Attempts whose outcome is not known yet count as well where
there was a failure before, or many at once would all be the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from math import ceil
from typing import Final

from siger.auth.names import fold
from siger.policy.limit_keys import address_key

__all__ = ["Attempts"]

_LONGEST_WAIT: Final = 60
#: Doubling from 1 second reaches the longest wait here, so more than that need not be remembered.
_MOST_DOUBLINGS: Final = 6
#: Seconds after which an attempt counts no longer, if nobody says how it ended.
_PATIENCE: Final = 30.0

_FREE_BY_PAIR: Final = 5
_FREE_BY_CLIENT: Final = 20
_FREE_BY_NAME: Final = 100


class _Count:
    """
    @ivar failures: that are not forgiven.
    @ivar since: from when on time works for forgiveness.
    @ivar last: when the last failure was.
    @ivar running: attempts whose outcome is not known.
    @ivar began: when the last of those began.
    """

    __slots__ = ("began", "failures", "last", "running", "since")

    def __init__(self, now: float) -> None:
        self.failures = 0
        self.since = self.last = self.began = now
        self.running = 0


class _Table:
    """
    Counts by some key; bounded: whoever did not fail for the longest time goes first.
    """

    def __init__(self, free: int, forgiven_after: float, capacity: int) -> None:
        """
        @param free: failures that cost nothing.
        @param forgiven_after: seconds for each failure.
        """
        self._most = free + _MOST_DOUBLINGS
        self._forgiven_after = forgiven_after
        self._capacity = capacity
        self._counts: dict[Hashable, _Count] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def find(self, key: Hashable, now: float) -> _Count | None:
        """
        What is remembered, less what time has forgiven.
        """
        count = self._counts.get(key)
        if count is None:
            return None
        forgiven = int((now - count.since) // self._forgiven_after)
        count.failures -= forgiven
        count.since += forgiven * self._forgiven_after
        if count.failures <= 0:
            del self._counts[key]
            return None
        if count.running and now - count.began >= _PATIENCE:
            count.running = 0
        return count

    def failed(self, key: Hashable, now: float) -> None:
        """
        Count a failure.
        """
        count = self.find(key, now) or _Count(now)
        count.failures = min(count.failures + 1, self._most)
        count.running = max(count.running - 1, 0)
        count.last = now
        self._counts.pop(key, None)
        while len(self._counts) >= self._capacity:
            del self._counts[next(iter(self._counts))]
        self._counts[key] = count

    def forgive(self, key: Hashable, failures: int, now: float) -> None:
        """
        An attempt succeeded: take back some failures.
        """
        count = self.find(key, now)
        if count is not None:
            count.running = max(count.running - 1, 0)
            count.failures -= failures
            if count.failures <= 0:
                del self._counts[key]


class Attempts:
    """
    The attempts of all clients.

    Before an attempt ask L{wait} once, and tell afterwards how it ended. A client is an address; as everywhere, the
    addresses of an IPv6 network of 64 bits are one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, capacity: int = 20_000) -> None:
        """
        @param clock: seconds that only rise.
        @param capacity: how many pairs, clients and names each are remembered.
        """
        self._clock = clock
        self._pairs = _Table(_FREE_BY_PAIR, 300.0, capacity)
        self._clients = _Table(_FREE_BY_CLIENT, 60.0, capacity)
        self._names = _Table(_FREE_BY_NAME, 60.0, capacity)

    def wait(self, client: str, name: str) -> int:
        """
        The whole seconds before a client may try this name; 0: it may now, and is taken to do so.

        @param name: in any spelling; all that nobody can have are one.
        """
        now, name = self._clock(), fold(name)
        address = address_key(client.encode())
        attacked = self._names.find(name, now)
        free = _FREE_BY_PAIR if attacked is None or attacked.failures < _FREE_BY_NAME else 1
        counts = [(self._pairs.find((address, name), now), free), (self._clients.find(address, now), _FREE_BY_CLIENT)]
        seconds = max((_seconds(count, free, now) for count, free in counts if count is not None), default=0)
        if not seconds:
            for count, _ in counts:
                if count is not None:
                    count.running += 1
                    count.began = now
        return seconds

    def failed(self, client: str, name: str) -> None:
        """
        The name and the password were not anybody's.
        """
        now, name = self._clock(), fold(name)
        address = address_key(client.encode())
        self._pairs.failed((address, name), now)
        self._clients.failed(address, now)
        self._names.failed(name, now)

    def succeeded(self, client: str, name: str) -> None:
        """
        They were.
        """
        now, name = self._clock(), fold(name)
        address = address_key(client.encode())
        pair = self._pairs.find((address, name), now)
        failures = 0 if pair is None else pair.failures
        self._pairs.forgive((address, name), failures, now)
        self._clients.forgive(address, failures, now)
        self._names.forgive(name, failures, now)

    def abandoned(self, client: str, name: str) -> None:
        """
        It came to no answer: the gateway was busy, or the client left.
        """
        now, name = self._clock(), fold(name)
        address = address_key(client.encode())
        self._pairs.forgive((address, name), 0, now)
        self._clients.forgive(address, 0, now)


def _seconds(count: _Count, free: int, now: float) -> int:
    """
    The wait after the failures of a count, of which some are free.
    """
    over = count.failures - free
    if over >= 0:
        left = count.last + min(1 << over, _LONGEST_WAIT) - now
        if left > 0:
            return ceil(left)
    return 1 if count.running >= max(1, -over) else 0
