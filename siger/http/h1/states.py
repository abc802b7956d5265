"""
The states of a connection.

Theory of operation. A connection is in one of these states:

    IDLE    between requests, or in the middle of a head
    BODY    a request was handed to the application and more of its body is to come
    WAIT    the request is complete, its response is not
    DRAIN   the response is complete, the request's body is not: its rest is read and dropped, up to a cap
    TUNNEL  the connection was upgraded; bytes pass as they are
    LINGER  everything was said; input is dropped until the client closes too, or for a moment, so that the last
            response is not lost by a reset (RFC 9112 section 9.6)
    CLOSED  nothing more happens

One request is in progress at a time; what a client pipelines waits in a bounded buffer, so responses are in order. A
connection on which anything was unclear is never read as HTTP again: the answer says C{Connection: close}, and
C{LINGER} ends it.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BODY",
    "CLOSED",
    "DRAIN",
    "DRAIN_CAP",
    "DRAIN_SECONDS",
    "IDLE",
    "LINGER",
    "NAMES",
    "TUNNEL",
    "WAIT",
]

IDLE: Final = 0
BODY: Final = 1
WAIT: Final = 2
DRAIN: Final = 3
TUNNEL: Final = 4
LINGER: Final = 5
CLOSED: Final = 6

NAMES: Final = ("idle", "body", "wait", "drain", "tunnel", "linger", "closed")
"""What they are called, for people."""

DRAIN_CAP: Final = 65536
"""Bytes that are dropped at most in C{DRAIN}, and in C{LINGER}."""

DRAIN_SECONDS: Final = 5.0
"""How long either of them lasts at most, unless the client is still reading."""
