"""
The C{Date} of messages that have none, or are our own (RFC 9110 section 6.6.1).
"""

from __future__ import annotations

from email.utils import formatdate
from time import time

__all__ = ["date_line"]

_cached: tuple[int, bytes] = (0, b"")


def date_line() -> bytes:
    """
    The field line for this second, with its CRLF.
    """
    global _cached
    second = int(time())
    if _cached[0] != second:
        _cached = (second, b"Date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii"))
    return _cached[1]
