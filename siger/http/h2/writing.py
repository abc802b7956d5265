"""
Frames on their way out (RFC 9113 sections 4.1 and 6).

A frame is appended to a list in pieces; L{Outlet.flush} sends all of it in one write. While a read is being dealt with,
what it leads to is only gathered, on whichever connections, and goes out when all of it is there. What many clients
send at the same time goes to an instance on few connections, so those wait until all reads of the moment have been
dealt with: see L{Batch}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from siger.http.h2.constants import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    SMALLEST_MAX_FRAME,
    WINDOW_UPDATE,
)
from siger.http.hpack.encoder import NO_TABLE
from siger.http.transport import Transport

__all__ = ["Batch", "Outlet"]

_TABLE: Final = 2048
_LARGE: Final = 4096
"""A piece of this size is not worth copying."""


# How frames of a length begin: length, type and flags. Most are short, and these pieces are made once.
def _starts(kind: int, flags: int) -> list[bytes]:
    return [length.to_bytes(3, "big") + bytes((kind, flags)) for length in range(_TABLE)]


_HEADERS: Final = _starts(HEADERS, END_HEADERS)
_HEADERS_END: Final = _starts(HEADERS, END_HEADERS | END_STREAM)
_DATA: Final = _starts(DATA, 0)
_DATA_END: Final = _starts(DATA, END_STREAM)

_RST_STREAM: Final = b"\0\0\x04" + bytes((RST_STREAM, 0))
_WINDOW_UPDATE: Final = b"\0\0\x04" + bytes((WINDOW_UPDATE, 0))
_PING_ACK: Final = b"\0\0\x08" + bytes((PING, ACK)) + b"\0\0\0\0"
_SETTINGS_ACK: Final = b"\0\0\0" + bytes((SETTINGS, ACK)) + b"\0\0\0\0"


def _start(table: list[bytes], length: int, kind: int, flags: int) -> bytes:
    return table[length] if length < _TABLE else length.to_bytes(3, "big") + bytes((kind, flags))


class Batch:
    """
    The connections that have gathered something.
    """

    __slots__ = ("_depth", "_later", "_patient", "_waiting")

    def __init__(self, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        """
        @param later: calls something when all reads of the moment have been dealt with; C{None} if nobody knows when
            that is.
        """
        self._depth = 0
        self._later = later
        self._waiting: list[Outlet] = []
        self._patient: list[Outlet] = []

    def enter(self) -> None:
        """
        A read begins to be dealt with.
        """
        self._depth += 1

    def leave(self) -> None:
        """
        It has been dealt with.
        """
        self._depth -= 1
        while self._waiting and not self._depth:
            waiting, self._waiting = self._waiting, []
            for outlet in waiting:
                outlet.flush()

    def add(self, outlet: Outlet) -> None:
        """
        This one has something to send: with what else comes of the read, or of the moment.
        """
        if self._depth and not outlet.patient:
            self._waiting.append(outlet)
        elif self._later is None:
            outlet.flush()
        else:
            if not self._patient:
                self._later(self._flush_patient)
            self._patient.append(outlet)

    def _flush_patient(self) -> None:
        patient, self._patient = self._patient, []
        for outlet in patient:
            outlet.flush()


class Outlet:
    """
    The sending end of a connection.

    @ivar peer_max_frame: the largest payload that the peer takes.
    @ivar patient: what it sends may come from many reads.
    @ivar choked: the transport holds more than it should, so that only what must be sent is.
    @ivar gathered: bytes of bodies that were not handed to the transport yet.
    """

    __slots__ = (
        "_batch",
        "_first_block",
        "_large",
        "_out",
        "choked",
        "gathered",
        "patient",
        "peer_max_frame",
        "transport",
    )

    def __init__(self, batch: Batch, transport: Transport) -> None:
        self._batch = batch
        self._out: list[bytes] = []
        self._first_block = True
        self._large = False
        self.transport = transport
        self.peer_max_frame = SMALLEST_MAX_FRAME
        self.patient = False
        self.choked = False
        self.gathered = 0

    def flush(self) -> None:
        """
        Send what was gathered.
        """
        out = self._out
        if not out:
            return
        self._out = []
        self.gathered = 0
        if self._large:
            self._large = False
            self.transport.writeSequence(out)
        else:
            self.transport.write(b"".join(out))

    def _gathered(self, before: bool) -> None:
        # To be called after pieces were appended, with whether there were some already.
        if not before:
            self._batch.add(self)

    def write_block(self, stream: bytes, block: bytes, end: bool) -> None:
        """
        A header section, of which the first on the connection says that nothing will be put into the peer's table.
        """
        if self._first_block:
            self._first_block = False
            block = NO_TABLE + block
        self.write_headers(stream, block, end)

    def write_headers(self, stream: bytes, block: bytes, end: bool) -> None:
        """
        A header or trailer section.

        @param stream: the identifier as four bytes.
        @param end: it ends the stream.
        """
        out = self._out
        before = len(out) > 0
        length = len(block)
        if length > self.peer_max_frame:
            self._write_long_headers(stream, block, end)
        else:
            if end:
                out.append(_start(_HEADERS_END, length, HEADERS, END_HEADERS | END_STREAM))
            else:
                out.append(_start(_HEADERS, length, HEADERS, END_HEADERS))
            out.append(stream)
            out.append(block)
        self._gathered(before)

    def _write_long_headers(self, stream: bytes, block: bytes, end: bool) -> None:
        size = self.peer_max_frame
        first = b"%b%b%b" % (size.to_bytes(3, "big"), bytes((HEADERS, END_STREAM if end else 0)), stream)
        self._out += (first, block[:size])
        position = size
        while position < len(block):
            piece = block[position : position + size]
            position += len(piece)
            flags = END_HEADERS if position == len(block) else 0
            self._out += (len(piece).to_bytes(3, "big") + bytes((CONTINUATION, flags)), stream, piece)

    def write_data(self, stream: bytes, data: bytes, end: bool) -> None:
        """
        A piece of a body, which has to fit in a frame.
        """
        out = self._out
        before = len(out) > 0
        length = len(data)
        if end:
            out.append(_start(_DATA_END, length, DATA, END_STREAM))
        else:
            out.append(_start(_DATA, length, DATA, 0))
        out.append(stream)
        if length:
            self.gathered += length
            out.append(data)
            if length >= _LARGE:
                self._large = True
        self._gathered(before)

    def write_reset(self, stream: bytes, code: int) -> None:
        """
        End a stream for an error.
        """
        self._write(b"%b%b%b" % (_RST_STREAM, stream, code.to_bytes(4, "big")))

    def write_window_update(self, stream: bytes, increment: int) -> None:
        """
        Let the peer send more.
        """
        self._write(b"%b%b%b" % (_WINDOW_UPDATE, stream, increment.to_bytes(4, "big")))

    def write_settings(self, values: dict[int, int]) -> None:
        """
        Say what this end wants.
        """
        payload = b"".join([number.to_bytes(2, "big") + value.to_bytes(4, "big") for number, value in values.items()])
        self._write(len(payload).to_bytes(3, "big") + bytes((SETTINGS, 0)) + b"\0\0\0\0" + payload)

    def write_settings_ack(self) -> None:
        """
        Say that the peer's settings hold.
        """
        self._write(_SETTINGS_ACK)

    def write_ping_ack(self, payload: bytes) -> None:
        """
        Answer a ping.
        """
        self._write(_PING_ACK + payload)

    def write_goaway(self, last: int, code: int, detail: bytes = b"") -> None:
        """
        Say which streams this end will deal with, and why no others.
        """
        length = 8 + len(detail)
        start = length.to_bytes(3, "big") + bytes((GOAWAY, 0)) + b"\0\0\0\0"
        self._write(b"%b%b%b%b" % (start, last.to_bytes(4, "big"), code.to_bytes(4, "big"), detail))

    def _write(self, frame: bytes) -> None:
        before = len(self._out) > 0
        self._out.append(frame)
        self._gathered(before)
