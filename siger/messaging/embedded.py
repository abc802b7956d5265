"""
The embedded nats-server: a NATS with JetStream for gateways that have no other, run and kept alive by the gateway.

Theory of operation. The server is in one of these states:

 - stopped: at first, and at the end.
 - locking: another process still has the directory. It may be a predecessor that is just going, so we try again for
   a few seconds.
 - starting: the process runs. Its own output says when it listens, and where: nobody else can pretend to be it.
 - running: clients are accepted.
 - waiting: it died, and is started again after a while that grows with each time it does not last.
 - stopping: asked to end, and made to if it does not.

Each start has a new password. Whenever the port is known beforehand, the callbacks of L{EmbeddedServer.on_url} hear of
the new URL before the server listens, so that no client comes with the old password; and once more when it does, so
that none waits longer than it has to. The port stays the same for as long as nobody takes it while the server is down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.messaging.child import Child
from siger.messaging.directory import ServerDirectory, client_url
from siger.messaging.output import log_line, parse
from siger.messaging.program import ProgramMissingError, find_program

__all__ = ["EmbeddedServer", "EmbeddedServerError", "client_url"]

_log = Logger(namespace="siger.messaging")

_PATIENCE: Final = 5.0
"""
Seconds that a predecessor gets to give up the directory.
"""
_RETRY_LOCK: Final = 0.1
_STABLE: Final = 30.0
"""
Seconds after which a server counts as one that lasts.
"""
_RESTART_FIRST: Final = 0.2
_RESTART_MOST: Final = 30.0


class EmbeddedServerError(Exception):
    """
    The server cannot be run here, and trying again would not help; the message says why.
    """


class EmbeddedServer:
    """
    Runs nats-server over a directory.

    @ivar url: what clients connect to, with the password; C{""} until it is known. Nothing may log it.
    @ivar restarts: how often the server had to be started again.
    @ivar state: one of those above.
    """

    def __init__(
        self, reactor: Any, directory: Path, program: str | None = None, *, random: Random | None = None
    ) -> None:
        """
        @param reactor: for processes and time.
        @param directory: C{nats} in the data directory.
        @param program: the path of nats-server, where it is not the wheel's and not on C{PATH}.
        """
        self.url = ""
        self.restarts = 0
        self.state = "stopped"
        self._reactor = reactor
        self._directory = ServerDirectory(directory)
        self._program: str | None = program
        self._random = random or Random()
        self._listeners: list[Callable[[str], object]] = []
        self._base = ""
        self._port = 0
        self._failures = 0
        self._since = 0.0
        self._child: Child | None = None
        self._call: IDelayedCall | None = None
        self._started: Deferred[str] | None = None
        self._stopped: list[Deferred[None]] = []

    def describe(self) -> str:
        """
        How it is, in a word.
        """
        return self.state

    def on_url(self, callback: Callable[[str], object]) -> None:
        """
        Have C{callback} called from now on with each URL, when it is known and again when clients are accepted there.
        """
        self._listeners.append(callback)

    # Starting.

    def start(self) -> Deferred[str]:
        """
        Run the server.

        @return: fires with the URL once the server accepts clients, however often it has to be started for that. Fails
            with L{EmbeddedServerError} when there is no program, or the directory cannot be used; and with
            L{CancelledError} when L{stop} comes first.
        """
        if self.state != "stopped":
            raise RuntimeError("the embedded server was started already")
        try:
            self._executable = find_program(self._program)
            self._directory.prepare()
        except ProgramMissingError as error:
            return fail(EmbeddedServerError(f"no embedded nats-server: {error}"))
        except (OSError, ValueError) as error:
            return fail(self._unusable(error))
        started: Deferred[str] = Deferred()
        self._started = started
        self._failures = self._port = 0
        self._acquire(self._reactor.seconds() + _PATIENCE)
        return started

    def _unusable(self, error: Exception) -> EmbeddedServerError:
        reason = getattr(error, "strerror", None) or error
        return EmbeddedServerError(f"the embedded nats-server cannot keep its data in {self._directory.path}: {reason}")

    def _acquire(self, deadline: float) -> None:
        self.state = "locking"
        try:
            acquired = self._directory.acquire()
        except OSError as error:
            self._give_up(self._unusable(error))
            return
        if acquired:
            self._run()
        elif self._reactor.seconds() < deadline:
            self._call = self._reactor.callLater(_RETRY_LOCK, self._acquire, deadline)
        else:
            holder = self._directory.holder()
            message = f"it is in use by {holder}, or by the nats-server which that started"
            self._give_up(self._unusable(EmbeddedServerError(message)))

    def _give_up(self, error: Exception) -> None:
        self._call = None
        self.state = "stopped"
        self._answer(Failure(error))

    def _run(self) -> None:
        """
        Start the process.
        """
        self._call = None
        self.state = "starting"
        try:
            self._base = self._directory.configure(self._port)
            self._reach(self._port)
            if self.state != "starting":  # whoever heard of the URL stopped us
                return
            child = Child(self._reactor, self._printed, self._ended)
            child.run(self._executable, self._directory)
        except OSError as error:  # the disk is full, or there can be no more processes: that may pass
            _log.error("the embedded nats-server cannot be started: {reason}", reason=error)
            self._run_later()
        else:
            self._child = child

    def _reach(self, port: int) -> None:
        """
        Tell how the server is reached, once the port is known.
        """
        if not port:
            return
        self._port, self.url = port, f"{self._base}:{port}"
        try:
            self._directory.publish(self.url)
        except OSError as error:
            _log.warn("commands cannot reach the embedded nats-server: {reason}", reason=error)
        for listener in tuple(self._listeners):
            try:
                listener(self.url)
            except Exception:
                _log.failure("telling of the embedded nats-server failed")

    def _answer(self, result: str | Failure) -> None:
        waiting, self._started = self._started, None
        if waiting is not None:
            waiting.callback(result)

    # Running.

    def _printed(self, raw: bytes) -> None:
        line = parse(raw)
        log_line(line)
        if line.port and self.state == "starting":
            self.state = "running"
            self._since = self._reactor.seconds()
            self._reach(line.port)
            _log.info("the embedded nats-server listens on 127.0.0.1:{port}", port=line.port)
            self._answer(self.url)
        elif line.taken:
            self._port = 0

    def _ended(self, reason: Failure) -> None:
        self._child = None
        if self.state == "stopping":
            self._finish()
            return
        if self.state == "running" and self._reactor.seconds() - self._since >= _STABLE:
            self._failures = 0
        _log.error("the embedded nats-server {how}", how=_end_of(reason))
        self._run_later()

    def _run_later(self) -> None:
        self.state = "waiting"
        self.restarts += 1
        longest = min(_RESTART_MOST, _RESTART_FIRST * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._call = self._reactor.callLater(longest * self._random.uniform(0.5, 1.0), self._run)

    # Stopping.

    def stop(self) -> Deferred[None]:
        """
        End the server, and give up the directory.

        @return: fires when the server has gone.
        """
        if self.state == "stopped":
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if self.state != "stopping":
            self._stop()
        return stopped

    def _stop(self) -> None:
        self.state = "stopping"
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._answer(Failure(CancelledError()))
        if self._child is None:
            self._finish()
        else:
            self._child.stop()

    def _finish(self) -> None:
        self._directory.release()
        self.url = ""
        self.state = "stopped"
        waiting, self._stopped = self._stopped, []
        for stopped in waiting:
            stopped.callback(None)


def _end_of(reason: Failure) -> str:
    value: Any = reason.value
    if getattr(value, "signal", None):
        return f"was killed by signal {value.signal}"
    return f"ended with status {getattr(value, 'exitCode', 'unknown')}"
