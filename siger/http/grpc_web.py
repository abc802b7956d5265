"""
gRPC-Web for instances that speak gRPC: what a page's request becomes, and what its response does.

A call of gRPC-Web differs from one of gRPC in three things only: its media type, trailers that come as a last message
in the body, and, of the text kind, bodies in base64. So it is translated where it enters, and everything behind this
module takes it for the gRPC call that it means.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.grpc.content import GRPC, NOT_GRPC, WEB, WEB_TEXT, kind_of
from siger.grpc.web import Base64Decoder, encode_base64, trailers_frame
from siger.http.fields import without
from siger.http.request import RequestFields, RequestHead
from siger.http.wrapper import StreamWrapper

if TYPE_CHECKING:
    from siger.http.stream import Exchange, Stream

__all__ = ["WebExchange", "WebStream", "response_kind", "translate"]

_NAMES: Final[dict[int, bytes]] = {WEB: b"application/grpc-web", WEB_TEXT: b"application/grpc-web-text"}

# A body that was compressed as a whole could not be gone on with: neither a message added nor base64 begun.
_DROPPED: Final = frozenset((b"accept", b"accept-encoding", b"content-type", b"x-grpc-web"))

_grpc_type = re.compile(rb"((?:\A|\n)content-type:[ \t]*)application/grpc(?=[+;\r \t])", re.IGNORECASE).subn


def response_kind(head: RequestHead) -> int:
    """
    Whether the response is to be L{WEB} or L{WEB_TEXT}: what C{Accept} asks for, else what the request is.
    """
    asked = kind_of(head.fields.get(b"accept") or b"")
    return asked if asked not in (NOT_GRPC, GRPC) else head.fields.grpc


def translate(head: RequestHead, kind: int) -> RequestHead:
    """
    The request that an instance gets.

    @param kind: L{WEB} or L{WEB_TEXT}.
    @return: another head; the one given, whose fields its connection may have kept for the next request, is as it was.
    """
    fields = _translated(head.fields, kind)
    return RequestHead(head.method, head.path, head.query, head.version, head.host, fields)


def _translated(section: RequestFields, kind: int) -> RequestFields:
    content_type = b"application/grpc" + section.owned[b"content-type"][len(_NAMES[kind]) :]
    lines = b"%bcontent-type: %b\r\n" % (without(section.relay, _DROPPED), content_type)
    fields = RequestFields(lines[:-2])
    fields.relay = lines
    fields.owned = {**section.owned, b"content-type": content_type}
    fields.host = section.host
    fields.content_length = section.content_length
    fields.chunked = section.chunked
    if kind == WEB_TEXT and section.content_length:
        # The length said is that of the base64, padding and all.
        del fields.owned[b"content-length"]
        fields.content_length = None
        fields.chunked = True
    fields.grpc = GRPC
    fields.trailers = True
    fields.close = section.close
    fields.expect_continue = section.expect_continue
    fields.bearer = section.bearer
    return fields


class WebStream(StreamWrapper):
    """
    Passes a gRPC response on to a client of gRPC-Web; L{siger.http.stream.Stream}.

    A response that is nothing but a status stays one, in its head: clients look for it there first, and the most common
    one would report an error twice that was in the body, too. What is no gRPC is passed on as it is.
    """

    __slots__ = ("_name", "_text", "_translates")

    def __init__(self, stream: Stream, kind: int) -> None:
        """
        @param kind: of the response; see L{response_kind}.
        """
        super().__init__(stream)
        self._name = _NAMES[kind]
        self._text = kind == WEB_TEXT
        self._translates = True

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        See L{siger.http.stream.Stream.send_response}.
        """
        lines, found = _grpc_type(rb"\1" + self._name, lines, 1)
        self._translates = found > 0
        if self._translates:
            length = None
            body = self._encoded(body)
        self._stream.send_response(status, phrase, lines, length, body, end)

    def send_body(self, data: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_body}.
        """
        self._stream.send_body(self._encoded(data))

    def end_response(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Stream.end_response}.
        """
        if trailers and self._translates:
            self._stream.send_body(self._encoded(trailers_frame(trailers)))
            trailers = b""
        self._stream.end_response(trailers)

    def _encoded(self, data: bytes) -> bytes:
        return encode_base64(data) if self._text and self._translates else data

    def let_body_rest(self) -> None:
        """
        See L{siger.http.stream.Stream.let_body_rest}: a page sends its request in one go.
        """


class WebExchange:
    """
    Decodes the body of a L{WEB_TEXT} request for the exchange that answers it; L{siger.http.stream.Exchange}.
    """

    __slots__ = ("_decoder", "_exchange", "_failed")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._decoder = Base64Decoder()
        self._failed = False

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        See L{siger.http.stream.Exchange.body_received}.
        """
        if self._failed:
            return
        try:
            data = self._decoder.feed(data)
            if end:
                self._decoder.finish()
        except ValueError:
            self.body_failed(Reason.MALFORMED_REQUEST)
            return
        if data:
            self._exchange.body_received(data, end)
        elif end:
            self._exchange.body_finished(b"")

    def body_finished(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Exchange.body_finished}.
        """
        if self._failed:
            return
        try:
            self._decoder.finish()
        except ValueError:
            self.body_failed(Reason.MALFORMED_REQUEST)
        else:
            self._exchange.body_finished(trailers)

    def body_failed(self, reason: Reason) -> None:
        """
        See L{siger.http.stream.Exchange.body_failed}.
        """
        if not self._failed:
            self._failed = True
            self._exchange.body_failed(reason)

    def client_gone(self) -> None:
        """
        See L{siger.http.stream.Exchange.client_gone}.
        """
        self._exchange.client_gone()

    def pause_response(self) -> None:
        """
        See L{siger.http.stream.Exchange.pause_response}.
        """
        self._exchange.pause_response()

    def resume_response(self) -> None:
        """
        See L{siger.http.stream.Exchange.resume_response}.
        """
        self._exchange.resume_response()
