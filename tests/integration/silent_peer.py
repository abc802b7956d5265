"""
Somebody who speaks just enough HTTP/2 to keep a connection up, and never answers a request.

Header sections are left as they are: what counts is which frames come for a stream, and when.
"""

from __future__ import annotations

import asyncio

from tests.integration.h2_frames import MAGIC, Flag, Frame, Kind, ping, settings, split, window_update
from tests.integration.loop_thread import Signal, run_in_loop

__all__ = ["SilentPeer"]


class _Connection(asyncio.Protocol):
    """
    One connection.
    """

    transport: asyncio.Transport

    def __init__(self, peer: SilentPeer) -> None:
        self._peer = peer
        self._buffer = bytearray()
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._peer.connections.append(self)
        transport.write(settings())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._begun and len(self._buffer) >= len(MAGIC):
            del self._buffer[: len(MAGIC)]
            self._begun = True
        while self._begun and (found := split(self._buffer)) is not None:
            self._take(found)

    def _take(self, found: Frame) -> None:
        if found.kind in (Kind.SETTINGS, Kind.PING) and not found.has(Flag.ACK):
            self.transport.write(settings(ack=True) if found.kind == Kind.SETTINGS else ping(found.payload, ack=True))
        elif found.kind == Kind.DATA and found.payload:
            # What it takes of the connection's window it gives back, or nobody could send it anything after a while.
            self.transport.write(window_update(0, len(found.payload)))
        self._peer.frames.append(found)
        self._peer.changed.fire()


class SilentPeer:
    """
    Listens on a free port of 127.0.0.1.

    @ivar frames: all that came, in order.
    @ivar connections: all that there were.
    """

    def __init__(self) -> None:
        self.port = 0
        self.frames: list[Frame] = []
        self.connections: list[_Connection] = []
        self.changed = Signal()
        self._server: asyncio.Server | None = None

    def start(self) -> SilentPeer:
        """
        Listen.
        """
        run_in_loop(self._start())
        return self

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """
        Listen no more, and end all connections.
        """
        run_in_loop(self._stop())

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self.connections:
            connection.transport.abort()

    def of_kind(self, kind: Kind) -> list[Frame]:
        """
        The frames of a type, so far.
        """
        return [found for found in self.frames if found.kind == kind]

    def wait_for(self, kind: Kind, count: int = 1, seconds: float = 10) -> bool:
        """
        Wait until so many frames of a type have come.

        @return: whether they have.
        """
        return run_in_loop(self.changed.until(lambda: len(self.of_kind(kind)) >= count, seconds))

    def forget(self) -> None:
        """
        Begin as new.
        """
        self.frames.clear()
