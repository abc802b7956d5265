"""
A small web server in threads of its own: where pages come from that browsers open, and what stands behind the gateway.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from attrs import frozen

__all__ = ["Hit", "WebSite"]


@frozen
class Hit:
    """
    A request that arrived.

    @ivar fields: by their names in lower case.
    """

    method: str
    path: str
    fields: dict[str, str]
    body: str


class _Handler(BaseHTTPRequestHandler):
    """
    Says in JSON what was asked. Paths below C{/page} are empty pages instead.
    """

    protocol_version = "HTTP/1.1"
    server: WebSite

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        fields = {name.lower(): value for name, value in self.headers.items()}
        hit = Hit(self.command, self.path, fields, self.rfile.read(length).decode("utf-8", "replace"))
        page = self.path.startswith("/page")
        if not page:
            self.server.hits.append(hit)
        content = b"<!doctype html><title>page</title>" if page else self._document(hit)
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if page else "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in [] if page else self.server.fields:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _document(self, hit: Hit) -> bytes:
        document = {"method": hit.method, "path": hit.path, "body": hit.body, "cookie": hit.fields.get("cookie", "")}
        return json.dumps(document).encode()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _answer

    def log_message(self, *_: Any) -> None:
        """
        Nobody reads along.
        """


class WebSite(ThreadingHTTPServer):
    """
    The server, on a free port of 127.0.0.1.

    @ivar hits: what was asked besides pages, in order.
    @ivar fields: what answers have besides the usual.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hits: list[Hit] = []
        self.fields: list[tuple[str, str]] = []

    @property
    def port(self) -> int:
        """
        Where it listens.
        """
        return int(self.server_address[1])

    def start(self) -> WebSite:
        """
        Serve.
        """
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """
        Serve no more.
        """
        self.shutdown()
        self.server_close()

    def forget(self) -> None:
        """
        Begin as new.
        """
        self.hits.clear()
        self.fields.clear()
