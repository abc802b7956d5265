"""
What happened to each request, counted where it costs least.

L{Observer.finish} runs once for every request, so it only adds to plain integers and appends one tuple to the access
log's batch. Everything that can wait is done by whoever reads: L{siger.observe.metrics} turns the numbers into
Prometheus samples when it is scraped, L{siger.observe.access_log} turns the tuples into lines when it is flushed. All
of it happens in the reactor's thread, so there is nothing to lock.

The number of series is bounded by construction: routes and services are named by configuration and discovery, never by
a request, and are capped on top; methods come from a fixed set; statuses that nobody registered count as their class.
The methods of a gRPC service are in no configuration, so their names are taken from requests, but only from those that
an instance answered as a method it has, and never more than a few.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from siger.grpc.status import NAMES, UNIMPLEMENTED

if TYPE_CHECKING:
    from siger.errors import Reason
    from siger.observe.access_log import AccessLog

__all__ = [
    "DURATION_BOUNDS",
    "MAX_GRPC_METHODS",
    "MAX_ROUTES",
    "MAX_SERVICES",
    "OTHER_METHOD",
    "OVERFLOW",
    "SIZE_BOUNDS",
    "UNMATCHED",
    "GrpcMethodStats",
    "GrpcStats",
    "MethodStats",
    "Observer",
    "RouteStats",
    "ServiceStats",
]

DURATION_BOUNDS: list[float] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
"""Upper bounds of the duration buckets, in seconds. Fine at the bottom: a gateway's own share is under 1 ms."""

SIZE_BOUNDS: list[int] = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000]
"""Upper bounds of the response size buckets, in bytes."""

UNMATCHED = "_unmatched"
"""The route label of requests that no route took."""

OVERFLOW = "_overflow"
"""The label that routes and services beyond the caps share."""

OTHER_METHOD = b"_OTHER"
"""The method label of every method outside L{_METHODS}, and of gRPC methods without a label of their own."""

MAX_ROUTES = 1000
MAX_SERVICES = 1000

MAX_GRPC_METHODS = 100
"""How many methods of one gRPC service have a label of their own."""

_UNREGISTERED: Final = len(NAMES)
"""Where gRPC statuses that nobody registered are counted."""

_is_grpc_method = re.compile(rb"[A-Za-z_][0-9A-Za-z_]{0,99}").fullmatch

_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))


