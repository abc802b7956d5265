"""
Stand-ins for the pools that checks are given, and for instances that a test plays behind them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from siger.http.hpack.decoder import Decoder, static_entries
from siger.http.response import ResponseHead

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import ServiceSettings
    from siger.errors import Reason
    from siger.health.check import Streams

__all__ = ["SERVING", "FakePool", "FakeStream", "Pools", "answer"]

SERVING = 1


def answer(status: int) -> bytes:
    """
    A body that says this C{ServingStatus}.
    """
    return b"\0\0\0\0\x02\x08" + bytes((status,))


class FakeStream:
    """
    A stream that keeps what was sent on it.

    @ivar aborted: it was given up.
    """

    def __init__(self) -> None:
        self.recipient: Any = None
        self.fields: dict[bytes, bytes] = {}
        self.timeouts: Any = None
        self.body = b""
        self.ended = False
        self.aborted = False

    def begin(
        self, recipient: Any, block: bytes, head_only: bool, request_open: bool, timeouts: Any, chunked: bool = False
    ) -> None:
        """
        Keep the head.
        """
        assert request_open
        assert not head_only
        assert not chunked
        self.recipient, self.timeouts = recipient, timeouts
        self.fields = {entry.name: entry.value for entry in Decoder(static_entries()).decode(block)}

    def send_body(self, data: bytes, end: bool = False) -> None:
        """
        Keep the body.
        """
        assert not self.ended
        self.body += data
        self.ended = end

    def abort(self) -> None:
        """
        Note it. Nobody is told anything any more.
        """
        self.aborted = True

    def answer(self, status: int = SERVING, trailers: bytes = b"grpc-status: 0\r\n") -> None:
        """
        Answer as a server does that is in good order.
        """
        self.recipient.response_received(ResponseHead(200, b"OK"), answer(status), False)
        self.recipient.response_finished(trailers)


class FakePool:
    """
    A pool whose connections a test hands out, or that answers by itself.

    @ivar waiters: who waits.
    @ivar settings: what it was made with.
    @ivar status: what the instance answers at once, a C{ServingStatus}; C{None}: nothing.
    @ivar reason: why nobody can connect, if so.
    @ivar streams: those that were handed out.
    """

    def __init__(self, settings: Any = None, status: int | None = None, reason: Reason | None = None) -> None:
        self.settings = settings
        self.status = status
        self.reason = reason
        self.waiters: list[Any] = []
        self.streams: list[FakeStream] = []
        self.closed = False

    def wait(self, waiter: Any, patience: float | None = None) -> None:
        """
        Let somebody wait, unless it is settled already what comes of that.
        """
        assert not self.closed
        if self.reason is not None:
            waiter.connect_failed(self.reason)
            return
        self.waiters.append(waiter)
        if self.status is not None:
            self.connect().answer(self.status)

    def cancel(self, waiter: Any) -> None:
        """
        Let them wait no longer.
        """
        self.waiters = [other for other in self.waiters if other is not waiter]

    def close(self) -> None:
        """
        Note it; nobody may be left.
        """
        assert not self.waiters
        self.closed = True

    def connect(self) -> FakeStream:
        """
        Give the first who waits a stream.
        """
        stream = FakeStream()
        self.streams.append(stream)
        self.waiters.pop(0).connected(stream)
        return stream


class Pools:
    """
    Makes pools, and keeps them.

    @ivar made: all of them, in order.
    @ivar status: of the pools to come.
    @ivar reason: of the pools to come.
    """

    def __init__(self) -> None:
        self.made: list[FakePool] = []
        self.endpoints: list[Endpoint] = []
        self.status: int | None = None
        self.reason: Reason | None = None

    def __call__(self, endpoint: Endpoint, settings: ServiceSettings) -> FakePool:
        """
        Make one.
        """
        pool = FakePool(settings, self.status, self.reason)
        self.endpoints.append(endpoint)
        self.made.append(pool)
        return pool

    def of(self, endpoint: Endpoint) -> FakePool:
        """
        The last one that was made for an endpoint.
        """
        return [pool for pool, known in zip(self.made, self.endpoints, strict=True) if known is endpoint][-1]


if TYPE_CHECKING:
    _streams: Streams = FakePool()
