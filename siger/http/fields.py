"""
Header sections: field lines parsed strictly and kept ready to be written anew (RFC 9110 section 5).
"""

from __future__ import annotations

__all__ = ["FieldBlock"]


class FieldBlock:
    """
    What one header section said, immutable: framing, connection options and the lines that may travel on.

    @ivar content_length: of the body, or C{None} when the section does not say.
    @ivar chunked: the body is chunked.
    @ivar expect_continue: C{Expect: 100-continue} was there.
    """

    __slots__ = ("chunked", "content_length", "expect_continue")

    def __init__(self) -> None:
        self.content_length: int | None = None
        self.chunked = False
        self.expect_continue = False

    def get(self, name: bytes) -> bytes | None:
        """
        The value of the field with this lower-case name; several lines are joined by C{b", "}.
        """
        raise NotImplementedError

    def items(self) -> list[tuple[bytes, bytes]]:
        """
        All fields in order as (name as received, value), hop-by-hop ones included.
        """
        raise NotImplementedError
