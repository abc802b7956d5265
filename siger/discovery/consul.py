"""
Consul as a source of the catalogue.

One blocking query on the list of services decides which names are exposed, and one for each of those on its passing
instances keeps the catalogue current. What clients ask for plays no part in it, so that a name nobody registered costs
nothing. When Consul is lost, what was known stays.
"""

from __future__ import annotations

from math import ceil
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from consul.exceptions import ConsulException
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from siger.balancing.instances import Instance
from siger.discovery.answers import exposed_names, passing_instances
from siger.discovery.catalogue import is_service_name
from siger.discovery.watch import Counters, Watch

if TYPE_CHECKING:
    from siger.config.settings.consul import ConsulSettings
    from siger.discovery.catalogue import Catalogue
    from siger.discovery.client import ConsulClient

__all__ = ["SOURCE", "ConsulDiscovery"]

Instances = tuple[Instance, ...]

#: The name of this source in the catalogue.
SOURCE = "consul"
#: An agent serves 200 connections from one address (C{http_max_conns_per_client}). So many services have a query of
#: their own that blocks; the others share the rest, with queries that block for a second, and learn of changes later.
LONG_QUERIES = 120
SHORT_QUERIES = 64
SHORT_WAIT = 1.0
#: Seconds in which changes are gathered before they are published: at the start there are as many as services.
GATHER = 0.02


class ConsulDiscovery:
    """
    Publishes Consul's services to the catalogue while it runs.

    @ivar first_sync: fires with C{None} once every service known at the start has been asked for.
    @ivar counters: what has been asked so far.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        client: ConsulClient,
        settings: ConsulSettings,
        catalogue: Catalogue,
        random: Random | None = None,
    ) -> None:
        self.first_sync: Deferred[None] = Deferred()
        self.counters = Counters()
        self._clock = clock
        self._client = client
        self._settings = settings
        self._catalogue = catalogue
        self._random = SystemRandom() if random is None else random
        self._names = self._watch_names()
        self._watches: dict[str, Watch[Instances]] = {}
        self._long_queries = 0
        self._short_queries = DeferredSemaphore(SHORT_QUERIES)
        self._publishing: IDelayedCall | None = None
        self._lost_at: float | None = clock.seconds()

    @property
    def synced(self) -> bool:
        """
        Whether L{first_sync} has fired.
        """
        return bool(self.first_sync.called)

    @property
    def connected(self) -> bool:
        """
        Whether Consul answered when last asked.
        """
        return self._lost_at is None

    @property
    def age_seconds(self) -> float:
        """
        For how long the catalogue may have been out of date: 0 while Consul answers.
        """
        return 0.0 if self._lost_at is None else self._clock.seconds() - self._lost_at

    def start(self) -> None:
        """
        Begin to ask.
        """
        self._names.start()

    def stop(self) -> None:
        """
        Stop asking. What is published stays.
        """
        self._names.stop()
        for watch in self._watches.values():
            watch.stop()
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None

    # The names

    def _watch_names(self) -> Watch[frozenset[str]]:
        return Watch(
            self._clock,
            self._random,
            query=lambda index, wait: self._client.catalog.services(index=index, wait=_seconds(wait)),
            read=self._read_names,
            keep=frozenset.union,
            told=self._names_told,
            counters=self.counters,
        )

    def _read_names(self, data: Any) -> frozenset[str]:
        # Consul lists itself. A list without anything is what a token without rights sees, and no reason to forget.
        if not data and self._names.value:
            raise ConsulException("the list of services is empty")
        return exposed_names(data, self._settings)

    def _names_told(self, watch: Watch[frozenset[str]], changed: bool) -> None:
        self._note_connection(watch)
        if changed:
            self._follow({name for name in watch.value or () if is_service_name(name)})
            self._publish_soon()

    def _note_connection(self, watch: Watch[frozenset[str]]) -> None:
        if watch.failures == 1:
            self._lost_at = self._clock.seconds() if self._lost_at is None else self._lost_at
            self._log.warn("Consul does not answer, what is known stays: {reason}", reason=_reason(watch.error))
        elif not watch.failures and self._lost_at is not None:
            self._lost_at = None
            self._log.info("Consul answers; services exposed: {count}", count=len(watch.value or ()))

    def _follow(self, names: set[str]) -> None:
        """
        Watch these services and no others.
        """
        for name in self._watches.keys() - names:
            self._watches.pop(name).stop()
        for name in sorted(names - self._watches.keys()):
            watch = self._watches[name] = self._watch_instances(name)
            watch.start()

    # Their instances

    def _watch_instances(self, name: str) -> Watch[Instances]:
        return Watch(
            self._clock,
            self._random,
            query=lambda index, wait: self._ask_in_turn(name, index, wait),
            read=passing_instances,
            keep=lambda known, fresh: fresh or known,
            told=lambda watch, changed: self._instances_told(name, watch, changed),
            counters=self.counters,
        )

    def _ask_in_turn(self, name: str, index: int, wait: float) -> Deferred[Any]:
        if self._long_queries >= LONG_QUERIES:
            return self._short_queries.run(self._ask, name, index, min(wait, SHORT_WAIT))
        self._long_queries += 1
        return self._ask(name, index, wait).addBoth(self._asked)

    def _ask(self, name: str, index: int, wait: float) -> Deferred[Any]:
        answer: Deferred[Any] = self._client.health.service(name, index=index, wait=_seconds(wait), passing=True)
        return answer

    def _asked(self, result: Any) -> Any:
        self._long_queries -= 1
        return result

    def _instances_told(self, name: str, watch: Watch[Instances], changed: bool) -> None:
        # The first failure of each is left to the list of services to report, when it is Consul that is lost.
        if watch.failures == 2 and self.connected:
            self._log.warn("Consul does not tell about {service}: {reason}", service=name, reason=_reason(watch.error))
        if changed or watch.failures == 1:
            self._publish_soon()

    # The catalogue

    def _publish_soon(self) -> None:
        if self._publishing is None:
            self._publishing = self._clock.callLater(GATHER, self._publish)

    def _publish(self) -> None:
        self._publishing = None
        snapshot = {name: watch.value or () for name, watch in self._watches.items() if watch.settled}
        for name in (self._names.value or frozenset()) - self._watches.keys():
            snapshot[name] = ()  # it cannot be a service; the catalogue says so
        self._catalogue.publish(SOURCE, snapshot)
        if not self.synced and all(watch.settled for watch in self._watches.values()):
            self.first_sync.callback(None)


def _seconds(wait: float) -> str:
    """
    A duration as Consul reads it.
    """
    return f"{ceil(wait)}s"


def _reason(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}"[:200]
