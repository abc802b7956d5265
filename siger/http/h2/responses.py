"""
From the decoded fields of HTTP/2 to response heads, the same that HTTP/1.1 makes (RFC 9113 sections 8.1 to 8.3).
"""

from __future__ import annotations

import re

from siger.http.body import is_forbidden_trailer
from siger.http.fields import Field
from siger.http.grammar import decimal
from siger.http.h2.errors import MalformedError
from siger.http.h2.fields import FieldRules
from siger.http.hpack.decoder import Entry, static_entries
from siger.http.problem import phrase
from siger.http.response import OWNED, PRIVATE, TRAVELS_ON, ResponseHead

__all__ = ["ResponseReader"]

_is_status = re.compile(rb"[1-5][0-9]{2}").fullmatch


class ResponseReader:
    """
    Reads the responses of all connections.

    @ivar static: the static table's entries, for their decoders.
    """

    __slots__ = ("_rules", "static")

    def __init__(self) -> None:
        self._rules = FieldRules(OWNED, (), TRAVELS_ON, PRIVATE)
        self.static = static_entries()

    def head(self, entries: list[Entry]) -> ResponseHead:
        """
        Make a head of a section.

        @raise MalformedError: it is no response.
        """
        if not entries or entries[0].name != b":status" or _is_status(entries[0].value) is None:
            raise MalformedError("a response lacks a status")
        status = decimal(entries[0].value)
        head = ResponseHead(status, phrase(status))
        lines: list[bytes] = []
        owned = head.owned
        for index in range(1, len(entries)):
            field = self._field(entries[index])
            lines.append(field.line)
            if field.owned:
                if field.name == b"content-length" and b"content-length" in owned:
                    raise MalformedError("Content-Length occurs twice")
                before = owned.get(field.name)
                owned[field.name] = field.value if before is None else b"%b, %b" % (before, field.value)
        head.relay = b"".join(lines)
        head.dated = b"date" in owned
        length = owned.get(b"content-length")
        if length is not None:
            try:
                head.length = decimal(length)
            except ValueError:
                raise MalformedError("Content-Length is not a number") from None
        return head

    def trailers(self, entries: list[Entry]) -> bytes:
        """
        The lines of a trailer section that may travel on.

        @raise MalformedError: it is none.
        """
        lines: list[bytes] = []
        for entry in entries:
            field = self._field(entry)
            if field.line and not is_forbidden_trailer(field.name, underscores=True):
                lines.append(field.line)
        return b"".join(lines)

    def _field(self, entry: Entry) -> Field:
        known = entry.meaning
        return known if isinstance(known, Field) else self._rules.judge(entry)
