"""
One HTTP/1.1 connection to an instance: a request out, its response in, parsed as strictly as a client's.

A connection serves one exchange at a time and goes back to its pool only when the exchange ended cleanly on both
sides: the request was sent whole, the response was delimited, nothing came behind it, nobody asked for a close. In any
other case it is dead (RFC 9112 section 9.2; SECURITY: response-queue poisoning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from siger.errors import Reason
from siger.http.body import BodyError, ChunkedDecoder, LengthDecoder, UntilCloseDecoder, encode_chunk
from siger.http.deadlines import NEVER, Deadlines
from siger.http.fields import HeadError
from siger.http.grammar import stray_control
from siger.http.response import ResponseHead, ResponseParser
from siger.http.transport import Transport, close

if TYPE_CHECKING:
    from siger.config.settings.services import Timeouts

__all__ = ["Recipient", "UpstreamConnection"]

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
TUNNEL: Final = 3
CLOSED: Final = 4

_MAX_HEAD: Final = 65536
_MAX_INTERIM: Final = 16


class Recipient(Protocol):
    """
    What a response is delivered to.

    @ivar streaming: the two ends send when they have something to say, so that silence means nothing.
    """

    streaming: bool

    def lasts(self) -> None:
        """
        The response takes a while: told now and then by connections of HTTP/2, if it is L{streaming}.
        """

    def interim_received(self, head: ResponseHead) -> None:
        """
        A 1xx response came, other than 101.
        """

    def switched(self, head: ResponseHead) -> bool:
        """
        A 101 came.

        @return: whether it is what was asked for; then L{data_received} gets bytes as they are.
        """

    def response_received(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        """
        The final head came, with the first bytes of its body, maybe with all of it.
        """

    def response_data(self, data: bytes) -> None:
        """
        More of the body, or of a tunnel's bytes.
        """

    def response_finished(self, trailers: bytes) -> None:
        """
        The body, or the tunnel, ended cleanly.
        """

    def upstream_failed(self, reason: Reason, replayable: bool) -> None:
        """
        There will be no (more) response.

        @param replayable: the connection had served before and ended without a byte of this response, so that the
            instance probably never saw the request.
        """

    def upstream_reset(self, code: int) -> None:
        """
        There will be no (more) response: the instance broke it off.

        @param code: of HTTP/2 (RFC 9113 section 7).
        """

    def upstream_refused(self, reason: Reason) -> None:
        """
        There will be no response, and the instance says that it did nothing (RFC 9113 section 8.7).
        """

    def pause_request(self) -> None:
        """
        The instance reads slowly.
        """

    def resume_request(self) -> None:
        """
        The instance caught up.
        """


class Owner(Protocol):
    """
    What a connection reports to: its pool.
    """

    deadlines: Deadlines
    parser: ResponseParser

    def checkin(self, connection: UpstreamConnection) -> None: ...

    def forget(self, connection: UpstreamConnection) -> None: ...


class UpstreamConnection:
    """
    The state of one connection.

    @ivar deadline: when to give up waiting for the instance; see L{siger.http.deadlines}.
    @ivar exclusive: it serves this exchange and no other, as one that asked for an upgrade must.
    @ivar request_open: more of the request is to be sent.
    @ivar request_paused: the instance reads slowly, so no more should be sent now.
    @ivar served: exchanges begun on it.
    @ivar timeouts: of the exchange on it.
    @ivar idle_since: when it went back to its pool.
    """

    __slots__ = (
        "_buffer",
        "_chunked",
        "_decoder",
        "_head",
        "_head_only",
        "_interim",
        "_owner",
        "_raw",
        "_reading_paused",
        "_recipient",
        "_state",
        "deadline",
        "exclusive",
        "idle_since",
        "request_open",
        "request_paused",
        "served",
        "timeouts",
        "transport",
    )

    def __init__(self, owner: Owner, transport: Transport, timeouts: Timeouts) -> None:
        self._owner = owner
        self.transport = transport
        self.timeouts = timeouts
        self._state = IDLE
        self._recipient: Recipient | None = None
        self._buffer = b""
        self._decoder: LengthDecoder | ChunkedDecoder | UntilCloseDecoder | None = None
        self._raw = b""
        self._chunked = False
        self._head: ResponseHead | None = None
        self._head_only = False
        self._interim = 0
        self._reading_paused = False
        self.exclusive = False
        self.request_open = False
        self.request_paused = False
        self.served = 0
        self.idle_since = 0.0
        self.deadline = NEVER
        owner.deadlines.add(self)

    def __repr__(self) -> str:
        state = ("idle", "head", "body", "tunnel", "closed")[self._state]
        return f"<UpstreamConnection [{state}, {self.served} served]>"

    @property
    def idle_limit(self) -> float:
        """
        How many seconds it may be idle.
        """
        return 0.0 if self._head is None else self._head.idle_limit

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
            self.deadline = self._owner.deadlines.now + timeouts.response
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
        while self._state == HEAD:
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > _MAX_HEAD:
                # An unfinished head may have most of its end.
                if len(data) > _MAX_HEAD + 3 or stray_control(data) is not None:
                    self._fail(Reason.UPSTREAM_MALFORMED)
                self._buffer = data
                return
            raw = data[:end]
            head = self._head
            if head is None or raw != self._raw:
                try:
                    head = self._owner.parser.head(raw)
                except HeadError:
                    self._fail(Reason.UPSTREAM_MALFORMED)
                    return
                self._raw = raw
                self._head = head
            if head.status >= 200:
                self._begin_body(head, data, end + 4)
                return
            data = data[end + 4 :]
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
        # The common case: the whole response is here. The connection goes home first, so that whatever the recipient
        # does next can have it.
        self._recipient = None
        if self._reading_paused:
            self.resume_response()
        if clean and not (head.close or self.request_open or self.exclusive):
            self._state = IDLE
            self._owner.checkin(self)
        else:
            self._close()
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
        recipient, self._recipient = self._recipient, None
        head = self._head
        if self._reading_paused:
            self.resume_response()
        if rest or self.request_open or self.exclusive or head is None or head.close:
            self._close()
        else:
            self._state = IDLE
            self._owner.checkin(self)
        if recipient is not None and decoder is not None:
            recipient.response_finished(decoder.trailers)

    def _touch(self) -> None:
        if not self._reading_paused:
            self.deadline = self._owner.deadlines.now + self.timeouts.idle

    def _restart_clock(self) -> None:
        # Whose turn is it? While the client does not read, or has more to send that the instance would take, its
        # slowness is judged on its own side.
        now = self._owner.deadlines.now
        if self._reading_paused:
            self.deadline = NEVER
        elif self._state == HEAD and not self.request_open:
            self.deadline = now + self.timeouts.response
        elif self._state == HEAD and not self.request_paused:
            self.deadline = NEVER
        else:
            self.deadline = now + self.timeouts.idle

    def pause_response(self) -> None:
        """
        Read no more of the response for now.
        """
        if not self._reading_paused and self._state in (HEAD, BODY, TUNNEL):
            self._reading_paused = True
            self._restart_clock()
            self.transport.pauseProducing()

    def resume_response(self) -> None:
        """
        Read on.
        """
        if self._reading_paused:
            self._reading_paused = False
            self._restart_clock()
            self.transport.resumeProducing()

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
        self.deadline = self._owner.deadlines.now + self.timeouts.idle
        close(self.transport)

    def connection_lost(self, clean: bool) -> None:
        """
        The connection is gone.

        @param clean: the instance closed it; otherwise it was reset.
        """
        owner = self._owner
        owner.deadlines.discard(self)
        state, self._state = self._state, CLOSED
        recipient, self._recipient = self._recipient, None
        owner.forget(self)
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

    # Backpressure.

    def writing_paused(self) -> None:
        """
        The transport holds more than it should: the instance reads slowly.
        """
        self.request_paused = True
        if self._recipient is not None:
            if self.request_open:
                self._restart_clock()
            self._recipient.pause_request()

    def writing_resumed(self) -> None:
        """
        The transport can take more.
        """
        self.request_paused = False
        if self._recipient is not None:
            if self.request_open and self._state == HEAD:
                self._restart_clock()
            self._recipient.resume_request()
