"""
From the decoded fields of HTTP/2 to request heads, the same that HTTP/1.1 makes (RFC 9113 sections 8.1 to 8.3).

What the RFC calls malformed raises L{MalformedError}: the stream is reset, and nothing is answered. What is well-formed
and not taken here raises L{HeadError}, as on HTTP/1.1, and is answered.
"""

from __future__ import annotations

from typing import Final

from siger.errors import Reason
from siger.grpc.content import NOT_GRPC
from siger.http.body import is_forbidden_trailer
from siger.http.field_names import OWNED, OWNED_PREFIXES, PRIVATE, SINGLETONS, TRAVELS_ON
from siger.http.fields import Field, HeadError
from siger.http.grammar import decimal
from siger.http.h2.errors import MalformedError
from siger.http.h2.fields import FieldRules
from siger.http.hpack.decoder import Entry, static_entries
from siger.http.hpack.encoder import pack_secret
from siger.http.request import RequestFields, RequestHead, settle_kind
from siger.http.request_parser import RequestParser
from siger.http.target import parse_authority

__all__ = ["RequestReader"]

_CAPACITY: Final = 1024
_COLON: Final = 0x3A


class RequestReader:
    """
    Reads the requests of all connections.

    @ivar static: the static table's entries, for their decoders.
    """

    __slots__ = ("_authorities", "_parser", "_rules", "static")

    def __init__(self, parser: RequestParser) -> None:
        self._parser = parser
        self._rules = FieldRules(OWNED, OWNED_PREFIXES, TRAVELS_ON, PRIVATE)
        self._authorities: dict[bytes, bytes] = {}
        self.static = static_entries()

    def head(self, entries: list[Entry], bodied: bool) -> RequestHead:
        """
        Make a head of a section.

        @param bodied: more than the section is to come on the stream.
        @raise MalformedError: it is no request.
        @raise HeadError: it is one that is not taken here.
        """
        method = path = scheme = authority = None
        first = 0
        for entry in entries:
            name = entry.name
            if name == b":path" and path is None:
                path = entry.value
            elif name == b":method" and method is None:
                method = entry.value
            elif name == b":scheme" and scheme is None:
                scheme = entry.value
            elif name == b":authority" and authority is None:
                authority = entry.value
            else:
                break
            first += 1
        fields = RequestFields(b"")
        self._read_fields(fields, entries, first)
        if method is None or (method != b"CONNECT" and (path is None or scheme is None)):
            raise MalformedError("a request lacks a pseudo-header field")
        if method == b"CONNECT":
            raise HeadError(Reason.METHOD_NOT_ALLOWED)
        assert path is not None
        assert scheme is not None
        self._settle(fields, bodied)
        _check_underscores(fields)
        self._settle_authority(fields, authority)
        return self._resolve(method, path, scheme, fields)

    def _read_fields(self, fields: RequestFields, entries: list[Entry], first: int) -> None:
        rules = self._rules
        parsed: list[Field] = []
        values = fields.owned
        cookies = 0
        for index in range(first, len(entries)):
            entry = entries[index]
            known = entry.meaning
            field = known if isinstance(known, Field) else rules.judge(entry)
            parsed.append(field)
            if field.owned:
                self._own(values, field)
            elif field.name == b"cookie":
                cookies += 1
        fields.parsed = _join_cookies(parsed) if cookies > 1 else parsed
        fields.relay = None

    def _own(self, values: dict[bytes, bytes], field: Field) -> None:
        name = field.name
        if name not in values:
            values[name] = field.value
        elif name in SINGLETONS:
            if name == b"content-length":
                raise MalformedError("Content-Length occurs twice")
            reason = Reason.INVALID_HOST if name == b"host" else Reason.MALFORMED_REQUEST
            raise HeadError(reason, "A field that may occur once occurs twice.")
        else:
            values[name] += b", " + field.value

    def _settle(self, fields: RequestFields, bodied: bool) -> None:
        values = fields.owned
        length = values.get(b"content-length")
        if length is not None:
            try:
                fields.content_length = decimal(length)
            except ValueError:
                raise MalformedError("Content-Length is not a number") from None
            if fields.content_length and not bodied:
                raise MalformedError("a body was declared, and there is none")
            if not fields.content_length and bodied:
                # Whether there is none is known only when the stream ends, and must not be told before.
                fields.content_length = None
                fields.chunked = True
        elif bodied:
            fields.chunked = True
        settle_kind(fields)
        expect = values.get(b"expect")
        if expect is not None:
            if expect.lower() != b"100-continue":
                raise HeadError(Reason.EXPECTATION_FAILED)
            fields.expect_continue = fields.chunked or bool(fields.content_length)

    def _settle_authority(self, fields: RequestFields, authority: bytes | None) -> None:
        # Section 8.3.1: what a server calls the host is in :authority, and Host may only say the same.
        host = fields.owned.get(b"host")
        if not authority:
            if not host:
                raise HeadError(Reason.INVALID_HOST, "The request names no host.")
            authority = host
        elif host is not None and host.lower() != authority.lower():
            raise HeadError(Reason.INVALID_HOST, "The authority and the Host field differ.")
        known = self._authorities.get(authority)
        if known is None:
            known = parse_authority(authority)
            if len(self._authorities) >= _CAPACITY:
                self._authorities.clear()
            self._authorities[authority] = known
        fields.host = known

    def _resolve(self, method: bytes, path: bytes, scheme: bytes, fields: RequestFields) -> RequestHead:
        if not path:
            raise MalformedError("the path is empty")
        if path[0] != 0x2F and not (path == b"*" and method == b"OPTIONS"):
            raise HeadError(Reason.INVALID_TARGET, "The path does not begin with a slash.")
        if scheme not in (b"http", b"https"):
            raise HeadError(Reason.MALFORMED_REQUEST, "The scheme is neither http nor https.")
        return self._parser.resolve(method, path, 20, fields)

    def trailers(self, entries: list[Entry]) -> bytes:
        """
        The lines of a trailer section that may travel on.

        @raise MalformedError: it is none.
        """
        lines: list[bytes] = []
        for entry in entries:
            known = entry.meaning
            field = known if isinstance(known, Field) else self._rules.judge(entry)
            if not field.owned and field.line and not is_forbidden_trailer(field.name):
                lines.append(field.line)
        return b"".join(lines)


def _check_underscores(fields: RequestFields) -> None:
    # gRPC's metadata may have them, and no backend of gRPC mistakes them for hyphens; fields of the gateway's own that
    # are written so were dropped.
    if fields.grpc == NOT_GRPC and any(b"_" in field.name for field in fields.parsed or ()):
        raise HeadError(Reason.MALFORMED_REQUEST, "A field name holds an underscore.")


def _join_cookies(parsed: list[Field]) -> list[Field]:
    # Section 8.2.3: crumbs are one field again before anybody else sees them.
    crumbs = b"; ".join([field.value for field in parsed if field.name == b"cookie"])
    whole = Field(b"cookie", crumbs, b"cookie: %b\r\n" % crumbs, pack_secret(b"cookie", crumbs), False)
    return [*(field for field in parsed if field.name != b"cookie"), whole]
