"""
The head of a response from upstream, parsed as strictly as a request's (RFC 9112 sections 4-6).
"""

from __future__ import annotations

import re
from typing import Final

from siger.errors import Reason
from siger.http.fields import HOP_BY_HOP, Field, HeadError, LineTable, drop_named
from siger.http.grammar import decimal, list_members

__all__ = ["CORS_FIELDS", "OWNED", "PRIVATE", "TRAVELS_ON", "ResponseHead", "ResponseParser"]

CORS_FIELDS: Final = frozenset(
    b"access-control-" + name
    for name in (
        b"allow-credentials",
        b"allow-headers",
        b"allow-methods",
        b"allow-origin",
        b"allow-private-network",
        b"expose-headers",
        b"max-age",
    )
)
"""What a response says to browsers about other origins (Fetch standard, "HTTP responses")."""

_status_line = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch

_keep_alive_timeout = re.compile(rb"(?:^|[ \t,])timeout=([0-9]{1,5})(?![0-9])", re.IGNORECASE).search

_IDLE_LIMIT: Final = 55.0
_IDLE_MARGIN: Final = 1.0

_SINGLETONS = frozenset((b"content-length", b"transfer-encoding", b"sec-websocket-accept", b"upgrade"))
TRAVELS_ON: Final = CORS_FIELDS | {b"date"}
OWNED: Final = HOP_BY_HOP | _SINGLETONS | TRAVELS_ON | {b"x-request-id"}
PRIVATE: Final = frozenset((b"set-cookie",))
_NOT_NAMEABLE: Final = OWNED | {b"close", b"set-cookie"}


class ResponseHead:
    """
    What an upstream's response head said, immutable once parsed.

    @ivar status: 100-599.
    @ivar phrase: the reason phrase as received.
    @ivar relay: the lines that travel on, each with its CRLF.
    @ivar length: the declared body length, or C{None}.
    @ivar chunked: the body is chunked.
    @ivar close: the connection cannot be used again.
    @ivar dated: it has a Date; one without gets ours (RFC 9110 section 6.6.1).
    @ivar owned: the fields that the gateway reads itself, by lower-case name.
    @ivar idle_limit: seconds after which an idle connection is better not used again: what C{Keep-Alive: timeout=}
        says, with a margin, or a common default.
    @ivar bodyless: a response with this status never has a body (RFC 9112 section 6.3, item 1).
    """

    __slots__ = ("bodyless", "chunked", "close", "dated", "idle_limit", "length", "owned", "phrase", "relay", "status")

    def __init__(self, status: int, phrase: bytes) -> None:
        self.status = status
        self.phrase = phrase
        self.relay = b""
        self.length: int | None = None
        self.chunked = False
        self.close = False
        self.dated = False
        self.owned: dict[bytes, bytes] = {}
        self.idle_limit = _IDLE_LIMIT
        self.bodyless = status < 200 or status == 204 or status == 304

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status}>"


class ResponseParser:
    """
    Turns response heads into L{ResponseHead}s.

    @ivar max_fields: the number of field lines above which a head is refused.
    """

    __slots__ = ("_table", "max_fields")

    def __init__(self, max_fields: int = 200) -> None:
        self.max_fields = max_fields
        self._table = LineTable(OWNED, (), TRAVELS_ON, PRIVATE, underscores=True)

    def head(self, raw: bytes) -> ResponseHead:
        """
        Parse a head, without the CRLF CRLF that ends it.

        @raise HeadError: it is malformed or too large; the reason is always C{UPSTREAM_MALFORMED}.
        """
        lines = raw.split(b"\r\n")
        match = _status_line(lines[0])
        if match is None:
            raise HeadError(Reason.UPSTREAM_MALFORMED, "The status line is malformed.")
        if len(lines) > self.max_fields + 1:
            raise HeadError(Reason.UPSTREAM_MALFORMED, "Too many header fields.")
        head = ResponseHead(int(match[2]), match[3] or b"")
        # A 1.0 upstream closes unless it says otherwise, and then what it says is not worth relying on.
        head.close = match[1] == b"0"
        del lines[0]
        self._read_fields(head, lines)
        return head

    def _read_fields(self, head: ResponseHead, lines: list[bytes]) -> None:
        relay: list[bytes] = []
        owned = head.owned
        entries = self._table.entries
        for line in lines:
            entry = entries.get(line)
            if entry is None:
                entry = self._learn(line)
            if isinstance(entry, bytes):
                relay.append(entry)
                continue
            relay.append(entry.line)
            if entry.name not in owned:
                owned[entry.name] = entry.value
            elif entry.name in _SINGLETONS:
                raise HeadError(Reason.UPSTREAM_MALFORMED, "A framing field occurs twice.")
            else:
                owned[entry.name] += b", " + entry.value
        if owned:
            self._settle_framing(head)
            relay = self._settle_connection(head, relay)
            head.dated = b"date" in owned
            keep_alive = _keep_alive_timeout(owned.get(b"keep-alive", b""))
            if keep_alive is not None:
                head.idle_limit = min(_IDLE_LIMIT, decimal(keep_alive[1]) - _IDLE_MARGIN)
        head.relay = b"".join(relay)

    def _learn(self, line: bytes) -> bytes | Field:
        try:
            entry, keep = self._table.parse(line)
        except HeadError as error:
            raise HeadError(Reason.UPSTREAM_MALFORMED, error.detail) from None
        if keep:
            self._table.keep(line, entry)
        return entry

    def _settle_framing(self, head: ResponseHead) -> None:
        length = head.owned.get(b"content-length")
        coding = head.owned.get(b"transfer-encoding")
        if length is not None:
            try:
                head.length = decimal(length)
            except ValueError:
                raise HeadError(Reason.UPSTREAM_MALFORMED, "Content-Length is not a number.") from None
        if coding is not None:
            if length is not None or coding.lower() != b"chunked" or head.close:
                raise HeadError(Reason.UPSTREAM_MALFORMED, "Transfer-Encoding cannot be understood.")
            head.chunked = True

    def _settle_connection(self, head: ResponseHead, relay: list[bytes]) -> list[bytes]:
        connection = head.owned.get(b"connection")
        if connection is None:
            return relay
        options = list_members(connection)
        if b"close" in options:
            head.close = True
        named = [option for option in options if option not in _NOT_NAMEABLE]
        return drop_named(relay, named) if named else relay
