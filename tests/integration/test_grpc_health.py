"""
Instances that are asked whether they are well: real gRPC servers, which are taken out and brought back while clients
go on calling.
"""

from __future__ import annotations

import atexit
import re
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from siger import __version__
from tests.integration.consul_agent import ConsulAgent
from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.grpc_health import NOT_SERVING
from tests.integration.grpc_load import CallLoad
from tests.integration.grpc_plan import SERVICE, Plan
from tests.integration.grpc_world import GrpcServer, ask, call_names, connect, eventually, outcome
from tests.integration.health_server import HealthServer
from tests.integration.tls_world import certificates

CLOCK: Any = reactor
CHECK = {"grpc": "", "interval": 0.5, "timeout": 0.5, "rise": 2, "fall": 2}
NAMES = ("one", "two", "three")


@cache
def servers() -> dict[str, HealthServer]:
    """
    Three servers that all tests share, each with a port that it keeps.
    """
    made = {name: HealthServer(name, free_port()).launch() for name in NAMES}
    for server in made.values():
        atexit.register(server.kill)
        server.start()
    return made


def healthy(gateway: GatewayProcess, service: str = "checked") -> int:
    """
    How many instances of a service are well.
    """
    return int(metric(gateway, f'siger_service_healthy_instances{{service="{service}"}}'))


