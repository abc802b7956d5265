"""
The head of a request, whichever version of HTTP it came in.
"""

from __future__ import annotations

from typing import Final

from siger.grpc.content import NOT_GRPC, kind_of
from siger.http.fields import Field
from siger.http.grammar import OWS, list_members

__all__ = ["METHODS", "RequestFields", "RequestHead", "settle_kind"]

METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
"""The methods that are forwarded."""


class RequestFields:
    """
    What one header section said, immutable once parsed.

    @ivar parsed: the fields of an HTTP/2 section, in order; C{None} for a section of text.
    @ivar owned: the fields that the gateway reads, by lower-case name; lists joined by a comma.
    @ivar host: the value of Host, checked, or C{b""}.
    @ivar content_length: of the body, or C{None} when the section does not say.
    @ivar chunked: there is a body whose length is not known beforehand.
    @ivar grpc: what the content type makes of the request; see L{siger.grpc.content}.
    @ivar trailers: C{TE} says that the client takes trailers.
    @ivar close: the client asked for the connection to be closed.
    @ivar expect_continue: C{Expect: 100-continue} was there.
    @ivar upgrade: the protocols of C{Upgrade}, in lower case, when C{Connection} has C{upgrade}; else C{b""}.
    @ivar private: what lines mean that may hold a secret or are long, by their bytes.
    @ivar tail: room for a caller to keep what it derived from this section; belongs to C{tail_key}.
    @ivar packed_tail: the same for HTTP/2; belongs to C{packed_key}.
    @ivar bearer: room for whose token the section holds.
    """

    __slots__ = (
        "_relay",
        "bearer",
        "chunked",
        "close",
        "content_length",
        "expect_continue",
        "grpc",
        "host",
        "owned",
        "packed_key",
        "packed_tail",
        "parsed",
        "private",
        "raw",
        "tail",
        "tail_key",
        "trailers",
        "upgrade",
    )

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._relay: bytes | None = b""
        self.parsed: list[Field] | None = None
        self.owned: dict[bytes, bytes] = {}
        self.private: dict[bytes, bytes | Field] | None = None
        self.host = b""
        self.content_length: int | None = None
        self.chunked = False
        self.grpc = NOT_GRPC
        self.trailers = False
        self.close = False
        self.expect_continue = False
        self.upgrade = b""
        self.tail = b""
        self.tail_key: object = None
        self.packed_tail = b""
        self.packed_key: object = None
        self.bearer: object = None

    @property
    def relay(self) -> bytes:
        """
        The lines that travel on, each with its CRLF, without framing, hop-by-hop and gateway-owned fields.
        """
        relay = self._relay
        if relay is None:
            relay = self._relay = b"".join([field.line for field in self.parsed or ()])
        return relay

    @relay.setter
    def relay(self, lines: bytes | None) -> None:
        self._relay = lines

    def get(self, name: bytes) -> bytes | None:
        """
        The value of the field with this lower-case name; several lines are joined by C{b", "}.
        """
        values = [value for key, value in self.items() if key.lower() == name]
        return b", ".join(values) if values else None

    def items(self) -> list[tuple[bytes, bytes]]:
        """
        All fields in order as (name as received, value), hop-by-hop ones included.
        """
        if self.parsed is not None:
            return [(field.name, field.value) for field in self.parsed]
        pairs = [line.partition(b":") for line in self.raw.split(b"\r\n") if line]
        return [(name, value.strip(OWS)) for name, _, value in pairs]


def settle_kind(fields: RequestFields) -> None:
    """
    Note what the fields that the gateway reads say of the kind of request it is.
    """
    content_type = fields.owned.get(b"content-type")
    if content_type is not None:
        fields.grpc = kind_of(content_type)
    options = fields.owned.get(b"te")
    if options is not None:
        fields.trailers = b"trailers" in list_members(options)


class RequestHead:
    """
    A request head in its one normal form: routing, admission, logs and the forwarded request all read this.

    @ivar method: case-sensitive, a token (RFC 9110 section 9.1).
    @ivar path: absolute, dot segments resolved, only unreserved characters decoded, no empty inner segments; C{b"*"}
        for the asterisk-form of OPTIONS.
    @ivar query: the query as received, with its question mark, or C{b""}.
    @ivar version: of HTTP: 10, 11 or 20.
    @ivar host: the authority of the request: Host, or that of an absolute-form target; C{b""} in HTTP/1.0 without one.
    @ivar fields: everything the header section said.
    """

    __slots__ = ("fields", "host", "method", "path", "query", "version")

    def __init__(
        self, method: bytes, path: bytes, query: bytes, version: int, host: bytes, fields: RequestFields
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.version = version
        self.host = host
        self.fields = fields

    @property
    def takes_trailers(self) -> bool:
        """
        Whether the client looks at trailers. HTTP/1.0 has none, and clients of HTTP/1.1 throw them away unless they say
        otherwise (RFC 9110 section 10.1.4).
        """
        return self.version == 20 or (self.version == 11 and self.fields.trailers)

    def __repr__(self) -> str:
        return f"<RequestHead {self.method.decode('latin-1')} {self.path.decode('latin-1')}>"
