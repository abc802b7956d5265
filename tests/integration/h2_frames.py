"""
HTTP/2 frames and header blocks as bytes (RFC 9113 section 4, RFC 7541), made and split apart from Siger's code.

What is made here may break every rule: a length or an index that is not given is the right one, and one that is given
is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, IntFlag

from attrs import frozen

__all__ = [
    "MAGIC",
    "MOST",
    "WINDOW",
    "Code",
    "Fields",
    "Flag",
    "Frame",
    "Key",
    "Kind",
    "code_of",
    "continuation",
    "data",
    "frame",
    "goaway",
    "headers",
    "integer",
    "literal",
    "ping",
    "priority",
    "push_promise",
    "reset",
    "section",
    "settings",
    "split",
    "window_update",
]

MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 65535
"""
The window that a stream and a connection begin with.
"""
MOST = 2**31 - 1
"""
The largest window, and the largest stream identifier.
"""

Fields = list[tuple[bytes, bytes]]


class Kind(IntEnum):
    """
    Types of frames.
    """

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntFlag):
    """
    Flags of frames.
    """

    NONE = 0
    END_STREAM = 1
    ACK = 1
    END_HEADERS = 4
    PADDED = 8
    PRIORITY = 32


class Key(IntEnum):
    """
    Parameters of SETTINGS.
    """

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Code(IntEnum):
    """
    Error codes.
    """

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


@frozen
class Frame:
    """
    One frame as it came.
    """

    kind: int
    flags: int
    stream: int
    payload: bytes

    def has(self, flag: int) -> bool:
        """
        Whether a flag is set.
        """
        return bool(self.flags & flag)

    def word(self, start: int = 0) -> int:
        """
        Four bytes of the payload as a number.
        """
        return int.from_bytes(self.payload[start : start + 4], "big")

    @property
    def content(self) -> bytes:
        """
        The payload of DATA or HEADERS without padding and priority.
        """
        start, end = 0, len(self.payload)
        if self.has(Flag.PADDED) and self.kind != Kind.CONTINUATION:
            start, end = 1, end - self.payload[0]
        if self.kind == Kind.HEADERS and self.has(Flag.PRIORITY):
            start += 5
        return self.payload[start:end]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """
        The parameters of SETTINGS.
        """
        starts = range(0, len(self.payload) - 5, 6)
        return [(int.from_bytes(self.payload[at : at + 2], "big"), self.word(at + 2)) for at in starts]

    def __repr__(self) -> str:
        name = Kind(self.kind).name if self.kind in set(Kind) else f"type {self.kind}"
        end = "..." if len(self.payload) > 24 else ""
        return f"<{name} {self.flags:#04x} on {self.stream}: {len(self.payload)} {self.payload[:24]!r}{end}>"


def code_of(number: int) -> Code | int:
    """
    An error code by name, where it has one.
    """
    return Code(number) if number in set(Code) else number


def split(buffer: bytearray) -> Frame | None:
    """
    Take the first frame off C{buffer}, if it is complete.
    """
    end = 9 + int.from_bytes(buffer[:3], "big")
    if len(buffer) < max(9, end):
        return None
    stream = int.from_bytes(buffer[5:9], "big") & MOST
    found = Frame(buffer[3], buffer[4], stream, bytes(buffer[9:end]))
    del buffer[:end]
    return found


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """
    Any frame; the reserved bit is the highest one of C{stream}.
    """
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def data(stream: int, content: bytes = b"", end: bool = False, padding: int | None = None) -> bytes:
    """
    DATA; with C{padding} bytes of it after a length that says so.
    """
    return frame(Kind.DATA, _padded(padding) | end, stream, _pad(content, padding))


def headers(
    stream: int, block: bytes, end: bool = True, whole: bool = True, padding: int | None = None, more: bytes = b""
) -> bytes:
    """
    HEADERS.

    @param end: END_STREAM.
    @param whole: END_HEADERS.
    @param more: the five bytes of a priority, if there is one.
    """
    flags = _padded(padding) | end | Flag.END_HEADERS * whole | Flag.PRIORITY * bool(more)
    return frame(Kind.HEADERS, flags, stream, _pad(more + block, padding))


def continuation(stream: int, block: bytes = b"", whole: bool = True) -> bytes:
    """
    CONTINUATION.
    """
    return frame(Kind.CONTINUATION, Flag.END_HEADERS * whole, stream, block)


def priority(stream: int, depends: int = 0, weight: int = 15) -> bytes:
    """
    PRIORITY.
    """
    return frame(Kind.PRIORITY, 0, stream, depends.to_bytes(4, "big") + bytes((weight,)))


def reset(stream: int, code: int = Code.CANCEL) -> bytes:
    """
    RST_STREAM.
    """
    return frame(Kind.RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def settings(*pairs: tuple[int, int], ack: bool = False) -> bytes:
    """
    SETTINGS.
    """
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
    return frame(Kind.SETTINGS, ack, 0, payload)


def push_promise(stream: int, promised: int, block: bytes) -> bytes:
    """
    PUSH_PROMISE.
    """
    return frame(Kind.PUSH_PROMISE, Flag.END_HEADERS, stream, promised.to_bytes(4, "big") + block)


def ping(content: bytes = b"\1\2\3\4\5\6\7\b", ack: bool = False) -> bytes:
    """
    PING.
    """
    return frame(Kind.PING, ack, 0, content)


def goaway(last: int, code: int = Code.NO_ERROR, why: bytes = b"") -> bytes:
    """
    GOAWAY.
    """
    return frame(Kind.GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + why)


def window_update(stream: int, increment: int) -> bytes:
    """
    WINDOW_UPDATE; the reserved bit is the highest one of C{increment}.
    """
    return frame(Kind.WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def literal(fields: Iterable[tuple[bytes, bytes]], kind: int = 0x00) -> bytes:
    """
    A header block of plain literals, which needs no state and may hold any bytes.

    @param kind: C{0x00} for literals that are not indexed, C{0x10} never indexed, C{0x40} indexed.
    """
    return b"".join(bytes((kind,)) + _string(name) + _string(value) for name, value in fields)


def integer(value: int, first: int, prefix: int) -> bytes:
    """
    A number of HPACK (RFC 7541 section 5.1).

    @param first: the bits before it in its first byte.
    @param prefix: how many bits of that byte are its own.
    """
    largest = (1 << prefix) - 1
    if value < largest:
        return bytes((first | value,))
    coded = bytearray((first | largest,))
    value -= largest
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    coded.append(value)
    return bytes(coded)


def section(stream: int, block: bytes, end: bool = True) -> bytes:
    """
    HEADERS, and as many CONTINUATION as a block of this size needs.
    """
    pieces = [block[start : start + 16384] for start in range(0, len(block), 16384)] or [b""]
    last = len(pieces) - 1
    frames = [headers(stream, pieces[0], end, whole=not last)]
    frames += [continuation(stream, piece, whole=number == last) for number, piece in enumerate(pieces) if number]
    return b"".join(frames)


def _string(content: bytes) -> bytes:
    return integer(len(content), 0, 7) + content


def _padded(padding: int | None) -> int:
    return 0 if padding is None else Flag.PADDED


def _pad(content: bytes, padding: int | None) -> bytes:
    return content if padding is None else bytes((padding,)) + content + bytes(padding)
