"""
A relay to NATS that stops everything at one exact message: what was to be the next moment never comes, and whoever sent
it can be killed in the one before.

    wire = await Tripwire(server.port).open()
    wire.arm(b"jobs.submit.", passes=False)     # in what the client sends
    ...
    await wire.tripped()                        # nothing passes any more
"""

from __future__ import annotations

import asyncio
import contextlib
import re

__all__ = ["Tripwire"]

_CHUNK = 65536
_MESSAGE = re.compile(rb"\r\nH?PUB |\AH?PUB ")


class Tripwire:
    """
    The relay, for use in the tests' loop.

    @ivar port: where it listens.
    """

    def __init__(self, target: int) -> None:
        """
        @param target: the port on loopback to relay to.
        """
        self.port = 0
        self._target = target
        self._pattern = b""
        self._passes = True
        self._trip = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> Tripwire:
        """
        Listen.
        """
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def arm(self, pattern: bytes, passes: bool) -> None:
        """
        Stop at the first message to the server with these bytes in it.

        @param passes: whether the server still gets that message; nobody gets an answer in any case.
        """
        self._pattern, self._passes = pattern, passes

    def mend(self) -> None:
        """
        Let everything pass again, on new connections.
        """
        self._pattern = b""
        self._trip.clear()

    async def tripped(self, timeout: float = 15) -> None:
        """
        Wait until it has stopped.
        """
        async with asyncio.timeout(timeout):
            await self._trip.wait()

    async def close(self) -> None:
        """
        End all connections, and listen no more.
        """
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio would complain of one that is cancelled.
        task = asyncio.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._target)
            with contextlib.closing(writer), contextlib.closing(onward[1]):
                outward = asyncio.create_task(self._outward(reader, onward[1]))
                inward = asyncio.create_task(self._inward(onward[0], writer))
                try:
                    await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    outward.cancel()
                    inward.cancel()
        except OSError:
            writer.close()

    async def _outward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._trip.is_set():
                    continue
                at = data.find(self._pattern) if self._pattern else -1
                if at >= 0:
                    # Before the server can answer.
                    self._trip.set()
                    data = data if self._passes else data[: _begin(data, at)]
                writer.write(data)
                await writer.drain()

    async def _inward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if not self._trip.is_set():
                    writer.write(data)
                    await writer.drain()


def _begin(data: bytes, at: int) -> int:
    """
    Where the message begins that has the byte at C{at}.
    """
    begins = [
        found.start() + (2 if found[0].startswith(b"\r\n") else 0) for found in _MESSAGE.finditer(data, 0, at + 5)
    ]
    return max((begin for begin in begins if begin <= at), default=0)
