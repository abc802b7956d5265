"""
A stream that tells the observer how its request ended.

A proxied exchange counts for itself, where it has the numbers at hand. Local endpoints answer through many hands (a
framework, its error handlers, producers), so theirs are counted on the one way out that they share.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from siger.errors import Reason
from siger.grpc.status import status_of_reason
from siger.http.wrapper import StreamWrapper

if TYPE_CHECKING:
    from siger.http.request import RequestHead
    from siger.http.stream import Stream
    from siger.observe.observer import Observer
    from siger.observe.stats import RouteStats
    from siger.policy.identity import Identity

__all__ = ["ObservedStream"]


class ObservedStream(StreamWrapper):
    """
    Passes a response on to a stream, and reports the request once, when it has ended.

    @ivar bytes_in: how much of the request's body arrived; whoever takes the body adds to it.
    @ivar grpc_status: how a call ended that was answered, and not refused; set by whoever answers it. -1 for what is
        none.
    @ivar reason: why the gateway refuses this request, while the stream's may tell of one before; set by whoever does,
        before it answers.
    """

    __slots__ = (
        "_bytes_out",
        "_client",
        "_ended",
        "_first_byte",
        "_head",
        "_identity",
        "_observer",
        "_request_id",
        "_route",
        "_start",
        "_status",
        "bytes_in",
        "grpc_status",
        "reason",
    )

    def __init__(
        self,
        stream: Stream,
        observer: Observer,
        route: RouteStats,
        head: RequestHead,
        request_id: bytes,
        client: bytes,
        identity: Identity | None = None,
    ) -> None:
        super().__init__(stream)
        self._observer = observer
        self._route = route
        self._head = head
        self._request_id = request_id
        self._client = client
        self._identity = identity
        self._start = monotonic()
        self._first_byte = 0.0
        self._status = 0
        self._bytes_out = 0
        self._ended = False
        self.bytes_in = 0
        self.grpc_status = -1
        self.reason: Reason | None = None
        observer.in_flight += 1

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        See L{siger.http.stream.Stream.send_response}.
        """
        self._status = status
        self._first_byte = monotonic()
        self._bytes_out += len(body)
        if end:
            self._report()
        self._stream.send_response(status, phrase, lines, length, body, end)

    def send_body(self, data: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_body}.
        """
        self._bytes_out += len(data)
        self._stream.send_body(data)

    def end_response(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Stream.end_response}.
        """
        self._report()
        self._stream.end_response(trailers)

    def abort_response(self) -> None:
        """
        See L{siger.http.stream.Stream.abort_response}.
        """
        self.reason = self.reason or Reason.INTERNAL_ERROR
        self._report()
        self._stream.abort_response()

    def client_gone(self) -> None:
        """
        The client left before the response was complete.
        """
        self.reason = Reason.CLIENT_GONE
        self._report()

    def _report(self) -> None:
        """
        Count the request, once.
        """
        if self._ended:
            return
        self._ended = True
        self._observer.in_flight -= 1
        self._observer.finish(
            self._route,
            self._head.method,
            self._head.path,
            self._status or (self.reason or Reason.INTERNAL_ERROR).status,
            self.reason,
            self._start,
            self._first_byte,
            monotonic(),
            self.bytes_in,
            self._bytes_out,
            self._request_id,
            self._client,
            None,
            b"",
            0,
            b"" if self._identity is None else self._identity.logged,
            self._head.version,
            status_of_reason(self.reason) if self.grpc and self.reason is not None else self.grpc_status,
        )
