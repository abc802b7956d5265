"""
Tests for L{siger.upstreams}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Endpoint, Instance
from siger.config.settings.services import ServiceSettings
from siger.config.settings.tls import UpstreamTLSSettings
from siger.http.deadlines import Deadlines
from siger.http.h2.writing import Batch
from siger.proxy.multiplexed_pool import MultiplexedPool
from siger.proxy.pool import Pool
from siger.upstreams import Upstreams


class UpstreamsTests(SynchronousTestCase):
    """
    Tests for L{Upstreams}.
    """

    def setUp(self) -> None:
        """
        Have those of one gateway.
        """
        self.reactor = MemoryReactorClock()
        self.upstreams = Upstreams(self.reactor, Deadlines(self.reactor), Batch())

    def make(self, spoken: str, **settings: Any) -> Any:
        """
        The pool of an instance that speaks this.
        """
        return self.upstreams.pool(Endpoint(Instance("192.0.2.9", 80), spoken), ServiceSettings(**settings))

    def test_kinds(self) -> None:
        """
        What an instance speaks decides, not what its service is configured for.
        """
        for protocol, kind in (("http1", Pool), ("https", Pool), ("h2c", MultiplexedPool), ("h2", MultiplexedPool)):
            self.assertIs(type(self.make(protocol, protocol="http1")), kind)

    def test_secure(self) -> None:
        """
        Those that are to be TLS are dialled by way of that, and no others.
        """
        for protocol, secure in (("http1", False), ("h2c", False), ("https", True), ("h2", True)):
            self.assertEqual(self.make(protocol)._secure is not None, secure)

    def test_shared(self) -> None:
        """
        Services that are connected to alike share what that takes; what is offered in the handshake is a difference.
        """
        first, second = self.make("h2", name="a"), self.make("h2", name="b")
        self.assertEqual(first._secure, second._secure)
        self.assertNotEqual(first._secure, self.make("https", name="a")._secure)
        other = self.make("h2", name="a", tls=UpstreamTLSSettings(verify=False))
        self.assertNotEqual(first._secure, other._secure)
