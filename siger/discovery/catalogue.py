"""
Who exists: one table of services, fed by every source of discovery.

Each source publishes its whole view; views are merged by service name. The table is a plain dictionary from name to
service which requests read directly, so a name that nobody published costs a failed lookup and nothing else. A second
table is like it: from the gRPC services that instances announce to the services that have them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import field, frozen
from twisted.logger import Logger

from siger.balancing.instances import Endpoint, Instance
from siger.balancing.protocols import PROTOCOL, is_protocol
from siger.balancing.service import Service
from siger.discovery.addresses import Guard
from siger.discovery.announcements import Announced, Faults, announced, owners

__all__ = ["GATEWAY_NAME", "NEVER", "Catalogue", "EndpointStatus", "ServiceStatus", "Snapshot", "is_service_name"]

Snapshot = Mapping[str, Sequence[Instance]]
Refusals = frozenset[tuple[str, str]]

#: The name under which gateways register themselves.
GATEWAY_NAME = "api-gateway"
#: Never reachable through the gateway, whoever publishes them: it would be its own backend, or Consul's open door.
NEVER = frozenset({GATEWAY_NAME, "consul"})
#: One DNS label in lower case (RFC 1123 section 2.1).
SERVICE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_service_name(name: str) -> bool:
    """
    Whether a service of this name can be reached: well-formed, and neither Consul nor a gateway.
    """
    return SERVICE_NAME.fullmatch(name) is not None and name not in NEVER


@frozen
class EndpointStatus:
    """
    One endpoint, for status pages and metrics.
    """

    address: str
    weight: int
    inflight: int
    tags: tuple[str, ...]
    protocol: str
    health: str


@frozen
class ServiceStatus:
    """
    One service, for status pages and metrics.
    """

    name: str
    balancer: str
    sources: tuple[str, ...]
    instances: tuple[EndpointStatus, ...]
    inflight: int


@frozen
class _View:
    """
    What one source said last, as far as it is accepted, and what was refused of it.
    """

    services: dict[str, tuple[Instance, ...]] = field(factory=dict)
    announced: Announced = field(factory=dict)
    refusals: Refusals = frozenset()


class Catalogue:
    """
    The services of the gateway.

    A service that any source knows is in the table, perhaps without instances (callers answer 503); one that none knows
    is not (404).

    @ivar services: by lower-case name; always the same dictionary. Only the catalogue changes it.
    @ivar grpc_services: which service has a gRPC service, by the full name of the latter; always the same dictionary.
    @ivar guard: says which instances are refused.
    @ivar changed: is called with each service whose instances are others now, one that is new or gone included.
    """

    _log = Logger()

    def __init__(
        self,
        make_service: Callable[[str], Service],
        guard: Guard | None = None,
        trusted: Iterable[str] = ("static",),
    ) -> None:
        """
        @param trusted: sources whose instances may be host names.
        """
        self.services: dict[bytes, Service] = {}
        self.grpc_services: dict[bytes, Service] = {}
        self.guard = Guard() if guard is None else guard
        self.changed: Callable[[Service], None] = _tell_nobody
        self._make_service = make_service
        self._trusted = frozenset(trusted)
        self._views: dict[str, _View] = {}
        self._overruled: Refusals = frozenset()

    def publish(self, source: str, snapshot: Snapshot) -> None:
        """
        Replace everything that a source said before.
        """
        before = self._views.get(source, _View())
        view = self._views[source] = self._accepted(source, snapshot)
        for subject, reason in sorted(view.refusals - before.refusals):
            self._log.warn(
                "{subject} from {source} is ignored: {reason}", subject=subject, source=source, reason=reason
            )
        for name in before.services.keys() | view.services.keys():
            if before.services.get(name) != view.services.get(name):
                self._refresh(name)
        if before.announced != view.announced:
            self._announce()

    def _accepted(self, source: str, snapshot: Snapshot) -> _View:
        services: dict[str, tuple[Instance, ...]] = {}
        refusals: Faults = set()
        for name, instances in snapshot.items():
            if name in NEVER:
                continue
            if not is_service_name(name):
                refusals.add((f"service {name[:80]!r}", "no service can have this name"))
                continue
            reasons = [(one, self.guard.refusal(one, source in self._trusted)) for one in instances]
            services[name] = tuple(one for one, reason in reasons if reason is None)
            refusals |= {(_subject(name, one), reason) for one, reason in reasons if reason is not None}
            refusals |= {fault for one in services[name] for fault in _misspoken(name, one)}
        names = {name: announced(name, instances, refusals) for name, instances in services.items()}
        return _View(services, {name: found for name, found in names.items() if found}, frozenset(refusals))

    def _announce(self) -> None:
        """
        Bring the table of gRPC services in line with what the sources say now.
        """
        overruled: Faults = set()
        found = owners([view.announced for view in self._views.values()], overruled)
        for subject, reason in sorted(overruled - self._overruled):
            self._log.warn("{subject} is ignored: {reason}", subject=subject, reason=reason)
        self._overruled = frozenset(overruled)
        table = {name.encode("ascii"): self.services[owner.encode("ascii")] for name, owner in found.items()}
        for name in self.grpc_services.keys() - table.keys():
            del self.grpc_services[name]
        self.grpc_services.update(table)

    def _refresh(self, name: str) -> None:
        """
        Bring one service in line with what the sources say now.
        """
        said = [view.services[name] for view in self._views.values() if name in view.services]
        label = name.encode("ascii")
        service = self.services.get(label)
        if not said:
            service = self.services.pop(label)
            gone = service.update(())
        else:
            if service is None:
                service = self._make_service(name)
            gone = service.update(instance for instances in said for instance in instances)
            self.services[label] = service
        for endpoint in gone:
            self._close(endpoint)
        self.changed(service)

    def _close(self, endpoint: Endpoint) -> None:
        """
        Let the endpoint's pool go; exchanges that are running on it are the pool's to finish.
        """
        if endpoint.pool is not None:
            try:
                endpoint.pool.close()
            except Exception:
                self._log.failure("Cannot close the connections of {endpoint}", endpoint=endpoint)

    def describe(self) -> list[ServiceStatus]:
        """
        Every service and its endpoints at this moment, by name.
        """
        return [self._status(self.services[label]) for label in sorted(self.services)]

    def _status(self, service: Service) -> ServiceStatus:
        return ServiceStatus(
            name=service.name,
            balancer=service.settings.balancer,
            sources=tuple(source for source, view in self._views.items() if service.name in view.services),
            instances=tuple(_endpoint_status(endpoint) for endpoint in service.endpoints),
            inflight=service.inflight,
        )


def _tell_nobody(service: Service) -> None:
    pass


def _subject(name: str, instance: Instance) -> str:
    return f"instance {instance.address[:80]!r} port {instance.port} of service {name!r}"


def _misspoken(name: str, instance: Instance) -> Faults:
    word = instance.meta.get(PROTOCOL, "")
    if not word or is_protocol(word):
        return set()
    return {(f"protocol {word[:40]!r} of {_subject(name, instance)}", "there is no such protocol")}


def _endpoint_status(endpoint: Endpoint) -> EndpointStatus:
    return EndpointStatus(
        address=endpoint.label.decode("ascii"),
        weight=endpoint.weight,
        inflight=endpoint.inflight,
        tags=tuple(sorted(endpoint.instance.tags)),
        protocol=endpoint.protocol,
        health=endpoint.health,
    )
