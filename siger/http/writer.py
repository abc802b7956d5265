"""
Responses as they go on an HTTP/1.1 connection: our own status line, the caller's field lines, our own framing.

Framing is never relayed (RFC 9112 section 6): a known length is said, an unknown one is sent in chunks, and a client of
HTTP/1.0, which knows no chunks, is told the end by a close.
"""

from __future__ import annotations

from typing import Final

from siger.http.problem import PHRASES
from siger.http.transport import Transport

__all__ = ["ResponseWriter"]

_JOIN_BELOW: Final = 16384
"""Bodies up to here are copied behind their head; larger ones are not worth copying."""

_LAST_CHUNK: Final = b"0\r\n\r\n"

_STATUS_LINES: Final[dict[int, bytes]] = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, phrase) for status, phrase in PHRASES.items()
}


def _status_line(status: int, phrase: bytes) -> bytes:
    line = _STATUS_LINES.get(status)
    if line is None or PHRASES[status] != phrase:
        return b"HTTP/1.1 %d %b\r\n" % (status, phrase)
    return line


class ResponseWriter:
    """
    Writes one response after another.

    @ivar responded: the final head of the present one was written.
    @ivar delimited_by_close: only the connection's end tells its end.
    """

    __slots__ = ("_chunked", "_head_only", "_transport", "_version", "delimited_by_close", "responded")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._version = 11
        self._head_only = False
        self._chunked = False
        self.responded = False
        self.delimited_by_close = False

    def begin(self, version: int, head_only: bool) -> None:
        """
        Turn to the next response.

        @param version: the client's version.
        @param head_only: the request was a HEAD.
        """
        self._version = version
        self._head_only = head_only
        self._chunked = False
        self.responded = False

    def stop(self) -> None:
        """
        Write no head any more.
        """
        self.responded = True
        self._chunked = False

    def interim(self, status: int, lines: bytes) -> None:
        """
        Write a 1xx response, unless the final one was begun or the client is too old for it.
        """
        if self._version == 11 and not self.responded:
            self._transport.write(b"%b%b\r\n" % (_status_line(status, PHRASES.get(status, b"")), lines))

    def switch(self, lines: bytes) -> None:
        """
        Write a 101: what is written after it goes out as it is.
        """
        self.stop()
        self._transport.write(_STATUS_LINES[101] + lines + b"\r\n")

    def head(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool, close: bool
    ) -> None:
        """
        Write the final head and the beginning of the body.

        @param length: the body's, or C{None}; see L{siger.http.stream.Stream.send_response}.
        @param end: C{body} is all of it.
        @param close: the connection ends with this response.
        """
        self.responded = True
        if self._head_only or status == 204 or status == 304:
            framing = b"" if length is None or status == 204 else b"Content-Length: %d\r\n" % length
            body = b""
            self._head_only = True
        else:
            framing = self._framing(len(body) if length is None and end else length)
            if self._chunked and body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
        if status == 426:
            # What to upgrade to is said by a hop-by-hop field (RFC 9110 section 15.5.22).
            framing += b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        if close:
            framing += b"Connection: close\r\n"
        if len(body) < _JOIN_BELOW:
            self._transport.write(b"".join((_status_line(status, phrase), lines, framing, b"\r\n", body)))
        else:
            self._transport.write(b"".join((_status_line(status, phrase), lines, framing, b"\r\n")))
            self._transport.write(body)

    def _framing(self, length: int | None) -> bytes:
        if length is not None:
            return b"Content-Length: %d\r\n" % length
        if self._version == 11:
            self._chunked = True
            return b"Transfer-Encoding: chunked\r\n"
        self.delimited_by_close = True
        return b""

    def body(self, data: bytes) -> None:
        """
        Write more of the body.
        """
        if not data or self._head_only:
            return
        if not self._chunked:
            self._transport.write(data)
        elif len(data) < _JOIN_BELOW:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._transport.write(b"%x\r\n" % len(data))
            self._transport.write(data)
            self._transport.write(b"\r\n")

    def last(self, trailers: bytes) -> None:
        """
        Write what tells the body's end, where something does.
        """
        if self._chunked and not self._head_only:
            self._transport.write(b"0\r\n%b\r\n" % trailers if trailers else _LAST_CHUNK)
