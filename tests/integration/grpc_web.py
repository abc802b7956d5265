"""
gRPC-Web as a browser's library speaks it, over whatever carries a request and its answer (the gRPC project's
PROTOCOL-WEB.md).
"""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

from attrs import Factory, define

__all__ = ["BINARY", "TEXT", "WebAnswer", "decode_text", "encode", "split"]

BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"

_TRAILERS = 0x80
_COMPRESSED = 0x01
_PIECES = re.compile(rb"[^=]*={0,2}")


def encode(*messages: bytes, text: bool = False) -> bytes:
    """
    A request's body.
    """
    body = b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)
    return base64.b64encode(body) if text else body


def decode_text(body: bytes) -> bytes:
    """
    What base64 in pieces says, each piece with its own padding.
    """
    return b"".join(base64.b64decode(piece, validate=True) for piece in _PIECES.findall(body))


def split(body: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """
    The messages of a body, with their flags, and what follows the last complete one.
    """
    found = []
    while len(body) >= 5 and len(body) >= (end := 5 + int.from_bytes(body[1:5], "big")):
        found.append((body[0], body[5:end]))
        body = body[end:]
    return found, body


@define
class WebAnswer:
    """
    What a page gets from a call.

    @ivar fields: of the response, names in lower case.
    @ivar trailers: those that came at the end of the body, C{None} when none did.
    @ivar rest: what no message or trailers explain.
    """

    status: int
    fields: list[tuple[str, str]]
    messages: list[bytes] = Factory(list)
    trailers: list[tuple[str, str]] | None = None
    rest: bytes = b""

    @classmethod
    def read(cls, status: int, fields: list[tuple[str, str]], body: bytes) -> WebAnswer:
        """
        From a complete response.
        """
        answer = cls(status, [(name.lower(), value) for name, value in fields])
        if "text" in answer.field("content-type"):
            body = decode_text(body)
        found, answer.rest = split(body)
        for flags, message in found:
            if flags & _COMPRESSED or answer.trailers is not None:
                answer.rest += message
            elif flags & _TRAILERS:
                answer.trailers = _pairs(message)
            else:
                answer.messages.append(message)
        return answer

    def field(self, name: str) -> str:
        """
        A field of the response, C{""} where there is none.
        """
        return next((value for key, value in self.fields if key == name), "")

    def trailer(self, name: str) -> list[str]:
        """
        Values of a trailer; an answer that has nothing but trailers may have them as fields.
        """
        pairs = self.fields if self.trailers is None else self.trailers
        return [value for key, value in pairs if key == name]

    @property
    def code(self) -> int:
        """
        The status of the call.
        """
        (value,) = self.trailer("grpc-status")
        return int(value)

    @property
    def details(self) -> str:
        """
        What goes with it.
        """
        return unquote("".join(self.trailer("grpc-message")))


def _pairs(block: bytes) -> list[tuple[str, str]]:
    """
    Lines of trailers; each must have its end.
    """
    lines = block.decode("ascii").split("\r\n")
    assert lines.pop() == "", block
    pairs = [line.partition(":") for line in lines]
    assert all(name == name.lower() for name, _, _ in pairs), block
    return [(name, value.strip()) for name, _, value in pairs]
