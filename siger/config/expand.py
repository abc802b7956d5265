"""
C{${VAR}} and C{${VAR:default}} inside values.

A variable that is not set and has no default is an error: a gateway must not come up with an empty secret because a
name was misspelt. A value that is nothing but one reference is typed as YAML would type what came out, so that
C{port: ${PORT:8080}} is a number. C{$${} stands for C{${} itself. What came out is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Variables

from attrs import evolve, frozen

from siger.config.document import kind_of
from siger.config.nodes import Entry, Node, Scalar, Sequence, SettingError, join, shorten

__all__ = ["MAX_TEXT", "expand"]

MAX_TEXT = 65536
"""
The longest value, in characters: repeated references can multiply.
"""

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _WrongError(Exception):
    """
    A value cannot be expanded.
    """


@frozen
class _Expander:
    variables: Variables[str, str]
    faults: list[SettingError]

    def node(self, node: Node, path: str) -> Node:
        if isinstance(node, Scalar):
            return self.scalar(node, path)
        if isinstance(node, Sequence):
            return evolve(node, items=[self.node(item, join(path, i)) for i, item in enumerate(node.items)])
        entries = {key: Entry(e.origin, self.node(e.value, join(path, key))) for key, e in node.entries.items()}
        return evolve(node, entries=entries)

    def scalar(self, node: Scalar, path: str) -> Scalar:
        try:
            # What a variable says itself, which has no line, is not expanded: SIGER_* can hold a secret with ${ in it.
            return _checked(node if node.origin.line is None else self._expanded(node))
        except _WrongError as wrong:
            self.faults.append(SettingError(str(wrong), path, node.origin))
            return Scalar(node.origin, "", "reported")

    def _expanded(self, node: Scalar) -> Scalar:
        if "${" not in node.text:
            return node
        text = _REFERENCE.sub(self._replacement, node.text)
        whole = _REFERENCE.fullmatch(node.text)
        if whole is not None and whole[1] is not None:
            return Scalar(node.origin, text, kind_of(text), verbatim=text)
        return evolve(node, text=text)

    def _replacement(self, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            raise _WrongError("${ without its }")
        name, colon, default = match[1].partition(":")
        if not _NAME.fullmatch(name):
            raise _WrongError(f"{shorten(name)!r} is not the name of a variable; for ${{ itself write $${{")
        value = self.variables.get(name, default if colon else None)
        if value is None:
            raise _WrongError(f"the variable {name} is not set; ${{{name}:...}} would give it a default")
        return value


def _checked(node: Scalar) -> Scalar:
    """
    Refuse what cannot be a setting of any kind.
    """
    for text in filter(None, [node.text, node.verbatim]):
        if len(text) > MAX_TEXT:
            raise _WrongError(f"longer than {MAX_TEXT} characters")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _WrongError("not valid Unicode")
    return node


def expand(root: Node, variables: Variables[str, str], faults: list[SettingError]) -> Node:
    """
    A copy of the tree with every reference replaced.

    @param faults: gets the references that cannot be.
    """
    return _Expander(variables, faults).node(root, "")
