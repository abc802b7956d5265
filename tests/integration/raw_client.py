"""
A client that sends exactly the bytes it is told to, in the pieces it is told to.
"""

from __future__ import annotations

import asyncio
import re
import socket

from tests.integration.loop_thread import Signal
from tests.integration.wire import ResponseReader

__all__ = ["WRITE_MODES", "RawClient", "segments"]

WRITE_MODES = {
    "whole": "in one write",
    "bytes": "byte by byte",
    "lines": "split after each CR and LF",
    "gaps": "in pieces 1 ms apart",
}

_LONG = 20_000
_LONG_PIECE = 997
_GAPS = 40


def segments(mode: str, data: bytes) -> list[bytes]:
    """
    Cut C{data} into what one write each shall send.

    Byte-wise means pieces of 997 bytes above 20 kB, which still splits every line somewhere; there are at most some
    forty gaps, which for an ordinary head means pieces of a few bytes.
    """
    if mode == "whole":
        return [data]
    if mode == "lines":
        return re.findall(rb"[^\r\n]*[\r\n]|[^\r\n]+", data)
    size = 1 if mode == "bytes" else max(3, -(-len(data) // _GAPS))
    if mode == "bytes" and len(data) > _LONG:
        size = _LONG_PIECE
    return [data[start : start + size] for start in range(0, len(data), size)]


class RawClient:
    """
    One connection to the gateway. It reads all the time, as a client must that wants to hear an early answer.

    @ivar closed: C{"eof"} or C{"reset"} once the gateway ended the connection.
    @ivar write_error: why the last write failed, if it did.
    """

    def __init__(self, connected: socket.socket, reading: bool = True) -> None:
        self.socket = connected
        self.reader = ResponseReader()
        self.raw = bytearray()
        self.received = 0
        self.closed = ""
        self.write_error: OSError | None = None
        self.changed = Signal()
        self._reading: asyncio.Task[None] | None = None
        if reading:
            self.start_reading()

    @classmethod
    async def connect(
        cls, port: int, host: str = "127.0.0.1", reading: bool = True, window: int = 0, source: str = ""
    ) -> RawClient:
        """
        Connect.

        @param window: a receive buffer of this size, for clients that shall be slow.
        @param source: an address to connect from; all of C{127.0.0.0/8} is this machine.
        """
        raw_socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        raw_socket.setblocking(False)
        raw_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if window:
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        if source:
            raw_socket.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(raw_socket, (host, port))
        return cls(raw_socket, reading)

    def start_reading(self) -> None:
        """
        Read from now on.
        """
        self._reading = asyncio.ensure_future(self._read())

    async def read_some(self, most: int) -> int:
        """
        Read once by hand, for a client that does not read all the time.
        """
        data = await asyncio.get_running_loop().sock_recv(self.socket, most)
        self._received(data)
        return len(data)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.closed:
            try:
                self._received(await loop.sock_recv(self.socket, 1 << 18))
            except OSError:
                self.closed = "reset"
                self.changed.fire()

    def _received(self, data: bytes) -> None:
        self.received += len(data)
        self.raw += data[: (1 << 20) - len(self.raw)]
        if data:
            self.reader.feed(data)
        else:
            self.closed = "eof"
            self.reader.end()
        self.changed.fire()

    async def send(self, data: bytes, mode: str = "whole") -> None:
        """
        Send C{data} in pieces. A gateway that stopped listening is no error here: its answer tells.
        """
        loop = asyncio.get_running_loop()
        try:
            for piece in segments(mode, data):
                await loop.sock_sendall(self.socket, piece)
                await asyncio.sleep(0.001 if mode == "gaps" else 0)
        except OSError as error:
            self.write_error = error

    def half_close(self) -> None:
        """
        Say that nothing more will be sent.
        """
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.write_error = error

    async def finals(self, count: int, timeout: float) -> bool:
        """
        Wait for C{count} complete final responses, or for the end of the connection.

        @return: whether they came.
        """
        await self.changed.until(lambda: self._complete() >= count or self.closed, timeout)
        return self._complete() >= count

    async def until_closed(self, timeout: float) -> bool:
        """
        Wait until the gateway ends the connection.
        """
        return await self.changed.until(lambda: self.closed, timeout)

    def _complete(self) -> int:
        return sum(one.complete or one.status == 101 for one in self.reader.finals)

    async def close(self) -> None:
        """
        Leave.
        """
        await self._stop_reading()
        self.socket.close()

    async def reset(self) -> None:
        """
        Leave with a RST.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await self.close()

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
