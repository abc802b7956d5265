"""
The gateway as a process, as the person or the program that runs it sees it.

C{twistd} does most of that.  This service stands between it and the gateway for what it does otherwise than those who
run services expect:

  - After a stop by SIGTERM or SIGINT, Twisted sends itself the signal once more, to die by it.  A drain that came to
    its end is a success, so it exits 0 here; and who presses Ctrl-C a second time does not want to wait for it.
  - An exception at start, such as a port in use, ends C{twistd} with a traceback.  One line says it better.
  - The log looks like C{twistd}'s until the application takes over; here it has our form from the first line.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

__all__ = ["GatewayProcess", "StartError"]


class StartError(Exception):
    """
    The gateway cannot start, for a reason that its operator can mend: the message is for them, without a traceback.
    """


class GatewayProcess(Service):
    """
    Run a gateway on behalf of C{twistd} or C{twist}.

    @ivar gateway: what listens, and drains.
    """

    log = Logger(namespace="siger")

    def __init__(
        self,
        gateway: IService,
        reactor: Any,
        observer: object | None = None,
        handle: Callable[[int, Any], object] = signal.signal,
        terminal: bool | None = None,
    ) -> None:
        """
        @param reactor: the reactor that will run it: L{IReactorCore} and L{IReactorFromThreads}.
        @param observer: where the log goes, or C{None} to leave that to the command line.
        @param handle: how to set a signal's handler.
        @param terminal: whether somebody sits at a terminal; C{None} to find out.
        """
        self.gateway = gateway
        self._reactor = reactor
        self._observer = observer
        self._handle = handle
        self._terminal = _at_terminal() if terminal is None else terminal
        self._privileged = False

    def setServiceParent(self, parent: Any) -> None:
        """
        Join the application, and name the log observer that C{twistd} is to begin with.
        """
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        Service.setServiceParent(self, parent)

    def privilegedStartService(self) -> None:
        """
        Let the gateway do what needs the rights it is about to give up.
        """
        Service.privilegedStartService(self)
        self._privileged = True
        self._attempt(self.gateway.privilegedStartService)

    def startService(self) -> None:
        """
        Start the gateway, and answer signals once the reactor runs: it has set handlers of its own by then.
        """
        if not self._privileged:  # twist has no such step
            self.privilegedStartService()
        Service.startService(self)
        self._attempt(self.gateway.startService)
        _settle_memory()
        self._reactor.callWhenRunning(self._handle_signals)

    def stopService(self) -> Deferred[object]:
        """
        Stop the gateway.

        @return: what fires when it has drained; the reactor waits for that.
        """
        Service.stopService(self)
        return maybeDeferred(self.gateway.stopService)

    def _attempt(self, start: Callable[[], object]) -> None:
        try:
            start()
        except (CannotListenError, OSError, StartError) as problem:
            message = _explained(problem)
            self.log.critical("{problem}", problem=message)
            sys.excepthook = _print_plainly
            raise StartError(message) from problem

    def _handle_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handle(number, self._on_signal)
        self._handle(signal.SIGUSR1, self._on_rotation)
        # From a terminal, a hang-up says that it was closed, and ends what ran there.
        self._handle(signal.SIGHUP, self._on_signal if self._terminal else self._on_rotation)

    def _on_rotation(self, number: int, frame: FrameType | None = None) -> None:
        """
        Begin new log files: whoever rotates logs has moved the old ones away.
        """
        self._reactor.callFromThread(self._reopen)

    def _reopen(self) -> None:
        for part in (self.gateway, self._observer):
            reopen = getattr(part, "reopen", None)
            if reopen is not None:
                reopen()
        self.log.info("log files were opened anew")

    def _on_signal(self, number: int, frame: FrameType | None = None) -> None:
        """
        Stop in order.  Another SIGTERM changes nothing; another SIGINT is somebody at a terminal who cannot wait.
        """
        self._handle(signal.SIGTERM, signal.SIG_IGN)
        self._handle(signal.SIGINT, signal.SIG_DFL)
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _stop(self, name: str) -> None:
        self.log.info("stopping on {signal}", signal=name)
        with suppress(ReactorNotRunning):  # somebody stopped it in the same instant
            self._reactor.stop()


def _at_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _settle_memory() -> None:
    """
    Take what was made so far, which will stay, off the garbage collector's rounds, and make its rounds rare: what a
    request makes is freed by its reference counts when it ends.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _explained(problem: Exception) -> str:
    """
    Say in one line why the gateway cannot start.
    """
    if isinstance(problem, CannotListenError):
        reason = getattr(problem.socketError, "strerror", None) or str(problem.socketError)
        host = problem.interface or "*"
        return f"cannot listen on {f'[{host}]' if ':' in host else host}:{problem.port}: {reason}"
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{problem.filename}: {problem.strerror}"
    return str(problem)


def _print_plainly(kind: type[BaseException], value: BaseException, traceback: TracebackType | None) -> None:
    """
    Print a L{StartError} as one line, and anything else as Python does.
    """
    if not issubclass(kind, StartError):
        sys.__excepthook__(kind, value, traceback)
    elif sys.__stderr__ is not None:
        print(f"siger: {value}", file=sys.__stderr__)
