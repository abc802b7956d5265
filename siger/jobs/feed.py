"""
The live side of the logs: one subscription for a whole gateway, which only wakes those who read.

What is news is never kept here. A reader that is woken reads the log of its job from where it is, in batches, so it
makes no difference to it whether it slept, was slow, came from another gateway or missed something while NATS was away:
after an outage everybody is woken. Readers that want the same entries share one read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.python.failure import Failure

from siger.jobs.events import Event

__all__ = ["BATCH", "AnyLog", "Entries", "Feed", "Reader"]

Entries = list[tuple[int, Event]]
_Place = tuple[str, int, bool]

BATCH: Final = 100
"""
The most entries that are read at once.
"""

READS: Final = 16
"""
How many reads go on at once: after an outage everybody wants one.
"""


class AnyLog(Protocol):
    """
    What is needed of L{siger.jobs.broker.Broker}.
    """

    def read_events(
        self, job_id: str, after: int, limit: int = BATCH, at_least: int | None = None
    ) -> Deferred[Entries]:
        """
        Read entries of a log in their order. Fewer than the limit are all, or all up to one that is known to be there.
        """

    def on_position(self, callback: Callable[[str, int], object]) -> Callable[[], None]:
        """
        Tell of the job and the sequence of every new entry.
        """

    def on_reset(self, callback: Callable[[], object]) -> Callable[[], None]:
        """
        Tell when new entries may not have been told of.
        """


class Reader(Protocol):
    """
    Somebody who reads the log of a job.
    """

    def wake(self, sequence: int) -> None:
        """
        There is an entry with this sequence.
        """

    def wake_anyhow(self) -> None:
        """
        There may be something.
        """


@define(eq=False)
class _Read:
    """
    A read that somebody waits for.
    """

    job_id: str
    after: int
    at_least: int | None
    waiting: dict[Deferred[Entries], None] = field(factory=dict)

    def wait(self) -> Deferred[Entries]:
        """
        Wait for it. To cancel is to wait no longer.
        """
        answer: Deferred[Entries] = Deferred(lambda gone: self.waiting.pop(gone, None))
        self.waiting[answer] = None
        return answer

    def answered(self, result: Entries | Failure) -> None:
        """
        Pass it on to those who wait.
        """
        for answer in list(self.waiting):
            if answer.called:  # what another made of the answer was to make this one leave
                continue
            if isinstance(result, Failure):
                answer.errback(result)
            else:
                answer.callback(result)


class Feed:
    """
    What happens in all logs, as one gateway hears of it.
    """

    def __init__(self, broker: AnyLog, reads: int = READS) -> None:
        """
        @param reads: how many may go on at once.
        """
        self._broker = broker
        self._gate = DeferredSemaphore(reads)
        self._readers: dict[str, dict[Reader, None]] = {}
        self._joinable: dict[_Place, _Read] = {}
        self._forget: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return sum(map(len, self._readers.values()))

    def start(self) -> None:
        """
        Begin to listen.
        """
        if not self._forget:
            self._forget = [self._broker.on_position(self._event), self._broker.on_reset(self._reset)]

    def stop(self) -> None:
        """
        Listen no longer.
        """
        forget, self._forget = self._forget, []
        for each in forget:
            each()

    def watch(self, job_id: str, reader: Reader) -> Callable[[], None]:
        """
        Have a reader woken.

        @return: ends that.
        """
        self._readers.setdefault(job_id, {})[reader] = None

        def forget() -> None:
            readers = self._readers.get(job_id, {})
            readers.pop(reader, None)
            if not readers:
                self._readers.pop(job_id, None)

        return forget

    def _event(self, job_id: str, sequence: int) -> None:
        for reader in list(self._readers.get(job_id, ())):
            reader.wake(sequence)

    def _reset(self) -> None:
        for readers in list(self._readers.values()):
            for reader in list(readers):
                reader.wake_anyhow()

    def read(self, job_id: str, after: int, at_least: int | None = None) -> Deferred[Entries]:
        """
        Read entries of a log. The list is others' as well.

        @param at_least: a sequence that is known to be in it, if nothing after that is looked for.
        @return: fewer than L{BATCH} when there are no more, or none known of.
        """
        place = (job_id, after, at_least is None)
        read = self._joinable.get(place)
        if read is not None:
            return read.wait()
        read = self._joinable[place] = _Read(job_id, after, at_least)
        answer = read.wait()
        self._gate.run(self._ask, place, read).addBoth(self._answered, place, read)
        return answer

    def _ask(self, place: _Place, read: _Read) -> Deferred[Entries]:
        if read.at_least is None:
            # Who comes from now on may know of nothing that this does not find any more. Who knows of something sees.
            del self._joinable[place]
        if not read.waiting:
            return succeed([])
        return self._broker.read_events(read.job_id, read.after, BATCH, read.at_least)

    def _answered(self, result: Entries | Failure, place: _Place, read: _Read) -> None:
        if self._joinable.get(place) is read:
            del self._joinable[place]
        read.answered(result)
