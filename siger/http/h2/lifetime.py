"""
How long a client's connection lasts: until nobody needs it, the client lets nothing through, or the gateway stops.

A client pays for time with progress. One that begins nothing, ends nothing or reads nothing is given up, and a stream
that merely waits for its turn among others is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siger.http.deadlines import NEVER
from siger.http.h2.connection import Http2Connection
from siger.http.h2.constants import CANCEL, LARGEST_STREAM, NO_ERROR, PROTOCOL_ERROR
from siger.http.h2.server_stream import ServerStream
from siger.http.h2.streams import Http2Stream
from siger.http.h2.terms import Terms
from siger.http.h2.writing import Batch
from siger.http.hpack.decoder import Entry
from siger.http.transport import Transport, close, unacknowledged

if TYPE_CHECKING:
    from siger.config.settings.limits import Limits
    from siger.http.context import ChannelContext

__all__ = ["Lifetime"]


class Lifetime(Http2Connection):
    """
    A client's connection that is looked after.

    @ivar context: what it shares with HTTP/1.1 channels.
    @ivar limits: what clients may cost.
    """

    __slots__ = ("_drained_at", "_greeted", "_idle_due", "_unacknowledged", "context", "limits")

    def __init__(
        self, batch: Batch, transport: Transport, context: ChannelContext, static: list[Entry], terms: Terms
    ) -> None:
        super().__init__(batch, transport, context.deadlines, static, terms)
        limits: Limits = context.limits
        self.context = context
        self.limits = limits
        self._drained_at = NEVER
        self._greeted = False
        self._unacknowledged = -1
        self.deadline = self._idle_due = context.deadlines.now + limits.header_timeout
        context.channels.add(self)

    def _settings_acknowledged(self) -> None:
        super()._settings_acknowledged()
        if not self._greeted:
            # It has begun, and may have connected ahead of its first request.
            self._greeted = True
            self._idle_due = self.now + self.limits.keepalive_timeout

    def forget(self, stream: Http2Stream) -> None:
        """
        See L{Http2Connection.forget}.
        """
        super().forget(stream)
        if not self.streams and not self.closed:
            self._idle_due = self.now + self.limits.keepalive_timeout
            if self._drained_at == NEVER and self._block is None:
                self.deadline = self._idle_due

    def read_ended(self) -> None:
        """
        The client will send no more. Nobody waiting is the rule, as on HTTP/1.1, so work is stopped.
        """
        if self.streams:
            self.abort()
        else:
            self.end()
            close(self.transport)

    def connection_lost(self) -> None:
        """
        See L{Http2Connection.connection_lost}.
        """
        self.context.channels.discard(self)
        super().connection_lost()

    def drain(self, idle: bool) -> None:
        """
        Take no further request, in two steps, so that no request that is on its way is lost (section 6.8).

        @param idle: take the second step now: name the last request that is answered, and close when it has been.
        """
        if self.closed:
            if idle:
                close(self.transport)  # who has not closed by now is not waited for
            return
        if self._drained_at == NEVER:
            self._drained_at = self.now + 1.0
            self.write_goaway(LARGEST_STREAM, NO_ERROR)
            self.deadline = 0.0
        if idle and not self.goaway_sent:
            self.goaway_sent = True
            self.goaway_last = self._highest
            self.write_goaway(self._highest, NO_ERROR)
        if self.goaway_sent and not self.streams:
            self.end()

    def deadline_passed(self) -> None:
        """
        Look after the streams, or give up an idle connection.
        """
        now = self.now
        if self.closed:
            self.closing_passed()
            return
        if self._drained_at <= now:
            self.drain(True)
        if not self._settled or self._block is not None:
            self._watch_beginning(now)
        if self.streams:
            self._watch_streams(now)
        elif self._drained_at == NEVER:
            self._watch_idleness(now)

    def _watch_beginning(self, now: float) -> None:
        # A connection has to begin, and a header block to end, in the time that HTTP/1.1 has for a head.
        if self._block_since + self.limits.header_timeout <= now:
            self.fail(PROTOCOL_ERROR, "what was begun does not end in time")

    def _watch_idleness(self, now: float) -> None:
        if self._idle_due <= now:
            self.drain(False)
            self.drain(True)
        elif self._block is None:
            self.deadline = self._idle_due

    def _watch_streams(self, now: float) -> None:
        limit = now - self.limits.write_timeout
        moving = self.progressed > limit or (self.choked and self._is_read())
        for stream in list(self.streams.values()):
            # One that only waits for its turn among others is not the client's fault.
            if stream.stalled_since <= limit and not (moving and stream.send_window > 0):
                self._give_up(stream, moving)
            elif stream.deadline <= now and isinstance(stream, ServerStream):
                stream.deadline_passed()

    def _is_read(self) -> bool:
        # What the kernel holds may take the client as long as all else, and it tells nobody until much of it is gone.
        before, self._unacknowledged = self._unacknowledged, unacknowledged(self.transport)
        if self._unacknowledged < 0 or self._unacknowledged == before:
            return False
        self.progressed = self.now
        return True

    def writing_paused(self) -> None:
        """
        See L{Http2Connection.writing_paused}.
        """
        super().writing_paused()
        self._unacknowledged = unacknowledged(self.transport)

    def _give_up(self, stream: Http2Stream, moving: bool) -> None:
        # The client lets nothing through: on this stream, or at all.
        if self.choked and not moving:
            self.abort()
        else:
            self.reset(stream, CANCEL)
            stream.reset_received(CANCEL)