class MethodStats:
    """
    Counts of one method on one route.

    @ivar statuses: how often each status was answered.
    @ivar durations: requests a duration bucket, not cumulative; one bucket more than there are bounds.
    @ivar sizes: the same for response sizes.
    """

    __slots__ = ("duration_sum", "durations", "size_sum", "sizes", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.durations: list[int] = [0] * (len(DURATION_BOUNDS) + 1)
        self.duration_sum: float = 0.0
        self.sizes: list[int] = [0] * (len(SIZE_BOUNDS) + 1)
        self.size_sum: int = 0


class RouteStats:
    """
    Counts of one route.

    @ivar template: the route's label, as in C{/services/{name}/*}.
    @ivar methods: counts by method; unknown methods share L{OTHER_METHOD}.
    @ivar fragment: the template as the access log writes it.
    """

    __slots__ = ("fragment", "methods", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self.methods: dict[bytes, MethodStats] = {}
        self.fragment: bytes = json.dumps(template).encode("ascii")

    def method(self, name: bytes) -> MethodStats:
        """
        The counts for a method, made when it is first seen here.
        """
        key = name if name in _METHODS else OTHER_METHOD
        found = self.methods.get(key)
        if found is None:
            found = self.methods[key] = MethodStats()
        return found


class ServiceStats:
    """
    Counts of the requests that were meant for one service.

    @ivar name: the service's label.
    @ivar statuses: how often each status was answered.
    @ivar durations: requests a duration bucket, not cumulative.
    @ivar fragment: the name as the access log writes it.
    """

    __slots__ = ("duration_sum", "durations", "fragment", "name", "statuses")

    def __init__(self, name: str) -> None:
        self.name = name
        self.statuses: dict[int, int] = {}
        self.durations: list[int] = [0] * (len(DURATION_BOUNDS) + 1)
        self.duration_sum: float = 0.0
        self.fragment: bytes = json.dumps(name).encode("ascii")


class GrpcMethodStats:
    """
    Counts of one method of a gRPC service.

    @ivar statuses: calls by gRPC status, with one place at the end for all that are not registered.
    @ivar durations: calls a duration bucket, not cumulative.
    """

    __slots__ = ("duration_sum", "durations", "statuses")

    def __init__(self) -> None:
        self.statuses: list[int] = [0] * (len(NAMES) + 1)
        self.durations: list[int] = [0] * (len(DURATION_BOUNDS) + 1)
        self.duration_sum: float = 0.0


class GrpcStats:
    """
    Counts of the calls of one gRPC service.

    @ivar label: the service's label.
    @ivar methods: counts by method; those without a label of their own share L{OTHER_METHOD}.
    """

    __slots__ = ("_other", "label", "methods")

    def __init__(self, label: str) -> None:
        self.label = label
        self._other = GrpcMethodStats()
        self.methods: dict[bytes, GrpcMethodStats] = {OTHER_METHOD: self._other}

    def method(self, name: bytes) -> GrpcMethodStats:
        """
        The counts for a method: its own, if it was met with before.
        """
        return self.methods.get(name, self._other)

    def meet(self, name: bytes, status: int, reason: Reason | None) -> GrpcMethodStats:
        """
        The counts for a method that has none of its own. It gets some if this call shows that there is such a method:
        an instance answered it, and not that it has no such method.

        @param status: the gRPC status of the call.
        @param reason: why the gateway ended the call, if it was not the instance that did.
        """
        known = reason is None and status != UNIMPLEMENTED
        if not known or len(self.methods) > MAX_GRPC_METHODS or _is_grpc_method(name) is None:
            return self._other
        found = self.methods[name] = GrpcMethodStats()
        return found


class Observer:
    """
    The one place that hears of every request.

    @ivar in_flight: requests being answered; whoever begins a request adds one, and takes it away when it ends.
    @ivar unmatched: the counts for requests that no route took.
    @ivar routes: counts by route template.
    @ivar services: counts by service name.
    @ivar grpc_services: counts by gRPC service.
    @ivar reasons: how often each reason was given.
    """

    __slots__ = ("_entries", "_log", "grpc_services", "in_flight", "reasons", "routes", "services", "unmatched")

    def __init__(self, access_log: AccessLog | None = None) -> None:
        self._log = access_log
        self._entries = None if access_log is None else access_log.entries
        self.in_flight: int = 0
        self.routes: dict[str, RouteStats] = {}
        self.services: dict[str, ServiceStats] = {}
        self.grpc_services: dict[str, GrpcStats] = {}
        self.reasons: dict[Reason, int] = {}
        self.unmatched: RouteStats = self.route(UNMATCHED)

    def route(self, template: str) -> RouteStats:
        """
        The counts of a route, made when the table of routes is built; keep the result beside the route.
        """
        found = self.routes.get(template)
        if found is None:
            label = template if len(self.routes) < MAX_ROUTES else OVERFLOW
            found = self.routes.setdefault(label, RouteStats(label))
        return found

    def service(self, name: str) -> ServiceStats:
        """
        The counts of a service, made when the catalogue learns of it; keep the result beside the service.
        """
        found = self.services.get(name)
        if found is None:
            label = name if len(self.services) < MAX_SERVICES else OVERFLOW
            found = self.services.setdefault(label, ServiceStats(label))
        return found

    def grpc(self, service_label: str) -> GrpcStats:
        """
        The counts of a gRPC service, made when a route to it is made; keep the result beside the route.

        @param service_label: a name from the configuration or the catalogue, never from a request.
        """
        found = self.grpc_services.get(service_label)
        if found is None:
            label = service_label if len(self.grpc_services) < MAX_SERVICES else OVERFLOW
            found = self.grpc_services.setdefault(label, GrpcStats(label))
        return found

    def finish(
        self,
        route: RouteStats,
        method: bytes,
        path: bytes,
        status: int,
        reason: Reason | None,
        start: float,
        first_byte: float,
        now: float,
        bytes_in: int,
        bytes_out: int,
        request_id: bytes,
        client: bytes,
        service: ServiceStats | None,
        instance: bytes,
        attempts: int,
        user: bytes = b"",
        version: int = 11,
        grpc: int = -1,
        grpc_stats: GrpcStats | None = None,
    ) -> None:
        """
        Count a request that has ended, and remember it for the access log.

        @param path: normalised, without the query: queries carry tokens.
        @param status: what the client got, or would have got.
        @param reason: why the gateway answered by itself or ended the exchange uncleanly.
        @param start: when the request head was complete, by C{time.monotonic}.
        @param first_byte: when the response began; 0.0 if it never did.
        @param now: when the exchange ended.
        @param bytes_in: size of the request's body.
        @param bytes_out: size of the response's body.
        @param request_id: well-formed: made or checked by admission.
        @param client: the client's address as the gateway writes addresses.
        @param service: the service it was meant for, if it was proxied.
        @param instance: C{host:port} of the instance used last, or C{b""}.
        @param attempts: how many instances were tried.
        @param user: whose token it came with, ready to stand between the quotes of a JSON string; C{b""} for nobody's.
        @param version: of HTTP, that the client spoke: 10, 11 or 20.
        @param grpc: the gRPC status, or -1 for what is not gRPC.
        @param grpc_stats: the counts of the gRPC service it was meant for; its method is the path's last segment.
        """
        stats = route.methods.get(method)
        if stats is None:
            stats = route.method(method)
        elapsed = now - start
        bucket = bisect_left(DURATION_BOUNDS, elapsed)
        stats.statuses[status] = stats.statuses.get(status, 0) + 1
        stats.durations[bucket] += 1
        stats.duration_sum += elapsed
        stats.sizes[bisect_left(SIZE_BOUNDS, bytes_out)] += 1
        stats.size_sum += bytes_out
        if service is not None:
            service.statuses[status] = service.statuses.get(status, 0) + 1
            service.durations[bucket] += 1
            service.duration_sum += elapsed
        if grpc_stats is not None and grpc >= 0:
            name = path[path.rfind(b"/") + 1 :]
            cell = grpc_stats.methods.get(name)
            if cell is None:
                cell = grpc_stats.meet(name, grpc, reason)
            cell.statuses[grpc if grpc < _UNREGISTERED else _UNREGISTERED] += 1
            cell.durations[bucket] += 1
            cell.duration_sum += elapsed
        if reason is not None:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        entries = self._entries
        if entries is not None:
            entries.append(
                (
                    route,
                    method,
                    path,
                    status,
                    reason,
                    start,
                    first_byte,
                    now,
                    bytes_in,
                    bytes_out,
                    request_id,
                    client,
                    service,
                    instance,
                    attempts,
                    user,
                    version,
                    grpc,
                )
            )
            if len(entries) >= 512:
                self._full()

    def _full(self) -> None:
        """
        The batch has its size: write it without waiting for the timer.
        """
        if self._log is not None:
            self._log.flush()