def metric(gateway: GatewayProcess, name: str) -> float:
    """
    The value of a metric.
    """
    found = re.search(rf"^{re.escape(name)} (.*)$", gateway.get("/metrics").decode(), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


class HealthCase(SynchronousTestCase):
    """
    Servers that are well, and gateways of the tests' own.
    """

    def setUp(self) -> None:
        self.servers = servers()
        for server in self.servers.values():
            server.set()

    def start(self, check: dict[str, Any] | None = None, **settings: Any) -> GatewayProcess:
        """
        Start a gateway before all three servers.
        """
        instances = [f"127.0.0.1:{server.port}" for server in self.servers.values()]
        service = {"instances": instances, "protocol": "h2c", "health": {**CHECK, **(check or {})}, **settings}
        self.gateway = GatewayProcess(
            echo_config(services={"checked": service}, routes=[{"grpc": SERVICE, "service": "checked"}])
        )
        self.addCleanup(self.gateway.kill)
        self.gateway.start()
        self.channel = connect(self.gateway.port)
        self.addCleanup(self.channel.close)
        return self.gateway

    def until_healthy(self, count: int) -> None:
        """
        Wait until just so many are well.
        """
        self.gateway.wait_until(lambda: healthy(self.gateway) == count, f"healthy: {count}", 20)

    def answered(self, calls: int = 12) -> Counter[str]:
        """
        Who answers calls, none of which fails.
        """
        found: Counter[str] = Counter()
        for _ in range(calls):
            got = ask(self.channel, Plan(sizes=[3]))
            self.assertEqual((got.code, len(got.messages)), (0, 1), got.details)
            found.update(map(str, got.values("x-server")))
        return found

    def load(self) -> CallLoad:
        """
        Clients that call all the time.
        """
        load = CallLoad(self.gateway.port).start()
        self.addCleanup(load.stop)
        return load

    def went_well(self, load: CallLoad) -> None:
        """
        Make sure that none of those calls failed, and that there were some.
        """
        load.stop()
        self.assertEqual(load.failed, [])
        self.assertGreater(load.answered.total(), 50)


class TakenOutTests(HealthCase):
    """
    One of three is not well for a while.
    """

    def test_not_serving(self) -> None:
        """
        One that says that it is not well is taken out after so many questions, and brought back once it is well again,
        and no call fails in all that time. What it was asked is a call of gRPC as any other.
        """
        self.start()
        self.until_healthy(3)
        load = self.load()
        self.assertTrue(eventually(lambda: len(load.answered) == 3))
        ill = self.servers["two"]
        ill.set(NOT_SERVING)
        self.until_healthy(2)
        bad = [asked for asked in ill.asked() if asked["status"] == NOT_SERVING]
        self.assertGreaterEqual(len(bad), CHECK["fall"])
        self.assertEqual(self.answered().keys(), {"one", "three"})
        before = load.answered.total()
        self.assertTrue(eventually(lambda: load.answered.total() > before + 50))
        ill.set()
        self.until_healthy(3)
        before = load.answered["two"]
        self.assertTrue(eventually(lambda: load.answered["two"] > before + 20))
        self.went_well(load)
        metadata = bad[0]["metadata"]
        self.assertEqual(metadata["user-agent"], f"siger/{__version__}")
        log = self.gateway.output()
        place = f"instance 127.0.0.1:{ill.port} of service checked"
        self.assertEqual((log.count(f"{place} is down: NOT_SERVING"), log.count(f"{place} is up")), (1, 2))
        self.assertNotIn("too few", log)

    def test_killed(self) -> None:
        """
        One that is gone is taken out, and brought back when it has been started again.
        """
        self.start()
        self.until_healthy(3)
        killed = self.servers["three"]
        killed.kill()
        self.until_healthy(2)
        self.assertEqual(self.answered().keys(), {"one", "two"})
        self.assertIn(f"instance 127.0.0.1:{killed.port} of service checked is down: upstream_", self.gateway.output())
        killed.start()
        self.until_healthy(3)
        self.assertEqual(self.answered(), {"one": 4, "two": 4, "three": 4})

    def test_stopped_in_order(self) -> None:
        """
        One that says that it is not well, waits until it is taken out, and only then stops, costs no call.
        """
        self.start()
        self.until_healthy(3)
        load = self.load()
        self.assertTrue(eventually(lambda: len(load.answered) == 3))
        leaving = self.servers["one"]
        leaving.set(NOT_SERVING)
        self.until_healthy(2)
        leaving.stop()
        before = load.answered.total()
        self.assertTrue(eventually(lambda: load.answered.total() > before + 50))
        leaving.start()
        self.until_healthy(3)
        self.assertTrue(eventually(lambda: load.answered.total() > before + 100))
        self.went_well(load)

    def test_no_answer(self) -> None:
        """
        One that never answers is not well, and the question is not left behind.
        """
        self.start()
        self.until_healthy(3)
        self.servers["two"].set(slow=True)
        self.until_healthy(2)
        timeouts = metric(self.gateway, 'siger_health_checks_total{result="timeout",service="checked"}')
        self.assertGreaterEqual(timeouts, CHECK["fall"])
        self.assertIn("is down: no answer within 0.5 s", self.gateway.output())
        self.servers["two"].set()
        self.until_healthy(3)

    def test_no_health_service(self) -> None:
        """
        One that has no health service at all, or does not know the service that it is asked about, is not well.
        """
        for server in self.servers.values():
            server.set(service="a.v1.B")
        self.servers["one"].set(hidden=True)
        self.servers["two"].set(None, "a.v1.B")
        self.start({"grpc": "a.v1.B", "fall": 1})
        gateway = self.gateway
        gateway.wait_until(lambda: gateway.output().count(" is down: ") == 2, "down", 20)
        self.until_healthy(1)
        for detail in ("UNIMPLEMENTED", "NOT_FOUND"):
            self.assertEqual(gateway.output().count(f" is down: {detail}"), 1)
        self.assertEqual(self.servers["three"].asked()[-1]["service"], "a.v1.B")


class FewTests(HealthCase):
    """
    Few are well, or nothing is known.
    """

    def test_panic(self) -> None:
        """
        When none is well, all go on being tried: they may still answer, as they do here. When enough are well again,
        only these are.
        """
        self.start()
        self.until_healthy(3)
        load = self.load()
        for server in self.servers.values():
            server.set(NOT_SERVING)
        self.until_healthy(0)
        before = Counter(load.answered)
        self.assertTrue(eventually(lambda: all(load.answered[name] > before[name] + 20 for name in NAMES)))
        self.assertIn("too few instances of service checked are up", self.gateway.output())
        self.servers["one"].set()
        self.servers["two"].set()
        self.until_healthy(2)
        self.assertEqual(self.answered().keys(), {"one", "two"})
        self.assertIn("requests for service checked no longer go to instances that are down", self.gateway.output())
        self.went_well(load)

    def test_warming(self) -> None:
        """
        One that has not been well yet gets nothing, however long that takes; its first good answer is enough.
        """
        self.servers["three"].set(NOT_SERVING)
        self.start({"rise": 50, "fall": 100})
        self.until_healthy(2)
        self.assertEqual(self.answered().keys(), {"one", "two"})
        self.servers["three"].set()
        self.until_healthy(3)
        self.assertEqual(self.answered(), {"one": 4, "two": 4, "three": 4})
        self.assertNotIn("is down", self.gateway.output())

    def test_busy(self) -> None:
        """
        One with as many calls as it can have is not ill: questions do not wait behind calls.
        """
        self.start(max_streams=1, h2_connections=1)
        self.until_healthy(3)
        names = [next(call_names) for _ in NAMES]
        stub = self.channel.unary_stream(f"/{SERVICE}/ServerStream")
        plan = Plan(sizes=(10, 10), gated=True).encode()
        calls = [stub(plan, timeout=20, metadata=(("x-call", name),)) for name in names]
        told = [next(call) for call in calls]
        self.assertEqual([len(message) for message in told], [10] * 3)
        before = {name: len(server.asked()) for name, server in self.servers.items()}
        more = int(CHECK["fall"]) + 2
        for name, server in self.servers.items():
            self.assertTrue(eventually(lambda server=server, least=before[name] + more: len(server.asked()) > least))
        self.assertEqual(healthy(self.gateway), 3)
        self.assertNotIn("is down", self.gateway.output())
        for server in self.servers.values():
            for name in names:
                server.let_go(name)
        self.assertEqual([outcome(call).code for call in calls], [0] * 3)

    def test_one_connection(self) -> None:
        """
        All questions to one server come over one connection, and none after the gateway has begun to drain.
        """
        self.start()
        self.until_healthy(3)
        server = self.servers["one"]
        before = len(server.asked())
        self.assertTrue(eventually(lambda: len(server.asked()) > before + 3))
        self.assertEqual(len({asked["peer"] for asked in server.asked()[before:]}), 1)
        self.gateway.signal()
        self.assertEqual(self.gateway.wait(), 0)
        after = len(server.asked())
        time.sleep(1)
        self.assertEqual(len(server.asked()), after)


class SecureTests(SynchronousTestCase):
    """
    A server that speaks gRPC over TLS.
    """

    def test_secure(self) -> None:
        """
        It is asked over TLS, with the same expectations of its certificate as for calls.
        """
        known = certificates()
        pair = known.make("health.example")
        both = known.directory / "health.both.pem"
        both.write_bytes(Path(pair.certificate).read_bytes() + Path(pair.key).read_bytes())
        server = GrpcServer("secure", certificate=both)
        self.addCleanup(server.kill)
        server.start()
        service = {"instances": [f"127.0.0.1:{server.port}"], "protocol": "h2", "health": {**CHECK, "fall": 1}}
        names = {"right": "health.example", "wrong": "other.example"}
        services = {
            name: {**service, "tls": {"ca": known.ca, "server_name": server_name}}
            for name, server_name in names.items()
        }
        gateway = GatewayProcess(echo_config(services=services))
        self.addCleanup(gateway.kill)
        gateway.start()
        gateway.wait_until(lambda: healthy(gateway, "right") == 1, "healthy", 20)
        gateway.wait_until(lambda: "of service wrong is down: upstream_tls" in gateway.output(), "down", 20)
        self.assertEqual(healthy(gateway, "wrong"), 0)


class ConsulTests(TestCase):
    """
    Instances that Consul tells of.
    """

    timeout = 90

    async def test_comes_later(self) -> None:
        """
        One that comes while clients call all the time is asked, and gets no call before it says that it is well; one
        that goes is not asked any more. No call fails.
        """
        # Not in a thread of the pool: the servers end with the thread that has started them.
        one, two = servers()["one"], servers()["two"]
        for server in (one, two):
            await deferToThread(server.set)
        agent = ConsulAgent(reactor)
        self.addCleanup(agent.stop)
        await agent.start()
        await self.register(agent, one)
        gateway = await deferToThread(self.start, agent.address)
        await self.until(gateway, lambda: healthy(gateway, "trainer") == 1)
        load = CallLoad(gateway.port).start()
        self.addCleanup(load.stop)
        await deferToThread(two.set, NOT_SERVING)
        before = len(await deferToThread(two.asked))
        await self.register(agent, two)
        await self.until(gateway, lambda: len(two.asked()) > before + 3)
        await self.until(gateway, lambda: load.answered["one"] > 50)
        self.assertEqual(load.answered.keys(), {"one"})
        await deferToThread(two.set)
        await self.until(gateway, lambda: load.answered["two"] > 20)
        await agent.call("PUT", "/v1/agent/service/deregister/trainer-two")
        await self.until(gateway, lambda: healthy(gateway, "trainer") == 1)
        asked = len(await deferToThread(two.asked))
        again = len(await deferToThread(one.asked))
        await self.until(gateway, lambda: len(one.asked()) > again + 3)
        self.assertEqual(len(await deferToThread(two.asked)), asked)
        await deferToThread(load.stop)
        self.assertEqual(load.failed, [])

    def start(self, consul: str) -> GatewayProcess:
        """
        Start a gateway that knows of nothing but Consul.
        """
        config = echo_config(
            consul_address=consul, service_defaults={"protocol": "h2c", "health": {**CHECK, "fall": 100}}
        )
        del config["services"]
        gateway = GatewayProcess(config)
        self.addCleanup(gateway.kill)
        return gateway.start()

    async def register(self, agent: ConsulAgent, server: HealthServer) -> None:
        """
        Register a server as an instance of C{trainer}.
        """
        definition = {
            "ID": f"trainer-{server.name}",
            "Name": "trainer",
            "Address": "127.0.0.1",
            "Port": server.port,
            "Check": {"TTL": "10m", "Status": "passing"},
            "Meta": {"grpc-services": SERVICE},
        }
        await agent.call("PUT", "/v1/agent/service/register", definition)

    async def until(self, gateway: GatewayProcess, true: Any) -> None:
        """
        Wait for something.
        """
        deadline = time.monotonic() + 20
        while not await deferToThread(true):
            self.assertLess(time.monotonic(), deadline, gateway.output())
            await deferLater(CLOCK, 0.02)
