"""
One end of an HTTP/2 connection with the gateway, over a plain socket, for tests that decide on each byte themselves.

Nothing is answered by itself: no SETTINGS, no PING, no window. What comes is split into frames, header blocks are
decoded with C{hpack}, and what a gateway must never send is written down in the L{Ledger}.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

import hpack
from attrs import Factory, define

from tests.integration.h2_frames import WINDOW, Code, Fields, Flag, Frame, Key, Kind, code_of, data, headers, split
from tests.integration.h2_ledger import Ledger, field_faults

__all__ = ["PATIENCE", "H2Peer", "Incoming", "PeerSilent"]

PATIENCE = 5.0
"""
Seconds to wait for what should happen at once.
"""
_SHOWN = 12


class PeerSilent(AssertionError):  # noqa: N818  (as a sentence reads)
    """
    What a test cannot go on without did not come in time.
    """


@define
class Incoming:
    """
    What came on one stream.

    @ivar blocks: its field sections in order.
    @ivar sensitive: for each, the names of the fields that were marked as never to be indexed.
    @ivar body: the content of all DATA.
    @ivar ended: whether END_STREAM came.
    @ivar code: that of RST_STREAM, C{None} without one.
    """

    blocks: list[Fields] = Factory(list)
    sensitive: list[set[bytes]] = Factory(list)
    body: bytearray = Factory(bytearray)
    ended: bool = False
    code: Code | int | None = None

    @property
    def done(self) -> bool:
        """
        Whether nothing more can come.
        """
        return self.ended or self.code is not None

    @property
    def interims(self) -> list[Fields]:
        """
        The sections of 1xx responses.
        """
        return [block for block in self.blocks if dict(block).get(b":status", b"").startswith(b"1")]

    @property
    def head(self) -> Fields:
        """
        The section of the request or the final response; nothing if it did not come.
        """
        later = self.blocks[len(self.interims) :]
        return later[0] if later else []

    @property
    def trailers(self) -> Fields:
        """
        The section behind that.
        """
        later = self.blocks[len(self.interims) + 1 :]
        return later[0] if later else []

    @property
    def status(self) -> int:
        """
        The final status, or 0.
        """
        return int(self.value(b":status") or b"0")

    def value(self, name: bytes) -> bytes | None:
        """
        The joined value of a field, or C{None} where there is none.
        """
        found = [value for key, value in self.head if key == name]
        return b", ".join(found) if found else None


class H2Peer:
    """
    The test's end of one connection.

    @ivar frames: all that came, in order.
    @ivar closed: C{"eof"} or C{"reset"} once the gateway ended the connection.
    @ivar deaf: read nothing while sending, as a client that is slow.
    @ivar settings: the gateway's.
    @ivar streams: what came on each stream.
    @ivar credit: what may be sent on the connection.
    """

    serving = False

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self.frames: list[Frame] = []
        self.closed = ""
        self.deaf = False
        self.settings: dict[int, int] = {}
        self.credit = WINDOW
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.ledger = Ledger(not self.serving)
        self.buffer = bytearray()
        self.streams: dict[int, Incoming] = {}
        self._credits: dict[int, int] = {}
        self._block = bytearray()
        self._ending = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.closed or 'open'}, {len(self.frames)} frames: {self.frames[-_SHOWN:]}>"

    # Sending

    def send(self, raw: bytes, timeout: float = PATIENCE) -> bool:
        """
        Send bytes as they are, and take in meanwhile what comes. A gateway that hung up is no error here.

        @return: whether all were sent.
        """
        self.ledger.sent(raw)
        left, deadline = memoryview(raw), time.monotonic() + timeout
        while left and not self.closed:
            readable, writable = self._poll(deadline, True)
            if readable and not self.deaf:
                self._receive()
            if writable and not self.closed:
                left = left[self._write(left) :]
            if not readable and not writable:
                return False
        return not left

    def _write(self, left: memoryview) -> int:
        try:
            return self.socket.send(left)
        except BlockingIOError:
            return 0
        except OSError:
            self._drain()
            return 0

    def _drain(self) -> None:
        """
        Nobody listens any more: what was said before is still there to be read.
        """
        while not self.closed:
            self._receive()

    def encode(self, *fields: tuple[bytes, bytes]) -> bytes:
        """
        A header block; it must be sent, as later ones build on it.
        """
        return bytes(self.encoder.encode(fields))

    def room(self, stream: int) -> int:
        """
        How much DATA the gateway has left room for on a stream.
        """
        initial = self.settings.get(Key.INITIAL_WINDOW_SIZE, WINDOW)
        return min(self.credit, initial + self._credits.get(stream, 0))

    def spend(self, stream: int, size: int) -> None:
        """
        Note DATA that is sent by hand.
        """
        self.credit -= size
        self._credits[stream] = self._credits.get(stream, 0) - size

    def send_data(self, stream: int, content: bytes, end: bool = False) -> None:
        """
        Send DATA within the windows, in as many frames as that takes.

        @raise PeerSilent: when the gateway leaves no room for too long.
        """
        left = memoryview(content)
        while left or end:
            size = min(len(left), 16384)
            if size and not self.until(lambda: self.room(stream) > 0 or self.stream(stream).code is not None):
                raise PeerSilent(f"no window for {len(left)} bytes on {stream}: {self}")
            if self.stream(stream).code is not None or self.closed:
                return
            size = min(size, max(0, self.room(stream)))
            last = end and size == len(left)
            self.spend(stream, size)
            self.send(data(stream, bytes(left[:size]), last))
            left = left[size:]
            end = end and not last

    def send_fields(self, stream: int, *fields: tuple[bytes, bytes], end: bool = False) -> None:
        """
        Send a field section in one HEADERS frame.
        """
        self.send(headers(stream, self.encode(*fields), end))

    # Receiving

    def read(self, timeout: float = PATIENCE) -> Frame | None:
        """
        The next frame; C{None} when none comes in time, or none any more.
        """
        deadline = time.monotonic() + timeout
        while (frame := split(self.buffer)) is None:
            if self.closed or not self._poll(deadline, False)[0]:
                return None
            self._receive()
        self.frames.append(frame)
        self._note(frame)
        return frame

    def until(self, true: Callable[[], object], timeout: float = PATIENCE) -> bool:
        """
        Read on until C{true()} is.

        @return: whether it is.
        """
        deadline = time.monotonic() + timeout
        while not true():
            left = deadline - time.monotonic()
            if left < 0 or self.read(left) is None:
                return bool(true())
        return True

    def until_closed(self, timeout: float = PATIENCE) -> bool:
        """
        Read on until the gateway ends the connection, and all that it said before.
        """
        deadline = time.monotonic() + timeout
        while self.read(max(0.0, deadline - time.monotonic())) is not None:
            pass
        return bool(self.closed)

    def until_reset(self, timeout: float = PATIENCE) -> bool:
        """
        Wait until the gateway breaks the connection off, and read nothing meanwhile.
        """
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(timeout * 1000))

    def stream(self, number: int) -> Incoming:
        """
        What came on a stream.
        """
        return self.streams.setdefault(number, Incoming())

    def of(self, kind: int, stream: int | None = None) -> list[Frame]:
        """
        The frames of one type, on one stream or all.
        """
        return [one for one in self.frames if one.kind == kind and stream in (None, one.stream)]

    def end(self, stream: int, timeout: float = PATIENCE) -> Incoming:
        """
        Read on until nothing more can come on a stream.

        @raise PeerSilent: when it does not end.
        """
        found = self.stream(stream)
        if not self.until(lambda: found.done, timeout):
            raise PeerSilent(f"{stream} does not end: {self}")
        return found

    def whole(self, stream: int, timeout: float = PATIENCE) -> Incoming:
        """
        The same, where the end is a clean one.

        @raise PeerSilent: when it is not.
        """
        found = self.end(stream, timeout)
        if not found.ended:
            raise PeerSilent(f"{stream} is broken off: {self}")
        return found

    def reset_of(self, stream: int, timeout: float = PATIENCE) -> Code | int:
        """
        Read on until a stream is reset.

        @return: the code.
        @raise PeerSilent: when it is not.
        """
        found = self.stream(stream)
        self.until(lambda: found.code is not None, timeout)
        if found.code is None:
            raise PeerSilent(f"{stream} is not reset: {self}")
        return found.code

    @property
    def goaway(self) -> Code | int | None:
        """
        The code of the last GOAWAY, C{None} without one.
        """
        found = self.of(Kind.GOAWAY)
        return code_of(found[-1].word(4)) if found else None

    def _poll(self, deadline: float, write: bool) -> tuple[bool, bool]:
        poll = select.poll()
        wanted = select.POLLOUT if write else 0
        poll.register(self.socket, wanted if write and self.deaf else wanted | select.POLLIN)
        found = poll.poll(max(0, deadline - time.monotonic()) * 1000)
        events = found[0][1] if found else 0
        failed = events & (select.POLLERR | select.POLLHUP)
        return bool(events & select.POLLIN or failed), bool(events & select.POLLOUT or failed)

    def _receive(self) -> None:
        try:
            piece = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            self.closed = "reset"
            return
        self.buffer += piece
        if not piece:
            self.closed = "eof"

    def _note(self, frame: Frame) -> None:
        self.ledger.received(frame)
        match frame.kind:
            case Kind.SETTINGS if not frame.has(Flag.ACK):
                self.settings |= dict(frame.pairs)
            case Kind.WINDOW_UPDATE if frame.stream:
                self._credits[frame.stream] = self._credits.get(frame.stream, 0) + frame.word()
            case Kind.WINDOW_UPDATE:
                self.credit += frame.word()
            case Kind.RST_STREAM:
                self.stream(frame.stream).code = code_of(frame.word())
            case Kind.DATA:
                self.stream(frame.stream).body += frame.content
            case Kind.HEADERS | Kind.CONTINUATION:
                self._block += frame.content
        if frame.kind in (Kind.HEADERS, Kind.DATA):
            self._ending = frame.has(Flag.END_STREAM)
        if frame.kind in (Kind.HEADERS, Kind.CONTINUATION) and frame.has(Flag.END_HEADERS):
            self._decode(frame.stream)
        if self._ending and not self._block:
            self._ending = False
            self._end(frame.stream)

    def _decode(self, number: int) -> None:
        stream = self.stream(number)
        decoded = list(self.decoder.decode(bytes(self._block), raw=True))
        self._block.clear()
        fields = [(bytes(name), bytes(value)) for name, value in decoded]
        kind = "trailers" if stream.head else "request" if self.serving else "response"
        stream.blocks.append(fields)
        stream.sensitive.append({bytes(one[0]) for one in decoded if not one.indexable})
        self.ledger.faults += [f"{fault} on {number}" for fault in field_faults(fields, kind)]

    def _end(self, number: int) -> None:
        stream = self.stream(number)
        stream.ended = True
        length = stream.value(b"content-length")
        if length is not None and stream.body and int(length) != len(stream.body):
            self.ledger.faults.append(f"{len(stream.body)} bytes on {number} where {length!r} were announced")

    def close(self) -> None:
        """
        Leave.
        """
        self.socket.close()
        self.closed = self.closed or "ours"

    def abort(self) -> None:
        """
        Leave with a TCP reset.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()
