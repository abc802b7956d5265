"""
The frames of HTTP/2 (RFC 9113), as far as a benchmark needs them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "ENABLE_PUSH",
    "END_HEADERS",
    "END_STREAM",
    "GOAWAY",
    "HEADERS",
    "HEADER_TABLE_SIZE",
    "INITIAL_WINDOW_SIZE",
    "MAX_FRAME_SIZE",
    "MAX_HEADER_LIST_SIZE",
    "PADDED",
    "PING",
    "PREFACE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "Http2Error",
    "credit",
    "frame",
    "head_of",
    "read_settings",
    "settings",
    "unpadded",
]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

_HEAD: Final = struct.Struct(">BHBBI")
_SETTING: Final = struct.Struct(">HI")

head_of: Final = _HEAD.unpack_from
"""
The high byte of the length, its low two bytes, type, flags and stream of the frame that begins at an offset.
"""


class Http2Error(Exception):
    """
    The other side did what it may not, or what a benchmark does not expect.
    """


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """
    One frame.
    """
    return _HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def settings(values: Mapping[int, int]) -> bytes:
    """
    A SETTINGS frame.
    """
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*each) for each in values.items()))


def read_settings(payload: bytes) -> dict[int, int]:
    """
    What a SETTINGS frame says.
    """
    return dict(_SETTING.iter_unpack(payload))


def credit(stream: int, size: int) -> bytes:
    """
    A WINDOW_UPDATE frame.
    """
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def unpadded(flags: int, payload: bytes) -> bytes:
    """
    The payload of a DATA or HEADERS frame without padding and without a priority, which only HEADERS can have.
    """
    if flags & PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if flags & _PRIORITY else payload
