"""
One blocking query, asked for ever.

Theory of operation. Consul answers a query that carries the index of the last answer only when something newer exists,
or when the wait is over. So the loop is: ask, believe, ask again with the index of the answer. What keeps it right:

 - An index that is not positive, or lower than the one asked with, is not used: the next query asks afresh (index 0).
   The store behind it was restored or lost, and its old numbers mean nothing.
 - After any error the next query asks afresh too. A new store would otherwise not answer before it had counted up to
   the old index.
 - A return is no change, as indexes are shared by many keys: contents are compared.
 - An error never changes what is known.
 - The first answers after an error, or from a store whose index went backwards, are believed in what they add, but not
   yet in what they lack: a restarted server may have forgotten what its agents will tell it again. C{keep} decides
   what stays, and L{DOUBT} ends it.
 - A server without a leader is believed only while nothing else is known.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Generic, TypeVar

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from siger.discovery.client import NoLeader

__all__ = ["Counters", "Watch", "backoff"]

T = TypeVar("T")

#: Seconds that a query may block; Consul takes up to 600.
WAIT = 300.0
#: Seconds from one query to the next when the answer brought something, and when it did not. The latter is what a busy
#: cluster costs, whose index moves for reasons that do not concern this query; both are well under a second.
PACE_CHANGED = 0.1
PACE_UNCHANGED = 0.5
#: Consul's agents tell a server everything again within two of their synchronisation intervals of one minute.
DOUBT = 120.0
#: Seconds before the first and between the later of many retries.
RETRY_FIRST = 1.0
RETRY_MOST = 30.0


@define
class Counters:
    """
    What watches have done so far, for metrics.

    @ivar queries: asked.
    @ivar errors: that failed.
    @ivar changes: whose answer brought something new.
    """

    queries: int = 0
    errors: int = 0
    changes: int = 0


def backoff(failures: int, random: Random) -> float:
    """
    Seconds to wait after so many failures in a row: twice as long each time, and never quite the same.
    """
    longest = min(RETRY_MOST, RETRY_FIRST * 2.0 ** min(failures - 1, 16))
    return longest * random.uniform(0.5, 1.0)


class Watch(Generic[T]):
    """
    Keeps one value in line with what Consul says.

    @ivar value: what is known, or C{None} before the first answer.
    @ivar failures: queries that failed since the last that did not.
    @ivar error: why the last one failed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        query: Callable[[int, float], Deferred[Any]],
        read: Callable[[Any], T],
        keep: Callable[[T, T], T],
        told: Callable[[Watch[T], bool], None],
        counters: Counters,
        wait: Callable[[], float] = lambda: WAIT,
    ) -> None:
        """
        @param query: asks with an index and a wait in seconds; fires with an index and data.
        @param read: makes a value of data; raises when it cannot be one.
        @param keep: what to go by, of what is known and a fresh value, when the fresh one may lack something.
        @param told: called after every query, with whether the value changed.
        """
        self.value: T | None = None
        self.failures = 0
        self.error: Exception | None = None
        self._clock = clock
        self._random = random
        self._query = query
        self._read = read
        self._keep = keep
        self._told = told
        self._wait = wait
        self._counters = counters
        self._index = 0
        self._seen = 0
        self._doubt_until = 0.0
        self._running = False
        self._loop: Deferred[None] | None = None

    @property
    def settled(self) -> bool:
        """
        Whether a first query has come to an end.
        """
        return self.value is not None or self.failures > 0

    def start(self) -> None:
        """
        Begin to ask.
        """
        self._running = True
        self._loop = Deferred.fromCoroutine(self._run())

    def stop(self) -> None:
        """
        Ask no more; a query that is under way is given up.
        """
        self._running = False
        if self._loop is not None:
            self._loop.addErrback(lambda failure: failure.trap(CancelledError) and None)
            self._loop.cancel()

    async def _run(self) -> None:
        while self._running:
            began = self._clock.seconds()
            try:
                changed = await self._ask()
            except Exception as error:
                if not self._running:  # this is our own cancellation
                    return
                pause = self._fail(error)
            else:
                pace = PACE_CHANGED if changed else PACE_UNCHANGED
                pause = began + pace - self._clock.seconds()
            if pause > 0:
                await deferLater(self._clock, pause)

    async def _ask(self) -> bool:
        self._counters.queries += 1
        doubt = self._doubt_until - self._clock.seconds()
        wait = min(self._wait(), doubt) if doubt > 0 else self._wait()
        try:
            index, data = await self._query(self._index, wait)
        except NoLeader as answer:
            if self.value is not None:
                raise
            index, data = answer.result
        fresh = self._read(data)
        self._count_index(int(index))
        changed = self._believe(fresh)
        self.failures, self.error = 0, None
        self._counters.changes += changed
        self._told(self, changed)
        return changed

    def _count_index(self, index: int) -> None:
        if self.value is not None and (index < self._seen or self.failures):
            self._doubt_until = self._clock.seconds() + DOUBT
        self._index = index if index >= self._index else 0
        self._seen = index

    def _believe(self, fresh: T) -> bool:
        """
        @return: whether the value changed.
        """
        if self.value is not None and self._clock.seconds() < self._doubt_until:
            kept = self._keep(self.value, fresh)
            if kept == fresh:  # nothing is missing: the doubt was unfounded
                self._doubt_until = 0.0
            fresh = kept
        changed = fresh != self.value
        self.value = fresh
        return changed

    def _fail(self, error: Exception) -> float:
        self._counters.errors += 1
        self.failures += 1
        self.error = error
        self._index = 0
        self._told(self, False)
        return backoff(self.failures, self._random)
