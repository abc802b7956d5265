"""
The channel that a C{twisted.web} request believes it is on.

A L{twisted.web.http.Request} writes its response to an C{HTTPChannel}. L{LocalChannel} offers it what it uses of that
one, and passes the response on to a stream, whose framing is its own: lengths and codings that the request wrote are
taken off, its chunks never come to be. The head is held until the response is complete, or until the handler lets go of
the processor, whichever is first, so that an ordinary response goes out in one piece and with its length, and one that
is streamed is not kept waiting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from siger.errors import Reason
from siger.http.problem import phrase, send_problem

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IPullProducer, IReactorTime
    from twisted.web.http import Request
    from twisted.web.http_headers import Headers
    from twisted.web.server import Site

    from siger.http.observed import ObservedStream
    from siger.http.request import RequestHead

__all__ = ["LocalChannel"]

_HOLD_AT_MOST = 65536

# Framing and connection are the stream's; Server would tell a version; the request id is the gateway's.
_NOT_THEIRS = frozenset(
    (
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"server",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    )
)
_is_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_value = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
_is_length = re.compile(rb"[0-9]{1,18}").fullmatch
_log = Logger()


@implementer(IConsumer)
class LocalChannel:
    """
    Carries one response from a C{twisted.web} request to a stream.

    @ivar site: where the request looks for its resource.
    @ivar transport: the channel itself: what a request asks of a transport it can do too.
    @ivar request: the request, once its body is complete.
    @ivar ended: nothing more can be sent.
    """

    def __init__(self, site: Site, head: RequestHead, stream: ObservedStream, request_id: bytes, client: bytes) -> None:
        self.site = site
        self.transport = self
        self.request: Request | None = None
        self.ended = False
        self._head = head
        self._stream = stream
        self._request_id = request_id
        self._client = client
        self._reactor: IReactorTime = site.reactor
        self._response: tuple[int, bytes, int | None] | None = None
        self._held: list[bytes] = []
        self._held_size = 0
        self._left: int | None = None
        self._sent_head = False
        self._rendering = False
        self._flusher: IDelayedCall | None = None
        self._producer: IPushProducer | _PullLoop | None = None
        self._paused = False

    # What a request may ask.

    def getPeer(self) -> IPv4Address | IPv6Address:
        """
        The client's address, which is not the socket's peer when that is a trusted proxy.
        """
        host = self._client.decode("latin-1")
        return IPv6Address("TCP", host, 0) if ":" in host else IPv4Address("TCP", host, 0)

    def getHost(self) -> IPv4Address:
        """
        The address the client knows the gateway under, which is what links have to be made with.
        """
        name, port = _split_authority(self._head.host)
        return IPv4Address("TCP", name, port or (443 if self.isSecure() else 80))

    def isSecure(self) -> bool:
        """
        Whether the request came over TLS.
        """
        return self._stream.secure

    # The response.

    def render(self, request: Request, target: bytes) -> None:
        """
        Let a request, whose headers and content are complete, find its resource and begin to answer.
        """
        self.request = request
        self._rendering = True
        try:
            request.requestReceived(self._head.method, target, b"HTTP/1.1")
        except Exception:
            _log.failure("a local endpoint failed on its way to its resource")
            self.refuse(Reason.INTERNAL_ERROR)
        self._rendering = False
        if self._response is not None and not self._sent_head and not self.ended:
            self._flush(False)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """
        Take the head. The request's wish to chunk is turned down here, before it writes its first chunk.
        """
        if self.request is not None:
            self.request.chunked = 0
        if self.ended:
            return
        status = int(code)
        lines, length, faults = _field_lines(headers)
        if faults or not 200 <= status <= 999:
            _log.error(
                "a local endpoint made a response that cannot be sent: status {status}, {faults}",
                status=status,
                faults=faults,
            )
            self.refuse(Reason.INTERNAL_ERROR)
            return
        self._response = status, lines, length
        bodyless = self._head.method == b"HEAD" or status in (204, 304)
        self._left = None if bodyless else length
        self._flush_soon()

    def write(self, data: bytes) -> None:
        """
        Take some of the body; what exceeds the length the head declared is dropped.
        """
        if self.ended:
            return
        if self._left is not None:
            if len(data) > self._left:
                _log.error("a local endpoint wrote more than the length it declared")
                data = data[: self._left]
            self._left -= len(data)
        if self._sent_head:
            self._stream.send_body(data)
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > _HOLD_AT_MOST:
            self._flush(False)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Take some of the body in pieces.
        """
        self.write(b"".join(data))

    def requestDone(self, request: Request) -> None:
        """
        The request is finished, which ends the response, cleanly if all that it declared was written.
        """
        if self.ended:
            return
        if self._left:
            _log.error("a local endpoint wrote less than the length it declared")
            self.refuse(Reason.INTERNAL_ERROR)
            return
        self.ended = True
        if self._sent_head:
            self._stream.end_response(b"")
        else:
            self._flush(True)

    def refuse(
        self,
        reason: Reason,
        detail: str = "",
        allow: bytes = b"",
        extra: bytes = b"",
        members: bytes = b"",
        retry_after: int = 1,
    ) -> None:
        """
        Answer with a problem document; if the head is out already, end so that the client can tell.

        The parameters are those of L{send_problem}.
        """
        if self.ended:
            return
        self._stop()
        self._stream.reason = reason
        if self._sent_head:
            self._stream.abort_response()
        else:
            method, request_id = self._head.method, self._request_id
            send_problem(self._stream, method, reason, request_id, detail, allow, retry_after, extra, members)

    def loseConnection(self) -> None:
        """
        End without finishing: what was written goes out, and the client can tell that it is not all.
        """
        if self.ended:
            return
        if self._response is not None and not self._sent_head:
            self._flush(False)
        self.abortConnection()

    def abortConnection(self) -> None:
        """
        End at once. The request hears of it a moment later, as it would from a socket.
        """
        if self.ended:
            return
        self._stop()
        self._stream.abort_response()
        self._reactor.callLater(0, self._tell_request, Failure(ConnectionDone()))

    def _respondToBadRequestAndDisconnect(self) -> None:
        """
        What a request calls when it cannot read a form.
        """
        self.refuse(Reason.MALFORMED_REQUEST)

    def _flush_soon(self) -> None:
        """
        Send what is held when the handler has returned, whether that is L{render}'s or one called later.
        """
        if not self._rendering and self._flusher is None:
            self._flusher = self._reactor.callLater(0, self._flush_now)

    def _flush_now(self) -> None:
        """
        Send what is held: its time has come.
        """
        self._flusher = None
        self._flush(False)

    def _flush(self, end: bool) -> None:
        """
        Send the head and what is held of the body.
        """
        self._cancel_flusher()
        if self._response is None:
            return
        self._sent_head = True
        status, lines, length = self._response
        body = b"".join(self._held)
        self._held = []
        if end and length is None and self._head.method != b"HEAD" and status not in (204, 304):
            length = len(body)
        self._stream.send_response(status, phrase(status), lines, length, body, end)

    def _cancel_flusher(self) -> None:
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            flusher.cancel()

    def _stop(self) -> None:
        """
        Send and produce nothing more.
        """
        self.ended = True
        self._held = []
        self._cancel_flusher()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()

    def _tell_request(self, reason: Failure) -> None:
        """
        Tell the request that its connection is gone, unless it has finished meanwhile.
        """
        if self.request is not None and not self.request.finished:
            self.request.connectionLost(reason)

    # What the stream's side tells.

    def connection_lost(self) -> None:
        """
        The client left.
        """
        if self.ended:
            return
        self._stop()
        self._stream.client_gone()
        self._tell_request(Failure(ConnectionLost()))

    def pause(self) -> None:
        """
        The client reads slowly.
        """
        self._paused = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume(self) -> None:
        """
        The client caught up.
        """
        self._paused = False
        if self._producer is not None:
            self._producer.resumeProducing()

    # Producers.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Take a producer of the body: a push producer is told when to pause, a pull producer is asked again and again.
        """
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if self.ended:
            producer.stopProducing()
            return
        self._producer = producer if streaming else _PullLoop(producer, self, self._reactor)
        if self._paused:
            self._producer.pauseProducing()
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        The producer has produced everything.
        """
        producer, self._producer = self._producer, None
        if isinstance(producer, _PullLoop):
            producer.pauseProducing()

    def pauseProducing(self) -> None:
        """
        The request's body is complete, so there is nothing to pause.
        """

    def resumeProducing(self) -> None:
        """
        The request's body is complete, so there is nothing to resume.
        """


