"""
What the front door answers by itself: refusals, and the little that has no body. Each is sent, and reported once.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.grpc.status import status_of_reason
from siger.http.date import date_line
from siger.http.problem import send_problem
from siger.http.request import METHODS

if TYPE_CHECKING:
    from siger.http.stream import Stream
    from siger.observe.observer import Observer
    from siger.policy.ratelimit import Limiter
    from siger.proxy.arrival import Arrival

__all__ = ["Answers"]

_ALLOW: Final = b", ".join(sorted(METHODS))


class Answers:
    """
    Answers requests that get no further.
    """

    __slots__ = ("_observer",)

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def refuse(
        self, arrival: Arrival, reason: Reason, allow: bytes = b"", retry_after: int = 1, extra: bytes = b""
    ) -> None:
        """
        Answer with a problem document, or with a gRPC status where that is what the client knows.

        @param allow: the methods that there are, if the reason is the request's.
        @param retry_after: seconds, if the reason is one that passes.
        @param extra: more field lines.
        """
        stream, method = arrival.stream, arrival.head.method
        sent = send_problem(stream, method, reason, arrival.request_id, "", allow, retry_after, extra)
        self._report(arrival, 200 if stream.grpc else reason.status, reason, sent)

    def limit(self, arrival: Arrival, limiter: Limiter, wait: int) -> None:
        """
        Refuse what is over a limit.

        @param wait: seconds until it would be under it again.
        """
        self.refuse(arrival, Reason.RATE_LIMITED, b"", wait, limiter.lines(wait))

    def options(self, arrival: Arrival) -> None:
        """
        Say what methods there are: of the server as a whole, or as the last one that the request may reach (RFC 9110
        section 9.3.7).
        """
        self.empty(arrival, b"Allow: %b\r\n" % _ALLOW)

    def empty(self, arrival: Arrival, lines: bytes) -> None:
        """
        Answer with these field lines alone.
        """
        lines += date_line()
        arrival.stream.send_response(204, b"No Content", lines, None, b"", True)
        self._report(arrival, 204, None, 0)

    def gone(self, arrival: Arrival) -> None:
        """
        Report that nobody waits for an answer any more.
        """
        self._report(arrival, Reason.CLIENT_GONE.status, Reason.CLIENT_GONE, 0)

    def _report(self, arrival: Arrival, status: int, reason: Reason | None, sent: int) -> None:
        now = monotonic()
        identity = arrival.identity
        self._observer.finish(
            arrival.place.stats,
            arrival.head.method,
            arrival.head.path,
            status,
            reason,
            arrival.start,
            now,
            now,
            0,
            sent,
            arrival.request_id,
            arrival.client,
            None,
            b"",
            0,
            b"" if identity is None else identity.logged,
            arrival.head.version,
            status_of_reason(reason) if reason is not None and arrival.stream.grpc else -1,
            arrival.place.calls,
        )

    def refuse_unread(self, stream: Stream, reason: Reason, detail: str) -> None:
        """
        Refuse a request whose head could not be read: nothing of it can be relied on, so nothing of it is logged.

        @param detail: what is wrong with it; fixed text only.
        """
        now = monotonic()
        allow = _ALLOW if reason is Reason.METHOD_NOT_ALLOWED else b""
        sent = send_problem(stream, b"GET", reason, stream.request_id, detail, allow)
        self._observer.finish(
            self._observer.unmatched,
            b"-",
            b"",
            reason.status,
            reason,
            now,
            now,
            now,
            0,
            sent,
            stream.request_id,
            stream.peer,
            None,
            b"",
            0,
            b"",
            stream.version,
        )
