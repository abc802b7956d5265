"""
The head of a request in HTTP/1.1, parsed strictly (RFC 9112 sections 2-6).

What is ambiguous is refused, never repaired: a message that two readers could frame differently is how requests are
smuggled. A header section usually repeats, byte for byte, on one connection, so L{RequestParser.fields} is given its
bytes alone and channels keep the last result.
"""

from __future__ import annotations

from typing import Final

from siger.errors import Reason
from siger.http.field_names import NOT_NAMEABLE, OWNED, OWNED_PREFIXES, PRIVATE, SINGLETONS, TRAVELS_ON
from siger.http.fields import Field, HeadError, LineTable, drop_named
from siger.http.grammar import decimal, is_token, is_version, list_members
from siger.http.request import METHODS, RequestFields, RequestHead, settle_kind
from siger.http.target import clean_target, is_clean_path, parse_authority, split_target

__all__ = ["RequestParser"]

_REFUSED_METHODS: Final = frozenset((b"TRACE", b"TRACK", b"CONNECT"))
_LONGEST_LINE: Final = 16384

_STEERING: Final = frozenset((b"connection", b"content-length", b"expect", b"transfer-encoding"))
"""Fields that decide how the message and the connection go on; without any of them, there is nothing to decide."""


class RequestParser:
    """
    Turns the two parts of a head, request-line and header section, into a L{RequestHead}.

    @ivar max_fields: the number of field lines above which a section is refused.
    """

    __slots__ = ("_table", "max_fields")

    def __init__(self, max_fields: int = 100) -> None:
        self.max_fields = max_fields
        self._table = LineTable(OWNED, OWNED_PREFIXES, TRAVELS_ON, PRIVATE)

    def head(self, line: bytes, fields: RequestFields) -> RequestHead:
        """
        Parse a request-line, without its CRLF, over header fields already parsed.

        @raise HeadError: the line, or the two together, are not acceptable.
        """
        method, target, version = self.request_line(line)
        if version == 11:
            if not fields.host:
                raise HeadError(Reason.INVALID_HOST, "The Host field is missing or empty.")
        elif fields.chunked:
            raise HeadError(Reason.INVALID_FRAMING, "Transfer-Encoding is not part of HTTP/1.0.")
        return self.resolve(method, target, version, fields)

    def resolve(self, method: bytes, target: bytes, version: int, fields: RequestFields) -> RequestHead:
        """
        Bring a target into its normal form.

        @param fields: which have a host, unless the target has one.
        @raise HeadError: method or target are not acceptable.
        """
        if method in METHODS:
            if is_clean_path(target) is not None:
                return RequestHead(method, target, b"", version, fields.host, fields)
            match = clean_target(target)
            if match is not None:
                return RequestHead(method, match[1], match[2] or b"", version, fields.host, fields)
        return self._unusual_head(method, target, version, fields)

    def request_line(self, line: bytes) -> tuple[bytes, bytes, int]:
        """
        Take a request-line apart (RFC 9112 section 3) as far as it can be judged without the fields.

        @return: method, target and version.
        @raise HeadError: it is not three words, or the version is not spoken here.
        """
        parts = line.split(b" ")
        if len(parts) != 3:
            raise HeadError(Reason.MALFORMED_REQUEST, "The request line is not method, target and version.")
        method, target, named = parts
        if named == b"HTTP/1.1":
            return method, target, 11
        if named == b"HTTP/1.0":
            return method, target, 10
        reason = Reason.MALFORMED_REQUEST if is_version(named) is None else Reason.VERSION_UNSUPPORTED
        raise HeadError(reason, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")

    def _unusual_head(self, method: bytes, target: bytes, version: int, fields: RequestFields) -> RequestHead:
        # Everything that the fast path did not recognise as plain: other methods, other target forms, escapes, dots.
        self._check_method(method)
        if target == b"*" and method == b"OPTIONS":
            return RequestHead(method, b"*", b"", version, fields.host, fields)
        authority, path, query = split_target(target)
        if authority and fields.host and authority.lower() != fields.host.lower():
            raise HeadError(Reason.INVALID_HOST, "The target's authority and the Host field differ.")
        return RequestHead(method, path, query, version, authority or fields.host, fields)

    def _check_method(self, method: bytes) -> None:
        if method in METHODS:
            return
        if is_token(method) is None:
            raise HeadError(Reason.MALFORMED_REQUEST, "The method is not a token.")
        if method in _REFUSED_METHODS:
            raise HeadError(Reason.METHOD_NOT_ALLOWED)
        raise HeadError(Reason.METHOD_UNKNOWN)

    def fields(self, raw: bytes, before: RequestFields | None = None) -> RequestFields:
        """
        Parse a header section, without the CRLF that ends its last line.

        @param before: the last section on the same connection: lines that the table must not keep, but that repeat on
            a connection, are remembered there.
        @raise HeadError: it is malformed, ambiguous or too large.
        """
        fields = RequestFields(raw)
        if not raw:
            return fields
        lines = raw.split(b"\r\n")
        if len(lines) > self.max_fields:
            raise HeadError(Reason.HEADERS_TOO_LARGE, "Too many header fields.")
        relay: list[bytes] = []
        owned: list[Field] = []
        entries = self._table.entries
        for line in lines:
            entry = entries.get(line)
            if entry is None:
                entry = self._learn(line, fields, before)
            if isinstance(entry, bytes):
                relay.append(entry)
            else:
                relay.append(entry.line)
                owned.append(entry)
        self._settle(fields, owned, relay)
        return fields

    def _learn(self, line: bytes, fields: RequestFields, before: RequestFields | None) -> bytes | Field:
        if before is not None and before.private is not None:
            known = before.private.get(line)
            if known is not None:
                return self._keep_private(fields, line, known)
        if len(line) > _LONGEST_LINE:
            raise HeadError(Reason.HEADERS_TOO_LARGE, "A header field is too long.")
        entry, keep = self._table.parse(line)
        if isinstance(entry, Field) and entry.name == b"host":
            entry.value = parse_authority(entry.value)
        if not keep:
            return self._keep_private(fields, line, entry)
        self._table.keep(line, entry)
        return entry

    def _keep_private(self, fields: RequestFields, line: bytes, entry: bytes | Field) -> bytes | Field:
        if fields.private is None:
            fields.private = {}
        fields.private[line] = entry
        return entry

    def _settle(self, fields: RequestFields, owned: list[Field], relay: list[bytes]) -> None:
        if len(owned) == 1 and owned[0].name == b"host":
            fields.host = owned[0].value
            fields.relay = b"".join(relay)
            return
        values = fields.owned
        for field in owned:
            name = field.name
            if name in values:
                if name in SINGLETONS:
                    reason = Reason.INVALID_HOST if name == b"host" else Reason.MALFORMED_REQUEST
                    raise HeadError(reason, "A field that may occur once occurs twice.")
                values[name] += b", " + field.value
            else:
                values[name] = field.value
        fields.host = values.get(b"host", b"")
        settle_kind(fields)
        if values.keys().isdisjoint(_STEERING):
            fields.relay = b"".join(relay)
            return
        self._settle_framing(fields, values)
        self._settle_connection(fields, values, relay)

    def _settle_framing(self, fields: RequestFields, values: dict[bytes, bytes]) -> None:
        length = values.get(b"content-length")
        coding = values.get(b"transfer-encoding")
        if length is not None:
            if coding is not None:
                raise HeadError(Reason.INVALID_FRAMING, "Content-Length and Transfer-Encoding exclude each other.")
            try:
                fields.content_length = decimal(length)
            except ValueError:
                raise HeadError(Reason.INVALID_FRAMING, "Content-Length is not a number.") from None
        elif coding is not None:
            if coding.lower() != b"chunked":
                raise HeadError(Reason.TRANSFER_CODING, "The only transfer coding understood is chunked.")
            fields.chunked = True
        expect = values.get(b"expect")
        if expect is not None:
            if expect.lower() != b"100-continue":
                raise HeadError(Reason.EXPECTATION_FAILED)
            fields.expect_continue = fields.chunked or bool(fields.content_length)

    def _settle_connection(self, fields: RequestFields, values: dict[bytes, bytes], relay: list[bytes]) -> None:
        connection = values.get(b"connection")
        if connection is not None:
            options = list_members(connection)
            fields.close = b"close" in options
            if b"upgrade" in options and b"upgrade" in values:
                fields.upgrade = values[b"upgrade"].lower()
            named = [option for option in options if option not in NOT_NAMEABLE]
            if named:
                relay = drop_named(relay, named)
        fields.relay = b"".join(relay)
