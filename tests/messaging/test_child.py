"""
Tests of L{siger.messaging.child}.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.error import ProcessTerminated
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.child import Child
from siger.messaging.directory import ServerDirectory
from tests.messaging.process_reactor import ProcessReactor


class ChildTests(SynchronousTestCase):
    """
    One run of the process.
    """

    def setUp(self) -> None:
        """
        A process that runs.
        """
        self.reactor = ProcessReactor()
        self.directory = ServerDirectory(Path(self.mktemp()))
        self.directory.prepare()
        self.directory.acquire()
        self.addCleanup(self.directory.release)
        self.printed: list[bytes] = []
        self.ends: list[Failure] = []
        self.child = Child(self.reactor, self.printed.append, self.ends.append)
        self.child.run("/opt/nats-server", self.directory)
        (self.process,) = self.reactor.processes

    def test_command(self) -> None:
        """
        The program is run with the configuration's path alone: no secret is on the command line.
        """
        self.assertEqual(self.process.command[-3:], ["/opt/nats-server", "-c", str(self.directory.configuration)])

    def test_environment(self) -> None:
        """
        It sees little of the gateway's environment.
        """
        self.assertLess(set(self.process.environment), set(os.environ))

    def test_descriptors(self) -> None:
        """
        It inherits the lock, can read nothing, and its output comes to us.
        """
        self.assertEqual(self.process.descriptors, {0: "w", 1: "r", 2: "r", 3: self.directory.lock})
        self.assertFalse(self.process.stdin_open)

    def test_output(self) -> None:
        """
        Its lines are passed on, the last one even when it is not finished.
        """
        self.process.prints("one\ntw")
        self.assertEqual(self.printed, [b"one"])
        self.process.ends()
        self.assertEqual(self.printed, [b"one", b"tw"])

    def test_end(self) -> None:
        """
        Its end is told with the reason.
        """
        self.process.ends(3)
        (reason,) = self.ends
        self.assertTrue(reason.check(ProcessTerminated))

    def test_stop(self) -> None:
        """
        It is asked to end, and left alone when it does.
        """
        self.child.stop()
        self.reactor.advance(4.9)
        self.assertEqual(self.process.signals, ["TERM"])
        self.process.ends(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stubborn(self) -> None:
        """
        It is killed when it has not ended after five seconds.
        """
        self.child.stop()
        self.reactor.advance(5)
        self.assertEqual(self.process.signals, ["TERM", "KILL"])
        self.process.ends(9)
        self.assertEqual(len(self.ends), 1)

    def test_gone_before(self) -> None:
        """
        To stop one that has just gone is no error.
        """
        self.process.alive = False
        self.child.stop()
        self.assertEqual(self.process.signals, [])
        self.process.ends(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
