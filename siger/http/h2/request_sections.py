"""
The sections of requests, of which many repeat.

A block whose bytes came before on its connection means what it meant then, as long as HPACK's table is the same; so
what it meant is kept, and it is not decoded again. What is kept is bounded by what it unpacks to: a block may be a
hundredth of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.http.fields import HeadError
from siger.http.h2.lifetime import Lifetime
from siger.http.h2.requests import RequestReader
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.transport import Transport

if TYPE_CHECKING:
    from siger.http.context import ChannelContext
    from siger.http.request import RequestHead

__all__ = ["RequestSections"]

_KEPT_BLOCK: Final = 1024
_KEPT_IN_ALL: Final = 16384


class RequestSections(Lifetime):
    """
    A connection that reads requests.
    """

    __slots__ = ("_heads", "_kept", "_open_heads", "_reader")

    def __init__(
        self, batch: Batch, transport: Transport, context: ChannelContext, reader: RequestReader, terms: Terms
    ) -> None:
        super().__init__(batch, transport, context, reader.static, terms)
        self._reader = reader
        self._heads: dict[bytes, RequestHead] = {}
        self._open_heads: dict[bytes, RequestHead] = {}
        self._kept = 0

    def known_head(self, block: bytes, end: bool) -> RequestHead | None:
        """
        The head that a block holds, if it is known: then the block need not be decoded.

        @param end: the request has no body.
        """
        known = self._heads if end else self._open_heads
        return known.get(block)

    def read_head(self, block: bytes, end: bool) -> RequestHead:
        """
        The head that a block holds.

        @raise MalformedError: it is none.
        @raise HeadError: it is one that is refused.
        """
        entries = self.decode(block)
        if self._decoder.oversized:
            raise HeadError(Reason.HEADERS_TOO_LARGE)
        head = self._reader.head(entries, not end)
        if len(head.path) + len(head.query) > self.limits.request_line:
            raise HeadError(Reason.URI_TOO_LONG)
        if self.repeatable and len(block) <= _KEPT_BLOCK:
            self._keep(block, end, head)
        return head

    def _keep(self, block: bytes, end: bool, head: RequestHead) -> None:
        size = len(block) + self._decoder.size
        if size > _KEPT_IN_ALL:
            return
        if self._kept + size > _KEPT_IN_ALL:
            self._forget_blocks()
        self._kept += size
        known = self._heads if end else self._open_heads
        known[block] = head

    def _forget_blocks(self) -> None:
        self._heads.clear()
        self._open_heads.clear()
        self._kept = 0
