"""
Proxied services as a C{twisted.web} resource, for programs that have a site of their own.

Behind Siger's own channels requests reach the proxy without passing through here. In a stock
L{twisted.web.server.Site} the site has parsed the head, by its own and laxer rules, and read the whole body before it
calls L{ProxyResource.render}: so the head is parsed again, strictly, and the body is streamed from where the site put
it. Responses are streamed with backpressure either way.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from siger.errors import Reason
from siger.http.fields import HeadError
from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from siger.http.stream import Application, Exchange

__all__ = ["ProxyResource"]

_PIECE: Final = 65536
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"expect", b"connection", b"upgrade"))


@implementer(IResource)
class ProxyResource:
    """
    Mounted at some path, answers C{path/{service}/rest} from the services of a gateway.

    @ivar isLeaf: everything below its path is its own.
    """

    isLeaf = True
    server = None

    def __init__(self, application: Application, prefix: bytes = b"/services") -> None:
        """
        @param application: a front door.
        @param prefix: where the front door has the services.
        """
        self._application = application
        self._prefix = prefix
        self._parser = RequestParser()

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """
        Not called: it is a leaf.
        """
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """
        @raise ValueError: always: it is a leaf.
        """
        raise ValueError("a proxy resource has no children")

    def render(self, request: Any) -> int:
        """
        Begin to answer.
        """
        stream = _RequestStream(request)
        try:
            head = self._head(request)
        except HeadError as error:
            self._application.refuse(stream, error.reason, error.detail)
            return NOT_DONE_YET
        stream.run(self._application(head, stream))
        return NOT_DONE_YET

    def _head(self, request: Any) -> RequestHead:
        lines = [
            b"%b: %b" % (name, value)
            for name, values in request.requestHeaders.getAllRawHeaders()
            for value in values
            if name.lower() not in _FRAMING
        ]
        size = request.content.seek(0, 2)
        request.content.seek(0)
        if size:
            lines.append(b"Content-Length: %d" % size)
        path, question, query = request.uri.partition(b"?")
        rest = b"/".join(path.split(b"/")[1 + len(request.prepath) :])
        target = b"%b/%b%b%b" % (self._prefix, rest, question, query)
        return self._parser.head(b"%b %b HTTP/1.1" % (request.method, target), self._parser.fields(b"\r\n".join(lines)))


@implementer(IPushProducer)
class _RequestStream:
    """
    A L{siger.http.stream.Stream} over a C{twisted.web} request.
    """

    def __init__(self, request: Any) -> None:
        self._request = request
        self._exchange: Exchange | None = None
        self._over = False
        self._paused = False
        self._reading = False
        self.peer = request.getClientAddress().host.encode("ascii")
        self.secure = request.isSecure()
        self.version = 11
        self.reason: Reason | None = None
        self.request_id = self.added = b""
        self.grpc = False
        request.notifyFinish().addErrback(self._client_gone)

    def run(self, exchange: Exchange | None) -> None:
        """
        Feed an exchange with the body that the site has read.
        """
        if exchange is None or self._over:
            return
        self._exchange = exchange
        self._request.registerProducer(self, True)
        self._feed()

    def _feed(self) -> None:
        if self._reading:
            return
        self._reading = True
        while self._exchange is not None and not self._paused and self._request.content is not None:
            piece = self._request.content.read(_PIECE)
            if piece:
                self._exchange.body_received(piece)
            else:
                self._request.content.close()
                self._request.content = None
                self._exchange.body_finished(b"")
        self._reading = False

    def _client_gone(self, reason: Failure) -> None:
        self._over = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()

    # The site's transport: IPushProducer.

    def pauseProducing(self) -> None:
        """
        The client reads slowly.
        """
        if self._exchange is not None:
            self._exchange.pause_response()

    def resumeProducing(self) -> None:
        """
        The client caught up.
        """
        if self._exchange is not None:
            self._exchange.resume_response()

    def stopProducing(self) -> None:
        """
        The connection is gone; the request's C{notifyFinish} says so too.
        """

    # The exchange: siger.http.stream.Stream.

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        Nothing: C{twisted.web} has no interim responses, and no body is waited for.
        """

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        See L{siger.http.stream.Stream.send_response}.
        """
        if self._over:
            return
        request = self._request
        request.setResponseCode(status, phrase)
        for line in (b"%bX-Request-ID: %b\r\n%b" % (lines, self.request_id, self.added)).split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name:
                request.responseHeaders.addRawHeader(name, value.strip(b" \t"))
        if length is None and end:
            length = len(body)
        if length is not None and status != 204:
            request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % length])
        request.write(body)
        if end:
            self.end_response(b"")

    def send_body(self, data: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_body}.
        """
        if not self._over:
            self._request.write(data)

    def end_response(self, trailers: bytes) -> None:
        """
        End it; C{twisted.web} sends no trailers.
        """
        if not self._over:
            self._over = True
            self._stop_producing()
            self._request.finish()

    def abort_response(self) -> None:
        """
        See L{siger.http.stream.Stream.abort_response}.
        """
        if not self._over:
            self._over = True
            self._stop_producing()
            self._request.channel.forceAbortClient()

    def _stop_producing(self) -> None:
        if self._exchange is not None:
            self._exchange = None
            self._request.unregisterProducer()

    def pause_body(self) -> None:
        """
        See L{siger.http.stream.Stream.pause_body}.
        """
        self._paused = True

    def resume_body(self) -> None:
        """
        See L{siger.http.stream.Stream.resume_body}.
        """
        self._paused = False
        self._feed()

    def let_body_rest(self) -> None:
        """
        See L{siger.http.stream.Stream.let_body_rest}: the body is all there.
        """
