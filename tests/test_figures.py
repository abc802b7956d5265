"""
Tests for L{siger.figures}.
"""

from __future__ import annotations

import json
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.gateway import Settings
from siger.config.settings.services import InstanceSettings, ServiceSettings
from siger.discovery.static import publish_static
from siger.errors import Reason
from siger.gateway import Gateway


class FiguresTests(SynchronousTestCase):
    """
    Tests for L{Figures}, of a gateway that does not run.
    """

    def test_all(self) -> None:
        """
        Everything that an administrator is shown is what the parts of the gateway say, and JSON can write it.
        """
        echo = ServiceSettings("echo", (InstanceSettings("10.0.0.1", 9001, 2), InstanceSettings("10.0.0.2", 9001, 0)))
        settings = Settings(
            jwt_secret="x" * 40,
            access_log="off",
            data_dir=Path("unused"),
            services={"echo": echo, "empty": ServiceSettings("empty")},
        )
        gateway = Gateway(settings, MemoryReactorClock())
        publish_static(settings, gateway.catalogue)
        service = gateway.catalogue.services[b"echo"]
        service.endpoints[0].inflight = 3
        observer = gateway._observer
        finished = (1.0, 2.0, 3.0, 0, 5, b"id", b"192.0.2.7", service.route, b"10.0.0.1:9001", 1)
        observer.finish(observer.unmatched, b"GET", b"/", 200, None, *finished)
        observer.finish(observer.unmatched, b"GET", b"/", 404, Reason.NO_ROUTE, *finished)
        figures = json.loads(json.dumps(gateway._figures()))
        self.assertEqual(
            figures["requests"],
            {"total": 2, "in_flight": 0, "by_status": {"2xx": 1, "4xx": 1}, "by_reason": {"no_route": 1}},
        )
        self.assertEqual(figures["connections"], {"open": 0, "accepted": 0, "refused": 0})
        self.assertEqual(figures["users"], {"total": 0, "by_role": {}, "disabled": 0})
        self.assertEqual([each["name"] for each in figures["rate_limits"]], ["gateway"])
        named = {each["name"]: each for each in figures["services"]}
        self.assertEqual(
            (named["echo"]["requests"], named["echo"]["in_flight"], named["empty"]["instances"]), (2, 3, [])
        )
        self.assertEqual(
            [
                (each["address"], each["state"], each["protocol"], each["health"], each["weight"], each["in_flight"])
                for each in named["echo"]["instances"]
            ],
            [("10.0.0.1:9001", "available", "http1", "up", 2, 3), ("10.0.0.2:9001", "draining", "http1", "up", 0, 0)],
        )
