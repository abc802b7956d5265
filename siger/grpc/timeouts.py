"""
How long a caller waits, as C{grpc-timeout} says it ("gRPC over HTTP2", section "Requests").

The field counts from when the request was sent, so every hop says less than the one before it.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["format_timeout", "parse_timeout"]

_timeout = re.compile(rb"([0-9]{1,8})([HMSmun])").fullmatch

_SECONDS: Final[dict[bytes, float]] = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

_LONGEST: Final = 99_999_999
"""The number that 8 digits hold."""

# From the finest unit: how many there are in a second, and the letter.
_UNITS: Final[tuple[tuple[float, bytes], ...]] = (
    (1e9, b"n"),
    (1e6, b"u"),
    (1e3, b"m"),
    (1.0, b"S"),
    (1.0 / 60.0, b"M"),
    (1.0 / 3600.0, b"H"),
)


def parse_timeout(value: bytes) -> float:
    """
    Read a timeout.

    @return: seconds; 0.0 for a call that nobody waits for any more.
    @raise ValueError: it is not 1 to 8 digits and a unit.
    """
    match = _timeout(value)
    if match is None:
        raise ValueError("not a gRPC timeout")
    return int(match[1]) * _SECONDS[match[2]]


def format_timeout(seconds: float) -> bytes:
    """
    Write a timeout in the finest unit that has room for it, rounded down.

    @param seconds: the rest of the time. The least that is ever written is one nanosecond: the grammar has no zero.
    """
    for per_second, unit in _UNITS:
        count = seconds * per_second
        if count <= _LONGEST:
            return b"%d%b" % (max(1, int(count)), unit)
    return b"%dH" % _LONGEST
