"""
Header and trailer sections as they come, in one frame or several (RFC 9113 sections 4.3, 6.2 and 6.10).

Each block has to be decoded, and only once, whatever becomes of its stream: the decoder's table is the connection's.
"""

from __future__ import annotations

from typing import Final

from siger.http.deadlines import NEVER, Deadlines
from siger.http.h2.constants import (
    COMPRESSION_ERROR,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    PADDED,
    PRIORITY_FLAG,
    PROTOCOL_ERROR,
)
from siger.http.h2.errors import ConnectionFault
from siger.http.h2.terms import Terms
from siger.http.h2.windows import Windows
from siger.http.h2.writing import Batch
from siger.http.hpack.decoder import Decoder, Entry, HpackError
from siger.http.transport import Transport

__all__ = ["Sections"]

_MAX_CONTINUATIONS: Final = 8


class Sections(Windows):
    """
    A connection that reads sections.

    @ivar repeatable: the block that was decoded last left the decoder as it was, so that its bytes mean the same again.
    @ivar deadline: when the connection wants to look after itself; see L{siger.http.deadlines}.
    """

    __slots__ = (
        "_block",
        "_block_end",
        "_block_frames",
        "_block_since",
        "_block_size",
        "_block_stream",
        "_decoder",
        "_generation",
        "_max_block",
        "deadline",
        "repeatable",
    )

    def __init__(
        self, batch: Batch, transport: Transport, deadlines: Deadlines, static: list[Entry], terms: Terms
    ) -> None:
        """
        @param static: the entries of the static table, which all connections of the role share.
        """
        super().__init__(batch, transport, deadlines, terms)
        self.deadline = NEVER
        self._decoder = Decoder(static, max_list_size=terms.max_block, max_fields=terms.max_fields)
        self._generation = 0
        self.repeatable = False
        self._max_block = terms.max_block
        self._block: list[bytes] | None = None
        self._block_since = deadlines.now
        self._block_stream = 0
        self._block_end = False
        self._block_size = 0
        self._block_frames = 0

    def _read_headers(self, number: int, flags: int, data: bytes, start: int, end: int) -> None:
        if number == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & PADDED:
            padding = self._padding(data, start, end)
            start += 1
            end -= padding
        if flags & PRIORITY_FLAG:
            if end - start < 5:
                # Section 6.2: it is the padding's fault where there is some.
                code = PROTOCOL_ERROR if flags & PADDED else FRAME_SIZE_ERROR
                raise ConnectionFault(code, "HEADERS is too short for its flags")
            # Priorities are nobody's any more (section 5.3.2); that a stream depends on itself never made sense.
            if int.from_bytes(data[start : start + 4], "big") & 0x7FFFFFFF == number:
                self._depends_on_itself(number)
            start += 5
        block = data[start:end] if start < end else b""
        if flags & END_HEADERS:
            self._take_block(number, block, flags & END_STREAM != 0)
            return
        self._block = [block]
        self._block_since = self.now
        self.deadline = 0.0
        self._block_stream = number
        self._block_end = flags & END_STREAM != 0
        self._block_size = len(block)
        self._block_frames = 0

    def _padding(self, data: bytes, start: int, end: int) -> int:
        # Section 6.1: padding that is as long as what holds it.
        if start == end or data[start] >= end - start:
            raise ConnectionFault(PROTOCOL_ERROR, "the padding is longer than its frame")
        return data[start]

    def _depends_on_itself(self, number: int) -> None:
        raise ConnectionFault(PROTOCOL_ERROR, "a stream depends on itself")

    def _read_continuation(self, flags: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS before it")
        block.append(payload)
        self._block_size += len(payload)
        self._block_frames += 1
        if self._block_frames > _MAX_CONTINUATIONS or self._block_size > self._max_block:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "a header block does not end")
        if flags & END_HEADERS:
            self._block = None
            self._take_block(self._block_stream, b"".join(block), self._block_end)

    def _take_block(self, number: int, block: bytes, end: bool) -> None:
        """
        A whole header block has come.
        """
        raise NotImplementedError

    def decode(self, block: bytes) -> list[Entry]:
        """
        Decode a block: each has to be, and only once, whatever becomes of its stream.
        """
        try:
            entries = self._decoder.decode(block)
        except HpackError as error:
            raise ConnectionFault(COMPRESSION_ERROR, str(error)) from None
        generation = self._decoder.generation
        self.repeatable = generation == self._generation
        if not self.repeatable:
            self._generation = generation
            self._forget_blocks()
        return entries

    @property
    def oversized(self) -> bool:
        """
        Whether the section that was decoded last held more than was kept of it.
        """
        return self._decoder.oversized

    def _forget_blocks(self) -> None:
        """
        A block, of whatever stream, changed the decoder's table: what the bytes of others meant, they mean no more.
        """
        raise NotImplementedError
