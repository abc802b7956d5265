"""
How gRPC calls end: the status codes, and what becomes of a failure that HTTP has words for.

A client of gRPC reads C{grpc-status} and little else, and decides by it whether to try again. So each L{Reason} has a
status of its own here, which is chosen for that question: C{UNAVAILABLE} is for what may be better in a moment,
C{RESOURCE_EXHAUSTED} for what the client should do less of, and no status that invites to a second try stands for a
failure that would come again.
"""

from __future__ import annotations

from typing import Final

from siger.errors import Reason

__all__ = [
    "ABORTED",
    "ALREADY_EXISTS",
    "CANCELLED",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NAMES",
    "NOT_FOUND",
    "OK",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "UNKNOWN",
    "status_of_http",
    "status_of_reason",
    "status_of_reset",
]

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
ALREADY_EXISTS: Final = 6
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
ABORTED: Final = 10
OUT_OF_RANGE: Final = 11
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
DATA_LOSS: Final = 15
UNAUTHENTICATED: Final = 16

NAMES: Final[tuple[str, ...]] = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The codes by name; each stands at its number."""

_OF_REASON: Final[dict[Reason, int]] = {
    Reason.MALFORMED_REQUEST: INTERNAL,
    Reason.INVALID_HOST: INTERNAL,
    Reason.INVALID_TARGET: INTERNAL,
    Reason.INVALID_FRAMING: INTERNAL,
    Reason.INCOMPLETE_BODY: INTERNAL,
    Reason.INVALID_UPGRADE: INTERNAL,
    Reason.INVALID_FIELDS: INVALID_ARGUMENT,
    Reason.UNAUTHENTICATED: UNAUTHENTICATED,
    Reason.INVALID_TOKEN: UNAUTHENTICATED,
    Reason.INVALID_CREDENTIALS: UNAUTHENTICATED,
    Reason.FORBIDDEN: PERMISSION_DENIED,
    Reason.REGISTRATION_CLOSED: PERMISSION_DENIED,
    Reason.NO_ROUTE: UNIMPLEMENTED,
    Reason.UNKNOWN_SERVICE: UNIMPLEMENTED,
    Reason.UNKNOWN_JOB: NOT_FOUND,
    Reason.METHOD_NOT_ALLOWED: UNIMPLEMENTED,
    Reason.REQUEST_TIMEOUT: DEADLINE_EXCEEDED,
    Reason.USERNAME_TAKEN: ALREADY_EXISTS,
    Reason.IN_PROGRESS: ABORTED,
    Reason.BODY_TOO_LARGE: RESOURCE_EXHAUSTED,
    Reason.URI_TOO_LONG: RESOURCE_EXHAUSTED,
    Reason.UNSUPPORTED_MEDIA: UNIMPLEMENTED,
    Reason.EXPECTATION_FAILED: INTERNAL,
    Reason.MISDIRECTED: UNIMPLEMENTED,
    Reason.INVALID_JOB: INVALID_ARGUMENT,
    Reason.KEY_REUSED: FAILED_PRECONDITION,
    Reason.UPGRADE_REQUIRED: UNIMPLEMENTED,
    Reason.RATE_LIMITED: RESOURCE_EXHAUSTED,
    Reason.TOO_MANY_ATTEMPTS: RESOURCE_EXHAUSTED,
    Reason.QUOTA_EXCEEDED: RESOURCE_EXHAUSTED,
    Reason.HEADERS_TOO_LARGE: RESOURCE_EXHAUSTED,
    Reason.CLIENT_GONE: CANCELLED,
    Reason.INTERNAL_ERROR: INTERNAL,
    Reason.METHOD_UNKNOWN: UNIMPLEMENTED,
    Reason.TRANSFER_CODING: INTERNAL,
    Reason.UPSTREAM_REFUSED: UNAVAILABLE,
    Reason.UPSTREAM_UNREACHABLE: UNAVAILABLE,
    Reason.UPSTREAM_RESET: UNAVAILABLE,
    Reason.UPSTREAM_TLS: UNAVAILABLE,
    # Not UNAVAILABLE: an instance that breaks the protocol does so again, and the call may have had its effect.
    Reason.UPSTREAM_MALFORMED: INTERNAL,
    Reason.UPSTREAM_UPGRADE: INTERNAL,
    Reason.UPSTREAM_TRUNCATED: UNAVAILABLE,
    Reason.NO_INSTANCE: UNAVAILABLE,
    Reason.POOL_FULL: UNAVAILABLE,
    Reason.OVERLOADED: UNAVAILABLE,
    Reason.BUSY: UNAVAILABLE,
    Reason.STORE_UNAVAILABLE: UNAVAILABLE,
    Reason.QUEUE_FULL: UNAVAILABLE,
    Reason.STARTING: UNAVAILABLE,
    Reason.DRAINING: UNAVAILABLE,
    Reason.CONNECT_TIMEOUT: DEADLINE_EXCEEDED,
    Reason.DEADLINE_EXCEEDED: DEADLINE_EXCEEDED,
    Reason.UPSTREAM_TIMEOUT: DEADLINE_EXCEEDED,
    Reason.VERSION_UNSUPPORTED: INTERNAL,
    Reason.LOOP_DETECTED: INTERNAL,
}

_OF_HTTP: Final[dict[int, int]] = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    429: UNAVAILABLE,
    431: INTERNAL,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}

_REFUSED_STREAM: Final = 0x7
_CANCEL: Final = 0x8
_ENHANCE_YOUR_CALM: Final = 0xB
_INADEQUATE_SECURITY: Final = 0xC

_OF_RESET: Final[dict[int, int]] = {
    _REFUSED_STREAM: UNAVAILABLE,
    _CANCEL: CANCELLED,
    _ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED,
    _INADEQUATE_SECURITY: PERMISSION_DENIED,
}


def status_of_reason(reason: Reason) -> int:
    """
    The status of a call that the gateway itself refuses or ends.
    """
    return _OF_REASON[reason]


def status_of_http(status: int) -> int:
    """
    The status of a call that was answered without one ("HTTP to gRPC Status Code Mapping" of the gRPC project).

    @param status: of the HTTP response. It says nothing of a call that went well: 200 without a status is C{UNKNOWN}.
    """
    return _OF_HTTP.get(status, UNKNOWN)


def status_of_reset(code: int) -> int:
    """
    The status of a call whose stream the instance reset ("gRPC over HTTP2", section "Errors").

    @param code: of RST_STREAM (RFC 9113 section 7). One that nobody registered is as good as INTERNAL_ERROR.
    """
    return _OF_RESET.get(code, INTERNAL)
