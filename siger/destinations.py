"""
All the places where requests go: one L{Destination} for each service, configured route, gRPC service that was announced
and endpoint of the gateway's own, made when the first request comes for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from siger.grpc.serving import CHECK
from siger.proxy.arrival import Destination
from siger.routing import SERVICES_TEMPLATE, Route

if TYPE_CHECKING:
    from siger.balancing.service import Service
    from siger.config.settings.admission import Auth
    from siger.config.settings.services import ServiceSettings
    from siger.observe.observer import Observer
    from siger.policy.rules import OwnAuth, RuleBook

__all__ = ["Destinations"]

UNLIMITED = frozenset(("/health", "/livez", "/readyz", "/metrics", CHECK))
"""What probes and scrapers ask, which must be answered when all else is refused."""


class Destinations:
    """
    All there are.

    @ivar nowhere: for paths that lead nowhere.
    """

    def __init__(
        self,
        book: RuleBook,
        observer: Observer,
        own: Mapping[str, OwnAuth],
        announced: Mapping[bytes, Service] | None = None,
    ) -> None:
        """
        @param own: who may use the gateway's own endpoints, by their route templates.
        @param announced: which service has a gRPC service: the catalogue's table, read anew for each request.
        """
        self._table: Mapping[bytes, Service] = {} if announced is None else announced
        self._announced: dict[bytes, Destination] = {}
        self._book = book
        self._observer = observer
        self._proxied = observer.route(SERVICES_TEMPLATE)
        self._routes: dict[Route, Destination] = {}
        self._absent: dict[Route, Destination] = {}
        self.nowhere = Destination(book.of_nothing(), observer.unmatched, "", None, None)
        self._unknown = Destination(self.nowhere.rules, self._proxied, "", None, None)
        self._away = {
            name.encode("ascii"): Destination(rules, self._proxied, name, None, None)
            for name, rules in book.of_absent().items()
        }
        self._own = {template: self._make_own(template, auth) for template, auth in own.items()}

    def _make_own(self, template: str, auth: OwnAuth) -> Destination:
        rules = self._book.of_own(auth, template not in UNLIMITED)
        return Destination(rules, self._observer.route(template), template, None, None)

    def of_own(self, template: str) -> Destination:
        """
        For an endpoint of the gateway's own.
        """
        return self._own[template]

    def of_service(self, service: Service) -> Destination:
        """
        For what is below C{/services/}; kept with the service.
        """
        found: Destination | None = service.destination
        if found is None:
            settings = _settled(service.settings, service.settings.auth)
            rules = self._book.of_service(settings)
            calls = self._observer.grpc(service.name)
            found = service.destination = Destination(rules, self._proxied, service.name, service, settings, calls)
        return found

    def unknown_service(self, name: bytes) -> Destination:
        """
        For the name of a service that nobody publishes. Nothing is kept of names that clients make up.
        """
        return self._away.get(name, self._unknown)

    def absent(self, route: Route) -> Destination:
        """
        For a configured route whose service nobody knows now.
        """
        known = self._absent.get(route)
        if known is None:
            rules = self._book.of_route(route.settings, route.template)
            stats = self._observer.route(route.template)
            known = self._absent[route] = Destination(rules, stats, route.template, None, None)
        return known

    def closed(self, route: Route) -> Destination:
        """
        For the path of a configured route, with a method that neither it nor another takes.
        """
        return self.closed_like(self.absent(route))

    def closed_like(self, other: Destination) -> Destination:
        """
        For what is refused by the rules of another destination.
        """
        return Destination(other.rules, self._observer.unmatched, "", None, None)

    def of_route(self, route: Route, service: Service) -> Destination:
        """
        For a configured route. One is made anew when its service came back with other settings.
        """
        known = self._routes.get(route)
        if known is None or known.service is not service:
            known = self._routes[route] = self._make_route(route, service)
        return known

    def at_call(self, path: bytes) -> Destination | None:
        """
        For the path of a call, C{/package.v1.Service/Method}, if its gRPC service was announced.
        """
        name, _, method = path[1:].partition(b"/")
        service = self._table.get(name)
        if service is None or not method or b"/" in method:
            return None
        return self.of_announced(name, service)

    def of_announced(self, name: bytes, service: Service) -> Destination:
        """
        For a gRPC service that a service has announced. It is kept no longer than it is announced.

        @param name: its full name.
        """
        known = self._announced.get(name)
        if known is None or known.service is not service:
            for withdrawn in self._announced.keys() - self._table.keys():
                del self._announced[withdrawn]
            known = self._announced[name] = self._make_announced(name.decode("ascii"), service)
        return known

    def _make_announced(self, name: str, service: Service) -> Destination:
        settings = _settled(service.settings, service.settings.auth)
        template = f"/{name}/{{method}}"
        stats, calls = self._observer.route(template), self._observer.grpc(name)
        return Destination(self._book.of_service(settings), stats, template, service, settings, calls)

    def _make_route(self, route: Route, service: Service) -> Destination:
        own, base = route.settings, service.settings
        forward = base.forward_authorization if own.forward_authorization is None else own.forward_authorization
        settings = evolve(
            base,
            timeouts=own.timeouts or base.timeouts,
            max_body=base.max_body if own.max_body is None else own.max_body,
            forward_authorization=forward,
        )
        rules = self._book.of_route(own, route.template, base)
        settings = _settled(settings, base.auth if own.auth is None else own.auth)
        stats, calls = self._observer.route(route.template), self._observer.grpc(own.grpc or service.name)
        return Destination(rules, stats, route.template, service, settings, calls)


def _settled(settings: ServiceSettings, auth: Auth) -> ServiceSettings:
    # A token that the gateway asked for was meant for the gateway; what a public service gets is its own business.
    if settings.forward_authorization is not None:
        return settings
    return evolve(settings, forward_authorization=auth == "public")
