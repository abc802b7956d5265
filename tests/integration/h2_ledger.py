"""
What the gateway may send on an HTTP/2 connection, kept as an account from both directions of it.

Whatever a test is about, each frame that it gets from the gateway is judged here too: windows and frame sizes that were
granted, header blocks that are in one piece, streams that are open, fields that HTTP/2 allows.
"""

from __future__ import annotations

import re
from collections import deque

from tests.integration.h2_frames import MAGIC, MOST, WINDOW, Fields, Flag, Frame, Key, Kind, split

__all__ = ["Ledger", "field_faults"]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?![\t ])[\t\x20-\x7e\x80-\xff]*(?<![\t ])")
_CONNECTION = {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
_ON_ZERO: set[int] = {Kind.SETTINGS, Kind.PING, Kind.GOAWAY}
_ON_ANY = _ON_ZERO | {Kind.WINDOW_UPDATE}
_LENGTHS: dict[int, int] = {Kind.PRIORITY: 5, Kind.RST_STREAM: 4, Kind.PING: 8, Kind.WINDOW_UPDATE: 4}
_REQUEST = {b":method", b":scheme", b":path", b":authority"}


class Ledger:
    """
    The account of one connection.

    @ivar faults: what the gateway did that it must not, in words.
    """

    def __init__(self, gateway_serves: bool) -> None:
        self.faults: list[str] = []
        self._gateway_serves = gateway_serves
        self._sent = bytearray()
        self._preface = gateway_serves
        self._unacknowledged: deque[dict[int, int]] = deque()
        self._initial = WINDOW
        self._connection = WINDOW
        self._granted: dict[int, int] = {}
        self._frame_size = 16384
        self._opened: set[int] = set()
        self._ended: set[int] = set()
        self._reset: set[int] = set()
        self._block = 0
        self._last = MOST

    def sent(self, raw: bytes) -> None:
        """
        Take down what was sent to the gateway, as far as it makes sense.
        """
        self._sent += raw
        if self._preface and self._sent.startswith(MAGIC):
            del self._sent[: len(MAGIC)]
            self._preface = False
        while not self._preface and (frame := split(self._sent)):
            self._note(frame)

    def _note(self, frame: Frame) -> None:
        if frame.kind == Kind.SETTINGS and not frame.has(Flag.ACK):
            self._offer(dict(frame.pairs))
        elif frame.kind == Kind.WINDOW_UPDATE and len(frame.payload) == 4:
            self._grant(frame.stream, frame.word() & MOST)
        elif frame.kind == Kind.HEADERS and self._gateway_serves:
            self._opened.add(frame.stream)

    def _grant(self, stream: int, increment: int) -> None:
        if stream:
            self._granted[stream] = self._granted.get(stream, 0) + increment
        else:
            self._connection += increment

    def _offer(self, values: dict[int, int]) -> None:
        """
        More is allowed from when it was sent; less is demanded from when it was acknowledged.
        """
        self._unacknowledged.append(values)
        self._initial = max(self._initial, values.get(Key.INITIAL_WINDOW_SIZE, 0))
        self._frame_size = max(self._frame_size, values.get(Key.MAX_FRAME_SIZE, 0))

    def _acknowledged(self) -> None:
        if not self._unacknowledged:
            self.faults.append("acknowledges SETTINGS that nobody sent")
            return
        values = self._unacknowledged.popleft()
        self._initial = values.get(Key.INITIAL_WINDOW_SIZE, self._initial)
        self._frame_size = values.get(Key.MAX_FRAME_SIZE, self._frame_size)
        for later in self._unacknowledged:
            self._initial = max(self._initial, later.get(Key.INITIAL_WINDOW_SIZE, 0))

    def received(self, frame: Frame) -> None:
        """
        Judge a frame from the gateway.
        """
        for fault in (self._form(frame), self._place(frame), self._content(frame)):
            if fault:
                self.faults.append(f"{fault}: {frame}")

    def _form(self, frame: Frame) -> str:
        if len(frame.payload) > self._frame_size:
            return f"a frame above the {self._frame_size} bytes allowed"
        if len(frame.payload) != _LENGTHS.get(frame.kind, len(frame.payload)):
            return "a frame of the wrong length"
        if frame.kind not in _ON_ANY and frame.stream == 0:
            return "a frame that needs a stream"
        return "a frame that must have no stream" if frame.kind in _ON_ZERO and frame.stream else ""

    def _place(self, frame: Frame) -> str:
        """
        Whether the frame may come now.
        """
        block, self._block = self._block, 0
        if frame.kind == Kind.CONTINUATION or block:
            if frame.kind != Kind.CONTINUATION or frame.stream != block:
                return "a header block that is not in one piece"
            self._block = 0 if frame.has(Flag.END_HEADERS) else block
            return ""
        if frame.kind == Kind.HEADERS and not frame.has(Flag.END_HEADERS):
            self._block = frame.stream
        return self._state(frame) if frame.stream else ""

    def _state(self, frame: Frame) -> str:
        stream = frame.stream
        if frame.kind == Kind.HEADERS and not self._gateway_serves and stream not in self._opened:
            if stream % 2 == 0 or stream < max(self._opened, default=0):
                return "a stream with an identifier that is not the client's next"
            self._opened.add(stream)
        if stream not in self._opened:
            return "a frame on an idle stream"
        if stream in self._reset and frame.kind != Kind.RST_STREAM:
            return "a frame behind RST_STREAM"
        if stream in self._ended and frame.kind in (Kind.DATA, Kind.HEADERS):
            return "content behind END_STREAM"
        if frame.kind in (Kind.DATA, Kind.HEADERS) and frame.has(Flag.END_STREAM):
            self._ended.add(stream)
        if frame.kind == Kind.RST_STREAM:
            self._reset.add(stream)
        return ""

    def _content(self, frame: Frame) -> str:
        match frame.kind:
            case Kind.DATA:
                return self._spend(frame)
            case Kind.SETTINGS:
                return self._settings(frame)
            case Kind.WINDOW_UPDATE:
                return "" if frame.word() & MOST else "an increment of nothing"
            case Kind.PUSH_PROMISE:
                return "a promise, with pushes disabled"
            case Kind.GOAWAY:
                last, self._last = self._last, frame.word() & MOST
                return "a last stream above that of the GOAWAY before" if self._last > last else ""
        return ""

    def _spend(self, frame: Frame) -> str:
        size = len(frame.payload)
        self._connection -= size
        self._granted[frame.stream] = self._granted.get(frame.stream, 0) - size
        if size and self._connection < 0:
            return f"{-self._connection} bytes beyond the connection's window"
        beyond = -(self._initial + self._granted[frame.stream])
        return f"{beyond} bytes beyond the stream's window" if size and beyond > 0 else ""

    def _settings(self, frame: Frame) -> str:
        if frame.has(Flag.ACK):
            self._acknowledged()
            return "an acknowledgement with content" if frame.payload else ""
        values = dict(frame.pairs)
        if len(frame.payload) % 6 or values.get(Key.INITIAL_WINDOW_SIZE, 0) > MOST:
            return "settings out of range"
        if not 16384 <= values.get(Key.MAX_FRAME_SIZE, 16384) < 2**24:
            return "settings out of range"
        return "a server that offers to be pushed to" if values.get(Key.ENABLE_PUSH) and self._gateway_serves else ""


def field_faults(fields: Fields, kind: str) -> list[str]:
    """
    What HTTP/2 forbids in a field section (RFC 9113 section 8), in words.

    @param kind: C{"request"}, C{"response"} or C{"trailers"}.
    """
    faults = []
    names = [name for name, _ in fields]
    pseudo = [name for name in names if name.startswith(b":")]
    if pseudo != names[: len(pseudo)]:
        faults.append("a pseudo-header field behind an ordinary one")
    if len(set(pseudo)) != len(pseudo) or not _complete(set(pseudo), kind):
        faults.append(f"pseudo-header fields {pseudo} in a {kind}")
    for name, value in fields[len(pseudo) :]:
        if not _NAME.fullmatch(name) or name in _CONNECTION or (name == b"te" and value != b"trailers"):
            faults.append(f"the field {name!r}")
    faults += [f"the value {value!r} of {name!r}" for name, value in fields if not _VALUE.fullmatch(value)]
    return faults


def _complete(pseudo: set[bytes], kind: str) -> bool:
    if kind == "request":
        return _REQUEST - {b":authority"} <= pseudo <= _REQUEST
    return pseudo == ({b":status"} if kind == "response" else set())
