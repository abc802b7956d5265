"""
A bucket in memory: all its current records, so that reading one costs nothing and goes on while the store is away.

Theory of operation. A source tells the mirror what happens, in the order of revisions: C{begin}, then the latest
change of every key, C{complete}, then each further change; and C{lost} when it can no longer tell, after which it
begins again.

 - What is told between C{begin} and C{complete} is the whole truth: it is taken over even where the mirror knew a
   higher revision, as a server that was restored counts from where it was; and what was not told has vanished. What
   vanished goes only at C{complete}, so no reader sees half a bucket.
 - A write of our own is known before the store tells of it: C{apply} takes it over at once, and what the store tells
   of that key is older news until it reaches that revision. If the store has told of later changes already, then of
   this one too.
 - In a bucket with a time to live the store removes records without a word (unless it is asked to tell, which older
   servers do not know). The mirror removes them by itself, late rather than early, as clocks differ.
 - Listeners hear what changed, never what stayed as it was; one that fails stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from types import MappingProxyType
from typing import Final, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from siger.messaging.waiting import Waiters

__all__ = ["Entry", "Mirror", "Source"]

_log = Logger()

#: Seconds that a record stays in the mirror after its time to live is over.
LATE: Final = 10.0
#: Seconds from one look for such records to the next.
SWEEP: Final = 5.0


@frozen
class Entry:
    """
    What is known of a key.

    @ivar value: C{None}: it was deleted.
    @ivar revision: rises with every change in the bucket.
    """

    key: str
    value: bytes | None
    revision: int


class Source(Protocol):
    """
    Tells mirrors what happens in a bucket.
    """

    def watch(self, mirror: Mirror) -> None:
        """
        Begin to tell.
        """

    def unwatch(self, mirror: Mirror) -> None:
        """
        Tell no more.
        """


class Mirror:
    """
    Follows a bucket.

    @ivar entries: the live records; a view.
    @ivar current: whether it was complete once. An outage changes nothing about that: reads go on.
    @ivar stale: whether it may lack changes just now.
    @ivar resyncs: how often it was told everything.
    """

    def __init__(
        self,
        source: Source,
        listener: Callable[[Entry], object],
        clock: IReactorTime | None = None,
        ttl: float = 0.0,
    ) -> None:
        """
        @param clock: by which records with a time to live are removed.
        @param ttl: seconds that a record lives after its last change; 0: for ever.
        """
        self._source = source
        self._listener = listener
        self._clock = clock if ttl else None
        self._ttl = ttl
        self._live: dict[str, Entry] = {}
        self.entries: Mapping[str, Entry] = MappingProxyType(self._live)
        self.current = False
        self.stale = True
        self.resyncs = 0
        self._told: set[str] | None = None
        self._ours: dict[str, int] = {}
        self._seen = 0
        self._expiries: dict[str, float] = {}
        self._sweep: IDelayedCall | None = None
        self._waiters = Waiters()
        self._running = False

    def __repr__(self) -> str:
        state = "stale" if self.stale else "current"
        return f"<Mirror {len(self._live)} {state if self.current else 'incomplete'}>"

    def start(self) -> None:
        """
        Begin to follow.
        """
        if self._running:
            return
        self._running = True
        if self._clock is not None:
            self._sweep = self._clock.callLater(SWEEP, self._expire)
        self._source.watch(self)

    def stop(self) -> None:
        """
        Follow no longer. What is known stays readable. Nobody who waits is told anything.
        """
        if not self._running:
            return
        self._running = False
        self._source.unwatch(self)
        self.lost()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._waiters.forget()

    def when_current(self) -> Deferred[None]:
        """
        Fire once everything has been told, or at once if it was.
        """
        if self.current:
            return succeed(None)
        return self._waiters.wait()

    def apply(self, entry: Entry) -> None:
        """
        Take over what a write of our own came to. Older than what is known, it is ignored.
        """
        if entry.revision <= max(self._seen, self._ours.get(entry.key, 0)):
            return
        self._ours[entry.key] = entry.revision
        self._take(entry, self._ttl)

    # What the source tells

    def begin(self) -> None:
        """
        Everything is told from the beginning.
        """
        self._told = set()
        self._ours.clear()
        self._seen = 0
        self.stale = True

    def received(self, entry: Entry, expires_in: float | None = None) -> None:
        """
        A change, or as part of everything: how a key is now.

        @param expires_in: the seconds that the record has to live, if its bucket has a time to live at all.
        """
        if not self._running:
            return
        if self._told is not None:
            self._told.add(entry.key)
        self._seen = max(self._seen, entry.revision)
        ours = self._ours.get(entry.key)
        if ours is not None:
            if entry.revision < ours:
                return
            del self._ours[entry.key]
        self._take(entry, self._ttl if expires_in is None else expires_in)

    def complete(self) -> None:
        """
        Everything has been told.
        """
        if not self._running:
            return
        told, self._told = self._told, None
        if told is not None:
            for key in [key for key in self._live if key not in told and key not in self._ours]:
                self._take(Entry(key, None, self._live[key].revision), 0.0)
        self.current, self.stale = True, False
        self.resyncs += 1
        self._waiters.fire()

    def lost(self) -> None:
        """
        The source cannot tell what happens for now.
        """
        self._told = None
        self.stale = True

    def _take(self, entry: Entry, expires_in: float) -> None:
        known = self._live.get(entry.key)
        if known == entry or (known is None and entry.value is None):
            return
        self._expiries.pop(entry.key, None)  # so that it goes to the end
        if entry.value is None:
            del self._live[entry.key]
        else:
            self._live[entry.key] = entry
            if self._clock is not None:
                self._expiries[entry.key] = self._clock.seconds() + expires_in + LATE
        try:
            self._listener(entry)
        except Exception:
            _log.failure("a listener of a mirror failed")

    def _expire(self) -> None:
        assert self._clock is not None
        self._sweep = self._clock.callLater(SWEEP, self._expire)
        now = self._clock.seconds()
        # In the order in which they were last changed, which is that of their expiry.
        over = list(takewhile(lambda key: self._expiries[key] <= now, self._expiries))
        for key in over:
            known = self._live.get(key)
            if known is not None:  # a listener may do anything
                self._take(Entry(key, None, known.revision), 0.0)
