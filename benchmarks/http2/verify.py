"""
Whether header sections that came said that all was well.
"""

from __future__ import annotations

from collections.abc import Sequence

import hpack

__all__ = ["Section", "wrong_sections"]

Section = tuple[bool, bytes]
"""
Whether it is the head of an answer (and not its trailers), and its octets.
"""


def wrong_sections(sections: Sequence[Section]) -> int:
    """
    Decode the sections of one connection, from its first one on and without a gap.

    @return: how many heads are not those of a gRPC answer with status 200, and trailers not those of a call that went
        right.
    """
    decoder = hpack.Decoder()
    wrong = 0
    for number, (is_head, block) in enumerate(sections):
        try:
            fields = {str(name): str(value) for name, value in decoder.decode(block)}
        except hpack.HPACKError:
            return wrong + len(sections) - number  # the table is lost, and with it what the others mean
        if is_head:
            right = fields.get(":status") == "200" and fields.get("content-type", "").startswith("application/grpc")
        else:
            right = fields.get("grpc-status") == "0"
        wrong += not right
    return wrong
