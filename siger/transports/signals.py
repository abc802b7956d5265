"""
Notice the death of child processes.

Twisted's reactors have Python write to a pipe of theirs at each signal. uvloop puts a socket of its own in that place
while it runs, wakes up at every signal, and lets Python handle it. So a plain signal handler does here.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from twisted.internet.process import reapAllProcesses

__all__ = ["ChildSignals"]


class ChildSignals:
    """
    Reaps processes at C{SIGCHLD}, in a turn of the loop of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def install(self) -> None:
        """
        Handle the signal, and reap what ended before.
        """
        signal.signal(signal.SIGCHLD, self._signalled)
        signal.siginterrupt(signal.SIGCHLD, False)
        reapAllProcesses()

    def uninstall(self) -> None:
        """
        Handle the signal no more.
        """
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _signalled(self, *_: Any) -> None:
        """
        Reap soon: a signal comes between any two instructions.
        """
        self._loop.call_soon_threadsafe(reapAllProcesses)
