"""
A client of HTTP/2 that sends exactly the frames it is told to, with prior knowledge (RFC 9113 section 3.3).
"""

from __future__ import annotations

import socket

from tests.integration.h2_frames import MAGIC, Fields, Flag, Frame, Kind, headers, ping, settings
from tests.integration.h2_peer import PATIENCE, H2Peer, Incoming, PeerSilent

__all__ = ["H2Client", "request"]


def request(path: bytes = b"/", *more: tuple[bytes, bytes], method: bytes = b"GET") -> Fields:
    """
    The fields of a request to the service C{echo}.
    """
    start = [(b":method", method), (b":scheme", b"http"), (b":authority", b"gw.test")]
    return [*start, (b":path", b"/services/echo" + path), *more]


class H2Client(H2Peer):
    """
    One connection to the gateway.

    @ivar next: the next stream's identifier.
    """

    def __init__(self, port: int, receive: int = 0, source: str = "") -> None:
        """
        Connect, and say nothing.

        @param receive: the size of the receive buffer, for clients that shall be slow.
        @param source: an address to connect from; all of C{127.0.0.0/8} is this machine.
        """
        connected = socket.socket()
        connected.settimeout(PATIENCE)
        if receive:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        if source:
            connected.bind((source, 0))
        connected.connect(("127.0.0.1", port))
        super().__init__(connected)
        self.next = 1

    def start(self, *pairs: tuple[int, int]) -> H2Client:
        """
        Open the connection with these settings, and acknowledge the gateway's.

        @raise PeerSilent: when it does not acknowledge ours.
        """
        self.send(MAGIC + settings(*pairs))
        if not self.until(lambda: len(self.of(Kind.SETTINGS)) >= 2):
            raise PeerSilent(f"no start: {self}")
        self.send(settings(ack=True))
        return self

    def open(self, fields: Fields, end: bool = True) -> int:
        """
        Send a request's head in one HEADERS frame.

        @return: the stream.
        """
        stream, self.next = self.next, self.next + 2
        self.send(headers(stream, self.encode(*fields), end))
        return stream

    def ask(self, path: bytes = b"/", *more: tuple[bytes, bytes], method: bytes = b"GET") -> Incoming:
        """
        Send a request without a body and wait for the whole response.
        """
        return self.whole(self.open(request(path, *more, method=method)))

    def barrier(self, timeout: float = PATIENCE) -> bool:
        """
        Wait until all that was sent has been handled: send a PING and read on until it is answered.

        @return: whether it was.
        """
        content = len(self.frames).to_bytes(8, "big")
        self.send(ping(content))
        return self.until(lambda: any(_answers(one, content) for one in reversed(self.frames)), timeout)


def _answers(frame: Frame, content: bytes) -> bool:
    return frame.kind == Kind.PING and frame.has(Flag.ACK) and frame.payload == content
