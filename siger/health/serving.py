"""
How the gateway is, as those see it who call services of gRPC through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from siger.balancing.health import DOWN
from siger.grpc.serving import NOT_SERVING, SERVICE, SERVICE_UNKNOWN, SERVING

if TYPE_CHECKING:
    from siger.balancing.service import Service
    from siger.config.settings.routes import RouteSettings

__all__ = ["Serving", "is_routed"]

_PREFIX: Final = f"/{SERVICE}"


def is_routed(routes: Iterable[RouteSettings]) -> bool:
    """
    Whether questions about health go to a service, because a route names them, and so are not the gateway's to answer.
    Routes of single hosts come first anyway, and leave those of the others to the gateway.
    """
    return any(not route.host and (route.grpc == SERVICE or _names(route.path)) for route in routes)


def _names(path: str) -> bool:
    return path == _PREFIX or path.startswith(f"{_PREFIX}/")


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
        self._routes: dict[str, list[bytes]] = {}
        for route in routes:
            if route.grpc:
                self._routes.setdefault(route.grpc, []).append(route.service.encode("utf-8"))
        self._services = services
        self._announced = announced

    def __call__(self, name: str) -> int:
        """
        Say whether a service can be called.

        @param name: its full name; C{""} for the gateway as a whole.
        @return: L{SERVING}; L{NOT_SERVING} while the gateway is starting or draining, or no instance is well; or
            L{SERVICE_UNKNOWN}, also for what routes lead to by their paths alone.
        """
        if not name:
            return SERVING if self._is_ready() else NOT_SERVING
        found = self._services_of(name)
        if found is None:
            return SERVICE_UNKNOWN
        return SERVING if self._is_ready() and any(map(_is_well, found)) else NOT_SERVING

    def _is_ready(self) -> bool:
        return self._state() == "ready"

    def _services_of(self, name: str) -> list[Service] | None:
        # Who has it: several, where the host decides; none, where a route leads to what nobody has heard of yet.
        routed = self._routes.get(name)
        if routed is not None:
            return [self._services[label] for label in routed if label in self._services]
        announced = self._announced.get(name.encode("utf-8", "replace"))
        return None if announced is None else [announced]


def _is_well(service: Service) -> bool:
    # What takes no requests at all, with a weight of 0, is nobody.
    return any(endpoint.weight > 0 and endpoint.health != DOWN for endpoint in service.endpoints)
