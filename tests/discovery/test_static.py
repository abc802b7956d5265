"""
Tests for L{siger.discovery.static}.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.algorithms import make_balancer
from siger.balancing.instances import Instance
from siger.balancing.service import Service
from siger.config.settings.gateway import Settings
from siger.config.settings.services import InstanceSettings, ServiceSettings
from siger.discovery.catalogue import Catalogue
from siger.discovery.static import publish_static


class PublishStaticTests(SynchronousTestCase):
    """
    Tests for L{publish_static}.
    """

    def test_publish(self) -> None:
        """
        Configured services are in the catalogue with their settings and instances, those without instances too.
        """
        configured = InstanceSettings("backend", 9002, weight=2, tags=frozenset({"gpu"}), meta={"zone": "a"})
        settings = Settings(
            services={
                "echo": ServiceSettings(name="echo", instances=(InstanceSettings("127.0.0.1", 9001), configured)),
                "later": ServiceSettings(name="later", balancer="p2c"),
            }
        )
        catalogue = Catalogue(lambda name: Service(name, settings.service(name), make_balancer("p2c", Random(1))))
        publish_static(settings, catalogue)
        echo, later = catalogue.services[b"echo"], catalogue.services[b"later"]
        self.assertEqual(
            [endpoint.instance for endpoint in echo.endpoints],
            [
                Instance("127.0.0.1", 9001),
                Instance("backend", 9002, weight=2, tags=frozenset({"gpu"}), meta={"zone": "a"}),
            ],
        )
        self.assertEqual((later.endpoints, later.settings.balancer), ((), "p2c"))
