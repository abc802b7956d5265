"""
A proxy as one writes it in an afternoon, to show that the case runner finds out.

It frames requests by C{Content-Length} alone, relays heads as they came, keeps one connection to the backend for
everyone, and takes the first response it reads there for the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re

__all__ = ["NaiveProxy"]


class NaiveProxy:
    """
    Serves C{/services/echo/} from one backend.
    """

    def __init__(self, backend_port: int) -> None:
        self._backend_port = backend_port
        self._upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> int:
        """
        Listen.

        @return: the port.
        """
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """
        Stop listening and leave the backend.
        """
        self._server.close()
        if self._upstream is not None:
            self._upstream[1].close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                request = (await _message(reader)).replace(b"/services/echo", b"", 1)
                async with self._lock:
                    writer.write(await self._exchange(request))
        writer.close()

    async def _exchange(self, request: bytes) -> bytes:
        if self._upstream is None:
            self._upstream = await asyncio.open_connection("127.0.0.1", self._backend_port, limit=1 << 22)
        reader, writer = self._upstream
        writer.write(request)
        try:
            return await asyncio.wait_for(_message(reader), 0.3)
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            self._upstream = None
            writer.close()
            return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length:\s*(\d{1,6})", head)
    return head + (await reader.readexactly(int(length.group(1))) if length else b"")
