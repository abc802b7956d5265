"""
Tests for L{siger.discovery.client}.
"""

from __future__ import annotations

import os

from consul.exceptions import ACLPermissionDenied, Timeout
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool

from siger.config.settings.addresses import Address
from siger.config.settings.consul import ConsulSettings
from siger.config.settings.gateway import Settings
from siger.discovery.client import ConsulClient, NoLeader, connect
from tests.discovery.memory import MemoryConsul


class ConsulClientTests(SynchronousTestCase):
    """
    Tests for L{ConsulClient}.
    """

    def setUp(self) -> None:
        """
        A Consul in memory, and no token in the environment.
        """
        self.clock = Clock()
        self.consul = MemoryConsul(self.clock)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}
        self.patch(os, "environ", environment)
        self.environment = environment

    def token_of(self, client: ConsulClient) -> str:
        """
        The token that a client sends.
        """
        self.failureResultOf(client.health.service("web", passing=True), ACLPermissionDenied)
        return self.consul.requests[-1][2]

    def test_token(self) -> None:
        """
        The token goes into a header, and nowhere else.
        """
        self.assertEqual(self.token_of(self.consul.client(token="s3cret")), "s3cret")
        self.assertNotIn("s3cret", str(self.consul.requests[-1][:2]))

    def test_token_of_the_environment(self) -> None:
        """
        Consul's own environment variable is used where configuration says nothing, and not where it does.
        """
        self.environment["CONSUL_HTTP_TOKEN"] = "ambient"
        self.assertEqual(self.token_of(self.consul.client()), "ambient")
        self.assertEqual(self.token_of(self.consul.client(token="s3cret")), "s3cret")

    def test_address_of_the_environment(self) -> None:
        """
        The address is the configured one, whatever the environment says.
        """
        self.environment.update(CONSUL_HTTP_ADDR="http://192.0.2.1:1", CONSUL_HTTP_SSL="true")
        self.assertEqual(self.consul.client().http.base_uri, "http://127.0.0.1:8500")

    def test_stale(self) -> None:
        """
        Stale reads are asked for once, and only where they are wanted.
        """
        for stale, expected in ((True, "1"), (False, None)):
            client = self.consul.client(stale=stale)
            client.catalog.services()
            client.health.service("web")
            for _, arguments, _ in self.consul.requests[-2:]:
                self.assertEqual(arguments.get("stale"), expected)

    def test_one_segment(self) -> None:
        """
        A query in a service's name stays part of the name.
        """
        self.consul.client().health.service("web?dc=other&token=x")
        path, arguments, _ = self.consul.requests[-1]
        self.assertEqual((path, set(arguments)), ("/v1/health/service/web%3Fdc%3Dother%26token%3Dx", {"stale"}))

    def test_no_leader(self) -> None:
        """
        What a server without a leader says is an error that carries it.
        """
        self.consul.leader = False
        error = self.failureResultOf(self.consul.client().catalog.services(), NoLeader).value
        self.assertEqual(error.result, ("10", {"consul": []}))

    def test_timeout(self) -> None:
        """
        A request has ten seconds, and what it asked to wait with a sixteenth on top.
        """
        self.consul.hanging = "/"
        client = self.consul.client()
        quick, patient = client.catalog.services(), client.catalog.services(index=1, wait="160s")
        self.clock.advance(9.9)
        self.assertNoResult(quick)
        self.clock.advance(0.2)
        self.failureResultOf(quick, Timeout)
        self.clock.advance(169.8)
        self.assertNoResult(patient)
        self.clock.advance(0.2)
        self.failureResultOf(patient, Timeout)

    def test_cancel(self) -> None:
        """
        A cancelled request ends its connection.
        """
        asked = self.consul.client().catalog.services(index=99, wait="60s")
        self.assertEqual(len(self.consul.blocked), 1)
        asked.cancel()
        self.failureResultOf(asked)
        self.consul.flush()
        self.assertEqual(len(self.consul.blocked), 0)

    def test_close_without_pool(self) -> None:
        """
        A client whose agent keeps no connections has none to close.
        """
        self.successResultOf(self.consul.client().close())

    def test_every_method(self) -> None:
        """
        py-consul's other methods work too.
        """
        self.consul.replies = {"/v1/kv/": (200, {}, b"true")}
        client = self.consul.client()
        self.assertTrue(self.successResultOf(client.kv.put("a", "b")))
        self.assertTrue(self.successResultOf(client.kv.delete("a")))
        self.consul.replies = {"/v1/query": (200, {}, b'{"ID": "x"}')}
        self.assertEqual(self.successResultOf(client.query.create("web")), {"ID": "x"})
        self.consul.replies = {"/v1/snapshot": (200, {}, b"\x1f\xff")}
        self.assertEqual(self.successResultOf(client.snapshot.save()), b"\x1f\xff")
        client.http.close()


class ConnectTests(SynchronousTestCase):
    """
    Tests for L{connect}.
    """

    def test_unconfigured(self) -> None:
        """
        Without an address there is nothing to connect to.
        """
        self.assertRaises(ValueError, connect, MemoryReactorClock(), Settings())

    def test_configured(self) -> None:
        """
        The client has what configuration says, and does not connect before it is used.
        """
        reactor = MemoryReactorClock()
        consul = ConsulSettings(token="s3cret", datacenter="dc9", stale=False)
        client = connect(reactor, Settings(consul_address=Address("2001:db8::1", 8501), consul=consul))
        self.assertEqual((client.token, client.dc, client.consistency), ("s3cret", "dc9", "default"))
        self.assertEqual(client.http.base_uri, "http://[2001:db8::1]:8501")
        self.assertEqual(reactor.tcpClients, [])
        self.successResultOf(client.close())

    def lines_of_a_connection(self, reactor: MemoryReactorClock) -> int:
        """
        How many lines the reactor's one connection attempt logs as it starts and stops.
        """
        [(_, _, factory, _, _)] = reactor.tcpClients
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        factory.doStart()
        factory.doStop()
        return len(events)

    def test_quiet(self) -> None:
        """
        Connections to Consul come and go without a line in the log.
        """
        reactor = MemoryReactorClock()
        connect(reactor, Settings(consul_address=Address("127.0.0.1", 8500))).catalog.services()
        self.assertEqual(self.lines_of_a_connection(reactor), 0)

    def test_others_as_they_were(self) -> None:
        """
        What other clients in the process log is their affair.
        """
        connect(MemoryReactorClock(), Settings(consul_address=Address("127.0.0.1", 8500))).catalog.services()
        reactor = MemoryReactorClock()
        Agent(reactor, pool=HTTPConnectionPool(reactor)).request(b"GET", b"http://127.0.0.1:8500/")
        self.assertEqual(self.lines_of_a_connection(reactor), 2)
