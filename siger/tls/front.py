"""
Connections accepted over TLS: what happens before they are like any other.

Until its handshake is complete, a connection counts among the open ones and among those of its client, gives up when
that takes too long, and ends when the gateway drains. Where load balancers announce their clients, their header comes
first, in plain text.
"""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.http.context import ClientConnection
from siger.http.deadlines import NEVER
from siger.http.proxy_protocol import HeaderError, parse_header
from siger.http.server import ServerFactory, ServerProtocol, plain_address
from siger.tls.hello import NO_APPLICATION_PROTOCOL, offered
from siger.tls.layer import TLSLayer
from siger.tls.store import Certificate, CertificateContext, CertificateStore

__all__ = ["HANDSHAKE_SECONDS", "SecureFactory", "SecureProtocol"]

HANDSHAKE_SECONDS: Final = 10.0
"""For all that comes before the first request."""


class NoCommonProtocol(Exception):  # noqa: N818 (as a sentence reads)
    """
    The client offers protocols, and none that is spoken here.
    """


class SecureProtocol(TLSLayer):
    """
    One connection. To whatever looks through the open ones, it is a channel until there is one.

    @ivar certificate: which one the client was shown.
    @ivar deadline: see L{siger.http.deadlines}.
    """

    certificate: Certificate | None = None
    deadline = NEVER

    _received = b""
    _admitted = False
    _failed = False

    def __init__(self, factory: SecureFactory, peer: bytes, announced: bool) -> None:
        """
        @param announced: whether a load balancer's header comes first.
        """
        super().__init__(factory.clock)
        self._front = factory
        self._peer = peer
        self._announced = announced
        self._admitted = not announced

    def connectionMade(self) -> None:
        """
        Wait for the header, or for the client's first message.
        """
        context = self._front.inner.context
        self.deadline = context.deadlines.now + HANDSHAKE_SECONDS
        context.channels.add(cast(ClientConnection, self))
        context.deadlines.add(self)
        self.dataReceived = self._read_header if self._announced else self._read_hello  # type: ignore[method-assign]

    def _read_header(self, data: bytes) -> None:
        inner = self._front.inner
        self._received += data
        try:
            announced = parse_header(self._received)
        except HeaderError as error:
            self._received = b""
            inner.header_refused(self._peer, str(error))
            self.transport.abortConnection()
            return
        if announced is None:
            return
        client, length = announced
        rest, self._received, self._announced = self._received[length:], b"", False
        self._peer = client or self._peer
        self._admitted = inner.admit(self._peer)
        if self._admitted:
            self._switch(self._read_hello)
            self._read_hello(rest)
        else:
            self.transport.abortConnection()

    def _read_hello(self, data: bytes) -> None:
        self._received = received = self._received + data
        protocols = offered(received)
        if protocols is None:
            return
        if protocols and not self._front.protocols.intersection(protocols):
            self.transport.write(NO_APPLICATION_PROTOCOL)
            self.refuse(NoCommonProtocol(f"offers only {b', '.join(protocols)!r}"))
            return
        self.begin(self._front.store.context, True)
        self._shake(received)

    # The handshake's end.

    def secured(self) -> ServerProtocol:
        """
        Be like any other connection.
        """
        self.certificate = cast(CertificateContext, self._records.context).certificate
        self._received = b""
        self._leave()
        return ServerProtocol(self._front.inner, self._peer)

    def refused(self, error: Exception) -> None:
        """
        Count it.
        """
        self._failed = True
        self._front.failed(self._peer, error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        if self.application is None:
            self._leave()
            self._lost_early()
        super().connectionLost(reason)

    def _lost_early(self) -> None:
        if self._announced and self._received:
            self._front.inner.header_refused(self._peer, "an early end")
        elif self._received and not self._failed:
            # Whoever says nothing at all only wanted to see whether the port is open.
            self._front.failed(self._peer, ConnectionError("an early end"))
        if self._admitted:
            self._front.inner.forget(self._peer)

    def _leave(self) -> None:
        context = self._front.inner.context
        context.channels.discard(cast(ClientConnection, self))
        context.deadlines.discard(self)

    # Like a channel.

    def deadline_passed(self) -> None:
        """
        The client took too long.
        """
        self.transport.abortConnection()

    def drain(self, idle: bool) -> None:
        """
        Let the handshake be finished, for a while.
        """
        if idle:
            self.transport.abortConnection()


class SecureFactory(Factory):
    """
    Accepts connections that become those of another factory, within its limits.

    @ivar inner: that one.
    @ivar failures: how many handshakes have failed.
    """

    log = Logger(namespace="siger")
    noisy = False

    def __init__(self, inner: ServerFactory, store: CertificateStore, protocols: tuple[str, ...], clock: Any) -> None:
        """
        @param protocols: what is spoken here, by their names in ALPN.
        @param clock: C{IReactorTime}.
        """
        self.inner = inner
        self.store = store
        self.protocols = frozenset(protocol.encode("ascii") for protocol in protocols)
        self.clock = clock
        self.failures = 0

    def buildProtocol(self, addr: IAddress | None) -> SecureProtocol | None:
        """
        @return: C{None}, which closes the connection, when there are too many in all or from this address.
        """
        inner = self.inner
        peer = plain_address(cast(str, getattr(addr, "host", "")))
        announced = inner.announces(peer)
        if inner.is_full() or not (announced or inner.admit(peer)):
            return None
        inner.accepted += 1
        return SecureProtocol(self, peer, announced)

    def failed(self, peer: bytes, error: Exception) -> None:
        """
        A handshake has failed.
        """
        self.failures += 1
        self.log.debug("no TLS with {peer}: {error}", peer=peer.decode("ascii"), error=error)
