"""
Bodies as they come off a connection: by length, in chunks, or until the connection ends (RFC 9112 sections 6 and 7).

A decoder is fed what arrived and says what of it is body and what comes after the message. What two readers could
frame differently raises L{BodyError}: there is no answer but to give the message up.
"""

from __future__ import annotations

import re
from typing import Final

from siger.http.fields import HOP_BY_HOP, canonical_name
from siger.http.grammar import OWS, TCHAR, is_field_line

__all__ = ["BodyError", "ChunkedDecoder", "LengthDecoder", "UntilCloseDecoder", "encode_chunk", "is_forbidden_trailer"]

_MAX_SIZE_LINE: Final = 1024
_MAX_TRAILERS: Final = 16384
_MAX_TRAILER_FIELDS: Final = 64
_OVERHEAD_PER_CHUNK: Final = 16
_OVERHEAD_ALLOWANCE: Final = 16384

_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_size_line = re.compile(
    rb"0{0,16}([0-9A-Fa-f]{1,16})(?:;[" + TCHAR + rb"]+(?:=(?:[" + TCHAR + rb"]+|" + _QUOTED + rb"))?)*"
).fullmatch

_FORBIDDEN_TRAILERS: Final = HOP_BY_HOP | frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"max-forwards",
        b"proxy",
        b"set-cookie",
        b"via",
        b"x-gateway",
        b"x-real-ip",
        b"x-request-id",
    )
)
"""Framing, routing, authentication and gateway fields have no place behind a body (RFC 9110 section 6.5.1)."""

_FORBIDDEN_TRAILER_PREFIXES: Final = (b"x-user-", b"x-internal-", b"x-forwarded-")


class BodyError(Exception):
    """
    The body's framing is broken; nothing that follows on the connection can be trusted.
    """


class LengthDecoder:
    """
    A body of a declared length.

    @ivar remaining: bytes still to come.
    @ivar trailers: always empty.
    """

    __slots__ = ("remaining", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """
        @return: body bytes, and what follows the body, or C{None} while it is not complete.
        """
        size = len(data)
        remaining = self.remaining
        if size < remaining:
            self.remaining = remaining - size
            return data, None
        self.remaining = 0
        if size == remaining:
            return data, b""
        return data[:remaining], data[remaining:]


class UntilCloseDecoder:
    """
    A response body that ends with its connection (RFC 9112 section 6.3, item 8).
    """

    __slots__ = ("trailers",)

    def __init__(self) -> None:
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """
        @return: all of it, and C{None}.
        """
        return data, None


class ChunkedDecoder:
    """
    A chunked body (RFC 9112 section 7.1). Extensions are checked and dropped.

    @ivar trailers: when the body has ended, the trailer lines that may travel on, each with its CRLF.
    """

    __slots__ = ("_buffer", "_left", "_overhead", "_state", "_trailer_count", "_trailer_size", "trailers")

    _SIZE: Final = 0
    _DATA: Final = 1
    _DATA_END: Final = 2
    _TRAILERS: Final = 3

    def __init__(self) -> None:
        self._state = 0
        self._buffer = b""
        self._left = 0
        self._overhead = _OVERHEAD_ALLOWANCE
        self._trailer_count = 0
        self._trailer_size = 0
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """
        @return: body bytes, and what follows the body, or C{None} while it is not complete.
        @raise BodyError: the framing is broken.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes] = []
        position = 0
        size = len(data)
        while position < size:
            if self._state == 1:
                end = position + self._left
                if end > size:
                    pieces.append(data[position:] if position else data)
                    self._left = end - size
                    position = size
                    break
                pieces.append(data[position:end])
                position = end
                self._state = 2
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                self._check_partial(data[position:])
                break
            line = data[position:end]
            position = end + 2
            if self._state == 0:
                self._take_size(line)
            elif self._state == 2:
                if line:
                    raise BodyError("no CRLF after a chunk")
                self._state = 0
            elif not line:
                return b"".join(pieces), data[position:]
            else:
                self._take_trailer(line)
        self._buffer = data[position:]
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), None

    def _take_size(self, line: bytes) -> None:
        match = _size_line(line) if len(line) <= _MAX_SIZE_LINE else None
        if match is None:
            raise BodyError("malformed chunk size")
        self._overhead += _OVERHEAD_PER_CHUNK - len(line) - 4
        if self._overhead < 0:
            raise BodyError("too many bytes of chunk framing")
        self._left = int(match[1], 16)
        self._state = 1 if self._left else 3

    def _take_trailer(self, line: bytes) -> None:
        match = is_field_line(line)
        self._trailer_count += 1
        self._trailer_size += len(line)
        if match is None or self._trailer_count > _MAX_TRAILER_FIELDS or self._trailer_size > _MAX_TRAILERS:
            raise BodyError("malformed trailers")
        if is_forbidden_trailer(match[1]):
            return
        self.trailers += b"%b: %b\r\n" % (match[1], match[2].strip(OWS))

    def _check_partial(self, part: bytes) -> None:
        # Judge an unfinished line at the byte that spoils it: its rest may never come. The CR of its end may be there.
        limit = _MAX_TRAILERS if self._state == 3 else _MAX_SIZE_LINE
        if len(part) > limit + 1 or b"\n" in part or b"\r" in part[:-1] or (self._state == 2 and part != b"\r"):
            raise BodyError("malformed chunk framing")


def is_forbidden_trailer(name: bytes, underscores: bool = False) -> bool:
    """
    Whether a field of this name is taken off when it comes behind a body.

    @param underscores: the name may hold them.
    """
    canonical = canonical_name(name)
    return (
        (b"_" in name and not underscores)
        or canonical in _FORBIDDEN_TRAILERS
        or canonical.startswith(_FORBIDDEN_TRAILER_PREFIXES)
    )


def encode_chunk(data: bytes) -> bytes:
    """
    One chunk that holds C{data}, which is not empty.
    """
    return b"%x\r\n%b\r\n" % (len(data), data)
