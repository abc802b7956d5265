"""
A backend of HTTP/2 whose connections a test takes one by one and serves frame by frame.
"""

from __future__ import annotations

import contextlib
import socket

from tests.integration.h2_frames import MAGIC, Kind, settings
from tests.integration.h2_peer import PATIENCE, H2Peer, PeerSilent

__all__ = ["H2Backend", "H2Server"]


class H2Server(H2Peer):
    """
    One connection that the gateway made.
    """

    serving = True

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self._taken: set[int] = set()

    def start(self, *pairs: tuple[int, int]) -> H2Server:
        """
        Read the preface, send settings, and acknowledge the gateway's.

        @raise PeerSilent: when it does not begin as it must.
        """
        self.read_magic()
        self.send(settings(*pairs))
        if not self.until(lambda: len(self.of(Kind.SETTINGS)) >= 2):
            raise PeerSilent(f"no start: {self}")
        if self.frames[0].kind != Kind.SETTINGS:
            self.ledger.faults.append(f"begins with {self.frames[0]}")
        self.send(settings(ack=True))
        return self

    def read_magic(self, timeout: float = PATIENCE) -> None:
        """
        Read the bytes that all connections begin with.
        """
        self.socket.settimeout(timeout)
        with contextlib.suppress(TimeoutError):
            while len(self.buffer) < len(MAGIC) and (piece := self.socket.recv(1 << 16)):
                self.buffer += piece
        self.socket.setblocking(False)
        if not self.buffer.startswith(MAGIC):
            raise PeerSilent(f"begins with {bytes(self.buffer[:40])!r}")
        del self.buffer[: len(MAGIC)]

    def take(self, timeout: float = PATIENCE) -> int:
        """
        Wait for the next request's head.

        @return: its stream.
        @raise PeerSilent: when none comes.
        """
        if not self.until(lambda: self.fresh, timeout):
            raise PeerSilent(f"no request: {self}")
        stream = self.fresh[0]
        self._taken.add(stream)
        return stream

    @property
    def fresh(self) -> list[int]:
        """
        The streams of requests that were not taken yet.
        """
        return [number for number, one in sorted(self.streams.items()) if one.head and number not in self._taken]

    def respond(self, stream: int, *fields: tuple[bytes, bytes], body: bytes = b"", end: bool = True) -> None:
        """
        Send a 200 with these fields.
        """
        self.send_fields(stream, (b":status", b"200"), *fields, end=end and not body)
        if body:
            self.send_data(stream, body, end)

    def leave(self) -> None:
        """
        End the connection, and wait until the gateway knows.
        """
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self.until_closed()
        self.close()


class H2Backend:
    """
    Listens on a port of loopback.

    @ivar connections: all that were accepted and not dropped.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections: list[H2Server] = []

    def accept(self, timeout: float = PATIENCE) -> H2Server:
        """
        The next connection that the gateway makes; nothing was read from it.

        @raise PeerSilent: when it makes none.
        """
        self._listening.settimeout(timeout)
        try:
            connected, _ = self._listening.accept()
        except (TimeoutError, BlockingIOError):
            raise PeerSilent("the gateway makes no connection") from None
        self.connections.append(H2Server(connected))
        return self.connections[-1]

    def drop(self) -> None:
        """
        End all connections, those that wait to be accepted too, and wait until the gateway knows. What it makes for a
        request that it tries again goes as well.
        """
        self._accept_all()
        while self.connections:
            for connection in self.connections:
                connection.leave()
            self.connections.clear()
            self._accept_all()

    def _accept_all(self) -> None:
        with contextlib.suppress(PeerSilent):
            while True:
                self.accept(0)

    def close(self) -> None:
        """
        Stop listening.
        """
        self.drop()
        self._listening.close()
