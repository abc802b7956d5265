"""
A connection of HTTP/2, as far as both roles are the same (RFC 9113 sections 3 to 6).

Frames are read where they lie. Every frame is judged before it has any effect: what the RFC calls an error of the
connection raises L{ConnectionFault} and ends it with GOAWAY; an error of one stream ends that stream. What a peer may
make this end do without any use is limited by two allowances (L{Budget}): of resets, and of all other frames that are
cheap to send.
"""

from __future__ import annotations

from typing import Final

from siger.http.deadlines import NEVER, Deadlines
from siger.http.h2.budget import Budget
from siger.http.h2.constants import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_HEAD,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SMALLEST_MAX_FRAME,
    STREAM_CLOSED,
    WINDOW_UPDATE,
)
from siger.http.h2.errors import ConnectionFault, StreamFault
from siger.http.h2.streams import Http2Stream
from siger.http.h2.writing import Batch, Outlet
from siger.http.hpack.decoder import Decoder, Entry, HpackError
from siger.http.transport import Transport, close, half_close

__all__ = ["Http2Connection"]

_MAX_FRAME: Final = SMALLEST_MAX_FRAME
"""The largest payload that is taken: what every peer may send without being told."""

_WHOLE: Final = b"\0\0\0\0"
"""The identifier of the connection itself."""

_LINGER_BYTES: Final = 1 << 18

_MAX_CONTINUATIONS: Final = 8
_CHEAP_FRAMES: Final = 1000
_CHEAP_PER_SECOND: Final = 50.0
_SETTINGS_COST: Final = 10
_RESETS: Final = 100
_RESETS_PER_SECOND: Final = 10.0
_MAX_UNREAD: Final = 1000
"""Answers to frames that may wait for a peer that does not read."""

_CLOSING_SECONDS: Final = 30.0
"""How long a peer may take to read what was written last."""

_REMEMBERED: Final = 256
"""Streams that this end has reset, and on which frames may still be on their way."""


