"""
One proxied request: from its head to the end of its response, on one instance or, if that cannot even be reached, on
another.

Theory of operation. An exchange stands between a L{Stream <siger.http.stream.Stream>} (the client) and an
L{UpstreamConnection} (the instance) and passes on what either says, with the other's backpressure. It ends once:
L{Exchange._finish} gives back what it held and reports it. Until the response head was sent, a failure becomes a
problem document; after that, an unclean end.

A request is sent again in three cases only, when nothing can have happened yet (RFC 9110 section 9.2.2): the
connection could not be made, so no byte was sent; or it had served before and died without a byte of this response,
the method is idempotent, and there is no body; or the instance itself says that it did nothing with it (RFC 9113
section 8.7), and all that was sent of its body is still here. The first two happen at most once.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from siger.balancing.protocols import HTTP2
from siger.config.settings.services import UNHURRIED
from siger.errors import Reason
from siger.grpc.content import GRPC
from siger.grpc.metadata import status_in
from siger.grpc.status import CANCELLED, status_of_http, status_of_reason, status_of_reset
from siger.grpc.timeouts import parse_timeout
from siger.http.date import date_line
from siger.http.deadlines import NEVER
from siger.http.fields import without
from siger.http.problem import grpc_error, problem_body, send_grpc_error, send_problem
from siger.http.response import CORS_FIELDS
from siger.proxy import websocket
from siger.proxy.client_stream import ClientStream
from siger.proxy.forwarding import packed_head, packed_timeout, request_head

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import ServiceSettings
    from siger.http.response import ResponseHead
    from siger.observe.stats import ServiceStats
    from siger.proxy.arrival import Arrival
    from siger.proxy.connection import UpstreamConnection
    from siger.proxy.context import ProxyContext
    from siger.proxy.multiplexed_pool import MultiplexedPool
    from siger.proxy.pool import Pool

__all__ = ["Exchange"]

_REPLAYABLE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
_MAX_ATTEMPTS: Final = 2
_MAX_REFUSALS: Final = 4
_REPLAY_BYTES: Final = 65536
"""How much of a request's body is kept until its response begins, where an instance may refuse the request."""


