"""
Tests for L{siger.health.checks}.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.algorithms import make_balancer
from siger.balancing.instances import Endpoint, Instance
from siger.balancing.service import Service
from siger.config.settings.gateway import Settings
from siger.config.settings.services import HealthCheck, InstanceSettings, ServiceSettings
from siger.discovery.catalogue import Catalogue
from siger.errors import Reason
from siger.gateway import Gateway
from siger.health.checks import HealthChecks
from siger.observe.metrics import Metrics
from siger.observe.observer import Observer
from tests.health.fakes import Pools

WELL, ILL = 1, 2


class ChecksCase(SynchronousTestCase):
    """
    A catalogue whose services are asked, save C{plain}.
    """

    def setUp(self) -> None:
        """
        Nothing is known yet, and nobody asks.
        """
        self.clock = Clock()
        self.pools = Pools()
        self.catalogue = Catalogue(self.make_service)
        self.checks = HealthChecks(self.clock, self.pools, self.catalogue.services, Random(1))
        self.catalogue.changed = self.checks.follow
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def make_service(self, name: str) -> Service:
        """
        A service with a check, unless it is C{plain}.
        """
        check = None if name == "plain" else HealthCheck(rise=2, fall=3)
        return Service(name, ServiceSettings(name, protocol="h2c", health=check), make_balancer("random", Random(1)))

    def publish(self, *addresses: str, name: str = "echo") -> Service:
        """
        Let discovery know this service with instances at these addresses.
        """
        self.catalogue.publish("static", {name: [Instance(address, 80) for address in addresses]})
        return self.catalogue.services[name.encode()]

    def let(self, endpoint: Endpoint, status: int) -> None:
        """
        Let an endpoint answer this from now on.
        """
        self.pools.of(endpoint).status = status

    def later(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.pump([0.1] * round(seconds * 10))

    def lines(self) -> list[tuple[str, str]]:
        """
        What was logged.
        """
        found = []
        for event in self.events:
            self.assertTrue(event["log_namespace"].startswith("siger."))
            found.append((event["log_level"].name, formatEvent(event)))
        return found


class FollowTests(ChecksCase):
    """
    Who is asked.
    """

    def test_start(self) -> None:
        """
        Nobody is asked before the start, and then at once those that are known by then.
        """
        service = self.publish("10.0.0.1", "10.0.0.2")
        self.assertEqual(self.pools.made, [])
        self.checks.start()
        self.assertEqual(self.pools.endpoints, [*service.endpoints])

    def test_come_and_go(self) -> None:
        """
        Who comes later is asked at once; who goes is not asked any more; who stays is not asked more than before.
        """
        self.checks.start()
        first, second = self.publish("10.0.0.1", "10.0.0.2").endpoints
        third = self.publish("10.0.0.2", "10.0.0.3").endpoints[1]
        self.assertEqual(self.pools.endpoints, [first, second, third])
        self.assertEqual([pool.closed for pool in self.pools.made], [True, False, False])
        self.assertEqual([len(pool.waiters) for pool in self.pools.made], [0, 1, 1])

    def test_unasked(self) -> None:
        """
        A service without a check is left alone, and so are instances that cannot be asked.
        """
        self.checks.start()
        self.publish("10.0.0.1", name="plain")
        self.catalogue.publish("static", {"echo": [Instance("10.0.0.2", 80, meta={"protocol": "http1"})]})
        self.assertEqual(self.pools.made, [])

    def test_service_gone(self) -> None:
        """
        When a service is gone, so is all that was kept of it; it may come back.
        """
        self.checks.start()
        self.publish("10.0.0.1")
        self.catalogue.publish("static", {})
        self.assertEqual(([pool.closed for pool in self.pools.made], self.counts()), ([True], {}))
        self.pools.status = WELL
        again = self.publish("10.0.0.1")
        self.assertEqual((again.endpoints[0].health, self.counts()), ("up", {("echo", "serving"): 1}))

    def test_stop(self) -> None:
        """
        After the end nobody is asked any more, new ones included, and what was known stays.
        """
        self.checks.start()
        self.pools.status = WELL
        service = self.publish("10.0.0.1")
        self.checks.stop()
        self.publish("10.0.0.1", "10.0.0.2")
        self.assertEqual((self.clock.getDelayedCalls(), len(self.pools.made)), ([], 1))
        self.assertTrue(self.pools.made[0].closed)
        self.assertEqual([endpoint.health for endpoint in service.endpoints], ["up", "warming"])
        self.assertEqual(self.counts(), {("echo", "serving"): 1})

    def counts(self) -> dict[tuple[str, str], int]:
        """
        What the metrics show, save zeros.
        """
        metrics = Metrics(Observer(None))
        self.checks.expose(metrics)
        families = {family.name: family for family in metrics.collect()}
        samples = families["siger_health_checks"].samples
        return {
            (sample.labels["service"], sample.labels["result"]): int(sample.value)
            for sample in samples
            if sample.name.endswith("_total") and sample.value
        }

    def test_counts(self) -> None:
        """
        All questions are counted by what came of them.
        """
        self.checks.start()
        self.pools.status = WELL
        (well,) = self.publish("10.0.0.1").endpoints
        self.later(12)
        self.let(well, ILL)
        self.later(10)
        self.pools.status, self.pools.reason = None, Reason.UPSTREAM_REFUSED
        self.publish("10.0.0.1", "10.0.0.2")
        expected = {("echo", "serving"): 2, ("echo", "not_serving"): 1, ("echo", "unreachable"): 1}
        self.assertEqual(self.counts(), expected)

    def test_zeros(self) -> None:
        """
        What has not come yet is shown as well, so that a rate has something to rise from.
        """
        self.checks.start()
        self.publish("10.0.0.1")
        metrics = Metrics(Observer(None))
        self.checks.expose(metrics)
        text = metrics.exposition("")[1].decode()
        for result in ("serving", "not_serving", "failed", "unreachable", "timeout"):
            self.assertIn(f'siger_health_checks_total{{result="{result}",service="echo"}} 0.0\n', text)


class HealthTests(ChecksCase):
    """
    What comes of it.
    """

    def setUp(self) -> None:
        """
        Three instances that are well.
        """
        super().setUp()
        self.checks.start()
        self.pools.status = WELL
        self.service = self.publish("10.0.0.1", "10.0.0.2", "10.0.0.3")
        self.events.clear()

    def health(self) -> str:
        """
        The first letters of how they are.
        """
        return "".join(endpoint.health[0] for endpoint in self.service.endpoints)

    def test_first_answer(self) -> None:
        """
        One good answer is enough in the beginning, and each who is up is told of.
        """
        self.assertEqual(self.health(), "uuu")
        self.pools.status = None
        self.publish("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
        self.assertEqual((self.health(), self.lines()), ("uuuw", []))
        self.pools.made[-1].connect().answer()
        self.assertEqual(self.health(), "uuuu")
        self.assertEqual(self.lines(), [("info", "instance 10.0.0.4:80 of service echo is up")])

    def test_down_and_up(self) -> None:
        """
        As many bad answers as it takes, then as many good ones; a line each, and none in between.
        """
        ill = self.service.endpoints[1]
        self.let(ill, ILL)
        self.later(18)
        self.assertEqual((self.health(), self.lines()), ("uuu", []))
        self.later(16)
        self.assertEqual(self.health(), "udu")
        down = ("warn", "instance 10.0.0.2:80 of service echo is down: NOT_SERVING")
        self.assertEqual(self.lines(), [down])
        self.later(30)
        self.let(ill, WELL)
        self.later(23)
        self.assertEqual(self.health(), "uuu")
        self.assertEqual(self.lines(), [down, ("info", "instance 10.0.0.2:80 of service echo is up")])

    def test_panic(self) -> None:
        """
        When too few are well it is said once, and again when that is over; the ill ones are asked all the while.
        """
        first, second, _ = self.service.endpoints
        self.let(first, ILL)
        self.let(second, ILL)
        self.later(40)
        self.assertEqual((self.health(), self.service.panicking), ("ddu", True))
        self.let(first, WELL)
        self.later(40)
        self.assertEqual((self.health(), self.service.panicking), ("udu", False))
        lines = [line for line in self.lines() if "instance 10" not in line[1]]
        panic = ("warn", "too few instances of service echo are up: requests go to those that are down, too")
        over = ("info", "requests for service echo no longer go to instances that are down")
        self.assertEqual(lines, [panic, over])

    def test_panic_ends_with_instances(self) -> None:
        """
        Discovery can begin and end a panic, too; of a service that has no instances nothing is said.
        """
        first, second, _ = self.service.endpoints
        self.let(second, ILL)
        self.let(self.service.endpoints[2], ILL)
        self.later(40)
        self.events.clear()
        self.publish("10.0.0.1")
        self.assertEqual([level for level, _ in self.lines()], ["info"])
        self.let(first, ILL)
        self.later(40)
        self.assertTrue(self.service.panicking)
        self.events.clear()
        self.catalogue.publish("static", {"echo": []})
        self.assertEqual((self.service.panicking, self.lines()), (False, []))

    def test_quiet(self) -> None:
        """
        While nothing changes, nothing is said.
        """
        self.later(120)
        self.assertEqual(self.lines(), [])


class GatewayTests(SynchronousTestCase):
    """
    The checks of a gateway.
    """

    def test_lifetime(self) -> None:
        """
        They begin with it, over connections of their own, and end when it begins to drain.
        """
        service = ServiceSettings(
            "echo", (InstanceSettings("10.0.0.1", 9001),), protocol="h2c", health=HealthCheck("a.v1.B")
        )
        settings = Settings(
            jwt_secret="x" * 40,
            access_log="off",
            consul_address=None,
            nats_address="",
            data_dir=Path(self.mktemp()),
            services={"echo": service},
            drain_timeout=0,
        )
        reactor = MemoryReactorClock()
        gateway = Gateway(settings, reactor)
        self.assertEqual(reactor.tcpClients, [])
        gateway.privilegedStartService()
        gateway.startService()
        self.assertEqual([(client[0], client[1]) for client in reactor.tcpClients], [("10.0.0.1", 9001)])
        (endpoint,) = gateway.catalogue.services[b"echo"].endpoints
        self.assertEqual((endpoint.health, endpoint.pool), ("warming", None))
        stopped = gateway.stopService()
        self.assertTrue(reactor.connectors[0]._disconnected)
        reactor.pump([0.1] * 600)
        self.successResultOf(stopped)
        self.assertEqual(len(reactor.tcpClients), 1)
