"""
The front door: where every request, from any kind of connection, finds what answers it.

First it is settled who the client is and where the request is to go; then whether it may, by the rules of that place:
limits, tokens, roles, other origins. One normal form of the path decides about all of it. Whatever is refused on the
way is answered and reported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from siger.destinations import Destinations
from siger.errors import Reason
from siger.grpc.content import GRPC, NOT_GRPC, WEB_TEXT
from siger.grpc.status import status_of_reason
from siger.http.date import date_line
from siger.http.grpc_web import WebExchange, WebStream, response_kind, translate
from siger.http.holding import Held
from siger.http.problem import send_problem
from siger.http.request import METHODS
from siger.policy.cors import is_preflight
from siger.policy.forwarded import Forwarding, is_loop
from siger.policy.identity import Identity
from siger.policy.limit_keys import address_key
from siger.policy.request_id import RequestIds
from siger.policy.rules import TRY_BEARER, USER
from siger.proxy.arrival import Arrival, Destination
from siger.proxy.context import ProxyContext
from siger.proxy.exchanges import make_exchange
from siger.routing import SERVICES_PREFIX, RouteTable

if TYPE_CHECKING:
    from siger.balancing.service import Service
    from siger.http.request import RequestHead
    from siger.http.stream import Exchange, Stream
    from siger.observe.observer import Observer
    from siger.policy.ratelimit import Limiter

__all__ = ["Authenticate", "FrontDoor", "LocalApplication"]

_PREFIX_LENGTH: Final = len(SERVICES_PREFIX)
_ALLOW: Final = b", ".join(sorted(METHODS))

LocalApplication = Callable[["RequestHead", "Stream", bytes, bytes, "Identity | None"], "Exchange | None"]
"""The gateway's own endpoints: given head, stream, request id, client address, and whose request it is."""

Authenticate = Callable[[bytes], Any]
"""
Says whose C{Authorization} this is: an L{Identity}, the L{Reason} why nobody's, or a C{Deferred} of one of them when
that has to be asked elsewhere.
"""


