"""
Finds the programs the comparison needs: on PATH, beside this Python, or in the checkout's own C{.tools} directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["REPOSITORY", "MissingToolError", "find", "first_line", "python_path"]

REPOSITORY = Path(__file__).resolve().parent.parent


class MissingToolError(Exception):
    """
    A program is not installed, so that what needs it cannot run.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was not found on PATH, beside {sys.executable} or in {REPOSITORY / '.tools'}")
        self.name = name


def _places() -> str:
    """
    The directories to look in; the system's sbin directories are not on everybody's PATH.
    """
    private = [REPOSITORY / ".tools", *sorted(REPOSITORY.glob(".tools/bin")), *sorted(REPOSITORY.glob(".tools/*/bin"))]
    beside = Path(sys.executable).parent
    here = [
        os.environ.get("PATH", os.defpath),
        str(beside),
        *map(str, private),
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
    ]
    return os.pathsep.join(here)


def find(name: str) -> str:
    """
    Find a program.

    @raise MissingToolError: it is nowhere.
    """
    found = shutil.which(name, path=_places())
    if found is None:
        raise MissingToolError(name)
    return found


def python_path() -> str:
    """
    The PYTHONPATH of a child that imports from the checkout.
    """
    return os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))


def first_line(*argv: str) -> str:
    """
    Run a program that tells its version and return the first line with anything in it, whichever stream it chose.
    """
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[0] if lines else ""
