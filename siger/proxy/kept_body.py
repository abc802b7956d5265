"""
What is kept of a request's body, so that it can be sent again.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MOST", "KeptBody"]

MOST: Final = 65536
"""How much of a body is kept when it was sent already, in bytes; of what comes in one piece, whatever comes."""


class KeptBody:
    """
    All of a body that has come so far, or none of it: a part of one is of no use.

    @ivar pieces: in order.
    """

    __slots__ = ("_size", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes, sent: bool) -> bool:
        """
        Keep more of it.

        @param sent: it is on its way to an instance already, and only has to be here if it may be sent again.
        @return: whether it is kept; if not, it is too much, and the rest is of no use either.
        """
        self._size += len(data)
        if sent and self.pieces and self._size > MOST:
            return False
        self.pieces.append(data)
        return True
