"""
A connection of HTTP/2, as far as both roles are the same (RFC 9113 sections 3 to 6).

Frames are read where they lie. Every frame is judged before it has any effect: what the RFC calls an error of the
connection raises L{ConnectionFault} and ends it with GOAWAY; an error of one stream ends that stream.
"""

from __future__ import annotations

from typing import Final

from siger.http.deadlines import NEVER, Deadlines
from siger.http.h2.constants import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    FRAME_SIZE_ERROR,
    HEADERS,
    PADDED,
    PRIORITY_FLAG,
    PROTOCOL_ERROR,
    SETTINGS,
    SMALLEST_MAX_FRAME,
)
from siger.http.h2.control import Control
from siger.http.h2.errors import ConnectionFault, StreamFault
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.hpack.decoder import Entry
from siger.http.transport import Transport, close, half_close, unacknowledged

__all__ = ["Http2Connection"]

_MAX_FRAME: Final = SMALLEST_MAX_FRAME
"""The largest payload that is taken: what every peer may send without being told."""

_NEITHER_PADDED_NOR_PARTIAL: Final = END_HEADERS | PADDED | PRIORITY_FLAG
"""The flags of HEADERS that tell what is in it besides the whole of a block."""

_CLOSING_SECONDS: Final = 30.0
"""How long a peer may take to read what was written last."""

_LINGER_SECONDS: Final = 5.0
"""How long it may take to close when it has."""

_LINGER_BYTES: Final = 1 << 18


