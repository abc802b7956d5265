"""
The sections of responses, of which many repeat.

A block whose bytes came before on its connection means what it meant then, as long as HPACK's table is the same; so
what it meant is kept, and it is not decoded again. What is kept is bounded, since the instance decides what comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from siger.http.deadlines import Deadlines
from siger.http.h2.connection import Http2Connection
from siger.http.h2.constants import PROTOCOL_ERROR
from siger.http.h2.errors import MalformedError, StreamFault
from siger.http.h2.responses import ResponseReader
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.hpack.decoder import Entry
from siger.http.response import ResponseHead
from siger.http.transport import Transport

__all__ = ["ResponseSections"]

_KEPT_SECTIONS: Final = 64
_KEPT_BLOCK: Final = 1024

_Section = TypeVar("_Section")


class ResponseSections(Http2Connection):
    """
    A connection that reads responses.
    """

    __slots__ = ("_heads", "_reader", "_trailers")

    def __init__(
        self, batch: Batch, transport: Transport, deadlines: Deadlines, reader: ResponseReader, terms: Terms
    ) -> None:
        super().__init__(batch, transport, deadlines, reader.static, terms)
        self._reader = reader
        self._heads: dict[bytes, ResponseHead] = {}
        self._trailers: dict[bytes, bytes] = {}

    def read_head(self, block: bytes) -> ResponseHead:
        """
        The head that a block holds.

        @raise StreamFault: it holds none, or one that is too large.
        """
        head = self._heads.get(block)
        return self._read_section(block, self._heads, self._reader.head) if head is None else head

    def read_trailers(self, block: bytes) -> bytes:
        """
        The trailer lines that a block holds.

        @raise StreamFault: it holds something else, or too much.
        """
        lines = self._trailers.get(block)
        return self._read_section(block, self._trailers, self._reader.trailers) if lines is None else lines

    def _read_section(
        self, block: bytes, kept: dict[bytes, _Section], read: Callable[[list[Entry]], _Section]
    ) -> _Section:
        entries = self.decode(block)
        try:
            if self._decoder.oversized:
                raise MalformedError("the section is too large")
            section = read(entries)
        except MalformedError as error:
            raise StreamFault(PROTOCOL_ERROR, str(error)) from None
        if self.repeatable and len(block) <= _KEPT_BLOCK:
            if len(kept) >= _KEPT_SECTIONS:
                kept.clear()
            kept[block] = section
        return section

    def _forget_blocks(self) -> None:
        self._heads.clear()
        self._trailers.clear()
