"""
One run of the nats-server process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from siger.messaging.directory import ServerDirectory
from siger.messaging.output import Lines
from siger.messaging.program import environment, guarded

__all__ = ["Child"]

_GRACE: Final = 5.0
"""
Seconds from asking the server to end to ending it. With every write on disk, there is nothing that could be lost.
"""


class Child(ProcessProtocol):
    """
    Runs nats-server once.
    """

    def __init__(
        self, reactor: Any, take_line: Callable[[bytes], object], take_end: Callable[[Failure], object]
    ) -> None:
        """
        @param take_line: called with each line that it prints.
        @param take_end: called with the reason when it has gone, and everything that it printed has been read.
        """
        self._reactor = reactor
        self._take_end = take_end
        self._lines = {descriptor: Lines(take_line) for descriptor in (1, 2)}
        self._killing: IDelayedCall | None = None

    def run(self, program: str, directory: ServerDirectory) -> None:
        """
        Start it.

        @raise OSError: when there can be no more processes.
        """
        command = guarded([program, "-c", str(directory.configuration)], os.getpid())
        # The server inherits the lock: the directory is in use for as long as one of the two lives.
        descriptors = {0: "w", 1: "r", 2: "r", 3: directory.lock}
        self._reactor.spawnProcess(self, command[0], command, env=environment(os.environ), childFDs=descriptors)

    def stop(self) -> None:
        """
        Ask it to end, and make it if it does not.
        """
        self._killing = self._reactor.callLater(_GRACE, self._signal, "KILL")
        self._signal("TERM")

    def _signal(self, name: str) -> None:
        assert self.transport is not None
        with suppress(ProcessExitedAlready):  # we are about to hear of it
            self.transport.signalProcess(name)

    def connectionMade(self) -> None:
        """
        It runs, and is to read nothing.
        """
        assert self.transport is not None
        self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        It prints.
        """
        self._lines[childFD].feed(data)

    def processEnded(self, reason: Failure) -> None:
        """
        It has gone.
        """
        if self._killing is not None and self._killing.active():
            self._killing.cancel()
        for lines in self._lines.values():
            lines.end()
        self._take_end(reason)
