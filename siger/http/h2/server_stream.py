"""
A request of HTTP/2 and its response: L{siger.http.stream.Stream} for whatever answers it (RFC 9113 section 8.1).

What a response of HTTP/1.1 says by its connection, one of HTTP/2 says by its stream: one that is to look incomplete is
reset, and so is a request of which no more is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.http.deadlines import NEVER
from siger.http.fields import HeadError
from siger.http.grammar import decimal
from siger.http.h2.constants import CANCEL, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR
from siger.http.h2.errors import MalformedError, StreamFault
from siger.http.h2.streams import Http2Stream
from siger.http.hpack.encoder import pack_field, pack_length

if TYPE_CHECKING:
    from siger.http.h2.server import ServerConnection
    from siger.http.request import RequestHead
    from siger.http.stream import Exchange

__all__ = ["ServerStream", "pack_status"]

_RATE_GRACE: Final = 5.0
_LINGER_SECONDS: Final = 1.0
_REQUEST_ID: Final = b"\x00\x0cx-request-id"
_STATUSES: Final = {status: pack_field(b":status", b"%d" % status) for status in range(100, 600)}


def pack_status(status: int) -> bytes:
    """
    The pseudo-header field of a response (section 8.3.2).
    """
    packed = _STATUSES.get(status)
    return pack_field(b":status", b"%d" % status) if packed is None else packed


class ServerStream(Http2Stream):
    """
    One request and its response; L{siger.http.stream.Stream}.

    @ivar reason: why the gateway answered by itself, if it did.
    @ivar request_id: the request's id, which its response tells.
    @ivar added: field lines, each with its CRLF, that the response gets whoever makes it.
    @ivar grpc: whether refusals are gRPC statuses.
    """

    __slots__ = (
        "_body_due",
        "_bodyless",
        "_exchange",
        "_responded",
        "_rests",
        "_server",
        "_whole",
        "added",
        "grpc",
        "peer",
        "reason",
        "request_id",
        "secure",
        "version",
    )

    def __init__(self, server: ServerConnection, number: int, bodied: bool) -> None:
        super().__init__(server)
        self._server = server
        self.number = number
        self.identifier = number.to_bytes(4, "big")
        self.remote_ended = not bodied
        self.peer = server.peer
        self.secure = server.secure
        self.version = 20
        self.reason: Reason | None = None
        self.request_id = b""
        self.added = b""
        self.grpc = False
        self._exchange: Exchange | None = None
        self._responded = False
        self._bodyless = False
        self._rests = False
        # All of the request has come, and whoever answers knows.
        self._whole = not bodied
        self._body_due = 0.0

    def __repr__(self) -> str:
        state = "over" if self.local_gone else "responding" if self._responded else "waiting"
        return f"<ServerStream {self.number} [{state}]>"

    def begin(self, head: RequestHead) -> None:
        """
        Hand the request to the application.
        """
        fields = head.fields
        self._bodyless = head.method == b"HEAD"
        if not self.remote_ended:
            declared = fields.owned.get(b"content-length")
            if declared is not None:
                self._expected = decimal(declared)
            self.deadline = self.connection.now + self._server.limits.body_timeout
        exchange = self._server.context.application(head, self)
        if self.response_ended:
            return
        self._exchange = exchange
        if self.queued and exchange is not None:
            exchange.pause_response()

    def refuse(self, error: HeadError) -> None:
        """
        Answer a request whose head could not be read.
        """
        self._server.context.application.refuse(self, error.reason, error.detail)

    # What arrives: siger.http.h2.streams.

    def headers_received(self, block: bytes, end: bool) -> None:
        """
        See L{Http2Stream.headers_received}: these are trailers.

        @raise StreamFault: they are malformed, or do not end the stream.
        """
        entries = self.connection.decode(block)
        if not end:
            raise StreamFault(PROTOCOL_ERROR, "trailers do not end the stream")
        if self.connection.oversized:
            raise StreamFault(PROTOCOL_ERROR, "the trailers are too large")
        try:
            lines = self._server.server.reader.trailers(entries)
        except MalformedError as error:
            raise StreamFault(PROTOCOL_ERROR, str(error)) from None
        self.end_of_body()
        self._body_ended()
        if self._exchange is not None:
            self._exchange.body_finished(lines)
        self._settle()

    def payload_received(self, data: bytes, end: bool) -> None:
        """
        See L{Http2Stream.payload_received}.
        """
        exchange = self._exchange
        if end:
            self._body_ended()
        elif self.deadline != NEVER:
            self._note_progress(len(data))
        if exchange is not None:
            if data:
                exchange.body_received(data, end)
            else:
                exchange.body_finished(b"")
        if end:
            self._settle()

    def _body_ended(self) -> None:
        self._whole = True
        self.deadline = NEVER

    def _settle(self) -> None:
        # Both sides may have ended by now.
        if self.local_gone:
            self._server.completed(self)

    def _note_progress(self, count: int) -> None:
        if self._paused:
            return
        limits = self._server.limits
        now = self.connection.now
        self.deadline = now + limits.body_timeout
        if limits.min_body_rate:
            if not self._body_due:
                self._body_due = now + _RATE_GRACE
            self._body_due += count / limits.min_body_rate
            self.deadline = min(self.deadline, self._body_due)

    def reset_received(self, code: int) -> None:
        """
        See L{Http2Stream.reset_received}.
        """
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    def fail(self, fault: StreamFault) -> None:
        """
        See L{Http2Stream.fail}: the request will never be complete, or nobody takes the response any more.
        """
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if self._whole:
            exchange.client_gone()
        else:
            exchange.body_failed(Reason.INVALID_FRAMING)

    def linger(self) -> None:
        """
        The response is complete, and the rest of the request of no use to anybody. What is on its way of it is waited
        for a moment: many clients take a reset for a failure, even with no error (section 8.1).
        """
        self.pause_receiving()
        self.deadline = self.connection.now + _LINGER_SECONDS

    def deadline_passed(self) -> None:
        """
        The client took too long with its body.
        """
        self.deadline = NEVER
        if self.local_ended:
            self.connection.reset(self, NO_ERROR)
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.body_failed(Reason.REQUEST_TIMEOUT)
        if not self.local_ended and not self.queued:
            self.connection.reset(self, CANCEL)

    # What is sent: siger.http.stream.Stream.

    @property
    def response_ended(self) -> bool:
        """
        Whether nothing can be added to the response any more, though some of it may still wait to be sent.
        """
        return self.local_ended or self._queue_end

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_interim}.
        """
        if not self._responded and not self.local_ended:
            block = pack_status(status) + self._server.server.packer.pack(lines)
            self._server.write_block(self.identifier, block, False)

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        See L{siger.http.stream.Stream.send_response}.
        """
        if self._responded or self.local_ended:
            return
        self._responded = True
        if status == 204 or status == 304:
            self._bodyless = True
        pieces = [pack_status(status), self._server.server.packer.pack(lines)]
        if length is not None and status != 204:
            pieces.append(pack_field(b"content-length", b"%d" % length))
        if self.request_id:
            pieces.append(_REQUEST_ID)
            pieces.append(pack_length(self.request_id))
            pieces.append(self.request_id)
        if self.added:
            pieces.append(self._server.server.packer.pack(self.added))
        if self._bodyless:
            body = b""
        if end:
            self._exchange = None
        ending = (end or self._bodyless) and not body
        self._server.write_block(self.identifier, b"".join(pieces), ending)
        if body:
            self.send(body, end)
        elif ending:
            self._sent_all()

    def send_body(self, data: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_body}.
        """
        if data and not self._bodyless and not self.response_ended:
            self.send(data, False)

    def end_response(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Stream.end_response}.
        """
        if not self.response_ended:
            self._exchange = None
            self.finish(self._server.server.packer.pack(trailers) if trailers and not self._bodyless else b"")

    def abort_response(self) -> None:
        """
        See L{siger.http.stream.Stream.abort_response}.
        """
        if not self.response_ended:
            self._exchange = None
            self.connection.reset(self, INTERNAL_ERROR)

    def pause_body(self) -> None:
        """
        See L{siger.http.stream.Stream.pause_body}.
        """
        if not self.remote_ended and not self.local_ended:
            self.pause_receiving()
            self.deadline = NEVER

    def resume_body(self) -> None:
        """
        See L{siger.http.stream.Stream.resume_body}.
        """
        if self._paused and not self.local_ended:
            self.resume_receiving()
            if not self._rests:
                now = self.connection.now
                self._body_due = max(self._body_due, now + _RATE_GRACE)
                self.deadline = now + self._server.limits.body_timeout

    def let_body_rest(self) -> None:
        """
        See L{siger.http.stream.Stream.let_body_rest}: deadlines are what ends calls.
        """
        self._rests = True
        if not self.local_ended:
            self.deadline = NEVER

    # Backpressure.

    def sending_paused(self) -> None:
        """
        See L{Http2Stream.sending_paused}.
        """
        if self._exchange is not None:
            self._exchange.pause_response()

    def sending_resumed(self) -> None:
        """
        See L{Http2Stream.sending_resumed}.
        """
        if self._exchange is not None:
            self._exchange.resume_response()
