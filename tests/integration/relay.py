"""
A relay of TCP connections that can be cut and blocked: a network between a client and a server that stays as it is.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Factory, Protocol

__all__ = ["Relay"]


class _End(Protocol):
    """
    One end of a relayed connection.
    """

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.other: _End | None = None
        self.early: list[bytes] = []

    def connectionMade(self) -> None:
        self.relay.ends.add(self)
        if self.relay.blocked:
            self.pause()

    def dataReceived(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.relay.ends.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.loseConnection()
        if not self.relay.ends and self.relay.emptied is not None:
            emptied, self.relay.emptied = self.relay.emptied, None
            emptied.callback(None)

    def pause(self) -> None:
        transport: Any = self.transport
        transport.pauseProducing()

    def resume(self) -> None:
        transport: Any = self.transport
        transport.resumeProducing()

    def abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


class _Outward(_End):
    """
    The end towards the server.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        assert self.other is not None
        assert self.transport is not None
        self.other.other = self
        self.transport.writeSequence(self.other.early)


class _Inward(_End):
    """
    The end towards the client.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        outward = _Outward(self.relay)
        outward.other = self
        factory = Factory.forProtocol(lambda: outward)  # type: ignore[arg-type]
        factory.clientConnectionFailed = lambda _connector, _reason: self.abort()  # type: ignore[attr-defined]
        factory.clientConnectionLost = lambda _connector, _reason: None  # type: ignore[attr-defined]
        factory.startedConnecting = lambda _connector: None  # type: ignore[attr-defined]
        self.relay.reactor.connectTCP("127.0.0.1", self.relay.target, factory)


class Relay:
    """
    Relays to a port on loopback.

    @ivar port: where it listens.
    @ivar blocked: nothing passes, though connections stand.
    """

    def __init__(self, reactor: IReactorTCP, target: int) -> None:
        self.reactor: Any = reactor
        self.target = target
        self.port = 0
        self.blocked = False
        self.ends: set[_End] = set()
        self.emptied: Deferred[None] | None = None
        self._listening: Any = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def open(self) -> None:
        """
        Listen; on the same port as before.
        """
        factory = Factory.forProtocol(lambda: _Inward(self))  # type: ignore[arg-type]
        self._listening = self.reactor.listenTCP(self.port, factory, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    async def cut(self) -> None:
        """
        End all connections and accept no more.
        """
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()
        self.emptied = Deferred() if self.ends else succeed(None)
        emptied = self.emptied
        for end in list(self.ends):
            end.abort()
        await emptied

    def block(self) -> None:
        """
        Let nothing pass, in either direction.
        """
        self.blocked = True
        for end in self.ends:
            end.pause()

    def unblock(self) -> None:
        """
        Let everything pass, and what was held up first.
        """
        self.blocked = False
        for end in self.ends:
            end.resume()
