"""
Which requests are gRPC: told by the media type alone, as every server of gRPC does.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["GRPC", "NOT_GRPC", "WEB", "WEB_TEXT", "kind_of"]

NOT_GRPC: Final = 0
GRPC: Final = 1
WEB: Final = 2
WEB_TEXT: Final = 3

_CAPACITY: Final = 256
_LONGEST_KEPT: Final = 64

# The message format after a plus sign is the two ends' own affair (RFC 6838 section 4.2.8), as parameters are.
_grpc = re.compile(
    rb"application/grpc(-web(?:-text)?)?(?:\+[!#$&\-^_.0-9A-Za-z]*)?[ \t]*(?:;.*)?", re.IGNORECASE
).fullmatch

_kinds: Final[dict[bytes, int]] = {}
# What media types seen before are: a client sends one and the same for ever.


def kind_of(content_type: bytes) -> int:
    """
    What a media type says of a message: L{GRPC}, gRPC-Web in binary (L{WEB}) or in base64 (L{WEB_TEXT}), or
    L{NOT_GRPC}.

    @param content_type: the value of C{Content-Type} or C{Accept}, or C{b""}.
    """
    kind = _kinds.get(content_type)
    return _learn(content_type) if kind is None else kind


def _learn(content_type: bytes) -> int:
    match = _grpc(content_type)
    if match is None:
        kind = NOT_GRPC
    elif match[1] is None:
        kind = GRPC
    else:
        kind = WEB if len(match[1]) == len(b"-web") else WEB_TEXT
    if len(content_type) <= _LONGEST_KEPT:
        if len(_kinds) >= _CAPACITY:
            _kinds.clear()
        _kinds[content_type] = kind
    return kind
