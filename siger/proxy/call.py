"""
A call of gRPC, as far as it is something else than a request: it has a deadline, it may be silent for as long as it
likes, it ends with its token, and how it ended is told by a status of its own ("gRPC over HTTP2").
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from siger.config.settings.services import UNHURRIED
from siger.errors import Reason
from siger.grpc.metadata import status_in
from siger.grpc.status import CANCELLED, status_of_http, status_of_reason, status_of_reset
from siger.grpc.timeouts import parse_timeout
from siger.http.deadlines import NEVER
from siger.http.problem import grpc_error, send_grpc_error
from siger.proxy.client_stream import ClientStream
from siger.proxy.exchange import Exchange
from siger.proxy.forwarding import packed_timeout

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import Timeouts
    from siger.http.response import ResponseHead
    from siger.policy.vigil import Vigil
    from siger.proxy.arrival import Arrival
    from siger.proxy.connection import UpstreamConnection
    from siger.proxy.context import ProxyContext

__all__ = ["Call"]


class Call(Exchange):
    """
    One call.

    @ivar deadline: see L{siger.http.deadlines}.
    """

    __slots__ = ("_ends", "_measured", "_vigil", "deadline")

    def __init__(self, context: ProxyContext, arrival: Arrival) -> None:
        super().__init__(context, arrival)
        self._grpc_status = CANCELLED  # what it is if it ends before anybody says how
        self._calls = arrival.place.calls
        self._ends = NEVER
        self._measured = False
        self._vigil: Vigil | None = None
        self.deadline = NEVER
        self.streaming = True

    # Its time.

    def _fault(self) -> Reason | None:
        fault = self._set_deadline()
        return super()._fault() if fault is None else fault

    def _set_deadline(self) -> Reason | None:
        # A call ends at the time that its client gave it, or the service gives every call, whichever is sooner.
        allowed = self._settings.timeouts.deadline
        asked = self._arrival.head.fields.owned.get(b"grpc-timeout")
        if asked is not None:
            try:
                seconds = parse_timeout(asked)
            except ValueError:
                return Reason.MALFORMED_REQUEST
            allowed = min(allowed, seconds) if allowed else seconds
        elif not allowed:
            return None
        self._ends = self._arrival.start + allowed
        if not allowed:
            return Reason.DEADLINE_EXCEEDED
        if self._context.deadlines is not None:
            self._context.deadlines.allow(self, self._ends - monotonic())
        return None

    def deadline_passed(self) -> None:
        """
        The call has taken all the time that it had.
        """
        self._refuse(Reason.DEADLINE_EXCEEDED)

    def _timeouts(self, shared: bool) -> Timeouts:
        # A call that has a deadline has that, and may take until then; over HTTP/1.1 there are no calls, whatever a
        # client says.
        return UNHURRIED if shared and self._ends != NEVER else self._settings.timeouts

    def _packed_request(self, endpoint: Endpoint) -> bytes:
        request = super()._packed_request(endpoint)
        return request if self._ends == NEVER else request + packed_timeout(self._ends - monotonic())

    def connected(self, connection: UpstreamConnection | ClientStream) -> None:
        """
        See L{Exchange.connected}.
        """
        if not isinstance(connection, ClientStream):
            self._calls = None  # what answers every path over HTTP/1.1 has no methods to be counted by
        super().connected(connection)

    def _continue_body(self, connection: UpstreamConnection | ClientStream) -> None:
        if isinstance(connection, ClientStream) and not self._request_complete:
            self._stream.let_body_rest()
        super()._continue_body(connection)

    def lasts(self) -> None:
        """
        A call takes a while: it ends with its token, as a tunnel does.
        """
        if self._vigil is None:
            self._vigil = self._context.watch(self._arrival, self._token_ended)

    def _token_ended(self) -> None:
        self._refuse(Reason.INVALID_TOKEN)

    # Its end.

    def response_received(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        """
        See L{Exchange.response_received}.
        """
        self._measured = head.length is not None
        super().response_received(head, body, complete)

    def _complete(self, lines: bytes) -> None:
        # A call whose response has no status failed, in a way that its HTTP status tells more or less.
        status = status_in(lines)
        self._grpc_status = status_of_http(self._status) if status < 0 else status
        self._finish(None)

    def upstream_reset(self, code: int) -> None:
        """
        See L{Exchange.upstream_reset}.
        """
        self._connection = None
        self._end(Reason.UPSTREAM_TRUNCATED if self._status else Reason.UPSTREAM_RESET, status_of_reset(code))

    def _refuse(self, reason: Reason) -> None:
        self._end(reason, status_of_reason(reason))

    def _end(self, reason: Reason, status: int) -> None:
        # Ends a call with a status: in trailers, once the response has begun. One that has no room for trailers, or
        # whose client may not look at them, must not look complete without them.
        if self._done:
            return
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
        elif not self._measured and self._arrival.head.takes_trailers:
            stream.end_response(lines)
        else:
            stream.abort_response()

    def _give_back(self, reason: Reason | None) -> None:
        if self.deadline != NEVER and self._context.deadlines is not None:
            self._context.deadlines.discard(self)
        self._context.unwatch(self._vigil)
        super()._give_back(reason)
