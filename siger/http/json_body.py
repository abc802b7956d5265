"""
JSON that clients send, read so that no two programs can understand it in two ways (RFC 8259; RFC 7493 for numbers).

The standard library reads more than JSON has (C{NaN}, C{1e999}), keeps the last of two members with one name, and
converts numbers of any length; a fast parser keeps the last of two as well. So a body is read twice: once to see that
it is JSON and how deep it goes, which costs little whatever it is, and once to see all of its members.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

import orjson

__all__ = ["MAX_DEPTH", "JsonError", "is_json", "read_json"]

MAX_DEPTH: Final = 64
"""How many arrays and objects may be inside one another."""

_OPENING: Final = (b"[", b"{")
_LONGEST_INTEGER: Final = 20
_long_number = re.compile(rb"[0-9]{19}").search
_INTEGERS: Final = range(-(2**63), 2**63 + 1)
# What clients call JSON, and what they say when they were not told to say anything: curl's -d, a browser's fetch.
_TYPES: Final = frozenset((b"application/json", b"application/x-www-form-urlencoded", b"text/plain", b"text/json"))


class JsonError(Exception):
    """
    What was sent is not read. The message is a sentence for whoever sent it, and has nothing of it.
    """


def is_json(content_type: bytes | None) -> bool:
    """
    Whether a body of this type is worth trying: none is said, or JSON, or what clients say by themselves.
    """
    if content_type is None:
        return True
    media_type = content_type.partition(b";")[0].strip(b" \t").lower()
    return media_type in _TYPES or (media_type.startswith(b"application/") and media_type.endswith(b"+json"))


def read_json(content: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """
    Read an object.

    @raise JsonError: it is not JSON or no object, is too deep, has a member twice, or a number that not everybody can
        hold.
    """
    document = _parsed(content)
    if not isinstance(document, dict):
        raise JsonError("The body is not a JSON object.")
    if sum(map(content.count, _OPENING)) > max_depth and _deeper(document, max_depth):
        raise JsonError("The body is nested too deeply.")
    parse_int = _integer if _long_number(content) else None
    try:
        found: dict[str, Any] = json.loads(content, object_pairs_hook=_members, parse_int=parse_int)
    except RecursionError as error:  # what was deep is hidden behind another member of the same name
        raise JsonError("An object in the body has two members of the same name.") from error
    return found


def _parsed(content: bytes) -> object:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise JsonError("The body is not a JSON document in UTF-8.") from error


def _deeper(document: object, levels: int) -> bool:
    """
    Whether it has more than so many levels.
    """
    level = [document]
    for _ in range(levels):
        level = [value for item in level for value in _inside(item)]
        if not level:
            return False
    return True


def _inside(item: object) -> Iterable[object]:
    """
    What an array or an object holds.
    """
    values = item if isinstance(item, list) else item.values() if isinstance(item, dict) else ()
    return (value for value in values if isinstance(value, list | dict))


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonError("An object in the body has two members of the same name.")
    return found


def _integer(digits: str) -> int:
    # The length first: converting very many digits takes very long, and Python refuses some.
    if len(digits) > _LONGEST_INTEGER or int(digits) not in _INTEGERS:
        raise JsonError("The body has an integer of more than 64 bits.")
    return int(digits)
