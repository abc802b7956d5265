"""
What a program can say about its job, by lines on its standard output that begin with two colons.

    ::progress 42 any message
    ::result {"any": "JSON"}

Any other line is a line of the log.
"""

from __future__ import annotations

import json
import re
from typing import Final

from attrs import frozen

__all__ = ["Progress", "Result", "read_line"]

_PROGRESS: Final = re.compile(r"::progress +([0-9]{1,3})(?:\.[0-9]{0,9})? *%?(?: +(.*))?")
_RESULT: Final = re.compile(r"::result +(.*)")


@frozen
class Progress:
    """
    How far the job is.
    """

    percent: int
    message: str = ""


@frozen
class Result:
    """
    What it comes to.
    """

    value: object


def read_line(line: str) -> Progress | Result | str:
    """
    Make sense of a line.
    """
    progress = _PROGRESS.fullmatch(line)
    if progress is not None and int(progress[1]) <= 100:
        return Progress(int(progress[1]), (progress[2] or "").strip())
    result = _RESULT.fullmatch(line)
    if result is not None:
        try:
            return Result(json.loads(result[1]))
        except (ValueError, RecursionError):
            return line
    return line
