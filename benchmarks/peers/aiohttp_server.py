"""
A streaming proxy of aiohttp's low-level server and its client, on uvloop: what one would write with that library.

C{python -m benchmarks.peers.aiohttp_server PORT BACKEND_PORT LIMIT [ACCESS_LOG]}; without a log it is a bare relay.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from benchmarks.backend import PREFIX
from benchmarks.peers.chain import AccessLog, RateLimit, new_request_id

__all__ = ["Proxy", "serve"]

HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""
Fields of one connection only (RFC 9110 section 7.6.1), and those that aiohttp sets by itself.
"""


class Proxy:
    """
    Relays requests to one backend, bodies streamed both ways.
    """

    def __init__(self, session: aiohttp.ClientSession, backend: str, limit: int, log: AccessLog | None) -> None:
        self._session = session
        self._backend = backend
        self._limit = RateLimit(limit)
        self._log = log

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer one request, with or without the chain.
        """
        if self._log is None:
            return await self._relay(request, request.raw_path, _end_to_end(request.headers), None)
        return await self._chained(request, self._log)

    async def _chained(self, request: web.BaseRequest, log: AccessLog) -> web.StreamResponse:
        started = time.perf_counter()
        client = request.remote or ""
        request_id = new_request_id()
        if self._limit.admits(client):
            headers = _end_to_end(request.headers)
            headers["X-Request-ID"] = request_id
            headers["X-Forwarded-For"] = client
            headers["X-Forwarded-Proto"] = request.scheme
            headers["X-Forwarded-Host"] = request.host
            response = await self._relay(request, request.raw_path.removeprefix(PREFIX), headers, request_id)
        else:
            response = web.Response(status=429, headers={"X-Request-ID": request_id})
        log.add(
            time=time.time(),
            request_id=request_id,
            client=client,
            method=request.method,
            path=request.raw_path,
            status=response.status,
            bytes_out=response.headers.get("Content-Length"),
            duration=time.perf_counter() - started,
            service="bench",
            instance=self._backend,
        )
        return response

    async def _relay(
        self, request: web.BaseRequest, target: str, headers: CIMultiDict[str], request_id: str | None
    ) -> web.StreamResponse:
        url = URL(self._backend + target, encoded=True)
        body = request.content if request.can_read_body else None
        if body is not None and request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            back = _end_to_end(answer.headers)
            if request_id is not None:
                back["X-Request-ID"] = request_id
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=back)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """
    The fields that go on to the other side.
    """
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


async def _flush(log: AccessLog) -> None:
    """
    Write the log out ten times a second.
    """
    while True:
        await asyncio.sleep(0.1)
        log.flush()


async def serve(port: int, backend_port: int, limit: int, log: AccessLog | None) -> None:
    """
    Listen until SIGTERM.
    """
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        proxy = Proxy(session, f"http://127.0.0.1:{backend_port}", limit, log)
        runner = web.ServerRunner(web.Server(proxy.handle, access_log=None, keepalive_timeout=600))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096, shutdown_timeout=1).start()
        flusher = None if log is None else asyncio.create_task(_flush(log))
        await stopped.wait()
        if flusher is not None:
            flusher.cancel()
        await runner.cleanup()


def main() -> None:
    """
    Read the arguments and serve.
    """
    port, backend_port, limit = map(int, sys.argv[1:4])
    log = AccessLog(Path(sys.argv[4])) if len(sys.argv) > 4 else None
    uvloop.run(serve(port, backend_port, limit, log))


if __name__ == "__main__":
    main()
