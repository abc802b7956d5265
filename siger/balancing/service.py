"""
One service: its name, its settings, and the endpoints that a request for it may go to.

An update builds the new tables first and then swaps them, so that a request sees either all of the old set or all of
the new one; endpoints that stay keep their connections and counters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from siger.balancing.instances import Endpoint, Instance

if TYPE_CHECKING:
    from siger.balancing.algorithms import Balancer
    from siger.config.settings import ServiceSettings

__all__ = ["Service"]


class Service:
    """
    @ivar name: as in C{/services/{name}/}.
    @ivar label: the name as bytes.
    @ivar settings: what configuration says about it.
    @ivar endpoints: every endpoint discovery names, whatever its weight.
    @ivar balancer: picks among them.
    @ivar route: free for the gateway's own notes about the service.
    @ivar destination: free for what the front door makes of it.
    """

    __slots__ = ("balancer", "destination", "endpoints", "label", "name", "route", "settings")

    def __init__(self, name: str, settings: ServiceSettings, balancer: Balancer) -> None:
        self.name = name
        self.label = name.encode("ascii")
        self.settings = settings
        self.balancer = balancer
        self.endpoints: tuple[Endpoint, ...] = ()
        self.route: Any = None
        self.destination: Any = None

    @property
    def inflight(self) -> int:
        """
        Exchanges in flight on all its endpoints.
        """
        return sum(endpoint.inflight for endpoint in self.endpoints)

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
        for key in known.keys() & fresh.keys():
            known[key].instance = fresh[key]
        stay = [endpoint for key, endpoint in known.items() if key in fresh]
        come = [Endpoint(instance) for key, instance in fresh.items() if key not in known]
        self.endpoints = (*stay, *come)
        self.balancer.update(self.endpoints)
        gone = [endpoint for key, endpoint in known.items() if key not in fresh]
        for endpoint in gone:
            endpoint.removed = True
        return gone

    def __repr__(self) -> str:
        return f"<Service {self.name} {list(self.endpoints)}>"
