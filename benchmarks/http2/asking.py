"""
One request over HTTP/2, the simple way: for checks, which are about answers and not about speed.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import hpack

from benchmarks.http2.encoding import Field, literals
from benchmarks.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Http2Error,
    credit,
    frame,
    head_of,
    settings,
    unpadded,
)

__all__ = ["Answer", "ask"]

_STREAM: Final = 1
_PATIENCE: Final = 20
_WINDOW: Final = 1 << 20


@dataclass
class Answer:
    """
    What came back.

    @ivar sections: the header section and, if there was one, the trailer section.
    """

    sections: list[list[Field]] = field(default_factory=list)
    body: bytes = b""

    @property
    def status(self) -> int:
        """
        The HTTP status.
        """
        return int(self.header(":status") or 0)

    @property
    def grpc_status(self) -> int | None:
        """
        The status of the call, in trailers or in an answer of trailers only.
        """
        said = [value for section in self.sections for name, value in section if name == "grpc-status"]
        return int(said[-1]) if said else None

    def header(self, name: str) -> str:
        """
        A field of the header section, or nothing.
        """
        return next((value for each, value in self.sections[0] if each == name), "")


def ask(port: int, fields: Sequence[Field], body: bytes | None = None, client: str = "127.0.0.1") -> Answer:
    """
    Send one request on a connection of its own and read the answer to its end.

    @param fields: pseudo-header fields first.
    @param client: the address to ask from.
    @raise Http2Error: the stream or the connection was given up.
    """
    flags = END_HEADERS | (END_STREAM if body is None else 0)
    request = frame(HEADERS, flags, _STREAM, literals(fields))
    if body is not None:
        request += frame(DATA, END_STREAM, _STREAM, body)
    with socket.create_connection(("127.0.0.1", port), _PATIENCE, source_address=(client, 0)) as connection:
        connection.sendall(PREFACE + settings({INITIAL_WINDOW_SIZE: _WINDOW}) + credit(0, _WINDOW) + request)
        return _read(connection)


def _read(connection: socket.socket) -> Answer:
    """
    Put the answer together.
    """
    answer, decoder, block = Answer(), hpack.Decoder(), b""
    for kind, flags, stream, payload in _frames(connection):
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        elif kind in (GOAWAY, RST_STREAM):
            raise Http2Error(f"given up with a frame of type {kind}: {payload!r}")
        elif kind == DATA:
            answer.body += unpadded(flags, payload)
        elif kind in (HEADERS, CONTINUATION):
            ends = kind == HEADERS and bool(flags & END_STREAM)
            block += unpadded(flags, payload) if kind == HEADERS else payload
            if flags & END_HEADERS:
                answer.sections.append([(str(name), str(value)) for name, value in decoder.decode(block)])
                block = b""
            if ends:
                return answer
        if kind == DATA and flags & END_STREAM and stream == _STREAM:
            return answer
    raise Http2Error("the connection ended before the answer did")


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """
    Type, flags, stream and payload of each frame that comes.
    """
    data = b""
    while True:
        while len(data) >= 9:
            high, low, kind, flags, stream = head_of(data)
            end = 9 + (high << 16 | low)
            if len(data) < end:
                break
            yield kind, flags, stream, data[9:end]
            data = data[end:]
        more = connection.recv(1 << 16)
        if not more:
            return
        data += more
