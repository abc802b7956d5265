"""
Which calls, as their header sections say, did not go right.
"""

from __future__ import annotations

from collections.abc import Sequence

import hpack

__all__ = ["Section", "wrong_calls"]

Section = tuple[int, bool, bytes]
"""
The stream, whether it is the head of an answer (and not its trailers), and the octets.
"""


def wrong_calls(sections: Sequence[Section]) -> set[int]:
    """
    Decode the sections of one connection, from its first one on and without a gap.

    @return: the streams whose head is not that of a gRPC answer with status 200, or whose trailers are not those of a
        call that went right.
    """
    decoder = hpack.Decoder()
    wrong: set[int] = set()
    for number, (stream, is_head, block) in enumerate(sections):
        try:
            fields = {str(name): str(value) for name, value in decoder.decode(block)}
        except hpack.HPACKError:
            # The table is lost, and with it what all the others mean.
            return wrong | {stream for stream, _, _ in sections[number:]}
        if is_head:
            right = fields.get(":status") == "200" and fields.get("content-type", "").startswith("application/grpc")
        else:
            right = fields.get("grpc-status") == "0"
        if not right:
            wrong.add(stream)
    return wrong
