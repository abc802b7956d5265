"""
Tests for L{siger.discovery.consul}, against a Consul in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from siger.config.settings import ConsulSettings
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


class ConsulDiscoveryTests(contract.DiscoveryContract, TestCase):
    """
    Tests for L{ConsulDiscovery} that need a Consul with faults.
    """

    async def make_world(self, acl: bool = False) -> MemoryWorld:
        """
        One in memory.
        """
        return MemoryWorld(acl)
