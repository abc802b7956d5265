"""
What is submitted: a file, options, or options that change what is in a file.
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Callable
from typing import Any, Final, TextIO

from siger.jobs.client.errors import TroubleError

__all__ = ["LONGEST", "document_of", "parameter"]

LONGEST: Final = 16 * 1024 * 1024

_MEMBERS: Final = ("type", "name", "description", "gpu_type", "gpu_count", "priority", "max_retries", "timeout")


class _NoJsonError(ValueError):
    """
    JSON that some read and others do not.
    """


def document_of(arguments: Namespace, source: TextIO) -> dict[str, Any]:
    """
    The document to submit.

    @param source: what the file C{-} is.
    @raise TroubleError: a file cannot be read.
    """
    document = _read(arguments.file, source) if arguments.file else {}
    for name in _MEMBERS:
        if getattr(arguments, name) is not None:
            document[name] = getattr(arguments, name)
    if arguments.param:
        document["params"] = _joined(document.get("params", {}), arguments.param)
    if arguments.tag:
        document["tags"] = [*_list(document.get("tags", [])), *arguments.tag]
    return document


def parameter(text: str) -> tuple[str, Any]:
    """
    Read C{NAME=VALUE}. The value is JSON, or when it is none, a string.

    @raise ValueError: there is no name.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError("not NAME=VALUE")
    try:
        return name, _json(value)
    except (ValueError, RecursionError):
        return name, value


def _joined(params: object, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if not isinstance(params, dict):
        raise TroubleError("params in the file is no object, so that --param adds nothing to it")
    return {**params, **dict(pairs)}


def _list(tags: object) -> list[Any]:
    if not isinstance(tags, list):
        raise TroubleError("tags in the file is no list, so that --tag adds nothing to it")
    return tags


def _read(path: str, source: TextIO) -> dict[str, Any]:
    named = "standard input" if path == "-" else path
    text = _text(named, source.read if path == "-" else lambda limit: _content(path, limit))
    try:
        document = _json(text)
    except json.JSONDecodeError as error:
        raise TroubleError(f"{named}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from error
    except (_NoJsonError, RecursionError) as error:
        raise TroubleError(f"{named}: no JSON that everybody reads alike: {error}") from error
    if not isinstance(document, dict):
        raise TroubleError(f"{named}: no JSON object")
    return document


def _text(named: str, read: Callable[[int], str]) -> str:
    try:
        text = read(LONGEST + 1)
    except UnicodeDecodeError as error:
        raise TroubleError(f"{named}: no text in UTF-8") from error
    except OSError as error:
        raise TroubleError(f"{named} cannot be read: {error.strerror}") from error
    if len(text) > LONGEST:
        raise TroubleError(f"{named} is far too long for a job")
    return text


def _content(path: str, limit: int) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(limit)


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_members, parse_float=_float, parse_constant=_refused)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _NoJsonError("an object has two members of the same name")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NoJsonError("a number is too large")
    return number


def _refused(text: str) -> Any:
    raise _NoJsonError(f"{text} is no number of JSON")
