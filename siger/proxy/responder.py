"""
An exchange as its client sees it: the instance's response passed on, or why there is none; and the end.

An exchange ends once: L{Responder._finish} gives back what it held and reports it. Until the response head was sent, a
failure becomes a problem document; after that, an unclean end.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from siger.errors import Reason
from siger.http.date import date_line
from siger.http.fields import without
from siger.http.problem import problem_body, send_problem
from siger.http.response import CORS_FIELDS

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.http.response import ResponseHead
    from siger.observe.stats import GrpcStats, ServiceStats
    from siger.proxy.arrival import Arrival
    from siger.proxy.client_stream import ClientStream
    from siger.proxy.connection import UpstreamConnection
    from siger.proxy.context import ProxyContext

__all__ = ["Responder"]


class Responder:
    """
    The half of an exchange that answers; L{siger.proxy.exchange.Exchange} is the other one.

    @ivar streaming: see L{siger.proxy.recipient.Recipient}.
    """

    __slots__ = (
        "_arrival",
        "_attempts",
        "_bytes_in",
        "_bytes_out",
        "_calls",
        "_connection",
        "_context",
        "_done",
        "_endpoint",
        "_first_byte",
        "_grpc_status",
        "_status",
        "_stream",
        "streaming",
    )

    def __init__(self, context: ProxyContext, arrival: Arrival) -> None:
        self._context = context
        self._arrival = arrival
        self._stream = arrival.stream
        self._endpoint: Endpoint | None = None
        self._connection: UpstreamConnection | ClientStream | None = None
        self._attempts = 0
        self._status = 0
        self._first_byte = 0.0
        self._bytes_in = 0
        self._bytes_out = 0
        self._done = False
        self.streaming = False
        # Of calls alone: how one ended, and what counts that.
        self._grpc_status = -1
        self._calls: GrpcStats | None = None

    def __repr__(self) -> str:
        state = "done" if self._done else f"status {self._status}" if self._status else "no response"
        return f"<{type(self).__name__} {self._arrival.request_id.decode()} [{state}, {self._attempts} attempts]>"

    # The response: siger.proxy.recipient.Recipient.

    def interim_received(self, head: ResponseHead) -> None:
        """
        Pass on a 1xx response.
        """
        self._stream.send_interim(head.status, head.relay)

    def switched(self, head: ResponseHead) -> bool:
        """
        Nobody has asked for another protocol.
        """
        return False

    def response_received(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        """
        Pass on the final head and what came with it.
        """
        self._first_byte = monotonic()
        self._status = head.status
        self._bytes_out = len(body)
        relay = head.relay
        if head.owned and self._arrival.place.rules.cors is not None and not CORS_FIELDS.isdisjoint(head.owned):
            # The gateway itself says which origins may read the response, so an instance has no say in it.
            relay = without(relay, CORS_FIELDS)
        lines = relay if head.dated else relay + date_line()
        if complete:
            # The connection is back in its pool, or closed.
            self._connection = None
        self._stream.send_response(head.status, head.phrase, lines, head.length, body, complete)
        if complete:
            self._complete(head.relay)

    def response_data(self, data: bytes) -> None:
        """
        Pass on more of the body, or of a tunnel's bytes.
        """
        self._bytes_out += len(data)
        self._stream.send_body(data)

    def response_finished(self, trailers: bytes) -> None:
        """
        The response is complete.
        """
        self._connection = None
        self._stream.end_response(trailers)
        self._complete(trailers)

    def _complete(self, lines: bytes) -> None:
        # These came last, as a head or as trailers.
        self._finish(None)

    def lasts(self) -> None:
        """
        It may, for as long as its connection lets it.
        """

    def upstream_reset(self, code: int) -> None:
        """
        The instance broke off the response, and this HTTP/2 error code says why.
        """
        self._connection = None
        self._refuse(Reason.UPSTREAM_TRUNCATED if self._status else Reason.UPSTREAM_RESET)

    def pause_request(self) -> None:
        """
        The instance reads slowly.
        """
        self._stream.pause_body()

    def resume_request(self) -> None:
        """
        The instance caught up.
        """
        self._stream.resume_body()

    # Its reader: siger.http.stream.Exchange.

    def pause_response(self) -> None:
        """
        The client reads slowly.
        """
        if self._connection is not None:
            self._connection.pause_response()

    def resume_response(self) -> None:
        """
        The client caught up.
        """
        if self._connection is not None:
            self._connection.resume_response()

    def client_gone(self) -> None:
        """
        Nobody waits for the response any more.
        """
        self._finish(Reason.CLIENT_GONE)

    # Ending.

    def _refuse(self, reason: Reason) -> None:
        # Ends the exchange with a problem document, or by breaking off what was begun.
        if self._done:
            return
        if self._status:
            self._finish(reason)
            self._stream.abort_response()
            return
        arrival = self._arrival
        method = arrival.head.method
        self._status = reason.status
        self._first_byte = monotonic()
        if method != b"HEAD":
            self._bytes_out = len(problem_body(reason, arrival.request_id))
        self._finish(reason)
        send_problem(self._stream, method, reason, arrival.request_id)

    def _finish(self, reason: Reason | None) -> None:
        if self._done:
            return
        self._done = True
        endpoint = self._endpoint
        self._give_back(reason)
        self._report(reason, b"" if endpoint is None else endpoint.label)

    def _give_back(self, reason: Reason | None) -> None:
        # Lets go of whatever the exchange holds: all is over, and this is why if it did not end well.
        raise NotImplementedError

    def _report(self, reason: Reason | None, instance: bytes) -> None:
        arrival = self._arrival
        place = arrival.place
        head, identity = arrival.head, arrival.identity
        observer = self._context.observer
        observer.in_flight -= 1
        assert place.service is not None
        stats: ServiceStats = place.service.route
        observer.finish(
            place.stats,
            head.method,
            head.path,
            self._status or Reason.CLIENT_GONE.status,
            reason,
            arrival.start,
            self._first_byte,
            monotonic(),
            self._bytes_in,
            self._bytes_out,
            arrival.request_id,
            arrival.client,
            stats,
            instance,
            self._attempts,
            b"" if identity is None else identity.logged,
            head.version,
            self._grpc_status,
            self._calls,
        )
