"""
Problem documents (RFC 9457): what a client reads when the gateway answers by itself.

Everything in one comes from a table in this program or from the request id, which admission made or checked. Nothing
is copied from the request, from an exception or from a backend, so an error page can neither be used against its
reader nor tell how the gateway is built. Whatever depends on the reason alone is rendered once, at import.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from siger.errors import Reason
from siger.grpc.metadata import error_lines
from siger.http.date import date_line

if TYPE_CHECKING:
    from siger.http.stream import Stream

__all__ = [
    "CONTENT_TYPE",
    "PHRASES",
    "grpc_error",
    "phrase",
    "problem_body",
    "problem_lines",
    "send_grpc_error",
    "send_problem",
]

CONTENT_TYPE = b"application/problem+json"

# The standard library of 3.11 still has the names of RFC 2616 for these; 499 is nginx's, for logs.
PHRASES: dict[int, bytes] = {
    **{status.value: status.phrase.encode("ascii") for status in HTTPStatus},
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    422: b"Unprocessable Content",
    499: b"Client Closed Request",
}
"""Reason phrases by status code (RFC 9110 section 15)."""

_DETAILS: dict[Reason, str] = {
    Reason.MALFORMED_REQUEST: "The request does not follow the HTTP grammar.",
    Reason.INVALID_HOST: "The request needs exactly one valid Host field.",
    Reason.INVALID_TARGET: "The request target is not one this gateway can resolve without guessing.",
    Reason.INVALID_FRAMING: "Where the request body ends is ambiguous.",
    Reason.INCOMPLETE_BODY: "The request body ended before its announced end.",
    Reason.INVALID_UPGRADE: "The WebSocket handshake lacks a field or has an invalid one.",
    Reason.INVALID_FIELDS: "The errors member says which fields are wrong, and how.",
    Reason.UNAUTHENTICATED: "This needs a token: send it as Authorization: Bearer TOKEN.",
    Reason.INVALID_TOKEN: "The token is malformed, expired, revoked, or not from an issuer that is trusted here.",
    Reason.INVALID_CREDENTIALS: "There is no account with this name and password.",
    Reason.FORBIDDEN: "The role in the token does not allow this.",
    Reason.REGISTRATION_CLOSED: "Accounts are created by administrators here.",
    Reason.NO_ROUTE: "No route matches this path.",
    Reason.UNKNOWN_JOB: "There is no job with this id, or it is not yours.",
    Reason.UNKNOWN_SERVICE: "No service of this name is known here.",
    Reason.METHOD_NOT_ALLOWED: "The Allow field lists the methods for this path.",
    Reason.REQUEST_TIMEOUT: "The request did not arrive in time.",
    Reason.USERNAME_TAKEN: "There is an account with this name; choose another.",
    Reason.IN_PROGRESS: "A request with this idempotency key is being answered; try again.",
    Reason.BODY_TOO_LARGE: "The request body is larger than this path accepts.",
    Reason.URI_TOO_LONG: "The request target is longer than this gateway accepts.",
    Reason.UNSUPPORTED_MEDIA: "The request body has a type or coding this path does not accept.",
    Reason.EXPECTATION_FAILED: "The only expectation this gateway can meet is 100-continue.",
    Reason.MISDIRECTED: "The request is for a host that this connection is not for; a new one would be.",
    Reason.INVALID_JOB: "The errors member says which fields are wrong, and how.",
    Reason.KEY_REUSED: "This idempotency key was used for another request.",
    Reason.UPGRADE_REQUIRED: "The Sec-WebSocket-Version field lists the versions that can be spoken here.",
    Reason.RATE_LIMITED: "The RateLimit fields say which limit was met; try again after Retry-After seconds.",
    Reason.TOO_MANY_ATTEMPTS: "Several attempts failed; try again after Retry-After seconds.",
    Reason.QUOTA_EXCEEDED: "You have as many jobs as you may have; wait until some have ended, or cancel some.",
    Reason.HEADERS_TOO_LARGE: "The request header section has too many or too large fields.",
    Reason.INTERNAL_ERROR: "The gateway failed; its log has more under the request id.",
    Reason.METHOD_UNKNOWN: "The request method is not implemented.",
    Reason.TRANSFER_CODING: "The only transfer coding implemented is chunked.",
    Reason.NO_INSTANCE: "The service is known but none of its instances can be used now.",
    Reason.POOL_FULL: "The service has all the connections it may have; try again.",
    Reason.OVERLOADED: "The gateway has all the connections it may have; try again.",
    Reason.BUSY: "More passwords are waiting to be checked than the gateway can take; try again.",
    Reason.STORE_UNAVAILABLE: "The store of accounts cannot be reached now; try again.",
    Reason.QUEUE_FULL: "The queue has all the jobs it can hold; try again later.",
    Reason.STARTING: "The gateway is starting; try again.",
    Reason.DRAINING: "The gateway is shutting down; try again.",
    Reason.DEADLINE_EXCEEDED: "The call took longer than it was given.",
    Reason.VERSION_UNSUPPORTED: "This gateway speaks HTTP/1.0, HTTP/1.1 and HTTP/2.",
    Reason.LOOP_DETECTED: "The request has passed this gateway before.",
}
"""What a client can do about a reason, where its title does not say."""

_REALM = b'realm="siger"'
_CHALLENGES: dict[Reason, bytes] = {
    Reason.UNAUTHENTICATED: _REALM,
    Reason.INVALID_CREDENTIALS: _REALM,
    Reason.INVALID_TOKEN: _REALM
    + b', error="invalid_token", error_description="The token is malformed, expired, revoked or not trusted"',
    Reason.FORBIDDEN: _REALM + b', error="insufficient_scope"',
}
"""What C{WWW-Authenticate} says (RFC 6750 section 3). The same for all causes, so that a token cannot be probed."""

_quote = json.encoder.encode_basestring_ascii


def _render_heads() -> dict[Reason, bytes]:
    """
    The documents' beginnings, up to the detail's value.
    """
    return {
        reason: (
            f'{{"type":{_quote("urn:siger:problem:" + reason.code)},"title":{_quote(reason.title)},'
            f'"status":{reason.status},"detail":'
        ).encode("ascii")
        for reason in Reason
    }


def _proxy_status(reason: Reason) -> bytes:
    return b"Proxy-Status: siger; error=" + reason.proxy_error.encode("ascii")


def _render_lines(reason: Reason) -> bytes:
    """
    The field lines that depend on the reason alone.
    """
    lines = [
        b"Content-Type: " + CONTENT_TYPE,
        b"X-Content-Type-Options: nosniff",
        b"Cache-Control: no-store",
    ]
    if reason.proxy_error:
        lines.append(_proxy_status(reason))
    challenge = _CHALLENGES.get(reason)
    if challenge is not None:
        lines.append(b"WWW-Authenticate: Bearer " + challenge)
    if reason is Reason.UPGRADE_REQUIRED:
        # The Upgrade field a 426 also needs is hop-by-hop, so it is the channel's to write.
        lines.append(b"Sec-WebSocket-Version: 13")
    return b"".join(line + b"\r\n" for line in lines)


_HEADS = _render_heads()
_TAILS = {reason: b',"reason":"' + reason.code.encode("ascii") + b'","request_id":' for reason in Reason}
_LINES = {reason: _render_lines(reason) for reason in Reason}
_GRPC_LINES = {
    reason: b"Content-Type: application/grpc\r\n" + (_proxy_status(reason) + b"\r\n" if reason.proxy_error else b"")
    for reason in Reason
}
_SENTENCES = {reason: _DETAILS.get(reason, reason.title + ".") for reason in Reason}
_DEFAULT_DETAILS = {reason: _quote(sentence).encode("ascii") for reason, sentence in _SENTENCES.items()}


def phrase(status: int) -> bytes:
    """
    The reason phrase of a status code, C{b""} for codes nobody registered.
    """
    return PHRASES.get(status, b"")


def problem_body(reason: Reason, request_id: bytes, detail: str = "", members: bytes = b"") -> bytes:
    """
    Render a problem document.

    @param detail: a sentence for the client, from this program or its configuration and never from the request; the
        reason's own when empty.
    @param members: more members of the JSON object, each with the comma before it (RFC 9457 section 3.2).
    """
    text = _quote(detail).encode("ascii") if detail else _DEFAULT_DETAILS[reason]
    identifier = _quote(request_id.decode("latin-1")).encode("ascii")
    return b"".join((_HEADS[reason], text, _TAILS[reason], identifier, members, b"}\n"))


def problem_lines(reason: Reason, allow: bytes = b"", retry_after: int = 1) -> bytes:
    """
    The field lines that go with a problem document, framing and request id excluded.

    @param allow: the methods a path has, as for C{Allow}: required of a 405 (RFC 9110 section 15.5.6).
    @param retry_after: seconds, for a 429 or 503.
    """
    lines = _LINES[reason]
    if allow:
        lines += b"Allow: %b\r\n" % allow
    if reason.status in (429, 503):
        lines += b"Retry-After: %d\r\n" % retry_after
    return lines


def grpc_error(reason: Reason, detail: str = "", retry_after: int = 1, status: int = -1) -> bytes:
    """
    The lines that end a gRPC call for a reason of the gateway's.

    @param status: another gRPC status than the reason's own; -1 for that one.
    """
    return error_lines(reason, detail or _SENTENCES[reason], retry_after, status)


def send_grpc_error(stream: Stream, lines: bytes, reason: Reason) -> None:
    """
    Answer a gRPC call with nothing but its status.

    @param lines: what L{grpc_error} made.
    """
    # Clients of gRPC read a status of HTTP only to guess what it may mean: the call's own goes with 200.
    stream.send_response(200, b"OK", date_line() + _GRPC_LINES[reason] + lines, None, b"", True)


def send_problem(
    stream: Stream,
    method: bytes,
    reason: Reason,
    request_id: bytes,
    detail: str = "",
    allow: bytes = b"",
    retry_after: int = 1,
    extra: bytes = b"",
    members: bytes = b"",
) -> int:
    """
    Answer a request with a problem document, or, where the client understands that only, with a gRPC status.

    @param method: the request's: a response to HEAD says the length of a body it does not have.
    @param extra: more field lines, each ended by CRLF, made by the caller.
    @param members: see L{problem_body}.
    @return: how many bytes of body were sent.
    """
    stream.reason = reason
    if stream.grpc:
        send_grpc_error(stream, grpc_error(reason, detail, retry_after) + extra, reason)
        return 0
    body = problem_body(reason, request_id, detail, members)
    lines = date_line() + problem_lines(reason, allow, retry_after) + extra
    sent = b"" if method == b"HEAD" else body
    stream.send_response(reason.status, phrase(reason.status), lines, len(body), sent, True)
    return len(sent)
