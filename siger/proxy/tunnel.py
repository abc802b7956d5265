"""
A request for a WebSocket: if the instance agrees, it becomes a tunnel, whose bytes are nobody's business in between.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from siger.balancing.protocols import HTTP2
from siger.errors import Reason
from siger.proxy import websocket
from siger.proxy.exchange import Exchange

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.http.response import ResponseHead
    from siger.policy.vigil import Vigil
    from siger.proxy.arrival import Arrival
    from siger.proxy.client_stream import ClientStream
    from siger.proxy.connection import UpstreamConnection
    from siger.proxy.context import ProxyContext

__all__ = ["Tunnel"]


class Tunnel(Exchange):
    """
    One handshake, and what comes of it.
    """

    __slots__ = ("_upgrade", "_vigil")

    def __init__(self, context: ProxyContext, arrival: Arrival) -> None:
        super().__init__(context, arrival)
        self._upgrade = True
        self._vigil: Vigil | None = None

    # The handshake.

    def _fault(self) -> Reason | None:
        fault = super()._fault()
        return websocket.check_handshake(self._arrival.head) if fault is None else fault

    def _take(self, endpoint: Endpoint) -> None:
        if endpoint.protocol in HTTP2:
            # There are no upgrades in HTTP/2: a request for one goes on as what it is besides.
            self._upgrade = False
        super()._take(endpoint)

    def _checkout(self) -> UpstreamConnection | ClientStream | None:
        # An upgrade takes its connection with it, so it gets one of its own.
        return None if self._upgrade else super()._checkout()

    def connected(self, connection: UpstreamConnection | ClientStream) -> None:
        """
        See L{Exchange.connected}.
        """
        if self._upgrade:
            connection.exclusive = True
        super().connected(connection)

    def _request(self, endpoint: Endpoint) -> bytes:
        request = super()._request(endpoint)
        return request[:-2] + websocket.request_lines(self._arrival.head) + b"\r\n" if self._upgrade else request

    def switched(self, head: ResponseHead) -> bool:
        """
        Become a tunnel, if the instance accepts that.
        """
        upgrade = getattr(self._stream, "upgrade", None)
        if not self._upgrade or upgrade is None or not websocket.accepts(self._arrival.head, head):
            return False
        self._status = 101
        self._first_byte = monotonic()
        self._vigil = self._context.watch(self._arrival, self._token_ended)
        early = upgrade(websocket.response_lines(head))
        if early:
            self.body_received(early)
        return True

    def upstream_failed(self, reason: Reason, replayable: bool) -> None:
        """
        See L{Exchange.upstream_failed}: nobody is asked twice for an upgrade.
        """
        super().upstream_failed(reason, replayable and not self._upgrade)

    # The tunnel.

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        Pass on some of a tunnel's bytes, as many as come.
        """
        if not self._upgrade:
            super().body_received(data, end)
            return
        self._bytes_in += len(data)
        if self._connection is not None:
            self._connection.send_body(data, end)

    def client_gone(self) -> None:
        """
        Whoever leaves a tunnel ends it, as may be.
        """
        if self._status == 101 and self._connection is not None:
            self._hang_up(None)
        else:
            super().client_gone()

    def _token_ended(self) -> None:
        # Whose token has ended has no business in a tunnel any more; the instance is told as by a client that left.
        if not self._done:
            self._hang_up(Reason.INVALID_TOKEN)
            self._stream.abort_response()

    def _hang_up(self, reason: Reason | None) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.hang_up()
        self._finish(reason)

    def _give_back(self, reason: Reason | None) -> None:
        self._context.unwatch(self._vigil)
        super()._give_back(reason)
