"""
One exchange in either version of HTTP, on either side of the gateway: what is asked, what the backend saw, what it
replied, and what came of it.
"""

from __future__ import annotations

import functools
import socket
import threading

from attrs import Factory, define, evolve, field, frozen

from tests.integration.h2_backend import H2Backend, H2Server
from tests.integration.h2_client import H2Client
from tests.integration.h2_frames import Fields, Key, window_update
from tests.integration.h2_peer import PATIENCE, Incoming, PeerSilent
from tests.integration.loop_thread import run_in_loop
from tests.integration.recording_backend import Connection, RecordingBackend
from tests.integration.wire import Request, ResponseReader

__all__ = ["Ask", "Got", "Reply", "Seen", "Site", "ask", "lasting_site"]

_WIDE = 1 << 30


@frozen
class Ask:
    """
    A request.

    @ivar length: whether its body's length is told beforehand.
    """

    path: bytes
    method: bytes = b"GET"
    fields: Fields = field(factory=list)
    body: bytes = b""
    length: bool = True
    trailers: Fields = field(factory=list)

    @property
    def bodied(self) -> bool:
        return bool(self.body or self.trailers or not self.length)


@frozen
class Reply:
    """
    What a backend is to answer.

    @ivar whole: end it as it should be; else it is broken off.
    """

    status: int = 200
    fields: Fields = field(factory=list)
    body: bytes = b""
    length: bool = True
    trailers: Fields = field(factory=list)
    interims: list[tuple[int, Fields]] = field(factory=list)
    whole: bool = True


@define
class Seen:
    """
    A request as the backend saw it; names in lower case.
    """

    method: bytes
    path: bytes
    host: bytes
    fields: Fields
    body: bytes
    trailers: Fields


@define
class Got:
    """
    A response as the client saw it; names in lower case.

    @ivar whole: it ended as it should.
    """

    status: int
    fields: dict[bytes, bytes]
    body: bytes
    trailers: Fields
    interims: list[tuple[int, dict[bytes, bytes]]]
    whole: bool
    faults: list[str] = Factory(list)


def ask(version: int, port: int, service: bytes, wanted: Ask) -> Got:
    """
    Make a request in a version of HTTP, on a connection of its own.
    """
    wanted = evolve(wanted, path=b"/services/" + service + wanted.path)
    return _ask_1(port, wanted) if version == 1 else _ask_2(port, wanted)


def _lower(fields: Fields) -> Fields:
    return [(name.lower(), value) for name, value in fields]


def _lines(fields: Fields) -> bytes:
    return b"".join(b"%b: %b\r\n" % one for one in fields)


def _content(body: bytes, length: bool, trailers: Fields) -> bytes:
    """
    A body with its framing.
    """
    if length and not trailers:
        return body
    pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n" + _lines(trailers) + b"\r\n"


def _framing(body: bytes, length: bool, trailers: Fields) -> bytes:
    return b"Content-Length: %d\r\n" % len(body) if length and not trailers else b"Transfer-Encoding: chunked\r\n"


def _ask_1(port: int, wanted: Ask) -> Got:
    reader = ResponseReader()
    reader.methods.append(wanted.method)
    framing = _framing(wanted.body, wanted.length, wanted.trailers) if wanted.bodied else b""
    head = b"%b %b HTTP/1.1\r\nHost: gw.test\r\n%b%b\r\n" % (wanted.method, wanted.path, _lines(wanted.fields), framing)
    content = _content(wanted.body, wanted.length, wanted.trailers) if wanted.bodied else b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connected:
        connected.sendall(head + content)
        while not (reader.finals and reader.finals[0].complete) and (piece := connected.recv(1 << 18)):
            reader.feed(piece)
    response = reader.finals[0]
    interims = [(one.status, dict(_lower(one.fields))) for one in reader.interims]
    fields = dict(_lower(response.fields))
    trailers = _lower(response.trailers)
    return Got(response.status, fields, bytes(response.body), trailers, interims, response.complete, response.faults)


def _ask_2(port: int, wanted: Ask) -> Got:
    client = H2Client(port).start((Key.INITIAL_WINDOW_SIZE, _WIDE))
    client.send(window_update(0, _WIDE))
    length = [(b"content-length", b"%d" % len(wanted.body))] if wanted.bodied and wanted.length else []
    pseudo = [(b":method", wanted.method), (b":scheme", b"http"), (b":authority", b"gw.test"), (b":path", wanted.path)]
    stream = client.open([*pseudo, *_lower(wanted.fields), *length], end=not wanted.bodied)
    if wanted.bodied:
        client.send_data(stream, wanted.body, end=not wanted.trailers)
    if wanted.trailers:
        client.send_fields(stream, *_lower(wanted.trailers), end=True)
    found = client.end(stream)
    client.close()
    interims = [(int(dict(one)[b":status"]), _plain(one)) for one in found.interims]
    body, faults = bytes(found.body), client.ledger.faults
    return Got(found.status, _plain(found.head), body, found.trailers, interims, found.ended, faults)


