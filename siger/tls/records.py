"""
One end of a TLS connection, without the connection: records in, records out.

Of the three ways to TLS that there are here, this one costs the least by far: a small request takes half the time of
one through Twisted's TLS protocol, which goes through pyOpenSSL, and no more than one through uvloop's, which in turn
can neither close one half of a connection nor refuse what it should refuse.
"""

from __future__ import annotations

from ssl import MemoryBIO, SSLContext, SSLError, SSLWantReadError, SSLZeroReturnError

__all__ = ["Records"]

_RECORD = 16384
"""
As much as a record holds (RFC 8446 section 5.1): to read so much leaves nothing of one behind.
"""


class Records:
    """
    The state of one end.

    @ivar context: what the handshake was made with: that of the chosen certificate, on a server.
    @ivar ended: the peer said that it will send no more (RFC 8446 section 6.1), and nothing of it is left.
    """

    __slots__ = ("_held", "_incoming", "_object", "_outgoing", "_read", "_write", "ended")

    def __init__(self, context: SSLContext, server: bool, name: str | None = None) -> None:
        """
        @param name: of the server, for a client to ask for and to verify.
        """
        self._incoming = MemoryBIO()
        self._outgoing = MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server, name)
        self._read = self._object.read
        self._write = self._object.write
        self._held = b""
        self.ended = False

    @property
    def context(self) -> SSLContext:
        return self._object.context

    @property
    def protocol(self) -> bytes | None:
        """
        What was agreed on by ALPN (RFC 7301).
        """
        selected = self._object.selected_alpn_protocol()
        return None if selected is None else selected.encode("latin-1")

    @property
    def peer_certificate(self) -> bytes | None:
        """
        The peer's certificate in DER, if it has shown one.
        """
        return self._object.getpeercert(True)

    @property
    def pending(self) -> bool:
        """
        Whether there is something that was fed and not opened.
        """
        return bool(self._held or self._incoming.pending)

    def feed(self, data: bytes) -> None:
        """
        Take what came.
        """
        self._incoming.write(data)

    def take(self) -> bytes:
        """
        Give what is to be sent.
        """
        outgoing = self._outgoing
        return outgoing.read() if outgoing.pending else b""

    def shake(self) -> bool:
        """
        Go on with the handshake as far as what came allows. There may be something to L{take}, also after an error.

        @return: whether it is complete.
        @raise ssl.SSLError: it has failed.
        """
        try:
            self._object.do_handshake()
        except SSLWantReadError:
            return False
        return True

    def open(self) -> bytes:
        """
        Decrypt all that is complete. There may be something to L{take}.

        @raise ssl.SSLError: what came is no TLS, or was tampered with.
        """
        incoming, read = self._incoming, self._read
        first, self._held = self._held, b""
        pieces: list[bytes] | None = None
        try:
            while incoming.pending:
                piece = read(_RECORD)
                if not piece:
                    self.ended = True
                    break
                if not first:
                    first = piece
                elif pieces is None:
                    pieces = [first, piece]
                else:
                    pieces.append(piece)
        except SSLWantReadError:
            pass
        except SSLZeroReturnError:
            self.ended = True
        return first if pieces is None else b"".join(pieces)

    def seal(self, data: bytes) -> bytes:
        """
        Encrypt.

        @return: this and whatever else is to be sent.
        @raise ssl.SSLError: that can no longer be done.
        """
        self._write(data)
        return self._outgoing.read()

    def finish(self) -> bytes:
        """
        Say that no more will be sent. What the peer sends can still be opened.

        @return: what is to be sent.
        """
        try:
            # OpenSSL looks for the peer's answer at once, and gives up when it sees data instead.
            self._held = self.open()
            self._object.unwrap()
        except SSLError:
            pass  # there is no answer yet, or nobody to talk to any more
        return self._outgoing.read()
