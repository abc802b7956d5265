"""
The channel that a C{twisted.web} request believes it is on.

A L{twisted.web.http.Request} writes its response to an C{HTTPChannel}. L{LocalChannel} offers it what it uses of that
one, and passes the response on to a stream, whose framing is its own: lengths and codings that the request wrote are
taken off, its chunks never come to be.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from siger.errors import Reason
from siger.http.local_fields import field_lines
from siger.http.local_response import LocalResponse
from siger.http.problem import send_problem
from siger.http.pull_loop import PullLoop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.web.http import Request
    from twisted.web.http_headers import Headers
    from twisted.web.server import Site

    from siger.http.observed import ObservedStream
    from siger.http.request import RequestHead

__all__ = ["LocalChannel"]

_log = Logger()


@implementer(IConsumer)
class LocalChannel:
    """
    Carries one response from a C{twisted.web} request to a stream.

    @ivar site: where the request looks for its resource.
    @ivar transport: the channel itself: what a request asks of a transport it can do too.
    @ivar request: the request, once its body is complete.
    """

    def __init__(self, site: Site, head: RequestHead, stream: ObservedStream, request_id: bytes, client: bytes) -> None:
        self.site = site
        self.transport = self
        self.request: Request | None = None
        self._head = head
        self._stream = stream
        self._request_id = request_id
        self._client = client
        self._reactor: IReactorTime = site.reactor
        self._response = LocalResponse(stream, head.method, site.reactor)
        self._producer: IPushProducer | PullLoop | None = None
        self._paused = False

    @property
    def ended(self) -> bool:
        """
        Whether nothing more can be sent.
        """
        return self._response.ended

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
        self._response.hold()
        try:
            request.requestReceived(self._head.method, target, b"HTTP/1.1")
        except Exception:
            _log.failure("a local endpoint failed on its way to its resource")
            self.refuse(Reason.INTERNAL_ERROR)
        self._response.release()

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """
        Take the head. The request's wish to chunk is turned down here, before it writes its first chunk.
        """
        if self.request is not None:
            self.request.chunked = 0
        if self.ended:
            return
        status = int(code)
        lines, length, faults = field_lines(headers)
        if faults or not 200 <= status <= 999:
            _log.error(
                "a local endpoint made a response that cannot be sent: status {status}, {faults}",
                status=status,
                faults=faults,
            )
            self.refuse(Reason.INTERNAL_ERROR)
            return
        self._response.begin(status, lines, length)

    def write(self, data: bytes) -> None:
        """
        Take some of the body; what exceeds the length the head declared is dropped.
        """
        self._response.write(data)

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
        if self._response.is_short:
            _log.error("a local endpoint wrote less than the length it declared")
            self.refuse(Reason.INTERNAL_ERROR)
            return
        self._response.finish()

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
        if self._response.begun:
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
        self._response.flush()
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

    def _stop(self) -> None:
        """
        Send and produce nothing more.
        """
        self._response.stop()
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
        self._producer = producer if streaming else PullLoop(producer, self.abortConnection, self._reactor)
        if self._paused:
            self._producer.pauseProducing()
        elif not streaming:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        The producer has produced everything.
        """
        producer, self._producer = self._producer, None
        if isinstance(producer, PullLoop):
            producer.pauseProducing()

    def pauseProducing(self) -> None:
        """
        The request's body is complete, so there is nothing to pause.
        """

    def resumeProducing(self) -> None:
        """
        The request's body is complete, so there is nothing to resume.
        """


def _split_authority(authority: bytes) -> tuple[str, int]:
    """
    Host and port of a checked authority; no port is 0.
    """
    text = authority.decode("latin-1")
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, ""
    return host.strip("[]"), int(port) if port.isascii() and port.isdigit() else 0
