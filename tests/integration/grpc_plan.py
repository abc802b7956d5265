"""
What a test asks of the gRPC server: a small document that says how the call is to be answered.

It is padded with spaces where a request has to have some size, which JSON does not mind.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from attrs import asdict, frozen

__all__ = ["SERVICE", "Plan", "content"]

SERVICE = "siger.interop.v1.Test"
"""
The gRPC service that tests call. The server knows all names of the package, so that each can have rules of its own.
"""

_PIECE = bytes(range(256))

Pairs = Sequence[tuple[str, str]]


@cache
def content(size: int) -> bytes:
    """
    A message of so many bytes, which no other size begins like.
    """
    begin = size.to_bytes(8, "big")
    return (begin + _PIECE * (size // len(_PIECE) + 1))[:size]


@frozen
class Plan:
    """
    How a call is to be answered.

    @ivar sizes: of the messages.
    @ivar sleep: seconds before anything else.
    @ivar gated: whether each message after the first waits until the test lets it go.
    @ivar code: the status, as a number.
    @ivar message: what goes with it.
    @ivar initial: metadata before the messages; values of names that end in C{-bin} in Latin-1.
    @ivar trailing: metadata after them.
    @ivar compress: whether messages are compressed.
    @ivar last: whether the call ends then, whatever the client has still to send.
    @ivar cancel: whether the server cancels the call instead of ending it.
    """

    sizes: Sequence[int] = ()
    sleep: float = 0.0
    gated: bool = False
    code: int = 0
    message: str = ""
    initial: Pairs = ()
    trailing: Pairs = ()
    compress: bool = False
    last: bool = False
    cancel: bool = False

    def encode(self, size: int = 0) -> bytes:
        """
        As a request.

        @param size: at least so many bytes.
        """
        said = {name: value for name, value in asdict(self).items() if value}
        return json.dumps(said, separators=(",", ":")).encode().ljust(size)

    @classmethod
    def decode(cls, request: bytes) -> Plan:
        """
        From a request.
        """
        found: dict[str, Any] = json.loads(request)
        return cls(**found)
