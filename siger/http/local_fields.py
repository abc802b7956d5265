"""
Response fields that a C{twisted.web} handler set, as the lines that a stream takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from siger.http.grammar import is_token, is_value

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

__all__ = ["field_lines"]

# Framing and connection are the stream's; Server would tell a version; the request id is the gateway's.
_NOT_THEIRS = frozenset(
    (
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"server",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    )
)
_is_length = re.compile(rb"[0-9]{1,18}").fullmatch


def field_lines(headers: Headers) -> tuple[bytes, int | None, list[str]]:
    """
    Turn the request's response headers into field lines, each name and value checked (RFC 9110 section 5).

    @return: the lines, the length that was declared, and the names of fields that cannot be sent.
    """
    lines: list[bytes] = []
    length: int | None = None
    faults: list[str] = []
    sniffable = True
    for name, value in _pairs(headers):
        lower = name.lower()
        if is_token(name) is None or is_value(value) is None:
            faults.append(repr(name))
        elif lower == b"content-length":
            length = int(value) if _is_length(value) else None
        elif lower not in _NOT_THEIRS:
            lines.append(b"%b: %b\r\n" % (name, value.strip(b" \t")))
            sniffable = sniffable and lower != b"x-content-type-options"
    if sniffable:
        lines.append(b"X-Content-Type-Options: nosniff\r\n")
    return b"".join(lines), length, faults


def _pairs(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """
    Names and values, one by one.
    """
    for name, values in headers.getAllRawHeaders():
        for value in values:
            yield name, value
