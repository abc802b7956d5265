"""
The frames that carry neither fields nor bodies (RFC 9113 sections 6.3 to 6.9).
"""

from __future__ import annotations

from typing import Final

from siger.http.deadlines import Deadlines
from siger.http.h2.constants import (
    ACK,
    CONTINUATION,
    ENABLE_PUSH,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SMALLEST_MAX_FRAME,
    WINDOW_UPDATE,
)
from siger.http.h2.errors import ConnectionFault, StreamFault
from siger.http.h2.sections import Sections
from siger.http.h2.streams import Http2Stream
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.hpack.decoder import Entry
from siger.http.transport import Transport

__all__ = ["Control"]

_SETTINGS_COST: Final = 10


class Control(Sections):
    """
    A connection that is told how to go on.

    @ivar peer_streams: how many streams the peer lets this end open.
    """

    __slots__ = (
        "_acknowledged",
        "_settled",
        "peer_streams",
    )

    def __init__(
        self, batch: Batch, transport: Transport, deadlines: Deadlines, static: list[Entry], terms: Terms
    ) -> None:
        super().__init__(batch, transport, deadlines, static, terms)
        self.peer_streams = LARGEST_WINDOW
        self._settled = False
        self._acknowledged = False

    def _read_other(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._read_window_update(number, payload)
        elif kind == SETTINGS:
            self._read_settings(number, flags, payload)
        elif kind == PING:
            self._read_ping(number, flags, payload)
        elif kind == RST_STREAM:
            self._read_reset(number, payload)
        elif kind == CONTINUATION:
            self._read_continuation(flags, payload)
        elif kind == PRIORITY:
            self._read_priority(number, payload)
        elif kind == GOAWAY:
            self._read_goaway(number, payload)
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "nobody may push here")
        else:
            # Section 4.1: whatever it is, it is somebody else's extension.
            self._charge(1)

    def _read_window_update(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes long")
        self._charge(1)
        increment = int.from_bytes(payload, "big") & 0x7FFFFFFF
        if number == 0:
            self._window_updated(increment)
            return
        stream = self.streams.get(number)
        if stream is None:
            if self._is_idle(number):
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that was never opened")
            return
        try:
            if not increment:
                raise StreamFault(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            stream.window_updated(increment)
        except StreamFault as fault:
            self._end_faulty(stream, fault)

    def _read_settings(self, number: int, flags: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS acknowledges with a payload")
            if not self._settled:
                raise ConnectionFault(PROTOCOL_ERROR, "the first SETTINGS acknowledges something")
            self._acknowledged = True
            self._charge(1)
            return
        if len(payload) % 6:
            raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS holds a part of a setting")
        self._charge(_SETTINGS_COST + len(payload) // 6)
        self._settled = True
        for start in range(0, len(payload), 6):
            name = int.from_bytes(payload[start : start + 2], "big")
            self._set(name, int.from_bytes(payload[start + 2 : start + 6], "big"))
        self._answer()
        self.write_settings_ack()
        self._settings_acknowledged()

    def _settings_acknowledged(self) -> None:
        # Many peers apply their own settings only now, so nothing may rest on them before.
        self.pump()

    def _set(self, name: int, value: int) -> None:
        if name == INITIAL_WINDOW_SIZE:
            if value > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "the window of new streams is too large")
            self._set_peer_window(value)
        elif name == MAX_FRAME_SIZE:
            if not SMALLEST_MAX_FRAME <= value < 1 << 24:
                raise ConnectionFault(PROTOCOL_ERROR, "the size of frames is out of range")
            self.peer_max_frame = value
        elif name == ENABLE_PUSH:
            self._check_push(value)
        elif name == MAX_CONCURRENT_STREAMS:
            self.peer_streams = value

    def _check_push(self, value: int) -> None:
        if value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")

    def _read_ping(self, number: int, flags: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PING is not 8 bytes long")
        self._charge(1)
        if not flags & ACK:
            self._answer()
            self.write_ping_ack(payload)

    def _read_reset(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes long")
        if number == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "RST_STREAM on stream 0")
        stream = self.streams.get(number)
        if stream is None:
            if self._is_idle(number):
                raise ConnectionFault(PROTOCOL_ERROR, "RST_STREAM on a stream that was never opened")
            self._charge(1)
            return
        self._count_reset()
        stream.drop()
        self.forget(stream)
        stream.reset_received(int.from_bytes(payload, "big"))

    def _read_priority(self, number: int, payload: bytes) -> None:
        # Section 5.3.2: its form is checked, and nothing comes of it.
        if number == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._charge(1)
        stream = self.streams.get(number)
        if len(payload) != 5:
            self._end_or_reset(number, stream, StreamFault(FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes long"))
        elif int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == number:
            self._end_or_reset(number, stream, StreamFault(PROTOCOL_ERROR, "a stream depends on itself"))

    def _end_or_reset(self, number: int, stream: Http2Stream | None, fault: StreamFault) -> None:
        if stream is not None:
            self._end_faulty(stream, fault)
        elif self._is_idle(number):
            raise ConnectionFault(fault.code, fault.detail)
        else:
            self._count_reset()

    def _read_goaway(self, number: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY is too short")
        self._charge(1)
        last = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        self.goaway_received(last, int.from_bytes(payload[4:8], "big"))

    def goaway_received(self, last: int, code: int) -> None:
        """
        The peer deals with no stream of this end's above C{last}.
        """
        raise NotImplementedError