class Http2Connection(Outlet):
    """
    What servers and clients have in common.

    @ivar streams: those that are not over, by identifier.
    @ivar send_window: how much the peer takes, on all streams together.
    @ivar peer_window: what the send window of a new stream begins with.
    @ivar stream_window: what the receive window of a new stream begins with.
    @ivar peer_streams: how many streams the peer lets this end open.
    @ivar repeatable: the block that was decoded last left the decoder as it was, so that its bytes mean the same again.
    @ivar goaway_sent: GOAWAY was sent, and names L{goaway_last} as the last stream that is dealt with.
    @ivar closed: nothing more is read.
    @ivar deadline: when the connection wants to look after itself; see L{siger.http.deadlines}.
    """

    __slots__ = (
        "_block",
        "_block_end",
        "_block_frames",
        "_block_since",
        "_block_size",
        "_block_stream",
        "_cheap",
        "_connection_window",
        "_decoder",
        "_generation",
        "_held",
        "_highest",
        "_largest_held",
        "_linger_left",
        "_max_block",
        "_owed",
        "_receive_window",
        "_reset_streams",
        "_resets",
        "_rest",
        "_run",
        "_run_size",
        "_run_stream",
        "_settled",
        "_unread",
        "_waiting",
        "closed",
        "deadline",
        "deadlines",
        "goaway_last",
        "goaway_sent",
        "peer_streams",
        "peer_window",
        "repeatable",
        "send_window",
        "stream_window",
        "streams",
    )

    def __init__(
        self,
        batch: Batch,
        transport: Transport,
        deadlines: Deadlines,
        static: list[Entry],
        stream_window: int,
        connection_window: int,
        max_block: int,
        max_fields: int,
        largest_held: float,
    ) -> None:
        """
        @param static: the entries of the static table, which all connections of the role share.
        @param stream_window: bytes that a stream's peer may send before it is told to go on.
        @param connection_window: the same for all streams together.
        @param max_block: the largest header section, packed and unpacked.
        @param max_fields: how many fields it may have.
        @param largest_held: bytes that may wait for paused readers before the connection as a whole is slowed down.
        """
        super().__init__(batch, transport)
        self.deadlines = deadlines
        self.deadline = NEVER
        self.streams: dict[int, Http2Stream] = {}
        self.closed = False
        self.goaway_sent = False
        self.goaway_last = LARGEST_WINDOW
        self.send_window = DEFAULT_WINDOW
        self.peer_window = DEFAULT_WINDOW
        self.peer_streams = LARGEST_WINDOW
        self.stream_window = stream_window
        self._connection_window = connection_window
        self._receive_window = connection_window
        self._owed = 0
        self._held = 0
        self._largest_held = largest_held
        self._linger_left = _LINGER_BYTES
        self._rest = b""
        self._run: list[bytes] = []
        self._run_size = 0
        self._run_stream = 0
        self._settled = False
        self._highest = 0
        self._decoder = Decoder(static, max_list_size=max_block, max_fields=max_fields)
        self._generation = 0
        self.repeatable = False
        self._max_block = max_block
        self._block: list[bytes] | None = None
        self._block_since = deadlines.now
        self._block_stream = 0
        self._block_end = False
        self._block_size = 0
        self._block_frames = 0
        self._cheap = Budget(_CHEAP_FRAMES, _CHEAP_PER_SECOND, deadlines.now)
        self._resets = Budget(_RESETS, _RESETS_PER_SECOND, deadlines.now)
        self._reset_streams: dict[int, None] = {}
        self._unread = 0
        self._waiting: dict[int, Http2Stream] = {}

    @property
    def now(self) -> float:
        """
        The time, as of the last sweep.
        """
        return self.deadlines.now

    def _begin(self, settings: dict[int, int]) -> None:
        # Says what this end wants: the first frames on the connection (section 3.4).
        self.write_settings(settings)
        self.write_window_update(_WHOLE, self._connection_window - DEFAULT_WINDOW)
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
                    self._end_run()
                    self._run_stream = number
                self._run.append(data[start:end])
                self._run_size += length
            else:
                self._end_run()
                if kind == DATA:
                    self._read_data(number, flags, data, start, end)
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

    # DATA.

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
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        stream = self.streams.get(number)
        if size:
            self._owe(size)
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

    def _padding(self, data: bytes, start: int, end: int) -> int:
        # Section 6.1: padding that is as long as what holds it.
        if start == end or data[start] >= end - start:
            raise ConnectionFault(PROTOCOL_ERROR, "the padding is longer than its frame")
        return data[start]

    def _stray(self, number: int, stream: Http2Stream | None) -> None:
        # Something came that belongs to a stream on which nothing should come (section 5.1).
        self._charge(1)
        if stream is not None:
            self._end_faulty(stream, StreamFault(STREAM_CLOSED, "a frame on a stream that the peer has ended"))
        elif self._is_idle(number):
            raise ConnectionFault(PROTOCOL_ERROR, "a frame on a stream that was never opened")
        elif number not in self._reset_streams and number <= self.goaway_last:
            raise ConnectionFault(STREAM_CLOSED, "a frame on a stream that is closed")

    def _is_idle(self, number: int) -> bool:
        """
        Whether nobody has opened this stream yet.
        """
        raise NotImplementedError

    def _owe(self, size: int) -> None:
        # Credit for the whole connection is returned at once: a paused reader holds back its own stream. But what
        # all of them hold together is bounded.
        self._owed += size
        if self._owed >= self._connection_window >> 1 and self._held <= self._largest_held:
            owed, self._owed = self._owed, 0
            self._receive_window += owed
            self.write_window_update(_WHOLE, owed)

    def hold(self, size: int) -> None:
        """
        A paused reader has so much more that waits for it.
        """
        self._held += size

    def release(self, size: int) -> None:
        """
        It does not wait any more.
        """
        self._held -= size
        if not self.closed:
            self._owe(0)

    # Header sections.

    def _read_headers(self, number: int, flags: int, data: bytes, start: int, end: int) -> None:
        if number == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & PADDED:
            padding = self._padding(data, start, end)
            start += 1
            end -= padding
        if flags & PRIORITY_FLAG:
            if end - start < 5:
                # Section 6.2: it is the padding's fault where there is some.
                code = PROTOCOL_ERROR if flags & PADDED else FRAME_SIZE_ERROR
                raise ConnectionFault(code, "HEADERS is too short for its flags")
            # Priorities are nobody's any more (section 5.3.2); that a stream depends on itself never made sense.
            if int.from_bytes(data[start : start + 4], "big") & 0x7FFFFFFF == number:
                self._depends_on_itself(number)
            start += 5
        block = data[start:end] if start < end else b""
        if flags & END_HEADERS:
            self._take_block(number, block, flags & END_STREAM != 0)
            return
        self._block = [block]
        self._block_since = self.now
        self.deadline = 0.0
        self._block_stream = number
        self._block_end = flags & END_STREAM != 0
        self._block_size = len(block)
        self._block_frames = 0
        self.block_opened()

    def block_opened(self) -> None:
        """
        A header block has begun, and its end is still to come.
        """

    def _depends_on_itself(self, number: int) -> None:
        raise ConnectionFault(PROTOCOL_ERROR, "a stream depends on itself")

    def _read_continuation(self, flags: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS before it")
        block.append(payload)
        self._block_size += len(payload)
        self._block_frames += 1
        if self._block_frames > _MAX_CONTINUATIONS or self._block_size > self._max_block:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "a header block does not end")
        if flags & END_HEADERS:
            self._block = None
            self._take_block(self._block_stream, b"".join(block), self._block_end)

    def _take_block(self, number: int, block: bytes, end: bool) -> None:
        """
        A whole header block has come.
        """
        raise NotImplementedError

    def decode(self, block: bytes) -> list[Entry]:
        """
        Decode a block: each has to be, and only once, whatever becomes of its stream.
        """
        try:
            entries = self._decoder.decode(block)
        except HpackError as error:
            raise ConnectionFault(COMPRESSION_ERROR, str(error)) from None
        generation = self._decoder.generation
        self.repeatable = generation == self._generation
        if not self.repeatable:
            self._generation = generation
            self._forget_blocks()
        return entries

    @property
    def oversized(self) -> bool:
        """
        Whether the section that was decoded last held more than was kept of it.
        """
        return self._decoder.oversized

    def _forget_blocks(self) -> None:
        """
        A block, of whatever stream, changed the decoder's table: what the bytes of others meant, they mean no more.
        """
        raise NotImplementedError

    # The other frames.

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

    def _window_updated(self, increment: int) -> None:
        if not increment:
            raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        self.send_window += increment
        if self.send_window > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "the connection's window is too large")
        self.pump()

    def _read_settings(self, number: int, flags: int, payload: bytes) -> None:
        if number:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS acknowledges with a payload")
            if not self._settled:
                raise ConnectionFault(PROTOCOL_ERROR, "the first SETTINGS acknowledges something")
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

    def _set_peer_window(self, value: int) -> None:
        # Section 6.9.2: it changes the windows of streams that are open too, which may become negative.
        change = value - self.peer_window
        self.peer_window = value
        for stream in self.streams.values():
            stream.send_window += change
            if stream.send_window > LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "a stream's window is too large")

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

    # What a peer may cost.

    def useful(self) -> None:
        """
        Something was carried, for which some of the cheap frames are fair.
        """
        if self._cheap.left < _CHEAP_FRAMES:
            self._cheap.earn(2)

    def _charge(self, cost: int) -> None:
        if not self._cheap.spend(cost, self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def _count_reset(self) -> None:
        if not self._resets.spend(1, self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many streams were broken off")

    def _answer(self) -> None:
        # The peer asks for a frame. One that does not read gets so many and no more.
        if self.choked:
            self._unread += 1
            if self._unread > _MAX_UNREAD:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "too many answers that nobody reads")

    # Sending.

    def await_room(self, stream: Http2Stream) -> None:
        """
        This stream has something to send for which there is no room now.
        """
        self._waiting[stream.number] = stream

    def found_room(self, stream: Http2Stream) -> None:
        """
        All of it was sent.
        """
        self._waiting.pop(stream.number, None)

    def pump(self) -> None:
        """
        Send what waits, a frame of each stream in turn.
        """
        waiting = self._waiting
        while waiting and self.send_window > 0 and not self.choked:
            before = self.send_window
            for stream in list(waiting.values()):
                stream.pump(self.peer_max_frame)
                if not stream.queued:
                    self.found_room(stream)
                    stream.sending_resumed()
            if self.send_window == before:
                return  # those that are left wait for windows of their own

    def writing_paused(self) -> None:
        """
        The transport holds more than it should: the peer reads slowly.
        """
        self.choked = True

    def writing_resumed(self) -> None:
        """
        The transport can take more.
        """
        self.choked = False
        self._unread = 0
        self._batch.enter()
        try:
            self.pump()
        finally:
            self._batch.leave()

    # Ends of streams.

    def _end_faulty(self, stream: Http2Stream, fault: StreamFault) -> None:
        # An error of the peer's counts like a reset of its own: it is just as cheap to make.
        self.reset(stream, fault.code)
        stream.fail(fault)
        self._count_reset()

    def reset(self, stream: Http2Stream, code: int) -> None:
        """
        End a stream at once.
        """
        stream.drop()
        if self.streams.get(stream.number) is not stream:
            return
        self.remember(stream.number)
        self.write_reset(stream.identifier, code)
        self.forget(stream)

    def remember(self, number: int) -> None:
        """
        Frames on this stream may still be on their way, and are to be ignored.
        """
        known = self._reset_streams
        known[number] = None
        if len(known) > _REMEMBERED:
            del known[next(iter(known))]

    def local_end(self, stream: Http2Stream) -> None:
        """
        This end of the stream has sent all that it will.
        """
        raise NotImplementedError

    def forget(self, stream: Http2Stream) -> None:
        """
        The stream is over.
        """
        self.streams.pop(stream.number, None)
        self._waiting.pop(stream.number, None)

    # The end of all.

    def fail(self, code: int, detail: str) -> None:
        """
        End the connection for an error of the peer's (section 5.4.1).
        """
        if self.closed:
            return
        self.goaway_sent = True
        self.write_goaway(self._highest, code, detail.encode("ascii"))
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
        self.deadline = self.now + _CLOSING_SECONDS
        if not half_close(self.transport):
            close(self.transport)

    def _linger(self, size: int) -> None:
        self._linger_left -= size
        if self._linger_left < 0:
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
