"""
Connections that are played: what http.client reads and writes goes through it as always, but there are no sockets.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any

from siger.jobs.client.address import Address
from siger.jobs.client.credentials import GivenToken
from siger.jobs.client.gateway import Gateway, Tokens

__all__ = ["FakeClock", "Play", "answer", "event", "gateway_of", "problem", "stream"]

Piece = bytes | BaseException


class FakeClock:
    """
    Time that passes only while somebody waits.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """
        Now.
        """
        return self.now

    def sleep(self, seconds: float, /) -> None:
        """
        Let time pass.
        """
        self.slept.append(seconds)
        self.now += seconds


class _Pieces(io.RawIOBase):
    """
    What comes, piece by piece; an exception is raised when its turn comes.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._pieces:
            return 0
        piece = self._pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        taken = piece[: len(buffer)]
        if len(piece) > len(taken):
            self._pieces.insert(0, piece[len(taken) :])
        buffer[: len(taken)] = taken
        return len(taken)


class _Socket:
    def __init__(self, pieces: Sequence[Piece], sent: bytearray) -> None:
        self._pieces = pieces
        self._sent = sent

    def sendall(self, content: bytes) -> None:
        self._sent += content

    def makefile(self, mode: str, *args: Any) -> io.BufferedReader:
        return io.BufferedReader(_Pieces(self._pieces))

    def close(self) -> None:
        pass


class _Connection(HTTPConnection):
    def __init__(self, pieces: Sequence[Piece], sent: bytearray) -> None:
        super().__init__("gateway.test")
        self._pieces = pieces
        self._sent = sent

    def connect(self) -> None:
        if self._pieces and isinstance(self._pieces[0], OSError):
            raise self._pieces[0]
        self.sock: Any = _Socket(self._pieces, self._sent)


class Play:
    """
    One connection after the other. A connection is pieces of bytes, or exceptions; one that begins with an C{OSError}
    cannot be made.

    @ivar requests: what was sent over each.
    """

    def __init__(self, *connections: Sequence[Piece]) -> None:
        self._connections = list(connections)
        self.requests: list[bytearray] = []

    def __call__(self, timeout: float) -> HTTPConnection:
        """
        Make the next.
        """
        self.requests.append(bytearray())
        return _Connection(self._connections.pop(0), self.requests[-1])

    @property
    def finished(self) -> bool:
        """
        Whether all were needed.
        """
        return not self._connections

    def lines(self, number: int) -> list[str]:
        """
        The head of a request.
        """
        return bytes(self.requests[number]).partition(b"\r\n\r\n")[0].decode().split("\r\n")

    def body(self, number: int) -> Any:
        """
        The document of a request.
        """
        return json.loads(bytes(self.requests[number]).partition(b"\r\n\r\n")[2])

    def first_lines(self) -> list[str]:
        """
        What was asked for, in order.
        """
        return [self.lines(number)[0].removesuffix(" HTTP/1.1") for number in range(len(self.requests))]


def gateway_of(play: Play, tokens: Tokens | None = None, notices: list[str] | None = None) -> Gateway:
    """
    A gateway that is played, with time that is.
    """
    notice = [] if notices is None else notices
    address = Address.parse("http://gateway.test")
    return Gateway(address, tokens or GivenToken("abc"), notice.append, play, FakeClock())


def answer(document: object, status: int = 200, fields: Mapping[str, str] | None = None) -> list[Piece]:
    """
    A connection with one answer.
    """
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    head = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(fields or {})}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return ["\r\n".join(lines).encode() + content]


def problem(status: int, reason: str, fields: Mapping[str, str] | None = None, **members: Any) -> list[Piece]:
    """
    A connection with a problem document.
    """
    document = {"title": reason.capitalize().replace("_", " "), "status": status, "reason": reason, **members}
    return answer(document, status, {"Content-Type": "application/problem+json", **(fields or {})})


def event(number: int, kind: str = "log", **members: Any) -> bytes:
    """
    An event as it is sent, with its number; without one if that is 0.
    """
    name = f"id: {number}\n" if number else ""
    return f"{name}event: {kind}\ndata: {json.dumps({'event': kind, 'attempt': 1, **members})}\n\n".encode()


def stream(*pieces: Piece, whole: bool = True) -> list[Piece]:
    """
    A connection with a stream of events in chunks.

    @param whole: whether it ends as it should.
    """
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [piece if isinstance(piece, BaseException) else b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return [head, *chunks, *([b"0\r\n\r\n"] if whole else [])]
