"""
One HTTP/1.1 connection from a client: requests read strictly and in order, responses framed anew (RFC 9112).

L{siger.http.h1.states} has the theory of operation.
"""

from __future__ import annotations

from typing import Final

from siger.errors import Reason
from siger.http.body import ChunkedDecoder, LengthDecoder
from siger.http.context import ChannelContext
from siger.http.deadlines import NEVER
from siger.http.faults import first_fault
from siger.http.fields import HeadError
from siger.http.h1.bodies import RequestBodies
from siger.http.h1.states import BODY, DRAIN, IDLE, LINGER, NAMES, TUNNEL, WAIT
from siger.http.h2.constants import PREFACE
from siger.http.request import RequestFields, RequestHead
from siger.http.transport import Transport

__all__ = ["Channel"]

_PIPELINE_BUFFER: Final = 65536
_MAX_BLANK_LINES: Final = 4

_NO_FIELDS: Final = RequestFields(b"")
_NO_SECTION: Final = b"\n"
"""
What no header section is. The first on a connection is always parsed, even if it is empty: what is kept with a section
tells of this connection's client.
"""


class Channel(RequestBodies):
    """
    A connection that hands its requests to an application, one at a time, and is their L{siger.http.stream.Stream}.

    A head is judged in the order of its bytes, in whatever pieces they come. While a request is in progress, nothing
    behind it is looked at.
    """

    __slots__ = ("_blank_lines", "_fields", "_looping", "_raw", "_requests", "_scanned")

    def __init__(self, context: ChannelContext, transport: Transport, peer: bytes, secure: bool) -> None:
        super().__init__(context, transport, peer, secure)
        self._scanned = 0
        self._blank_lines = 0
        self._raw = _NO_SECTION
        self._fields = _NO_FIELDS
        self._requests = 0
        self._looping = False
        self.deadline = context.deadlines.now + context.limits.header_timeout
        context.channels.add(self)
        context.deadlines.add(self)

    def __repr__(self) -> str:
        return f"<Channel {self.peer.decode('latin-1')} [{NAMES[self._state]}, {self._requests} requests]>"

    def data_received(self, data: bytes) -> None:
        """
        Take bytes from the connection.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self._looping = True
        try:
            while data:
                state = self._state
                if state == IDLE and not self._write_paused:
                    if data[0] == 13:
                        data = self._skip_blank_lines(data)
                    end = data.find(b"\r\n\r\n")
                    if end < 0:
                        self._await_head(data)
                        return
                    data = self._begin(data, end)
                elif state == BODY or state == DRAIN:  # noqa: SIM109  (a tuple costs a lookup each)
                    data = self._read_body(data)
                else:
                    self._take_other(data)
                    return
        finally:
            self._looping = False

    def _take_other(self, data: bytes) -> None:
        # What comes while no request can be read.
        state = self._state
        if state == WAIT or state == IDLE:  # noqa: SIM109
            self._buffer = data
            if len(data) > _PIPELINE_BUFFER:
                self._pause_reading()
        elif state == TUNNEL and self._exchange is not None:
            self._exchange.body_received(data)
        elif state == LINGER:
            self._linger(len(data))

    def _skip_blank_lines(self, data: bytes) -> bytes:
        # RFC 9112 section 2.2 asks to ignore at least one; a flood of them is not a request.
        while data.startswith(b"\r\n") and self._blank_lines < _MAX_BLANK_LINES:
            self._blank_lines += 1
            data = data[2:]
        return data

    def _await_head(self, data: bytes) -> None:
        # A head that can no longer become valid is refused now, not when its time is over.
        if not data:
            return
        if self.on_preface is not None and not self._requests and PREFACE.startswith(data):
            self._buffer = data
            return
        fault = first_fault(data, self._scanned, self._context.limits, self._context.parser)
        if fault is not None:
            self._refuse(fault.reason, fault.detail)
            return
        if not self._scanned:
            self.deadline = self._context.deadlines.now + self._context.limits.header_timeout
        self._scanned = len(data)
        self._buffer = data

    def _begin(self, data: bytes, end: int) -> bytes:
        # Hands one request to the application; returns what follows its head.
        context = self._context
        limits = context.limits
        line_end = data.find(b"\r\n", 0, end + 2)
        try:
            if line_end > limits.request_line:
                raise HeadError(Reason.URI_TOO_LONG)
            if end - line_end > limits.header_bytes:
                raise HeadError(Reason.HEADERS_TOO_LARGE)
            # No slice may begin behind its end: compiled, that is an error.
            raw = data[line_end + 2 : end] if line_end < end else b""
            if raw != self._raw:
                self._fields = context.parser.fields(raw, self._fields)
                self._raw = raw
            fields = self._fields
            head = context.parser.head(data[:line_end], fields)
        except HeadError as error:
            if self._speaks_http2(data):
                return b""
            self._raw = _NO_SECTION
            self._fields = _NO_FIELDS
            fault = first_fault(data[: end + 4], 0, limits, context.parser) or error
            self._refuse(fault.reason, fault.detail)
            return b""
        self._scanned = self._blank_lines = 0
        self._requests += 1
        # What follows a WebSocket handshake may be meant for a tunnel that never comes, so nothing is read after it.
        keep = not (
            fields.close
            or head.version == 10
            or context.draining
            or fields.upgrade == b"websocket"
            or self._requests >= limits.max_requests
        )
        self._begin_response(head.version, head.method == b"HEAD", keep)
        if fields.chunked:
            self._expect_body(ChunkedDecoder(), fields.expect_continue)
        elif fields.content_length:
            self._expect_body(LengthDecoder(fields.content_length), fields.expect_continue)
        else:
            self._state = WAIT
            self.deadline = NEVER
        self._hand_over(head)
        return data[end + 4 :]

    def _speaks_http2(self, data: bytes) -> bool:
        # Looked for only where a head cannot be read, so that no request of HTTP/1.1 pays for it.
        take_over = self.on_preface
        if take_over is None or self._requests or not data.startswith(PREFACE[:18]):
            return False
        self._leave()
        take_over(data)
        return True

    def _hand_over(self, head: RequestHead) -> None:
        exchange = self._context.application(head, self)
        if not self._ended:
            self._exchange = exchange
            if self._write_paused and exchange is not None:
                exchange.pause_response()

    def _refuse(self, reason: Reason, detail: str = "") -> None:
        self._requests += 1
        self._begin_response(11, False, False)
        self._state = WAIT
        self._context.application.refuse(self, reason, detail)

    def read_ended(self) -> None:
        """
        The client will send no more.
        """
        state = self._state
        self._read_ended = True
        if state == IDLE and self._buffer:
            self._refuse(Reason.MALFORMED_REQUEST, "The request head ended early.")
        elif state == BODY:
            self._fail_body(Reason.INCOMPLETE_BODY)
        elif state == WAIT or state == TUNNEL:  # noqa: SIM109
            # Whether it closed or only half-closed cannot be told; nobody waiting is the rule, so work is stopped.
            self._abort()
        else:
            self._close()

    def deadline_passed(self) -> None:
        """
        The client took too long.
        """
        state = self._state
        if state == IDLE and self._scanned:
            self._refuse(Reason.REQUEST_TIMEOUT)
        elif state == BODY and not self._reading_paused:
            self._fail_body(Reason.REQUEST_TIMEOUT)
        elif state == IDLE:
            self._close()
        elif state == DRAIN:
            self._start_linger()
        else:
            self._reader_late()

    def _read_held(self) -> None:
        if not self._looping:
            data, self._buffer = self._buffer, b""
            self.data_received(data)
