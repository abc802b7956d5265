"""
The lines of the access log: one JSON object for each request.

A line costs well under a microsecond: most of it is constant or was rendered when the route or the service was made.
Lines hold no query, no field of the request and no body, since those are where secrets travel.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from math import floor, inf
from typing import Final

from siger.errors import Reason
from siger.observe.stats import RouteStats, ServiceStats

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
    bytes,
    int,
    int,
]
"""What L{siger.observe.observer.Observer.finish} was told, in its order, up to the gRPC status."""

Pieces = tuple[bytes, ...]

_CLEAN: Final = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
_THOUSANDTHS: Final = [b"%03d" % number for number in range(1000)]
_SMALL: Final = [b"%d" % number for number in range(1000)]
_KNOWN_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
_REASONS: Final = {reason: b',"reason":"%b"}\n' % reason.code.encode("ascii") for reason in Reason}
_PROTOCOLS: Final = {
    10: b'","protocol":"HTTP/1.0","route":',
    11: b'","protocol":"HTTP/1.1","route":',
    20: b'","protocol":"HTTP/2","route":',
}
"""What stands between method and route, by version."""

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


def _number(value: int) -> bytes:
    return _SMALL[value] if 0 <= value < 1000 else b"%d" % value


def _milliseconds(seconds: float) -> bytes:
    """
    A duration in milliseconds, to the microsecond. Whole numbers are written in a third of the time that floats take.
    """
    microseconds = int(max(0.0, seconds) * 1e6 + 0.5)
    return _number(microseconds // 1000) + b"." + _THOUSANDTHS[microseconds % 1000]


class _Opening:
    """
    How lines begin: with the time of day, whose second is rendered once for all lines that it has.

    @ivar text: up to the dot before the thousandths.
    """

    __slots__ = ("_offset", "_second", "text")

    def __init__(self, offset: float) -> None:
        self.text: bytes = b""
        self._offset: float = offset
        self._second: float = -inf  # when the second of the last line began, by the monotonic clock

    def thousandths(self, now: float) -> bytes:
        """
        Those of a moment, whose second C{text} shows from then on.
        """
        into_second = now - self._second
        if not 0.0 <= into_second < 1.0:
            into_second = self._begin(now)
        return _THOUSANDTHS[int(into_second * 1000.0)]

    def _begin(self, now: float) -> float:
        whole = floor(now + self._offset)
        self.text = time.strftime('{"time":"%Y-%m-%dT%H:%M:%S.', time.gmtime(whole)).encode("ascii")
        self._second = whole - self._offset
        return min(max(now - self._second, 0.0), 0.999)


def _client(request_id: bytes, client: bytes, user: bytes) -> Pieces:
    """
    Who asked.
    """
    return (
        b'Z","request_id":"',
        request_id,
        b'","client":"',
        client,
        b'","user":"%b","method":"' % user if user else b'","user":null,"method":"',
    )


def _request(method: bytes, version: int, route: RouteStats, path: bytes) -> Pieces:
    """
    What for.
    """
    if len(path) > FIELD_LIMIT or path.translate(None, _CLEAN):
        path = escape(path)
    if method not in _KNOWN_METHODS:
        method = escape(method)
    return (method, _PROTOCOLS[version], route.fragment, b',"path":"', path, b'","status":')


def _response(status: int, bytes_in: int, bytes_out: int, start: float, first_byte: float, now: float) -> Pieces:
    """
    What came of it.
    """
    return (
        _number(status),
        b',"bytes_in":',
        _number(bytes_in),
        b',"bytes_out":',
        _number(bytes_out),
        b',"duration_ms":',
        _milliseconds(now - start),
        b',"ttfb_ms":',
        _milliseconds(first_byte - start) if first_byte else b"null",
    )


def _origin(service: ServiceStats | None, instance: bytes, attempts: int, grpc: int, reason: Reason | None) -> Pieces:
    """
    Who answered, and why if it was the gateway.
    """
    return (
        b',"service":',
        b"null" if service is None else service.fragment,
        b',"instance":"%b","attempts":' % instance if instance else b',"instance":null,"attempts":',
        _number(attempts),
        b',"grpc_status":%d' % grpc if grpc >= 0 else b"",
        b',"reason":null}\n' if reason is None else _REASONS[reason],
    )


def format_entries(entries: Iterable[Entry], offset: float) -> bytes:
    """
    Render entries as lines.

    The request id, client and instance are put in as they are: they were made or checked by the gateway.

    @param offset: what to add to a monotonic time to have the time of day.
    """
    # Many small pieces joined once cost half of one format a line.
    pieces: list[bytes] = []
    opening = _Opening(offset)
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
        user,
        version,
        grpc,
    ) in entries:
        thousandths = opening.thousandths(now)
        pieces += (opening.text, thousandths)
        pieces += _client(request_id, client, user)
        pieces += _request(method, version, route, path)
        pieces += _response(status, bytes_in, bytes_out, start, first_byte, now)
        pieces += _origin(service, instance, attempts, grpc, reason)
    return b"".join(pieces)
