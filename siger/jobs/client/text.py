"""
Text of others, made fit for a terminal: what a job prints must not move anybody's cursor, and lines have to fit.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import combining, east_asian_width

__all__ = ["cut", "pad", "plain", "width"]

_STYLE: Final = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]")
_KEPT: Final = "\t"


def plain(text: str) -> str:
    """
    Text without colours, and with everything else that does not print written as an escape.
    """
    if text.isprintable():
        return text
    text = _STYLE.sub("", text)
    return "".join(c if c.isprintable() or c in _KEPT else c.encode("unicode_escape").decode("ascii") for c in text)


def width(text: str) -> int:
    """
    How many columns a printable text takes.
    """
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """
    As much of a text as fits, with a mark where it was cut.
    """
    if width(text) <= columns:
        return text
    kept = ""
    for character in text:
        if width(kept) + _columns(character) > columns - 1:
            break
        kept += character
    return kept + "…" if columns > 0 else ""


def pad(text: str, columns: int) -> str:
    """
    A text with blanks up to a width.
    """
    return text + " " * (columns - width(text))
