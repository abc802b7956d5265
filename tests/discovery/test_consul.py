"""
Tests for L{siger.discovery.consul}, against a Consul in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from siger.config.settings.consul import ConsulSettings
from siger.discovery.client import ConsulClient
from siger.discovery.consul import LONG_QUERIES, SHORT_QUERIES, ConsulDiscovery
from tests.discovery import contract
from tests.discovery.memory import MemoryConsul

SECRET = "5eed5eed-0000-0000-0000-000000000001"


class MemoryWorld:
    """
    A Consul in memory, and a clock that moves when told to.
    """

    #: No longer than the shortest pause of a watch, so that each has its turn.
    STEP = 0.05

    def __init__(self, acl: bool = False) -> None:
        self.token = SECRET if acl else ""
        self.clock = Clock()
        self.consul = MemoryConsul(self.clock, self.token)

    def client(self, **options: Any) -> ConsulClient:
        """
        A new client.
        """
        return self.consul.client(**options)

    async def done(self, request: Deferred[Any]) -> Any:
        """
        The result of a request, which takes no time.
        """
        self.consul.flush()
        return await request

    async def until(self, condition: Callable[[], bool], seconds: float = 1.0) -> None:
        """
        Let time pass until the condition holds.
        """
        self.consul.flush()
        end = self.clock.seconds() + seconds
        while not condition():
            assert self.clock.seconds() < end, f"not within {seconds} seconds"
            self.consul.advance(self.STEP)

    async def pause(self, seconds: float) -> None:
        """
        Let so much time pass.
        """
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.consul.advance(self.STEP)

    async def crash(self) -> None:
        """
        Break every connection.
        """
        self.consul.crash()

    async def revive(self) -> None:
        """
        Accept them again.
        """
        self.consul.revive()


class MemoryDiscoveryTests(contract.DiscoveryContract, TestCase):
    """
    The contract, kept by the Consul in memory.
    """

    async def make_world(self, acl: bool = False) -> contract.World:
        """
        One in memory.
        """
        return MemoryWorld(acl)


class ConsulDiscoveryTests(TestCase):
    """
    Tests for L{ConsulDiscovery} with a Consul that has faults, or a lot to say.
    """

    def setUp(self) -> None:
        """
        A Consul with two services, and a discovery that knows them.
        """
        self.world = MemoryWorld()
        self.consul = self.world.consul
        self.client = self.consul.client()
        self.put("web", 80)
        self.put("jobs", 90)
        self.begin()
        self.pause(0.2)

    def begin(self, **settings: Any) -> None:
        """
        Start a discovery with an empty catalogue.
        """
        self.catalogue = contract.make_catalogue()
        client = self.consul.client()
        self.discovery = ConsulDiscovery(
            self.world.clock, client, ConsulSettings(**settings), self.catalogue, Random(7)
        )
        self.discovery.start()
        self.addCleanup(self.discovery.stop)

    def put(self, name: str, port: int, **more: Any) -> None:
        """
        Register an instance.
        """
        registered = contract.put(self.client, name, port, **more)
        self.consul.flush()
        self.assertTrue(self.successResultOf(registered))

    def pause(self, seconds: float, step: float = MemoryWorld.STEP) -> None:
        """
        Let time pass.
        """
        end = self.world.clock.seconds() + seconds
        while self.world.clock.seconds() < end:
            self.consul.advance(step)

    def known(self) -> dict[str, set[int]]:
        """
        The services, and the ports of their instances.
        """
        return {
            name.decode(): {endpoint.instance.port for endpoint in service.endpoints}
            for name, service in self.catalogue.services.items()
        }

    def wake(self) -> None:
        """
        Have every blocked query answered at once.
        """
        self.consul.changed()
        self.consul.flush()

    BOTH: ClassVar = {"web": {80}, "jobs": {90}}

    def test_first_sync(self) -> None:
        """
        The first synchronisation is announced once.
        """
        self.assertEqual(self.known(), self.BOTH)
        self.assertIsNone(self.successResultOf(self.discovery.first_sync))
        self.wake()
        self.pause(2)

    def test_questions(self) -> None:
        """
        The queries ask for passing instances and stale reads, and block for five minutes once there is an index.
        """
        self.pause(1)
        asked = {path: arguments for path, arguments, _ in self.consul.requests if path.startswith(("/v1/h", "/v1/c"))}
        index = str(self.consul.index)
        self.assertEqual(asked["/v1/catalog/services"], {"index": index, "wait": "300s", "stale": "1"})
        self.assertEqual(
            asked["/v1/health/service/web"], {"index": index, "wait": "300s", "passing": "1", "stale": "1"}
        )

    def test_quiet(self) -> None:
        """
        While nothing changes, each query is asked once in five minutes.
        """
        self.pause(2)
        before = len(self.consul.requests)
        self.pause(1000, step=1.0)
        self.assertLessEqual(len(self.consul.requests) - before, 3 * 4)
        self.assertEqual(self.known(), self.BOTH)

    def test_bad_answers(self) -> None:
        """
        Nothing that is not an answer changes what is known: no error, no empty body, nothing of the wrong kind.
        """
        fields = {"X-Consul-Index": "99"}
        for status, body in (
            (500, b"No cluster leader"),
            (500, b""),
            (503, b"{}"),
            (502, b"[]"),
            (429, b"Your IP is issuing too many concurrent connections"),
            (403, b"ACL not found"),
            (404, b""),
            (200, b""),
            (200, b"null"),
            (200, b"{}"),
            (200, b'"web"'),
            (200, b"7"),
            (200, b"<html>"),
            (200, b"[{}]"),
            (200, b'[{"Service": null}]'),
            (200, b'[{"Service": {"Port": "x"}, "Node": {}}]'),
            (200, b"\xff\xfe"),
            (302, b""),
        ):
            self.consul.replies = {"/v1/catalog": (status, fields, body), "/v1/health": (status, fields, body)}
            self.wake()
            self.pause(3)
            self.assertEqual(self.known(), self.BOTH, (status, body))
            self.assertFalse(self.discovery.connected, (status, body))
            self.consul.replies = {}
            self.pause(40)
            self.assertTrue(self.discovery.connected, (status, body))
        self.assertEqual(self.known(), self.BOTH)

    def test_bad_index(self) -> None:
        """
        An answer without an index, or with one that is no number, is no answer.
        """
        for fields in ({}, {"X-Consul-Index": "soon"}):
            self.consul.replies = {"/v1/": (200, fields, b'{"other": []}')}
            self.wake()
            self.pause(1)
            self.assertFalse(self.discovery.connected)
            self.consul.replies = {}
            self.pause(40)
        self.assertEqual(self.known(), self.BOTH)

    def test_redirect(self) -> None:
        """
        A redirect is not followed, wherever it leads.
        """
        fields = {"Location": "http://127.0.0.1:8500/elsewhere", "X-Consul-Index": "99"}
        self.consul.replies = {"/v1/catalog": (302, fields, b'{"other": []}')}
        self.wake()
        self.pause(1)
        self.assertEqual(self.known(), self.BOTH)
        self.assertNotIn("/elsewhere", {path for path, _, _ in self.consul.requests})
        self.assertFalse(self.discovery.connected)

    def test_one_service_fails(self) -> None:
        """
        A service that Consul will not tell about keeps what is known, and the others go on.
        """
        self.consul.replies = {"/v1/health/service/web": (403, {}, b"Permission denied")}
        self.wake()
        self.pause(1)
        self.put("web", 81)
        self.put("jobs", 91)
        self.pause(1)
        self.assertEqual(self.known(), {"web": {80}, "jobs": {90, 91}})
        self.assertTrue(self.discovery.connected)
        self.consul.replies = {}
        self.pause(31)
        self.assertEqual(self.known()["web"], {80, 81})

    def test_service_that_always_fails(self) -> None:
        """
        A service that never had an answer is known, without instances, and does not hold up the start.
        """
        self.consul.replies = {"/v1/health/service/web": (403, {}, b"Permission denied")}
        self.begin()
        self.pause(1)
        self.assertTrue(self.discovery.synced)
        self.assertEqual(self.known(), {"web": set(), "jobs": {90}})

    def test_every_service_fails(self) -> None:
        """
        So it is when that happens to every service, and late.
        """
        self.consul.hanging = "/v1/health/"
        self.begin()
        self.pause(1)
        self.assertEqual((self.discovery.synced, self.known()), (False, {}))
        self.pause(10)
        self.assertTrue(self.discovery.synced)
        self.assertEqual(self.known(), {"web": set(), "jobs": set()})

    def test_not_asked_yet(self) -> None:
        """
        A service is not known before something is known about it: it would be one without instances.
        """
        self.pause(1)
        self.consul.hanging = "/v1/health/service/fresh"
        self.put("fresh", 70)
        self.put("web", 81)
        self.pause(1)
        self.assertEqual(self.known(), {"web": {80, 81}, "jobs": {90}})

    def test_index_goes_backwards(self) -> None:
        """
        When the index goes backwards the next query asks afresh, and changes are live within a second.
        """
        self.pause(1)
        self.consul.requests.clear()
        self.consul.restore(3)
        self.pause(0.7)
        fresh = [arguments for path, arguments, _ in self.consul.requests if path == "/v1/health/service/web"]
        self.assertNotIn("index", fresh[0])
        self.assertEqual(fresh[-1].get("index"), "3")
        self.put("web", 81)
        self.pause(1)
        self.assertEqual(self.known()["web"], {80, 81})

    def test_index_zero(self) -> None:
        """
        An index that is not positive is not used, and does not make the gateway ask all the time.
        """
        for index in (0, -4):
            self.consul.restore(index)
            self.pause(1)
            self.consul.requests.clear()
            self.pause(10)
            self.assertLessEqual(len(self.consul.requests), 3 * 21)
            self.assertFalse([arguments for _, arguments, _ in self.consul.requests if "index" in arguments])

    def test_busy_cluster(self) -> None:
        """
        An index that moves all the time without news costs two queries a second for each service, and no update.
        """
        endpoints = self.catalogue.services[b"web"].endpoints
        changes = self.discovery.counters.changes
        self.consul.requests.clear()
        for _ in range(200):
            self.wake()
            self.pause(0.05)
        self.assertLessEqual(len(self.consul.requests), 3 * 22)
        self.assertEqual(self.discovery.counters.changes, changes)
        self.assertIs(self.catalogue.services[b"web"].endpoints, endpoints)

    def test_no_leader(self) -> None:
        """
        A server without a leader is not believed when something is known, and believed when nothing is.
        """
        self.consul.leader = False
        self.consul.definitions.pop("web-80")
        self.wake()
        self.pause(3)
        self.assertEqual(self.known(), self.BOTH)
        self.assertFalse(self.discovery.connected)
        self.begin()
        self.pause(1)
        self.assertEqual(self.known(), {"jobs": {90}})
        self.consul.leader = True
        self.pause(1)

    def test_forgotten_for_good(self) -> None:
        """
        What a restarted Consul has not heard of again after two minutes is gone.
        """
        self.consul.crash()
        self.consul.revive()
        self.put("jobs", 90)
        self.pause(100)
        self.assertEqual(self.known(), self.BOTH)
        self.pause(30)
        self.assertEqual(self.known(), {"jobs": {90}})

    def test_instances_forgotten_for_good(self) -> None:
        """
        A service that is back without instances keeps the known ones for two minutes too.
        """
        self.consul.crash()
        self.consul.revive()
        self.put("web", 80, check={"ttl": "10m", "status": "critical"})
        self.put("jobs", 90)
        self.pause(100)
        self.assertEqual(self.known(), self.BOTH)
        self.pause(30)
        self.assertEqual(self.known(), {"web": set(), "jobs": {90}})

    def test_no_doubt_when_all_is_back(self) -> None:
        """
        Once a restarted Consul knows everything again, it is believed at once.
        """
        self.consul.crash()
        self.consul.revive()
        self.put("web", 80)
        self.put("jobs", 90)
        self.pause(5)
        removed = self.client.agent.service.deregister("web-80")
        self.pause(1)
        self.successResultOf(removed)
        self.assertEqual(self.known(), {"jobs": {90}})

    def test_backing_off(self) -> None:
        """
        While Consul is away each query is tried again after a second or less, and later every 30 seconds or less.
        """
        self.consul.crash()
        errors = self.discovery.counters.errors
        self.pause(1.2)
        self.assertGreaterEqual(self.discovery.counters.errors - errors, 3)
        self.pause(100)
        errors = self.discovery.counters.errors
        self.pause(600)
        self.assertGreaterEqual(self.discovery.counters.errors - errors, 3 * 19)
        self.assertLessEqual(self.discovery.counters.errors - errors, 3 * 41)
        self.assertEqual(self.known(), self.BOTH)
        self.assertApproximates(self.discovery.age_seconds, 701.2, 1.0)

    def test_hanging(self) -> None:
        """
        A query that is not answered in the time it asked for, and a little more, is given up and tried again.
        """
        self.consul.hanging = "/"
        self.wake()
        self.pause(300)
        self.assertTrue(self.discovery.connected)
        self.pause(40)
        self.assertFalse(self.discovery.connected)
        self.consul.hanging = ""
        self.put("web", 81)
        self.pause(31)
        self.assertTrue(self.discovery.connected)
        self.assertEqual(self.known()["web"], {80, 81})

    def test_unknown_names(self) -> None:
        """
        Names that nobody registered cost a lookup: no query, no watch, nothing kept.
        """
        self.pause(1)
        before = len(self.consul.requests)
        for number in range(10_000):
            self.assertNotIn(b"guess-%d" % number, self.catalogue.services)
        self.pause(1)
        self.assertEqual(len(self.consul.requests), before)

    def test_bad_names(self) -> None:
        """
        A service that no request could name is neither watched nor known.
        """
        for name in ("Web", "a.b", "web_2", "../../kv/secret", "web?dc=x"):
            self.consul.definitions[name] = {"name": name, "port": 70}
        self.wake()
        self.pause(1)
        self.assertEqual(self.known(), self.BOTH)
        paths = {path for path, _, _ in self.consul.requests if path.startswith("/v1/health")}
        self.assertEqual(paths, {"/v1/health/service/web", "/v1/health/service/jobs"})

    def test_mesh(self) -> None:
        """
        Sidecar proxies of Consul's mesh get no requests.
        """
        self.put("web-sidecar-proxy", 20000, kind="connect-proxy")
        self.pause(1)
        self.assertEqual(self.known(), {**self.BOTH, "web-sidecar-proxy": set()})

    def test_vanished(self) -> None:
        """
        A service that is gone is not watched any more.
        """
        del self.consul.definitions["web-80"]
        self.wake()
        self.pause(1)
        self.assertEqual(self.known(), {"jobs": {90}})
        self.consul.requests.clear()
        self.wake()
        self.pause(1)
        self.assertNotIn("/v1/health/service/web", {path for path, _, _ in self.consul.requests})

    def test_many_services(self) -> None:
        """
        More services than an agent takes connections are all known, with fewer queries at a time than it takes.
        """
        names = [f"service-{number}" for number in range(LONG_QUERIES + 2 * SHORT_QUERIES)]
        for name in names:
            self.consul.definitions[name] = {"name": name, "port": 70}
        self.wake()
        self.pause(10)
        self.assertEqual(len(self.known()), 2 + len(names))
        for name in names:
            self.consul.definitions[f"{name}-2"] = {"name": name, "port": 71}
        self.wake()
        self.assertLessEqual(len(self.consul.blocked), LONG_QUERIES + SHORT_QUERIES + 1)
        self.pause(10)
        self.assertEqual({frozenset(self.known()[name]) for name in names}, {frozenset({70, 71})})
        for name in names:
            del self.consul.definitions[name], self.consul.definitions[f"{name}-2"]
        self.wake()
        self.pause(3)
        self.assertEqual(self.known(), self.BOTH)
        self.assertEqual(len(self.consul.blocked), 3)

    def test_stop(self) -> None:
        """
        After the end nothing is asked, every query is given up, and what was published stays.
        """
        self.pause(1)
        self.discovery.stop()
        self.consul.flush()
        self.assertEqual(len(self.consul.blocked), 0)
        self.consul.requests.clear()
        self.pause(60)
        self.assertEqual(self.consul.requests, [])
        self.assertEqual(self.known(), self.BOTH)

    def test_stop_before_publishing(self) -> None:
        """
        A change that waits to be published when the end comes is not published.
        """
        self.pause(1)
        self.put("web", 81)
        self.consul.flush()
        self.discovery.stop()
        self.pause(1)
        self.assertEqual(self.known(), self.BOTH)

    def test_log(self) -> None:
        """
        A loss is one line and so is the return, however many services there are.
        """
        lines: list[str] = []

        def observe(event: dict[str, Any]) -> None:
            if event["log_namespace"].startswith("siger.discovery"):
                lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.consul.crash()
        self.pause(20)
        self.consul.down = False
        self.pause(31)
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("does not answer", lines[0])
        self.assertEqual(lines[1], "Consul answers; services exposed: 2")
