"""
One proxied request: from its head to the end of its response, on one instance or, if that cannot even be reached, on
another.

Theory of operation. An exchange stands between a L{Stream <siger.http.stream.Stream>} (the client) and an
L{UpstreamConnection} or a L{ClientStream} (the instance) and passes on what either says, with the other's
backpressure. This module has the request's way; the response's, and the end, are in L{siger.proxy.responder}. What is
different for calls of gRPC is in L{siger.proxy.call}, and for upgrades in L{siger.proxy.tunnel}.

A request is sent again in three cases only, when nothing can have happened yet (RFC 9110 section 9.2.2): the
connection could not be made, so no byte was sent; or it had served before and died without a byte of this response,
the method is idempotent, and there is no body; or the instance itself says that it did nothing with it (RFC 9113
section 8.7), and all that was sent of its body is still here. The first two happen at most once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.proxy.client_stream import ClientStream
from siger.proxy.forwarding import packed_head, request_head
from siger.proxy.kept_body import KeptBody
from siger.proxy.responder import Responder

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import ServiceSettings, Timeouts
    from siger.http.response import ResponseHead
    from siger.proxy.arrival import Arrival
    from siger.proxy.connection import UpstreamConnection
    from siger.proxy.context import ProxyContext
    from siger.proxy.multiplexed_pool import MultiplexedPool
    from siger.proxy.pool import Pool

__all__ = ["Exchange"]

_REPLAYABLE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
_MAX_ATTEMPTS: Final = 2
_MAX_REFUSALS: Final = 4


class Exchange(Responder):
    """
    One request and its response.
    """

    __slots__ = ("_kept", "_pool", "_request_complete", "_service", "_settings", "_trailers", "_tried", "_whole")

    def __init__(self, context: ProxyContext, arrival: Arrival) -> None:
        """
        @param arrival: whose place is a service.
        """
        super().__init__(context, arrival)
        place = arrival.place
        assert place.service is not None
        assert place.settings is not None
        fields = arrival.head.fields
        self._service = place.service
        self._settings: ServiceSettings = place.settings
        self._pool: Pool | MultiplexedPool | None = None
        self._tried: list[Endpoint] | None = None
        self._request_complete = not (fields.chunked or fields.content_length)
        self._trailers = b""
        self._kept: KeptBody | None = None
        self._whole = True

    def begin(self) -> Exchange | None:
        """
        Choose an instance and send the request, or answer it here.

        @return: itself, or C{None} if it has ended already.
        """
        self._context.observer.in_flight += 1
        fault = self._fault()
        if fault is not None:
            self._refuse(fault)
        else:
            self._choose()
        return None if self._done else self

    def _fault(self) -> Reason | None:
        # Why it goes nowhere, if it has to stay here.
        length = self._arrival.head.fields.content_length
        return Reason.BODY_TOO_LARGE if length is not None and length > self._settings.max_body else None

    # An instance, and a connection to it.

    def _choose(self, otherwise: Reason = Reason.NO_INSTANCE) -> None:
        tried = self._tried
        endpoint = self._service.balancer.pick() if tried is None else self._service.balancer.pick(tried)
        if endpoint is None:
            self._refuse(otherwise)
        else:
            self._take(endpoint)

    def _take(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        endpoint.inflight += 1
        pool = endpoint.pool
        if pool is None:
            pool = self._context.make_pool(endpoint, self._service.settings)
            endpoint.pool = pool
        # An endpoint knows its pool only as something to close: the type checker has to believe that it is ours.
        self._pool = pool  # type: ignore[assignment]
        connection = self._checkout()
        if connection is not None:
            self.connected(connection)
        else:
            self._await_connection()

    def _checkout(self) -> UpstreamConnection | ClientStream | None:
        assert self._pool is not None
        return self._pool.checkout()

    def _await_connection(self) -> None:
        if not self._request_complete:
            self._stream.pause_body()
        assert self._pool is not None
        self._pool.wait(self, self._settings.timeouts.connect)

    def connected(self, connection: UpstreamConnection | ClientStream) -> None:
        """
        Send the request head on this connection, and what was held of the body.
        """
        endpoint = self._endpoint
        assert endpoint is not None
        self._attempts += 1
        self._connection = connection
        shared = isinstance(connection, ClientStream)
        request = self._packed_request(endpoint) if shared else self._request(endpoint)
        head = self._arrival.head
        fields = head.fields
        bodied = fields.chunked or bool(fields.content_length)
        connection.begin(self, request, head.method == b"HEAD", bodied, self._timeouts(shared), fields.chunked)
        if bodied:
            self._continue_body(connection)

    def _request(self, endpoint: Endpoint) -> bytes:
        return request_head(self._arrival, endpoint, self._context.forwarding)

    def _packed_request(self, endpoint: Endpoint) -> bytes:
        return packed_head(self._arrival, endpoint, self._context.forwarding)

    def _timeouts(self, shared: bool) -> Timeouts:
        return self._settings.timeouts

    # The request's body: siger.http.stream.Exchange.

    def _continue_body(self, connection: UpstreamConnection | ClientStream) -> None:
        # Sends what is here of the body, and lets the rest come.
        kept = self._kept
        if not isinstance(connection, ClientStream):
            self._forget_body()
        if kept is not None:
            for piece in kept.pieces:
                connection.send_body(piece)
        if self._request_complete:
            connection.request_sent(self._trailers)
        elif connection.request_paused:
            # The instance has begun to read slowly with what was held, or before that.
            self._stream.pause_body()
        else:
            self._stream.resume_body()

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        Pass on some of the body.
        """
        self._bytes_in += len(data)
        if self._bytes_in > self._settings.max_body:
            self._refuse(Reason.BODY_TOO_LARGE)
            return
        if end:
            self._request_complete = True
        if self._whole:
            self._keep(data)
        if self._connection is not None:
            self._connection.send_body(data, end)

    def _keep(self, data: bytes) -> None:
        # What could not be sent yet, or may have to be sent again.
        if self._kept is None:
            self._kept = KeptBody()
        if not self._kept.add(data, self._connection is not None):
            self._forget_body()

    def _forget_body(self) -> None:
        self._kept = None
        self._whole = False

    def body_finished(self, trailers: bytes) -> None:
        """
        The request is complete.
        """
        self._request_complete = True
        self._trailers = trailers
        if self._connection is not None:
            self._connection.request_sent(trailers)

    def body_failed(self, reason: Reason) -> None:
        """
        The request will never be complete: the instance must not take it for complete.
        """
        self._refuse(reason)

    # What becomes of it: siger.proxy.waiting.Waiter and siger.proxy.recipient.Recipient.

    def response_received(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        """
        Pass the response on: from here, nothing is sent again.
        """
        self._forget_body()
        super().response_received(head, body, complete)

    def connect_failed(self, reason: Reason) -> None:
        """
        There is no connection to this instance: try another, once. No byte was sent.
        """
        self._attempts += 1
        endpoint = self._endpoint
        if self._attempts >= _MAX_ATTEMPTS or endpoint is None:
            self._refuse(reason)
            return
        self._tried = [endpoint]
        self._release()
        self._choose(otherwise=reason)

    def upstream_failed(self, reason: Reason, replayable: bool) -> None:
        """
        The instance failed: send the request again if that is safe, else say so.
        """
        self._connection = None
        safe = replayable and self._request_complete and not self._bytes_in
        if safe and self._attempts < _MAX_ATTEMPTS and self._arrival.head.method in _REPLAYABLE:
            self._await_connection()
        else:
            self._refuse(reason)

    def upstream_refused(self, reason: Reason) -> None:
        """
        The instance did nothing with the request: send it again, to another one if there is one.
        """
        self._connection = None
        endpoint = self._endpoint
        if self._attempts >= _MAX_REFUSALS or not self._whole or endpoint is None:
            self._refuse(reason)
            return
        other = self._service.balancer.pick([endpoint])
        if other is None:
            self._await_connection()
        else:
            self._release()
            self._take(other)

    # Giving back.

    def _release(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.inflight -= 1

    def _give_back(self, reason: Reason | None) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        elif self._pool is not None and reason is not None:
            self._pool.cancel(self)
        self._forget_body()
        self._release()
