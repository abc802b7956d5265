"""
What a peer can do wrong, by how much of the connection it spoils (RFC 9113 section 5.4).
"""

from __future__ import annotations

__all__ = ["ConnectionFault", "MalformedError", "StreamFault"]


class ConnectionFault(Exception):  # noqa: N818  (the RFC's word is error, which every exception is)
    """
    Nothing that follows on the connection can be understood, or its peer costs too much.

    @ivar code: what GOAWAY says.
    """

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class StreamFault(Exception):  # noqa: N818
    """
    One stream cannot go on; the others are not concerned.

    @ivar code: what RST_STREAM says.
    """

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class MalformedError(Exception):
    """
    A header or trailer section that is not HTTP (RFC 9113 section 8.1.1): a stream error, and never forwarded.
    """
