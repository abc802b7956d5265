"""
The header that a load balancer sends ahead of a connection to say whose it is: PROXY protocol versions 1 and 2, as
specified by HAProxy's C{proxy-protocol.txt}.

Whoever may send such a header decides which address is limited, logged and believed, so anything that is not exactly
one is an error at its first wrong byte. Nothing is guessed: a connection either has to begin with a header or may not.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from siger.http.grammar import decimal

__all__ = ["HeaderError", "parse_header"]

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
"""How version 2 begins (section 2.2): like nothing that HTTP allows."""

LONGEST_LINE: Final = 107
"""The longest line of version 1, with its CRLF (section 2.1)."""

LONGEST_BLOCK: Final = 2048
"""How much may follow the fixed part of version 2: addresses take up to 216 bytes, names and certificates the rest."""

_BEGINNINGS: Final = (b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN", SIGNATURE)

_PORT: Final = rb"(0|[1-9][0-9]{0,4})"
_tcp4 = re.compile(rb"PROXY TCP4 ([0-9.]{7,15}) ([0-9.]{7,15}) " + _PORT + b" " + _PORT).fullmatch
_tcp6 = re.compile(rb"PROXY TCP6 ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) " + _PORT + b" " + _PORT).fullmatch
_unknown = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?").fullmatch
_broken_end = re.compile(rb"(?<!\r)\n|\r(?=[^\n])").search

_FIXED_PART: Final = 16
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_ADDRESS_LENGTHS: Final = {1: 12, 2: 36, 3: 216}
_CRC32C: Final = 3


class HeaderError(Exception):
    """
    A connection that does not begin as it must; the argument says why.
    """


def parse_header(data: bytes) -> tuple[bytes, int] | None:
    """
    Read the header at the beginning of a connection.

    @param data: all that has come so far.
    @return: the client's address as text, or C{b""} where it is that of the connection itself, and the length of the
        header; C{None} when more is to come.
    @raise HeaderError: it is none, and cannot become one.
    """
    if not any(known.startswith(data[: len(known)]) for known in _BEGINNINGS):
        raise HeaderError("no header")
    if data.startswith(SIGNATURE[:1]):
        return _version_2(data)
    return _version_1(data)


def _version_1(data: bytes) -> tuple[bytes, int] | None:
    end = data.find(b"\r\n", 0, LONGEST_LINE)
    line = data[: end if end >= 0 else LONGEST_LINE]
    if _broken_end(line) is not None:
        raise HeaderError("a line end that is none")
    if end >= 0:
        return _announced(line), end + 2
    if len(line) == LONGEST_LINE:
        raise HeaderError("a line too long")
    return None


def _announced(line: bytes) -> bytes:
    # Section 2.1: what stands behind UNKNOWN is to be ignored, whatever it is.
    if _unknown(line) is not None:
        return b""
    match = _tcp4(line) or _tcp6(line)
    if match is None or decimal(match[3]) > 65535 or decimal(match[4]) > 65535:
        raise HeaderError("a malformed line")
    read = _ipv4 if line.startswith(b"PROXY TCP4") else _ipv6
    read(match[2])
    return read(match[1])


def _ipv4(text: bytes) -> bytes:
    try:
        return str(IPv4Address(text.decode("ascii"))).encode("ascii")
    except AddressValueError:
        raise HeaderError("no IPv4 address") from None


def _ipv6(text: bytes) -> bytes:
    try:
        return _plain(IPv6Address(text.decode("ascii")))
    except AddressValueError:
        raise HeaderError("no IPv6 address") from None


def _plain(address: IPv6Address) -> bytes:
    # One client has one text, by whichever kind of socket the load balancer saw it.
    return str(address.ipv4_mapped or address).encode("ascii")


def _version_2(data: bytes) -> tuple[bytes, int] | None:
    command = data[12] if len(data) > 12 else _LOCAL
    if command not in (_LOCAL, _PROXY):
        raise HeaderError("an unknown version or command")
    family = data[13] if len(data) > 13 else 0
    if command == _PROXY and (family >> 4 > 3 or family & 15 > 2):
        raise HeaderError("an unknown family")
    if len(data) < _FIXED_PART:
        return None
    end = _FIXED_PART + int.from_bytes(data[14:16], "big")
    if end > _FIXED_PART + LONGEST_BLOCK:
        raise HeaderError("a header too long")
    if len(data) < end:
        return None
    # Section 2.2: of a connection of the balancer's own, everything else is to be ignored.
    return (_source(data[:end], family) if command == _PROXY else b""), end


def _source(header: bytes, family: int) -> bytes:
    # Which addresses there are when neither family nor transport is known, nobody can tell. The other combinations are
    # valid; those that cannot be the other end of a TCP connection fall back to what is known of it (section 2.2).
    if not family >> 4 or not family & 15:
        return b""
    addresses_end = _FIXED_PART + _ADDRESS_LENGTHS[family >> 4]
    if len(header) < addresses_end:
        raise HeaderError("no room for addresses")
    _check_extensions(header, addresses_end)
    if family == _TCP4:
        return b"%d.%d.%d.%d" % tuple(header[16:20])
    return _plain(IPv6Address(header[16:32])) if family == _TCP6 else b""


def _check_extensions(header: bytes, position: int) -> None:
    # Each is type, length and value. None of them matters here but the one that vouches for the header.
    while position < len(header):
        start = position + 3
        kind, position = header[position], start + int.from_bytes(header[position + 1 : start], "big")
        if position > len(header):
            raise HeaderError("a broken extension")
        if kind == _CRC32C:
            _check_sum(header, start, position)


def _check_sum(header: bytes, start: int, end: int) -> None:
    # Section 2.2.3: over the whole header, with zeros in the sum's own place.
    if end - start != 4 or crc32c(header[:start] + bytes(4) + header[end:]) != int.from_bytes(header[start:end], "big"):
        raise HeaderError("a wrong checksum")


def _table_entry(remainder: int) -> int:
    for _ in range(8):
        remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder


_TABLE: Final = tuple(map(_table_entry, range(256)))


def crc32c(data: bytes) -> int:
    """
    The CRC-32C of these bytes (RFC 9260 appendix A).
    """
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = remainder >> 8 ^ _TABLE[(remainder ^ byte) & 0xFF]
    return remainder ^ 0xFFFFFFFF
