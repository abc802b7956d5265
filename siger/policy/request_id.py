"""
A name for each request, the same in logs, at the backend and at the client.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final

__all__ = ["RequestIds"]

_SIZE: Final = 16
_POOLED: Final = 256

_acceptable = re.compile(rb"[A-Za-z0-9._-]{8,64}").fullmatch


class RequestIds:
    """
    Makes ids of 128 random bits as 32 hexadecimal digits.

    Asking the kernel for a few kilobytes at a time costs a tenth of asking for each id.
    """

    __slots__ = ("_pool", "_position", "_source")

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._pool = ""
        self._position = 0

    def new(self) -> bytes:
        """
        An id that was never used before.
        """
        start = self._position
        if start >= len(self._pool):
            self._pool = self._source(_SIZE * _POOLED).hex()
            start = 0
        self._position = end = start + 2 * _SIZE
        return self._pool[start:end].encode("ascii")

    def take(self, claimed: bytes | None) -> bytes:
        """
        The client's own id if it has an acceptable form (8 to 64 letters, digits, dots, hyphens, underscores), else a
        new one.
        """
        if claimed is not None and _acceptable(claimed) is not None:
            return claimed
        return self.new()
