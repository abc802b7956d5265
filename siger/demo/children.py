"""
Child processes that end with their parent, however that goes.

They live in sessions of their own, so that a Ctrl-C at the terminal reaches their parent alone, which then ends them
in order.  Should the parent be killed outright, children that watch it see their standard input end, and on Linux the
kernel sends them SIGTERM.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable

__all__ = ["Child", "port_in_use"]

_PR_SET_PDEATHSIG = 1


def port_in_use(host: str, port: int) -> bool:
    """
    Whether somebody else listens there.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


class Child:
    """
    One child process.

    @ivar name: what to call it in messages.
    """

    def __init__(self, name: str, command: list[str], tethered: bool = False) -> None:
        """
        @param tethered: whether the end of its standard input ends it.
        """
        self.name = name
        self._tethered = tethered
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )

    @classmethod
    def backend(cls, name: str, *arguments: str, module: str = "siger.demo") -> Child:
        """
        Run a demo backend with this Python, which is to find Siger where this process did.
        """
        return cls(name, [*_python(module), "--name", name, "--tethered", *arguments], tethered=True)

    @classmethod
    def siger(cls, name: str, *arguments: str) -> Child:
        """
        Run a C{siger} command in the same manner.
        """
        return cls(name, [*_python("siger.cli"), *arguments])

    @classmethod
    def twistd(cls, name: str, *arguments: str) -> Child:
        """
        Run the C{twistd} that belongs to this Python.
        """
        beside = shutil.which("twistd", path=sysconfig.get_path("scripts"))
        return cls(name, [beside or "twistd", *arguments])

    def ended(self) -> int | None:
        """
        Give the exit status, or C{None} while it runs.
        """
        return self._process.poll()

    def end(self, patience: float, impatient: Callable[[], bool] = lambda: False) -> None:
        """
        Ask it to end, and kill it when it has not after C{patience} seconds, or once C{impatient} says so.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        if not self._tethered:
            self._process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + patience
        while self._process.poll() is None:
            if impatient() or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
            time.sleep(0.02)


def _python(module: str) -> list[str]:
    return [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", module]


def _die_with_parent() -> Callable[[], object] | None:
    """
    What a child does, before it becomes another program, to be sent SIGTERM when its parent dies.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
