"""
The keys that an issuer publishes, fetched and kept up to date.

Theory of operation. One fetch is under way at most, and everybody who needs its outcome waits for that one.

 - After a success the next fetch comes when the response is not fresh any more, somewhat earlier by chance, so that
   many gateways do not ask together.
 - After a failure it comes soon, and later each time. What was known stays in use for a day: an issuer that is down
   must not lock anybody out.
 - A token that names an unknown key causes a fetch, since the issuer may have a new one; but not within L{PAUSE} after
   the last, or else anybody who sends made-up names could have us ask for ever.
 - When a key is gone or changed, C{changed} is told: whoever was let in because of it has to be asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent

from siger.auth.compact import InvalidTokenError
from siger.auth.fetching import PlainAgent, fetch, make_agent
from siger.auth.jwks import KeySet, freshness, parse_key_set
from siger.auth.keys import Key

__all__ = ["PublishedKeys"]

PAUSE: Final = 30.0
"""
Seconds after a fetch in which unknown keys cause no other.
"""

STALE: Final = 86400.0
"""
Seconds after the last success for which keys stay in use.
"""

MAX_WAITING: Final = 1000
"""
Requests that may wait for a fetch.
"""

#: Seconds that a fetch may take, all of it.
TIMEOUT: Final = 5.0

#: Seconds before the first and between the later of many retries.
RETRY_FIRST: Final = 2.0
RETRY_MOST: Final = 60.0

#: Requests that go on in one turn of the reactor. Each costs about as much as its signature.
BATCH: Final = 50


class PublishedKeys:
    """
    The keys behind a URL.

    @ivar fetches: how many were begun.
    @ivar failures: how many of them failed.
    @ivar refused: how many requests could not wait, because too many did.
    """

    log = Logger(namespace="siger.auth")

    def __init__(
        self,
        reactor: Any,
        url: str,
        algorithms: Collection[str],
        agent: IAgent | None = None,
        random: Random | None = None,
    ) -> None:
        """
        @param agent: what fetches; C{None} for the usual one.
        """
        self.url = url
        self.fetches = 0
        self.failures = 0
        self.refused = 0
        self._clock = reactor
        self._algorithms = algorithms
        self._random = random or Random()
        self._http = HTTPClient(PlainAgent(agent or make_agent(reactor)))
        self._changed: Callable[[], object] = lambda: None
        self._keys: KeySet | None = None
        self._began = float("-inf")
        self._succeeded_at = float("-inf")
        self._failed_in_row = 0
        self._fetching: Deferred[None] | None = None
        self._next: IDelayedCall | None = None
        self._waiting: dict[Deferred[None], None] = {}
        self._running = False

    def __repr__(self) -> str:
        state = "fetching" if self._fetching is not None else "idle" if self._running else "stopped"
        return f"<PublishedKeys {self.url} {len(self._keys or ())} {state}>"

    @property
    def known(self) -> int:
        """
        How many keys are in use.
        """
        return len(self._keys or ())

    @property
    def waiting(self) -> int:
        """
        How many requests wait for a fetch.
        """
        return len(self._waiting)

    @property
    def age(self) -> float:
        """
        Seconds since the last success; infinite before the first.
        """
        return float(self._clock.seconds()) - self._succeeded_at

    def find(self, kid: str | None) -> Key | None:
        """
        The key of this name, if it is known.
        """
        return self._keys.find(kid) if self._keys is not None else None

    def start(self, changed: Callable[[], object]) -> None:
        """
        Fetch the keys, and go on doing so.

        @param changed: called when a key must not be used any more.
        """
        self._changed = changed
        self._running = True
        self._fetch()

    def stop(self) -> None:
        """
        Fetch no more. Requests that wait are refused.
        """
        self._running = False
        self._cancel_next()
        if self._fetching is not None:
            self._fetching.cancel()
        self._release()

    def refetch(self) -> Deferred[None] | None:
        """
        Ask for the keys again, as a token names one that is not known.

        @return: fires when the outcome is there, within L{TIMEOUT}; C{None} when it is too soon to ask again.
        @raise InvalidTokenError: when too many wait already.
        """
        if not self._running:
            return None
        if self._fetching is None:
            if self._clock.seconds() - self._began < PAUSE:
                return None
            self._fetch()
        if self._fetching is None:  # it is over already
            return succeed(None)
        if len(self._waiting) >= MAX_WAITING:
            self.refused += 1
            raise InvalidTokenError("busy")
        waiter: Deferred[None] = Deferred(lambda waiter: self._waiting.pop(waiter, None))
        self._waiting[waiter] = None
        return waiter

    def _fetch(self) -> None:
        self._cancel_next()
        self.fetches += 1
        self._began = self._clock.seconds()
        self._fetching = Deferred.fromCoroutine(self._ask())
        self._fetching.addTimeout(TIMEOUT, self._clock)
        self._fetching.addErrback(self._failed).addCallback(self._finished)

    async def _ask(self) -> None:
        response, content = await fetch(self._http, self.url, self._clock)
        keys = parse_key_set(content, self._algorithms)
        fields = response.headers
        fresh = freshness(fields.getRawHeaders(b"cache-control", []), fields.getRawHeaders(b"age", []))
        self._take(keys)
        self._schedule(fresh * self._random.uniform(0.8, 1.0))

    def _take(self, keys: KeySet) -> None:
        known, self._keys = self._keys, keys
        self._succeeded_at = self._clock.seconds()
        if known is None or self._failed_in_row or keys != known:
            self.log.info(
                "Keys from {url}: {count}, and {skipped} of no use", url=self.url, count=len(keys), skipped=keys.skipped
            )
        self._failed_in_row = 0
        if known is not None and not keys.keeps(known):
            self._changed()

    def _failed(self, failure: Failure) -> None:
        if not self._running:
            return
        self.failures += 1
        self._failed_in_row += 1
        if self._failed_in_row == 1:
            self.log.warn("No keys from {url}: {error}", url=self.url, error=failure.getErrorMessage())
        if self._keys is not None and self.age > STALE:
            self.log.error("The keys from {url} are too old and not used any more", url=self.url)
            self._keys = None
            self._changed()
        longest = min(RETRY_MOST, RETRY_FIRST * 2.0 ** min(self._failed_in_row - 1, 16))
        self._schedule(longest * self._random.uniform(0.5, 1.0))

    def _finished(self, _: None) -> None:
        self._fetching = None
        self._release()

    def _schedule(self, seconds: float) -> None:
        if self._running:
            self._next = self._clock.callLater(seconds, self._fetch)

    def _cancel_next(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _release(self) -> None:
        waiting, self._waiting = list(self._waiting), {}
        self._resume(waiting)

    def _resume(self, waiting: list[Deferred[None]]) -> None:
        for waiter in waiting[:BATCH]:
            if not waiter.called:  # cancelled meanwhile
                waiter.callback(None)
        if waiting[BATCH:]:
            self._clock.callLater(0, self._resume, waiting[BATCH:])