class Http2Connection(Control):
    """
    What servers and clients have in common.

    @ivar goaway_sent: GOAWAY was sent, and names C{goaway_last} as the last stream that is dealt with.
    """

    __slots__ = (
        "_closing_until",
        "_linger_left",
        "_rest",
        "_run",
        "_run_size",
        "_run_stream",
        "goaway_sent",
    )

    def __init__(
        self, batch: Batch, transport: Transport, deadlines: Deadlines, static: list[Entry], terms: Terms
    ) -> None:
        super().__init__(batch, transport, deadlines, static, terms)
        self.goaway_sent = False
        self._rest = b""
        self._run: list[bytes] = []
        self._run_size = 0
        self._run_stream = 0
        self._linger_left = _LINGER_BYTES
        self._closing_until = NEVER

    def _begin(self, settings: dict[int, int]) -> None:
        # Says what this end wants: the first frames on the connection (section 3.4).
        self.write_settings(settings)
        self._open_window()
        self.deadlines.add(self)

    # Reading.

    def data_received(self, data: bytes) -> None:
        """
        Take bytes from the connection.
        """
        if self.closed:
            self._linger(len(data))
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        self._batch.enter()
        try:
            self._read(data)
        except ConnectionFault as fault:
            self.fail(fault.code, fault.detail)
        finally:
            self._batch.leave()

    def _read(self, data: bytes) -> None:
        position = 0
        size = len(data)
        while size - position >= FRAME_HEAD:
            length = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            kind = data[position + 3]
            flags = data[position + 4]
            number = (
                (data[position + 5] & 0x7F) << 24
                | data[position + 6] << 16
                | data[position + 7] << 8
                | data[position + 8]
            )
            start = position + FRAME_HEAD
            end = start + length
            if end > size or not self._settled or self._block is not None or length > _MAX_FRAME:
                self._check_frame(kind, number, length)
                if end > size:
                    break
            if kind == DATA and not flags and length:
                if number != self._run_stream:
                    if self._run:
                        self._end_run()
                    self._run_stream = number
                self._run.append(data[start:end])
                self._run_size += length
            else:
                if self._run:
                    self._end_run()
                if kind == DATA:
                    self._read_data(number, flags, data, start, end)
                elif kind == HEADERS and flags & _NEITHER_PADDED_NOR_PARTIAL == END_HEADERS and length:
                    self._take_block(number, data[start:end], flags & END_STREAM != 0)
                elif kind == HEADERS:
                    self._read_headers(number, flags, data, start, end)
                else:
                    self._read_other(kind, number, flags, data[start:end] if length else b"")
                if self.closed:
                    return
            position = end
        self._end_run()
        if self.closed:
            return
        if position < size:
            self._rest = data[position:] if position else data
        self._read_through()

    def _read_through(self) -> None:
        """
        All frames of a read have been dealt with.
        """

    def _check_frame(self, kind: int, number: int, length: int) -> None:
        # What can be wrong with a frame whatever it holds.
        if length > _MAX_FRAME:
            raise ConnectionFault(FRAME_SIZE_ERROR, "a frame is larger than was allowed")
        if not self._settled and kind != SETTINGS:
            raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None and (kind != CONTINUATION or number != self._block_stream):
            raise ConnectionFault(PROTOCOL_ERROR, "another frame stands amid a header block")

    def _end_run(self) -> None:
        # Frames of one stream that follow each other in a read are passed on in one piece: a stream of small messages
        # costs little more than one large one.
        run = self._run
        if run:
            number, size = self._run_stream, self._run_size
            self._run = []
            self._run_stream = self._run_size = 0
            self._take_data(number, run[0] if len(run) == 1 else b"".join(run), size, False)

    def _read_data(self, number: int, flags: int, data: bytes, start: int, end: int) -> None:
        size = end - start
        if flags & PADDED:
            padding = self._padding(data, start, end)
            start += 1
            end -= padding
        self._take_data(number, data[start:end] if start < end else b"", size, flags & END_STREAM != 0)

    def _take_data(self, number: int, data: bytes, size: int, last: bool) -> None:
        if number == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "DATA on stream 0")
        self._received(size)
        stream = self.streams.get(number)
        if stream is None or stream.remote_ended:
            self._stray(number, stream)
            return
        if data:
            self.useful()
        elif not last:
            self._charge(1)
        try:
            stream.data_received(data, size, last)
        except StreamFault as fault:
            self._end_faulty(stream, fault)

    # The end of all.

    def fail(self, code: int, detail: str) -> None:
        """
        End the connection for an error of the peer's (section 5.4.1).
        """
        if self.closed:
            return
        self.goaway_sent = True
        # What GOAWAY said once, another may not exceed (section 6.8).
        self.write_goaway(min(self._highest, self.goaway_last), code, detail.encode("ascii"))
        self.end()

    def end(self) -> None:
        """
        Close the connection once everything is written, and the streams that are left at once.

        What still comes is dropped for a moment, so that the last frames are not lost by a reset.
        """
        if self.closed:
            return
        self.closed = True
        self._rest = b""
        self._end_streams()
        self.flush()
        self.deadline = self.now + _LINGER_SECONDS
        self._closing_until = self.now + _CLOSING_SECONDS
        if not half_close(self.transport):
            close(self.transport)

    def _linger(self, size: int) -> None:
        self._linger_left -= size
        if self._linger_left < 0:
            self.transport.abortConnection()

    def closing_passed(self) -> None:
        """
        The peer had a moment to close. One that has not read everything gets some more.
        """
        if unacknowledged(self.transport) and self.now < self._closing_until:
            self.deadline = self.now + _LINGER_SECONDS
        else:
            self.transport.abortConnection()

    def abort(self) -> None:
        """
        Close the connection at once.
        """
        if not self.closed:
            self.closed = True
            self._end_streams()
        self.transport.abortConnection()

    def _end_streams(self) -> None:
        streams = list(self.streams.values())
        self.streams.clear()
        self._waiting.clear()
        for stream in streams:
            stream.drop()
            stream.reset_received(CANCEL)

    def connection_lost(self) -> None:
        """
        The connection is gone.
        """
        self.closed = True
        self.deadlines.discard(self)
        self._end_streams()

    def deadline_passed(self) -> None:
        """
        Look after what takes too long.
        """
        raise NotImplementedError
