"""
Protocol Buffers, as far as the gateway itself speaks gRPC ("Encoding" in their documentation).

A message is a list of fields: each is its number and kind, then a number, or a length and so many bytes. What a number
or bytes stand for, only who knows the message can tell.
"""

from __future__ import annotations

from typing import Final

__all__ = ["fields", "number", "piece"]

_VARINT: Final = 0
_FIXED_64: Final = 1
_BYTES: Final = 2
_FIXED_32: Final = 5

_FIXED_SIZES: Final = {_FIXED_64: 8, _FIXED_32: 4}
_LONGEST_VARINT: Final = 10
_LARGEST_NUMBER: Final = (1 << 64) - 1
_LARGEST_FIELD: Final = (1 << 29) - 1


def number(field: int, value: int) -> bytes:
    """
    A field that holds a number, which is not negative.
    """
    return b"%b%b" % (_varint(field << 3), _varint(value))


def piece(field: int, value: bytes) -> bytes:
    """
    A field that holds bytes, a text or a message.
    """
    return b"%b%b%b" % (_varint(field << 3 | _BYTES), _varint(len(value)), value)


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """
    Take a message apart.

    @return: number and value of each field, in order; the same number may occur more than once. What has a fixed size
        is given as its bytes.
    @raise ValueError: it is not a message, or has groups, which were given up long ago.
    """
    found: list[tuple[int, int | bytes]] = []
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        field, kind = key >> 3, key & 7
        if not 0 < field <= _LARGEST_FIELD:
            raise ValueError("a field has a number that no field can have")
        if kind == _VARINT:
            value, position = _read_varint(message, position)
            found.append((field, value))
        else:
            size, position = _read_size(message, position, kind)
            found.append((field, message[position : position + size]))
            position += size
    return found


def _read_size(message: bytes, position: int, kind: int) -> tuple[int, int]:
    # How many bytes a field has, and where they begin.
    if kind == _BYTES:
        size, position = _read_varint(message, position)
    elif kind in _FIXED_SIZES:
        size = _FIXED_SIZES[kind]
    else:
        raise ValueError("a field is of an unknown kind")
    if size > len(message) - position:
        raise ValueError("a field is longer than its message")
    return size, position


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if position >= len(message):
            raise ValueError("a number ends in the middle")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80 and value <= _LARGEST_NUMBER:
            return value, position
    raise ValueError("a number is too long")
