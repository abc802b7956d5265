"""
How the gateway is, as those see it who call services of gRPC through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from siger.balancing.health import DOWN
from siger.grpc.serving import NOT_SERVING, SERVICE, SERVICE_UNKNOWN, SERVING

if TYPE_CHECKING:
    from siger.balancing.service import Service
    from siger.config.settings.routes import RouteSettings

__all__ = ["Serving", "is_routed"]


def is_routed(routes: Iterable[RouteSettings]) -> bool:
    """
    Whether questions about health go to a service, because a route says so, and so are not the gateway's to answer.
    """
    return any(route.grpc == SERVICE for route in routes)


class Serving:
    """
    Which services of gRPC can be called through the gateway now.
    """

    def __init__(
        self,
        state: Callable[[], str],
        routes: Iterable[RouteSettings],
        services: Mapping[bytes, Service],
        announced: Mapping[bytes, Service],
    ) -> None:
        """
        @param state: of the gateway; see L{siger.vitals.Vitals}.
        @param services: the catalogue's table, read anew for each question.
        @param announced: which of them has a service of gRPC that no route is needed for, likewise.
        """
        self._state = state
        self._routes = {route.grpc: route.service.encode("utf-8") for route in routes if route.grpc}
        self._services = services
        self._announced = announced

    def __call__(self, name: str) -> int:
        """
        Say whether a service can be called.

        @param name: its full name; C{""} for the gateway as a whole.
        @return: L{SERVING}; L{NOT_SERVING} while the gateway is starting or draining, or no instance is well; or
            L{SERVICE_UNKNOWN}.
        """
        service, known = self._find(name)
        if not known:
            return SERVICE_UNKNOWN
        if self._state() != "ready" or (name and not _is_well(service)):
            return NOT_SERVING
        return SERVING

    def _find(self, name: str) -> tuple[Service | None, bool]:
        # Who has it, and whether it is known at all: a route may lead to a service of which nothing was heard yet.
        if name in self._routes:
            return self._services.get(self._routes[name]), True
        service = self._announced.get(name.encode("utf-8", "replace"))
        return service, not name or service is not None


def _is_well(service: Service | None) -> bool:
    # By its name alone a service has instances; what takes no requests at all, with a weight of 0, is none.
    endpoints = () if service is None else service.endpoints
    return any(endpoint.weight > 0 and endpoint.health != DOWN for endpoint in endpoints)
