"""
One question to one instance, and what comes of it.

It is a call as a client of gRPC makes it, over connections that are used for nothing else. L{siger.grpc.health} knows
what is said; here it is said, over a stream of a pool, and within a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from siger import __version__
from siger.config.settings.services import Timeouts
from siger.errors import Reason
from siger.grpc.health import FAILED, LONGEST_ANSWER, PATH, TIMEOUT, UNREACHABLE, Finding, judge, question
from siger.http.deadlines import NEVER
from siger.http.hpack.encoder import pack_field
from siger.proxy.forwarding import own_host, packed_timeout

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import HealthCheck, ServiceSettings
    from siger.http.response import ResponseHead
    from siger.proxy.client_stream import ClientStream
    from siger.proxy.connection import UpstreamConnection
    from siger.proxy.waiting import Waiter

__all__ = ["Check", "Question", "Streams"]

_MOST_ATTEMPTS: Final = 2

_UNHURRIED: Final = Timeouts(response=NEVER, idle=NEVER)
"""A check has a time limit of its own, for all that happens in it."""


class Streams(Protocol):
    """
    The part of a pool that is used here.
    """

    def wait(self, waiter: Waiter, patience: float | None = None) -> None: ...

    def cancel(self, waiter: Waiter) -> None: ...

    def close(self) -> None: ...


class Question:
    """
    What an instance is asked, ready to be sent.

    @ivar message: the body.
    @ivar timeout: seconds in which it has to be answered.
    """

    __slots__ = ("_fields", "message", "timeout")

    def __init__(self, check: HealthCheck, endpoint: Endpoint, settings: ServiceSettings) -> None:
        """
        @param settings: of the service, which say what name the instance goes by.
        """
        self.message = question(check.grpc)
        self.timeout = check.timeout
        self._fields = b"".join(
            (
                pack_field(b":method", b"POST"),
                pack_field(b":scheme", b"https" if endpoint.protocol == "h2" else b"http"),
                pack_field(b":path", PATH),
                pack_field(b":authority", own_host(settings, endpoint)),
                pack_field(b"te", b"trailers"),
                pack_field(b"content-type", b"application/grpc"),
                pack_field(b"user-agent", b"siger/" + __version__.encode("ascii")),
            )
        )

    def block(self, seconds: float) -> bytes:
        """
        The header section, packed.

        @param seconds: what is left of the time.
        """
        return self._fields + packed_timeout(seconds)


class Check:
    """
    The question while it is asked.

    To a pool and its connections it is what an exchange is; see L{siger.proxy.waiting.Waiter} and
    L{siger.proxy.recipient.Recipient}.

    It is asked again once when the connection turns out to be one that the instance was just about to close: otherwise
    one that closes what is idle would look ill now and then.
    """

    streaming = True

    def __init__(self, clock: IReactorTime, pool: Streams, question: Question, told: Callable[[Finding], None]) -> None:
        """
        @param told: is called once with what came of it, perhaps before L{begin} returns.
        """
        self._clock = clock
        self._pool = pool
        self._question = question
        self._told = told
        self._stream: UpstreamConnection | ClientStream | None = None
        self._attempts = 0
        self._status = 0
        self._body = b""
        self._due = 0.0
        self._timer: IDelayedCall | None = None

    def begin(self) -> None:
        """
        Ask.
        """
        timeout = self._question.timeout
        self._due = self._clock.seconds() + timeout
        self._timer = self._clock.callLater(timeout, self._time_over)
        self._pool.wait(self, timeout)

    def cancel(self) -> None:
        """
        Ask no longer. Nobody is told anything.
        """
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()
        else:
            self._pool.cancel(self)

    def _end(self, finding: Finding) -> None:
        self.cancel()
        self._told(finding)

    def _time_over(self) -> None:
        self._end(Finding(TIMEOUT, f"no answer within {self._question.timeout:g} s"))

    # What a pool tells.

    def connected(self, connection: UpstreamConnection | ClientStream) -> None:
        """
        Send the question.
        """
        self._attempts += 1
        self._stream = connection
        block = self._question.block(self._due - self._clock.seconds())
        connection.begin(self, block, False, True, _UNHURRIED)
        connection.send_body(self._question.message, True)

    def connect_failed(self, reason: Reason) -> None:
        """
        There is nobody to ask.
        """
        self._end(Finding(UNREACHABLE, reason.code))

    # What a stream tells.

    def interim_received(self, head: ResponseHead) -> None:
        """
        Wait for the final head.
        """

    def switched(self, head: ResponseHead) -> bool:
        """
        Nothing was to be switched.
        """
        return False

    def response_received(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        """
        Judge what is complete, and do not wait for the rest of what is no answer.
        """
        self._status = head.status
        if complete:
            self._stream = None
            self._end(judge(head.status, body, head.relay))
        elif head.status != 200:
            self._end(judge(head.status, body, b""))
        else:
            self.response_data(body)

    def response_data(self, data: bytes) -> None:
        """
        Keep it; but an answer is short.
        """
        self._body += data
        if len(self._body) > LONGEST_ANSWER:
            self._end(Finding(FAILED, "malformed answer"))

    def response_finished(self, trailers: bytes) -> None:
        """
        Judge it.
        """
        self._stream = None
        self._end(judge(self._status, self._body, trailers))

    def upstream_failed(self, reason: Reason, replayable: bool) -> None:
        """
        Ask again if it was only the connection.
        """
        result = FAILED if reason is Reason.UPSTREAM_MALFORMED else UNREACHABLE
        self._lose(Finding(result, reason.code), replayable)

    def lasts(self) -> None:
        """
        It may take as long as it may take.
        """

    def upstream_refused(self, reason: Reason) -> None:
        """
        Ask again.
        """
        self._lose(Finding(UNREACHABLE, reason.code), True)

    def upstream_reset(self, code: int) -> None:
        """
        The instance broke it off.
        """
        self._lose(Finding(FAILED, Reason.UPSTREAM_RESET.code), False)

    def _lose(self, finding: Finding, again: bool) -> None:
        self._stream = None
        if again and self._attempts < _MOST_ATTEMPTS:
            self._pool.wait(self, self._due - self._clock.seconds())
        else:
            self._end(finding)

    def pause_request(self) -> None:
        """
        There is no more to send.
        """

    def resume_request(self) -> None:
        """
        There is no more to send.
        """
