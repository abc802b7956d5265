"""
The load generator for gRPC: C{python -m benchmarks.http2.client ORDER}, the order being L{Order} as JSON.

It keeps a number of calls in progress on each of some connections for some seconds, ends what has begun, and prints one
line that tells how it went. A call is right when it got a head with status 200, its messages to the byte, and trailers
that end the stream. Whether the trailers say C{grpc-status: 0} is seen by decoding them, which costs more than all else
that is done for a call: for the first calls of each connection, and for all calls of the first connection, header
sections are kept and decoded when the time is up (L{benchmarks.http2.verify}).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from functools import partial
from typing import Final

import uvloop

from benchmarks.http2.calls import ANSWER, SERVICE, request
from benchmarks.http2.connection import Connection
from benchmarks.http2.encoding import Requests
from benchmarks.http2.frames import END_STREAM, GOAWAY, PREFACE, RST_STREAM, Http2Error
from benchmarks.http2.run import Order, Run
from benchmarks.http2.verify import Section, wrong_calls

__all__ = ["Calling", "main"]

_PATIENCE: Final = 10.0
_OK: Final = b"\x88"
_TABLE_SIZES: Final = bytes(range(0x20, 0x40))
"""
What a header section may begin with: changes of the table's size (RFC 7541 section 6.3).
"""
_KEPT: Final = 200
_KEPT_OF_FIRST: Final = 20_000


class Calling(Connection):
    """
    One connection.

    @ivar kept: its first header sections, to be decoded later.
    @ivar counted: the streams of calls that were found wrong already.
    """

    def __init__(self, run: Run, number: int) -> None:
        super().__init__()
        order = run.order
        self.kept: list[Section] = []
        self.counted: set[int] = set()
        self._run = run
        self._keep = _KEPT if number else _KEPT_OF_FIRST
        self._message = request(order.method)
        path, authority = f"/{SERVICE}/{order.method}", f"127.0.0.1:{order.port}"
        self._requests = Requests(path, authority, order.metadata, self._message, order.start + (number << 32))
        self._several = order.messages > 1
        self._next = 1
        self._waiting = 0
        self._began: dict[int, float] = {}
        self._got: dict[int, int] = {}
        self._now = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.out.append(PREFACE)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._began or self._now < self._run.until:
            self._run.wrong(f"a connection was lost: {exc or 'it was closed'}", len(self._began))
        self._run.open -= 1
        if not self._run.open:
            self._run.done.set()

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        super().data_received(data)

    def settings_received(self, change: int) -> None:
        if not self.table:
            raise Http2Error("the peer keeps no table for header sections")
        if self._next == 1:
            self._waiting = self._run.order.streams

    def headers_frame(self, stream: int, flags: int, payload: bytes) -> None:
        if self._keep:
            self._keep -= 1
            self.kept.append((stream, not flags & END_STREAM, payload))
        if not flags & END_STREAM:
            if payload.startswith(_OK) or payload.lstrip(_TABLE_SIZES).startswith(_OK):
                self._got[stream] = 0
            return
        got = self._got.pop(stream, None)
        if got == self._run.expected:
            self._run.took.append(self._now - self._began.pop(stream))
            self._waiting += 1
        else:
            self._failed_call(stream, f"an answer ended after {got} bytes of {self._run.expected}")

    def data_frame(self, stream: int, flags: int, payload: bytes) -> None:
        if flags & END_STREAM:
            self._failed_call(stream, "an answer without trailers")
        elif stream in self._got and (payload == ANSWER or self._several or len(payload) < len(ANSWER)):
            self._got[stream] += len(payload)

    def other_frame(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == RST_STREAM:
            self._failed_call(stream, f"a call was reset with code {payload.hex()}")
        elif kind == GOAWAY and self._now < self._run.until:
            self._run.wrong(f"a connection was refused: {payload!r}")

    def failed(self, error: Http2Error) -> None:
        self._run.wrong(str(error))
        self.close()

    def read_done(self) -> None:
        """
        Begin as many calls as have ended, if the time is not up and the peer lets us.
        """
        if self._now >= self._run.until:
            if not self._began:
                self.close()
            return
        size = len(self._message)
        while self._waiting and self.window >= size <= self.initial:
            self._waiting -= 1
            self.window -= size
            self._began[self._next] = self._now
            self.out.append(self._requests.call(self._next))
            self._next += 2

    def _failed_call(self, stream: int, why: str) -> None:
        self._got.pop(stream, None)
        if self._began.pop(stream, None) is not None:
            self._run.wrong(why)
            self.counted.add(stream)
            self._waiting += 1


async def _load(order: Order) -> dict[str, object]:
    """
    Do it.

    @return: what is to be told.
    """
    loop = asyncio.get_running_loop()
    run = Run(order)
    began = time.perf_counter()
    made = [
        await loop.create_connection(partial(Calling, run, number), "127.0.0.1", order.port)
        for number in range(order.connections)
    ]
    try:
        await asyncio.wait_for(run.done.wait(), order.seconds + _PATIENCE)
    except TimeoutError:
        run.wrong("calls did not end")
    elapsed = time.perf_counter() - began
    wrong = sum(len(wrong_calls(connection.kept) - connection.counted) for _, connection in made)
    if wrong:
        run.wrong("a status other than OK in a header section", wrong)
    took = sorted(run.took)
    return {
        "requests": len(took) - wrong,
        "microseconds": int(elapsed * 1e6),
        "errors": run.errors,
        "complaint": run.complaint,
        "p50": _part(took, 0.5),
        "p99": _part(took, 0.99),
    }


def _part(ordered: list[float], part: float) -> int:
    """
    A percentile, in microseconds.
    """
    return int(ordered[int(len(ordered) * part)] * 1e6) if ordered else 0


def main() -> None:
    """
    Read the order, do it, and tell.
    """
    values = json.loads(sys.argv[1])
    order = Order(**values | {"metadata": [(name, value) for name, value in values["metadata"]]})
    gc.disable()  # the dead of a run are no more than its calls, and nothing here makes circles
    print("RESULT " + json.dumps(uvloop.run(_load(order))))


if __name__ == "__main__":
    main()
