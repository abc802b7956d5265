"""
Tests for L{siger.discovery.registration}.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from siger.config.settings.addresses import Address, Listen
from siger.config.settings.consul import ConsulSettings
from siger.config.settings.gateway import Settings
from siger.discovery.registration import Registration, Self, find_self
from tests.discovery import contract
from tests.discovery.test_consul import MemoryWorld


class MemoryRegistrationTests(contract.RegistrationContract, TestCase):
    """
    The contract, kept by the Consul in memory.
    """

    async def make_world(self, acl: bool = False) -> contract.World:
        """
        One in memory.
        """
        return MemoryWorld(acl)


class RegistrationTests(SynchronousTestCase):
    """
    Tests for L{Registration}.
    """

    def setUp(self) -> None:
        """
        A Consul in memory, and a gateway at an IPv6 address that has not started.
        """
        self.world = MemoryWorld()
        self.consul = self.world.consul
        me = Self("2001:db8::1", "2001:db8::1", 8080, "api-gateway-2001:db8::1-8080")
        self.registration = Registration(self.world.clock, self.consul.client(), me)

    def start(self) -> None:
        """
        Start, and let it be heard.
        """
        self.registration.start()
        self.consul.flush()

    def test_check(self) -> None:
        """
        Consul is to ask the health page every ten seconds, and to forget a gateway that was ill for a minute.
        """
        self.start()
        (definition,) = self.consul.definitions.values()
        self.assertEqual(
            definition["checks"],
            [
                {
                    "http": "http://[2001:db8::1]:8080/health",
                    "interval": "10s",
                    "timeout": "5s",
                    "DeregisterCriticalServiceAfter": "1m",
                }
            ],
        )
        self.assertEqual(definition["address"], "2001:db8::1")

    def test_registers_once(self) -> None:
        """
        While the agent knows the gateway it is only asked, not told again.
        """
        self.start()
        for _ in range(120):
            self.consul.advance(0.5)
        told = [path for path, _, _ in self.consul.requests if path.endswith("/register")]
        asked = [path for path, _, _ in self.consul.requests if path.endswith("/services")]
        self.assertEqual((len(told), 10 <= len(asked) <= 12), (1, True))

    def test_refused(self) -> None:
        """
        A refusal is not the end: the next attempts come ever later.
        """
        self.consul.replies = {"/v1/agent/service/register": (500, {}, b"no")}
        self.start()
        for _ in range(200):
            self.consul.advance(0.5)
        self.assertFalse(self.registration.registered)
        self.assertTrue(6 <= len(self.consul.requests) <= 12, len(self.consul.requests))
        self.consul.replies = {}
        for _ in range(62):
            self.consul.advance(0.5)
        self.assertTrue(self.registration.registered)

    def test_forgotten_and_refused(self) -> None:
        """
        A gateway that the agent forgot and does not take back does not take itself for registered.
        """
        self.start()
        self.assertTrue(self.registration.registered)
        self.consul.definitions.clear()
        self.consul.replies = {"/v1/agent/service/register": (500, {}, b"no")}
        self.consul.advance(5)
        self.assertFalse(self.registration.registered)

    def test_stop_unstarted(self) -> None:
        """
        Stopping what never started asks nothing.
        """
        self.successResultOf(self.registration.stop())
        self.consul.flush()
        self.assertEqual(self.consul.requests, [])

    def test_stop_is_bounded(self) -> None:
        """
        An agent that does not answer holds up the end for three seconds at most.
        """
        self.start()
        self.consul.hanging = "/"
        stopped = self.registration.stop()
        self.consul.flush()
        self.consul.advance(2.9)
        self.assertNoResult(stopped)
        self.consul.advance(0.2)
        self.successResultOf(stopped)

    def test_stop_while_registering(self) -> None:
        """
        A gateway that stops while its registration is under way is taken out all the same, and nothing is tried later.
        """
        self.consul.hanging = "/"
        self.start()
        self.consul.hanging = ""
        stopped = self.registration.stop()
        self.consul.flush()
        self.successResultOf(stopped)
        self.assertIn("/v1/agent/service/deregister/", self.consul.requests[-1][0])
        self.consul.requests.clear()
        for _ in range(120):
            self.consul.advance(1)
        self.assertEqual(self.consul.requests, [])


class Resolver(Clock):
    """
    The parts of a reactor that keep time and look up names.

    @ivar names: the names it knows; an address is itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = {"consul": "127.0.0.1"}

    def resolve(self, name: str) -> Deferred[str]:
        """
        Look it up.
        """
        if name[0].isdigit():
            return succeed(name)
        return succeed(self.names[name]) if name in self.names else fail(DNSLookupError())


class FindSelfTests(SynchronousTestCase):
    """
    Tests for L{find_self}.
    """

    def setUp(self) -> None:
        """
        A reactor.
        """
        self.reactor = Resolver()

    def find(self, host: str = "", consul: str = "127.0.0.1", **settings: Any) -> Self:
        """
        What a gateway that listens there, with that agent, says about itself.
        """
        return self.successResultOf(self.begin(host, consul, **settings))

    def begin(self, host: str = "", consul: str = "127.0.0.1", **settings: Any) -> Deferred[Self]:
        """
        Begin to find out.
        """
        listen, agent = Listen(host, 0), Address(consul, 8500)
        written = Settings(listen=listen, consul_address=agent, consul=ConsulSettings(**settings))
        return Deferred.fromCoroutine(find_self(self.reactor, written, 8080))

    def test_configured(self) -> None:
        """
        The configured address is used as it is, with the tags.
        """
        self.assertEqual(
            self.find(address="10.1.1.1", tags=("edge",)),
            Self("10.1.1.1", "10.1.1.1", 8080, "api-gateway-10.1.1.1-8080", ("edge",)),
        )

    def test_listening(self) -> None:
        """
        A gateway that listens on one address is there.
        """
        for host in ("127.0.0.1", "10.1.1.1", "2001:db8::1"):
            self.assertEqual(self.find(host), Self(host, host, 8080, f"api-gateway-{host}-8080"))

    def test_everywhere(self) -> None:
        """
        One that listens everywhere, with the agent on the same machine, is where the agent's node is; the agent itself
        finds it on loopback, and the machine's name makes it unique.
        """
        expected = Self("", "127.0.0.1", 8080, f"api-gateway-{socket.gethostname()}-8080")
        for host in ("", "0.0.0.0", "::"):
            for consul in ("127.0.0.1", "consul"):
                self.assertEqual(self.find(host, consul), expected)

    def test_remote_agent(self) -> None:
        """
        With an agent elsewhere it is at the address this machine uses to get there.
        """
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect(("192.0.2.1", 9))
                address = probe.getsockname()[0]
        except OSError:
            self.assertRaises(OSError, self.find, consul="192.0.2.1")
        else:
            self.assertEqual(self.find(consul="192.0.2.1").address, address)

    def test_name_server_comes_late(self) -> None:
        """
        A name that cannot be resolved yet is tried again.
        """
        names, self.reactor.names = self.reactor.names, {}
        found = self.begin(consul="consul")
        self.reactor.pump([0.5] * 20)
        self.assertNoResult(found)
        self.reactor.names = names
        self.reactor.pump([0.5] * 60)
        self.assertEqual(self.successResultOf(found).check_address, "127.0.0.1")
