"""
A backend that writes down every byte it gets, and answers by script.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

from tests.integration.loop_thread import Signal
from tests.integration.wire import Message, Request, RequestReader

__all__ = ["Behaviour", "Connection", "RecordingBackend", "answer", "echo"]

_KEEP = 4 << 20

Behaviour = Callable[["Connection", Request], Awaitable[None]]
"""
What answers a request; called once its head is there, so it decides itself whether to wait for the body.
"""


class Connection(asyncio.Protocol):
    """
    One connection from the gateway.

    @ivar raw: the first bytes that came, up to a few megabytes; C{total} counts all.
    @ivar closed: the gateway closed it (C{"eof"}), reset it (C{"reset"}), or we closed it (C{"ours"}); C{""} while it
        is open.
    @ivar requests: since the record was last cleared, incomplete ones included.
    """

    transport: asyncio.Transport

    def __init__(self, backend: RecordingBackend) -> None:
        self.backend = backend
        self.raw = bytearray()
        self.total = 0
        self.closed = ""
        self.reader = RequestReader(self._head, self._complete)
        self.served = 0
        self._queue: asyncio.Queue[Request] = asyncio.Queue()
        self._writable = Signal()
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.backend.connections.append(self)
        self.backend.accepted += 1
        self._worker = asyncio.ensure_future(self._serve())
        self.backend.changed.fire()

    def data_received(self, data: bytes) -> None:
        self.total += len(data)
        self.raw += data[: _KEEP - len(self.raw)]
        self.reader.feed(data)
        self.backend.changed.fire()

    def eof_received(self) -> bool:
        self.closed = self.closed or "eof"
        self.backend.changed.fire()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self.closed or ("reset" if exc else "ours")
        self._worker.cancel()
        self._writable.fire()
        self.backend.changed.fire()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._writable.fire()

    @property
    def requests(self) -> list[Request]:
        return [one for one in self.reader.messages if isinstance(one, Request)]

    @property
    def busy(self) -> bool:
        """
        Whether a request is under way on it: incomplete, or not answered yet.
        """
        return not self.closed and (self.reader.pending or self.served < len(self.reader.messages))

    def forget(self) -> None:
        """
        Start a new page; what is under way stays.
        """
        self.raw.clear()
        self.total = 0
        under_way = len(self.reader.messages) - self.served
        self.reader.messages = self.reader.messages[len(self.reader.messages) - under_way :]
        self.served = 0

    def write(self, data: bytes) -> None:
        """
        Send bytes as they are.
        """
        if not self.transport.is_closing():
            self.transport.write(data)

    async def write_slowly(self, data: bytes) -> None:
        """
        Send bytes, and wait while the gateway does not take them.
        """
        self.write(data)
        await self._writable.until(lambda: not self._paused or self.closed, 120)

    async def whole(self, request: Request) -> None:
        """
        Wait for the request's last byte.
        """
        await self.backend.changed.until(lambda: request.complete, 300)

    def close(self) -> None:
        """
        End the connection after what was written.
        """
        self.closed = self.closed or "ours"
        self.transport.close()

    def reset(self) -> None:
        """
        End the connection with a RST.
        """
        self.closed = self.closed or "ours"
        raw_socket = self.transport.get_extra_info("socket")
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.transport.abort()

    def _head(self, message: Message) -> None:
        assert isinstance(message, Request)
        self._queue.put_nowait(message)

    def _complete(self, message: Message) -> None:
        self.backend.changed.fire()

    async def _serve(self) -> None:
        while True:
            request = await self._queue.get()
            await self.backend.behaviour_for(request)(self, request)
            self.served += 1
            self.backend.changed.fire()


class RecordingBackend:
    """
    Listens on loopback; answers with L{echo} unless a script for the target says otherwise.

    @ivar scripts: behaviours by the beginning of the target.
    @ivar accepted: how many connections were ever accepted.
    """

    def __init__(self) -> None:
        self.changed = Signal()
        self.connections: list[Connection] = []
        self.scripts: dict[bytes, Behaviour] = {}
        self.accepted = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> RecordingBackend:
        """
        Listen, on a free port by default.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """
        Stop listening and drop every connection.
        """
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.closed = connection.closed or "ours"
            connection.transport.abort()
        await asyncio.sleep(0)

    def behaviour_for(self, request: Request) -> Behaviour:
        """
        The script for this request: the longest beginning of its target wins.
        """
        found = max((one for one in self.scripts if request.target.startswith(one)), key=len, default=None)
        return echo if found is None else self.scripts[found]

    @property
    def requests(self) -> list[Request]:
        """
        All requests on record, incomplete ones included, connection by connection.
        """
        return [request for connection in self.connections for request in connection.requests]

    def find(self, beginning: bytes) -> list[Request]:
        """
        The requests on record whose target begins so.
        """
        return [request for request in self.requests if request.target.startswith(beginning)]

    @property
    def open_connections(self) -> list[Connection]:
        return [connection for connection in self.connections if not connection.closed]

    @property
    def used_connections(self) -> list[Connection]:
        """
        Those that have requests on record; others may be kept open by the gateway from before.
        """
        return [connection for connection in self.connections if connection.requests]

    async def begin(self, patience: float = 5.0) -> None:
        """
        Take away what the test before has left: scripts, records, and first of all requests that nobody waits for any
        more, as a gateway takes a moment to notice that.

        @param patience: seconds to wait for their end.
        """
        self.scripts = {}
        await self.changed.until(lambda: not any(one.busy for one in self.connections), patience)
        self.forget()

    def forget(self) -> None:
        """
        Start a new page: closed connections go, open ones keep only what is under way.
        """
        self.connections = self.open_connections
        for connection in self.connections:
            connection.forget()

    def drop_idle(self) -> None:
        """
        Close all connections, as a backend's keep-alive timeout would.
        """
        for connection in self.open_connections:
            connection.close()


async def echo(connection: Connection, request: Request) -> None:
    """
    Wait for the whole request, then tell what it was.
    """
    await connection.whole(request)
    seen = {
        "method": request.method.decode("latin-1"),
        "target": request.target.decode("latin-1"),
        "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.fields],
        "length": request.length,
    }
    connection.write(answer(json.dumps(seen).encode(), head=request.method == b"HEAD"))


def answer(body: bytes = b"ok", status: bytes = b"200 OK", lines: bytes = b"", head: bool = False) -> bytes:
    """
    A whole response with a Content-Length; without the body where C{head} says it answers HEAD.
    """
    start = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n" % (status, len(body), lines)
    return start if head else start + body
