"""
The gRPC backend: C{python -m benchmarks.http2.backend PORT}.

It answers from octets that are ready, since it shares a core with the load generator. It looks into messages, not into
header sections: those are only kept, of the first calls of each connection, and decoded when somebody asks to see one.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections import deque
from typing import Final

import hpack
import uvloop

from benchmarks.http2.calls import ANSWER, ECHO, FAIL, KIND, MESSAGES, NOT_FOUND, STREAM, UNARY, framed
from benchmarks.http2.connection import Connection
from benchmarks.http2.encoding import Answers, literals
from benchmarks.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    Http2Error,
    frame,
)

__all__ = ["Answering", "main"]

_KEPT: Final = 200
_ONE: Final = len(ANSWER)
_UNARY, _STREAM, _ECHO, _FAIL = (ord(method[0]) for method in (UNARY, STREAM, ECHO, FAIL))
_DATA: Final = frame(DATA, 0, 0, ANSWER)[:5]
_OK: Final = ((":status", "200"), ("content-type", "application/grpc"))
_FAILURE: Final = (*_OK, ("grpc-status", str(NOT_FOUND)), ("grpc-message", "there is no such thing"))


class Answering(Connection):
    """
    One connection of a proxy.
    """

    def __init__(self) -> None:
        super().__init__()
        self._greeted = False
        self._answers = Answers()
        self._unary: tuple[bytes, ...] = ()
        self._parts: dict[int, bytes] = {}
        self._kept: list[tuple[int, bytes]] | None = []
        self._decoder = hpack.Decoder()
        # What is still to be sent: messages of a stream, and what the peer lets us send on it.
        self._left: dict[int, int] = {}
        self._windows: dict[int, int] = {}
        self._turns: deque[int] = deque()

    def data_received(self, data: bytes) -> None:
        if not self._greeted:
            data, self._rest = self._rest + data, b""
            if len(data) < len(PREFACE):
                self._rest = data
                return
            if not data.startswith(PREFACE):
                self.close()
                return
            self._greeted = True
            data = data[len(PREFACE) :]
        super().data_received(data)

    def headers_frame(self, stream: int, flags: int, payload: bytes) -> None:
        if self._kept is not None:
            self._kept.append((stream, payload))
            if len(self._kept) > _KEPT:
                self._kept = None
        if flags & END_STREAM and stream not in self._parts:
            self._literally(stream, _FAILURE)

    def data_frame(self, stream: int, flags: int, payload: bytes) -> None:
        if stream in self._parts:
            payload = self._parts.pop(stream) + payload
        if not flags & END_STREAM:
            self._parts[stream] = payload
            return
        kind = payload[KIND] if len(payload) > KIND else _FAIL
        if kind == _UNARY and self.window >= _ONE <= self.initial and not self._turns:
            self.window -= _ONE
            self._answer_at_once(stream)
        elif kind in (_UNARY, _STREAM):
            self._left[stream] = 1 if kind == _UNARY else MESSAGES
            self._windows[stream] = self.initial
            self.out.append(frame(HEADERS, END_HEADERS, stream, self._answers.head()))
            self._turns.append(stream)
        elif kind == _ECHO:
            self._echo(stream)
        else:
            self._literally(stream, _FAILURE)

    def settings_received(self, change: int) -> None:
        if not self.table:
            self._answers, self._unary = Answers(table=False), ()
        for stream in self._windows:
            self._windows[stream] += change

    def stream_credit(self, stream: int, size: int) -> None:
        if stream in self._windows:
            self._windows[stream] += size

    def other_frame(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == RST_STREAM:
            self._parts.pop(stream, None)
            if self._left.pop(stream, None) is not None:
                self._windows.pop(stream)
                self._turns.remove(stream)
        elif kind == GOAWAY and not self._left:
            self.close()

    def failed(self, error: Http2Error) -> None:
        print(f"backend: {error}", file=sys.stderr, flush=True)
        self.close()

    def read_done(self) -> None:
        """
        Go on with what waited for credit: each stream has its turn, and the windows say how much it may send.
        """
        for _ in range(len(self._turns)):
            stream = self._turns.popleft()
            count = min(self._left[stream], self.window // _ONE, self._windows[stream] // _ONE)
            if count:
                self.window -= count * _ONE
                self._windows[stream] -= count * _ONE
                self._left[stream] -= count
                # Each message in a frame of its own, as it is sent when messages come one after another.
                self.out.append((_DATA + stream.to_bytes(4, "big") + ANSWER) * count)
            if self._left[stream]:
                self._turns.append(stream)
                continue
            del self._left[stream], self._windows[stream]
            self.out.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, self._answers.trailers()))

    def _answer_at_once(self, stream: int) -> None:
        """
        Head, one message and trailers.
        """
        if not self._unary:
            settled = self._answers.settled
            head = frame(HEADERS, END_HEADERS, 0, self._answers.head())
            trailers = frame(HEADERS, END_HEADERS | END_STREAM, 0, self._answers.trailers())
            pieces = head[:5], head[9:] + _DATA, ANSWER + trailers[:5], trailers[9:]
            self._unary = pieces if settled else ()
            self.out.append(stream.to_bytes(4, "big").join(pieces))
            return
        self.out.append(stream.to_bytes(4, "big").join(self._unary))

    def _echo(self, stream: int) -> None:
        """
        Tell what fields came; the table is only right if each section before was decoded.
        """
        if self._kept is None:
            self._literally(stream, _FAILURE)
            return
        for number, block in self._kept:
            fields = self._decoder.decode(block)
            if number == stream:
                message = framed(json.dumps(fields).encode())
                self._literally(stream, _OK, message, (("grpc-status", "0"),))
        self._kept = []

    def _literally(
        self,
        stream: int,
        head: tuple[tuple[str, str], ...],
        message: bytes = b"",
        trailers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """
        An answer that is not measured, and touches no table.
        """
        self.out.append(frame(HEADERS, END_HEADERS | (0 if message else END_STREAM), stream, literals(head)))
        if message:
            self.window -= len(message)
            self.out.append(frame(DATA, 0, stream, message))
            self.out.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, literals(trailers)))


async def _serve(port: int) -> None:
    """
    Listen until SIGTERM.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await loop.create_server(Answering, "127.0.0.1", port, backlog=4096)
    await stopped.wait()


def main() -> None:
    """
    Read the argument and serve.
    """
    gc.disable()  # nothing here makes circles
    uvloop.run(_serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
