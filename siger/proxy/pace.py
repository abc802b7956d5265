"""
The pace of an exchange with an instance: who waits for whom, and how long an instance may take.

Whose turn it is follows from who reads and who has more to send. While a client does not read, or has more to send that
the instance would take, nothing is held against the instance: the client's slowness is judged on the client's side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.http.deadlines import NEVER, Deadlines
from siger.http.h2.streams import Http2Stream
from siger.http.transport import Transport

if TYPE_CHECKING:
    from siger.config.settings.services import Timeouts
    from siger.http.h2.connection import Http2Connection
    from siger.proxy.recipient import Recipient

__all__ = ["BODY", "CLOSED", "HEAD", "IDLE", "TUNNEL", "PacedConnection", "PacedStream"]

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
TUNNEL: Final = 3
CLOSED: Final = 4


class PacedConnection:
    """
    A connection of HTTP/1.1, as far as pace is concerned. Whoever is more sets the state.

    @ivar deadline: when to give up waiting for the instance; see L{siger.http.deadlines}.
    @ivar request_open: more of the request is to be sent.
    @ivar request_paused: the instance reads slowly, so no more should be sent now.
    @ivar timeouts: of the exchange on it.
    """

    __slots__ = (
        "_reading_paused",
        "_recipient",
        "_state",
        "deadline",
        "deadlines",
        "request_open",
        "request_paused",
        "timeouts",
        "transport",
    )

    def __init__(self, transport: Transport, deadlines: Deadlines, timeouts: Timeouts) -> None:
        self.transport = transport
        self.deadlines = deadlines
        self.timeouts = timeouts
        self.deadline = NEVER
        self.request_open = False
        self.request_paused = False
        self._state = IDLE
        self._recipient: Recipient | None = None
        self._reading_paused = False

    def _touch(self) -> None:
        # Something moved.
        if not self._reading_paused:
            self.deadline = self.deadlines.now + self.timeouts.idle

    def _restart_clock(self) -> None:
        now = self.deadlines.now
        if self._reading_paused:
            self.deadline = NEVER
        elif self._state == HEAD and not self.request_open:
            self.deadline = now + self.timeouts.response
        elif self._state == HEAD and not self.request_paused:
            self.deadline = NEVER
        else:
            self.deadline = now + self.timeouts.idle

    def pause_response(self) -> None:
        """
        Read no more of the response for now.
        """
        if not self._reading_paused and self._state in (HEAD, BODY, TUNNEL):
            self._reading_paused = True
            self._restart_clock()
            self.transport.pauseProducing()

    def resume_response(self) -> None:
        """
        Read on.
        """
        if self._reading_paused:
            self._reading_paused = False
            self._restart_clock()
            self.transport.resumeProducing()

    def writing_paused(self) -> None:
        """
        The transport holds more than it should: the instance reads slowly.
        """
        self.request_paused = True
        if self._recipient is not None:
            if self.request_open:
                self._restart_clock()
            self._recipient.pause_request()

    def writing_resumed(self) -> None:
        """
        The transport can take more.
        """
        self.request_paused = False
        if self._recipient is not None:
            if self.request_open and self._state == HEAD:
                self._restart_clock()
            self._recipient.resume_request()


class PacedStream(Http2Stream):
    """
    A stream of HTTP/2, as far as pace is concerned.

    @ivar request_open: more of the request is to be sent.
    @ivar request_paused: the instance reads slowly, so no more should be sent now.
    @ivar timeouts: of the exchange.
    """

    __slots__ = (
        "_recipient",
        "_responded",
        "_streaming",
        "request_open",
        "request_paused",
        "timeouts",
    )

    def __init__(self, connection: Http2Connection) -> None:
        super().__init__(connection)
        self.request_open = False
        self.request_paused = False
        self.timeouts: Timeouts | None = None
        self._recipient: Recipient | None = None
        self._responded = False
        self._streaming = False

    def _restart_clock(self) -> None:
        timeouts = self.timeouts
        if timeouts is None or self._paused:
            self.deadline = NEVER
        elif self.request_paused or (self._responded and not self._streaming):
            self.deadline = self.connection.now + timeouts.idle
        elif self._responded or self.request_open:
            self.deadline = NEVER
        else:
            self.deadline = self.connection.now + timeouts.response

    def look(self, now: float) -> None:
        """
        See whether the instance takes too long, or just long.
        """
        if self.deadline <= now:
            self._give_time_or_up(now)
        elif self._streaming and self._recipient is not None:
            self._recipient.lasts()

    def _give_time_or_up(self, now: float) -> None:
        # An instance that reads slowly is not one that does not read.
        timeouts = self.timeouts
        if self.request_paused and timeouts is not None and self.stalled_since + timeouts.idle > now:
            self.deadline = self.stalled_since + timeouts.idle
        else:
            self.deadline_passed()

    def deadline_passed(self) -> None:
        """
        The instance took too long.
        """
        raise NotImplementedError

    def pause_response(self) -> None:
        """
        Let no more of the response come.
        """
        if not self.remote_ended:
            self.pause_receiving()
            self._restart_clock()

    def resume_response(self) -> None:
        """
        Let it come again.
        """
        if self._paused:
            self.resume_receiving()
            self._restart_clock()

    def sending_paused(self) -> None:
        """
        See L{Http2Stream.sending_paused}.
        """
        if not self.request_paused:
            self.request_paused = True
            self._restart_clock()
            if self._recipient is not None:
                self._recipient.pause_request()

    def sending_resumed(self) -> None:
        """
        See L{Http2Stream.sending_resumed}.
        """
        if self.request_paused:
            self.request_paused = False
            self._restart_clock()
            if self._recipient is not None:
                self._recipient.resume_request()
