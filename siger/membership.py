"""
The gateway's dealings with Consul: it follows what is registered there, and is registered there itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from siger.discovery.client import connect
from siger.discovery.consul import ConsulDiscovery
from siger.discovery.registration import Registration, find_self

if TYPE_CHECKING:
    from siger.config.settings.gateway import Settings
    from siger.discovery.catalogue import Catalogue
    from siger.observe.metrics import Metrics

__all__ = ["Membership"]


class Membership:
    """
    One gateway's membership.

    @ivar first_sync: fires when the services that were known at the start are in the catalogue.
    """

    log = Logger(namespace="siger")

    def __init__(self, reactor: Any, settings: Settings, catalogue: Catalogue) -> None:
        self._reactor = reactor
        self._settings = settings
        self._client = connect(reactor, settings)
        self._discovery = ConsulDiscovery(reactor, self._client, settings.consul, catalogue)
        self._registration: Registration | None = None
        self._leaving = False
        self.first_sync = self._discovery.first_sync

    def describe(self) -> str:
        """
        How it is, in a word or two.
        """
        if self._discovery.connected:
            return "connected"
        return f"lost for {self._discovery.age_seconds:.0f} s" if self._discovery.synced else "not reached yet"

    def expose(self, metrics: Metrics) -> None:
        """
        Show it among the metrics.
        """
        discovery = self._discovery
        metrics.gauge("siger_consul_connected", "Whether Consul answers", lambda: float(discovery.connected))
        metrics.gauge("siger_catalogue_age_seconds", "How old the catalogue may be", lambda: discovery.age_seconds)

    def start(self, port: int) -> None:
        """
        Begin to follow and, if configured, register.

        @param port: where the gateway listens.
        """
        self._discovery.start()
        if self._settings.consul.register:
            found = Deferred.fromCoroutine(self._register(port))
            found.addErrback(lambda failure: self.log.failure("cannot register with Consul", failure=failure))

    async def _register(self, port: int) -> None:
        me = await find_self(self._reactor, self._settings, port)
        if not self._leaving:
            self._registration = Registration(self._reactor, self._client, me)
            self._registration.start()

    def leave(self) -> Deferred[None]:
        """
        Be registered no more, so that nobody is sent here. What is published stays.
        """
        self._leaving = True
        return succeed(None) if self._registration is None else self._registration.stop()

    def stop(self) -> Deferred[None]:
        """
        Follow no more.
        """
        self._discovery.stop()
        return self._client.close()
