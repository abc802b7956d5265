"""
One HTTP/1.1 connection to an instance: a request out, its response in, parsed as strictly as a client's.

A connection serves one exchange at a time and goes back to its pool only when the exchange ended cleanly on both
sides: the request was sent whole, the response was delimited, nothing came behind it, nobody asked for a close. In any
other case it is dead (RFC 9112 section 9.2; SECURITY: response-queue poisoning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.http.body import BodyError, ChunkedDecoder, LengthDecoder, UntilCloseDecoder, encode_chunk
from siger.http.deadlines import NEVER
from siger.http.fields import HeadError
from siger.http.response import ResponseHead
from siger.http.transport import Transport, close
from siger.proxy.pace import BODY, CLOSED, HEAD, IDLE, TUNNEL, PacedConnection
from siger.proxy.response_heads import ResponseHeads

if TYPE_CHECKING:
    from siger.config.settings.services import Timeouts
    from siger.proxy.owners import Http1Owner
    from siger.proxy.recipient import Recipient

__all__ = ["UpstreamConnection"]

_MAX_INTERIM: Final = 16


class UpstreamConnection(PacedConnection):
    """
    The state of one connection.

    @ivar exclusive: it serves this exchange and no other, as one that asked for an upgrade must.
    @ivar served: exchanges begun on it.
    @ivar idle_since: when it went back to its pool.
    """

    __slots__ = (
        "_buffer",
        "_chunked",
        "_decoder",
        "_head_only",
        "_heads",
        "_interim",
        "_owner",
        "exclusive",
        "idle_since",
        "served",
    )

    def __init__(self, owner: Http1Owner, transport: Transport, timeouts: Timeouts) -> None:
        super().__init__(transport, owner.deadlines, timeouts)
        self._owner = owner
        self._heads = ResponseHeads(owner.parser)
        self._buffer = b""
        self._decoder: LengthDecoder | ChunkedDecoder | UntilCloseDecoder | None = None
        self._chunked = False
        self._head_only = False
        self._interim = 0
        self.exclusive = False
        self.served = 0
        self.idle_since = 0.0
        self.deadlines.add(self)

    def __repr__(self) -> str:
        state = ("idle", "head", "body", "tunnel", "closed")[self._state]
        return f"<UpstreamConnection [{state}, {self.served} served]>"

    @property
    def idle_limit(self) -> float:
        """
        How many seconds it may be idle.
        """
        head = self._heads.last
        return 0.0 if head is None else head.idle_limit

    @property
    def usable(self) -> bool:
        """
        Whether an exchange can begin on it.
        """
        return self._state == IDLE

    # The request.

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
        Send a request head.

        @param head_only: the response will have no body whatever it says: the method is HEAD.
        @param request_open: a body follows by L{send_body}.
        @param timeouts: for this exchange.
        @param chunked: the head says that the body is.
        """
        self._recipient = recipient
        self._chunked = chunked
        self._head_only = head_only
        self._state = HEAD
        self._interim = 0
        self.request_open = request_open
        self.served += 1
        self.timeouts = timeouts
        if request_open:
            self._restart_clock()
        else:
            self.deadline = self.deadlines.now + timeouts.response
        self.transport.write(request)

    def send_body(self, data: bytes, end: bool = False) -> None:
        """
        Send more of the request's body, or of a tunnel's bytes.

        @param end: it is complete with that, which spares a call to L{request_sent}.
        """
        if self._state == TUNNEL:
            self._touch()
        self.transport.write(encode_chunk(data) if self._chunked else data)
        if end:
            self.request_sent(b"")

    def request_sent(self, trailers: bytes = b"") -> None:
        """
        The request is complete: now the instance is to answer.
        """
        if self._chunked:
            self.transport.write(b"0\r\n%b\r\n" % trailers)
        self.request_open = False
        if self._state == HEAD:
            self._restart_clock()

    # The response.

    def data_received(self, data: bytes) -> None:
        """
        Take bytes from the connection.
        """
        if self._state == HEAD:
            if self._buffer:
                data = self._buffer + data
                self._buffer = b""
            self._read_head(data)
        elif self._state == BODY:
            self._read_body(data)
        elif self._state == TUNNEL:
            self._touch()
            if self._recipient is not None:
                self._recipient.response_data(data)
        elif self._state == IDLE:
            # Nobody asked for this (RFC 9112 section 9.2).
            self.abort()

    def _read_head(self, data: bytes) -> None:
        heads = self._heads
        while self._state == HEAD:
            try:
                head = heads.read(data)
            except HeadError:
                self._fail(Reason.UPSTREAM_MALFORMED)
                return
            if head is None:
                self._buffer = data
                return
            if head.status >= 200:
                self._begin_body(head, data, heads.size)
                return
            data = data[heads.size :]
            self._read_interim(head, data)
            if not data:
                return

    def _read_interim(self, head: ResponseHead, rest: bytes) -> None:
        recipient = self._recipient
        self._interim += 1
        if recipient is None or self._interim > _MAX_INTERIM:
            self._fail(Reason.UPSTREAM_MALFORMED)
        elif head.status != 101:
            recipient.interim_received(head)
        elif recipient.switched(head):
            self._state = TUNNEL
            self._touch()
            if rest:
                recipient.response_data(rest)
        else:
            self._fail(Reason.UPSTREAM_UPGRADE)

    def _begin_body(self, head: ResponseHead, data: bytes, start: int) -> None:
        recipient = self._recipient
        assert recipient is not None
        available = len(data) - start
        if self._head_only or head.bodyless:
            self._complete(recipient, head, b"", available == 0)
        elif head.length is not None and available >= head.length:
            body = data[start : start + head.length] if available else b""
            self._complete(recipient, head, body, available == head.length)
        else:
            self._state = BODY
            self._touch()
            self._stream_body(recipient, head, data[start:])

    def _complete(self, recipient: Recipient, head: ResponseHead, body: bytes, clean: bool) -> None:
        # The common case: the whole response is here.
        self._go_home(head, clean)
        recipient.response_received(head, body, True)

    def _stream_body(self, recipient: Recipient, head: ResponseHead, data: bytes) -> None:
        if head.chunked:
            self._decoder = ChunkedDecoder()
        elif head.length is not None:
            self._decoder = LengthDecoder(head.length)
        else:
            self._decoder = UntilCloseDecoder()
        try:
            payload, rest = self._decoder.feed(data) if data else (b"", None)
        except BodyError:
            self._fail(Reason.UPSTREAM_MALFORMED)
            return
        if rest is None:
            recipient.response_received(head, payload, False)
        elif self._decoder.trailers:
            recipient.response_received(head, payload, False)
            if self._state == BODY:
                self._finish(rest)
        else:
            self._decoder = None
            self._complete(recipient, head, payload, not rest)

    def _read_body(self, data: bytes) -> None:
        decoder = self._decoder
        recipient = self._recipient
        if decoder is None or recipient is None:
            return
        try:
            payload, rest = decoder.feed(data)
        except BodyError:
            self._fail(Reason.UPSTREAM_TRUNCATED)
            return
        self._touch()
        if payload:
            recipient.response_data(payload)
        if rest is not None and self._state == BODY:
            self._finish(rest)

    def _finish(self, rest: bytes) -> None:
        decoder, self._decoder = self._decoder, None
        recipient = self._recipient
        self._go_home(self._heads.last, not rest)
        if recipient is not None and decoder is not None:
            recipient.response_finished(decoder.trailers)

    def _go_home(self, head: ResponseHead | None, clean: bool) -> None:
        # Before its recipient is told that all is over, so that whatever that does next can have the connection.
        self._recipient = None
        if self._reading_paused:
            self.resume_response()
        if clean and head is not None and not (head.close or self.request_open or self.exclusive):
            self._state = IDLE
            self._owner.checkin(self)
        else:
            self._close()

    # Ends.

    def _close(self) -> None:
        self._state = CLOSED
        self.deadline = NEVER
        self.transport.abortConnection()

    def _fail(self, reason: Reason, replayable: bool = False) -> None:
        recipient, self._recipient = self._recipient, None
        self._close()
        if recipient is not None:
            recipient.upstream_failed(reason, replayable)

    def abort(self) -> None:
        """
        Give up, telling nobody.
        """
        self._recipient = None
        self._close()

    def hang_up(self) -> None:
        """
        Close once everything is written: how a tunnel ends.
        """
        self._recipient = None
        self._state = CLOSED
        self.deadline = self.deadlines.now + self.timeouts.idle
        close(self.transport)

    def connection_lost(self, clean: bool) -> None:
        """
        The connection is gone.

        @param clean: the instance closed it; otherwise it was reset.
        """
        self.deadlines.discard(self)
        state, self._state = self._state, CLOSED
        recipient, self._recipient = self._recipient, None
        self._owner.forget(self)
        if recipient is None:
            return
        if state == HEAD:
            untouched = not self._buffer and not self._interim
            recipient.upstream_failed(Reason.UPSTREAM_RESET, self.served > 1 and untouched)
        elif state == TUNNEL or (clean and isinstance(self._decoder, UntilCloseDecoder)):
            recipient.response_finished(b"")
        else:
            recipient.upstream_failed(Reason.UPSTREAM_TRUNCATED, False)

    def deadline_passed(self) -> None:
        """
        The instance took too long, or nobody needed the connection for long.
        """
        if self._state == TUNNEL:
            recipient, self._recipient = self._recipient, None
            self.hang_up()
            if recipient is not None:
                recipient.response_finished(b"")
        else:
            self._fail(Reason.UPSTREAM_TIMEOUT)
