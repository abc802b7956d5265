"""
A reactor that records processes instead of running them, with a clock that tests turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

__all__ = ["ProcessReactor", "RecordedProcess"]


class RecordedProcess:
    """
    A process that a test makes print and end.

    @ivar signals: which it was sent.
    @ivar alive: whether it has not ended.
    """

    def __init__(self, protocol: ProcessProtocol, command: list[str], env: Mapping[str, str], fds: Any) -> None:
        self.command = command
        self.environment = env
        self.descriptors = fds
        self.signals: list[str] = []
        self.stdin_open = True
        self.alive = True
        self._protocol = protocol

    def prints(self, text: str) -> None:
        """
        It prints to its standard error, as nats-server does.
        """
        self._protocol.childDataReceived(2, text.encode())

    def listens(self, port: int) -> None:
        """
        It says that it accepts clients.
        """
        self.prints(f"[7] [INF] Listening for client connections on 127.0.0.1:{port}\n")

    def ends(self, status: int = 1, signal: int | None = None) -> None:
        """
        It ends, by itself or by a signal.
        """
        self.alive = False
        failed = status or signal
        reason = ProcessTerminated(None if signal else status, signal) if failed else ProcessDone(0)
        self._protocol.processEnded(Failure(reason))

    def signalProcess(self, name: str) -> None:
        """
        The reactor's user sends a signal.
        """
        if not self.alive:
            raise ProcessExitedAlready
        self.signals.append(name)

    def closeStdin(self) -> None:
        """
        The reactor's user has nothing to say.
        """
        self.stdin_open = False


class ProcessReactor(Clock):
    """
    The reactor.

    @ivar processes: every one so far.
    @ivar refuses: raised instead of starting one, when set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[RecordedProcess] = []
        self.refuses: OSError | None = None

    def spawnProcess(
        self,
        processProtocol: ProcessProtocol,
        executable: str,
        args: Sequence[str],
        env: Mapping[str, str],
        childFDs: Mapping[int, Any],
    ) -> RecordedProcess:
        """
        Record a process, whose command must begin with the program itself.
        """
        assert executable == args[0]
        if self.refuses is not None:
            raise self.refuses
        process = RecordedProcess(processProtocol, list(args), env, dict(childFDs))
        self.processes.append(process)
        processProtocol.makeConnection(process)  # type: ignore[arg-type]
        return process
