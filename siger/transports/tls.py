"""
TLS on a connection that is up: C{startTLS}.

Twisted's own TLS protocol is put between the connection and its protocol. It writes to a L{BelowTLS}, which is the
connection as it was before; the connection's own calls go through it from then on.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import alsoProvides

from siger.transports.halves import HalfClosing
from siger.transports.writing import Sink

__all__ = ["Securing"]

_THROUGH_TLS = ("write", "writeSequence", "registerProducer", "unregisterProducer", "loseConnection")


class BelowTLS(Sink):
    """
    The connection as the TLS layer sees it: what it does here does not pass through TLS again.
    """

    def __init__(self, connection: Securing) -> None:
        self._connection = connection
        self.writeSequence = connection.writeSequence
        self.registerProducer = connection.registerProducer
        self.unregisterProducer = connection.unregisterProducer
        self.loseConnection = connection.loseConnection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Securing(HalfClosing):
    """
    A connection that can turn to TLS.

    @cvar _tls_client: whether this end is the client of the handshake unless told otherwise.
    @ivar TLS: whether TLS is in use.
    """

    TLS = False
    _tls_client = False

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """
        Speak TLS from now on.

        @param normal: whether this end's role in TLS is that of the connection: whoever connected is the client.
        """
        producer, streaming = self.producer, self.streamingProducer
        if producer is not None:
            self.unregisterProducer()
        factory: Any = TLSMemoryBIOFactory(contextFactory, self._tls_client is normal, None)  # type: ignore[arg-type]
        secure = factory.protocol(factory, self._protocol, False)
        self._put_below(secure)
        secure.makeConnection(self._below)
        if producer is not None:
            self.registerProducer(producer, streaming)

    def _put_below(self, secure: Any) -> None:
        """
        Be above the TLS layer: write through it, and let it read.
        """
        was_open, below = self._open, BelowTLS(self)
        self._mute()
        self._below = below
        if was_open:
            self._bind()
        self.TLS = True
        vars(self).update({name: getattr(secure, name) for name in _THROUGH_TLS}, writelines=secure.writeSequence)
        vars(self).update(getHandle=secure.getHandle, getPeerCertificate=secure.getPeerCertificate)
        alsoProvides(self, ISSLTransport)
        self.switch_protocol(secure)

    def _leave_tls(self) -> None:
        """
        Be no more above it, once the connection is gone.
        """
        if self.TLS:
            for name in (*_THROUGH_TLS, "writelines"):
                vars(self).pop(name, None)
