"""
Tests for L{siger.vitals}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.gateway import Settings
from siger.config.settings.services import HealthCheck, InstanceSettings, ServiceSettings
from siger.discovery.static import publish_static
from siger.gateway import Gateway
from siger.http.h2.constants import PREFACE
from tests.http.fakes import FakeTransport
from tests.http.h2 import frames


class ExposeTests(SynchronousTestCase):
    """
    Tests for L{siger.vitals.expose}, of a gateway that does not run.
    """

    def test_healthy_instances(self) -> None:
        """
        Of each service it is known how many instances are well: those that are not asked are.
        """
        instances = (InstanceSettings("10.0.0.1", 9001), InstanceSettings("10.0.0.2", 9001))
        checked = ServiceSettings("checked", instances, protocol="h2c", health=HealthCheck())
        settings = Settings(
            jwt_secret="x" * 40,
            access_log="off",
            data_dir=Path("unused"),
            services={"checked": checked, "plain": ServiceSettings("plain", instances)},
        )
        gateway = Gateway(settings, MemoryReactorClock())
        publish_static(settings, gateway.catalogue)
        service = gateway.catalogue.services[b"checked"]
        for healthy in (0, 1, 2):
            page = gateway._metrics.exposition("")[1].decode()
            self.assertIn(f'siger_service_healthy_instances{{service="checked"}} {healthy}.0\n', page)
            self.assertIn('siger_service_healthy_instances{service="plain"} 2.0\n', page)
            service.mark(service.endpoints[healthy % 2], True)

    def test_http2(self) -> None:
        """
        Connections of HTTP/2 are counted apart, and so are the requests in progress on them.
        """
        settings = Settings(jwt_secret="x" * 40, access_log="off", data_dir=Path("unused"))
        gateway = Gateway(settings, MemoryReactorClock())
        factory = gateway._factory
        protocols = [factory.buildProtocol(IPv4Address("TCP", "192.0.2.7", number)) for number in (1, 2)]
        for protocol in protocols:
            assert protocol is not None
            protocol.makeConnection(FakeTransport())
        assert protocols[1] is not None
        protocols[1].dataReceived(PREFACE + frames.settings() + frames.headers(1, end=False))
        page = gateway._metrics.exposition("")[1].decode()
        for line in ("siger_connections 2.0", "siger_http2_connections 1.0", "siger_http2_streams 1.0"):
            self.assertIn(f"{line}\n", page)
