"""
Frames made and read by hand, apart from Siger's own code and free to break every rule (RFC 9113 sections 4 and 6).
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from siger.http.h2.constants import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from tests.http.hpack.blocks import literal

__all__ = [
    "GET",
    "POST",
    "SETTINGS_ACK",
    "Frame",
    "block",
    "continuation",
    "data",
    "frame",
    "goaway",
    "headers",
    "mutations",
    "ping",
    "priority",
    "push_promise",
    "read_frames",
    "reset",
    "settings",
    "window_update",
]

NAMES = {
    DATA: "DATA",
    HEADERS: "HEADERS",
    PRIORITY: "PRIORITY",
    RST_STREAM: "RST_STREAM",
    SETTINGS: "SETTINGS",
    PUSH_PROMISE: "PUSH_PROMISE",
    PING: "PING",
    GOAWAY: "GOAWAY",
    WINDOW_UPDATE: "WINDOW_UPDATE",
    CONTINUATION: "CONTINUATION",
}


class Frame(NamedTuple):
    """
    One frame.
    """

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def name(self) -> str:
        """
        The frame's type.
        """
        return NAMES[self.kind]

    @property
    def code(self) -> int:
        """
        The error code of RST_STREAM or GOAWAY.
        """
        return int.from_bytes(self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8], "big")

    @property
    def number(self) -> int:
        """
        The increment of WINDOW_UPDATE, or the last stream of GOAWAY.
        """
        return int.from_bytes(self.payload[:4], "big")

    @property
    def ends(self) -> bool:
        """
        Whether it ends its stream.
        """
        return self.kind in (DATA, HEADERS) and self.flags & END_STREAM != 0


def frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    """
    Any frame.

    @param length: what its head says; the payload's own if C{None}.
    """
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(*fields: tuple[bytes, bytes]) -> bytes:
    """
    A header block of literals that go into no table.
    """
    return b"".join(literal(name, value) for name, value in fields)


GET = block((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", b"/"))
POST = block((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", b"/"))


def headers(
    stream: int,
    section: bytes = GET,
    end: bool = True,
    more: bool = False,
    padding: int | None = None,
    depends: int | None = None,
) -> bytes:
    """
    HEADERS.

    @param more: CONTINUATION follows.
    @param padding: so many bytes, told by a flag.
    @param depends: on this stream, told by a flag.
    """
    flags = (END_STREAM if end else 0) | (0 if more else END_HEADERS)
    payload = section
    if depends is not None:
        flags |= PRIORITY_FLAG
        payload = depends.to_bytes(4, "big") + b"\x0f" + payload
    if padding is not None:
        flags |= PADDED
        payload = bytes((padding,)) + payload + b"\0" * padding
    return frame(HEADERS, flags, stream, payload)


def continuation(stream: int, section: bytes, more: bool = False) -> bytes:
    """
    CONTINUATION.
    """
    return frame(CONTINUATION, 0 if more else END_HEADERS, stream, section)


def data(stream: int, payload: bytes, end: bool = False, padding: int | None = None) -> bytes:
    """
    DATA.
    """
    flags = END_STREAM if end else 0
    if padding is not None:
        flags |= PADDED
        payload = bytes((padding,)) + payload + b"\0" * padding
    return frame(DATA, flags, stream, payload)


def settings(*values: tuple[int, int]) -> bytes:
    """
    SETTINGS.
    """
    payload = b"".join(number.to_bytes(2, "big") + value.to_bytes(4, "big") for number, value in values)
    return frame(SETTINGS, 0, 0, payload)


SETTINGS_ACK = frame(SETTINGS, ACK, 0, b"")


def window_update(stream: int, increment: int) -> bytes:
    """
    WINDOW_UPDATE.
    """
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def reset(stream: int, code: int = 8) -> bytes:
    """
    RST_STREAM, with CANCEL unless it says something else.
    """
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def ping(payload: bytes = b"01234567", ack: bool = False) -> bytes:
    """
    PING.
    """
    return frame(PING, ACK if ack else 0, 0, payload)


def priority(stream: int, depends: int = 0) -> bytes:
    """
    PRIORITY.
    """
    return frame(PRIORITY, 0, stream, depends.to_bytes(4, "big") + b"\x0f")


def push_promise(stream: int, promised: int) -> bytes:
    """
    PUSH_PROMISE.
    """
    return frame(PUSH_PROMISE, END_HEADERS, stream, promised.to_bytes(4, "big") + GET)


def goaway(last: int, code: int = 0, detail: bytes = b"") -> bytes:
    """
    GOAWAY.
    """
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + detail)


def read_frames(written: bytes) -> list[Frame]:
    """
    The frames that bytes are, of which none may be cut short.
    """
    found = []
    position = 0
    while position < len(written):
        end = position + FRAME_HEAD + int.from_bytes(written[position : position + 3], "big")
        assert end <= len(written), "a frame was cut short"
        stream = int.from_bytes(written[position + 5 : position + 9], "big")
        found.append(Frame(written[position + 3], written[position + 4], stream, written[position + 9 : end]))
        position = end
    return found


def mutations(size: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """
    Where to spoil so many bytes, and with what.
    """
    return st.lists(st.tuples(st.integers(0, max(0, size - 1)), st.integers(0, 255)), max_size=6)
