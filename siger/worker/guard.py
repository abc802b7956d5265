"""
Runs a program for a job, and sees that nothing of it is left when the job is over or its worker is gone.

This is a process of its own between the two, started as a script with little more than the interpreter. The worker
holds the other end of a pipe: when that is closed, which it is also if the worker is killed outright, everything that
descends from the program is killed, and so is what the program leaves behind when it ends. Orphans come to this process
rather than to init, so that none is missed, whatever session it has made for itself (on Linux; elsewhere the process
group has to do).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 10.0


def main() -> int:
    """
    Run C{guard.py TETHER PROGRAM ARGUMENTS...}.

    @return: its exit status. If a signal ended it, this process ends by the same.
    """
    tether, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(tether, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # these are for the program, in the same group
        signal.signal(number, lambda number, frame: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        _become(command)
    status = _watch(child, tether)
    _kill_descendants()
    return _report(status)


def _become(command: list[str]) -> None:
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    finally:
        os._exit(126)


def _watch(child: int, tether: int) -> int:
    """
    Wait until the program has ended, or until it has to.
    """
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if _wait(child, tether):
            _kill_descendants()
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _wait(child: int, tether: int) -> bool:
    """
    Wait until something happens.

    @return: whether the tether is cut.
    """
    if not hasattr(os, "pidfd_open"):
        return bool(select.select([tether], [], [], 0.05)[0])
    watched = os.pidfd_open(child)
    try:
        return tether in select.select([tether, watched], [], [])[0]
    finally:
        os.close(watched)


def _kill_descendants() -> None:
    """
    Kill all that descends from this process, and what comes into being meanwhile.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        found = _descendants()
        for number in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.005)


def _descendants() -> list[int]:
    """
    The processes below this one that live.
    """
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = _parent(name)
                children.setdefault(parent, []).append(int(name))
    found, new = [], children.get(os.getpid(), [])
    while new:
        found += new
        new = [grandchild for child in new for grandchild in children.get(child, [])]
    return found


def _parent(name: str) -> int:
    with open(f"/proc/{name}/stat", "rb") as file:
        state, parent = file.read().rpartition(b")")[2].split()[:2]
    if state in (b"Z", b"X"):
        raise ValueError("dead already")
    return int(parent)


def _report(status: int) -> int:
    if status >= 0:
        return status
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
    return 128 - status


def _prctl(option: int, value: int) -> None:
    """
    What only Linux has.
    """
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
