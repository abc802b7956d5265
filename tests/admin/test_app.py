"""
Tests for L{siger.admin.app}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import Factory, define
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.admin.app import ROUTES, AdminApp, Facts
from siger.http.bridge import LocalApplication, LocalSite
from siger.http.request_parser import RequestParser
from siger.observe.metrics import Metrics
from siger.observe.observer import Observer
from tests.http.fakes import FakeStream

PATHS = ("/admin", "/api/v1/admin-stats", "/api/v1/status", "/health", "/livez", "/metrics", "/readyz")


@define
class KnownFacts:
    """
    Facts as a test wants them.
    """

    state: str = "ready"
    version: str = "9.8.7"
    uptime: float = 12.34567
    checks: Mapping[str, str] = Factory(lambda: {"consul": "connected"})


def template(path: bytes) -> str | None:
    """
    The route template of a path that is its own.
    """
    return path.decode() if path.decode() in ROUTES else None


class AdminAppTests(SynchronousTestCase):
    """
    Tests for L{AdminApp}, reached as every request reaches it.
    """

    def setUp(self) -> None:
        """
        A gateway that is ready.
        """
        self.facts = KnownFacts()
        facts: Facts = self.facts
        self.observer = Observer()
        app = AdminApp(facts, Metrics(self.observer), lambda: {"users": {"total": 2}})
        self.application = LocalApplication(LocalSite(app.resource(), Clock()), self.observer, template)

    def send(self, path: str, method: str = "GET", accept: str = "", query: str = "") -> FakeStream:
        """
        A request's response, complete with length and without permission to store it.
        """
        parser = RequestParser()
        fields = b"Host: gw.test" + (f"\r\nAccept: {accept}".encode() if accept else b"")
        head = parser.head(f"{method} {path}{query} HTTP/1.1".encode(), parser.fields(fields))
        stream = FakeStream()
        self.assertIs(self.application(head, stream, b"0192f3a4", b"192.0.2.7"), None)
        self.assertTrue(stream.ended)
        self.assertEqual(stream.fields()["cache-control"], ["no-store"])
        if method != "HEAD":
            self.assertEqual(stream.length, len(stream.body))
        return stream

    def json(self, stream: FakeStream) -> dict[str, Any]:
        """
        A response's JSON.
        """
        self.assertEqual(stream.fields()["content-type"], ["application/json"])
        document: dict[str, Any] = json.loads(stream.body)
        return document

    def test_health(self) -> None:
        """
        By default health is a word.
        """
        for accept in ("", "*/*", "text/plain", "text/html,*/*;q=0.8", "application/json;q=0", "application/jsonp"):
            stream = self.send("/health", accept=accept)
            self.assertEqual((stream.status, stream.body), (200, b"OK"))
            self.assertEqual(stream.fields()["content-type"], ["text/plain; charset=utf-8"])
            self.assertEqual(stream.fields()["vary"], ["Accept"])

    def test_health_details(self) -> None:
        """
        Who asks for JSON gets the details.
        """
        for accept in ("application/json", "text/html;q=0.5, Application/JSON ; q=0.9"):
            stream = self.send("/health", accept=accept)
            self.assertEqual(
                self.json(stream),
                {
                    "status": "ok",
                    "state": "ready",
                    "version": "9.8.7",
                    "uptime_seconds": 12.346,
                    "checks": {"consul": "connected"},
                },
            )

    def test_alive_in_every_state(self) -> None:
        """
        A gateway that starts or drains is alive and healthy.
        """
        for self.facts.state in ("starting", "ready", "draining"):
            self.assertEqual(self.send("/livez").status, 200)
            self.assertEqual(self.send("/health").status, 200)
            self.assertEqual(self.json(self.send("/livez", accept="application/json"))["state"], self.facts.state)

    def test_ready(self) -> None:
        """
        A gateway is ready unless it starts or drains.
        """
        self.assertEqual((self.send("/readyz").status, self.send("/readyz").body), (200, b"OK"))
        for self.facts.state in ("starting", "draining"):
            stream = self.send("/readyz")
            self.assertEqual((stream.status, stream.body), (503, self.facts.state.encode()))
            self.assertEqual(stream.fields()["retry-after"], ["1"])
            details = self.json(self.send("/readyz", accept="application/json"))
            self.assertEqual((details["status"], details["state"]), ("unavailable", self.facts.state))

    def test_checks_do_not_decide(self) -> None:
        """
        A part that fails is told of, and does not take the gateway out of service.
        """
        self.facts.checks = {"consul": "unreachable"}
        stream = self.send("/readyz", accept="application/json")
        self.assertEqual((stream.status, self.json(stream)["checks"]), (200, {"consul": "unreachable"}))

    def test_status(self) -> None:
        """
        Anyone may know that the gateway is there, and which.
        """
        self.assertEqual(self.json(self.send("/api/v1/status")), {"status": "operational", "version": "9.8.7"})

    def test_metrics(self) -> None:
        """
        Metrics are served as Prometheus reads them, requests to these endpoints included, by route template.
        """
        self.send("/health")
        self.send("/no/such/path")
        stream = self.send("/metrics")
        self.assertEqual(stream.fields()["content-type"], ["text/plain; version=0.0.4; charset=utf-8"])
        lines = stream.body.decode().splitlines()
        self.assertIn('http_requests_total{method="GET",path="/health",status="200"} 1.0', lines)
        self.assertIn('http_requests_total{method="GET",path="_unmatched",status="404"} 1.0', lines)
        self.assertIn("gateway_in_flight_requests 1.0", lines)

    def test_openmetrics(self) -> None:
        """
        A scraper that prefers OpenMetrics gets it.
        """
        stream = self.send("/metrics", accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.3")
        self.assertTrue(stream.fields()["content-type"][0].startswith("application/openmetrics-text"))
        self.assertGreater(len(list(text_string_to_metric_families(stream.body.decode()))), 5)

    def test_figures(self) -> None:
        """
        The figures are answered as JSON, at both addresses.
        """
        for path in ("/admin", "/api/v1/admin-stats"):
            self.assertEqual(self.json(self.send(path)), {"users": {"total": 2}})

    def test_head(self) -> None:
        """
        HEAD gets what GET gets, but for the body.
        """
        for path in PATHS:
            get, head = self.send(path), self.send(path, "HEAD")
            self.assertEqual((head.status, head.body), (get.status, b""))
            if path != "/metrics":
                self.assertEqual(head.length, get.length)
            get_fields, head_fields = get.fields(), head.fields()
            get_fields.pop("date")
            head_fields.pop("date")
            self.assertEqual(head_fields, get_fields)

    def test_query_is_ignored(self) -> None:
        """
        A query changes nothing.
        """
        self.assertEqual(self.send("/health", query="?verbose&x=%zz").body, b"OK")

    def test_other_methods(self) -> None:
        """
        Other methods are 405 with those that are allowed.
        """
        for path in PATHS:
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                stream = self.send(path, method)
                self.assertEqual((stream.status, stream.fields()["allow"]), (405, ["GET, HEAD"]))
                self.assertEqual(json.loads(stream.body)["reason"], "method_not_allowed")

    def test_other_paths(self) -> None:
        """
        Everything else is 404, the root and near misses too.
        """
        for path in ("/", "/health/", "/healthz", "/Health", "/metrics/x", "/api/v1", "/api/v1/status/x", "/admin/x"):
            stream = self.send(path)
            self.assertEqual(stream.status, 404, path)
            self.assertEqual(json.loads(stream.body)["reason"], "no_route")

    def test_fact_that_fails(self) -> None:
        """
        If the gateway cannot tell, the client is told nothing more than that.
        """
        self.facts.checks = None  # type: ignore[assignment]
        stream = self.send("/health", accept="application/json")
        self.assertEqual(stream.status, 500)
        self.assertEqual(json.loads(stream.body)["reason"], "internal_error")
        self.assertNotIn(b"NoneType", stream.body)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class RoutesTests(SynchronousTestCase):
    """
    Tests for L{ROUTES}.
    """

    def test_every_route_is_there(self) -> None:
        """
        Who may use it is said of each of the application's routes, and of nothing else.
        """
        rules = sorted(rule.rule for rule in AdminApp.app.url_map.iter_rules())
        self.assertEqual(rules, sorted(ROUTES))

    def test_who(self) -> None:
        """
        Figures are for administrators; what probes and scrapers ask is for everyone.
        """
        self.assertEqual({path for path, who in ROUTES.items() if who != "public"}, {"/admin", "/api/v1/admin-stats"})
        self.assertEqual({ROUTES["/admin"], ROUTES["/api/v1/admin-stats"]}, {("admin",)})
