"""
How a question about the gateway's health is answered: C{Check} of C{grpc.health.v1}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.grpc.content import GRPC, WEB
from siger.grpc.serving import LONGEST_QUESTION, SERVICE_UNKNOWN, answer, asked
from siger.grpc.status import NOT_FOUND, OK
from siger.http.date import date_line
from siger.http.problem import send_problem

if TYPE_CHECKING:
    from siger.http.observed import ObservedStream
    from siger.http.request import RequestHead

__all__ = ["CheckCall"]

_OK: Final = b"grpc-status: 0\r\n"
_UNKNOWN: Final = b"grpc-status: %d\r\ngrpc-message: unknown service\r\n" % NOT_FOUND


class CheckCall:
    """
    One question, answered once; L{siger.http.stream.Exchange}.

    @ivar over: it is answered, or nobody waits for an answer any more.
    """

    def __init__(
        self, serving: Callable[[str], int], stream: ObservedStream, head: RequestHead, request_id: bytes
    ) -> None:
        """
        @param serving: says how a service is; see L{siger.health.serving}.
        """
        self._serving = serving
        self._stream = stream
        self._head = head
        self._request_id = request_id
        self._body = b""
        self.over = False

    def begin(self) -> None:
        """
        Wait for the question, unless it cannot be one.
        """
        fields = self._head.fields
        if self._head.method != b"POST":
            self._refuse(Reason.METHOD_NOT_ALLOWED)
        elif fields.grpc not in (GRPC, WEB):
            self._refuse(Reason.UNSUPPORTED_MEDIA)
        elif not fields.chunked and not fields.content_length:
            self._refuse(Reason.MALFORMED_REQUEST)
        elif fields.expect_continue:
            self._stream.send_interim(100, b"")

    # The question.

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        See L{siger.http.stream.Exchange.body_received}.
        """
        if self.over:
            return
        self._stream.bytes_in += len(data)
        self._body += data
        if len(self._body) > LONGEST_QUESTION:
            self._refuse(Reason.BODY_TOO_LARGE)
        elif end:
            self.body_finished(b"")

    def body_finished(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Exchange.body_finished}.
        """
        if self.over:
            return
        try:
            name = asked(self._body)
        except ValueError:
            self._refuse(Reason.MALFORMED_REQUEST)
        else:
            self._reply(name)

    def body_failed(self, reason: Reason) -> None:
        """
        See L{siger.http.stream.Exchange.body_failed}: of a body that did not end, so nothing was answered yet.
        """
        self._refuse(reason)

    # The answer.

    def _reply(self, name: str) -> None:
        status = self._serving(name)
        if status == SERVICE_UNKNOWN:
            self.over = True
            self._stream.grpc_status = NOT_FOUND
            self._respond(_UNKNOWN, b"", True)
        else:
            self._respond(b"", answer(status), False)
            self.over = True
            self._stream.grpc_status = OK
            self._stream.end_response(_OK)

    def _respond(self, lines: bytes, body: bytes, end: bool) -> None:
        lines = b"%bContent-Type: application/grpc\r\n%b" % (date_line(), lines)
        self._stream.send_response(200, b"OK", lines, None, body, end)

    def _refuse(self, reason: Reason) -> None:
        if not self.over:
            self.over = True
            allow = b"POST" if reason is Reason.METHOD_NOT_ALLOWED else b""
            send_problem(self._stream, self._head.method, reason, self._request_id, "", allow)

    # Its reader.

    def client_gone(self) -> None:
        """
        See L{siger.http.stream.Exchange.client_gone}.
        """
        self.over = True
        self._stream.client_gone()

    def pause_response(self) -> None:
        """
        See L{siger.http.stream.Exchange.pause_response}: a few bytes are the whole answer.
        """

    def resume_response(self) -> None:
        """
        See L{siger.http.stream.Exchange.resume_response}.
        """
