"""
The bridge to C{twisted.web}: local endpoints answer the same requests as everything else behind a channel.

C{twisted.web} never sees a socket here. L{LocalApplication} collects a request's body within a bound, makes a
L{Request} of its own kind from the head that was parsed and normalised for everybody, and lets the site answer it
through a L{LocalChannel}. So routing, admission, logs and the endpoint agree on what was asked, and none of the limits
that C{HTTPChannel} lacks are needed a second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.logger import Logger
from twisted.web.server import Request, Site

from siger.errors import Reason
from siger.http.local_channel import LocalChannel
from siger.http.observed import ObservedStream

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure
    from twisted.web.resource import IResource

    from siger.http.request import RequestHead
    from siger.http.stream import Exchange, Stream
    from siger.observe.observer import Observer
    from siger.policy.identity import Identity

__all__ = ["BODY_LIMIT", "LocalApplication", "LocalRequest", "LocalSite"]

BODY_LIMIT = 1024 * 1024
"""Bytes of body that local endpoints take: they speak JSON."""

_ambiguous = re.compile(rb"%(?:2F|5C|00)", re.IGNORECASE).search
_overlong_label = re.compile(rb"[^.:]{64}").search


class LocalRequest(Request):
    """
    A request to a local endpoint, which fails without telling its client why.

    @ivar identity: whose request it is, if it came with a token.
    """

    defaultContentType = b"text/plain; charset=utf-8"
    identity: Identity | None = None
    _failures = Logger(namespace=__name__)

    def processingFailed(self, reason: Failure) -> Failure:
        """
        Log an exception that nobody handled, and answer with a problem document that says nothing of it.
        """
        self._failures.failure("a local endpoint failed", failure=reason)
        channel: Any = self.channel
        if channel is not None and not self.finished:
            channel.refuse(Reason.INTERNAL_ERROR)
            self.finish()  # type: ignore[no-untyped-call]
        return reason


class LocalSite(Site):
    """
    The site that local endpoints are in. It parses no forms and writes nothing to disk: bodies are bounded already.
    """

    displayTracebacks = False

    def __init__(self, resource: IResource, reactor: IReactorTime) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            resource, requestFactory=LocalRequest, reactor=reactor, parsePOSTFormSubmission=False
        )

    def getContentFile(self, length: int | None) -> BytesIO:
        """
        Where a request's body goes.
        """
        return BytesIO()


class LocalApplication:
    """
    Answers requests from a site.
    """

    def __init__(
        self,
        site: Site,
        observer: Observer,
        template: Callable[[bytes], str | None],
        body_limit: int = BODY_LIMIT,
    ) -> None:
        """
        @param site: a L{LocalSite}, or any other whose requests are C{twisted.web} ones.
        @param observer: hears of every request.
        @param template: the route template of a path, C{None} for a path that leads nowhere.
        @param body_limit: the largest body that is accepted, in bytes.
        """
        self._site = site
        self._observer = observer
        self._template = template
        self._body_limit = body_limit

    def __call__(
        self, head: RequestHead, stream: Stream, request_id: bytes, client: bytes, identity: Identity | None = None
    ) -> Exchange | None:
        """
        Begin to answer C{head} on C{stream}.

        @param client: the client's address as text, without port.
        @param identity: whose request it is, if that is known.
        @return: the exchange, or C{None} when the whole answer was sent already.
        """
        template = self._template(head.path)
        route = self._observer.unmatched if template is None else self._observer.route(template)
        observed = ObservedStream(stream, self._observer, route, head, request_id, client, identity)
        channel = LocalChannel(self._site, head, observed, request_id, client)
        reason = self._objection(head)
        if reason is None and template is None and head.fields.expect_continue:
            # Nobody will read the body, so it is not asked for (RFC 9110 section 10.1.1).
            reason = Reason.NO_ROUTE
        if reason is not None:
            channel.refuse(reason)
            return None
        exchange = _LocalExchange(channel, observed, head, request_id, identity, self._body_limit)
        if not _has_body(head):
            exchange.answer()
            return None if channel.ended else exchange
        if head.fields.expect_continue:
            observed.send_interim(100, b"")
        return exchange

    def _objection(self, head: RequestHead) -> Reason | None:
        """
        Why a request cannot reach an endpoint, judged by its head.
        """
        if b"%" in head.path and not _is_plain(head.path):
            return Reason.INVALID_TARGET
        if _overlong_label(head.host) and b"[" not in head.host:
            return Reason.INVALID_HOST
        if (head.fields.content_length or 0) > self._body_limit:
            return Reason.BODY_TOO_LARGE
        if _has_body(head) and (head.fields.get(b"content-encoding") or b"identity").lower() != b"identity":
            return Reason.UNSUPPORTED_MEDIA
        return None


def _has_body(head: RequestHead) -> bool:
    """
    Whether a request has a body by its framing.
    """
    return head.fields.chunked or bool(head.fields.content_length)


def _is_plain(path: bytes) -> bool:
    """
    Whether C{twisted.web}, which decodes each segment, and Klein, which joins them and reads UTF-8, will understand the
    path as it was routed.
    """
    if _ambiguous(path) is not None:
        return False
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class _LocalExchange:
    """
    One request on its way to the site, and its answer's flow.
    """

    def __init__(
        self,
        channel: LocalChannel,
        stream: ObservedStream,
        head: RequestHead,
        request_id: bytes,
        identity: Identity | None,
        limit: int,
    ) -> None:
        self._channel = channel
        self._stream = stream
        self._head = head
        self._request_id = request_id
        self._identity = identity
        self._limit = limit
        self._body: list[bytes] = []
        self._collecting = True

    def answer(self) -> None:
        """
        The request is complete: hand it to the site.
        """
        self._collecting = False
        body = b"".join(self._body)
        self._body = []
        request: Any = self._channel.site.requestFactory(self._channel)
        request.identity = self._identity
        self._fill_headers(request, len(body))
        request.parseCookies()
        request.gotLength(len(body))
        if body:
            request.handleContentChunk(body)
        self._channel.render(request, self._head.path + self._head.query)

    def _fill_headers(self, request: Request, length: int) -> None:
        """
        The fields that travel on, as to a backend, with the framing and the names this gateway stands for.
        """
        headers = request.requestHeaders
        for line in self._head.fields.relay.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name:
                headers.addRawHeader(name, value)
        headers.setRawHeaders(b"Host", [self._head.host])
        headers.setRawHeaders(b"X-Request-ID", [self._request_id])
        if _has_body(self._head):
            headers.setRawHeaders(b"Content-Length", [b"%d" % length])

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        Keep some of the body, up to the limit.
        """
        if not self._collecting:
            return
        self._stream.bytes_in += len(data)
        if self._stream.bytes_in > self._limit:
            self._refuse(Reason.BODY_TOO_LARGE)
            return
        self._body.append(data)
        if end:
            self.answer()

    def body_finished(self, trailers: bytes) -> None:
        """
        Answer. Trailers are dropped (RFC 9110 section 6.5.1).
        """
        if self._collecting:
            self.answer()

    def body_failed(self, reason: Reason) -> None:
        """
        Say what was wrong with a body that will not be complete.
        """
        if self._collecting:
            self._refuse(reason)

    def _refuse(self, reason: Reason) -> None:
        """
        Let go of the body, and answer in the site's place.
        """
        self._collecting = False
        self._body = []
        self._channel.refuse(reason)

    def client_gone(self) -> None:
        """
        Let go of the body, or stop the answer.
        """
        self._collecting = False
        self._body = []
        self._channel.connection_lost()

    def pause_response(self) -> None:
        """
        Let the answer's producer wait.
        """
        self._channel.pause()

    def resume_response(self) -> None:
        """
        Let it go on.
        """
        self._channel.resume()
