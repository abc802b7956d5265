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
from siger.config.settings.services import ServiceSettings
from siger.discovery.catalogue import Catalogue, EndpointStatus, ServiceStatus, is_service_name

ONE = Instance("10.0.0.1", 80)
TWO = Instance("10.0.0.2", 80, weight=2, tags=frozenset({"b", "a"}))


def instance(address: str, **meta: str) -> Instance:
    """
    An instance with this meta, whose keys have dashes for underscores.
    """
    return Instance(address, 80, meta={key.replace("_", "-"): value for key, value in meta.items()})


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


class CatalogueTestCase(SynchronousTestCase):
    """
    A catalogue of its own for each test.
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


class CatalogueTests(CatalogueTestCase):
    """
    Tests for L{Catalogue}.
    """

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

    def test_changed(self) -> None:
        """
        Who wants to know is told of each service whose instances are others, when all of it has been settled.
        """
        told: list[tuple[str, bool, int]] = []
        services = self.catalogue.services
        self.catalogue.changed = lambda service: told.append(
            (service.name, services.get(service.label) is service, len(service.endpoints))
        )
        self.catalogue.publish("consul", {"echo": [ONE, TWO], "other": []})
        self.catalogue.publish("consul", {"echo": [ONE, TWO], "other": []})
        self.assertEqual(sorted(told), [("echo", True, 2), ("other", True, 0)])
        told.clear()
        self.catalogue.publish("consul", {"echo": [TWO]})
        self.assertEqual(sorted(told), [("echo", True, 1), ("other", False, 0)])

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

    def test_unknown_protocol(self) -> None:
        """
        A protocol that does not exist is ignored, with one log line; the instance is used as its service says.
        """
        for _ in range(3):
            self.catalogue.publish("consul", {"echo": [instance("10.0.0.1", protocol="gopher")]})
        self.assertEqual([endpoint.protocol for endpoint in self.catalogue.services[b"echo"].endpoints], ["http1"])
        self.assertEqual(self.lines, ["protocol 'gopher' of instance '10.0.0.1' port 80 of service 'echo'"])

    def test_protocol_that_changes(self) -> None:
        """
        When an instance begins to speak something else, the pool of its old endpoint is closed.
        """
        self.catalogue.publish("consul", {"echo": [ONE]})
        (endpoint,) = self.catalogue.services[b"echo"].endpoints
        endpoint.pool = pool = Pool()
        self.catalogue.publish("consul", {"echo": [instance("10.0.0.1", protocol="grpc")]})
        self.assertEqual((pool.closed, endpoint.removed), (1, True))
        self.assertEqual([each.protocol for each in self.catalogue.services[b"echo"].endpoints], ["h2c"])

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
                        EndpointStatus("10.0.0.1:80", 1, 2, (), "http1", "up"),
                        EndpointStatus("10.0.0.2:80", 2, 1, ("a", "b"), "http1", "up"),
                    ),
                    inflight=3,
                ),
                ServiceStatus(name="empty", balancer="round_robin", sources=("static",), instances=(), inflight=0),
            ],
        )


class GrpcServicesTests(CatalogueTestCase):
    """
    Tests for the gRPC services that instances announce.
    """

    def table(self) -> dict[str, str]:
        """
        Which service has which gRPC service.
        """
        return {name.decode(): service.name for name, service in self.catalogue.grpc_services.items()}

    def test_announced(self) -> None:
        """
        Any instance of a service announces for it, in configuration as in a registry.
        """
        self.catalogue.publish("static", {"a": [instance("10.0.0.1", grpc_services="x.A, x.B")]})
        self.catalogue.publish("consul", {"b": [ONE, instance("10.0.0.3", grpc_services="y.C")], "a": [TWO]})
        self.assertEqual(self.table(), {"x.A": "a", "x.B": "a", "y.C": "b"})
        self.assertIs(self.catalogue.grpc_services[b"x.A"], self.catalogue.services[b"a"])
        self.assertEqual(self.lines, [])

    def test_same_table(self) -> None:
        """
        The table stays the same object; what is withdrawn vanishes from it, whether or not its service stays.
        """
        table = self.catalogue.grpc_services
        self.catalogue.publish("consul", {"a": [instance("10.0.0.1", grpc_services="x.A, x.B")]})
        self.catalogue.publish("consul", {"a": [instance("10.0.0.1", grpc_services="x.B")]})
        self.assertEqual(set(table), {b"x.B"})
        self.catalogue.publish("consul", {"a": [ONE]})
        self.assertEqual(table, {})
        self.catalogue.publish("consul", {"a": [instance("10.0.0.1", grpc_services="x.B")]})
        self.catalogue.publish("consul", {})
        self.assertEqual(table, {})
        self.assertIs(self.catalogue.grpc_services, table)

    def test_service_that_returns(self) -> None:
        """
        A service that went and came back is the one that gets the calls.
        """
        announcing = {"a": [instance("10.0.0.1", grpc_services="x.A")]}
        for snapshot in (announcing, {}, announcing):
            self.catalogue.publish("consul", snapshot)
        self.assertIs(self.catalogue.grpc_services[b"x.A"], self.catalogue.services[b"a"])

    def test_first_by_name(self) -> None:
        """
        Of several services that announce the same name the first in the alphabet has it, and the log says so once.
        """
        self.catalogue.publish("static", {"m": [instance("10.0.0.1", grpc_services="x.A")]})
        for _ in range(3):
            self.catalogue.publish("consul", {"z": [instance("10.0.0.2", grpc_services="x.A, x.B")]})
        self.assertEqual(self.table(), {"x.A": "m", "x.B": "z"})
        self.assertEqual(self.lines, ["gRPC service 'x.A' of service 'z'"])
        self.catalogue.publish("consul", {"b": [instance("10.0.0.3", grpc_services="x.A")]})
        self.assertEqual(self.table(), {"x.A": "b"})
        self.assertEqual(self.lines[1:], ["gRPC service 'x.A' of service 'm'"])
        self.catalogue.publish("consul", {})
        self.assertEqual(self.table(), {"x.A": "m"})

    def test_bad_names(self) -> None:
        """
        What is no full name is ignored, with one log line.
        """
        for _ in range(3):
            self.catalogue.publish("consul", {"a": [instance("10.0.0.1", grpc_services="x.A, a/b")]})
        self.assertEqual(self.table(), {"x.A": "a"})
        self.assertEqual(self.lines, ["gRPC service 'a/b' of service 'a'"])

    def test_refused_instance(self) -> None:
        """
        An instance that is refused announces nothing.
        """
        self.catalogue.publish("consul", {"a": [instance("169.254.169.254", grpc_services="x.A")]})
        self.assertEqual(self.table(), {})
