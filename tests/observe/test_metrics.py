"""
Tests for L{siger.observe.metrics}.
"""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from twisted.trial.unittest import SynchronousTestCase

from siger import __version__
from siger.errors import Reason
from siger.grpc.status import OK, UNAVAILABLE, UNIMPLEMENTED
from siger.observe.metrics import Metrics, Reading, status_label
from siger.observe.observer import Observer
from siger.observe.stats import MAX_GRPC_METHODS
from tests.observe.test_observer import finish

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class ExpositionTests(SynchronousTestCase):
    """
    Tests for L{Metrics.exposition}.
    """

    def setUp(self) -> None:
        """
        Metrics over an observer with a route and a service.
        """
        self.observer = Observer()
        self.metrics = Metrics(self.observer)
        self.route = self.observer.route("/services/{name}/*")
        self.service = self.observer.service("echo")

    def scrape(self) -> Samples:
        """
        Read the text format back with Prometheus' own parser.
        """
        _, document = self.metrics.exposition("")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parse_text(document.decode("utf-8"))
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """
        One sample's value.
        """
        return self.scrape()[(name, tuple(sorted(labels.items())))]

    def test_requests_total(self) -> None:
        """
        Requests are counted by status, method and route template.
        """
        for status in (200, 200, 503):
            finish(self.observer, self.route, status=status)
        labels = {"method": "GET", "path": "/services/{name}/*"}
        self.assertEqual(self.value("http_requests_total", status="200", **labels), 2)
        self.assertEqual(self.value("http_requests_total", status="503", **labels), 1)

    def test_duration_histogram_is_cumulative(self) -> None:
        """
        A bucket counts everything up to its bound; count and sum are those of all requests.
        """
        for elapsed in (0.002, 0.25, 60.0):
            finish(self.observer, self.route, start=0.0, now=elapsed)
        name, labels = "http_request_duration_seconds", {"method": "GET", "path": "/services/{name}/*"}
        self.assertEqual(self.value(f"{name}_bucket", le="0.001", **labels), 0)
        self.assertEqual(self.value(f"{name}_bucket", le="0.0025", **labels), 1)
        self.assertEqual(self.value(f"{name}_bucket", le="10.0", **labels), 2)
        self.assertEqual(self.value(f"{name}_bucket", le="+Inf", **labels), 3)
        self.assertEqual(self.value(f"{name}_count", **labels), 3)
        self.assertAlmostEqual(self.value(f"{name}_sum", **labels), 60.252)

    def test_size_histogram(self) -> None:
        """
        Response sizes are a histogram by method and route template.
        """
        finish(self.observer, self.route, bytes_out=5000, method=b"PUT")
        name, labels = "http_response_size_bytes", {"method": "PUT", "path": "/services/{name}/*"}
        self.assertEqual(self.value(f"{name}_bucket", le="1000.0", **labels), 0)
        self.assertEqual(self.value(f"{name}_bucket", le="10000.0", **labels), 1)
        self.assertEqual(self.value(f"{name}_sum", **labels), 5000)

    def test_upstream(self) -> None:
        """
        Proxied requests are counted and timed by service.
        """
        finish(self.observer, self.route, status=502, service=self.service, start=0.0, now=0.3)
        self.assertEqual(self.value("gateway_upstream_requests_total", service="echo", status="502"), 1)
        name = "gateway_upstream_request_duration_seconds"
        self.assertEqual(self.value(f"{name}_bucket", service="echo", le="0.25"), 0)
        self.assertEqual(self.value(f"{name}_bucket", service="echo", le="0.5"), 1)
        self.assertAlmostEqual(self.value(f"{name}_sum", service="echo"), 0.3)

    def test_grpc(self) -> None:
        """
        gRPC calls are counted by service, method and the name of their status, and timed by service and method.
        """
        stats = self.observer.grpc("echo.Echo")
        for grpc in (OK, OK, UNAVAILABLE, 99):
            finish(self.observer, self.route, path=b"/echo.Echo/Say", grpc=grpc, grpc_stats=stats, start=0.0, now=0.3)
        finish(self.observer, self.route, path=b"/echo.Echo/No", grpc=UNIMPLEMENTED, grpc_stats=stats)
        labels = {"grpc_service": "echo.Echo", "grpc_method": "Say"}
        samples = self.scrape()
        counts = {
            (dict(labels)["grpc_method"], dict(labels)["grpc_status"]): value
            for (name, labels), value in samples.items()
            if name == "siger_grpc_requests_total"
        }
        self.assertEqual(
            counts,
            {("Say", "OK"): 2, ("Say", "UNAVAILABLE"): 1, ("Say", "OTHER"): 1, ("_OTHER", "UNIMPLEMENTED"): 1},
        )
        name = "siger_grpc_request_duration_seconds"
        self.assertEqual(self.value(f"{name}_bucket", le="0.25", **labels), 0)
        self.assertEqual(self.value(f"{name}_bucket", le="0.5", **labels), 4)
        self.assertAlmostEqual(self.value(f"{name}_sum", **labels), 1.2)

    def test_grpc_service_without_calls(self) -> None:
        """
        A gRPC service that nobody called yet has no samples.
        """
        self.observer.grpc("echo.Echo")
        self.assertEqual([name for name, _ in self.scrape() if name.startswith("siger_grpc")], [])

    def test_in_flight(self) -> None:
        """
        Requests being answered are a gauge that reads what its keepers left there.
        """
        self.observer.in_flight += 3
        self.assertEqual(self.value("gateway_in_flight_requests"), 3)

    def test_every_reason_is_there_from_the_start(self) -> None:
        """
        Errors are counted by reason, and a reason never given shows zero.
        """
        finish(self.observer, self.route, status=504, reason=Reason.UPSTREAM_TIMEOUT)
        samples = self.scrape()
        counts = {reason: samples[("siger_errors_total", (("reason", reason.code),))] for reason in Reason}
        self.assertEqual(counts, {reason: int(reason is Reason.UPSTREAM_TIMEOUT) for reason in Reason})

    def test_build_info(self) -> None:
        """
        The version that runs is a label.
        """
        self.assertEqual(self.value("siger_build_info", version=__version__), 1)

    def test_process_figures(self) -> None:
        """
        The usual figures of the process (memory, CPU time, descriptors) are there.
        """
        self.assertGreater(self.value("process_resident_memory_bytes"), 1_000_000)
        self.assertGreater(self.value("process_open_fds"), 2)

    def test_series_are_bounded(self) -> None:
        """
        No method, path or status that a client or a backend makes up adds a series beyond the fixed ones.
        """
        stats = self.observer.grpc("echo.Echo")
        for number in range(2000):
            finish(
                self.observer,
                self.observer.unmatched,
                method=b"M%d" % number,
                path=b"/m%d" % number,
                status=100 + number % 900,
                request_id=b"%d" % number,
                service=self.service,
                grpc=number,
                grpc_stats=stats,
            )
        names = [name for name, labels in self.scrape()]
        self.assertLess(names.count("http_requests_total"), 80)
        self.assertLessEqual(names.count("siger_grpc_request_duration_seconds_count"), MAX_GRPC_METHODS + 1)

    def test_openmetrics_for_those_who_ask(self) -> None:
        """
        C{Accept} chooses OpenMetrics, which Prometheus' own strict parser reads.
        """
        finish(self.observer, self.route, service=self.service, reason=Reason.UPSTREAM_RESET)
        self.metrics.gauge("siger_connections", "Connections.", lambda: 7)
        self.metrics.counter("siger_things_total", "Things.", lambda: [({"kind": "a"}, 2)])
        content_type, document = self.metrics.exposition("application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
        self.assertTrue(content_type.startswith("application/openmetrics-text; version=1.0.0"))
        families = {family.name: family for family in parse_openmetrics(document.decode("utf-8"))}
        self.assertEqual(families["http_requests"].type, "counter")
        self.assertEqual(families["siger_connections"].samples[0].value, 7)
        self.assertEqual(families["siger_things"].samples[0].labels, {"kind": "a"})

    def test_text_for_everybody_else(self) -> None:
        """
        Without C{Accept}, or with one of a browser, the text format is served.
        """
        for accept in ("", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "\x00\xff;;,,=q"):
            content_type, _ = self.metrics.exposition(accept)
            self.assertEqual(content_type, "text/plain; version=0.0.4; charset=utf-8")


class PulledTests(SynchronousTestCase):
    """
    Tests for L{Metrics.gauge} and L{Metrics.counter}.
    """

    def setUp(self) -> None:
        """
        Metrics of an idle gateway.
        """
        self.metrics = Metrics(Observer())

    def lines(self, name: str) -> list[str]:
        """
        The samples of one metric.
        """
        document = self.metrics.exposition("")[1].decode("utf-8")
        return [line for line in document.splitlines() if line.startswith(name)]

    def test_number(self) -> None:
        """
        A figure without labels is read anew at each scrape.
        """
        readings = iter((1.5, 2))
        self.metrics.gauge("siger_connections", "Connections.", lambda: next(readings))
        self.assertEqual(self.lines("siger_connections"), ["siger_connections 1.5"])
        self.assertEqual(self.lines("siger_connections"), ["siger_connections 2.0"])

    def test_labels(self) -> None:
        """
        A figure with labels gives a sample for each set of them, in whatever order each set names its labels.
        """

        def read() -> Reading:
            return [({"service": "a", "state": "idle"}, 1), ({"state": "busy", "service": "a"}, 2)]

        self.metrics.gauge("siger_upstream_connections", "Upstream connections.", read)
        self.assertEqual(
            self.lines("siger_upstream_connections"),
            [
                'siger_upstream_connections{service="a",state="idle"} 1.0',
                'siger_upstream_connections{service="a",state="busy"} 2.0',
            ],
        )

    def test_nothing_yet(self) -> None:
        """
        A figure that has no label sets yet shows no samples.
        """
        self.metrics.gauge("siger_service_instances", "Instances.", list)
        self.assertEqual(self.lines("siger_service_instances"), [])

    def test_failure_harms_only_itself(self) -> None:
        """
        A figure whose keeper fails is left out and logged; the rest is shown.
        """

        def read() -> Reading:
            raise RuntimeError("no such pool")

        self.metrics.gauge("siger_broken", "Broken.", read)
        self.metrics.gauge("siger_whole", "Whole.", lambda: 1)
        self.assertEqual(self.lines("siger_broken"), [])
        self.assertEqual(self.lines("siger_whole"), ["siger_whole 1.0"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)


class StatusLabelTests(SynchronousTestCase):
    """
    Tests for L{status_label}.
    """

    def test_registered(self) -> None:
        """
        Registered codes, and 499, are their own label.
        """
        self.assertEqual(
            [status_label(code) for code in (101, 200, 404, 499, 503)], ["101", "200", "404", "499", "503"]
        )

    def test_made_up(self) -> None:
        """
        Other codes count as their class.
        """
        self.assertEqual(
            [status_label(code) for code in (299, 499 - 1, 599, 999, 0)], ["2xx", "4xx", "5xx", "9xx", "0xx"]
        )
