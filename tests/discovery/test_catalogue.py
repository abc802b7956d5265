"""
Tests for L{siger.discovery.catalogue}.
"""

from __future__ import annotations

from random import Random

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.algorithms import make_balancer
from siger.balancing.instances import Instance
from siger.balancing.service import Service
from siger.config.settings import ServiceSettings
from siger.discovery.catalogue import Catalogue, EndpointStatus, ServiceStatus, is_service_name

ONE = Instance("10.0.0.1", 80)
TWO = Instance("10.0.0.2", 80, weight=2, tags=frozenset({"b", "a"}))


def make_service(name: str) -> Service:
    """
    A service with the default settings.
    """
    return Service(name, ServiceSettings(name=name), make_balancer("round_robin", Random(1)))


class Pool:
    """
    Counts how often it was closed.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.closed = 0
        self.error = error

    def close(self) -> None:
        """
        Count, and fail if told to.
        """
        self.closed += 1
        if self.error is not None:
            raise self.error


class IsServiceNameTests(SynchronousTestCase):
    """
    Tests for L{is_service_name}.
    """

    def test_good(self) -> None:
        """
        A name is one lower-case DNS label.
        """
        for name in ("a", "0", "echo", "gpu-worker-2", "a" * 63, "consul-ui"):
            self.assertTrue(is_service_name(name), name)

    def test_bad(self) -> None:
        """
        Anything else is not a name, nor are those of Consul and of gateways.
        """
        bad = ("", "-a", "a-", "A", "a.b", "a_b", "a/b", "a b", "a\n", "é", "a" * 64, "..", "a%2fb", "consul")
        for name in (*bad, "api-gateway"):
            self.assertFalse(is_service_name(name), name)


class CatalogueTests(SynchronousTestCase):
    """
    Tests for L{Catalogue}.
    """

    def setUp(self) -> None:
        """
        An empty catalogue, and what it logs.
        """
        self.catalogue = Catalogue(make_service)
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: dict[str, object]) -> None:
        """
        Keep the events of the catalogue.
        """
        if event.get("log_namespace") == "siger.discovery.catalogue.Catalogue":
            self.lines.append(str(event.get("subject", event.get("endpoint"))))

    def instances(self, name: bytes) -> list[Instance]:
        """
        The instances of a service, in order.
        """
        return [endpoint.instance for endpoint in self.catalogue.services[name].endpoints]

    def test_empty(self) -> None:
        """
        A new catalogue knows nothing.
        """
        self.assertEqual(self.catalogue.services, {})
        self.assertEqual(self.catalogue.describe(), [])

    def test_publish(self) -> None:
        """
        What is published can be picked.
        """
        self.catalogue.publish("consul", {"echo": [ONE]})
        picked = self.catalogue.services[b"echo"].balancer.pick()
        assert picked is not None
        self.assertEqual(picked.instance, ONE)

    def test_no_instances(self) -> None:
        """
        A service without instances exists, and has nothing to pick.
        """
        self.catalogue.publish("consul", {"echo": []})
        self.assertIsNone(self.catalogue.services[b"echo"].balancer.pick())

    def test_unchanged(self) -> None:
        """
        A snapshot that says nothing new leaves services, endpoints and rotation untouched.
        """
        self.catalogue.publish("consul", {"echo": [ONE, TWO], "other": []})
        service, other = self.catalogue.services[b"echo"], self.catalogue.services[b"other"]
        endpoints = service.endpoints
        self.catalogue.publish("consul", {"other": [], "echo": [TWO, ONE]})
        self.assertIs(self.catalogue.services[b"echo"], service)
        self.assertIs(self.catalogue.services[b"other"], other)
        self.assertIs(service.endpoints, endpoints)

    def test_same_table(self) -> None:
        """
        The table stays the same object, so that whoever holds it sees every change.
        """
        table = self.catalogue.services
        self.catalogue.publish("consul", {"echo": [ONE]})
        self.assertEqual(list(table), [b"echo"])
        self.catalogue.publish("consul", {})
        self.assertEqual(table, {})

    def test_replaces_its_own_view(self) -> None:
        """
        A source's snapshot replaces all it said before, and nothing that others said.
        """
        self.catalogue.publish("static", {"files": [ONE]})
        self.catalogue.publish("consul", {"echo": [ONE], "jobs": [TWO]})
        self.catalogue.publish("consul", {"jobs": [TWO]})
        self.assertEqual(set(self.catalogue.services), {b"files", b"jobs"})

    def test_merged(self) -> None:
        """
        A service that two sources know has the instances of both, each place once, the first source's word counting.
        """
        self.catalogue.publish("static", {"echo": [ONE]})
        service = self.catalogue.services[b"echo"]
        self.catalogue.publish("consul", {"echo": [Instance("10.0.0.1", 80, weight=7), TWO]})
        self.assertIs(self.catalogue.services[b"echo"], service)
        self.assertEqual(self.instances(b"echo"), [ONE, TWO])
        self.catalogue.publish("consul", {})
        self.assertEqual(self.instances(b"echo"), [ONE])

    def test_configured_without_instances(self) -> None:
        """
        A service that only configuration names stays, empty, when Consul forgets it.
        """
        self.catalogue.publish("static", {"echo": []})
        self.catalogue.publish("consul", {"echo": [ONE]})
        self.assertEqual(self.instances(b"echo"), [ONE])
        self.catalogue.publish("consul", {})
        self.assertEqual(self.instances(b"echo"), [])

    def test_removed_endpoints_are_closed(self) -> None:
        """
        The pool of an endpoint that left is closed once; those of the others are not.
        """
        self.catalogue.publish("consul", {"echo": [ONE, TWO]})
        first, second = self.catalogue.services[b"echo"].endpoints
        first.pool, second.pool = one, two = Pool(), Pool()
        self.catalogue.publish("consul", {"echo": [TWO]})
        self.assertEqual((one.closed, two.closed, first.removed, second.removed), (1, 0, True, False))
        self.catalogue.publish("consul", {})
        self.assertEqual((one.closed, two.closed, second.removed), (1, 1, True))

    def test_pool_that_cannot_close(self) -> None:
        """
        A pool that fails to close is logged and keeps nothing else from happening.
        """
        self.catalogue.publish("consul", {"a": [ONE, TWO], "b": []})
        first, second = self.catalogue.services[b"a"].endpoints
        first.pool, second.pool = Pool(OSError("no")), Pool()
        other = second.pool
        self.catalogue.publish("consul", {"c": [ONE]})
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(other.closed, 1)
        self.assertEqual(set(self.catalogue.services), {b"c"})

    def test_never_published(self) -> None:
        """
        Neither Consul nor gateways become services, whoever says so.
        """
        for source in ("static", "consul"):
            self.catalogue.publish(source, {"consul": [ONE], "api-gateway": [ONE], "echo": [ONE]})
        self.assertEqual(set(self.catalogue.services), {b"echo"})

    def test_bad_names(self) -> None:
        """
        A name that no request could use is ignored, with one log line however often it is published.
        """
        for _ in range(3):
            self.catalogue.publish("consul", {"Echo": [ONE], "a.b": [ONE], "echo": [ONE]})
        self.assertEqual(set(self.catalogue.services), {b"echo"})
        self.assertEqual(self.lines, ["service 'Echo'", "service 'a.b'"])

    def test_refused_instances(self) -> None:
        """
        A hostile instance is left out, with one log line; the service keeps its others, and exists without any.
        """
        hostile = Instance("169.254.169.254", 80)
        for _ in range(3):
            self.catalogue.publish("consul", {"echo": [hostile, ONE], "lone": [hostile]})
        self.assertEqual(self.instances(b"echo"), [ONE])
        self.assertEqual(self.instances(b"lone"), [])
        self.assertEqual(
            self.lines,
            [f"instance '169.254.169.254' port 80 of service '{name}'" for name in ("echo", "lone")],
        )

    def test_refused_again(self) -> None:
        """
        What was gone and comes back is worth another line.
        """
        for snapshot in ({"Echo": []}, {}, {"Echo": []}):
            self.catalogue.publish("consul", snapshot)
        self.assertEqual(len(self.lines), 2)

    def test_host_names(self) -> None:
        """
        Host names are for configuration, not for registries.
        """
        named = Instance("backend.example", 80)
        self.catalogue.publish("static", {"a": [named]})
        self.catalogue.publish("consul", {"b": [named]})
        self.assertEqual((self.instances(b"a"), self.instances(b"b")), ([named], []))

    def test_own_listener(self) -> None:
        """
        The gateway does not become its own backend.
        """
        self.catalogue.guard.listeners = frozenset({("", 8080)})
        self.catalogue.publish("consul", {"loop": [Instance("127.0.0.1", 8080), ONE]})
        self.assertEqual(self.instances(b"loop"), [ONE])

    def test_describe(self) -> None:
        """
        The description has every service by name, with its sources, endpoints and exchanges in flight.
        """
        self.catalogue.publish("static", {"echo": [ONE], "empty": []})
        self.catalogue.publish("consul", {"echo": [TWO]})
        first, second = self.catalogue.services[b"echo"].endpoints
        first.inflight, second.inflight = 2, 1
        self.assertEqual(
            self.catalogue.describe(),
            [
                ServiceStatus(
                    name="echo",
                    balancer="round_robin",
                    sources=("static", "consul"),
                    instances=(
                        EndpointStatus(address="10.0.0.1:80", weight=1, inflight=2, tags=()),
                        EndpointStatus(address="10.0.0.2:80", weight=2, inflight=1, tags=("a", "b")),
                    ),
                    inflight=3,
                ),
                ServiceStatus(name="empty", balancer="round_robin", sources=("static",), instances=(), inflight=0),
            ],
        )
