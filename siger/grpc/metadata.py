"""
The fields in which gRPC says how a call ended: read from what an instance sends, and written for the gateway's own
answers ("gRPC over HTTP2", section "Responses").
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import Final

from siger.errors import Reason
from siger.grpc.protobuf import number, piece
from siger.grpc.status import status_of_reason

__all__ = ["encode_message", "error_lines", "status_in"]

_MOST_COMMON: Final = b"grpc-status: 0\r\n"

_status_line = re.compile(rb"(?:\A|\n)grpc-status:[ \t]*([^\r\n]*)", re.IGNORECASE).search
_status = re.compile(rb"([0-9]{1,6})[ \t]*").fullmatch

_is_plain = re.compile(rb"[\x21-\x24\x26-\x7e](?:[\x20-\x24\x26-\x7e]*[\x21-\x24\x26-\x7e])?").fullmatch
# A space at either end would be taken off on the way (RFC 9110 section 5.5), so it is written as an escape.
_encodable = re.compile(rb"\A +| +\Z|[^\x20-\x24\x26-\x7e]")

_RETRIED: Final = frozenset((429, 503))
"""The HTTP statuses with which a client is told when to try again."""

_RETRY_INFO: Final = b"type.googleapis.com/google.rpc.RetryInfo"


def encode_message(text: str) -> bytes:
    """
    Write a text as the value of C{grpc-message}: UTF-8, with an escape for every byte that is not printable ASCII.
    """
    raw = text.encode("utf-8", "replace")
    return raw if _is_plain(raw) is not None else _encodable.sub(_escape, raw)


def _escape(match: re.Match[bytes]) -> bytes:
    return b"".join([b"%%%02X" % byte for byte in match[0]])


def status_in(lines: bytes) -> int:
    """
    The status that field lines hold.

    @param lines: of a head or of trailers, each ended by CRLF.
    @return: -1 if there is no status, or something that is not a number below a million.
    """
    if lines.startswith(_MOST_COMMON):
        return 0
    line = _status_line(lines)
    if line is None:
        return -1
    value = _status(line[1])
    return -1 if value is None else int(value[1])


def error_lines(reason: Reason, detail: str, retry_after: int, status: int = -1) -> bytes:
    """
    The lines with which the gateway ends a call: in trailers, or in the head of an answer that is nothing else.

    @param detail: a sentence for the client, never from the request.
    @param status: another status than the reason's own; -1 for that one.
    @param retry_after: seconds; said with those reasons that go with C{Retry-After} in HTTP. C{grpc-retry-pushback-ms}
        is for the client's library, which may be configured to try again by itself; C{RetryInfo} is for the program.
    """
    if status < 0:
        status = status_of_reason(reason)
    lines = b"grpc-status: %d\r\ngrpc-message: %b\r\n" % (status, encode_message(detail))
    if reason.status not in _RETRIED:
        return lines
    details = b2a_base64(_retry_details(status, detail, retry_after), newline=False).rstrip(b"=")
    pushback = b"grpc-retry-pushback-ms: %d\r\n" % (retry_after * 1000)
    return b"%b%bgrpc-status-details-bin: %b\r\n" % (lines, pushback, details)


def _retry_details(status: int, detail: str, seconds: int) -> bytes:
    """
    A C{google.rpc.Status} with a C{google.rpc.RetryInfo}.
    """
    duration = number(1, seconds)
    retry_info = piece(1, duration)
    packed = piece(1, _RETRY_INFO) + piece(2, retry_info)
    return number(1, status) + piece(2, detail.encode("utf-8", "replace")) + piece(3, packed)