class Exchange:
    """
    One request and its response.
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
        "_ends",
        "_first_byte",
        "_grpc",
        "_grpc_status",
        "_measured",
        "_pieces",
        "_pool",
        "_request_complete",
        "_service",
        "_settings",
        "_status",
        "_stream",
        "_trailers",
        "_tried",
        "_upgrade",
        "_vigil",
        "_whole",
        "deadline",
        "streaming",
    )

    def __init__(self, context: ProxyContext, arrival: Arrival) -> None:
        """
        @param arrival: whose place is a service.
        """
        place = arrival.place
        assert place.service is not None
        assert place.settings is not None
        self._context = context
        self._arrival = arrival
        self._stream = arrival.stream
        self._service = place.service
        self._settings: ServiceSettings = place.settings
        self._calls = place.calls
        self._endpoint: Endpoint | None = None
        self._pool: Pool | MultiplexedPool | None = None
        self._connection: UpstreamConnection | ClientStream | None = None
        self._tried: list[Endpoint] | None = None
        self._pieces: list[bytes] | None = None
        self._whole = True
        self._trailers = b""
        self._attempts = 0
        self._status = 0
        self._first_byte = 0.0
        self._bytes_in = 0
        self._bytes_out = 0
        self._upgrade = False
        self._measured = False
        self._vigil: Any = None
        self._done = False
        self._ends = NEVER
        self.deadline = NEVER
        fields = arrival.head.fields
        self.streaming = self._grpc = fields.grpc == GRPC
        self._grpc_status = -1
        self._request_complete = not (fields.chunked or fields.content_length)

    def __repr__(self) -> str:
        state = "done" if self._done else f"status {self._status}" if self._status else "no response"
        return f"<Exchange {self._arrival.request_id.decode()} [{state}, {self._attempts} attempts]>"

    # Beginning.

    def begin(self) -> Exchange | None:
        """
        Choose an instance and send the request, or answer it here.

        @return: itself, or C{None} if it has ended already.
        """
        self._context.observer.in_flight += 1
        fields = self._arrival.head.fields
        length = fields.content_length
        if self._grpc:
            self._set_deadline()
        if self._done:
            return None
        if length is not None and length > self._settings.max_body:
            self._refuse(Reason.BODY_TOO_LARGE)
        elif fields.upgrade and self._settings.websocket and websocket.is_handshake(self._arrival.head):
            self._begin_upgrade()
        else:
            self._choose()
        return None if self._done else self

    def _set_deadline(self) -> None:
        # A call ends at the time that its client gave it, or the service gives every call, whichever is sooner.
        allowed = self._settings.timeouts.deadline
        asked = self._arrival.head.fields.owned.get(b"grpc-timeout")
        if asked is not None:
            try:
                seconds = parse_timeout(asked)
            except ValueError:
                self._refuse(Reason.MALFORMED_REQUEST)
                return
            allowed = min(allowed, seconds) if allowed else seconds
        elif not allowed:
            return
        self._ends = self._arrival.start + allowed
        if not allowed:
            self._refuse(Reason.DEADLINE_EXCEEDED)
        elif self._context.deadlines is not None:
            self._context.deadlines.allow(self, self._ends - monotonic())

    def deadline_passed(self) -> None:
        """
        The call has taken all the time that it had.
        """
        self._refuse(Reason.DEADLINE_EXCEEDED)

    def _begin_upgrade(self) -> None:
        fault = websocket.check_handshake(self._arrival.head)
        if fault is not None:
            self._refuse(fault)
            return
        self._upgrade = True
        self._choose()

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
        if self._upgrade and endpoint.protocol in HTTP2:
            # There are no upgrades in HTTP/2: a request for one goes on as what it is besides.
            self._upgrade = False
        pool = endpoint.pool
        if pool is None:
            pool = self._context.make_pool(endpoint, self._service.settings)
            endpoint.pool = pool
        # An endpoint knows its pool only as something to close: the type checker has to believe that it is ours.
        self._pool = pool  # type: ignore[assignment]
        # An upgrade takes its connection with it, so it gets one of its own.
        connection = None if self._upgrade else self._pool.checkout()  # type: ignore[union-attr]
        if connection is not None:
            self.connected(connection)
        else:
            self._await_connection()

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
        fields = self._arrival.head.fields
        shared = isinstance(connection, ClientStream)
        if not shared:
            self._calls = None  # what answers every path over HTTP/1.1 has no methods to be counted by
        request = self._packed_request(endpoint) if shared else self._request(endpoint)
        if self._upgrade:
            connection.exclusive = True
            request = request[:-2] + websocket.request_lines(self._arrival.head) + b"\r\n"
        head_only = self._arrival.head.method == b"HEAD"
        bodied = fields.chunked or bool(fields.content_length)
        # A call that has a deadline has that, and may take until then; over HTTP/1.1 there are no calls, whatever a
        # client says.
        timeouts = UNHURRIED if shared and self._ends != NEVER else self._settings.timeouts
        connection.begin(self, request, head_only, bodied, timeouts, fields.chunked)
        if bodied:
            self._continue_body(connection)
        elif not shared:
            self._whole = False

    def _request(self, endpoint: Endpoint) -> bytes:
        return request_head(self._arrival, endpoint, self._context.forwarding)

    def _packed_request(self, endpoint: Endpoint) -> bytes:
        request = packed_head(self._arrival, endpoint, self._context.forwarding)
        return request if self._ends == NEVER else request + packed_timeout(self._ends - monotonic())

    def _continue_body(self, connection: UpstreamConnection | ClientStream) -> None:
        # Sends what is here of the body, and lets the rest come.
        pieces = self._pieces
        if not isinstance(connection, ClientStream):
            self._forget_body()
        if pieces is not None:
            for piece in pieces:
                connection.send_body(piece)
        if self._request_complete:
            connection.request_sent(self._trailers)
            return
        stream = self._stream
        if self._grpc and isinstance(connection, ClientStream):
            stream.let_body_rest()
        # The instance may have begun to read slowly with what was held, or before that.
        if connection.request_paused:
            stream.pause_body()
        else:
            stream.resume_body()

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

    # The request's body: siger.http.stream.Exchange.

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        Pass on some of the body, or of a tunnel's bytes.
        """
        self._bytes_in += len(data)
        if self._bytes_in > self._settings.max_body and not self._upgrade:
            self._refuse(Reason.BODY_TOO_LARGE)
            return
        if end:
            self._request_complete = True
        connection = self._connection
        if self._whole:
            self._keep(data, connection is None)
        if connection is not None:
            connection.send_body(data, end)

    def _keep(self, data: bytes, waiting: bool) -> None:
        # What could not be sent yet, or may have to be sent again.
        if self._pieces is None:
            self._pieces = [data]
        elif waiting or self._bytes_in <= _REPLAY_BYTES:
            self._pieces.append(data)
        else:
            self._forget_body()

    def _forget_body(self) -> None:
        self._pieces = None
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

    def client_gone(self) -> None:
        """
        Nobody waits for the response any more.
        """
        if not self._done:
            if self._upgrade and self._status == 101 and self._connection is not None:
                self._connection.hang_up()
                self._connection = None
                self._finish(None)
            else:
                self._finish(Reason.CLIENT_GONE)

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

    def lasts(self) -> None:
        """
        A call takes a while: it ends with its token, as a tunnel does.
        """
        if self._vigil is None:
            self._watch_token()

    def _watch_token(self) -> None:
        vigils, identity = self._context.vigils, self._arrival.identity
        if vigils is not None and identity is not None:
            credentials = self._arrival.head.fields.owned.get(b"authorization", b"")
            self._vigil = vigils.begin(identity, credentials, self._token_ended)

    def _token_ended(self) -> None:
        # Whose token has ended has no business in a tunnel any more; the instance is told as by a client that left.
        if self._grpc:
            self._refuse(Reason.INVALID_TOKEN)
        elif not self._done:
            if self._connection is not None:
                self._connection.hang_up()
                self._connection = None
            self._finish(Reason.INVALID_TOKEN)
            self._stream.abort_response()

    # The response: siger.proxy.connection.Recipient.

    def interim_received(self, head: ResponseHead) -> None:
        """
        Pass on a 1xx response.
        """
        self._stream.send_interim(head.status, head.relay)

    def switched(self, head: ResponseHead) -> bool:
        """
        Become a tunnel, if that was asked for.
        """
        stream = self._stream
        upgrade = getattr(stream, "upgrade", None)
        if not self._upgrade or upgrade is None or not websocket.accepts(self._arrival.head, head):
            return False
        self._status = 101
        self._first_byte = monotonic()
        self._watch_token()
        early = upgrade(websocket.response_lines(head))
        if early:
            self.body_received(early)
        return True

    def response_received(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        """
        Pass on the final head and what came with it.
        """
        self._first_byte = monotonic()
        self._status = head.status
        self._bytes_out = len(body)
        self._measured = head.length is not None
        self._forget_body()
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
            if self._grpc:
                self._note_status(head.relay)
            self._finish(None)

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
        if self._grpc:
            self._note_status(trailers)
        self._finish(None)

    def _note_status(self, lines: bytes) -> None:
        # A call whose response has no status failed, in a way that its HTTP status tells more or less.
        status = status_in(lines)
        self._grpc_status = status_of_http(self._status) if status < 0 else status

    def upstream_failed(self, reason: Reason, replayable: bool) -> None:
        """
        The instance failed: send the request again if that is safe, else say so.
        """
        self._connection = None
        safe = replayable and self._request_complete and not self._bytes_in and not self._upgrade
        if safe and self._attempts < _MAX_ATTEMPTS and self._arrival.head.method in _REPLAYABLE:
            assert self._pool is not None
            self._pool.wait(self, self._settings.timeouts.connect)
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

    def upstream_reset(self, code: int) -> None:
        """
        The instance broke off the response, and this HTTP/2 error code says why.
        """
        self._connection = None
        reason = Reason.UPSTREAM_TRUNCATED if self._status else Reason.UPSTREAM_RESET
        if self._grpc:
            self._end_call(reason, status_of_reset(code))
        else:
            self._refuse(reason)

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

    # Ending.

    def _refuse(self, reason: Reason) -> None:
        # Ends the exchange with a problem document, or by breaking off what was begun.
        if self._done:
            return
        if self._grpc:
            self._end_call(reason, status_of_reason(reason))
            return
        if self._status:
            self._finish(reason)
            self._stream.abort_response()
            return
        self._status = reason.status
        self._first_byte = monotonic()
        if self._arrival.head.method != b"HEAD":
            self._bytes_out = len(problem_body(reason, self._arrival.request_id))
        self._finish(reason)
        send_problem(self._stream, self._arrival.head.method, reason, self._arrival.request_id)

    def _end_call(self, reason: Reason, status: int) -> None:
        # Ends a call with a status: in trailers, once the response has begun. One that has no room for trailers, or
        # whose client may not look at them, must not look complete without them.
        self._grpc_status = status
        begun = self._status
        self._status = begun or 200
        self._first_byte = self._first_byte or monotonic()
        self._finish(reason)
        stream = self._stream
        stream.reason = reason
        lines = grpc_error(reason, status=status)
        if not begun:
            send_grpc_error(stream, lines, reason)
        elif self._takes_trailers():
            stream.end_response(lines)
        else:
            stream.abort_response()

    def _takes_trailers(self) -> bool:
        # HTTP/1.0 has none, and clients of HTTP/1.1 throw them away, unless they say otherwise (RFC 9110, 10.1.4).
        version = self._stream.version
        return not self._measured and (version == 20 or (version == 11 and self._arrival.head.fields.trailers))

    def _release(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.inflight -= 1

    def _finish(self, reason: Reason | None) -> None:
        if self._done:
            return
        self._done = True
        if self.deadline != NEVER and self._context.deadlines is not None:
            self._context.deadlines.discard(self)
        if self._vigil is not None and self._context.vigils is not None:
            self._context.vigils.end(self._vigil)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        elif self._pool is not None and reason is not None:
            self._pool.cancel(self)
        self._pieces = None
        endpoint = self._endpoint
        instance = b"" if endpoint is None else endpoint.label
        self._release()
        arrival = self._arrival
        place, head, identity = arrival.place, arrival.head, arrival.identity
        observer = self._context.observer
        observer.in_flight -= 1
        stats: ServiceStats = self._service.route
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
            self._grpc_status if self._grpc_status >= 0 or not self._grpc else CANCELLED,
            self._calls,
        )