@implementer(IPushProducer)
class _PullLoop:
    """
    Makes a push producer of a pull producer: asks it once a turn of the reactor while the client keeps up.
    """

    def __init__(self, producer: IPullProducer, channel: LocalChannel, reactor: IReactorTime) -> None:
        self._producer = producer
        self._channel = channel
        self._reactor = reactor
        self._next: IDelayedCall | None = None

    def resumeProducing(self) -> None:
        """
        Ask in the next turn.
        """
        if self._next is None:
            self._next = self._reactor.callLater(0, self._pull)

    def pauseProducing(self) -> None:
        """
        Ask no more for now.
        """
        pending, self._next = self._next, None
        if pending is not None:
            pending.cancel()

    def stopProducing(self) -> None:
        """
        Ask no more, and say so.
        """
        self.pauseProducing()
        self._producer.stopProducing()

    def _pull(self) -> None:
        """
        Ask once; first arrange for the next time, which the producer may call off.
        """
        self._next = self._reactor.callLater(0, self._pull)
        try:
            self._producer.resumeProducing()
        except Exception:
            _log.failure("a producer failed")
            self._channel.abortConnection()


def _split_authority(authority: bytes) -> tuple[str, int]:
    """
    Host and port of a checked authority; no port is 0.
    """
    text = authority.decode("latin-1")
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, ""
    return host.strip("[]"), int(port) if port.isascii() and port.isdigit() else 0


def _field_lines(headers: Headers) -> tuple[bytes, int | None, list[str]]:
    """
    Turn the request's response headers into field lines, each name and value checked (RFC 9110 section 5).

    @return: the lines, the length that was declared, and the names of fields that cannot be sent.
    """
    lines: list[bytes] = []
    length: int | None = None
    faults: list[str] = []
    sniffable = True
    for name, value in _pairs(headers):
        lower = name.lower()
        if _is_name(name) is None or _is_value(value) is None:
            faults.append(repr(name))
        elif lower == b"content-length":
            length = int(value) if _is_length(value) else None
        elif lower not in _NOT_THEIRS:
            lines.append(b"%b: %b\r\n" % (name, value.strip(b" \t")))
            sniffable = sniffable and lower != b"x-content-type-options"
    if sniffable:
        lines.append(b"X-Content-Type-Options: nosniff\r\n")
    return b"".join(lines), length, faults


def _pairs(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """
    Names and values, one by one.
    """
    for name, values in headers.getAllRawHeaders():
        for value in values:
            yield name, value
