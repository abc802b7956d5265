"""
What can be configured but does not work yet.

The format of the file is settled before all of the gateway is built. A setting must never look as if it did something
while it does not, so it is refused. When a part is built, its rows go away here, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from siger.config.nodes import Mapping, Node, Scalar, Sequence, SettingError, join

__all__ = ["check"]

REFUSED = {
    "workers": ("1", "several worker processes are"),
}
"""
Key paths, the one value that works, and what is missing for others.
"""


def check(root: Node, faults: list[SettingError]) -> None:
    """
    Look through everything that was written.

    @param faults: gets what is refused, unless there is an error about the same value already.
    """
    known = {fault.path for fault in faults}
    for path, pattern, node in _walk(root, "", ""):
        allowed, missing = REFUSED.get(pattern, (None, ""))
        if missing and path not in known and not (isinstance(node, Scalar) and node.text == allowed):
            faults.append(SettingError(f"{missing} not supported by this version", path, node.origin))


def _walk(node: Node, path: str, pattern: str) -> Iterator[tuple[str, str, Node]]:
    """
    Every value with its key path, and with the same path in which names of services and places in lists are C{*}.
    """
    if path:
        yield path, pattern, node
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            place = "services.*" if pattern == "services" else join(pattern, key)
            yield from _walk(entry.value, join(path, key), place)
    elif isinstance(node, Sequence):
        for i, item in enumerate(node.items):
            yield from _walk(item, join(path, i), f"{pattern}[*]")
