"""
Field lines, parsed strictly and kept ready to be written anew (RFC 9110 section 5, RFC 9112 section 5).

Most lines that a gateway sees, it has seen before: the same user agent, the same accepted types, the same host. So a
line is parsed once, by L{LineTable.parse}, and looked up from then on; a table is bounded, and never keeps a line that
may hold a secret. What a line means is settled when it is parsed: it travels on as it is (a C{bytes} entry, rewritten
as C{name: value CRLF}), or it concerns this hop or the gateway's own decisions (a L{Field} entry).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from siger.errors import Reason
from siger.http.grammar import OWS, is_field_line, is_value

__all__ = ["Field", "HeadError", "LineTable", "canonical_name", "drop_named", "without"]

_CAPACITY: Final = 4096
_CACHEABLE_LENGTH: Final = 256
_LONGEST_KEPT_NAME: Final = 64


class HeadError(Exception):
    """
    A head that cannot be accepted.

    @ivar reason: what the client is told.
    @ivar detail: more of it, fixed text only.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.code, detail)
        self.reason = reason
        self.detail = detail


class Field:
    """
    A field line that the gateway itself reads; of HTTP/2, any field.

    @ivar name: in lower case.
    @ivar value: without surrounding whitespace.
    @ivar line: the line as it travels on, or C{b""} if it does not.
    @ivar packed: the same as HTTP/2 writes it, if it came that way.
    @ivar owned: the gateway reads it.
    """

    __slots__ = ("line", "name", "owned", "packed", "value")

    def __init__(self, name: bytes, value: bytes, line: bytes, packed: bytes = b"", owned: bool = True) -> None:
        self.name = name
        self.value = value
        self.line = line
        self.packed = packed
        self.owned = owned


def canonical_name(name: bytes) -> bytes:
    """
    The one spelling under which a CGI-style backend would look this field up: C{_} and C{.} read as C{-}.
    """
    return name.lower().replace(b"_", b"-").replace(b".", b"-")


class LineTable:
    """
    Lines already parsed.

    @ivar entries: what each line means, by its exact bytes. Read it directly; L{parse} and L{keep} what is not in it.
    """

    __slots__ = ("_owned", "_owned_prefixes", "_plain_names", "_private", "_relayed", "_underscores", "entries")

    def __init__(
        self,
        owned: frozenset[bytes],
        owned_prefixes: tuple[bytes, ...],
        relayed: frozenset[bytes],
        private: frozenset[bytes],
        underscores: bool = False,
    ) -> None:
        """
        @param owned: canonical names of fields that the gateway reads itself.
        @param owned_prefixes: starts of such names.
        @param relayed: those of them that travel on all the same.
        @param private: names of fields whose lines are never kept.
        @param underscores: names may hold them, as a client, unlike a backend, does not mistake them for hyphens.
        """
        self.entries: dict[bytes, bytes | Field] = {}
        self._owned = owned
        self._owned_prefixes = owned_prefixes
        self._relayed = relayed
        self._private = private
        self._underscores = underscores
        # Names of lines that simply travel on, as received, and whether their lines may be kept.
        self._plain_names: dict[bytes, bool] = {}

    def parse(self, line: bytes) -> tuple[bytes | Field, bool]:
        """
        Parse a line that is not in L{entries}.

        @return: the line as it travels on, or the field that the gateway reads itself, or C{b""} for a line that would
            pass for such a field at a backend that looks names up as CGI does; and whether it may be kept.
        @raise HeadError: the line is malformed, or its name holds an underscore that it must not.
        """
        colon = line.find(b":")
        keep = self._plain_names.get(line[:colon]) if colon > 0 else None
        if keep is None:
            return self._parse_new(line)
        # The name is known and concerns nobody here; only the value is new.
        value = line[colon + 1 :]
        if is_value(value) is None:
            raise HeadError(Reason.MALFORMED_REQUEST, "A field line is malformed.")
        keep = keep and len(line) <= _CACHEABLE_LENGTH
        if len(value) > 1 and value[0] == 0x20 and value[1] > 0x20 and value[-1] > 0x20:
            return line + b"\r\n", keep
        return b"%b: %b\r\n" % (line[:colon], value.strip(OWS)), keep

    def _parse_new(self, line: bytes) -> tuple[bytes | Field, bool]:
        match = is_field_line(line)
        if match is None:
            raise HeadError(Reason.MALFORMED_REQUEST, "A field line is malformed.")
        name: bytes = match[1]
        value: bytes = match[2].strip(OWS)
        if b"_" in name and not self._underscores:
            raise HeadError(Reason.MALFORMED_REQUEST, "A field name holds an underscore.")
        lower = name.lower()
        canonical = canonical_name(name)
        keep = len(line) <= _CACHEABLE_LENGTH and lower not in self._private
        if canonical not in self._owned and not canonical.startswith(self._owned_prefixes):
            if len(name) <= _LONGEST_KEPT_NAME:
                if len(self._plain_names) >= _CAPACITY:
                    self._plain_names.clear()
                self._plain_names[name] = lower not in self._private
            return b"%b: %b\r\n" % (name, value), keep
        if canonical != lower:
            return b"", keep
        return Field(lower, value, b"%b: %b\r\n" % (name, value) if lower in self._relayed else b""), keep

    def keep(self, line: bytes, entry: bytes | Field) -> None:
        """
        Remember what a line means.
        """
        # Emptying the table is the cheapest eviction there is; a table that is full of lines seen once holds nothing
        # worth keeping.
        if len(self.entries) >= _CAPACITY:
            self.entries.clear()
        self.entries[line] = entry


HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)
"""Fields that concern one connection only, named by C{Connection} or not (RFC 9110 section 7.6.1)."""


def drop_named(lines: list[bytes], names: Collection[bytes]) -> list[bytes]:
    """
    Field lines without those whose name, in lower case, is one of C{names}.
    """
    return [line for line in lines if line and line[: line.index(b":")].lower() not in names]


def without(relay: bytes, names: Collection[bytes]) -> bytes:
    """
    The same for lines in one piece, each ended by CRLF.
    """
    return b"".join(drop_named([line + b"\r\n" for line in relay.split(b"\r\n") if line], names))
