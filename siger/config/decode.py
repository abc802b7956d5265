"""
From nodes to typed values: one small decoder a type.

Messages about plain texts never repeat the text, since it could be a secret in the wrong place.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from siger.config.nodes import Node, Scalar, Sequence, shorten
from siger.config.section import Decoder, InvalidError, Value, attempt, mismatch, suggestion

__all__ = [
    "boolean",
    "choice",
    "exact",
    "integer",
    "is_off",
    "list_of",
    "number",
    "off_or",
    "printable",
    "size",
    "text",
    "written",
]

T = TypeVar("T")
D = TypeVar("D")

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]{0,17})(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9]{1,2})?")
_SIZE = re.compile(r"((?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})")
_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_UNITS |= {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def text(value: Value) -> str:
    """
    A text. From a file it must be one for YAML too: C{no} is not the country, and C{0x10} is 16.
    """
    node = value.node
    found = node.verbatim
    if found is None:
        found = _file_text(node)
    if any(character < " " or character == "\x7f" for character in found):
        raise InvalidError("holds a control character (a line break, perhaps)")
    return found


def printable(value: Value) -> str:
    """
    What goes into a header field or a query as it is.
    """
    found = text(value)
    if not found.isascii() or " " in found:
        raise InvalidError("holds a blank, or a character outside ASCII")
    return found


def _file_text(node: Node) -> str:
    if not isinstance(node, Scalar) or node.kind in ("null", "reported"):
        raise mismatch("a text", node)
    if node.kind not in ("text", "quoted"):
        raise InvalidError(f"{mismatch('a text', node)}; put it in quotes")
    return node.text


def written(value: Value, wanted: str) -> str:
    """
    The characters of a value for which it does not matter what YAML takes it for.

    @param wanted: what to call it.
    """
    node = value.node
    if isinstance(node, Scalar) and node.kind not in ("null", "unreadable", "reported"):
        return node.text
    if node.verbatim:
        return node.verbatim
    raise mismatch(wanted, node)


def boolean(value: Value) -> bool:
    """
    C{true} or C{false}, or another of YAML's words for them.
    """
    node = value.node
    if not isinstance(node, Scalar) or node.kind != "boolean":
        raise mismatch("true or false", node, show=True)
    return node.text.lower() in ("true", "yes", "on")


def is_off(value: Value) -> bool:
    """
    Whether it says off: C{off}, C{"off"} or C{false}. YAML makes false of a bare off.
    """
    node = value.node
    if not isinstance(node, Scalar):
        return False
    return not boolean(value) if node.kind == "boolean" else node.text.lower() == "off"


def off_or(decoder: Decoder[T], off: D) -> Decoder[T | D]:
    """
    C{off}, or something else.
    """

    def decode(value: Value) -> T | D:
        return off if is_off(value) else decoder(value)

    return decode


def _digits(value: Value, wanted: str, grammar: re.Pattern[str]) -> str:
    node = value.node
    if not isinstance(node, Scalar) or node.kind not in ("number", "text"):
        raise mismatch(wanted, node, show=True)
    digits = re.sub(r"(?<=[0-9])_(?=[0-9])", "", node.text)
    if not grammar.fullmatch(digits):
        raise mismatch(wanted, node, show=True)
    return digits


def integer(low: int, high: int) -> Decoder[int]:
    """
    A whole number in decimal, within bounds. YAML's octal and sexagesimal ones only ever surprise.
    """
    wanted = f"a whole number from {low} to {high}"

    def decode(value: Value) -> int:
        found = int(_digits(value, wanted, _WHOLE))
        if not low <= found <= high:
            raise InvalidError(f"expected {wanted}, got {found}")
        return found

    return decode


def number(low: float, high: float) -> Decoder[float]:
    """
    A number within bounds.
    """
    wanted = f"a number from {low:g} to {high:g}"

    def decode(value: Value) -> float:
        found = float(_digits(value, wanted, _NUMBER))
        if not low <= found <= high:
            raise InvalidError(f"expected {wanted}, got {found:g}")
        return found

    return decode


def exact(low: str, high: str) -> Decoder[Fraction]:
    """
    A number within bounds, exactly as it is written: one tenth is one tenth.
    """
    wanted = f"a number from {low} to {high}"

    def decode(value: Value) -> Fraction:
        digits = _digits(value, wanted, _NUMBER)
        found = Fraction(Decimal(digits))
        if not Fraction(low) <= found <= Fraction(high):
            raise InvalidError(f"expected {wanted}, got {digits}")
        return found

    return decode


def size(low: int, high: int) -> Decoder[int]:
    """
    A number of bytes, bare or with a unit: C{1048576}, C{1 MiB}, C{1.5 GB}.
    """
    wanted = "a number of bytes such as 65536 or 64 MiB"

    def decode(value: Value) -> int:
        characters = written(value, wanted)
        match = _SIZE.fullmatch(characters.replace("_", ""))
        if match is None or match[2].lower() not in _UNITS:
            raise InvalidError(f"expected {wanted}, got {shorten(characters)!r}")
        found = _bytes(match[1], _UNITS[match[2].lower()])
        if not low <= found <= high:
            raise InvalidError(f"expected {wanted}, from {low} to {high}, got {shorten(characters)!r}")
        return found

    return decode


def _bytes(digits: str, unit: int) -> int:
    return int(digits) * unit if digits.isdigit() else round(float(digits) * unit)


def choice(*words: str) -> Decoder[str]:
    """
    One of a few words.
    """

    def decode(value: Value) -> str:
        found = written(value, _alternatives(words))
        if found not in words:
            near = suggestion(found, list(words))
            raise InvalidError(f"expected {_alternatives(words)}, got {shorten(found)!r}{near}")
        return found

    return decode


def _alternatives(words: tuple[str, ...]) -> str:
    return ", ".join(words[:-1]) + " or " + words[-1]


def list_of(decoder: Decoder[T]) -> Decoder[tuple[T, ...]]:
    """
    A list, every entry alike. Wrong entries are reported one by one.
    """

    def decode(value: Value) -> tuple[T, ...]:
        node = value.node
        if isinstance(node, Scalar) and node.kind == "null":
            return ()
        if not isinstance(node, Sequence):
            raise mismatch("a list", node)
        found = [attempt(value.at(i, item), decoder, None) for i, item in enumerate(node.items)]
        return tuple(item for item in found if item is not None)

    return decode
