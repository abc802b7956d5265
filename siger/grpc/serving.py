"""
Answering the question whether a server is well: the messages ("GRPC Health Checking Protocol", C{grpc.health.v1}).
L{siger.grpc.health} asks it.
"""

from __future__ import annotations

from typing import Final

from siger.grpc.framing import PREFIX, frame, only_message
from siger.grpc.protobuf import fields, number

__all__ = [
    "CHECK",
    "LONGEST_QUESTION",
    "NOT_SERVING",
    "SERVICE",
    "SERVICE_UNKNOWN",
    "SERVING",
    "WATCH",
    "answer",
    "asked",
]

SERVICE: Final = "grpc.health.v1.Health"
CHECK: Final = f"/{SERVICE}/Check"
"""Is answered once."""
WATCH: Final = f"/{SERVICE}/Watch"
"""Is answered at once, and again whenever the answer is another one."""

SERVING: Final = 1
NOT_SERVING: Final = 2
SERVICE_UNKNOWN: Final = 3
"""The answers; the last is for C{Watch} alone."""

LONGEST_QUESTION: Final = PREFIX + 1024
"""Bytes that a question may have: a name of a service, and little else."""

_SERVICE_FIELD: Final = 1
_STATUS_FIELD: Final = 1


def asked(body: bytes) -> str:
    """
    Which service a request's body asks about.

    @return: its full name; C{""} for the server as a whole.
    @raise ValueError: the body is not a question.
    """
    found = b""
    for field, value in fields(only_message(body)):
        # The last one counts, and one of another kind is an unknown field, as everywhere in Protocol Buffers.
        if field == _SERVICE_FIELD and isinstance(value, bytes):
            found = value
    return found.decode("utf-8")


def answer(status: int) -> bytes:
    """
    A message that says how the service is, as it is sent.
    """
    return frame(number(_STATUS_FIELD, status))
