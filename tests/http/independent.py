"""
Requests and responses as h11 and llhttp (by httptools) read them, up to the first thing that they refuse.

Neither is as strict as Siger: what they take here is no verdict. What Siger takes, they must take too, and alike.
"""

from __future__ import annotations

import contextlib
import re

import h11
import httptools
from attrs import Factory, define, frozen

__all__ = ["Seen", "normal_form", "requests_by_h11", "requests_by_httptools", "responses_by_h11"]


@frozen
class Seen:
    """
    One complete message.

    @ivar target: as received; empty for a response.
    @ivar fields: lower-case names with values.
    @ivar trailers: lower-case names; only h11 tells trailers from fields.
    @ivar opaque: the body could not be told, since the parser stopped reading HTTP at an upgrade.
    """

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    status: int = 0
    opaque: bool = False
    trailers: tuple[bytes, ...] = ()


def requests_by_h11(data: bytes) -> list[Seen]:
    """
    Each request by a parser of its own, since h11 takes no empty lines before a request, which RFC 9112 section 2.2
    asks a server to.
    """
    found: list[Seen] = []
    while data:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        while data.startswith(b"\r\n"):
            data = data[2:]
        connection.receive_data(data)
        try:
            seen = _next_request(connection)
        except h11.RemoteProtocolError:
            break
        if seen is None:
            break
        found.append(seen)
        if connection.their_state is h11.MUST_CLOSE:
            break
        data = connection.trailing_data[0]
    return found


def _next_request(connection: h11.Connection) -> Seen | None:
    event = connection.next_event()
    if not isinstance(event, h11.Request):
        return None
    body = b""
    while not isinstance(part := connection.next_event(), h11.EndOfMessage):
        if not isinstance(part, h11.Data):
            return None
        body += bytes(part.data)
    fields = [(bytes(name), bytes(value)) for name, value in event.headers]
    trailers = tuple(bytes(name) for name, _ in part.headers)
    return Seen(bytes(event.method), bytes(event.target), fields, body, trailers=trailers)


@define
class _Callbacks:
    """
    Collects what httptools calls back with. Targets and values come in pieces; trailers come as headers do.
    """

    found: list[Seen]
    parser: httptools.HttpRequestParser | None = None
    target: bytes = b""
    body: bytes = b""
    in_body: bool = False
    fields: list[tuple[bytes, bytes]] = Factory(list)

    def on_message_begin(self) -> None:
        self.target, self.body, self.fields, self.in_body = b"", b"", [], False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_body:
            self.fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.in_body = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert self.parser is not None
        upgrade = self.parser.should_upgrade()
        self.found.append(Seen(self.parser.get_method(), self.target, self.fields, self.body, opaque=upgrade))


def requests_by_httptools(data: bytes) -> list[Seen]:
    """
    Requests by llhttp.
    """
    callbacks = _Callbacks([])
    callbacks.parser = httptools.HttpRequestParser(callbacks)
    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        callbacks.parser.feed_data(data)
    return callbacks.found


def responses_by_h11(data: bytes, method: bytes, ended: bool) -> list[Seen]:
    """
    The final response to one request, if it is complete.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    if ended:
        connection.receive_data(b"")
    head, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                return []
    except h11.RemoteProtocolError:
        return []
    assert head is not None
    fields = [(bytes(name), bytes(value)) for name, value in head.headers]
    return [Seen(method, b"", fields, body, head.status_code)]


_UNRESERVED = re.compile(rb"[A-Za-z0-9\-._~]")


def normal_form(target: bytes) -> tuple[bytes, bytes, bytes]:
    """
    A target's authority, path and query by the book (RFC 3986 section 6.2.2), written without a look at Siger's.

    Empty segments are merged, which no RFC asks for and Siger promises.
    """
    if target == b"*":
        return b"", b"*", b""
    authority = b""
    if scheme := re.match(rb"(?i)https?://([^/?#]*)", target):
        authority, target = scheme[1], target[scheme.end() :]
    path, mark, query = target.partition(b"?")
    decoded = b""
    while path:
        if path.startswith(b"%"):
            byte = bytes.fromhex(path[1:3].decode("ascii"))
            decoded += byte if _UNRESERVED.fullmatch(byte) else path[:3].upper()
            path = path[3:]
        else:
            decoded, path = decoded + path[:1], path[1:]
    kept: list[bytes] = []
    *inner, last = decoded.split(b"/") if decoded else [b""]
    for segment in [*inner, last]:
        if segment == b"..":
            kept = kept[:-1]
        elif segment not in (b"", b"."):
            kept.append(segment)
    slash = b"/" if kept and last in (b"", b".", b"..") else b""
    return authority.removesuffix(b":"), b"/" + b"/".join(kept) + slash, mark + query
