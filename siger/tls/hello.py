"""
The first message of a client, as far as it names the protocols that it can speak.

Whoever offers protocols, and none that the server knows, is to be refused (RFC 7301 section 3.2). Python's C{ssl} goes
on with such a handshake as if nothing had been offered, and does not say what was, so that is looked up here. Nothing
else depends on it: what this cannot read is left to OpenSSL to refuse.
"""

from __future__ import annotations

__all__ = ["NO_APPLICATION_PROTOCOL", "offered"]

NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"
"""
A record with the fatal alert of that name, 120 (RFC 8446 section 6.2).
"""

_MAX_BYTES = 65536
_MAX_RECORDS = 16
"""
How many pieces a message may come in. All that came is read again whenever more does, and a piece can be one byte.
"""
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_ALPN = 16


class _Short(Exception):  # noqa: N818 (it is no error)
    """
    A field ends behind what is there.
    """


class _Reader:
    """
    Takes fields off the front of a message.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """
        The next bytes.
        """
        end = self._at + count
        if end > len(self._data):
            raise _Short
        self._at, start = end, self._at
        return self._data[start:end]

    def number(self, width: int) -> int:
        """
        The next number of so many bytes.
        """
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """
        The next bytes, whose number stands before them in so many bytes.
        """
        return self.take(self.number(width))

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def offered(data: bytes) -> tuple[bytes, ...] | None:
    """
    Read which protocols a client offers.

    @param data: all that came so far.
    @return: C{None} while more has to come; nothing where none is offered, or where this is no such message.
    """
    try:
        message = _first_message(data)
    except _Short:
        return None if len(data) < _MAX_BYTES else ()
    try:
        return _protocols(_Reader(message))
    except _Short:
        return ()


def _first_message(data: bytes) -> bytes:
    """
    The body of the first handshake message, which may be spread over several records (RFC 8446 section 5.1).

    @raise _Short: when not all of it has come.
    """
    records, message = _Reader(data), b""
    for _ in range(_MAX_RECORDS):
        if records.number(1) != _HANDSHAKE:
            return b""
        records.take(2)  # a version, which means nothing any more
        fragment = records.vector(2)
        message += fragment
        if not fragment or message[0] != _CLIENT_HELLO:
            return b""
        length = int.from_bytes(message[1:4], "big")
        if length > _MAX_BYTES:
            return b""
        if len(message) >= 4 + length and len(message) >= 4:
            return message[4 : 4 + length]
    return b""


def _protocols(hello: _Reader) -> tuple[bytes, ...]:
    """
    RFC 8446 section 4.1.2, RFC 7301 section 3.1.
    """
    hello.take(2 + 32)  # version, random
    for width in (1, 2, 1):  # session, cipher suites, compression methods
        hello.vector(width)
    if not hello:
        return ()
    extensions = _Reader(hello.vector(2))
    while extensions:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind == _ALPN:
            names = _Reader(_Reader(content).vector(2))
            found = []
            while names:
                found.append(names.vector(1))
            return tuple(found)
    return ()
