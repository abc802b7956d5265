"""
Connections accepted: Twisted protocols around channels.

A protocol only joins a channel to its transport. Everything that happens per read or per request is the channel's, to
which the transport talks directly: C{dataReceived} is the channel's own method. Connections from load balancers that
announce their clients are another kind of protocol, so that the others pay nothing for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final, cast

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from siger.http.context import ChannelContext
from siger.http.h1.channel import Channel
from siger.http.h2.server import ServerConnection, ServerContext
from siger.http.proxy_protocol import HeaderError, parse_header
from siger.http.transport import keep_alive
from siger.policy.limit_keys import address_key

__all__ = ["AnnouncedProtocol", "ServerFactory", "ServerProtocol", "plain_address"]

_QUIET_SECONDS: Final = 60.0


@implementer(IHalfCloseableProtocol, IPushProducer)
class ServerProtocol(Protocol):
    """
    One accepted connection.

    @ivar reads_directly: the transport may call C{dataReceived} without Twisted's log context; see L{siger.transports}.
    """

    reads_directly = True

    _channel: Channel | ServerConnection

    def __init__(self, factory: ServerFactory, peer: bytes) -> None:
        self.factory = factory
        self._peer = peer

    def connectionMade(self) -> None:
        """
        Put a channel on the transport.
        """
        transport: Any = self.transport
        secure = ISSLTransport.providedBy(transport)
        # Which not every transport of TLS tells: it is another interface of Twisted's.
        negotiated = getattr(transport, "negotiatedProtocol", None) if secure else None
        if negotiated == b"h2":
            self._begin_http2(secure)
        else:
            channel = self._channel = Channel(self.factory.context, transport, self._peer, secure)
            if self.factory.http2 is not None and not secure:  # over TLS it is agreed on (RFC 9113 section 3.2)
                channel.on_preface = self._preface_received
            self.dataReceived = channel.data_received  # type: ignore[method-assign]  # bound once, for speed
        transport.registerProducer(self, True)

    def _begin_http2(self, secure: bool) -> ServerConnection:
        http2 = self.factory.http2
        assert http2 is not None
        # Calls may be silent for hours.
        keep_alive(cast(Any, self.transport))
        connection = ServerConnection(self.factory.context, http2, cast(Any, self.transport), self._peer, secure)
        self._channel = connection
        self.dataReceived = connection.data_received  # type: ignore[method-assign]
        return connection

    def _preface_received(self, data: bytes) -> None:
        connection = self._begin_http2(self._channel.secure)
        switch_receiver(self)
        connection.data_received(data)

    def readConnectionLost(self) -> None:
        """
        The client will send no more.
        """
        self._channel.read_ended()

    def writeConnectionLost(self) -> None:
        """
        Nothing to do: it is this side that half-closed.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        self.factory.forget(self._peer)
        self._channel.connection_lost()

    def pauseProducing(self) -> None:
        """
        The transport's buffer is full.
        """
        self._channel.writing_paused()

    def resumeProducing(self) -> None:
        """
        The transport's buffer has room.
        """
        self._channel.writing_resumed()

    def stopProducing(self) -> None:
        """
        The transport is closing; C{connectionLost} says so too.
        """