def _plain(fields: Fields) -> dict[bytes, bytes]:
    return {name: value for name, value in fields if name != b":status"}


class Site:
    """
    A backend that answers by script in one version of HTTP.

    @ivar replies: by the beginning of the path.
    """

    def __init__(self, version: int) -> None:
        self.replies: dict[bytes, Reply] = {}
        self.seen: list[Seen] = []
        self.faults: list[str] = []
        self._first = RecordingBackend() if version == 1 else None
        if self._first is not None:
            run_in_loop(self._first.start())
            self._first.scripts[b"/"] = self._behaviour
            self.port = self._first.port
        else:
            self._second = H2Backend()
            self.port = self._second.port
            threading.Thread(target=self._accept, name="h2-site", daemon=True).start()

    def forget(self) -> None:
        """
        Begin a new page.
        """
        self.replies, self.seen, self.faults = {}, [], []

    def _reply(self, path: bytes) -> Reply:
        return next((reply for start, reply in self.replies.items() if path.startswith(start)), Reply())

    # HTTP/1.1

    async def _behaviour(self, connection: Connection, request: Request) -> None:
        await connection.whole(request)
        fields = _lower(request.fields)
        host = dict(fields).get(b"host", b"")
        body, trailers = bytes(request.body), _lower(request.trailers)
        self.seen.append(Seen(request.method, request.target, host, fields, body, trailers))
        self.faults += request.faults
        connection.write(_response(self._reply(request.target), request.method))
        if not self._reply(request.target).whole:
            connection.close()

    # HTTP/2

    def _accept(self) -> None:
        while True:
            try:
                connection = self._second.accept(3600)
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], name="h2-site-connection", daemon=True).start()

    def _serve(self, connection: H2Server) -> None:
        try:
            connection.start((Key.INITIAL_WINDOW_SIZE, _WIDE))
            connection.send(window_update(0, _WIDE))
            while not connection.closed:
                stream = connection.take(3600)
                self._answer(connection, stream, connection.whole(stream))
                self.faults += connection.ledger.faults
                connection.ledger.faults.clear()
        except PeerSilent:
            connection.close()

    def _answer(self, connection: H2Server, stream: int, request: Incoming) -> None:
        if not request.ended:
            return
        values = dict(request.head)
        host, path, method = (values.get(name, b"") for name in (b":authority", b":path", b":method"))
        self.seen.append(Seen(method, path, host, request.head, bytes(request.body), request.trailers))
        reply = self._reply(path)
        for status, fields in reply.interims:
            connection.send_fields(stream, (b":status", b"%d" % status), *_lower(fields))
        length = [(b"content-length", b"%d" % len(reply.body))] if reply.length and reply.status != 204 else []
        head = [(b":status", b"%d" % reply.status), *_lower(reply.fields), *length]
        bodyless = method == b"HEAD" or reply.status in (204, 304)
        empty = bodyless or not (reply.body or reply.trailers)
        connection.send_fields(stream, *head, end=empty and reply.whole)
        if not empty:
            body = reply.body if reply.whole else reply.body[:-10]
            connection.send_data(stream, body, end=reply.whole and not reply.trailers)
            if reply.trailers and reply.whole:
                connection.send_fields(stream, *_lower(reply.trailers), end=True)
        if not reply.whole:
            connection.close()


@functools.cache
def lasting_site(version: int) -> Site:
    """
    The site in this version that all tests share.
    """
    return Site(version)


def _response(reply: Reply, method: bytes) -> bytes:
    interims = b"".join(
        b"HTTP/1.1 %d Interim\r\n%b\r\n" % (status, _lines(fields)) for status, fields in reply.interims
    )
    framing = b"" if reply.status == 204 else _framing(reply.body, reply.length, reply.trailers)
    head = b"HTTP/1.1 %d Reply\r\n%b%b\r\n" % (reply.status, _lines(reply.fields), framing)
    if method == b"HEAD" or reply.status in (204, 304):
        return interims + head
    content = _content(reply.body, reply.length, reply.trailers)
    return interims + head + (content if reply.whole else content[: max(0, len(content) - 10)])
