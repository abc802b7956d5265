"""
gRPC servers whose health a test decides.
"""

from __future__ import annotations

import json
from typing import Any

from tests.integration.grpc_health import HEALTH_CONTROL, SERVING
from tests.integration.grpc_world import PATIENCE, GrpcServer

__all__ = ["HealthServer"]


class HealthServer(GrpcServer):
    """
    A server of which a test says how it is.
    """

    def set(self, status: int | None = SERVING, service: str = "", hidden: bool = False, slow: bool = False) -> None:
        """
        Let it answer this from now on.

        @param service: for which of its services.
        @param hidden: it has no health service at all.
        @param slow: it never answers a question that it is asked.
        """
        told = {"statuses": {service: status}, "hidden": hidden, "slow": slow}
        self._health("Set", json.dumps(told).encode())

    def asked(self) -> list[dict[str, Any]]:
        """
        The questions that it was asked, in order: C{service}, C{status} as it was answered, C{peer} and C{metadata}.
        """
        found: list[dict[str, Any]] = json.loads(self._health("Asked", b""))
        return found

    def _health(self, method: str, request: bytes) -> Any:
        return self.channel.unary_unary(f"{HEALTH_CONTROL}{method}")(request, timeout=PATIENCE, wait_for_ready=True)
