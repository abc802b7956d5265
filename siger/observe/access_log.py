"""
The access log: lines for requests, written in batches.

The observer appends tuples to L{AccessLog.entries}; every tenth of a second, or when the batch is full, they become
lines and go to a L{Sink} in one piece.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from siger.observe.lines import Entry, format_entries
from siger.observe.sink import STANDARD_OUTPUT, FileSink, Sink

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["FLUSH_SECONDS", "AccessLog", "Anchor", "access_log_to"]

FLUSH_SECONDS = 0.1

Anchor = Callable[[], tuple[float, float]]
"""Reads the wall clock and the monotonic clock at one moment."""

_log = Logger()


def _clocks() -> tuple[float, float]:
    """
    The two clocks now.
    """
    return time.time(), time.monotonic()


class AccessLog:
    """
    Collects entries, and writes them from time to time.

    @ivar entries: the batch; it is always the same list, so that the observer can keep it.
    """

    def __init__(self, sink: Sink, clock: IReactorTime, anchor: Anchor = _clocks) -> None:
        self.entries: list[Entry] = []
        self._sink = sink
        self._clock = clock
        self._anchor = anchor
        self._timer: IDelayedCall | None = None
        self._failure = ""
        self._unrendered = 0

    @property
    def dropped(self) -> int:
        """
        Lines that were lost since the start.
        """
        return self._sink.dropped + self._unrendered

    def start(self) -> None:
        """
        Open the sink and start the timer; raises C{OSError} if the log cannot be opened.
        """
        self._sink.open()
        self._timer = self._clock.callLater(FLUSH_SECONDS, self._tick)

    def stop(self) -> None:
        """
        Write what there is and close the sink.
        """
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self.flush()
        self._sink.close()

    def reopen(self) -> None:
        """
        Begin a new file under the same name, for log rotation.
        """
        self.flush()
        self._sink.reopen()

    def flush(self) -> None:
        """
        Render the batch and hand it to the sink. The clocks are read anew, so steps of the wall clock show.

        A request may be what called this, so nothing that goes wrong here may reach the caller.
        """
        entries = self.entries
        if not entries:
            return
        wall, monotonic = self._anchor()
        try:
            self._sink.write(format_entries(entries, wall - monotonic), len(entries))
        except Exception:
            self._unrendered += len(entries)
            _log.failure("a batch of the access log cannot be rendered")
        entries.clear()

    def _tick(self) -> None:
        """
        Flush, look how the sink is doing, and come again.
        """
        self._timer = self._clock.callLater(FLUSH_SECONDS, self._tick)
        self.flush()
        failure = self._sink.failure
        if failure != self._failure:
            self._failure = failure
            self._report(failure)

    def _report(self, failure: str) -> None:
        """
        Say once that writing fails, and once that it works again.
        """
        if failure:
            _log.error("access log: {problem}", problem=failure)
        else:
            _log.info("access log is written again; {dropped} lines were lost so far", dropped=self.dropped)


def access_log_to(destination: str, clock: IReactorTime) -> AccessLog | None:
    """
    Make the access log that the configuration asks for.

    @param destination: a path, C{"-"} for standard output, or C{"off"}.
    """
    if destination == "off":
        return None
    return AccessLog(FileSink(STANDARD_OUTPUT if destination == "-" else destination), clock)
