"""
What can be configured but does not work yet.

The format of the file is settled before all of the gateway is built. A setting that protects something must never look
as if it did while it does not, so it is refused; one whose absence everybody would notice anyway is accepted, with a
warning. When a part is built, its rows go away here, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from siger.config.nodes import Mapping, Node, Scalar, Sequence, SettingError, join

__all__ = ["check"]

REFUSED = {
    "workers": ("1", "several worker processes are"),
    "service_defaults.auth": ("public", "access control is"),
    "services.*.auth": ("public", "access control is"),
    "routes[*].auth": ("public", "access control is"),
    "service_defaults.protocol": ("http1", "a protocol other than http1 is"),
    "services.*.protocol": ("http1", "a protocol other than http1 is"),
    "routes[*].grpc": (None, "gRPC routes are"),
}
"""
Key paths, the one value that works, and what is missing for others.
"""

IGNORED = {
    "nats_address",
    "jwt_secret",
    "jwt_expiration",
    "registration",
    "cors",
    "rate_limit",
    "service_defaults.rate_limit",
    "services.*.rate_limit",
    "routes[*].rate_limit",
}
"""
Key paths of settings that are read and not acted on.
"""

_NOTHING = ("", "off", "false", "no")


def check(root: Node, faults: list[SettingError]) -> tuple[str, ...]:
    """
    Look through everything that was written.

    @param faults: gets what is refused, unless there is an error about the same value already.
    @return: warnings about what is ignored.
    """
    known = {fault.path for fault in faults}
    warnings = []
    for path, pattern, node in _walk(root, "", ""):
        if pattern in IGNORED and not _says_nothing(node):
            warnings.append(f"{node.origin}: {path} is read, but this version does not act on it yet")
        allowed, missing = REFUSED.get(pattern, (None, ""))
        if missing and path not in known and not (isinstance(node, Scalar) and node.text == allowed):
            faults.append(SettingError(f"{missing} not supported by this version", path, node.origin))
    return tuple(warnings)


def _says_nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and node.text.lower() in _NOTHING


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
