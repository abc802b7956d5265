"""
What both ends of an HTTP/2 connection do alike: cut frames, answer settings and pings, and give and take credit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, cast

from benchmarks.http2.frames import (
    ACK,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PADDED,
    PING,
    SETTINGS,
    WINDOW_UPDATE,
    Http2Error,
    credit,
    frame,
    head_of,
    read_settings,
    settings,
    unpadded,
)

__all__ = ["Connection"]

_WINDOW: Final = 1 << 22
_DEFAULT_WINDOW: Final = 65535
_TABLE: Final = 4096
_SETTINGS: Final = {
    ENABLE_PUSH: 0,
    INITIAL_WINDOW_SIZE: _WINDOW,
    MAX_FRAME_SIZE: _WINDOW,
    MAX_HEADER_LIST_SIZE: 16384,
}
"""
As grpcio's: no pushes, windows of 4 MiB, frames as large as that, and heads of 16 KiB.
"""


class Connection(asyncio.Protocol):
    """
    One end of a connection. Whatever a read brings is dealt with first; what is to be sent goes out in one write.

    @ivar out: what is to be written after this read.
    @ivar window: what the peer lets us send on the connection.
    @ivar initial: what it lets us send on a new stream.
    @ivar table: whether it keeps a table for header sections of ours that is as large as usual.
    """

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.window = _DEFAULT_WINDOW
        self.initial = _DEFAULT_WINDOW
        self.table = True
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._owed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.out += settings(_SETTINGS), credit(0, _WINDOW - _DEFAULT_WINDOW)
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        try:
            self._rest = data[self._frames(data) :]
        except Http2Error as error:
            self.failed(error)
            return
        if self._owed > _WINDOW // 2:
            self.out.append(credit(0, self._owed))
            self._owed = 0
        self.read_done()
        self.flush()

    def _frames(self, data: bytes) -> int:
        """
        Deal with all the frames that are there as a whole.

        @return: where they end.
        """
        at, end = 0, len(data)
        while end - at >= 9:
            high, low, kind, flags, stream = head_of(data, at)
            at += 9
            stop = at + (high << 16 | low)
            if stop > end:
                return at - 9
            payload = data[at:stop]
            if kind == DATA:
                self._owed += stop - at
                self.data_frame(stream, flags, payload if flags < PADDED else unpadded(flags, payload))
            elif kind == HEADERS:
                if not flags & END_HEADERS:
                    raise Http2Error("a header section in more than one frame")
                self.headers_frame(stream, flags, payload if flags < PADDED else unpadded(flags, payload))
            else:
                self._control(kind, flags, stream, payload)
            at = stop
        return at

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            size = int.from_bytes(payload, "big")
            if stream:
                self.stream_credit(stream, size)
            else:
                self.window += size
        elif kind == SETTINGS and not flags & ACK:
            self._settings(read_settings(payload))
        elif kind == PING and not flags & ACK:
            self.out.append(frame(PING, ACK, 0, payload))
        else:
            self.other_frame(kind, stream, payload)

    def _settings(self, values: Mapping[int, int]) -> None:
        self.table = values.get(HEADER_TABLE_SIZE, _TABLE) >= _TABLE
        change = values.get(INITIAL_WINDOW_SIZE, self.initial) - self.initial
        self.initial += change
        self.out.append(frame(SETTINGS, ACK, 0))
        self.settings_received(change)

    def flush(self) -> None:
        """
        Write what is to be written.
        """
        if self.out and self._transport is not None:
            self._transport.write(b"".join(self.out))
            self.out.clear()

    def close(self) -> None:
        """
        End the connection.
        """
        if self._transport is not None:
            self._transport.close()

    # What the two ends do in their own ways.

    def headers_frame(self, stream: int, flags: int, payload: bytes) -> None:
        """
        A header section, or a trailer section, came.
        """
        raise NotImplementedError

    def data_frame(self, stream: int, flags: int, payload: bytes) -> None:
        """
        A part of a body came.
        """
        raise NotImplementedError

    def other_frame(self, kind: int, stream: int, payload: bytes) -> None:
        """
        A frame came that the two ends do not deal with alike.
        """
        raise NotImplementedError

    def failed(self, error: Http2Error) -> None:
        """
        The peer did what is not expected.
        """
        raise NotImplementedError

    def settings_received(self, change: int) -> None:
        """
        The peer told its settings.

        @param change: of the window of each stream.
        """

    def stream_credit(self, stream: int, size: int) -> None:
        """
        The peer lets us send more on a stream; that matters only to who sends much.
        """

    def read_done(self) -> None:
        """
        All that a read brought was dealt with.
        """
