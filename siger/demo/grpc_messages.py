"""
The messages of gRPC's own example C{helloworld.proto}: C{HelloRequest} and C{HelloReply} have one text each, as
field 1.

That much of Protocol Buffers is soon written by hand, so the demonstration needs no code that is generated.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SERVING", "decode_text", "encode_text"]

SERVING: Final = b"\x08\x01"
"""
C{grpc.health.v1.HealthCheckResponse}: all is well.
"""

_TEXT: Final = b"\x0a"  # field 1, of a length that follows


def encode_text(text: str) -> bytes:
    """
    A message with this text.
    """
    content = text.encode("utf-8", "replace")
    return _TEXT + _varint(len(content)) + content if content else b""


def decode_text(message: bytes) -> str:
    """
    The text of a message.

    @raise ValueError: it has something else in it.
    """
    if not message:
        return ""
    length, start = 0, 1
    while start < len(message) and message[start] & 0x80:
        start += 1
    for byte in reversed(message[1 : start + 1]):
        length = length << 7 | byte & 0x7F
    content = message[start + 1 :]
    if message[:1] != _TEXT or len(content) != length:
        raise ValueError("not a message with one text")
    return content.decode("utf-8")


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
