"""
Fields of HTTP/2 sections, judged one by one (RFC 9113 section 8.2).

What a field means is settled once and kept with its entry in the decoder's tables, as L{siger.http.fields.LineTable}
keeps what lines mean. A field has both its forms at once: the line in which HTTP/1.1 and local endpoints get it, and
the packed form for another HTTP/2 connection.
"""

from __future__ import annotations

import re
from typing import Final

from siger.http.fields import Field, canonical_name
from siger.http.grammar import is_value
from siger.http.h2.errors import MalformedError
from siger.http.hpack.decoder import Entry
from siger.http.hpack.encoder import pack_field, pack_secret

__all__ = ["FieldRules"]

_CAPACITY: Final = 4096
_LONGEST_KEPT_NAME: Final = 64

_is_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
"""A token without capitals (section 8.2.1)."""

_CONNECTION_SPECIFIC: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
"""What HTTP/2 says by other means (section 8.2.2)."""

_PLAIN: Final = 0
_SECRET: Final = 1
_OWNED: Final = 2
_CONFUSABLE: Final = 3


class FieldRules:
    """
    What one kind of message may hold.
    """

    __slots__ = ("_kinds", "_owned", "_owned_prefixes", "_private", "_relayed")

    def __init__(
        self,
        owned: frozenset[bytes],
        owned_prefixes: tuple[bytes, ...],
        relayed: frozenset[bytes],
        private: frozenset[bytes],
    ) -> None:
        """
        The parameters are those of L{siger.http.fields.LineTable}.
        """
        self._owned = owned
        self._owned_prefixes = owned_prefixes
        self._relayed = relayed
        self._private = private
        self._kinds: dict[bytes, int] = {}

    def judge(self, entry: Entry) -> Field:
        """
        Find out what a field means, and keep it with the entry.

        @raise MalformedError: it is none that HTTP/2 may carry.
        """
        name, value = entry.name, entry.value
        kind = self._kinds.get(name, -1)
        if kind < 0:
            kind = self._judge_name(name)
        if is_value(value) is None or (value and (value[0] <= 0x20 or value[-1] <= 0x20)):
            raise MalformedError("a value holds what no value may")
        if kind == _PLAIN and not entry.never_indexed:
            field = Field(name, value, b"%b: %b\r\n" % (name, value), pack_field(name, value), False)
        else:
            field = self._unusual(name, value, kind, entry.never_indexed)
        entry.meaning = field
        return field

    def _unusual(self, name: bytes, value: bytes, kind: int, secret: bool) -> Field:
        if kind == _CONFUSABLE:
            return Field(name, value, b"", b"", False)
        owned = kind == _OWNED
        if owned and name == b"te" and value.lower() != b"trailers":
            raise MalformedError("TE holds something else than trailers")
        if owned and name not in self._relayed:
            return Field(name, value, b"")
        secret = secret or kind == _SECRET or name in self._private
        packed = pack_secret(name, value) if secret else pack_field(name, value)
        return Field(name, value, b"%b: %b\r\n" % (name, value), packed, owned)

    def _judge_name(self, name: bytes) -> int:
        if _is_name(name) is None or name in _CONNECTION_SPECIFIC:
            raise MalformedError("a name is none that a field may have")
        canonical = canonical_name(name)
        if canonical in self._owned or canonical.startswith(self._owned_prefixes):
            kind = _OWNED if canonical == name else _CONFUSABLE
        else:
            kind = _SECRET if name in self._private else _PLAIN
        if len(name) <= _LONGEST_KEPT_NAME:
            if len(self._kinds) >= _CAPACITY:
                self._kinds.clear()
            self._kinds[name] = kind
        return kind
