"""
The store that all gateways share: the connection to NATS, and the server of the gateway's own if it has one.

Without NATS the gateway runs all the same. Whoever keeps something here asks for a bucket, and gets one that can never
be reached where there is no store; whoever needs more than buckets looks at C{connection}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.messaging.absent import AbsentBucket
from siger.messaging.connection import NatsConnection
from siger.messaging.embedded import EmbeddedServer

if TYPE_CHECKING:
    from siger.config.settings.gateway import Settings
    from siger.messaging.bucket import Bucket
    from siger.observe.metrics import Metrics

__all__ = ["EMBEDDED", "Store"]

EMBEDDED: Final = "embedded"
"""What C{nats_address} says for a server of the gateway's own."""


class Store:
    """
    The store, as one gateway reaches it.

    @ivar connection: to NATS; C{None} without.
    """

    log = Logger(namespace="siger.store")

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._server: EmbeddedServer | None = None
        self.connection = self._make_connection()

    def _make_connection(self) -> NatsConnection | None:
        address = self._settings.nats_address
        if not address:
            return None
        if address != EMBEDDED:
            return NatsConnection(self._reactor, _urls(address), self._settings.nats)
        self._server = EmbeddedServer(self._reactor, self._settings.data_dir / "nats")
        connection = NatsConnection(self._reactor, (), self._settings.nats)
        self._server.on_url(lambda url: connection.set_servers((url,)))
        return connection

    def bucket(self, name: str, ttl: float = 0) -> Bucket:
        """
        Somewhere to keep records.

        @param ttl: seconds that a record lives after its last change; 0: for ever.
        """
        return AbsentBucket(name) if self.connection is None else self.connection.bucket(name, ttl=ttl)

    def describe(self) -> str:
        """
        How it is, in a word or two.
        """
        return "none" if self.connection is None else self.connection.describe()

    def expose(self, metrics: Metrics) -> None:
        """
        Show it among the metrics.
        """
        nats = self.connection
        if nats is not None:
            metrics.gauge("siger_nats_connected", "Whether NATS answers", lambda: float(nats.connected))
            reconnects = "Connections to NATS regained"
            metrics.counter("siger_nats_reconnects_total", reconnects, lambda: float(nats.reconnects))
            metrics.counter(
                "siger_nats_failures_total", "Attempts to connect that failed", lambda: float(nats.failures)
            )
            metrics.counter("siger_nats_errors_total", "Operations that NATS could not do", lambda: float(nats.errors))

    def start(self) -> None:
        """
        Look for the store. Nothing waits for it.
        """
        if self._server is not None:
            self._server.start().addErrback(self._no_server)
        if self.connection is not None:
            self.connection.start()

    def _no_server(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return  # the gateway stops already
        self.log.error("no store: {problem}", problem=failure.getErrorMessage())

    def stop(self) -> Deferred[Any]:
        """
        Let go of the store, and end the server that is the gateway's own.
        """
        gone = succeed(None) if self.connection is None else self.connection.stop()
        return gone.addBoth(lambda _: self._stop_server())

    def _stop_server(self) -> Deferred[None] | None:
        return None if self._server is None else self._server.stop()


def _urls(address: str) -> list[str]:
    return [part if "://" in part else f"nats://{part}" for part in address.split(",")]
