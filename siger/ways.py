"""
Where a request is to go: a service by its name, a configured route, a gRPC service that was announced, or the gateway
itself. One normal form of the path decides, and what cannot go where it wants to has a place by whose rules it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from siger.errors import Reason
from siger.policy.cors import is_preflight
from siger.routing import SERVICES_PREFIX, RouteTable

if TYPE_CHECKING:
    from siger.balancing.service import Service
    from siger.destinations import Destinations
    from siger.http.request import RequestHead
    from siger.proxy.arrival import Arrival, Destination

__all__ = ["Ways"]

_PREFIX_LENGTH: Final = len(SERVICES_PREFIX)


class Ways:
    """
    Finds the way of each request.
    """

    __slots__ = ("_destinations", "_routes", "_services", "_template")

    def __init__(
        self,
        services: Mapping[bytes, Service],
        routes: RouteTable,
        destinations: Destinations,
        template: Callable[[bytes], str | None],
    ) -> None:
        """
        @param services: the catalogue's table, read anew for each request.
        @param template: the route template of a path of the gateway's own endpoints, C{None} for others.
        """
        self._services = services
        self._routes = routes
        self._destinations = destinations
        self._template = template

    def find(self, arrival: Arrival) -> None:
        """
        Settle the place of a request, and its target; or why it has none.
        """
        path = arrival.head.path
        if not path.startswith(SERVICES_PREFIX):
            self._find_elsewhere(arrival, path)
            return
        slash = path.find(b"/", _PREFIX_LENGTH)
        name, target = (path[_PREFIX_LENGTH:], b"/") if slash < 0 else (path[_PREFIX_LENGTH:slash], path[slash:])
        service = self._services.get(name)
        if service is None:
            arrival.place = self._destinations.unknown_service(name)
            arrival.refusal = Reason.UNKNOWN_SERVICE
            return
        place: Destination | None = service.destination
        arrival.place = place if place is not None else self._destinations.of_service(service)
        arrival.target = target
        if b"%2F" in path:
            arrival.refusal = Reason.INVALID_TARGET

    def _find_elsewhere(self, arrival: Arrival, path: bytes) -> None:
        # Not below /services/: a configured route, the gateway itself, or a gRPC service that some service announced. A
        # route for one host may take any path of that host's; one for all hosts does not take away the gateway's own
        # endpoints.
        head = arrival.head
        arrival.place = self._destinations.nowhere
        if path == b"*":
            return
        found = self._routes.find(head.host, path, _method_of_interest(head))
        template = self._template(path)
        if isinstance(found, tuple):
            route, target = found
            if template is None or route.host:
                self._take_route(arrival, route, target)
                return
        elif template is None:
            called = self._destinations.at_call(path)
            if called is not None:
                self._take_call(arrival, called)
                return
            if found:
                self._refuse_method(arrival, found)
                return
        if b"%2F" in path:
            arrival.refusal = Reason.INVALID_TARGET
        elif template is None:
            arrival.refusal = Reason.NO_ROUTE
        else:
            arrival.place = self._destinations.of_own(template)

    def _refuse_method(self, arrival: Arrival, allow: bytes) -> None:
        # By the rules of a route that takes the path, though not like this.
        other = self._routes.find(arrival.head.host, arrival.head.path, allow.partition(b",")[0])
        if isinstance(other, tuple):
            arrival.place = self._destinations.closed(other[0])
        arrival.refusal = Reason.METHOD_NOT_ALLOWED
        arrival.allow = allow

    def _take_route(self, arrival: Arrival, route: Any, target: bytes) -> None:
        service = self._services.get(route.service)
        if service is None:
            arrival.place = self._destinations.absent(route)
            arrival.refusal = Reason.NO_INSTANCE
            return
        arrival.place = self._destinations.of_route(route, service)
        arrival.target = target
        if b"%2F" in arrival.head.path and route.settings.encoded_slashes != "keep":
            arrival.refusal = Reason.INVALID_TARGET

    def _take_call(self, arrival: Arrival, place: Destination) -> None:
        if _method_of_interest(arrival.head) != b"POST":
            arrival.place = self._destinations.closed_like(place)
            arrival.refusal = Reason.METHOD_NOT_ALLOWED
            arrival.allow = b"POST"
            return
        arrival.place = place
        arrival.target = arrival.head.path
        if b"%2F" in arrival.target:
            arrival.refusal = Reason.INVALID_TARGET


def _method_of_interest(head: RequestHead) -> bytes:
    # A preflight request is about the request that it announces, so it finds that one's route.
    return head.fields.owned[b"access-control-request-method"] if is_preflight(head) else head.method
