"""
The second place where clients connect: over TLS, with all that belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from siger.config.settings.addresses import Listen
from siger.config.settings.tls import TLSSettings
from siger.http.server import ServerFactory
from siger.observe.metrics import Metrics, Reading
from siger.tls.front import SecureFactory
from siger.tls.store import CertificateStore
from siger.tls.watch import Watch

__all__ = ["SecureListener"]


class SecureListener:
    """
    Accepts connections over TLS for a factory that accepts others without.
    """

    def __init__(self, settings: TLSSettings, http2: bool, inner: ServerFactory, reactor: Any) -> None:
        """
        @param http2: whether clients may speak HTTP/2.
        @raise siger.config.certificates.CertificateError: when a certificate cannot be used.
        """
        self._settings = settings
        self._reactor = reactor
        protocols = ("h2", "http/1.1") if http2 else ("http/1.1",)
        self._store = CertificateStore(settings, protocols)
        self._factory = SecureFactory(inner, self._store, protocols, reactor)
        self._watch = Watch(self._store, reactor)
        self._port: Any = None

    def listen(self, backlog: int) -> None:
        """
        Take the port.

        @raise twisted.internet.error.CannotListenError: it is not to be had.
        """
        listen = self._settings.listen
        self._port = self._reactor.listenTCP(listen.port, self._factory, backlog=backlog, interface=listen.host)

    @property
    def place(self) -> tuple[str, int]:
        """
        The configured host, and the port, which may have been the system's choice.
        """
        return self._settings.listen.host, self._port.getHost().port

    def start(self) -> str:
        """
        Watch the certificates.

        @return: where it listens.
        """
        self._watch.start()
        host = self._port.getHost()
        return str(Listen(host.host, host.port))

    def stop(self) -> Deferred[Any]:
        """
        Accept no more.

        @return: fires when the port is closed.
        """
        self._watch.stop()
        return maybeDeferred(self._port.stopListening)

    @property
    def is_misdirected(self) -> Callable[[Any, bytes], bool] | None:
        """
        Tells whether a request (its stream, its authority) came on a connection that is not for it; C{None} where no
        connection could be for anything else.
        """
        return self._came_astray if len(self._settings.certificates) > 1 else None

    def _came_astray(self, stream: Any, authority: bytes) -> bool:
        # A channel of HTTP/1.1 is the stream itself; one of HTTP/2 is what its streams are on.
        transport = getattr(getattr(stream, "connection", stream), "transport", None)
        certificate = getattr(transport, "certificate", None)
        return certificate is not None and self._store.is_misdirected(certificate, authority)

    def expose(self, metrics: Metrics) -> None:
        """
        Show certificates and failures among the metrics.
        """
        ends = "siger_tls_cert_not_after_seconds"
        metrics.gauge(ends, "When a certificate expires, in Unix time", self._ends)
        failures = "siger_tls_handshake_failures_total"
        metrics.counter(failures, "TLS handshakes that failed", lambda: float(self._factory.failures))

    def _ends(self) -> Reading:
        return [
            ({"certificate": label}, certificate.facts.not_after.timestamp())
            for label, certificate in self._store.labels.items()
        ]
