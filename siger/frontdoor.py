"""
The front door: where every request, from any kind of connection, finds what answers it.

Admission comes first (client address, request id, loops), then the route: a service to proxy to, or the gateway's own
endpoints. Whatever is refused on the way is answered and reported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final

from attrs import evolve

from siger.errors import Reason
from siger.http.date import date_line
from siger.http.problem import send_problem
from siger.http.request import METHODS
from siger.policy.forwarded import Forwarding, is_loop
from siger.policy.request_id import RequestIds
from siger.proxy.exchange import Exchange as ProxyExchange
from siger.proxy.exchange import ProxyContext
from siger.routing import SERVICES_PREFIX, SERVICES_TEMPLATE, Route, RouteTable

if TYPE_CHECKING:
    from siger.balancing.service import Service
    from siger.config.settings import ServiceSettings
    from siger.http.request import RequestHead
    from siger.http.stream import Exchange, Stream
    from siger.observe.observer import Observer, RouteStats

__all__ = ["FrontDoor"]

_PREFIX_LENGTH: Final = len(SERVICES_PREFIX)
_ALLOW: Final = b", ".join(sorted(METHODS))

LocalApplication = Callable[["RequestHead", "Stream", bytes, bytes], "Exchange | None"]
"""The gateway's own endpoints: given head, stream, request id and client address."""


