"""
Asking a server whether it is well, and what its answer means ("GRPC Health Checking Protocol", C{grpc.health.v1}).
L{siger.grpc.serving} is the other side.

Only one answer is a good one: the call went well, and its one message says C{SERVING}. A server that has no health
service, or does not know the service that it was asked about, is not well as far as anybody knows.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from siger.grpc.framing import frame, only_message
from siger.grpc.metadata import status_in
from siger.grpc.protobuf import fields, piece
from siger.grpc.serving import CHECK
from siger.grpc.status import NAMES, OK

__all__ = [
    "FAILED",
    "LONGEST_ANSWER",
    "NOT_SERVING",
    "PATH",
    "RESULTS",
    "SERVING",
    "TIMEOUT",
    "UNREACHABLE",
    "Finding",
    "judge",
    "question",
]

PATH: Final = CHECK.encode("ascii")
"""The method that is called."""

LONGEST_ANSWER: Final = 1024
"""Bytes that an answer may have. One that says what it has to is a hundredth of that."""

SERVING: Final = "serving"
NOT_SERVING: Final = "not_serving"
FAILED: Final = "failed"
UNREACHABLE: Final = "unreachable"
TIMEOUT: Final = "timeout"

RESULTS: Final = (SERVING, NOT_SERVING, FAILED, UNREACHABLE, TIMEOUT)
"""
What can come of a question: it is well; it says itself that it is not; it answered something else; there is no
connection to it, or no longer; it took too long.
"""

_SERVICE: Final = 1
_STATUS: Final = 1
_SERVING: Final = 1
_STATUSES: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")

_HTTP_OK: Final = 200


@frozen
class Finding:
    """
    What came of a question.

    @ivar result: one of L{RESULTS}.
    @ivar detail: what exactly, for a line of a log. It holds nothing that the instance could make up.
    """

    result: str
    detail: str


def question(service: str) -> bytes:
    """
    The body of a request.

    @param service: the full name of a gRPC service, or C{""} for the server as a whole.
    """
    return frame(piece(_SERVICE, service.encode("utf-8")) if service else b"")


def judge(status: int, body: bytes, lines: bytes) -> Finding:
    """
    Tell what a complete response means.

    @param status: of HTTP.
    @param lines: its trailers; or the lines of its head, if it has no more than that.
    """
    if status != _HTTP_OK:
        return Finding(FAILED, f"HTTP status {status}")
    code = status_in(lines)
    if code != OK:
        return Finding(FAILED, NAMES[code] if 0 < code < len(NAMES) else "no gRPC status")
    try:
        serving = _serving_status(body)
    except ValueError:
        return Finding(FAILED, "malformed answer")
    word = _STATUSES[serving] if serving < len(_STATUSES) else "UNKNOWN"
    return Finding(SERVING if serving == _SERVING else NOT_SERVING, word)


def _serving_status(body: bytes) -> int:
    """
    The status in a body.

    @raise ValueError: it is not one message.
    """
    found = 0
    for field, value in fields(only_message(body)):
        # The last one counts, and one of another kind is an unknown field, as everywhere in Protocol Buffers.
        if field == _STATUS and isinstance(value, int):
            found = value
    return found
