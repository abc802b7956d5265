"""
One service: its name, its settings, and the endpoints that a request for it may go to.

An update builds the new tables first and then swaps them, so that a request sees either all of the old set or all of
the new one; endpoints that stay keep their connections and counters. The balancer is only told of those that are well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from siger.balancing.health import DOWN, UP, WARMING, usable
from siger.balancing.instances import Endpoint, Instance
from siger.balancing.protocols import HTTP2, protocol_of

if TYPE_CHECKING:
    from siger.balancing.algorithms import Balancer
    from siger.config.settings.services import HealthCheck, ServiceSettings

__all__ = ["Service"]


class Service:
    """
    @ivar name: as in C{/services/{name}/}.
    @ivar label: the name as bytes.
    @ivar settings: what configuration says about it.
    @ivar endpoints: every endpoint discovery names, whatever its weight.
    @ivar balancer: picks among those of them that are well.
    @ivar check: how they are asked whether they are; C{None}: they are not asked, and well.
    @ivar route: free for the gateway's own notes about the service.
    @ivar destination: free for what the front door makes of it.
    """

    __slots__ = ("_used", "balancer", "check", "destination", "endpoints", "label", "name", "route", "settings")

    def __init__(self, name: str, settings: ServiceSettings, balancer: Balancer) -> None:
        self.name = name
        self.label = name.encode("ascii")
        self.settings = settings
        self.balancer = balancer
        self.check: HealthCheck | None = settings.health
        self.endpoints: tuple[Endpoint, ...] = ()
        self._used: tuple[Endpoint, ...] = ()
        self.route: Any = None
        self.destination: Any = None

    @property
    def inflight(self) -> int:
        """
        Exchanges in flight on all its endpoints.
        """
        return sum(endpoint.inflight for endpoint in self.endpoints)

    @property
    def takes_calls(self) -> bool:
        """
        Whether an endpoint can get calls of gRPC: whether one speaks HTTP/2.
        """
        return any(endpoint.protocol in HTTP2 for endpoint in self.endpoints)

    @property
    def checked(self) -> tuple[Endpoint, ...]:
        """
        The endpoints that are to be asked whether they are well. Who speaks no HTTP/2 cannot be asked by gRPC.
        """
        if self.check is None:
            return ()
        return tuple(endpoint for endpoint in self.endpoints if endpoint.protocol in HTTP2)

    @property
    def panicking(self) -> bool:
        """
        Whether so few endpoints are well that requests go to those that are ill, too.
        """
        return any(endpoint.health == DOWN for endpoint in self._used)

    def update(self, instances: Iterable[Instance]) -> list[Endpoint]:
        """
        Make these the instances of the service. The first of several at one address and port counts.

        @return: the endpoints that are no longer part of it, marked as removed; their owner closes their pools.
        """
        fresh: dict[tuple[str, int], Instance] = {}
        for instance in instances:
            fresh.setdefault((instance.address, instance.port), instance)
        known = {(endpoint.instance.address, endpoint.instance.port): endpoint for endpoint in self.endpoints}
        if fresh == {key: endpoint.instance for key, endpoint in known.items()}:
            return []
        return self._swap(known, fresh)

    def _swap(self, known: dict[tuple[str, int], Endpoint], fresh: dict[tuple[str, int], Instance]) -> list[Endpoint]:
        spoken = {key: protocol_of(self.settings.protocol, instance) for key, instance in fresh.items()}
        kept = {key: endpoint for key, endpoint in known.items() if spoken.get(key) == endpoint.protocol}
        for key, endpoint in kept.items():
            endpoint.instance = fresh[key]
        come = [self._make(instance, spoken[key]) for key, instance in fresh.items() if key not in kept]
        self.endpoints = (*kept.values(), *come)
        self._use(usable(self.endpoints) if self.check is not None else self.endpoints)
        gone = [endpoint for key, endpoint in known.items() if key not in kept]
        for endpoint in gone:
            endpoint.removed = True
        return gone

    def _make(self, instance: Instance, protocol: str) -> Endpoint:
        return Endpoint(instance, protocol, WARMING if self.check is not None and protocol in HTTP2 else UP)

    def _use(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._used = endpoints
        self.balancer.update(endpoints)

    def mark(self, endpoint: Endpoint, healthy: bool) -> bool:
        """
        Take into account what came of asking an endpoint whether it is well.

        @return: whether C{endpoint.health} is another word now.
        """
        check = self.check
        if check is None or endpoint.removed or not endpoint.condition.note(healthy, check.rise, check.fall):
            return False
        used = usable(self.endpoints)
        if used != self._used:
            self._use(used)
        return True

    def __repr__(self) -> str:
        return f"<Service {self.name} {list(self.endpoints)}>"
