"""
Discovery and registration with a real Consul agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from siger.config.settings.addresses import Address
from siger.config.settings.consul import ConsulSettings
from siger.config.settings.gateway import Settings
from siger.discovery.client import ConsulClient, connect
from tests.discovery import contract
from tests.integration.consul_agent import ConsulAgent

CLOCK: Any = reactor
PATIENCE = 10.0


class RealWorld:
    """
    A real agent, and real time.
    """

    clock = CLOCK

    def __init__(self, agent: ConsulAgent) -> None:
        self.agent = agent
        self.token = agent.token

    def client(self, **options: Any) -> ConsulClient:
        """
        A client as the gateway makes it.
        """
        consul = ConsulSettings(**options)
        return connect(reactor, Settings(consul_address=Address(self.agent.host, self.agent.port), consul=consul))

    async def done(self, request: Deferred[Any]) -> Any:
        """
        The result of a request.
        """
        return await request

    async def until(self, condition: Callable[[], bool], seconds: float = 1.0) -> None:
        """
        Wait until the condition holds. On a busy machine an agent takes its time, which nobody who asks it again only
        once a minute could use.
        """
        end = CLOCK.seconds() + seconds + PATIENCE
        while not condition():
            assert CLOCK.seconds() < end, f"not within {seconds} seconds"
            await deferLater(CLOCK, 0.01)

    async def pause(self, seconds: float) -> None:
        """
        Wait.
        """
        await deferLater(CLOCK, seconds)

    async def crash(self) -> None:
        """
        Kill the agent.
        """
        await self.agent.kill()

    async def revive(self) -> None:
        """
        Start it again on the same ports.
        """
        await self.agent.start()


class RealWorldMixin:
    """
    Starts an agent for each test.
    """

    timeout = 60

    async def make_world(self, acl: bool = False) -> RealWorld:
        """
        One with an agent of its own.
        """
        agent = ConsulAgent(reactor, acl)
        self.addCleanup(agent.stop)
        await agent.start()
        return RealWorld(agent)


class RealDiscoveryTests(RealWorldMixin, contract.DiscoveryContract, TestCase):
    """
    The contract of discovery, kept by a real agent.
    """

    async def test_more_services_than_connections(self) -> None:
        """
        An agent serves 200 connections of one address; more services than that are followed all the same.
        """
        await self.begin()
        names = [f"service-{number}" for number in range(230)]
        for name in names:
            await self.put(name, 70, check=None)
        await self.follow_only()
        await self.world.until(lambda: self.discovery.synced, 10.0)
        self.assertEqual({name.decode() for name in self.catalogue.services}, set(names))
        for name in (names[0], names[-1]):
            await self.put(name, 71, check=None)
        for name in (names[0], names[-1]):
            await self.until_known(name, {70, 71}, 10.0)
        self.assertEqual(self.discovery.counters.errors, 0)


class RealRegistrationTests(RealWorldMixin, contract.RegistrationContract, TestCase):
    """
    The contract of registration, kept by a real agent.
    """
