"""
The other end of a TLS connection, over a transport in memory.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER, SSLContext, SSLError, TLSVersion
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from siger.tls.records import Records
from tests.http.fakes import FakeTransport
from tests.tls.certificates import Authority, Issued

__all__ = ["AUTHORITY", "Peer", "client_context", "hello", "server_context"]

AUTHORITY = Authority()
"""
Whom clients in tests trust.
"""

_PAIR = AUTHORITY.issue("a.example", "127.0.0.1")


def client_context(*protocols: str, newest: TLSVersion = TLSVersion.TLSv1_3) -> SSLContext:
    """
    What a client has that trusts L{AUTHORITY}.

    @param protocols: what it offers by ALPN.
    """
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=AUTHORITY.certificate.decode())
    context.maximum_version = newest
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def server_context(*protocols: str, pair: Issued = _PAIR) -> SSLContext:
    """
    What a server has, for C{a.example} unless it is given other certificates.
    """
    context = SSLContext(PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        files = pair.write(Path(directory))
        context.load_cert_chain(files.certificate, files.key)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def hello(*protocols: str, name: str = "a.example") -> bytes:
    """
    A client's first message.
    """
    records = Records(client_context(*protocols), False, name)
    records.shake()
    return records.take()


class Peer:
    """
    One that talks to a protocol with TLS.

    @ivar transport: below the protocol.
    @ivar records: this end's.
    @ivar received: what the protocol sent, decrypted.
    @ivar secured: this end's handshake is complete.
    """

    def __init__(
        self, protocol: Any, context: SSLContext, server: bool = False, name: str | None = "a.example"
    ) -> None:
        self.protocol = protocol
        self.transport = FakeTransport()
        self.records = Records(context, server, None if server else name)
        self.received = b""
        self.secured = False
        self._read = 0

    def connect(self, first: bytes = b"") -> Peer:
        """
        Connect, and shake hands as far as both agree.

        @param first: what stands before the handshake.
        @raise ssl.SSLError: this end does not.
        """
        self.protocol.makeConnection(self.transport)
        if first:
            self.protocol.dataReceived(first)
        self.talk()
        return self

    def talk(self) -> None:
        """
        Carry what either end has to say, until neither has.
        """
        moved = True
        while moved:
            if not self.secured:
                self._shake()
            if self.secured:
                self.received += self.records.open()
            sent, said = self.records.take(), self.transport.written[self._read :]
            self._read += len(said)
            if said:
                self.records.feed(said)
            if sent and not self.transport.closed:
                self.protocol.dataReceived(sent)
            moved = bool(sent or said)

    def _shake(self) -> None:
        try:
            self.secured = self.records.shake()
        except SSLError:
            self.protocol.dataReceived(self.records.take())  # an alert
            raise

    def send(self, data: bytes) -> None:
        """
        Send application data.
        """
        self.protocol.dataReceived(self.records.seal(data))
        self.talk()

    def finish(self) -> None:
        """
        Say that no more will be sent.
        """
        self.protocol.dataReceived(self.records.finish())
        self.talk()

    def lose(self, clean: bool = True) -> None:
        """
        Let the connection below be gone.
        """
        self.protocol.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))
