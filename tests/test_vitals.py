"""
Tests for L{siger.vitals}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings import HealthCheck, InstanceSettings, ServiceSettings, Settings
from siger.discovery.static import publish_static
from siger.gateway import Gateway


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
