"""
The keys of a mapping, put to their decoders.

A decoder takes a L{Value} and returns what it means, or raises L{InvalidError}. A L{Section} is the one place that
turns failures into located errors and goes on with the default, so that a single reading of a file finds all mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import TypeVar

from attrs import frozen

from siger.config.nodes import Mapping, Node, Scalar, Sequence, SettingError, join, shorten

__all__ = ["Decoder", "InvalidError", "ReportedError", "Section", "Value", "attempt", "mismatch", "suggestion"]

T = TypeVar("T")
D = TypeVar("D")

_KIND_NAMES = {"number": "a number", "boolean": "true or false", "null": "nothing", "other": "a date"}


class InvalidError(Exception):
    """
    A value is not what it must be. The message begins in lower case: it comes after the key path.
    """


class ReportedError(Exception):
    """
    A value is not what it must be, and the list of errors says so already.
    """


@frozen
class Value:
    """
    A node in its place.

    @ivar path: its key path.
    @ivar faults: gets what is wrong inside it.
    """

    node: Node
    path: str
    faults: list[SettingError]

    def at(self, key: str | int, node: Node) -> Value:
        """
        A value inside this one.
        """
        return Value(node, join(self.path, key), self.faults)

    def report(self, message: str) -> None:
        """
        Add an error about this value.
        """
        self.faults.append(SettingError(message, self.path, self.node.origin))


Decoder = Callable[[Value], T]


def attempt(value: Value, decoder: Decoder[T], default: D) -> T | D:
    """
    Decode, or report why not and take the default.
    """
    try:
        return decoder(value)
    except InvalidError as error:
        value.report(str(error))
    except ReportedError:
        pass
    return default


class Section:
    """
    A mapping whose keys are known beforehand.
    """

    def __init__(self, value: Value) -> None:
        self.value = value
        self.mapping = _mapping(value)
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self.mapping.entries

    def at(self, key: str) -> Value:
        """
        The value of a key that is there.
        """
        return self.value.at(key, self.mapping.entries[key].value)

    def take(self, key: str, decoder: Decoder[T], default: D) -> T | D:
        """
        The value of a key, or the default when it is absent or wrong.
        """
        self._known.append(key)
        if key not in self:
            return default
        return attempt(self.at(key), decoder, default)

    def need(self, *keys: str) -> None:
        """
        Report the keys that there must be and are not.
        """
        for key in keys:
            if key not in self:
                self.value.report(f"needs the key {key!r}")

    def finish(self) -> None:
        """
        Report every key that nobody asked for.
        """
        for key, entry in self.mapping.entries.items():
            if key not in self._known:
                message = "unknown key" + suggestion(key, self._known)
                self.value.faults.append(SettingError(message, join(self.value.path, key), entry.origin))

    def each(self, decoder: Callable[[str, Value], T]) -> dict[str, T]:
        """
        For a mapping whose keys are names: what each of them means, wrong ones left out.
        """
        found = {}
        for key in self.mapping.entries:
            meaning = attempt(self.at(key), lambda value, key=key: decoder(key, value), None)  # type: ignore[misc]
            if meaning is not None:
                found[key] = meaning
        return found


def suggestion(word: str, known: list[str]) -> str:
    """
    C{"; did you mean 'port'?"}, or nothing when no known word is near.
    """
    snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", word).replace("-", "_").lower()
    near = get_close_matches(snake, known, 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _mapping(value: Value) -> Mapping:
    node = value.node
    if isinstance(node, Mapping):
        return node
    if isinstance(node, Scalar) and node.kind == "null":
        return Mapping(node.origin)
    raise mismatch("a mapping", node)


def mismatch(wanted: str, node: Node, show: bool = False) -> InvalidError | ReportedError:
    """
    The exception for a node of the wrong kind.

    @param show: whether a text is no secret.
    """
    if isinstance(node, Scalar):
        if node.kind == "reported":
            return ReportedError()
        if node.kind == "unreadable":
            return InvalidError(f"expected {wanted}, got what is not YAML ({node.text})")
        if show and node.kind != "null":
            return InvalidError(f"expected {wanted}, got {shorten(node.text)!r}")
    return InvalidError(f"expected {wanted}, got {_describe(node)}")


def _describe(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    return _KIND_NAMES.get(node.kind, "a text")
