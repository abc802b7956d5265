"""
Who may be called by libuv without ado.

The mark is a class attribute, C{reads_directly = True}, so that protocols need to import nothing for it. What it
promises is told in the package's documentation.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol

__all__ = ["factory_reads_directly", "has_log_prefix", "reads_directly"]


def reads_directly(protocol: Any) -> bool:
    """
    Tell whether a protocol, or what it wraps, has the mark.
    """
    while protocol is not None:
        if getattr(type(protocol), "reads_directly", False):
            return True
        protocol = _wrapped(protocol, "wrappedProtocol")
    return False


def factory_reads_directly(factory: Any) -> bool:
    """
    Tell whether a factory, what it wraps, or the class of the protocols that it makes has the mark.
    """
    while factory is not None:
        if getattr(type(factory), "reads_directly", False):
            return True
        if getattr(getattr(factory, "protocol", None), "reads_directly", False):
            return True
        factory = _wrapped(factory, "wrappedFactory")
    return False


def has_log_prefix(protocol: Any) -> bool:
    """
    Tell whether a protocol names itself in the log.
    """
    return getattr(type(protocol), "logPrefix", Protocol.logPrefix) is not Protocol.logPrefix


def _wrapped(wrapper: Any, name: str) -> Any:
    """
    Return what C{wrapper} wraps, or C{None}.

    Not by C{getattr}, for wrappers forward what they lack. The name with an underscore is that of Twisted's endpoints.
    """
    attributes = getattr(wrapper, "__dict__", {})
    return attributes.get(name) or attributes.get("_" + name)
