"""
Where the responses of instances go: the seam between connections of either version of HTTP and what asked over them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from siger.errors import Reason
    from siger.http.response import ResponseHead

__all__ = ["Recipient"]


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
