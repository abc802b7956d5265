"""
Decoders of what occurs in several places: names of services, methods and fields, and how long things may take.
"""

from __future__ import annotations

import re

from siger.config.decode import list_of, number, text
from siger.config.nodes import Sequence, shorten
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.settings.services import Timeouts

__all__ = ["GRPC_NAME", "SECONDS", "grpc_name", "method", "methods", "service_name", "timeouts", "token"]

SECONDS = number(0.01, 86400)
GRPC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
"""
The full name of a gRPC service: its package, if it has one, and its own name.
"""

_FROM_ZERO = number(0, 86400)

_SERVICE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_METHOD = re.compile(r"[A-Z][A-Z0-9-]{0,31}")
_NEVER_PROXIED = ("CONNECT", "TRACE")


def service_name(characters: str) -> str:
    """
    The name of a service, which is also a path segment and a DNS label.

    @raise InvalidError: when it is none.
    """
    if not _SERVICE_NAME.fullmatch(characters):
        raise InvalidError("a service's name has 1 to 63 characters of a-z, 0-9 and -, and no - at either end")
    return characters


def grpc_name(value: Value) -> str:
    """
    The full name of a gRPC service.
    """
    found = text(value)
    if not GRPC_NAME.fullmatch(found):
        raise InvalidError(f"expected a gRPC service such as package.v1.Service, got {shorten(found)!r}")
    return found


def timeouts(base: Timeouts) -> Decoder[Timeouts]:
    """
    Timeouts; those that are not written are as in C{base}.
    """

    def decode(value: Value) -> Timeouts:
        section = Section(value)
        found = Timeouts(
            connect=section.take("connect", SECONDS, base.connect),
            response=section.take("response", SECONDS, base.response),
            idle=section.take("idle", SECONDS, base.idle),
            deadline=section.take("deadline", _deadline, base.deadline),
        )
        section.finish()
        return found

    return decode


def _deadline(value: Value) -> float:
    """
    Seconds, or 0 for no end of them.
    """
    return _FROM_ZERO(value) and SECONDS(value)


def token(value: Value) -> str:
    """
    The name of a header field, or C{*}.
    """
    found = text(value)
    if not _TOKEN.fullmatch(found):
        raise InvalidError(f"expected the name of a header field, got {shorten(found)!r}")
    return found


def method(value: Value) -> str:
    """
    A method that clients can use.
    """
    found = text(value)
    if not _METHOD.fullmatch(found):
        raise InvalidError(f"expected an HTTP method in capitals, got {shorten(found)!r}")
    if found in _NEVER_PROXIED:
        raise InvalidError(f"{found} is always refused")
    return found


def methods(value: Value) -> tuple[str, ...]:
    """
    At least one method.
    """
    found = list_of(method)(value)
    if not isinstance(value.node, Sequence) or not value.node.items:
        raise InvalidError("a list of methods needs at least one")
    return tuple(dict.fromkeys(found))
