"""
Keeping records up to date with what happens: on every gateway, each doing a part of it.

All gateways take events from one durable consumer, which remembers what was done with. An event is acknowledged once
the record of its job shows it; so one that a gateway took with it when it crashed comes again, to another. It may come
twice, late, or before an earlier one that another gateway took: what is folded into the record is not the event but the
log of its job, up to that event, in the log's order (L{siger.jobs.catching} has the reasons). So records come out the
same however many gateways there are, and the same as by replaying all logs from the beginning. Several events of one
job that come together become one write.

What cannot be read is acknowledged and logged: it would never be better. An event without a record is tried a few
times: a record that was taken away does not come back, but one may be on its way when a store was restored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field
from nats.aio.msg import Msg
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from siger.jobs.catching import CatchUp
from siger.jobs.errors import UnknownJobError
from siger.jobs.events import Event
from siger.jobs.logs import UNREADABLE, read_event
from siger.jobs.preparing import AnyConnection, Preparation
from siger.jobs.pulling import Pulling, acknowledge, hand_back
from siger.jobs.streams import EVENTS, PROJECTOR, job_of
from siger.messaging.errors import MessagingError, UnavailableError

__all__ = ["Projector"]

_log = Logger()

#: How often an event is delivered before it is given up, and seconds before the first of them comes again.
DELIVERIES: Final = 4
PAUSE: Final = 0.25


@define
class _Share:
    """
    What came for one job.
    """

    job_id: str
    events: list[tuple[int, Event]] = field(factory=list)
    messages: list[Msg] = field(factory=list)
    delivered: int = 0

    def add(self, message: Msg, sequence: int, delivered: int, event: Event) -> None:
        """
        One more.
        """
        self.events.append((sequence, event))
        self.messages.append(message)
        self.delivered = max(self.delivered, delivered)


class Projector:
    """
    One gateway's part.

    @ivar applied: events that records show.
    @ivar unreadable: what were none.
    @ivar orphans: events that were given up, most of them without a record.
    """

    def __init__(self, connection: AnyConnection, preparation: Preparation, catch_up: CatchUp) -> None:
        """
        @param preparation: L{Broker.preparation<siger.jobs.broker.Broker>}.
        """
        self.applied = self.unreadable = self.orphans = 0
        self._catch_up = catch_up
        self._owed: set[str] = set()
        self._pulling = Pulling(connection, preparation, EVENTS, PROJECTOR, self.handle)

    def start(self) -> None:
        """
        Begin, now or when there is a connection.
        """
        self._pulling.start()

    def stop(self) -> Deferred[None]:
        """
        Take no more events.

        @return: fires when the records show those that were taken.
        """
        return self._pulling.stop()

    async def handle(self, link: Any, messages: Sequence[Msg]) -> None:
        """
        Bring the records up to date that some events are about. A coroutine of asyncio's.

        @param link: the connection that they came by.
        """
        shares = self._sort(link, messages)
        # Those first that failed when a connection was lost: the server sends their events again, but only later.
        owed = [_Share(job_id) for job_id in self._owed if job_id not in shares]
        await _all([Deferred.fromCoroutine(self._apply(link, share)) for share in [*owed, *shares.values()]])

    def _sort(self, link: Any, messages: Sequence[Msg]) -> dict[str, _Share]:
        shares: dict[str, _Share] = {}
        for message in messages:
            about = message.metadata
            job_id = job_of(message.subject)
            event = read_event(job_id, message.data)
            if event.event == UNREADABLE:
                self.unreadable += 1
                _log.warn(
                    "message {number} of {subject} is no event", number=about.sequence.stream, subject=message.subject
                )
                acknowledge(link, message)
                continue
            share = shares.setdefault(job_id, _Share(job_id))
            share.add(message, about.sequence.stream, about.num_delivered or 1, event)
        return shares

    async def _apply(self, link: Any, share: _Share) -> None:
        try:
            await self._catch_up(share.job_id, share.events)
        except UnavailableError:
            self._owed.add(share.job_id)
            self._again(link, share)
        except MessagingError as error:
            self._owed.discard(share.job_id)
            self._give_up(link, share, error)
        except Exception:
            _log.failure("events of job {job_id} failed", job_id=share.job_id)
            self._give_up(link, share, None)
        else:
            self._owed.discard(share.job_id)
            self.applied += len(share.events)
            self._done(link, share)

    def _done(self, link: Any, share: _Share) -> None:
        for message in share.messages:
            acknowledge(link, message)

    def _again(self, link: Any, share: _Share) -> None:
        for message in share.messages:
            hand_back(link, message, PAUSE * 2 ** min(share.delivered - 1, 5))

    def _give_up(self, link: Any, share: _Share, error: Exception | None) -> None:
        """
        Try again, but not for ever.
        """
        if share.delivered < DELIVERIES:
            self._again(link, share)
            return
        self.orphans += len(share.events)
        why = "has no record" if isinstance(error, UnknownJobError) else f"cannot be written: {error!r}"
        _log.warn(
            "{count} events of job {job_id} are passed over, as it {why}",
            count=len(share.events),
            job_id=share.job_id,
            why=why,
        )
        self._done(link, share)


async def _all(work: Sequence[Deferred[None]]) -> None:
    """
    Wait for all of it, in a task of asyncio's. When that is cancelled, the work goes on: it fails by itself when its
    connection is lost.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(_: object) -> None:
        if not ended.done():
            ended.set_result(None)

    gatherResults(work).addBoth(end)
    await ended
