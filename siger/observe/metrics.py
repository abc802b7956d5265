"""
Metrics as Prometheus reads them: the observer's plain numbers, made into samples only when somebody asks.

The registry is the gateway's own, so that nothing else in the process can add to what is served. Figures that others
keep (connections, pools, the catalogue) are pulled from them by callables at the same moment, see L{Metrics.gauge}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import accumulate

from attrs import frozen
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from twisted.logger import Logger

from siger import __version__
from siger.errors import Reason
from siger.grpc.status import NAMES
from siger.observe.observer import Observer
from siger.observe.stats import DURATION_BOUNDS, SIZE_BOUNDS, MethodStats, RouteStats

__all__ = ["Metrics", "Reading", "status_label"]

Reading = float | Sequence[tuple[dict[str, str], float]]
"""What a pulled metric gives: one value, or one for each set of labels."""

_GRPC_STATUSES = (*NAMES, "OTHER")
_STATUSES = {status.value: str(status.value) for status in HTTPStatus} | {499: "499"}
_log = Logger()


def status_label(status: int) -> str:
    """
    A status code as a label: itself if it is registered (or 499), else its class, so that no backend that makes up
    codes can make up series.
    """
    return _STATUSES.get(status) or f"{status // 100}xx"


def _labelled_statuses(statuses: dict[int, int]) -> dict[str, int]:
    """
    Counts by status label.
    """
    counts: dict[str, int] = {}
    for status, count in statuses.items():
        label = status_label(status)
        counts[label] = counts.get(label, 0) + count
    return counts


def _bound_labels(bounds: Sequence[float]) -> list[str]:
    """
    The C{le} labels of a histogram, written as Prometheus' own clients do.
    """
    return [str(float(bound)) for bound in bounds] + ["+Inf"]


_DURATION_LABELS = _bound_labels(DURATION_BOUNDS)
_SIZE_LABELS = _bound_labels(SIZE_BOUNDS)


@frozen
class _Pulled:
    """
    A metric somebody else keeps.
    """

    family: type[GaugeMetricFamily] | type[CounterMetricFamily]
    name: str
    help: str
    read: Callable[[], Reading]


class Metrics:
    """
    Everything C{/metrics} shows.

    It is a custom collector (C{collect}) in a registry of its own.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._pulled: list[_Pulled] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def gauge(self, name: str, help: str, read: Callable[[], Reading]) -> None:
        """
        Show a figure that goes up and down.

        @param read: called at each scrape; must be quick, and bounded in the label sets it returns.
        """
        self._pulled.append(_Pulled(GaugeMetricFamily, name, help, read))

    def counter(self, name: str, help: str, read: Callable[[], Reading]) -> None:
        """
        Show a figure that only goes up; C{name} ends in C{_total}.
        """
        self._pulled.append(_Pulled(CounterMetricFamily, name, help, read))

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """
        Render all metrics.

        @param accept: the request's C{Accept} field, C{""} for none: OpenMetrics for those who ask for it, else
            Prometheus' text format.
        @return: the content type and the document.
        """
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def collect(self) -> Iterator[Metric]:
        """
        Make the samples.
        """
        yield from self._requests()
        yield from self._upstream()
        yield from self._grpc()
        yield self._errors()
        yield InfoMetricFamily("siger_build", "The version that is running.", value={"version": __version__})
        yield GaugeMetricFamily(
            "gateway_in_flight_requests", "Requests being answered now.", value=self._observer.in_flight
        )
        for pulled in self._pulled:
            yield self._pull(pulled)

    def _cells(self) -> Iterable[tuple[RouteStats, str, MethodStats]]:
        """
        The counts of each route and method.
        """
        for route in self._observer.routes.values():
            for method, stats in route.methods.items():
                yield route, method.decode("ascii"), stats

    def _requests(self) -> Iterator[Metric]:
        """
        The metrics by route.
        """
        total = CounterMetricFamily("http_requests_total", "Requests answered.", labels=("status", "method", "path"))
        durations = HistogramMetricFamily(
            "http_request_duration_seconds", "From request head to end of response.", labels=("method", "path")
        )
        sizes = HistogramMetricFamily(
            "http_response_size_bytes", "Sizes of response bodies.", labels=("method", "path")
        )
        for route, method, stats in self._cells():
            labels = (method, route.template)
            for status, count in _labelled_statuses(stats.statuses).items():
                total.add_metric((status, *labels), count)
            durations.add_metric(labels, _buckets(_DURATION_LABELS, stats.durations), stats.duration_sum)
            sizes.add_metric(labels, _buckets(_SIZE_LABELS, stats.sizes), stats.size_sum)
        yield from (total, durations, sizes)

    def _upstream(self) -> Iterator[Metric]:
        """
        The metrics by service.
        """
        total = CounterMetricFamily(
            "gateway_upstream_requests_total", "Requests meant for a service.", labels=("service", "status")
        )
        durations = HistogramMetricFamily(
            "gateway_upstream_request_duration_seconds", "How long those requests took.", labels=("service",)
        )
        for service in self._observer.services.values():
            for status, count in _labelled_statuses(service.statuses).items():
                total.add_metric((service.name, status), count)
            durations.add_metric((service.name,), _buckets(_DURATION_LABELS, service.durations), service.duration_sum)
        yield from (total, durations)

    def _grpc(self) -> Iterator[Metric]:
        """
        The metrics by gRPC method.
        """
        total = CounterMetricFamily(
            "siger_grpc_requests_total", "gRPC calls.", labels=("grpc_service", "grpc_method", "grpc_status")
        )
        durations = HistogramMetricFamily(
            "siger_grpc_request_duration_seconds", "How long those calls took.", labels=("grpc_service", "grpc_method")
        )
        for service in self._observer.grpc_services.values():
            for method, stats in service.methods.items():
                labels = (service.label, method.decode("ascii"))
                for status, count in zip(_GRPC_STATUSES, stats.statuses, strict=True):
                    if count:
                        total.add_metric((*labels, status), count)
                if any(stats.durations):
                    durations.add_metric(labels, _buckets(_DURATION_LABELS, stats.durations), stats.duration_sum)
        yield from (total, durations)

    def _errors(self) -> Metric:
        """
        Every reason, those never given too: a rate needs the zero to rise from.
        """
        errors = CounterMetricFamily(
            "siger_errors_total", "Requests the gateway answered or ended by itself.", labels=("reason",)
        )
        for reason in Reason:
            errors.add_metric((reason.code,), self._observer.reasons.get(reason, 0))
        return errors

    def _pull(self, pulled: _Pulled) -> Metric:
        """
        Ask a figure's keeper; one that fails loses its own figure only.
        """
        try:
            reading = pulled.read()
        except Exception:
            _log.failure("metric {name} cannot be read", name=pulled.name)
            reading = []
        if isinstance(reading, int | float):
            return pulled.family(pulled.name, pulled.help, value=reading)
        names = tuple(reading[0][0]) if reading else ()
        family = pulled.family(pulled.name, pulled.help, labels=names)
        for labels, value in reading:
            family.add_metric([labels[name] for name in names], value)
        return family


def _buckets(labels: list[str], counts: list[int]) -> list[tuple[str, int]]:
    """
    A histogram's buckets, cumulative as Prometheus wants them.
    """
    return list(zip(labels, accumulate(counts), strict=True))
