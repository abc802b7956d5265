"""
Reading the logs of jobs.

A log is read in batches, from whichever server answers first. In a cluster that may be one that is a little behind, so
the end of a log is asked of the stream's leader: what was acknowledged before the question is in the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
from nats.aio.msg import Msg
from twisted.internet.defer import Deferred, fail

from siger.jobs.answers import NO_MESSAGE, ApiError, check, read_stored, sequence_of
from siger.jobs.events import BY_GATEWAYS, Event
from siger.jobs.members import BrokenError
from siger.jobs.preparing import AnyConnection, Preparation
from siger.jobs.streams import EVENTS, event_subject
from siger.messaging.errors import NobodyAnswersError, UnavailableError

__all__ = ["UNREADABLE", "Entries", "Logs", "read_event"]

Entries = list[tuple[int, Event]]

UNREADABLE: Final = "unreadable"
"""
The C{event} of what is none. It means nothing, but it has its place in the log.
"""

_ANY: Final = f"$JS.API.DIRECT.GET.{EVENTS}"
_LEADER: Final = f"$JS.API.STREAM.MSG.GET.{EVENTS}"
_NEVER: Final = "1970-01-01T00:00:00.000Z"
_MOST: Final = 1000


def read_event(job_id: str, content: bytes) -> Event:
    """
    Read an entry of a job's log. Whatever it is, it is read: somebody else's mistake must not stop those behind it.
    """
    try:
        event = Event.from_json(content)
    except BrokenError:
        event = None
    if event is None or event.job_id != job_id:
        return Event(job_id, UNREADABLE, BY_GATEWAYS, _NEVER)
    return event


class Logs:
    """
    All logs.
    """

    def __init__(self, connection: AnyConnection, preparation: Preparation) -> None:
        self._connection = connection
        self._preparation = preparation

    def last(self, job_id: str) -> Deferred[tuple[Event, int] | None]:
        """
        The last entry of a log and its sequence: as it is on the leader now.
        """
        return self._run(self._last(job_id))

    def read(self, job_id: str, after: int, limit: int = 100, at_least: int | None = None) -> Deferred[Entries]:
        """
        Entries of a log, in their order.

        @param after: the sequence after which they begin.
        @param limit: how many at most. Fewer are all.
        @param at_least: a sequence in this log: what comes after it need not be looked for on the leader, and may be
            missing.
        """
        return self._run(self._read(job_id, after, limit, at_least))

    def _run(self, work: Any) -> Deferred[Any]:
        if self._connection.link is None:
            work.close()
            self._connection.errors += 1
            return fail(UnavailableError("not connected to NATS"))
        return Deferred.fromCoroutine(work)

    async def _last(self, job_id: str) -> tuple[Event, int] | None:
        found = await self._from_leader(job_id, {"last_by_subj": event_subject(job_id)})
        return None if found is None else (found[1], found[0])

    async def _read(self, job_id: str, after: int, limit: int, at_least: int | None) -> Entries:
        found = await self._from_any(job_id, after, limit)
        end = found[-1][0] if found else after
        if len(found) < limit and (at_least is None or end < at_least):
            await self._complete(job_id, end, limit, found)
        return found

    async def _from_any(self, job_id: str, after: int, limit: int) -> Entries:
        """
        Entries as any server has them, without a gap.
        """
        found: Entries = []
        more = True
        while more and len(found) < limit:
            question = {
                "seq": after + 1,
                "next_by_subj": event_subject(job_id),
                "batch": min(limit - len(found), _MOST),
            }
            try:
                messages = await self._link().pipeline.gather(_ANY, orjson.dumps(question))
            except NobodyAnswersError:
                self._preparation.forget()
                break
            batch, more = _batch(job_id, after, messages)
            found += batch
            after = found[-1][0] if found else after
        return found

    async def _complete(self, job_id: str, after: int, limit: int, found: Entries) -> None:
        while len(found) < limit:
            entry = await self._from_leader(job_id, {"seq": after + 1, "next_by_subj": event_subject(job_id)})
            if entry is None:
                return
            found.append(entry)
            after = entry[0]

    async def _from_leader(self, job_id: str, question: dict[str, Any]) -> tuple[int, Event] | None:
        answer = await self._ask_leader(orjson.dumps(question))
        try:
            check(answer)
        except ApiError as error:
            if error.number == NO_MESSAGE:
                return None
            raise
        sequence, _, content = read_stored(answer)
        return sequence, read_event(job_id, content)

    async def _ask_leader(self, question: bytes) -> dict[str, Any]:
        await self._preparation.prepare()
        try:
            answer = orjson.loads((await self._link().pipeline.ask(_LEADER, question)).data)
        except NobodyAnswersError:
            self._preparation.forget()
            raise
        except orjson.JSONDecodeError as error:
            raise UnavailableError("an answer that is not JSON") from error
        if not isinstance(answer, dict):
            raise UnavailableError("an answer that is not an object")
        return answer

    def _link(self) -> Any:
        if self._connection.link is None:
            raise UnavailableError("the connection was lost")
        return self._connection.link


def _batch(job_id: str, after: int, messages: Sequence[Msg]) -> tuple[Entries, bool]:
    """
    What the messages of a batch are, and whether there is more.
    """
    found: Entries = []
    for message in messages:
        headers = message.headers or {}
        if "Status" in headers:
            if headers["Status"] not in ("204", "404"):
                raise UnavailableError(f"the server says {headers['Status']}")
            return found, headers["Status"] == "204" and headers.get("Nats-Num-Pending") != "0"
        if found and headers.get("Nats-Last-Sequence") != str(after):
            raise UnavailableError("part of a log did not arrive")
        after = sequence_of(message)
        found.append((after, read_event(job_id, message.data)))
    return found, True  # a server before 2.11 answers with one
