"""
The gRPC service of the benchmarks, and its messages as they are on the wire.

The backend tells by a byte of the message what it is to do, so that it need not decode the headers of each call.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ANSWER", "ECHO", "FAIL", "KIND", "MESSAGES", "NOT_FOUND", "SERVICE", "STREAM", "UNARY", "framed", "request"]

SERVICE: Final = "bench.v1.Bench"

UNARY: Final = "Unary"
"""
One message is answered by one message.
"""

STREAM: Final = "Stream"
"""
One message is answered by a thousand.
"""

ECHO: Final = "Echo"
"""
The answer is the metadata that the backend saw, as JSON.
"""

FAIL: Final = "Fail"
"""
The answer is a status other than OK, in an answer of trailers only.
"""

MESSAGES: Final = 1000
NOT_FOUND: Final = 5
_TEXT: Final = 30


def framed(message: bytes) -> bytes:
    """
    A message behind the five bytes that gRPC puts before each.
    """
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _text(text: str) -> bytes:
    """
    A message of protobuf whose first field is a text of 30 bytes, 32 bytes with the field's head.
    """
    return framed(b"\x0a" + bytes([_TEXT]) + text.encode().ljust(_TEXT, b"."))


KIND: Final = 7
"""
Where the first letter of the method is in a request.
"""

ANSWER: Final = _text("hello, this is the answer")


def request(method: str) -> bytes:
    """
    The request message of a method.
    """
    return _text(method)
