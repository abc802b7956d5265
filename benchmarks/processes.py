"""
Starts programs on one core, reads what they use from C{/proc}, and stops every one of them by its own pid.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["Process", "Processes", "StartError", "cores", "free_port", "pinned"]

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class StartError(Exception):
    """
    A program that should serve ended at once or never listened.
    """


def cores() -> tuple[int, int]:
    """
    The core for the proxies, and the one for the load generator and the backend.
    """
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise StartError("two cores are needed: one for the proxy, one for the load generator and the backend")
    return available[0], available[1]


def free_port() -> int:
    """
    A TCP port of 127.0.0.1 that nobody listens on now.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: int) -> Callable[[], None]:
    """
    What a child does before it becomes the program: go to its core, and arrange to end when this process does.
    """

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


class Process:
    """
    One running program and whatever it forked.
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes], errors: Path) -> None:
        self.name = name
        self._popen = popen
        self._errors = errors

    def tree(self) -> list[int]:
        """
        The pids of the program and of all its living descendants.
        """
        found = [self._popen.pid]
        for pid in found:
            for task in _list(f"/proc/{pid}/task"):
                found.extend(int(child) for child in _read(f"/proc/{pid}/task/{task}/children").split())
        return found

    def cpu_seconds(self) -> float:
        """
        User and system time used so far by all threads of all its processes (fields 14 and 15 of C{stat}).
        """
        ticks = 0
        for pid in self.tree():
            # The second field is the command in parentheses, which may itself hold blanks: count from its end.
            fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0
        return ticks / _TICK

    def resident_bytes(self) -> int:
        """
        Resident memory of all its processes.
        """
        pages = [_read(f"/proc/{pid}/statm").split() for pid in self.tree()]
        return sum(int(fields[1]) for fields in pages if fields) * _PAGE

    def wait_listening(self, port: int, seconds: float = 20.0) -> None:
        """
        Return when something accepts connections on the port.

        @raise StartError: the program ended, or nothing did in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._popen.poll() is not None:
                raise StartError(f"{self.name} ended with {self._popen.returncode}: {self.complaint()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise StartError(f"{self.name} did not listen on port {port} within {seconds:.0f} s: {self.complaint()}")

    def complaint(self) -> str:
        """
        The last lines it wrote to standard error.
        """
        return "\n".join(self._errors.read_text(errors="replace").splitlines()[-8:])[-3000:]

    def stop(self) -> None:
        """
        End it: politely, and after five seconds not.
        """
        pids = self.tree()
        self._popen.terminate()
        try:
            self._popen.wait(5)
        except subprocess.TimeoutExpired:
            for pid in pids:
                _kill(pid)
            self._popen.wait(5)


class Processes:
    """
    Everything that was started and is still to be stopped; a context manager that stops it all.
    """

    def __init__(self) -> None:
        self._running: list[Process] = []

    def start(
        self,
        name: str,
        argv: Sequence[str],
        core: int,
        room: Path,
        environment: Mapping[str, str] | None = None,
        output: Path | None = None,
    ) -> Process:
        """
        Start a program on a core.

        @param room: its working directory, which also gets what it writes to standard error.
        @param output: the file its standard output is appended to, when that is an access log.
        """
        room.mkdir(parents=True, exist_ok=True)
        errors = room / "stderr.log"
        with (output or room / "stdout.log").open("ab") as stdout, errors.open("ab") as stderr:
            popen = subprocess.Popen(
                list(argv),
                cwd=room,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                preexec_fn=pinned(core),
                start_new_session=True,  # a Ctrl-C is for the comparison, which then stops each in turn
            )
        process = Process(name, popen, errors)
        self._running.append(process)
        return process

    def stop(self, process: Process) -> None:
        """
        Stop one of them now.
        """
        self._running.remove(process)
        process.stop()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        while self._running:
            self._running.pop().stop()


def _read(path: str) -> str:
    """
    A file of C{/proc}, or nothing when its process has just gone.
    """
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _list(path: str) -> list[str]:
    """
    The names in a directory of C{/proc}, or none when its process has just gone.
    """
    try:
        return os.listdir(path)
    except OSError:
        return []


def _kill(pid: int) -> None:
    """
    End a process at once, if it is still there.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
