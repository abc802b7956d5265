"""
What a consumer of a bucket's stream sends, told to a mirror. No sockets and no time of its own.

Theory of operation. The server numbers what it sends to a consumer. When a number is missing, or when a heartbeat names
another number than the last that came, something was lost, and everything has to be told again from the beginning.
Everything has been told when a message says that none is waiting behind it, when as many came as were waiting at the
beginning, or when the server has time for a heartbeat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from attrs import frozen
from nats.aio.msg import Msg
from nats.errors import NotJSMessageError

from siger.messaging.errors import UnavailableError
from siger.messaging.mirror import Entry

__all__ = ["Change", "FlowControl", "GapError", "Heartbeat", "Telling", "Told", "interpret", "is_deletion"]

_OPERATION: Final = "KV-Operation"
_MARKER: Final = "Nats-Marker-Reason"
_LAST_CONSUMER: Final = "Nats-Last-Consumer"
_STALLED: Final = "Nats-Consumer-Stalled"
_STATUS: Final = "Status"
_CONTROL: Final = "100"


class Told(Protocol):
    """
    What is told: a L{Mirror<siger.messaging.mirror.Mirror>} takes all of it in.
    """

    def begin(self) -> None:
        """
        Everything is told from the beginning.
        """

    def received(self, entry: Entry, expires_in: float | None = None) -> None:
        """
        Something changed.
        """

    def complete(self) -> None:
        """
        Everything has been told.
        """

    def lost(self) -> None:
        """
        Nothing can be told for now.
        """


class GapError(Exception):
    """
    Something that the server sent did not arrive.
    """


@frozen
class Change:
    """
    A message of the bucket's.

    @ivar place: its number among all that were sent to the consumer, from 1.
    @ivar waiting: how many more wait to be sent.
    @ivar stored: when it was stored, in seconds of the server's clock.
    """

    entry: Entry
    place: int
    waiting: int
    stored: float


@frozen
class Heartbeat:
    """
    The server has nothing to send, or waits before it sends more.

    @ivar last: the number of the last message that it sent.
    @ivar answer: where it waits for an answer before it goes on; or C{""}.
    """

    last: int
    answer: str


@frozen
class FlowControl:
    """
    The server asks whether everything before this has arrived.

    @ivar answer: where it waits for the answer.
    """

    answer: str


def is_deletion(headers: Mapping[str, str]) -> bool:
    """
    Whether a message says that its key is gone: deleted by a client, or removed by the server.
    """
    return headers.get(_OPERATION, "").strip() in ("DEL", "PURGE") or _MARKER in headers


def interpret(message: Msg, prefix: str) -> Change | Heartbeat | FlowControl | None:
    """
    Say what a message is.

    @param prefix: what the subjects of the bucket's keys begin with.
    @return: C{None} for what does not matter here.
    @raise UnavailableError: when it makes no sense.
    """
    headers = message.headers or {}
    try:
        if headers.get(_STATUS) != _CONTROL or message.data:
            return _change(message, headers, prefix)
        if message.reply:
            return FlowControl(message.reply)
        if _LAST_CONSUMER in headers:
            return Heartbeat(int(headers[_LAST_CONSUMER]), headers.get(_STALLED, ""))
    except (NotJSMessageError, ValueError, IndexError) as error:
        raise UnavailableError("a message that makes no sense") from error
    return None


def _change(message: Msg, headers: Mapping[str, str], prefix: str) -> Change:
    about = message.metadata
    value = None if is_deletion(headers) else bytes(message.data)
    entry = Entry(message.subject.removeprefix(prefix), value, about.sequence.stream)
    return Change(entry, about.sequence.consumer, about.num_pending, about.timestamp.timestamp())


class Telling:
    """
    Tells what one consumer sends.
    """

    def __init__(self, mirror: Told, ttl: float = 0.0, now: Callable[[], float] = time.time) -> None:
        """
        @param ttl: seconds that a record lives; 0: for ever.
        @param now: the wall clock, as the server's times are of one.
        """
        self._mirror = mirror
        self._ttl = ttl
        self._now = now
        self._place = 0
        self._expected: int | None = None
        self._complete = False
        mirror.begin()

    def expect(self, waiting: int) -> None:
        """
        So many messages were waiting when the consumer was made.
        """
        self._expected = waiting
        self._look()

    def change(self, change: Change) -> None:
        """
        A message came.

        @raise GapError: when another should have come before.
        """
        if change.place != self._place + 1:
            raise GapError(f"number {change.place} after {self._place}")
        self._place = change.place
        left = max(0.0, self._ttl - max(0.0, self._now() - change.stored)) if self._ttl else None
        self._mirror.received(change.entry, left)
        if change.waiting == 0:
            self._finish()
        else:
            self._look()

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """
        A heartbeat came.

        @raise GapError: when a message should have come before.
        """
        if heartbeat.last != self._place:
            raise GapError(f"a heartbeat after {heartbeat.last}, but {self._place} came last")
        if not heartbeat.answer:
            self._finish()

    def _look(self) -> None:
        if self._expected is not None and self._place >= self._expected:
            self._finish()

    def _finish(self) -> None:
        if not self._complete:
            self._complete = True
            self._mirror.complete()
