"""
C{twisted.web.proxy.ReverseProxyResource} as Twisted ships it; the chain is a subclass of it with a JSON log formatter.

C{python -m benchmarks.peers.twisted_server PORT BACKEND_PORT LIMIT [ACCESS_LOG]}; without a log it is a bare relay.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.web.proxy import ProxyClientFactory, ReverseProxyResource
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from benchmarks.backend import PREFIX
from benchmarks.peers.chain import RateLimit, new_request_id

__all__ = ["ChainedResource", "as_json", "site"]


class ChainedResource(ReverseProxyResource):
    """
    The reverse proxy with rate limit, request id and forwarding headers.
    """

    def __init__(self, limit: RateLimit, host: str, port: int, path: bytes, reactor: Any) -> None:
        super().__init__(host, port, path, reactor)
        self._limit = limit

    def getChild(self, path: bytes, request: Request) -> Resource:
        child = super().getChild(path, request)
        return ChainedResource(self._limit, self.host, self.port, child.path, self.reactor)

    def render(self, request: Request) -> Any:
        client = request.getClientAddress().host
        request_id = new_request_id().encode()
        request.setHeader(b"x-request-id", request_id)
        request.requestHeaders.setRawHeaders(b"x-request-id", [request_id])
        if not self._limit.admits(client):
            request.setResponseCode(429)
            return b""
        set_header = request.requestHeaders.setRawHeaders
        set_header(b"x-forwarded-for", [client.encode()])
        set_header(b"x-forwarded-proto", [b"http"])
        set_header(b"x-forwarded-host", [request.getHeader(b"host") or b""])
        return super().render(request)


def as_json(timestamp: str, request: Request) -> str:
    """
    One access-log line (an L{IAccessLogFormatter}).
    """
    return json.dumps(
        {
            "time": timestamp,
            "request_id": request.requestHeaders.getRawHeaders("x-request-id", [""])[0],
            "client": request.getClientAddress().host,
            "method": request.method.decode("latin-1"),
            "path": request.uri.decode("latin-1"),
            "status": request.code,
            "bytes_out": request.sentLength,
            "service": "bench",
        }
    )


def site(reactor: Any, backend_port: int, limit: int, log: str | None) -> Site:
    """
    The site, with the chain when there is a log file.
    """
    if log is None:
        return Site(ReverseProxyResource("127.0.0.1", backend_port, b"", reactor))
    root = Resource()
    parent = root
    *segments, last = PREFIX.strip("/").encode().split(b"/")
    for segment in segments:
        child = Resource()
        parent.putChild(segment, child)
        parent = child
    parent.putChild(last, ChainedResource(RateLimit(limit), "127.0.0.1", backend_port, b"", reactor))
    return Site(root, logPath=log, logFormatter=as_json)


def main() -> None:
    """
    Read the arguments and serve until SIGTERM.
    """
    from twisted.internet import reactor

    port, backend_port, limit = map(int, sys.argv[1:4])
    ProxyClientFactory.noisy = False
    log = sys.argv[4] if len(sys.argv) > 4 else None
    reactor.listenTCP(port, site(reactor, backend_port, limit, log), 4096, "127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
