"""
Tests for L{siger.transports.signals}.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from twisted.internet import process
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.transports.peers import TransportTestCase


class ChildTests(TransportTestCase):
    """
    Child processes are noticed when they end.
    """

    async def test_spawned(self) -> None:
        """
        The end of a process that the reactor started is told, with its status, even when nothing else happens and its
        pipes tell nothing.
        """
        ended: Deferred[Failure] = Deferred()

        class Ending(ProcessProtocol):
            def processEnded(self, reason: Failure) -> None:
                ended.callback(reason)

        self.reactor.spawnProcess(Ending(), sys.executable, [sys.executable, "-c", "exit(3)"], childFDs={})
        # A Deferred that fires with a failure is one that fails.
        with self.assertRaises(Exception) as raised:
            await ended
        self.assertEqual(raised.exception.exitCode, 3)

    async def test_others(self) -> None:
        """
        A process that somebody else started is left to them.
        """
        with subprocess.Popen([sys.executable, "-c", "exit(4)"]) as other:
            await self.until(lambda: other.poll() is not None)
            self.assertEqual(other.returncode, 4)
        self.assertEqual(process.reapProcessHandlers, {})

    def test_handler(self) -> None:
        """
        The reactor of this test run handles the signal.
        """
        self.assertNotIn(signal.getsignal(signal.SIGCHLD), (signal.SIG_DFL, signal.SIG_IGN, None))
