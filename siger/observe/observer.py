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

from bisect import bisect_left
from typing import TYPE_CHECKING

from siger.observe.stats import DURATION_BOUNDS, GrpcStats, RouteStats, ServiceStats

if TYPE_CHECKING:
    from siger.errors import Reason
    from siger.observe.access_log import AccessLog

__all__ = ["MAX_ROUTES", "MAX_SERVICES", "OVERFLOW", "UNMATCHED", "Observer"]

UNMATCHED = "_unmatched"
"""The route label of requests that no route took."""

OVERFLOW = "_overflow"
"""The label that routes and services beyond the caps share."""

MAX_ROUTES = 1000
MAX_SERVICES = 1000


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
        stats.count(status, bucket, elapsed, bytes_out)
        if service is not None:
            service.count(status, bucket, elapsed)
        if grpc_stats is not None and grpc >= 0:
            grpc_stats.count(path, grpc, reason, bucket, elapsed)
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
