"""
Decoders of what occurs in several places: who may call, how often, how long.
"""

from __future__ import annotations

import math
import re

from siger.config.decode import choice, integer, list_of, number, off_or, text
from siger.config.nodes import Scalar, Sequence, shorten
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.settings import Auth, OwnRateLimit, RateLimit, Timeouts

__all__ = ["SECONDS", "auth", "methods", "own_rate_limit", "rate_limit", "service_name", "timeouts", "token"]

SECONDS = number(0.01, 86400)

_SERVICE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ROLE = re.compile(r"[a-z0-9_][a-z0-9_.:-]{0,63}")
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


def auth(value: Value) -> Auth:
    """
    C{public}, C{user}, or a list of roles.
    """
    node = value.node
    if isinstance(node, Sequence):
        roles = list_of(_role)(value)
        if not node.items:
            raise InvalidError("a list of roles needs at least one")
        return roles
    if isinstance(node, Scalar) and node.kind in ("text", "quoted") and _ROLE.fullmatch(node.text):
        if node.text in ("public", "user"):
            return "public" if node.text == "public" else "user"
        raise InvalidError(f"expected public, user or a list of roles, got {node.text!r}; did you mean [{node.text}]?")
    return "public" if choice("public", "user")(value) == "public" else "user"


def _role(value: Value) -> str:
    found = text(value)
    if not _ROLE.fullmatch(found):
        raise InvalidError(f"a role has 1 to 64 characters of a-z, 0-9 and _ . : -, got {shorten(found)!r}")
    return found


def rate_limit(value: Value) -> RateLimit:
    """
    A rate limit; as many again may come at once, unless C{burst} says otherwise.
    """
    section = Section(value)
    rate = section.take("requests_per_second", number(0.001, 1_000_000), RateLimit().requests_per_second)
    burst = section.take("burst", integer(1, 10_000_000), math.ceil(2 * rate))
    key = section.take("key", choice("client_ip", "user"), RateLimit().key)
    section.finish()
    section.need("requests_per_second")
    return RateLimit(rate, burst, key)


own_rate_limit: Decoder[OwnRateLimit] = off_or(rate_limit, "off")


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
        )
        section.finish()
        return found

    return decode


def token(value: Value) -> str:
    """
    The name of a header field, or C{*}.
    """
    found = text(value)
    if not _TOKEN.fullmatch(found):
        raise InvalidError(f"expected the name of a header field, got {shorten(found)!r}")
    return found


def _method(value: Value) -> str:
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
    found = list_of(_method)(value)
    if not isinstance(value.node, Sequence) or not value.node.items:
        raise InvalidError("a list of methods needs at least one")
    return tuple(dict.fromkeys(found))
