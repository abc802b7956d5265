"""
A body that is one message ("gRPC over HTTP2", C{Length-Prefixed-Message}), uncompressed, as no other is asked for here.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PREFIX", "frame", "only_message"]

PREFIX: Final = 5
"""Bytes before a message: its flags, and four for its length."""


def frame(message: bytes) -> bytes:
    """
    A message as it is sent.
    """
    return b"\0%b%b" % (len(message).to_bytes(4, "big"), message)


def only_message(body: bytes) -> bytes:
    """
    The message in a body.

    @raise ValueError: there is none, more than one, a part of one, or one that is compressed.
    """
    if body[:1] != b"\0" or len(body) - PREFIX != int.from_bytes(body[1:PREFIX], "big"):
        raise ValueError("not one message")
    return body[PREFIX:]
