"""
JSON objects that come back from a store or a stream, read member by member.

Whatever writes there may be another version, or somebody with the wrong idea. What is known has to be of its kind, or
the whole is broken; what is not known is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import orjson

__all__ = ["MAX_DEPTH", "BrokenError", "Members", "deeper", "is_plain", "read_object"]

MAX_DEPTH: Final = 64
"""How many arrays and objects may be inside one another, in whatever is read here."""


class BrokenError(Exception):
    """
    What is written down cannot be used: log it, and go on without.
    """


def read_object(content: bytes) -> Members:
    """
    Read an object.

    @raise BrokenError: it is none.
    """
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BrokenError("no JSON") from error
    if not isinstance(found, dict):
        raise BrokenError("no object")
    return Members(found)


class Members:
    """
    The members of an object. Each is asked for by its name and its kind.
    """

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found

    def text(self, name: str, default: str | None = None) -> str:
        """
        A string.
        """
        value = self.found.get(name, default)
        if not isinstance(value, str):
            raise BrokenError(f"{name} is no string")
        return value

    def maybe_text(self, name: str) -> str | None:
        """
        A string, or nothing.
        """
        return None if self.found.get(name) is None else self.text(name)

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """
        A whole number within bounds.
        """
        value = self.found.get(name, default)
        if type(value) is not int or not low <= value <= high:
            raise BrokenError(f"{name} is no whole number from {low} to {high}")
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        """
        C{true} or C{false}.
        """
        value = self.found.get(name, default)
        if not isinstance(value, bool):
            raise BrokenError(f"{name} is neither true nor false")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """
        An object, not too deep.
        """
        value = self.found.get(name)
        if not isinstance(value, dict) or deeper(value, MAX_DEPTH):
            raise BrokenError(f"{name} is no object, or a very deep one")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """
        A list of strings.
        """
        value = self.found.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BrokenError(f"{name} is no list of strings")
        return tuple(value)


def deeper(document: object, levels: int) -> bool:
    """
    Whether it has more than so many levels of lists and objects.
    """
    level = [document] if isinstance(document, list | dict) else []
    for _ in range(levels):
        level = [inner for value in level for inner in _inside(value) if isinstance(inner, list | dict)]
        if not level:
            return False
    return bool(level)


def _inside(value: list[object] | dict[str, object]) -> Iterator[object]:
    return iter(value.values() if isinstance(value, dict) else value)


def is_plain(document: object) -> bool:
    """
    Whether it is made of what JSON has, so that writing it changes nothing: no C{NaN}, no number of more than 64
    bits, no half of a surrogate pair. It must not be deep.
    """
    if isinstance(document, dict):
        return all(isinstance(name, str) and is_plain(name) and is_plain(value) for name, value in document.items())
    if isinstance(document, list):
        return all(map(is_plain, document))
    if isinstance(document, str):
        return document.isascii() or not any("\ud800" <= character <= "\udfff" for character in document)
    if isinstance(document, float):
        return math.isfinite(document)
    return document is None or isinstance(document, bool) or (type(document) is int and -(2**63) <= document < 2**64)
