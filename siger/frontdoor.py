"""
The front door: where every request, from any kind of connection, finds what answers it.

First it is settled who the client is and where the request is to go; then whether it may, by the rules of that place:
limits, tokens, roles, other origins. What is refused on the way is refused here, and reported; all else reports for
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from siger.answers import Answers
from siger.destinations import Destinations
from siger.errors import Reason
from siger.grpc.content import GRPC, NOT_GRPC, WEB_TEXT
from siger.http.grpc_web import WebExchange, WebStream, response_kind, translate
from siger.http.holding import Held
from siger.policy.cors import is_preflight
from siger.policy.forwarded import Forwarding, is_loop
from siger.policy.identity import Identity
from siger.policy.limit_keys import address_key
from siger.policy.request_id import RequestIds
from siger.policy.rules import TRY_BEARER, USER
from siger.proxy.arrival import Arrival
from siger.proxy.context import ProxyContext
from siger.proxy.exchanges import make_exchange
from siger.routing import RouteTable
from siger.ways import Ways

if TYPE_CHECKING:
    from siger.balancing.service import Service
    from siger.http.request import RequestHead
    from siger.http.stream import Exchange, Stream

__all__ = ["Authenticate", "FrontDoor", "LocalApplication"]

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
        "_answers",
        "_authenticate",
        "_context",
        "_destinations",
        "_forwarding",
        "_ids",
        "_local",
        "_ways",
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
        self._ways = Ways(services, routes, destinations, template)
        self._answers = Answers(context.observer)
        self._context = context
        self._destinations = destinations
        self._local = local
        self._authenticate = authenticate
        self._forwarding: Forwarding = context.forwarding
        self._ids = RequestIds()
        self.is_misdirected: Callable[[Stream, bytes], bool] | None = None

    def __call__(self, head: RequestHead, stream: Stream) -> Exchange | None:
        """
        See L{siger.http.stream.Application}.
        """
        start = monotonic()
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
            arrival.refusal = Reason.MISDIRECTED
        elif owned and (b"via" in owned or b"max-forwards" in owned) and self._goes_no_further(arrival):
            arrival.place = self._destinations.nowhere
        else:
            self._ways.find(arrival)
        return self._enter(arrival)

    def _goes_no_further(self, arrival: Arrival) -> bool:
        # Because it was here before, or for an answer from whoever it has reached by now.
        owned = arrival.head.fields.owned
        if is_loop(owned):
            arrival.refusal = Reason.LOOP_DETECTED
            return True
        return arrival.head.method == b"OPTIONS" and owned.get(b"max-forwards") == b"0"

    # Admission.

    def _enter(self, arrival: Arrival) -> Exchange | None:
        # What leads nowhere is refused with the limits and the origins of everything else.
        rules = arrival.place.rules
        if rules.cors is not None and self._meets_browser(arrival):
            return None
        limiter = rules.limit
        if limiter is not None:
            client = arrival.client
            wait = limiter.admit(client if b":" not in client else address_key(client))
            if wait:
                self._answers.limit(arrival, limiter, wait)
                return None
        for limit in rules.early:
            wait = limit.wait(arrival.client, arrival.head, None, arrival.place.label, _service_label(arrival))
            if wait:
                self._answers.limit(arrival, limit.limiter, wait)
                return None
        if arrival.refusal is not None:
            self._answers.refuse(arrival, arrival.refusal, arrival.allow)
            return None
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
        self._answers.empty(arrival, cors.preflight(owned[b"origin"], owned[b"access-control-request-method"], asked))
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
        self._answers.refuse(arrival, found if isinstance(found, Reason) else Reason.INTERNAL_ERROR)
        return None

    def _hold(self, arrival: Arrival, pending: Any) -> Exchange | None:
        answers = self._answers
        held = Held(
            arrival.stream,
            lambda: answers.gone(arrival),
            lambda reason: answers.refuse(arrival, reason),
        )
        held.wait(pending, lambda found: self._settle(arrival, found))
        return held

    def _admit(self, arrival: Arrival) -> Exchange | None:
        rules = arrival.place.rules
        identity = arrival.identity
        if identity is not None and rules.roles and not identity.may(rules.roles):
            self._answers.refuse(arrival, Reason.FORBIDDEN)
            return None
        for limit in rules.late:
            wait = limit.wait(arrival.client, arrival.head, identity, arrival.place.label, _service_label(arrival))
            if wait:
                self._answers.limit(arrival, limit.limiter, wait)
                return None
        return self._go(arrival)

    def _go(self, arrival: Arrival) -> Exchange | None:
        place = arrival.place
        head = arrival.head
        service = place.service
        if service is None or place.settings is None:
            if place is self._destinations.nowhere:
                self._answers.options(arrival)  # nothing else gets this far without leading anywhere
                return None
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

    def refuse(self, stream: Stream, reason: Reason, detail: str) -> None:
        """
        See L{siger.http.stream.Application}.
        """
        stream.request_id = self._ids.new()
        self._answers.refuse_unread(stream, reason, detail)


def _for_calls(head: RequestHead, stream: Stream) -> Stream:
    # Whatever becomes of a gRPC call, its client is told in the terms that it knows.
    stream.grpc = True
    return WebStream(stream, response_kind(head)) if head.fields.grpc > GRPC else stream


def _service_label(arrival: Arrival) -> bytes:
    service = arrival.place.service
    return b"" if service is None else service.label
