"""
What nats-server prints, passed on to the application log line by line.

At its start and end the server prints some twenty lines that interest nobody unless something is wrong, so what it
calls information is for debugging here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import frozen
from twisted.logger import Logger, LogLevel

__all__ = ["Line", "Lines", "log_line", "parse"]

_log = Logger(namespace="siger.messaging")

_LONGEST: Final = 4096
_LEVELS = {
    "INF": "debug",
    "DBG": "debug",
    "TRC": "debug",
    "WRN": "warn",
    "ERR": "error",
    "FTL": "critical",
}
_line = re.compile(r"\[\d+\] (?:[\d/]+ [\d:.]+ )?\[(?P<level>[A-Z]{3})\] ?(?P<text>.*)", re.DOTALL)
_listening = re.compile(r"Listening for client connections on .*:(\d{1,5})")
# The password is in a file for its owner alone, and as random as a key.
_HARMLESS = "Plaintext passwords detected"


@frozen
class Line:
    """
    One line.

    @ivar level: what it is worth: C{debug}, C{warn}, C{error} or C{critical}.
    @ivar port: the port, when the line says that clients are accepted from now on; else 0.
    @ivar taken: whether it says that the port belongs to somebody else.
    """

    text: str
    level: str
    port: int = 0
    taken: bool = False


def parse(raw: bytes) -> Line:
    """
    Make sense of a line. One that the server did not mark is a complaint from before its log began, or of a crash.
    """
    whole = raw.decode("utf-8", "backslashreplace").rstrip()
    found = _line.fullmatch(whole)
    if found is None:
        return Line(whole, "error")
    text = found["text"]
    level = "debug" if text.startswith(_HARMLESS) else _LEVELS.get(found["level"], "warn")
    listening = _listening.fullmatch(text)
    port = int(listening[1]) if listening else 0
    return Line(text, level, port, found["level"] == "FTL" and "address already in use" in text)


def log_line(line: Line) -> None:
    """
    Pass a line on.
    """
    if line.text:
        _log.emit(LogLevel.lookupByName(line.level), "nats-server: {text}", text=line.text)


class Lines:
    """
    Puts lines together from what arrives, and cuts endless ones short.
    """

    def __init__(self, take: Callable[[bytes], object]) -> None:
        """
        @param take: called with each line.
        """
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """
        More output arrived.
        """
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LONGEST]
        for line in whole:
            self._take(line[:_LONGEST])

    def end(self) -> None:
        """
        No more will come.
        """
        rest, self._rest = self._rest, b""
        if rest:
            self._take(rest)
