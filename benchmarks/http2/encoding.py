"""
Header sections as grpcio writes them, made by hand (HPACK, RFC 7541).

What is the same in all calls of a connection is put into the dynamic table by the first and is one byte afterwards; the
metadata of an application is sent as literals that are not indexed; nothing is Huffman-coded. The octets were compared
with those of grpcio 1.85. The sender's dynamic table never holds more than these few fields, far below 4,096 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame

__all__ = ["Answers", "Field", "Requests", "literal", "literals"]

Field = tuple[str, str]

_POST: Final = b"\x83"
_HTTP: Final = b"\x86"
_OK: Final = b"\x88"
_LATEST: Final = 62

_COMMON: Final[tuple[Field, ...]] = (
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("grpc-accept-encoding", "identity, deflate, gzip"),
    ("user-agent", "grpc-python/1.85.3 grpc-c/58.0.0 (linux; chttp2)"),
)
_ANSWER: Final = (b"content-type", b"application/grpc"), (b"grpc-accept-encoding", b"identity, deflate, gzip")
_MESSAGE: Final = b"\x00\x0cgrpc-message\x00"


def _string(text: bytes) -> bytes:
    """
    A string literal (section 5.2), not Huffman-coded.
    """
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, octets = len(text) - 127, [127]
    while rest >= 128:
        octets.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*octets, rest]) + text


def literal(name: bytes, value: bytes) -> bytes:
    """
    A field that is not put into the table (section 6.2.2).
    """
    return b"\x00" + _string(name) + _string(value)


def literals(fields: Sequence[Field]) -> bytes:
    """
    Some such fields.
    """
    return b"".join(literal(name.encode(), value.encode()) for name, value in fields)


def _inserted(name: bytes, value: bytes) -> bytes:
    """
    A field that is put into the table (section 6.2.1).
    """
    return b"\x40" + _string(name) + _string(value)


def _indexed(*places: int) -> bytes:
    """
    Fields of the dynamic table, 0 being the one that was put there last (section 6.1).
    """
    return bytes(0x80 | _LATEST + place for place in places)


class Requests:
    """
    The calls of one connection, as octets.

    @cvar MARK: in a value of the metadata, stands for sixteen hexadecimal digits that differ in each call.
    """

    MARK: Final = "@" * 16
    _MARK: Final = MARK.encode()

    def __init__(self, path: str, authority: str, metadata: Sequence[Field], message: bytes, start: int) -> None:
        """
        @param start: what the digits begin with, so that those of other connections are others.
        """
        pseudo = _inserted(b":path", path.encode()), _inserted(b":authority", authority.encode())
        common = [_inserted(name.encode(), value.encode()) for name, value in _COMMON]
        own = literals(metadata)
        self._pieces = _pieces(b"".join([*pseudo, _POST, _HTTP, *common, own]), message)
        # The newest entry has the lowest index: the path is the oldest of six.
        self._later = _pieces(_indexed(5, 4) + _POST + _HTTP + _indexed(3, 2, 1, 0) + own, message)
        self._unique = self._MARK in own
        self._count = start

    def call(self, stream: int) -> bytes:
        """
        The frames of the next call.
        """
        octets = stream.to_bytes(4, "big").join(self._pieces)
        self._pieces = self._later
        if self._unique:
            self._count += 1
            return octets.replace(self._MARK, b"%016x" % self._count)
        return octets


def _pieces(block: bytes, message: bytes) -> tuple[bytes, bytes, bytes]:
    """
    HEADERS and DATA of a call, cut where the stream's number is to be.
    """
    headers = frame(HEADERS, END_HEADERS, 0, block)
    data = frame(DATA, END_STREAM, 0, message)
    return headers[:5], block + data[:5], message


class Answers:
    """
    The header and trailer sections of the answers of one connection.

    The table's contents follow from the order of what was sent: the fields of a head come first, whichever stream's,
    and the status of the first call that ends is put behind them.

    @ivar settled: whether all sections will be the same from now on.
    """

    def __init__(self, table: bool = True) -> None:
        """
        @param table: whether the peer keeps a table. nginx keeps none for its gRPC backends; that has to be confirmed
            by a change of its size at the beginning of the first section (section 4.2).
        """
        self._later_head = _OK + (_indexed(1, 0) if table else b"".join(literal(*field) for field in _ANSWER))
        self._head = _OK + b"".join(_inserted(*field) for field in _ANSWER) if table else b"\x20" + self._later_head
        self._trailers = (_inserted if table else literal)(b"grpc-status", b"0") + _MESSAGE
        self._shifts = table
        self.settled = False

    def head(self) -> bytes:
        """
        The header section of an answer.
        """
        block, self._head = self._head, self._later_head
        return block

    def trailers(self) -> bytes:
        """
        The trailer section of an answer with status OK.
        """
        block = self._trailers
        if not self.settled and self._shifts:
            self._trailers = _indexed(0) + _MESSAGE
            self._head = self._later_head = _OK + _indexed(2, 1)
        self.settled = True
        return block
