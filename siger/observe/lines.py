"""
The lines of the access log: one JSON object for each request.

A line is one C{%} over bytes, about a microsecond: most of it is constant or was rendered when the route or the service
was made. Lines hold no query, no field of the request and no body, since those are where secrets travel.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from math import floor, inf

from siger.errors import Reason
from siger.observe.observer import RouteStats, ServiceStats

__all__ = ["FIELD_LIMIT", "Entry", "escape", "format_entries"]

FIELD_LIMIT = 2048
"""The most characters a field's value takes in a line."""

Entry = tuple[
    RouteStats,
    bytes,
    bytes,
    int,
    "Reason | None",
    float,
    float,
    float,
    int,
    int,
    bytes,
    bytes,
    "ServiceStats | None",
    bytes,
    int,
]
"""What L{siger.observe.observer.Observer.finish} was told, in its order."""

_LINE = (
    b'{"time":"%b%bZ","request_id":"%b","client":"%b","method":"%b","route":%b,"path":"%b","status":%d,'
    b'"bytes_in":%d,"bytes_out":%d,"duration_ms":%.3f,"ttfb_ms":@T,"service":%b,"instance":@I,"attempts":%d,'
    b'"reason":%b}\n'
)
_PROXIED = _LINE.replace(b"@T", b"%.3f").replace(b"@I", b'"%b"')
_OTHER = _LINE.replace(b"@T", b"%b").replace(b"@I", b"%b")

_CLEAN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
_THOUSANDTHS = [b"%03d" % number for number in range(1000)]
_KNOWN_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
_REASONS = {reason: json.dumps(reason.code).encode("ascii") for reason in Reason}
_quote = json.encoder.encode_basestring_ascii
_whole_escapes = re.compile(r"(?:[^\\]|\\u[0-9a-f]{4}|\\[^u])*").match


def escape(value: bytes) -> bytes:
    """
    A value as it stands between the quotes of a JSON string: bytes are read as ISO-8859-1, everything that is not
    printable ASCII is escaped, and what is too long is cut and ends in C{...}.
    """
    text = _quote(value[: FIELD_LIMIT + 1].decode("latin-1"))[1:-1]
    if len(text) > FIELD_LIMIT:
        kept = _whole_escapes(text[: FIELD_LIMIT - 3])
        text = (kept.group() if kept else "") + "..."
    return text.encode("ascii")


def format_entries(entries: Iterable[Entry], offset: float) -> bytes:
    """
    Render entries as lines.

    The request id, client and instance are put in as they are: they were made or checked by the gateway.

    @param offset: what to add to a monotonic time to have the time of day.
    """
    lines: list[bytes] = []
    second = -inf  # when the second of the last line began, by the monotonic clock
    prefix = b""
    for (
        route,
        method,
        path,
        status,
        reason,
        start,
        first_byte,
        now,
        bytes_in,
        bytes_out,
        request_id,
        client,
        service,
        instance,
        attempts,
    ) in entries:
        into_second = now - second
        if not 0.0 <= into_second < 1.0:
            whole = floor(now + offset)
            prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(whole)).encode("ascii")
            second = whole - offset
            into_second = min(max(now - second, 0.0), 0.999)
        if len(path) > FIELD_LIMIT or path.translate(None, _CLEAN):
            path = escape(path)
        if method not in _KNOWN_METHODS:
            method = escape(method)
        why = b"null" if reason is None else _REASONS[reason]
        if service is not None and instance and first_byte:
            lines.append(
                _PROXIED
                % (
                    prefix,
                    _THOUSANDTHS[int(into_second * 1000.0)],
                    request_id,
                    client,
                    method,
                    route.fragment,
                    path,
                    status,
                    bytes_in,
                    bytes_out,
                    (now - start) * 1000.0,
                    (first_byte - start) * 1000.0,
                    service.fragment,
                    instance,
                    attempts,
                    why,
                )
            )
        else:
            lines.append(
                _OTHER
                % (
                    prefix,
                    _THOUSANDTHS[int(into_second * 1000.0)],
                    request_id,
                    client,
                    method,
                    route.fragment,
                    path,
                    status,
                    bytes_in,
                    bytes_out,
                    (now - start) * 1000.0,
                    b"%.3f" % ((first_byte - start) * 1000.0) if first_byte else b"null",
                    b"null" if service is None else service.fragment,
                    b'"%b"' % instance if instance else b"null",
                    attempts,
                    why,
                )
            )
    return b"".join(lines)
