"""
What is seen while a job is watched: lines, and at a terminal one more below them, which is drawn over and over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TextIO

from siger.jobs.client.text import cut, plain

__all__ = ["Screen", "bar", "columns_of"]

_CLEAR: Final = "\r\x1b[K"
_DEFAULT_COLUMNS: Final = 80
_BLOCKS: Final = ("█", "░")
_ASCII: Final = ("#", "-")


def columns_of(stream: TextIO, environ: Mapping[str, str]) -> Callable[[], int] | None:
    """
    How to find out how wide a terminal is now; C{None} when it is none that lines can be drawn over.
    """
    if not stream.isatty() or environ.get("TERM", "dumb") == "dumb":
        return None

    def columns() -> int:
        with suppress(OSError, ValueError):
            return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_COLUMNS
        return _DEFAULT_COLUMNS

    return columns


def bar(percent: int, columns: int, encoding: str | None) -> str:
    """
    A bar of which so much is full.
    """
    full, empty = _BLOCKS
    try:
        f"{full}{empty}".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        full, empty = _ASCII
    filled = columns * min(max(percent, 0), 100) // 100
    return full * filled + empty * (columns - filled)


class Screen:
    """
    Where it is seen.

    @ivar live: whether there is a line that is drawn over.
    """

    def __init__(self, out: TextIO, columns: Callable[[], int] | None = None) -> None:
        """
        @param columns: how wide a terminal is; C{None} where it is none.
        """
        self.live = columns is not None
        self._out = out
        self._columns = columns or (lambda: _DEFAULT_COLUMNS)
        self._draw: Callable[[int], str] | None = None
        self._drawn = ""

    @property
    def encoding(self) -> str | None:
        """
        That of what is written.
        """
        return self._out.encoding

    def line(self, text: str) -> None:
        """
        Write a line, or a text of several, above the one that is drawn over.
        """
        self._erase()
        self._write("".join(plain(line) + "\n" for line in text.rstrip("\n").split("\n")))

    def draw(self, draw: Callable[[int], str] | None) -> None:
        """
        Say what the last line is, given so many columns; C{None} for no such line.
        """
        self._draw = draw if self.live else None

    def settle(self) -> None:
        """
        Let it be seen. That is not done for everything that happens, so that what comes at once does not flicker.
        """
        if self._draw is None:
            self._erase()
        else:
            columns = self._columns() - 1  # in the last one some terminals go on to the next line
            text = cut(plain(self._draw(columns)), columns)
            if text != self._drawn:
                self._write(_CLEAR + text)
                self._drawn = text
        self._out.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._write(_CLEAR)
            self._drawn = ""

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        self._out.write(text.encode(encoding, "backslashreplace").decode(encoding))
