"""
An exchange's part of an HTTP/2 connection to an instance (RFC 9113 section 8.1).

To its exchange, a L{ClientStream} is what an L{UpstreamConnection} is that serves nobody else. It delivers a response's
head together with what came of the body in the same read, so that a small response goes on in one piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.http.deadlines import NEVER
from siger.http.h2.constants import CANCEL, PROTOCOL_ERROR, REFUSED_STREAM
from siger.http.h2.errors import StreamFault
from siger.http.hpack.encoder import LinePacker
from siger.http.response import ResponseHead
from siger.proxy.pace import PacedStream

if TYPE_CHECKING:
    from siger.config.settings.services import Timeouts
    from siger.proxy.multiplexed import ClientConnection
    from siger.proxy.recipient import Recipient

__all__ = ["ClientStream"]

_MAX_INTERIM: Final = 16

_packer: Final = LinePacker()


class ClientStream(PacedStream):
    """
    One exchange's part of a connection.

    @ivar exclusive: as for L{UpstreamConnection}; an upgrade cannot be asked for here.
    """

    __slots__ = (
        "_client",
        "_head",
        "_head_only",
        "_interim",
        "_since",
        "_touched",
        "exclusive",
    )

    def __init__(self, client: ClientConnection) -> None:
        super().__init__(client)
        self._client = client
        self._head: ResponseHead | None = None
        self._head_only = False
        self._touched = False
        self._interim = 0
        self._since = 0.0
        self.exclusive = False

    def __repr__(self) -> str:
        state = "over" if self.local_gone else "responding" if self._responded else "waiting"
        return f"<ClientStream {self.number} [{state}]>"

    # The request: what an exchange calls.

    def begin(
        self,
        recipient: Recipient,
        request: bytes,
        head_only: bool,
        request_open: bool,
        timeouts: Timeouts,
        chunked: bool = False,
    ) -> None:
        """
        Send a request's header section.

        @param request: packed.
        @param head_only: the response will have no body whatever it says: the method is HEAD.
        @param request_open: a body follows by L{send_body}.
        @param timeouts: for this exchange.
        @param chunked: of no concern to HTTP/2.
        """
        self._recipient = recipient
        self._streaming = recipient.streaming
        self._head_only = head_only
        self.request_open = request_open
        self.timeouts = timeouts
        self._since = self.connection.now
        self._client.open(self, request, not request_open)
        self._restart_clock()

    def send_body(self, data: bytes, end: bool = False) -> None:
        """
        Send more of the request's body.

        @param end: it is complete with that.
        """
        if self.local_ended:
            return
        if end:
            self.request_open = False
        self.send(data, end)
        if end and not self._responded:
            self._restart_clock()

    def request_sent(self, trailers: bytes = b"") -> None:
        """
        The request is complete: now the instance is to answer.
        """
        if self.local_ended or not self.request_open:
            return
        self.request_open = False
        self.finish(_packer.pack(trailers) if trailers else b"")
        if not self._responded:
            self._restart_clock()

    def abort(self) -> None:
        """
        Give up, telling the exchange nothing.
        """
        self._recipient = None
        self.connection.reset(self, CANCEL)

    def hang_up(self) -> None:
        """
        The same: there are no tunnels here.
        """
        self.abort()

    def deadline_passed(self) -> None:
        """
        The instance took too long.
        """
        if not self._responded:
            self._client.missed(self._since)
        self._fail(Reason.UPSTREAM_TIMEOUT, CANCEL)

    # The response: siger.http.h2.streams.

    def headers_received(self, block: bytes, end: bool) -> None:
        """
        See L{Http2Stream.headers_received}.
        """
        self._touched = True
        if self._responded:
            self._trailers_received(self._client.read_trailers(block), end)
            return
        head = self._client.read_head(block)
        if head.status < 200:
            self._interim_received(head, end)
            return
        self._responded = True
        if head.bodyless:
            self._head_only = True
        elif head.length is not None and not self._head_only:
            self._expected = head.length
        if end:
            self.end_of_body()
            self._complete(head, b"")
        else:
            self._head = head
            self._client.hold_head(self)
            self._restart_clock()

    def _interim_received(self, head: ResponseHead, end: bool) -> None:
        self._interim += 1
        if end or head.status == 101 or self._interim > _MAX_INTERIM:
            raise StreamFault(PROTOCOL_ERROR, "an interim response is not one")
        if self._recipient is not None:
            self._recipient.interim_received(head)

    def _trailers_received(self, lines: bytes, end: bool) -> None:
        if not end:
            raise StreamFault(PROTOCOL_ERROR, "trailers do not end the stream")
        self.end_of_body()
        self.deliver_head()
        self._finish_response(lines)

    def payload_received(self, data: bytes, end: bool) -> None:
        """
        See L{Http2Stream.payload_received}.
        """
        if not self._responded:
            raise StreamFault(PROTOCOL_ERROR, "a body comes before its head")
        head = self._head
        if data and self._head_only:
            raise StreamFault(PROTOCOL_ERROR, "a response that can have no body has one")
        if head is not None:
            self._head = None
            if end:
                self._complete(head, data)
            elif self._recipient is not None:
                self._recipient.response_received(head, data, False)
            return
        if self.deadline != NEVER:
            self._restart_clock()
        if data and self._recipient is not None:
            self._recipient.response_data(data)
        if end:
            self._finish_response(b"")

    def deliver_head(self) -> None:
        """
        Pass on a head that nothing came with.
        """
        head, self._head = self._head, None
        if head is not None and self._recipient is not None:
            self._recipient.response_received(head, b"", False)

    def _complete(self, head: ResponseHead, body: bytes) -> None:
        recipient = self._over()
        if recipient is not None:
            recipient.response_received(head, body, True)

    def _finish_response(self, trailers: bytes) -> None:
        recipient = self._over()
        if recipient is not None:
            recipient.response_finished(trailers)

    def _over(self) -> Recipient | None:
        # The response is complete. Whatever is left of the request is of no use to anybody.
        recipient, self._recipient = self._recipient, None
        self._client.finished(self)
        return recipient

    def _fail(self, reason: Reason, code: int) -> None:
        recipient, self._recipient = self._recipient, None
        self.connection.reset(self, code)
        if recipient is not None:
            recipient.upstream_failed(reason, False)

    def reset_received(self, code: int) -> None:
        """
        See L{Http2Stream.reset_received}.
        """
        self.deliver_head()
        recipient, self._recipient = self._recipient, None
        if recipient is None:
            return
        if code == REFUSED_STREAM and not self._touched:
            recipient.upstream_refused(Reason.UPSTREAM_RESET)
        else:
            recipient.upstream_reset(code)

    def refused(self) -> None:
        """
        The instance will not deal with the stream: it says so of all above one (section 6.8).
        """
        if self._touched:
            self.lost()  # it says so, and did
            return
        recipient, self._recipient = self._recipient, None
        if recipient is not None:
            recipient.upstream_refused(Reason.UPSTREAM_RESET)

    def lost(self) -> None:
        """
        The connection is gone.
        """
        self.deliver_head()
        recipient, self._recipient = self._recipient, None
        if recipient is None:
            return
        if self._responded:
            recipient.upstream_failed(Reason.UPSTREAM_TRUNCATED, False)
        else:
            recipient.upstream_failed(Reason.UPSTREAM_RESET, not self._touched and self._client.served)

    def fail(self, fault: StreamFault) -> None:
        """
        See L{Http2Stream.fail}.
        """
        self.deliver_head()
        recipient, self._recipient = self._recipient, None
        if recipient is not None:
            recipient.upstream_failed(Reason.UPSTREAM_MALFORMED, False)