class FrontDoor:
    """
    Answers requests; L{siger.http.stream.Application}.

    @ivar is_misdirected: whether a request for this authority came on a connection that is not for it; C{None} where
        there is only one kind of connections.
    """

    __slots__ = (
        "_authenticate",
        "_context",
        "_destinations",
        "_forwarding",
        "_ids",
        "_local",
        "_observer",
        "_routes",
        "_services",
        "_template",
        "is_misdirected",
    )

    def __init__(
        self,
        services: Mapping[bytes, Service],
        routes: RouteTable,
        context: ProxyContext,
        destinations: Destinations,
        local: LocalApplication,
        template: Callable[[bytes], str | None],
        authenticate: Authenticate,
    ) -> None:
        """
        @param services: the catalogue's table, read anew for each request.
        @param local: the gateway's own endpoints, which report for themselves.
        @param template: the route template of one of their paths, C{None} for others.
        """
        self._services = services
        self._routes = routes
        self._context = context
        self._destinations = destinations
        self._local = local
        self._template = template
        self._authenticate = authenticate
        self._observer: Observer = context.observer
        self._forwarding: Forwarding = context.forwarding
        self._ids = RequestIds()
        self.is_misdirected: Callable[[Stream, bytes], bool] | None = None

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
        else:
            request_id = self._ids.new()
            client = stream.peer
        stream.request_id = request_id
        answers = _for_calls(head, stream) if head.fields.grpc else stream
        arrival = Arrival(head, answers, request_id, client, start)
        if stream.secure and self.is_misdirected is not None and self.is_misdirected(stream, head.host):
            arrival.place = self._destinations.nowhere
            return self._enter(arrival, Reason.MISDIRECTED)
        if owned and (b"via" in owned or b"max-forwards" in owned):
            arrival.place = self._destinations.nowhere
            if is_loop(owned):
                return self._enter(arrival, Reason.LOOP_DETECTED)
            if head.method == b"OPTIONS" and owned.get(b"max-forwards") == b"0":
                return self._enter(arrival)
        if path.startswith(SERVICES_PREFIX):
            slash = path.find(b"/", _PREFIX_LENGTH)
            name, target = (path[_PREFIX_LENGTH:], b"/") if slash < 0 else (path[_PREFIX_LENGTH:slash], path[slash:])
            service = self._services.get(name)
            if service is None:
                arrival.place = self._destinations.unknown_service(name)
                return self._enter(arrival, Reason.UNKNOWN_SERVICE)
            place: Destination | None = service.destination
            arrival.place = place if place is not None else self._destinations.of_service(service)
            arrival.target = target
            return self._enter(arrival) if b"%2F" not in path else self._enter(arrival, Reason.INVALID_TARGET)
        return self._elsewhere(arrival)

    # Finding the way.

    def _elsewhere(self, arrival: Arrival) -> Exchange | None:
        # Not below /services/: a configured route, the gateway itself, or a gRPC service that some service announced. A
        # route for one host may take any path of that host's; one for all hosts does not take away the gateway's own
        # endpoints.
        head = arrival.head
        arrival.place = self._destinations.nowhere
        if head.path == b"*":
            return self._enter(arrival)
        found = self._routes.find(head.host, head.path, _method_of_interest(head))
        template = self._template(head.path)
        if isinstance(found, tuple):
            route, target = found
            if template is None or route.host:
                return self._take_route(arrival, route, target)
        elif template is None:
            called = self._destinations.at_call(head.path)
            if called is not None:
                return self._take_call(arrival, called)
            if found:
                return self._refuse_method(arrival, found)
        if b"%2F" in head.path:
            return self._enter(arrival, Reason.INVALID_TARGET)
        if template is None:
            return self._enter(arrival, Reason.NO_ROUTE)
        arrival.place = self._destinations.of_own(template)
        return self._enter(arrival)

    def _refuse_method(self, arrival: Arrival, allow: bytes) -> Exchange | None:
        # By the rules of a route that takes the path, though not like this.
        other = self._routes.find(arrival.head.host, arrival.head.path, allow.partition(b",")[0])
        if isinstance(other, tuple):
            arrival.place = self._destinations.closed(other[0])
        return self._enter(arrival, Reason.METHOD_NOT_ALLOWED, allow)

    def _take_route(self, arrival: Arrival, route: Any, target: bytes) -> Exchange | None:
        service = self._services.get(route.service)
        if service is None:
            arrival.place = self._destinations.absent(route)
            return self._enter(arrival, Reason.NO_INSTANCE)
        arrival.place = self._destinations.of_route(route, service)
        arrival.target = target
        if b"%2F" in arrival.head.path and route.settings.encoded_slashes != "keep":
            return self._enter(arrival, Reason.INVALID_TARGET)
        return self._enter(arrival)

    def _take_call(self, arrival: Arrival, place: Destination) -> Exchange | None:
        if _method_of_interest(arrival.head) != b"POST":
            arrival.place = self._destinations.closed_like(place)
            return self._enter(arrival, Reason.METHOD_NOT_ALLOWED, b"POST")
        arrival.place = place
        arrival.target = arrival.head.path
        return self._enter(arrival, Reason.INVALID_TARGET if b"%2F" in arrival.target else None)

    # Admission.

    def _enter(self, arrival: Arrival, refusal: Reason | None = None, allow: bytes = b"") -> Exchange | None:
        # What leads nowhere is refused with the limits and the origins of everything else.
        rules = arrival.place.rules
        if rules.cors is not None and self._meets_browser(arrival):
            return None
        limiter = rules.limit
        if limiter is not None:
            client = arrival.client
            wait = limiter.admit(client if b":" not in client else address_key(client))
            if wait:
                return self._limit(arrival, limiter, wait)
        for limit in rules.early:
            wait = limit.wait(arrival.client, arrival.head, None, arrival.place.label, _service_label(arrival))
            if wait:
                return self._limit(arrival, limit.limiter, wait)
        if refusal is not None:
            return self._refuse(arrival, refusal, allow)
        if rules.asks:
            return self._identify(arrival)
        return self._go(arrival)

    def _meets_browser(self, arrival: Arrival) -> bool:
        # Says to a browser what pages of other origins may do; a preflight request is answered with that (Fetch
        # standard, "CORS-preflight request"). It costs no more than a refusal, so no limit stands before it.
        cors = arrival.place.rules.cors
        assert cors is not None
        owned = arrival.head.fields.owned
        if not is_preflight(arrival.head):
            arrival.stream.added = cors.lines(owned.get(b"origin"))
            return False
        asked = owned.get(b"access-control-request-headers", b"")
        self._answer_empty(arrival, cors.preflight(owned[b"origin"], owned[b"access-control-request-method"], asked))
        return True

    def _identify(self, arrival: Arrival) -> Exchange | None:
        fields = arrival.head.fields
        known = fields.bearer
        if isinstance(known, Identity) and known.expires > time():
            arrival.identity = known
            return self._admit(arrival)
        credentials = fields.owned.get(b"authorization")
        if credentials is None:
            return self._settle(arrival, Reason.UNAUTHENTICATED)
        found = self._authenticate(credentials)
        if isinstance(found, (Identity, Reason)):
            return self._settle(arrival, found)
        return self._hold(arrival, found)

    def _settle(self, arrival: Arrival, found: object) -> Exchange | None:
        # What came of the token, or of its absence.
        if isinstance(found, Identity):
            arrival.identity = arrival.head.fields.bearer = found
            return self._admit(arrival)
        asks = arrival.place.rules.asks
        if asks == TRY_BEARER or (found is Reason.UNAUTHENTICATED and asks != USER):
            return self._admit(arrival)
        return self._refuse(arrival, found if isinstance(found, Reason) else Reason.INTERNAL_ERROR)

    def _hold(self, arrival: Arrival, pending: Any) -> Exchange | None:
        gone = Reason.CLIENT_GONE
        held = Held(
            arrival.stream,
            lambda: self._report(arrival, gone.status, gone, 0),
            lambda reason: self._refuse(arrival, reason),
        )
        held.wait(pending, lambda found: self._settle(arrival, found))
        return held

    def _admit(self, arrival: Arrival) -> Exchange | None:
        rules = arrival.place.rules
        identity = arrival.identity
        if identity is not None and rules.roles and not identity.may(rules.roles):
            return self._refuse(arrival, Reason.FORBIDDEN)
        for limit in rules.late:
            wait = limit.wait(arrival.client, arrival.head, identity, arrival.place.label, _service_label(arrival))
            if wait:
                return self._limit(arrival, limit.limiter, wait)
        return self._go(arrival)

    def _go(self, arrival: Arrival) -> Exchange | None:
        place = arrival.place
        head = arrival.head
        service = place.service
        if service is None or place.settings is None:
            if place is self._destinations.nowhere:
                return self._answer_options(arrival)  # nothing else gets this far without leading anywhere
            return self._local(head, arrival.stream, arrival.request_id, arrival.client, arrival.identity)
        if head.query:
            arrival.target += head.query
        kind = head.fields.grpc
        if kind > GRPC:
            if service.takes_calls:
                arrival.head = translate(head, kind)
            else:
                kind = NOT_GRPC  # what speaks HTTP/1.1 can only mean to speak gRPC-Web itself
        exchange = make_exchange(self._context, arrival).begin()
        return WebExchange(exchange) if kind == WEB_TEXT and exchange is not None else exchange

    # Answering here.

    def _limit(self, arrival: Arrival, limiter: Limiter, wait: int) -> Exchange | None:
        return self._refuse(arrival, Reason.RATE_LIMITED, b"", wait, limiter.lines(wait))

    def _refuse(
        self, arrival: Arrival, reason: Reason, allow: bytes = b"", retry_after: int = 1, extra: bytes = b""
    ) -> Exchange | None:
        stream, method = arrival.stream, arrival.head.method
        sent = send_problem(stream, method, reason, arrival.request_id, "", allow, retry_after, extra)
        self._report(arrival, 200 if stream.grpc else reason.status, reason, sent)
        return None

    def _answer_options(self, arrival: Arrival) -> Exchange | None:
        # RFC 9110 section 9.3.7: of the server as a whole, or as the last one that the request may reach.
        return self._answer_empty(arrival, b"Allow: %b\r\n" % _ALLOW)

    def _answer_empty(self, arrival: Arrival, lines: bytes) -> Exchange | None:
        lines += date_line()
        arrival.stream.send_response(204, b"No Content", lines, None, b"", True)
        self._report(arrival, 204, None, 0)
        return None

    def _report(self, arrival: Arrival, status: int, reason: Reason | None, sent: int) -> None:
        now = monotonic()
        identity = arrival.identity
        self._observer.finish(
            arrival.place.stats,
            arrival.head.method,
            arrival.head.path,
            status,
            reason,
            arrival.start,
            now,
            now,
            0,
            sent,
            arrival.request_id,
            arrival.client,
            None,
            b"",
            0,
            b"" if identity is None else identity.logged,
            arrival.head.version,
            status_of_reason(reason) if reason is not None and arrival.stream.grpc else -1,
            arrival.place.calls,
        )

    def refuse(self, stream: Stream, reason: Reason, detail: str) -> None:
        """
        See L{siger.http.stream.Application}: nothing of the request can be relied on, so nothing of it is logged.
        """
        now = monotonic()
        request_id = stream.request_id = self._ids.new()
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
            b"",
            stream.version,
        )


def _for_calls(head: RequestHead, stream: Stream) -> Stream:
    # Whatever becomes of a gRPC call, its client is told in the terms that it knows.
    stream.grpc = True
    return WebStream(stream, response_kind(head)) if head.fields.grpc > GRPC else stream


def _method_of_interest(head: RequestHead) -> bytes:
    # A preflight request is about the request that it announces, so it finds that one's route.
    return head.fields.owned[b"access-control-request-method"] if is_preflight(head) else head.method


def _service_label(arrival: Arrival) -> bytes:
    service = arrival.place.service
    return b"" if service is None else service.label
