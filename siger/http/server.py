"""
Connections accepted: Twisted protocols around channels.

A protocol only joins a channel to its transport. Everything that happens per read or per request is the channel's, to
which the transport talks directly: C{dataReceived} is the channel's own method.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from siger.http.channel import Channel, ChannelContext

__all__ = ["ServerFactory", "ServerProtocol"]


@implementer(IHalfCloseableProtocol, IPushProducer)
class ServerProtocol(Protocol):
    """
    One accepted connection.

    @ivar reads_directly: the transport may call C{dataReceived} without Twisted's log context; see L{siger.transports}.
    """

    reads_directly = True

    _channel: Channel

    def __init__(self, factory: ServerFactory, peer: bytes) -> None:
        self.factory = factory
        self._peer = peer

    def connectionMade(self) -> None:
        """
        Put a channel on the transport.
        """
        transport: Any = self.transport
        secure = ISSLTransport.providedBy(transport)
        self._channel = Channel(self.factory.context, transport, self._peer, secure)
        self.dataReceived = self._channel.data_received  # type: ignore[method-assign]  # bound once, for speed
        transport.registerProducer(self, True)

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


class ServerFactory(Factory):
    """
    Accepts connections, within limits.

    @ivar context: what the channels share.
    @ivar accepted: how many connections were accepted so far.
    @ivar refused: how many were closed at once because of a limit.
    """

    noisy = False

    def __init__(self, context: ChannelContext) -> None:
        self.context = context
        self.accepted = 0
        self.refused = 0
        self._clients: Counter[bytes] = Counter()

    def buildProtocol(self, addr: IAddress | None) -> ServerProtocol | None:
        """
        @return: C{None}, which closes the connection, when there are too many in all or from this address.
        """
        peer = cast(str, getattr(addr, "host", "")).encode("ascii", "replace")
        limits = self.context.limits
        if len(self.context.channels) >= limits.connections or self._clients[peer] >= limits.connections_per_client:
            self.refused += 1
            return None
        self.accepted += 1
        self._clients[peer] += 1
        return ServerProtocol(self, peer)

    def forget(self, peer: bytes) -> None:
        """
        A connection from this address is gone.
        """
        self._clients[peer] -= 1
        if self._clients[peer] <= 0:
            del self._clients[peer]
