"""
Overrides from the environment: C{SIGER_PORT} for C{port}, C{SIGER_CONSUL__TOKEN} for C{consul.token}.

The value is YAML, as it would stand after the key in the file; where a text is wanted it is taken as it is, since
nobody quotes a password twice. A variable that names no key is an error just as the key would be in the file, save
those that Kubernetes and Docker make for a service which happens to be called C{siger}, and those of C{siger job}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Variables

from siger.config.document import MAX_DEPTH, parse
from siger.config.nodes import Entry, Mapping, Node, Origin, Scalar, Sequence, SettingError, shorten

__all__ = ["PREFIX", "override"]

PREFIX = "SIGER_"

_SERVICE_LINK = re.compile(r"SIGER_(SERVICE_(HOST|PORT)(_.*)?|NAME|PORT_[0-9]+_(TCP|UDP|SCTP).*)")
_LINK_URL = re.compile(r"(tcp|udp|sctp)://.*")
_PLACE = re.compile(r"[0-9]{1,5}")
_BUILD = "SIGER_COMPILE"  # setup.py's own
_CLIENT = ("SIGER_URL", "SIGER_TOKEN")
_TEST_PREFIX = "SIGER_TEST_"


def override(root: Mapping, variables: Variables[str, str], faults: list[SettingError]) -> None:
    """
    Put every C{SIGER_*} variable in its place in the tree.

    @param faults: gets the variables whose place cannot be found.
    """
    for name in sorted(variables):
        if name.startswith(PREFIX) and not _is_foreign(name, variables[name]):
            keys = _keys(name)
            if len(keys) > MAX_DEPTH or not _place(root, keys, _value(name, variables[name])):
                faults.append(SettingError("there is no such key", shorten(".".join(keys)), Origin(name)))


def _is_foreign(name: str, value: str) -> bool:
    if name == "SIGER_PORT":
        return _LINK_URL.fullmatch(value) is not None
    if name == _BUILD or name in _CLIENT or name.startswith(_TEST_PREFIX):
        return True
    return _SERVICE_LINK.fullmatch(name) is not None


def _keys(name: str) -> list[str]:
    """
    The key path that a variable's name spells. Names of services have dashes, which those of variables cannot have.
    """
    keys = name[len(PREFIX) :].lower().split("__")
    if keys[0] == "services" and len(keys) > 1:
        keys[1] = keys[1].replace("_", "-")
    return keys


def _value(name: str, text: str) -> Node:
    """
    A variable's value as YAML, and as it is.
    """
    origin = Origin(name)
    faults: list[SettingError] = []
    node = parse(text, name, faults)
    if faults:
        message = ": ".join(filter(None, [faults[0].path, faults[0].message]))
        return Scalar(origin, message, "unreadable", verbatim=text)
    return _from(node if node is not None else Scalar(origin, "", "null"), origin, text)


def _from(node: Node, origin: Origin, text: str) -> Node:
    """
    The same node, as coming from a variable rather than from a line of a file.
    """
    if isinstance(node, Scalar):
        return Scalar(origin, node.text, node.kind, node.text if node.kind == "quoted" else text)
    if isinstance(node, Sequence):
        return Sequence(origin, [_inner(item, origin) for item in node.items], text)
    return Mapping(origin, {k: Entry(origin, _inner(e.value, origin)) for k, e in node.entries.items()}, text)


def _inner(node: Node, origin: Origin) -> Node:
    """
    The same for what is inside a list or a mapping: there is YAML only, where a text can be quoted.
    """
    if isinstance(node, Scalar):
        return Scalar(origin, node.text, node.kind)
    if isinstance(node, Sequence):
        return Sequence(origin, [_inner(item, origin) for item in node.items])
    return Mapping(origin, {k: Entry(origin, _inner(e.value, origin)) for k, e in node.entries.items()})


def _place(node: Mapping | Sequence, keys: list[str], value: Node) -> bool:
    """
    Set C{value} below C{node}, making the mappings on the way.

    @return: C{False} when the way leads to an entry that a list does not have.
    """
    if isinstance(node, Sequence):
        return _place_in_list(node, keys, value)
    entry = node.entries.get(keys[0])
    inner = _below(entry.value if entry is not None else None, keys[1:], value)
    if inner is None:
        return False
    node.entries[keys[0]] = Entry(entry.origin if entry is not None and keys[1:] else value.origin, inner)
    return True


def _place_in_list(node: Sequence, keys: list[str], value: Node) -> bool:
    number = int(keys[0]) if _PLACE.fullmatch(keys[0]) else len(node.items)
    inner = _below(node.items[number], keys[1:], value) if number < len(node.items) else None
    if inner is None:
        return False
    node.items[number] = inner
    return True


def _below(present: Node | None, rest: list[str], value: Node) -> Node | None:
    """
    What stands at a key once C{value} is set at or below it; C{None} when it cannot be.
    """
    if not rest:
        return value
    inner = present if isinstance(present, Mapping | Sequence) else Mapping(value.origin)
    return inner if _place(inner, rest, value) else None
