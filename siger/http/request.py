"""
The head of a request, parsed strictly (RFC 9112 sections 2-6).
"""

from __future__ import annotations

from siger.http.fields import FieldBlock

__all__ = ["RequestHead"]


class RequestHead:
    """
    A request head in its one normal form: routing, admission, logs and the forwarded request all read this.

    @ivar method: case-sensitive, a token (RFC 9110 section 9.1).
    @ivar path: absolute, dot segments resolved, only unreserved characters decoded, no empty inner segments.
    @ivar query: the query as received, with its question mark, or C{b""}.
    @ivar minor: 1 for HTTP/1.1 (and HTTP/2), 0 for HTTP/1.0.
    @ivar host: the authority of the request: Host, or that of an absolute-form target.
    @ivar fields: everything the header section said.
    """

    __slots__ = ("fields", "host", "method", "minor", "path", "query")

    def __init__(self, method: bytes, path: bytes, query: bytes, minor: int, host: bytes, fields: FieldBlock) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.minor = minor
        self.host = host
        self.fields = fields