class AnnouncedProtocol(ServerProtocol):
    """
    One accepted connection that begins with a PROXY protocol header: it belongs to the client that the header names.

    Until then it has a channel already, which counts among the open ones, gives up when the header is late, and ends
    when the gateway drains; but the channel gets no byte of it.
    """

    _received: bytes | None = b""
    _counted = False

    def connectionMade(self) -> None:
        """
        Wait for the header.
        """
        super().connectionMade()
        self.dataReceived = self._header_received  # type: ignore[method-assign]

    def _header_received(self, data: bytes) -> None:
        if self._received is None:
            return
        self._received = received = self._received + data
        try:
            announced = parse_header(received)
        except HeaderError as error:
            self._refuse(str(error))
            return
        if announced is not None:
            self._received = None
            client, length = announced
            if client and not self._claim(client):
                self.transport.abortConnection()  # type: ignore[union-attr]
            else:
                self._begin(received[length:])

    def _refuse(self, cause: str) -> None:
        self._received = None
        self.factory.header_refused(self._peer, cause)
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _claim(self, client: bytes) -> bool:
        # From here on, the load balancer's own address is forgotten.
        self._peer = self._channel.peer = client
        self._counted = self.factory.admit(client)
        return self._counted

    def _begin(self, rest: bytes) -> None:
        # The same time for a first request that any other client has.
        channel, context = self._channel, self.factory.context
        channel.deadline = context.deadlines.now + context.limits.header_timeout
        self.dataReceived = channel.data_received  # type: ignore[method-assign]
        switch_receiver(self)
        if rest:
            channel.data_received(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
        """
        if self._received:
            self.factory.header_refused(self._peer, "an early end")
        if self._counted:
            self.factory.forget(self._peer)
        self._channel.connection_lost()


def switch_receiver(protocol: Protocol) -> None:
    """
    Tell a transport that keeps the method that takes its bytes of another; see L{siger.transports}.
    """
    switch = getattr(protocol.transport, "switch_protocol", None)
    if switch is not None:
        switch(protocol)


class ServerFactory(Factory):
    """
    Accepts connections, within limits.

    @ivar context: what the channels share.
    @ivar http2: what connections of HTTP/2 share, if that is spoken.
    @ivar accepted: how many connections were accepted so far.
    @ivar refused: how many were closed at once because of a limit.
    @ivar unannounced: how many began with something else than the header that they had to begin with.
    """

    log = Logger(namespace="siger")
    noisy = False

    def __init__(
        self,
        context: ChannelContext,
        proxied: Sequence[IPv4Network | IPv6Network] = (),
        http2: ServerContext | None = None,
    ) -> None:
        """
        @param proxied: the networks of load balancers, whose connections have to begin with a PROXY protocol header.
        @param http2: what connections of HTTP/2 share; C{None} if that is not spoken.
        """
        self.context = context
        self.http2 = http2
        self.accepted = 0
        self.refused = 0
        self.unannounced = 0
        self._proxied = tuple(proxied)
        self._clients: Counter[bytes] = Counter()
        self._quiet_until = 0.0

    def buildProtocol(self, addr: IAddress | None) -> ServerProtocol | None:
        """
        @return: C{None}, which closes the connection, when there are too many in all or from this address.
        """
        peer = plain_address(cast(str, getattr(addr, "host", "")))
        if self.is_full():
            return None
        if self.announces(peer):
            # Many clients come by way of one load balancer, each of which is limited once it is known.
            self.accepted += 1
            return AnnouncedProtocol(self, peer)
        if not self.admit(peer):
            return None
        self.accepted += 1
        return ServerProtocol(self, peer)

    def is_full(self) -> bool:
        """
        Whether there are too many connections for another; which is counted.
        """
        full = len(self.context.channels) >= self.context.limits.connections
        self.refused += full
        return full

    def announces(self, peer: bytes) -> bool:
        """
        Whether this is a load balancer, whose connections begin with a PROXY protocol header.
        """
        if not self._proxied:
            return False
        try:
            address = ip_address(peer.decode("ascii"))
        except ValueError:
            return False
        return any(address in network for network in self._proxied)

    def admit(self, client: bytes) -> bool:
        """
        Count a connection of this client, if it may have another.
        """
        key = address_key(client)
        if self._clients[key] >= self.context.limits.connections_per_client:
            self.refused += 1
            return False
        self._clients[key] += 1
        return True

    def forget(self, peer: bytes) -> None:
        """
        A connection from this address is gone.
        """
        key = address_key(peer)
        self._clients[key] -= 1
        if self._clients[key] <= 0:
            del self._clients[key]

    def header_refused(self, peer: bytes, cause: str) -> None:
        """
        A load balancer's connection did not begin as it must: most likely, one of the two is configured wrongly. That
        is said once in a while, however many connections there are.
        """
        self.unannounced += 1
        now = self.context.deadlines.now
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            self.log.warn(
                "no PROXY protocol header from {peer}: {cause}; {count} such connections so far",
                peer=peer.decode("ascii"),
                cause=cause,
                count=self.unannounced,
            )


def plain_address(host: str) -> bytes:
    """
    A client's address as text, without its port.
    """
    # An IPv4 client of an IPv6 socket is the same client, and not one network with all others.
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    return host.encode("ascii", "replace")
