"""
What the gateway and a Consul agree on: tests that run against the one in memory and against a real agent.

A L{World} is either of them, with its clock. A subclass of L{DiscoveryContract} makes one.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from siger.balancing.algorithms import make_balancer
from siger.balancing.instances import Instance
from siger.balancing.service import Service
from siger.config.settings.consul import ConsulSettings
from siger.config.settings.services import ServiceSettings
from siger.discovery.catalogue import Catalogue
from siger.discovery.client import ConsulClient
from siger.discovery.consul import ConsulDiscovery
from siger.discovery.registration import Registration, Self

__all__ = ["DiscoveryContract", "RegistrationContract", "World", "make_catalogue", "put"]

ME = Self("", "127.0.0.1", 8080, "api-gateway-test-8080", ("edge",))


class World(Protocol):
    """
    A Consul, and time.

    @ivar clock: what the gateway goes by.
    @ivar token: what may do everything.
    """

    clock: Any
    token: str

    def client(self, **options: Any) -> ConsulClient:
        """
        A new client.
        """

    async def done(self, request: Deferred[Any]) -> Any:
        """
        The result of a request.
        """

    async def until(self, condition: Callable[[], bool], seconds: float = 1.0) -> None:
        """
        Come back when the condition holds, and fail when it does not within so many seconds.
        """

    async def pause(self, seconds: float) -> None:
        """
        Let so much time pass.
        """

    async def crash(self) -> None:
        """
        End Consul without a word.
        """

    async def revive(self) -> None:
        """
        Start it again, with nothing in it.
        """


def make_catalogue() -> Catalogue:
    """
    A catalogue of services with default settings.
    """
    return Catalogue(lambda name: Service(name, ServiceSettings(name=name), make_balancer("round_robin", Random(1))))


def put(client: ConsulClient, name: str, port: int, **more: Any) -> Deferred[Any]:
    """
    Register an instance that passes its check until told otherwise.
    """
    more.setdefault("check", {"ttl": "10m", "status": "passing"})
    return client.agent.service.register(name, service_id=f"{name}-{port}", port=port, **more)


class Contract:
    """
    What both contracts need. Mixed into a C{TestCase}.
    """

    async def make_world(self, acl: bool = False) -> World:
        """
        The world to test in.

        @param acl: whether a token is needed.
        """
        raise NotImplementedError("each run has its own world")

    async def begin(self, acl: bool = False) -> None:
        """
        Make the world, and a client that may do everything.
        """
        self.world = await self.make_world(acl)
        self.client = self.world.client(token=self.world.token)
        self.addCleanup(self.client.close)


class DiscoveryContract(Contract):
    """
    L{ConsulDiscovery} and Consul.
    """

    async def follow(self, **settings: Any) -> None:
        """
        Start a discovery with these settings, and wait until it has what there is.
        """
        await self.follow_only(**settings)
        await self.world.until(lambda: self.discovery.synced)

    async def follow_only(self, **settings: Any) -> None:
        """
        Start a discovery with these settings.
        """
        settings.setdefault("token", self.world.token)
        consul = ConsulSettings(**settings)
        self.catalogue = make_catalogue()
        client = self.world.client(token=consul.token, datacenter=consul.datacenter, stale=consul.stale)
        self.discovery = ConsulDiscovery(self.world.clock, client, consul, self.catalogue)
        self.discovery.start()
        self.addCleanup(client.close)
        self.addCleanup(self.discovery.stop)

    async def put(self, name: str, port: int, **more: Any) -> None:
        """
        Register an instance.
        """
        self.assertTrue(await self.world.done(put(self.client, name, port, **more)))

    async def take_out(self, key: str) -> None:
        """
        Deregister an instance.
        """
        await self.world.done(self.client.agent.service.deregister(key))

    def known(self, name: str) -> set[int] | None:
        """
        The ports of a service's instances, or C{None} when the service is not known.
        """
        service = self.catalogue.services.get(name.encode())
        return None if service is None else {endpoint.instance.port for endpoint in service.endpoints}

    async def until_known(self, name: str, ports: set[int] | None, seconds: float = 1.0) -> None:
        """
        Wait until a service has exactly these instances.
        """
        await self.world.until(lambda: self.known(name) == ports, seconds)

    async def test_what_is_there(self) -> None:
        """
        Services that exist when the gateway starts are known once the first synchronisation is over.
        """
        await self.begin()
        await self.put("web", 80)
        await self.put("web", 81)
        await self.put("jobs", 90)
        await self.follow()
        self.assertEqual((self.known("web"), self.known("jobs")), ({80, 81}, {90}))
        self.assertTrue(self.discovery.connected)
        self.assertEqual(self.discovery.age_seconds, 0.0)

    async def test_nothing_there(self) -> None:
        """
        A Consul without services is no reason to wait.
        """
        await self.begin()
        await self.follow()
        self.assertEqual(self.catalogue.services, {})

    async def test_coming_and_going(self) -> None:
        """
        Every change is live within a second.
        """
        await self.begin()
        await self.follow()
        await self.put("web", 80)
        await self.until_known("web", {80})
        await self.put("web", 81)
        await self.until_known("web", {80, 81})
        await self.take_out("web-80")
        await self.until_known("web", {81})
        await self.take_out("web-81")
        await self.until_known("web", None)
        await self.put("web", 82)
        await self.until_known("web", {82})

    async def test_changes_after_a_while(self) -> None:
        """
        A change that comes when nothing has happened for some time is live within a second too.
        """
        await self.begin()
        await self.put("web", 80)
        await self.follow()
        await self.world.pause(2.5)
        await self.put("web", 81)
        await self.until_known("web", {80, 81})

    async def test_facts(self) -> None:
        """
        Address, weight, tags and meta are kept, and changes of them are live within a second.
        """
        await self.begin()
        more = {"tags": ["gpu", "v1"], "meta": {"zone": "a"}, "weights": {"passing": 5, "warning": 1}}
        await self.put("web", 80, address="127.0.0.5", **more)
        await self.follow()
        (endpoint,) = self.catalogue.services[b"web"].endpoints
        expected = Instance("127.0.0.5", 80, 5, "web-80", frozenset({"gpu", "v1"}), {"zone": "a"})
        self.assertEqual(endpoint.instance, expected)
        await self.put("web", 80, address="127.0.0.5", weights={"passing": 2, "warning": 1})
        await self.world.until(lambda: endpoint.weight == 2)
        self.assertEqual((self.catalogue.services[b"web"].endpoints, endpoint.removed), ((endpoint,), False))
        self.assertEqual((endpoint.instance.tags, endpoint.instance.meta), (frozenset(), {}))

    async def test_grpc(self) -> None:
        """
        What an instance speaks and which gRPC services it has is known, and changes of it within a second.
        """
        await self.begin()
        await self.put("web", 80, meta={"grpc-services": "a.v1.B, a.v1.C"})
        await self.put("plain", 90, tags=["h2c"])
        await self.follow()
        web, plain = self.catalogue.services[b"web"], self.catalogue.services[b"plain"]
        self.assertEqual([each.endpoints[0].protocol for each in (web, plain)], ["h2c", "h2c"])
        self.assertEqual(self.catalogue.grpc_services, {b"a.v1.B": web, b"a.v1.C": web})
        await self.put("web", 80, meta={"grpc-services": "a.v1.C", "protocol": "grpcs"})
        await self.world.until(lambda: self.catalogue.grpc_services == {b"a.v1.C": web})
        self.assertEqual([each.protocol for each in web.endpoints], ["h2"])
        await self.take_out("web-80")
        await self.until_known("web", None)
        self.assertEqual(self.catalogue.grpc_services, {})

    async def test_node_address(self) -> None:
        """
        An instance without an address of its own is at its node's, with weight 1.
        """
        await self.begin()
        await self.put("web", 80)
        await self.follow()
        self.assertEqual(self.catalogue.services[b"web"].endpoints[0].instance, Instance("127.0.0.1", 80, 1, "web-80"))

    async def test_critical(self) -> None:
        """
        Only instances that pass their checks get requests; a service whose instances are all critical is still known.
        """
        await self.begin()
        await self.put("web", 80)
        await self.put("web", 81, check={"ttl": "10m", "status": "critical"})
        await self.follow()
        self.assertEqual(self.known("web"), {80})
        await self.world.done(self.client.agent.check.ttl_fail("service:web-80"))
        await self.until_known("web", set())
        await self.world.done(self.client.agent.check.ttl_pass("service:web-81"))
        await self.until_known("web", {81})
        await self.world.done(self.client.agent.check.ttl_warn("service:web-81"))
        await self.until_known("web", set())

    async def test_expose_tagged(self) -> None:
        """
        Under C{tagged} a service is known while an instance of it carries the tag.
        """
        await self.begin()
        await self.put("web", 80, tags=["siger.expose"])
        await self.put("private", 90)
        await self.follow(expose="tagged")
        self.assertEqual(set(self.catalogue.services), {b"web"})
        await self.put("private", 90, tags=["other", "siger.expose"])
        await self.until_known("private", {90})
        await self.put("web", 80)
        await self.until_known("web", None)

    async def test_expose_names(self) -> None:
        """
        Under a list of names those are known, as far as they exist.
        """
        await self.begin()
        await self.put("web", 80)
        await self.put("private", 90)
        await self.follow(expose=frozenset({"web", "later"}))
        self.assertEqual(set(self.catalogue.services), {b"web"})
        await self.put("later", 70)
        await self.until_known("later", {70})
        self.assertIsNone(self.known("private"))

    async def test_never_exposed(self) -> None:
        """
        Neither Consul itself nor gateways are ever known, not even when they are asked for.
        """
        await self.begin()
        await self.put("api-gateway", 8080, tags=["siger.expose"])
        await self.put("web", 80)
        await self.follow()
        self.assertEqual(set(self.catalogue.services), {b"web"})
        await self.follow(expose=frozenset({"consul", "api-gateway", "web"}))
        self.assertEqual(set(self.catalogue.services), {b"web"})

    async def test_datacenter(self) -> None:
        """
        The datacenter that is configured is the one that is asked.
        """
        await self.begin()
        await self.put("web", 80)
        await self.follow(datacenter="dc1")
        self.assertEqual(self.known("web"), {80})
        await self.follow_only(datacenter="elsewhere")
        await self.world.until(lambda: self.discovery.counters.errors > 0, 5.0)
        self.assertEqual((self.discovery.connected, self.discovery.synced), (False, False))
        self.assertEqual(self.catalogue.services, {})

    async def test_consistent_reads(self) -> None:
        """
        Without stale reads everything works the same.
        """
        await self.begin()
        await self.follow(stale=False)
        await self.put("web", 80)
        await self.until_known("web", {80})

    async def test_token(self) -> None:
        """
        The token is sent with every query: with it there is everything, without it nothing.
        """
        await self.begin(acl=True)
        self.assertTrue(self.world.token)
        await self.put("web", 80)
        await self.follow()
        self.assertEqual(self.known("web"), {80})
        await self.follow_only(token="00000000-0000-0000-0000-000000000000")
        await self.world.until(lambda: self.discovery.counters.errors > 0, 5.0)
        self.assertEqual(self.catalogue.services, {})

    async def test_crash(self) -> None:
        """
        What was known stays while Consul is away, through its return with an empty store, and until it knows better;
        no endpoint is touched that did not change.
        """
        await self.begin()
        await self.put("web", 80)
        await self.put("web", 81)
        await self.put("lone", 90)
        await self.follow()
        endpoints = self.catalogue.services[b"web"].endpoints
        await self.world.crash()
        await self.world.until(lambda: not self.discovery.connected)
        await self.world.pause(1.2)
        self.assertGreater(self.discovery.age_seconds, 1.0)
        self.assertEqual((self.known("web"), self.known("lone")), ({80, 81}, {90}))
        await self.world.revive()
        await self.world.until(lambda: self.discovery.connected, 20.0)
        self.assertEqual(self.discovery.age_seconds, 0.0)
        await self.world.pause(1.0)
        self.assertEqual((self.known("web"), self.known("lone")), ({80, 81}, {90}))
        await self.put("web", 81)
        await self.until_known("web", {81}, 20.0)
        self.assertIs(self.catalogue.services[b"web"].endpoints[0], endpoints[1])
        self.assertEqual([endpoint.removed for endpoint in endpoints], [True, False])
        await self.put("fresh", 70)
        await self.until_known("fresh", {70})
        await self.take_out("fresh-70")
        self.assertEqual(self.known("lone"), {90})


class RegistrationContract(Contract):
    """
    L{Registration} and Consul.
    """

    async def join(self, **options: Any) -> Registration:
        """
        Start a registration.
        """
        options.setdefault("token", self.world.token)
        client = self.world.client(**options)
        registration = Registration(self.world.clock, client, ME)
        self.addCleanup(client.close)
        self.addCleanup(registration.stop)
        registration.start()
        return registration

    async def entry(self) -> dict[str, Any] | None:
        """
        What the agent knows of the gateway.
        """
        known = await self.world.done(self.client.agent.services(filter_expr=f'ID == "{ME.id}"'))
        return known.get(ME.id)

    async def test_join_and_leave(self) -> None:
        """
        The gateway is in Consul under its name while it runs, and not afterwards.
        """
        await self.begin()
        registration = await self.join()
        await self.world.until(lambda: registration.registered)
        entry = await self.entry()
        assert entry is not None
        self.assertEqual(
            (entry["Service"], entry["Port"], entry["Tags"], entry["Address"]), ("api-gateway", 8080, ["edge"], "")
        )
        self.assertIn("version", entry["Meta"])
        await self.world.done(registration.stop())
        self.assertIsNone(await self.entry())
        self.assertFalse(registration.registered)

    async def test_forgotten(self) -> None:
        """
        An agent that forgot the gateway learns of it again.
        """
        await self.begin()
        registration = await self.join()
        await self.world.until(lambda: registration.registered)
        await self.world.done(self.client.agent.service.deregister(ME.id))
        self.assertIsNone(await self.entry())
        await self.world.pause(6.0)
        self.assertIsNotNone(await self.entry())

    async def test_agent_comes_late(self) -> None:
        """
        A gateway that starts before its agent, or outlives it, registers when the agent is there.
        """
        await self.begin()
        await self.world.crash()
        registration = await self.join()
        await self.world.pause(0.3)
        self.assertFalse(registration.registered)
        await self.world.revive()
        await self.world.until(lambda: registration.registered, 10.0)
        self.assertIsNotNone(await self.entry())

    async def test_leave_without_agent(self) -> None:
        """
        An agent that is away does not hold up the gateway's end.
        """
        await self.begin()
        registration = await self.join()
        await self.world.until(lambda: registration.registered)
        await self.world.crash()
        await self.world.done(registration.stop())

    async def test_token(self) -> None:
        """
        The registration carries the token.
        """
        await self.begin(acl=True)
        registration = await self.join()
        await self.world.until(lambda: registration.registered)
        stranger = await self.join(token="00000000-0000-0000-0000-000000000000")
        await self.world.pause(0.3)
        self.assertFalse(stranger.registered)
