"""
One reader's stream of the events of a job, as server-sent events.

Theory of operation. A stream is a loop: wait until there may be something to read and the client reads, read a batch,
tell what is to be told of it. Between the rounds it holds a position and no event, whether it waits for the job, for a
client that is slow, or for NATS. What was read and the client does not take at once is let go, and read again.

    it is woken, with a sequence    read until that has come, for a while: another server of a cluster may be behind
    it is woken anyhow              read until nothing more comes
    a read fails                    try again
    it is over                      the job is, the token is, the gateway is, or the client has gone
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from siger.errors import Reason
from siger.jobs.cursor import Cursor
from siger.jobs.events import Event
from siger.jobs.feed import BATCH, Entries, Feed
from siger.jobs.refusals import RefusedError, unavailable
from siger.messaging.errors import MessagingError

__all__ = ["HEARTBEAT", "KEEP_ALIVE", "RETRY", "EventStream", "frame", "set_head"]

T = TypeVar("T")

RETRY: Final = b"retry: 2000\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"
HEARTBEAT: Final = 15.0
"""
Seconds of silence after which something is said, so that nobody on the way believes the connection dead.
"""

_HEAD: Final = (
    (b"Content-Type", b"text/event-stream; charset=utf-8"),
    (b"Cache-Control", b"no-store"),
    (b"X-Accel-Buffering", b"no"),
    (b"Incremental", b"?1"),  # whoever is on the way shall pass on what there is (RFC 10036)
)
#: Bytes after which a look is taken whether the client keeps up.
_CHUNK: Final = 16384
#: Seconds until a read that failed is tried again.
_PAUSE: Final = 1.0
#: Seconds until an entry that should be there is looked for again, at first and at last, and how often.
_SOON: Final = 0.02
_LATER: Final = 2.0
_PATIENCE: Final = 8


def frame(event: Event, sequence: int | None = None) -> bytes:
    """
    An event as it is sent. JSON has no line breaks, and the kinds of events are known words.
    """
    place = b"" if sequence is None else b"id: %d\n" % sequence
    return b"%bevent: %b\ndata: %b\n\n" % (place, event.event.encode("ascii"), event.to_json())


def set_head(request: Any) -> None:
    """
    Set the header fields of a stream.
    """
    for name, value in _HEAD:
        request.setHeader(name, value)


@implementer(IPushProducer)
class EventStream:
    """
    A stream.
    """

    __slots__ = (
        "_again",
        "_asleep",
        "_clock",
        "_cursor",
        "_farewell",
        "_feed",
        "_newest",
        "_opened",
        "_over",
        "_paused",
        "_request",
        "_spoken",
        "_to_the_end",
        "_vain",
        "_waiting",
    )

    def __init__(self, feed: Feed, request: Any, cursor: Cursor, newest: int, clock: IReactorTime) -> None:
        """
        @param newest: the sequence of the last entry that is known of.
        """
        self._feed = feed
        self._request = request
        self._cursor = cursor
        self._newest = newest
        self._clock = clock
        self._spoken = clock.seconds()
        self._to_the_end = True
        self._vain = 0
        self._opened = self._paused = self._over = self._asleep = False
        self._farewell = b""
        self._waiting: Deferred[Any] | None = None
        self._again: IDelayedCall | None = None

    # From its beginning to its end

    async def run(self) -> bytes:
        """
        Tell everything.

        @return: what is to be said at last.
        @raise RefusedError: it cannot even begin.
        """
        forget = self._feed.watch(self._cursor.job_id, self)
        try:
            await self._begin()
            while not self._over and not self._cursor.ended:
                await self._advance()
        except CancelledError:
            if not self._over:
                raise
        finally:
            forget()
            self._calm()
            if self._opened:
                self._request.unregisterProducer()
        return self._end()

    def end(self, farewell: bytes = b"") -> None:
        """
        End before everything is told.

        @param farewell: what is said at last.
        """
        if not self._over:
            self._over = True
            self._farewell = farewell
            if self._waiting is not None:
                self._waiting.cancel()

    async def _begin(self) -> None:
        """
        Find the place where the reader goes on, and open the stream unless there is nothing more.
        """
        rest: Entries = []
        while self._to_the_end and not rest and not self._cursor.ended:
            try:
                batch = await self._read()
            except MessagingError as error:
                raise unavailable() from error
            rest = self._skip(batch)
        if not self._over and not self._cursor.ended:
            self._open()
            self._tell(rest)

    def _skip(self, batch: Entries) -> Entries:
        """
        Look at entries that the reader has.

        @return: those that it has not.
        """
        for sequence, event in batch:
            if sequence <= self._cursor.after:
                self._cursor.take(sequence, event)
        return [] if self._cursor.ended else [entry for entry in batch if entry[0] > self._cursor.after]

    def _open(self) -> None:
        set_head(self._request)
        self._opened = True
        self._request.registerProducer(self, True)
        self._say(RETRY if self._cursor.after else RETRY + frame(self._cursor.beginning()))

    def _end(self) -> bytes:
        if not self._opened:
            if self._over:
                raise RefusedError(Reason.DRAINING)
            # A browser goes on to connect again after anything else (HTML, section 9.2).
            self._request.setResponseCode(204)
        return self._farewell

    # Reading

    async def _advance(self) -> None:
        """
        Wait until there is something to read, and tell it.
        """
        while not self._ready():
            await self._sleep()
        try:
            batch = await self._read()
        except MessagingError:
            self._to_the_end = True
            self._try_again(_PAUSE)
            return
        if batch:
            self._vain = 0
            self._tell(batch)
        elif self._cursor.position < self._newest:
            self._look_again()

    async def _read(self) -> Entries:
        to_the_end, self._to_the_end = self._to_the_end, False
        at_least = None if to_the_end else self._newest
        batch = await self._wait(self._feed.read(self._cursor.job_id, self._cursor.position, at_least))
        self._to_the_end |= to_the_end and len(batch) == BATCH
        if batch:
            self._newest = max(self._newest, batch[-1][0])
        return batch

    def _look_again(self) -> None:
        """
        Something should have been there.
        """
        self._vain += 1
        if self._vain <= _PATIENCE:
            self._try_again(min(_LATER, _SOON * 2.0**self._vain))
            return
        self._vain, self._newest = 0, self._cursor.position
        last = self._cursor.give_up()
        if last is not None:
            sequence, event = last
            self._say(frame(event, sequence))

    def _tell(self, batch: Entries) -> None:
        """
        Tell of entries, as long as the client takes them.
        """
        told: list[bytes] = []
        size = 0
        for sequence, event in batch:
            if self._paused or self._over:
                break
            said = self._cursor.take(sequence, event)
            if said is not None:
                told.append(frame(said, sequence))
                size += len(told[-1])
            if size > _CHUNK:
                self._say(b"".join(told))
                told, size = [], 0
        if told:
            self._say(b"".join(told))

    def _say(self, data: bytes) -> None:
        self._spoken = self._clock.seconds()
        self._request.write(data)

    # Waiting

    def _ready(self) -> bool:
        if self._paused or self._again is not None:
            return False
        return self._to_the_end or self._cursor.position < self._newest

    async def _wait(self, deferred: Deferred[T]) -> T:
        """
        Wait for something that L{end} ends.
        """
        self._waiting = deferred
        try:
            return await deferred
        finally:
            self._waiting = None
            self._asleep = False

    async def _sleep(self) -> None:
        self._asleep = True
        await self._wait(Deferred())

    def _stir(self) -> None:
        if self._asleep and self._waiting is not None and self._ready():
            self._waiting.callback(None)

    def _try_again(self, seconds: float) -> None:
        self._again = self._clock.callLater(seconds, self._now)

    def _now(self) -> None:
        self._again = None
        self._stir()

    def _calm(self) -> None:
        again, self._again = self._again, None
        if again is not None:
            again.cancel()

    # What others say

    def wake(self, sequence: int) -> None:
        """
        There is an entry with this sequence.
        """
        self._newest = max(self._newest, sequence)
        self._stir()

    def wake_anyhow(self) -> None:
        """
        There may be something.
        """
        self._to_the_end = True
        self._calm()
        self._stir()

    def look(self, now: float) -> None:
        """
        Break a silence that has lasted too long. What might have been missed meanwhile is looked for, too.
        """
        if self._opened and not self._paused and now - self._spoken >= HEARTBEAT:
            self._say(KEEP_ALIVE)
            self.wake_anyhow()

    def pauseProducing(self) -> None:
        """
        The client reads slowly.
        """
        self._paused = True

    def resumeProducing(self) -> None:
        """
        The client has caught up.
        """
        self._paused = False
        self._stir()

    def stopProducing(self) -> None:
        """
        Nothing more can be sent.
        """
        self.end()
