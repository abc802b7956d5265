"""
gRPC-Web without a connection: trailers as a message, and bodies in base64 (the gRPC project's C{PROTOCOL-WEB.md}).

Browsers show a page neither trailers nor, in some of their interfaces, bytes. So trailers come at the end of the body,
as one more message with a flag of its own, and a body may be base64, which both sides write piece by piece: each piece
that is sent at once is padded, so padding occurs anywhere.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from typing import Final

__all__ = ["Base64Decoder", "encode_base64", "trailers_frame"]

_TRAILERS: Final = b"\x80"
"""The flags of a message that holds trailers, uncompressed."""


def trailers_frame(lines: bytes) -> bytes:
    """
    Trailers as the last message of a body.

    Binary values stay in the base64 that gRPC has them in, in text bodies too, although the protocol would have them
    bare there: that is what clients and other gateways do, and a bare value could hold the end of its line.

    @param lines: trailer lines, each ended by CRLF; names may have any case.
    """
    if lines != lines.lower():
        lines = b"".join([_lower_name(line) for line in lines.split(b"\r\n") if line])
    return b"%b%b%b" % (_TRAILERS, len(lines).to_bytes(4, "big"), lines)


def _lower_name(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    return b"%b%b%b\r\n" % (name.lower(), colon, value)


def encode_base64(data: bytes) -> bytes:
    """
    A piece of a body, padded so that it can be decoded on arrival.
    """
    return b2a_base64(data, newline=False)


class Base64Decoder:
    """
    Decodes a body as it comes, cut anywhere.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """
        Decode what is complete; up to three characters wait for more.

        @raise ValueError: a character outside the alphabet (RFC 4648 section 4), or misplaced padding.
        """
        if self._rest:
            data = self._rest + data
        whole = len(data) & ~3
        self._rest = data[whole:]
        pieces: list[bytes] = []
        position = 0
        while position < whole:
            padding = data.find(b"=", position, whole)
            # Up to the end of the four characters that are padded, if any are.
            end = whole if padding < 0 else (padding | 3) + 1
            pieces.append(a2b_base64(data[position:end], strict_mode=True))
            position = end
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> None:
        """
        Make sure that nothing is missing, at the body's end.

        @raise ValueError: characters wait for more.
        """
        if self._rest:
            raise ValueError("incomplete base64")
