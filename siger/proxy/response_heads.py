"""
The heads of the responses on one connection of HTTP/1.1, found in what came and judged.

An instance says much the same again and again, so a head that is, byte for byte, the one before it is not parsed anew.
"""

from __future__ import annotations

from typing import Final

from siger.errors import Reason
from siger.http.fields import HeadError
from siger.http.grammar import stray_control
from siger.http.response import ResponseHead, ResponseParser

__all__ = ["ResponseHeads"]

_MAX_HEAD: Final = 65536


class ResponseHeads:
    """
    Reads them one after the other.

    @ivar last: the head that was read last, if any was.
    @ivar size: how many bytes it took, with the empty line behind it.
    """

    __slots__ = ("_parser", "_raw", "last", "size")

    def __init__(self, parser: ResponseParser) -> None:
        self._parser = parser
        self._raw = b""
        self.last: ResponseHead | None = None
        self.size = 0

    def read(self, data: bytes) -> ResponseHead | None:
        """
        Read a head that begins with these bytes.

        @return: C{None} if it goes on behind them.
        @raise HeadError: it is no response, or too large for one.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > _MAX_HEAD:
            # An unfinished head may have most of its end.
            if len(data) > _MAX_HEAD + 3 or stray_control(data) is not None:
                raise HeadError(Reason.UPSTREAM_MALFORMED)
            return None
        raw = data[:end]
        head = self.last
        if head is None or raw != self._raw:
            head = self._parser.head(raw)
            self._raw = raw
            self.last = head
        self.size = end + 4
        return head
