"""
What tests of pools of either version of HTTP need: a pool, its instance, who waits, and time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.services import ServiceSettings
from siger.errors import Reason
from siger.http.deadlines import INTERVAL, Deadlines
from siger.proxy.instance_pool import InstancePool
from tests.proxy.fakes import TIMEOUTS, FakeRecipient
from tests.proxy.instance import FakeInstance

__all__ = ["FakeWaiter", "PoolCase"]


class FakeWaiter(FakeRecipient):
    """
    An exchange that waits for a connection, or a stream of one, and begins on it at once.
    """

    def __init__(self, request: bytes) -> None:
        """
        @param request: what it begins with.
        """
        super().__init__()
        self._request = request
        self.connection: Any = None
        self.failed: Reason | None = None

    def connected(self, connection: Any) -> None:
        """
        Begin.
        """
        assert self.connection is None
        assert self.failed is None
        self.connection = connection
        connection.begin(self, self._request, False, False, TIMEOUTS)

    def connect_failed(self, reason: Reason) -> None:
        """
        Note it.
        """
        assert self.connection is None
        assert self.failed is None
        self.failed = reason


class PoolCase(SynchronousTestCase):
    """
    A pool, its instance, and time.

    @cvar REQUEST: what exchanges begin with.
    """

    REQUEST = b"request"

    pool: Any

    def make(self, secure: Any = None, **settings: Any) -> None:
        """
        Make a pool with these settings.
        """
        self.reactor = MemoryReactorClock()
        self.reactor.advance(1000)
        self.instance = FakeInstance(self.reactor)
        self.deadlines = Deadlines(self.reactor)
        self.deadlines.start()
        self.waiters: list[FakeWaiter] = []
        self.pool = self.make_pool(ServiceSettings(timeouts=TIMEOUTS, **settings), secure)

    def make_pool(self, settings: ServiceSettings, secure: Any) -> InstancePool:
        """
        Make one of the kind that is tested, for an instance at C{192.0.2.9:80}.
        """
        raise NotImplementedError

    def later(self, seconds: float) -> None:
        """
        Let time pass, and what was closed be gone.
        """
        for _ in range(round(seconds / INTERVAL)):
            self.reactor.advance(INTERVAL)
            self.instance.settle()

    def waiter(self) -> FakeWaiter:
        """
        Who needs a connection, and has not asked yet.
        """
        waiter = FakeWaiter(self.REQUEST)
        self.waiters.append(waiter)
        return waiter

    def wait(self) -> FakeWaiter:
        """
        Wait for a connection, whether or not there is one.
        """
        waiter = self.waiter()
        self.pool.wait(waiter, TIMEOUTS.connect)
        return waiter

    def ask(self) -> FakeWaiter:
        """
        Need a connection.
        """
        connection = self.pool.checkout()
        if connection is None:
            return self.wait()
        waiter = self.waiter()
        waiter.connected(connection)
        return waiter

    def state(self) -> str:
        """
        The pool's state in words.
        """
        return repr(self.pool).partition("[")[2].rstrip("]>")
