"""
How local endpoints refuse: with the same problem documents as the rest of the gateway.

Klein applications call L{answer_errors} once; from then on what nobody routed, methods nobody has and exceptions nobody
caught are problems with a reason, and say nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from twisted.logger import Logger
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect

from siger.errors import Reason
from siger.http.local_channel import LocalChannel
from siger.http.problem import problem_body, problem_lines

if TYPE_CHECKING:
    from klein import Klein
    from twisted.python.failure import Failure

__all__ = ["answer_errors", "refuse"]

_log = Logger()
_well_formed_id = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


def refuse(
    request: Any,
    reason: Reason,
    detail: str = "",
    allow: bytes = b"",
    extra: bytes = b"",
    members: bytes = b"",
    retry_after: int = 1,
) -> bytes:
    """
    Answer a request with a problem document.

    @param request: the C{twisted.web} request; one whose response has begun is ended so that the client can tell.
    @param detail: a sentence for the client, never made of what it sent.
    @param allow: the methods the path has, for a 405.
    @param extra: more field lines, each ended by CRLF.
    @param members: more members of the document; see L{problem_body}.
    @param retry_after: seconds, for a 429 or 503.
    @return: what the handler shall return.
    """
    channel = getattr(request, "channel", None)
    if isinstance(channel, LocalChannel):
        channel.refuse(reason, detail, allow, extra, members, retry_after)
        return b""
    if channel is None:
        return b""
    identifier = request.getHeader(b"X-Request-ID") or b""
    lines = problem_lines(reason, allow, retry_after) + extra
    if _well_formed_id(identifier):
        lines += b"X-Request-ID: %b\r\n" % identifier
    _set_head(request, reason.status, lines)
    return problem_body(reason, identifier, detail, members)


def _set_head(request: Any, status: int, lines: bytes) -> None:
    """
    Begin the response in a site that is on a channel of C{twisted.web}'s own.
    """
    request.setResponseCode(status)
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name:
            request.responseHeaders.setRawHeaders(name, [value])


def answer_errors(app: Klein) -> None:
    """
    Make a Klein application answer everything that goes wrong in it with problem documents.
    """
    # Klein's types know handlers with and without an instance, but not one that takes both.
    app.handle_errors(HTTPException)(cast(Any, _http_exception))
    app.handle_errors(Exception)(cast(Any, _exception))


def _http_exception(*arguments: Any) -> bytes:
    """
    Answer what werkzeug's router raised. Klein passes the application's instance first if there is one.
    """
    request, failure = arguments[-2:]
    error = failure.value
    if isinstance(error, MethodNotAllowed):
        methods = ", ".join(sorted(error.valid_methods or ()))
        return refuse(request, Reason.METHOD_NOT_ALLOWED, allow=methods.encode("ascii"))
    if isinstance(error, NotFound | RequestRedirect):
        return refuse(request, Reason.NO_ROUTE)
    if isinstance(error, BadRequest):
        return refuse(request, Reason.MALFORMED_REQUEST)
    return _exception(request, failure)


def _exception(*arguments: Any) -> bytes:
    """
    Answer an exception that nobody caught; only the log hears which.
    """
    request: Any = arguments[-2]
    failure: Failure = arguments[-1]
    _log.failure("a local endpoint failed", failure=failure)
    return refuse(request, Reason.INTERNAL_ERROR)
