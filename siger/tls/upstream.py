"""
Connections to instances over TLS.

A factory of client protocols is wrapped for one attempt: it is asked for a protocol once the handshake is complete and
has led to what was wanted, and hears of everything else as of an attempt that failed.
"""

# mypy: allow-untyped-calls
# (IReactorTime has no annotations yet.)

from __future__ import annotations

from ssl import CERT_NONE, PROTOCOL_TLS_CLIENT, SSLContext, TLSVersion
from typing import Any, Final

from twisted.internet.error import TimeoutError as TimedOut
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.config.settings.tls import UpstreamTLSSettings
from siger.tls.layer import TLSLayer
from siger.tls.store import CIPHERS

__all__ = ["HandshakeFailed", "UpstreamTLS"]

_QUIET_SECONDS: Final = 60.0
_ALPN: Final = {"h2": "h2", "https": "http/1.1"}


class HandshakeFailed(Exception):  # noqa: N818 (as a sentence reads)
    """
    There was somebody, but no TLS with them, or none that would do.
    """


class UpstreamTLS:
    """
    How the instances of one service are connected to.
    """

    log = Logger(namespace="siger")

    def __init__(self, settings: UpstreamTLSSettings, protocol: str, clock: Any) -> None:
        """
        @param protocol: C{h2}, which has to be agreed on by ALPN, or C{https}, which goes without saying.
        @param clock: C{IReactorTime}.
        """
        self.clock = clock
        self.required = b"h2" if protocol == "h2" else None
        self._settings = settings
        self._protocol = protocol
        self._context: SSLContext | None = None
        self._quiet_until: dict[str, float] = {}

    def wrap(self, factory: ClientFactory, address: str, timeout: float) -> ClientFactory:
        """
        Wrap a factory, to be given to C{connectTCP} instead.

        @param address: the instance's, whose certificate has to be for it unless the settings name another.
        @param timeout: how many seconds the handshake may take. When these are over, C{clientConnectionFailed} gets the
            C{TimeoutError} of Twisted's; when it fails otherwise, a L{HandshakeFailed}.
        """
        return _SecureClientFactory(self, factory, address, timeout)

    def begin(self, layer: TLSLayer, address: str) -> None:
        """
        Begin the handshake with an instance.

        @raise OSError: when a file cannot be read any more. That of C{ssl} for one with other contents is one, too. The
            next attempt reads it again.
        """
        if self._context is None:
            self._context = _context(self._settings, self._protocol)
        layer.begin(self._context, False, self._settings.server_name or address)

    def tell(self, instance: str, error: Exception) -> None:
        """
        Log why there is no TLS with an instance: once in a while, however many attempts there are.
        """
        now = self.clock.seconds()
        quiet = {known: until for known, until in self._quiet_until.items() if until > now}
        if instance not in quiet:
            quiet[instance] = now + _QUIET_SECONDS
            self.log.warn("no TLS with the instance {instance}: {error}", instance=instance, error=error)
        self._quiet_until = quiet


def _context(settings: UpstreamTLSSettings, protocol: str) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.minimum_version = TLSVersion.TLSv1_2
    context.set_alpn_protocols([_ALPN[protocol]])
    if protocol == "h2":
        context.set_ciphers(CIPHERS)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = CERT_NONE
    elif settings.ca:
        context.load_verify_locations(settings.ca)
    else:
        context.load_default_certs()
    if settings.certificate:
        # An empty passphrase, lest somebody be asked for one.
        context.load_cert_chain(settings.certificate, settings.key, "")
    return context


class _SecureClientFactory(ClientFactory):
    """
    One attempt.
    """

    noisy = False

    def __init__(self, upstream: UpstreamTLS, inner: ClientFactory, address: str, timeout: float) -> None:
        self.upstream = upstream
        self.inner = inner
        self.address = address
        self.timeout = timeout
        self._connector: Any = None
        self._made = False

    def startedConnecting(self, connector: IConnector) -> None:
        """
        The attempt begins.
        """
        self._connector = connector
        self.inner.startedConnecting(connector)

    def buildProtocol(self, addr: IAddress | None) -> _SecureClient:
        """
        There is somebody.
        """
        return _SecureClient(self, addr)

    def made(self, addr: IAddress | None) -> Any:
        """
        The attempt has succeeded.
        """
        self._made = True
        return self.inner.buildProtocol(addr)

    def failed(self, error: Exception) -> None:
        """
        There is no TLS with whoever there is.
        """
        there = self._connector.getDestination()
        self.upstream.tell(f"{there.host}:{there.port}", error)
        self.clientConnectionFailed(self._connector, Failure(error))

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """
        The attempt has failed.
        """
        self.inner.clientConnectionFailed(connector, reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """
        The connection is gone. If there never was one, that is known already.
        """
        if self._made:
            self.inner.clientConnectionLost(connector, reason)


class _SecureClient(TLSLayer):
    """
    A connection to an instance.
    """

    _call: Any = None

    def __init__(self, factory: _SecureClientFactory, peer: IAddress | None) -> None:
        super().__init__(factory.upstream.clock)
        self._attempt: _SecureClientFactory | None = factory
        self._upstream = factory.upstream
        self._peer = peer

    def connectionMade(self) -> None:
        """
        Begin the handshake.
        """
        assert self._attempt is not None
        self._call = self._clock.callLater(self._attempt.timeout, self._give_up)
        try:
            self._upstream.begin(self, self._attempt.address)
        except OSError as error:
            self.refuse(error)
        else:
            self._shake(b"")

    def _give_up(self) -> None:
        self._call = None
        self._fail(TimedOut())
        self.transport.abortConnection()

    def secured(self) -> Any:
        """
        See that it is what was wanted.
        """
        required = self._upstream.required
        if required is not None and self.negotiatedProtocol != required:
            self.refuse(HandshakeFailed("it does not speak HTTP/2"))
            return None
        protocol = self._settle().made(self._peer)
        if protocol is None:
            self.transport.loseConnection()
        return protocol

    def refused(self, error: Exception) -> None:
        """
        Tell of it.
        """
        self._fail(error if isinstance(error, HandshakeFailed) else HandshakeFailed(str(error)))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self._fail(HandshakeFailed("it closed the connection"))
        super().connectionLost(reason)

    def _fail(self, error: Exception) -> None:
        if self._attempt is not None:
            self._settle().failed(error)

    def _settle(self) -> _SecureClientFactory:
        attempt, self._attempt = self._attempt, None
        assert attempt is not None
        if self._call is not None:
            self._call.cancel()
            self._call = None
        return attempt
