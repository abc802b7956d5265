"""
What a gateway knows of itself: its state for probes, its gauges for Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING

from siger import __version__
from siger.balancing.health import UP
from siger.http.h2.server import ServerConnection
from siger.proxy.multiplexed_pool import MultiplexedPool
from siger.proxy.pool import Pool

if TYPE_CHECKING:
    from siger.discovery.catalogue import Catalogue
    from siger.http.server import ServerFactory
    from siger.observe.access_log import AccessLog
    from siger.observe.metrics import Metrics, Reading
    from siger.policy.rules import RuleBook

__all__ = ["Vitals", "expose"]


class Vitals:
    """
    The state, in the words of L{siger.admin.app.Facts}.

    @ivar state: C{"starting"}, C{"ready"} or C{"draining"}.
    @ivar version: of Siger.
    """

    def __init__(self) -> None:
        self.state = "starting"
        self.version = __version__
        self._begun = monotonic()
        self._checks: dict[str, Callable[[], str]] = {}

    @property
    def uptime(self) -> float:
        """
        Seconds since the gateway was built.
        """
        return monotonic() - self._begun

    @property
    def checks(self) -> Mapping[str, str]:
        """
        How the parts are, a word or two each.
        """
        return {name: check() for name, check in self._checks.items()}

    def watch(self, name: str, check: Callable[[], str]) -> None:
        """
        Include a part.
        """
        self._checks[name] = check


def expose(
    metrics: Metrics, catalogue: Catalogue, factory: ServerFactory, access_log: AccessLog | None, book: RuleBook
) -> None:
    """
    Show connections, pools, catalogue, limits and log among the metrics.
    """
    decisions = "siger_rate_limit_decisions_total"
    metrics.counter(decisions, "Requests counted against a limit", lambda: _decisions(book))
    metrics.gauge("siger_connections", "Open client connections", lambda: float(len(factory.context.channels)))
    metrics.counter("siger_connections_accepted_total", "Client connections accepted", lambda: float(factory.accepted))
    metrics.counter(
        "siger_connections_refused_total", "Client connections over a limit", lambda: float(factory.refused)
    )
    errors = "siger_proxy_protocol_errors_total"
    about = "Connections without the PROXY protocol header that they owe"
    metrics.counter(errors, about, lambda: float(factory.unannounced))
    metrics.gauge("siger_http2_connections", "Those of them that are of HTTP/2", lambda: float(len(_http2(factory))))
    metrics.gauge(
        "siger_http2_streams",
        "Requests in progress on connections of HTTP/2",
        lambda: float(sum(len(connection.streams) for connection in _http2(factory))),
    )
    metrics.gauge("siger_services", "Services in the catalogue", lambda: float(len(catalogue.services)))
    metrics.gauge("siger_service_instances", "Instances of a service", lambda: _instances(catalogue))
    healthy = "siger_service_healthy_instances"
    metrics.gauge(healthy, "Instances of a service that are well", lambda: _healthy(catalogue))
    metrics.gauge("siger_service_in_flight_requests", "Requests at a service", lambda: _in_flight(catalogue))
    metrics.gauge("siger_upstream_connections", "Connections to instances", lambda: _connections(catalogue))
    if access_log is not None:
        dropped = "siger_access_log_dropped_total"
        metrics.counter(dropped, "Access-log lines lost", lambda: float(access_log.dropped))


def _http2(factory: ServerFactory) -> list[ServerConnection]:
    return [channel for channel in factory.context.channels if isinstance(channel, ServerConnection)]


def _decisions(book: RuleBook) -> Reading:
    return [
        ({"policy": limiter.name, "decision": decision}, float(getattr(limiter, decision)))
        for limiter in book.limiters
        for decision in ("allowed", "limited", "shadowed")
    ]


def _instances(catalogue: Catalogue) -> Reading:
    return [({"service": service.name}, float(len(service.endpoints))) for service in catalogue.services.values()]


def _healthy(catalogue: Catalogue) -> Reading:
    return [
        ({"service": service.name}, float(sum(endpoint.health == UP for endpoint in service.endpoints)))
        for service in catalogue.services.values()
    ]


def _in_flight(catalogue: Catalogue) -> Reading:
    return [({"service": service.name}, float(service.inflight)) for service in catalogue.services.values()]


def _connections(catalogue: Catalogue) -> Reading:
    readings: list[tuple[dict[str, str], float]] = []
    for service in catalogue.services.values():
        pools = list(_pools(service.endpoints))
        for state in ("active", "idle", "connecting", "waiting"):
            count = sum(getattr(pool, state) for pool in pools)
            readings.append(({"service": service.name, "state": state}, float(count)))
    return readings


def _pools(endpoints: tuple[object, ...]) -> Iterator[Pool | MultiplexedPool]:
    for endpoint in endpoints:
        pool = getattr(endpoint, "pool", None)
        if isinstance(pool, Pool | MultiplexedPool):
            yield pool
