"""
The events of jobs for those who ask over HTTP: as server-sent events (HTML, section 9.2).

All streams of a gateway are here, so that one timer is enough for them: it keeps silent ones alive, and ends those
whose token has. Nobody has more than a bounded number of them. When the gateway stops they end in an orderly way, and
their readers go on elsewhere, where they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from siger.errors import Reason
from siger.jobs.cursor import Cursor
from siger.jobs.event_stream import EventStream, set_head
from siger.jobs.feed import Feed
from siger.jobs.refusals import RefusedError

if TYPE_CHECKING:
    from siger.jobs.model import Job
    from siger.policy.identity import Identity

__all__ = ["EXPIRED", "GOODBYE", "MOST", "EventStreams", "last_event_id"]

MOST: Final = 100
"""
How many streams one user may have open at once.
"""

EXPIRED: Final = b'event: auth-expired\ndata: {"message":"The token has expired or was revoked."}\n\n'
GOODBYE: Final = b": this gateway stops; connect again\n\n"

_INTERVAL: Final = 1.0
_LARGEST: Final = 2**63 - 1

_TOO_MANY: Final = "You have as many streams of events open as you may."
_NO_ID: Final = "The id of an event is a number."


def last_event_id(request: Any) -> int:
    """
    The last event that the client has, by C{Last-Event-ID} or else by C{?from=}; 0 for none.

    @raise RefusedError: it is no event's.
    """
    field = request.requestHeaders.getRawHeaders(b"Last-Event-ID")
    # A browser keeps to the address that it was given, and says in the field how far it came.
    text: bytes = (field or request.args.get(b"from") or [b""])[-1].strip(b" \t")
    if not text:
        return 0
    if not text.isdigit() or len(text) > len(str(_LARGEST)) or int(text) > _LARGEST:
        place = ("Last-Event-ID" if field else "from", _NO_ID)
        raise RefusedError.faults(Reason.INVALID_FIELDS, "parameter", [place], _NO_ID)
    return int(text)


class EventStreams:
    """
    All streams of a gateway.
    """

    _log = Logger(namespace="siger.jobs")

    def __init__(self, feed: Feed, clock: Any, most: int = MOST, wall: Callable[[], float] = time.time) -> None:
        """
        @param most: how many one user may have.
        @param wall: the clock that tokens end by.
        """
        self._feed = feed
        self._clock = clock
        self._most = most
        self._wall = wall
        self._streams: dict[EventStream, Identity] = {}
        self._users: dict[str, int] = {}
        self._over = False
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = clock

    def __len__(self) -> int:
        return len(self._streams)

    def start(self) -> None:
        """
        Be ready to serve.
        """
        self._feed.start()
        self._ticks.start(_INTERVAL, now=False)

    def stop(self) -> None:
        """
        End all streams. Call it when the gateway begins to drain.
        """
        self._over = True
        if self._ticks.running:
            self._ticks.stop()
        for stream in list(self._streams):
            stream.end(GOODBYE)
        self._feed.stop()

    def serve(self, request: Any, job: Job) -> Deferred[bytes]:
        """
        Answer with the events of a job, as they come.

        @param request: of somebody who may see the job.
        @return: what remains to be written when everything was told.
        @raise RefusedError: nothing is told.
        """
        if self._over:
            raise RefusedError(Reason.DRAINING)
        identity: Identity = request.identity
        if self._users.get(identity.user_id, 0) >= self._most:
            raise RefusedError(Reason.RATE_LIMITED, _TOO_MANY)
        cursor = Cursor(job, last_event_id(request))
        if request.method == b"HEAD":
            set_head(request)
            return succeed(b"")
        stream = EventStream(self._feed, request, cursor, job.event_seq, self._clock)
        request.notifyFinish().addErrback(lambda _: stream.end())
        self._enter(stream, identity)
        return Deferred.fromCoroutine(stream.run()).addBoth(self._left, stream)

    def _enter(self, stream: EventStream, identity: Identity) -> None:
        self._streams[stream] = identity
        self._users[identity.user_id] = self._users.get(identity.user_id, 0) + 1

    def _left(self, result: Any, stream: EventStream) -> Any:
        user_id = self._streams.pop(stream).user_id
        self._users[user_id] -= 1
        if not self._users[user_id]:
            del self._users[user_id]
        return result

    def _tick(self) -> None:
        now, wall = self._clock.seconds(), self._wall()
        for stream, identity in list(self._streams.items()):
            try:
                if identity.expires <= wall:
                    stream.end(EXPIRED)
                else:
                    stream.look(now)
            except Exception:
                self._log.failure("a stream of events failed")