class FrontDoor:
    """
    Answers requests; L{siger.http.stream.Application}.
    """

    __slots__ = (
        "_context",
        "_forwarding",
        "_ids",
        "_local",
        "_observer",
        "_overrides",
        "_proxied",
        "_routes",
        "_services",
    )

    def __init__(
        self,
        services: Mapping[bytes, Service],
        routes: RouteTable,
        context: ProxyContext,
        local: LocalApplication,
    ) -> None:
        """
        @param services: the catalogue's table, read anew for each request.
        @param local: the gateway's own endpoints, which report for themselves.
        """
        self._services = services
        self._routes = routes
        self._context = context
        self._local = local
        self._observer: Observer = context.observer
        self._forwarding: Forwarding = context.forwarding
        self._ids = RequestIds()
        self._proxied: RouteStats = self._observer.route(SERVICES_TEMPLATE)
        self._overrides: dict[Route, tuple[ServiceSettings, ServiceSettings]] = {}

    def __call__(self, head: RequestHead, stream: Stream) -> Exchange | None:
        """
        See L{siger.http.stream.Application}.
        """
        start = monotonic()
        path = head.path
        owned = head.fields.owned
        if owned:
            request_id = self._ids.take(owned.get(b"x-request-id"))
            client = self._forwarding.client(stream.peer, owned)
            if b"via" in owned and is_loop(owned):
                return self._answer(head, stream, Reason.LOOP_DETECTED, self._observer.unmatched, start, request_id)
            if head.method == b"OPTIONS" and owned.get(b"max-forwards") == b"0":
                return self._answer_options(head, stream, start, request_id)
        else:
            request_id = self._ids.new()
            client = stream.peer
        if path.startswith(SERVICES_PREFIX):
            slash = path.find(b"/", _PREFIX_LENGTH)
            name, target = (path[_PREFIX_LENGTH:], b"/") if slash < 0 else (path[_PREFIX_LENGTH:slash], path[slash:])
            service = self._services.get(name)
            if service is None:
                return self._answer(head, stream, Reason.UNKNOWN_SERVICE, self._proxied, start, request_id)
            if b"%2F" in path:
                return self._answer(head, stream, Reason.INVALID_TARGET, self._proxied, start, request_id)
            return self._proxy(
                head, stream, service, service.settings, self._proxied, target, request_id, client, start
            )
        return self._elsewhere(head, stream, request_id, client, start)

    def _proxy(
        self,
        head: RequestHead,
        stream: Stream,
        service: Service,
        settings: ServiceSettings,
        route: RouteStats,
        target: bytes,
        request_id: bytes,
        client: bytes,
        start: float,
    ) -> Exchange | None:
        if head.query:
            target += head.query
        return ProxyExchange(
            self._context, head, stream, service, settings, route, target, request_id, client, start
        ).begin()

    def _elsewhere(
        self, head: RequestHead, stream: Stream, request_id: bytes, client: bytes, start: float
    ) -> Exchange | None:
        # Not below /services/: a configured route, or the gateway itself.
        unmatched = self._observer.unmatched
        if head.path == b"*":
            return self._answer_options(head, stream, start, request_id)
        found = self._routes.find(head.host, head.path, head.method)
        if isinstance(found, tuple):
            return self._take_route(head, stream, *found, request_id, client, start)
        if found:
            return self._answer(head, stream, Reason.METHOD_NOT_ALLOWED, unmatched, start, request_id, found)
        if b"%2F" in head.path:
            return self._answer(head, stream, Reason.INVALID_TARGET, unmatched, start, request_id)
        return self._local(head, stream, request_id, client)

    def _take_route(
        self,
        head: RequestHead,
        stream: Stream,
        route: Route,
        target: bytes,
        request_id: bytes,
        client: bytes,
        start: float,
    ) -> Exchange | None:
        stats = self._observer.route(route.template)
        service = self._services.get(route.service)
        if service is None:
            return self._answer(head, stream, Reason.NO_INSTANCE, stats, start, request_id)
        if b"%2F" in head.path and route.settings.encoded_slashes != "keep":
            return self._answer(head, stream, Reason.INVALID_TARGET, stats, start, request_id)
        settings = self._settings_for(route, service.settings)
        return self._proxy(head, stream, service, settings, stats, target, request_id, client, start)

    def _settings_for(self, route: Route, settings: ServiceSettings) -> ServiceSettings:
        # Made once a route, and once more when the service came back with other settings.
        known = self._overrides.get(route)
        if known is not None and known[0] is settings:
            return known[1]
        own = route.settings
        merged = evolve(
            settings,
            timeouts=own.timeouts or settings.timeouts,
            max_body=settings.max_body if own.max_body is None else own.max_body,
        )
        self._overrides[route] = (settings, merged)
        return merged

    def _answer_options(self, head: RequestHead, stream: Stream, start: float, request_id: bytes) -> Exchange | None:
        # RFC 9110 section 9.3.7: of the server as a whole, or as the last one that the request may reach.
        lines = b"Allow: %b\r\nX-Request-ID: %b\r\n%b" % (_ALLOW, request_id, date_line())
        stream.send_response(204, b"No Content", lines, None, b"", True)
        self._report(head, stream, 204, None, self._observer.unmatched, start, request_id, 0)
        return None

    def _answer(
        self,
        head: RequestHead,
        stream: Stream,
        reason: Reason,
        route: RouteStats,
        start: float,
        request_id: bytes,
        allow: bytes = b"",
    ) -> Exchange | None:
        sent = send_problem(stream, head.method, reason, request_id, allow=allow)
        self._report(head, stream, reason.status, reason, route, start, request_id, sent)
        return None

    def _report(
        self,
        head: RequestHead,
        stream: Stream,
        status: int,
        reason: Reason | None,
        route: RouteStats,
        start: float,
        request_id: bytes,
        sent: int,
    ) -> None:
        now = monotonic()
        client = self._forwarding.client(stream.peer, head.fields.owned)
        self._observer.finish(
            route, head.method, head.path, status, reason, start, now, now, 0, sent, request_id, client, None, b"", 0
        )

    def refuse(self, stream: Stream, reason: Reason, detail: str) -> None:
        """
        See L{siger.http.stream.Application}: nothing of the request can be relied on, so nothing of it is logged.
        """
        now = monotonic()
        request_id = self._ids.new()
        allow = _ALLOW if reason is Reason.METHOD_NOT_ALLOWED else b""
        sent = send_problem(stream, b"GET", reason, request_id, detail, allow)
        self._observer.finish(
            self._observer.unmatched,
            b"-",
            b"",
            reason.status,
            reason,
            now,
            now,
            now,
            0,
            sent,
            request_id,
            stream.peer,
            None,
            b"",
            0,
        )
