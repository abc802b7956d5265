"""
Tests for L{siger.health.serving}.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.algorithms import make_balancer
from siger.balancing.instances import Instance
from siger.balancing.service import Service
from siger.config.settings.routes import RouteSettings
from siger.config.settings.services import HealthCheck, ServiceSettings
from siger.grpc.serving import NOT_SERVING, SERVICE_UNKNOWN, SERVING
from siger.health.serving import Serving, is_routed

ROUTES = (
    RouteSettings(path="", service="models", grpc="a.Routed"),
    RouteSettings(path="", service="absent", grpc="a.Absent"),
    RouteSettings(path="/v1", service="models"),
)


class ServingTests(SynchronousTestCase):
    """
    Tests for L{Serving}.
    """

    def setUp(self) -> None:
        settings = ServiceSettings(health=HealthCheck(), protocol="h2c")
        self.service = Service("models", settings, make_balancer(settings.balancer, Random(1)))
        self.service.update([Instance("192.0.2.1", 1), Instance("192.0.2.2", 1)])
        self.state = "ready"
        self.announced = {b"a.Announced": self.service}
        self.serving = Serving(lambda: self.state, ROUTES, {b"models": self.service}, self.announced)

    def down(self, count: int) -> None:
        """
        Have instances found ill.
        """
        for endpoint in self.service.endpoints[:count]:
            for _ in range(10):
                self.service.mark(endpoint, False)

    def test_gateway(self) -> None:
        """
        The gateway as a whole is well while it is ready, whatever its services are.
        """
        self.down(2)
        for state, status in (("starting", NOT_SERVING), ("ready", SERVING), ("draining", NOT_SERVING)):
            self.state = state
            self.assertEqual(self.serving(""), status)

    def test_services(self) -> None:
        """
        A service is, if one of its instances may be; also one that is only announced.
        """
        for name in ("a.Routed", "a.Announced"):
            self.assertEqual(self.serving(name), SERVING)
        self.down(1)
        self.assertEqual(self.serving("a.Routed"), SERVING)
        self.down(2)
        for name in ("a.Routed", "a.Announced"):
            self.assertEqual(self.serving(name), NOT_SERVING)

    def test_without_instances(self) -> None:
        """
        One that has no instances, or none that takes requests, is not; nor one that a route leads to and nobody knows.
        """
        self.assertEqual(self.serving("a.Absent"), NOT_SERVING)
        self.service.update([Instance("192.0.2.1", 1, weight=0)])
        self.assertEqual(self.serving("a.Routed"), NOT_SERVING)
        self.service.update([])
        self.assertEqual(self.serving("a.Announced"), NOT_SERVING)

    def test_draining(self) -> None:
        """
        A gateway that is not ready carries no calls.
        """
        self.state = "draining"
        self.assertEqual(self.serving("a.Routed"), NOT_SERVING)

    def test_unknown(self) -> None:
        """
        Others are unknown: other names, names of Consul's services, and those that are announced no more.
        """
        for name in ("models", "a.routed", "a.Other", "\ud800", "/v1"):
            self.assertEqual(self.serving(name), SERVICE_UNKNOWN)
        self.announced.clear()
        self.assertEqual(self.serving("a.Announced"), SERVICE_UNKNOWN)

    def test_routed(self) -> None:
        """
        Where a route takes the questions themselves, the gateway is not asked.
        """
        self.assertFalse(is_routed(ROUTES))
        for host, path, grpc, routed in (
            ("", "", "grpc.health.v1.Health", True),
            ("", "/grpc.health.v1.Health", "", True),
            ("", "/grpc.health.v1.Health/Check", "", True),
            ("", "/grpc.health.v1.Healthy", "", False),
            ("", "/", "", False),
            ("a.example", "", "grpc.health.v1.Health", False),
        ):
            route = RouteSettings(service="models", host=host, path=path, grpc=grpc)
            self.assertEqual(is_routed((*ROUTES, route)), routed)

    def test_by_host(self) -> None:
        """
        One that several services have, by host, is well if one of them is, in whatever order.
        """
        routes = [RouteSettings(service=name, host=f"{name}.example", grpc="a.B") for name in ("absent", "models")]
        for order in (routes, routes[::-1]):
            serving = Serving(lambda: "ready", order, {b"models": self.service}, {})
            self.assertEqual(serving("a.B"), SERVING)
