"""
Tests for L{siger.auth.workers}.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.errors import BusyError
from siger.auth.workers import Workers


class Threads:
    """
    As much of a reactor as threads need; the test's thread is its own.
    """

    def __init__(self) -> None:
        self._calls: Queue[Callable[[], object]] = Queue()

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        self._calls.put(lambda: function(*arguments))

    def turn(self) -> None:
        """
        Wait for one call of a thread, and do it.
        """
        self._calls.get(timeout=20)()


class WorkersTests(SynchronousTestCase):
    """
    Two threads, and three may wait.
    """

    def setUp(self) -> None:
        self.reactor = Threads()
        self.workers = Workers(self.reactor, 2, 3)  # type: ignore[arg-type]
        self.gate = threading.Event()
        self.started: Queue[Any] = Queue()
        self.addCleanup(self.end)

    def end(self) -> None:
        """
        Let everything run out.
        """
        self.gate.set()
        stopped = self.workers.stop()
        while not stopped.called:
            self.reactor.turn()

    def work(self, value: object) -> object:
        """
        Say that it began, and wait for the gate.
        """
        self.started.put(value)
        self.gate.wait(20)
        return value

    def run_many(self, count: int) -> list[Deferred[object]]:
        """
        Ask for more, numbered.
        """
        return [self.workers.run(self.work, number) for number in range(count)]

    def test_result(self) -> None:
        """
        What a function returns is the result, on the thread of the reactor; it ran on another.
        """
        result = self.workers.run(lambda: (threading.current_thread(), 7))
        self.assertNoResult(result)
        self.reactor.turn()
        thread, value = self.successResultOf(result)
        self.assertEqual(value, 7)
        self.assertIsNot(thread, threading.current_thread())

    def test_failure(self) -> None:
        """
        What a function raises is the failure, and its thread goes on.
        """
        for _ in range(5):
            result = self.workers.run(int, "x")
            self.reactor.turn()
            self.failureResultOf(result, ValueError)
        self.assertEqual(self.workers.running, 0)

    def test_bounded(self) -> None:
        """
        Row H12: two run, three wait, and the sixth is refused at once.
        """
        results = self.run_many(5)
        self.assertTrue(self.workers.full)
        self.failureResultOf(self.workers.run(self.work, 6), BusyError)
        self.assertEqual(repr(self.workers), "<Workers 2 running, 3 waiting>")
        self.assertEqual({self.started.get(timeout=20) for _ in range(2)}, {0, 1})
        self.assertTrue(self.started.empty())
        self.gate.set()
        for _ in range(5):
            self.reactor.turn()
        self.assertEqual([self.successResultOf(result) for result in results], [0, 1, 2, 3, 4])
        self.assertFalse(self.workers.full)

    def test_default_bounds(self) -> None:
        """
        Row H12: of a thousand at once, two run, 64 wait, and the others are refused.
        """
        workers = Workers(self.reactor, 2, 64)  # type: ignore[arg-type]
        results = [workers.run(self.work, number) for number in range(1000)]
        refused = [result for result in results if result.called]
        for result in refused:
            self.failureResultOf(result, BusyError)
        self.assertEqual(len(refused), 1000 - 66)
        self.gate.set()
        for _ in range(66):
            self.reactor.turn()
        self.successResultOf(workers.stop())
        self.assertTrue(all(result.called for result in results))

    def test_no_threads_before_work(self) -> None:
        """
        A process may fork before the first work: there is no thread until then.
        """
        before = threading.active_count()
        Workers(self.reactor, 2, 3)  # type: ignore[arg-type]
        self.assertEqual(threading.active_count(), before)

    def test_cancelled_while_waiting(self) -> None:
        """
        One that is cancelled while it waits never runs, and makes room.
        """
        results = self.run_many(5)
        results[3].cancel()
        self.failureResultOf(results[3], CancelledError)
        self.assertFalse(self.workers.full)
        self.gate.set()
        for _ in range(4):
            self.reactor.turn()
        self.assertEqual([self.started.get(timeout=20) for _ in range(4)][2:], [2, 4])

    def test_cancelled_while_running(self) -> None:
        """
        One that is cancelled while it runs keeps its thread until it ends; nobody hears of it.
        """
        results = self.run_many(2)
        results[0].cancel()
        self.failureResultOf(results[0], CancelledError)
        self.assertEqual(self.workers.running, 2)
        self.gate.set()
        self.reactor.turn()
        self.reactor.turn()
        self.assertEqual(self.workers.running, 0)
        self.assertEqual(self.successResultOf(results[1]), 1)

    def test_stop(self) -> None:
        """
        Stopping refuses what waits and what comes, lets end what runs, and fires when the threads are gone.
        """
        before = threading.active_count()
        results = self.run_many(4)
        stopped, again = self.workers.stop(), self.workers.stop()
        for result in (*results[2:], self.workers.run(self.work, 9)):
            self.failureResultOf(result, BusyError)
        self.assertNoResult(stopped)
        self.gate.set()
        self.reactor.turn()
        self.assertNoResult(stopped)
        self.reactor.turn()
        self.successResultOf(stopped)
        self.successResultOf(again)
        self.successResultOf(self.workers.stop())
        self.assertEqual([self.successResultOf(result) for result in results[:2]], [0, 1])
        self.assertEqual(threading.active_count(), before)

    def test_stop_idle(self) -> None:
        """
        What never ran is stopped at once.
        """
        self.successResultOf(Workers(self.reactor, 2, 3).stop())  # type: ignore[arg-type]

    def test_priority(self) -> None:
        """
        Row H12: on Linux the threads are of lower priority than the reactor's, which stays as it is.
        """
        if sys.platform != "linux":
            return
        mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        result = self.workers.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        self.reactor.turn()
        self.assertEqual(self.successResultOf(result), min(mine + 10, 19))
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), mine)
