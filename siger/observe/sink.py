"""
Where the access log's batches go: a file or standard output, written by a thread of its own.

A disk that is full, a pipe that nobody reads or a volume that has stopped answering must not touch a request. So the
reactor only puts a batch on a queue; the thread makes the one C{write} call. What waits is bounded in bytes, and beyond
that, or where writing fails, lines are dropped and counted. The thread costs one hand-over a batch, nothing a line.

No lock is needed: each counter is written by one side only.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from attrs import define

__all__ = ["MAX_WAITING", "STANDARD_OUTPUT", "FileSink", "Sink"]

MAX_WAITING = 8 * 1024 * 1024
"""Bytes that may wait for a slow device: some 25,000 lines, about a second at full speed."""

STANDARD_OUTPUT = 1
"""The descriptor, rather than C{sys.stdout}, which twistd replaces by its own log."""


class Sink(Protocol):
    """
    Takes batches of lines.

    @ivar dropped: lines that were lost.
    @ivar failure: why the last batch could not be written, C{""} if it was.
    """

    @property
    def dropped(self) -> int: ...

    @property
    def failure(self) -> str: ...

    def open(self) -> None:
        """
        Begin; raises C{OSError} if there is nothing to write to.
        """

    def write(self, batch: bytes, lines: int) -> None:
        """
        Take a batch, in no time.
        """

    def reopen(self) -> None:
        """
        Let go of a file that was renamed, and begin a new one under the old name.
        """

    def close(self) -> None:
        """
        Write what waits, if that can be done soon, and end.
        """


@define(eq=False)
class _Close:
    """
    The thread's last order.
    """


@define(eq=False)
class _Reopen:
    """
    An order to open the path anew.
    """


class FileSink:
    """
    A L{Sink} over a path or a descriptor.
    """

    def __init__(self, target: str | int, max_waiting: int = MAX_WAITING, patience: float = 1.0) -> None:
        """
        @param target: a path, or an open descriptor that stays somebody else's.
        @param max_waiting: how many bytes may wait to be written.
        @param patience: seconds to wait for a non-blocking descriptor that takes nothing.
        """
        self._target = target
        self._max_waiting = max_waiting
        self._patience = patience
        self._descriptor = -1
        self._orders: SimpleQueue[bytes | _Reopen | _Close] = SimpleQueue()
        self._thread: Thread | None = None
        self._taken = 0
        self._done = 0
        self._refused = 0
        self._lost = 0
        self._torn = False
        self._failure = ""

    @property
    def dropped(self) -> int:
        """
        Lines that did not fit the queue, or could not be written.
        """
        return self._refused + self._lost

    @property
    def failure(self) -> str:
        """
        Why the last batch could not be written, C{""} if it was.
        """
        return self._failure

    def open(self) -> None:
        """
        Open the target and start the thread.
        """
        self._descriptor = self._open()
        self._thread = Thread(target=self._run, name="siger-access-log", daemon=True)
        self._thread.start()

    def write(self, batch: bytes, lines: int) -> None:
        """
        Queue a batch, or drop it if too much waits already.
        """
        if self._taken - self._done + len(batch) > self._max_waiting:
            self._refused += lines
            return
        self._taken += len(batch)
        self._orders.put(batch)

    def reopen(self) -> None:
        """
        Open the path anew once what waits now is written.
        """
        self._orders.put(_Reopen())

    def close(self, timeout: float = 2.0) -> None:
        """
        Give the thread a moment to write what waits. One that hangs in a write ends with the process.
        """
        if self._thread is None:
            return
        self._orders.put(_Close())
        self._thread.join(timeout)
        self._thread = None

    def _open(self) -> int:
        """
        A descriptor for the target. The file is for appending, so several processes can share it line by line.
        """
        if isinstance(self._target, int):
            return self._target
        Path(self._target).parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def _run(self) -> None:
        """
        Obey orders, in the thread.
        """
        while True:
            order = self._orders.get()
            if isinstance(order, bytes):
                self._write(order)
                self._done += len(order)
            elif isinstance(order, _Reopen):
                self._replace()
            else:
                self._release()
                return

    def _replace(self) -> None:
        """
        Swap descriptors; if the path cannot be opened the old one goes on serving.
        """
        try:
            fresh = self._open()
        except OSError as error:
            self._failure = f"cannot reopen: {error}"
            return
        self._release()
        self._descriptor = fresh
        self._torn = False

    def _release(self) -> None:
        """
        Close the descriptor, unless it is somebody else's.
        """
        if not isinstance(self._target, int):
            os.close(self._descriptor)

    def _write(self, batch: bytes) -> None:
        """
        Write a batch; what cannot be written is lost. A line torn by a failure is ended before the next begins.
        """
        rest = b"\n" + batch if self._torn else batch
        self._torn = False
        try:
            while rest:
                written = self._write_some(rest)
                self._torn = rest[written - 1] != 0x0A
                rest = rest[written:]
        except OSError as error:
            self._lost += rest.count(b"\n")
            self._failure = str(error)
        else:
            self._failure = ""

    def _write_some(self, data: bytes) -> int:
        """
        One write. A descriptor that another process made non-blocking is waited for, but not for ever.
        """
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            if not select.select([], [self._descriptor], [], self._patience)[1]:
                raise
            return os.write(self._descriptor, data)
