"""
What a configuration is made of before it means anything: scalars, sequences and mappings that know where they stand.

Every layer between the file and the settings (aliases, environment, expansion) works on these, so that a mistake found
at the very end can still be shown at the line, or the variable, that it came from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence as Many
from typing import Literal

from attrs import define, field, frozen

from siger.errors import ConfigError

__all__ = [
    "ConfigErrors",
    "Entry",
    "Kind",
    "Mapping",
    "Node",
    "Origin",
    "Scalar",
    "Sequence",
    "SettingError",
    "join",
    "shorten",
]


@frozen
class Origin:
    """
    Where a value was written.

    @ivar source: the file's path, or the name of an environment variable.
    @ivar line: 1-based; C{None} for a variable.
    """

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


class SettingError(ConfigError):
    """
    A L{ConfigError} that also knows which file or variable it is about.
    """

    def __init__(self, message: str, path: str, origin: Origin) -> None:
        super().__init__(message, path, origin.line)
        self.origin = origin

    def __str__(self) -> str:
        return ": ".join(filter(None, [str(self.origin), self.path, self.message]))


class ConfigErrors(Exception):  # noqa: N818  (it is many)
    """
    Everything that is wrong with a configuration, in the order of the file's lines.

    @ivar errors: at least one.
    """

    def __init__(self, errors: Many[SettingError]) -> None:
        unique = {str(error): error for error in errors}.values()
        self.errors: tuple[SettingError, ...] = tuple(sorted(unique, key=lambda error: error.line or 0))
        super().__init__(*self.errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


Kind = Literal["text", "quoted", "number", "boolean", "null", "other", "unreadable", "reported"]
"""
What YAML takes a scalar for. C{text} and C{quoted} are both strings, C{other} is a date and its like. Two are ours:
C{unreadable} is a variable that is no YAML at all, and C{reported} a value whose fault is already on the list.
"""


@frozen
class Scalar:
    """
    One value, still as it was written.

    @ivar text: its characters, quotes and escapes undone; what is wrong, for an C{unreadable} one.
    @ivar verbatim: for a value that cannot well be quoted, since it came from the environment: what it is where a text
        is wanted, whatever YAML makes of it.
    """

    origin: Origin
    text: str
    kind: Kind = "text"
    verbatim: str | None = None


@define
class Sequence:
    """
    A list.
    """

    origin: Origin
    items: list[Node] = field(factory=list)
    verbatim: str | None = None


@frozen
class Entry:
    """
    One key of a mapping, with its value.

    @ivar origin: where the key stands.
    """

    origin: Origin
    value: Node


@define
class Mapping:
    """
    A mapping from keys, which are always text.
    """

    origin: Origin
    entries: dict[str, Entry] = field(factory=dict)
    verbatim: str | None = None


Node = Scalar | Sequence | Mapping

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def join(path: str, key: str | int) -> str:
    """
    The path of a key, or of a place in a list, below C{path}: C{services.echo.instances[0]}.
    """
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not _PLAIN_KEY.fullmatch(key):
        key = json.dumps(shorten(key))  # one line, whatever the key holds
    return f"{path}.{key}" if path else key


def shorten(text: str, length: int = 60) -> str:
    """
    At most C{length} characters of C{text}, for a message.
    """
    return text if len(text) <= length else text[: length - 3] + "..."
