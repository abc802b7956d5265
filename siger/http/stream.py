"""
The seam between a channel, which owns a connection, and whatever answers a request.

A channel parses a request head and hands it, with a L{Stream}, to the application, which returns an L{Exchange}. From
then on the two talk by the calls below; neither waits on a Deferred. HTTP/1.1 and HTTP/2 channels, proxied services
and local endpoints all meet here, so admission, logs and metrics are the same code for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from siger.errors import Reason
    from siger.http.request import RequestHead

__all__ = ["Application", "Exchange", "Stream"]


class Stream(Protocol):
    """
    The response side of one request, as a channel offers it.

    C{lines} are whole field lines, each ended by CRLF, without framing and hop-by-hop fields: framing is the channel's
    own. Calls after the request has ended are ignored, as a transport ignores writes after its close.
    """

    peer: bytes
    """The socket's peer address as text, without port."""

    secure: bool
    """Whether the request came over TLS."""

    version: int
    """The version of HTTP that the client speaks: 10, 11 or 20."""

    reason: Reason | None
    """Why the gateway answers by itself, for whoever reports the exchange."""

    request_id: bytes
    """What the response says in C{X-Request-ID}, whoever makes it; the front door sets it."""

    added: bytes
    """More field lines that the response gets, whoever makes it; the front door sets them."""

    grpc: bool
    """Whether the client understands gRPC statuses, and so gets refusals as such; the front door sets it."""

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        Send a 1xx response other than 101 (RFC 9110 section 15.2); dropped for HTTP/1.0 clients.
        """

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        Send the final head with the first bytes of its body.

        @param length: the body's length, or C{None} when it is not known yet. For a response that has no body
            whatever its head says (to HEAD; 304) it is what Content-Length shall say, or C{None} for no such field.
        @param end: C{body} completes the response, which spares a call to L{end_response}.
        """

    def send_body(self, data: bytes) -> None:
        """
        Send more of the body. The caller heeds L{Exchange.pause_response}.
        """

    def end_response(self, trailers: bytes) -> None:
        """
        End the response cleanly, with trailer lines if the framing has room for them.
        """

    def abort_response(self) -> None:
        """
        End the response so that the client can tell it is incomplete (RFC 9112 section 8).
        """

    def pause_body(self) -> None:
        """
        Ask for no more request body; a bounded rest that is on its way may still come.
        """

    def resume_body(self) -> None:
        """
        Ask for request body again.
        """

    def let_body_rest(self) -> None:
        """
        Allow the body to take its time from now on: both ends of a call send when they have something to say.
        """


class Exchange(Protocol):
    """
    What answers one request.
    """

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        Take some of the request's body, never empty.

        @param end: C{data} completes the request, which spares a call to L{body_finished}.
        """

    def body_finished(self, trailers: bytes) -> None:
        """
        The request is complete. Not called for one that has no body by its framing.
        """

    def body_failed(self, reason: Reason) -> None:
        """
        The request will never be complete (malformed, too slow, cut short). The exchange must not let it look complete
        upstream, and ends the response: with a problem document where it still can, else by aborting.
        """

    def client_gone(self) -> None:
        """
        The client left. Nothing more can be sent.
        """

    def pause_response(self) -> None:
        """
        The client reads slowly: send no more for now.
        """

    def resume_response(self) -> None:
        """
        The client caught up.
        """


class Application(Protocol):
    """
    Answers requests: the front of everything behind a channel.
    """

    def __call__(self, head: RequestHead, stream: Stream) -> Exchange | None:
        """
        Begin to answer C{head} on C{stream}.

        @return: the exchange, or C{None} when the whole answer was sent already.
        """

    def refuse(self, stream: Stream, reason: Reason, detail: str) -> None:
        """
        Send the whole answer to a request whose head could not be read.
        """
