"""
C{rate_limit:}, which stands at the top, in services and in routes.
"""

from __future__ import annotations

import math
import re

from siger.config.decode import boolean, exact, integer, list_of, off_or, text
from siger.config.nodes import Sequence, shorten
from siger.config.section import Decoder, InvalidError, Section, Value, suggestion
from siger.config.settings.admission import RateLimit, RateLimits

__all__ = ["rate_limits"]

_PLAIN_KEYS = ("client_ip", "user", "route", "service")
_CLAIM = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_NO_LIMIT: RateLimits = ()


def _limits(value: Value) -> RateLimits:
    """
    One limit, or several that hold together.
    """
    if not isinstance(value.node, Sequence):
        return (_limit(value),)
    if not value.node.items:
        raise InvalidError("an empty list limits nothing; if that is meant, write off")
    return list_of(_limit)(value)


rate_limits: Decoder[RateLimits] = off_or(_limits, _NO_LIMIT)
"""
A limit, a list of limits, or C{off}.
"""


def _limit(value: Value) -> RateLimit:
    """
    A rate limit; as many again may come at once, unless C{burst} says otherwise.
    """
    section = Section(value)
    base = RateLimit()
    rate = section.take("requests_per_second", exact("0.001", "1000000"), base.requests_per_second)
    found = RateLimit(
        requests_per_second=rate,
        burst=section.take("burst", integer(1, 10_000_000), math.ceil(2 * rate)),
        key=section.take("key", _key, base.key),
        shadow=section.take("shadow", boolean, base.shadow),
    )
    section.finish()
    section.need("requests_per_second")
    return found


def _key(value: Value) -> tuple[str, ...]:
    """
    What a bucket belongs to, or a list of what it belongs to together.
    """
    if not isinstance(value.node, Sequence):
        return (_part(value),)
    if not value.node.items:
        raise InvalidError("a list of keys needs at least one")
    found = list_of(_part)(value)
    twice = [part for part in found if found.count(part) > 1]
    if twice:
        raise InvalidError(f"{twice[0]} is there twice")
    return found


def _part(value: Value) -> str:
    found = text(value)
    kind, colon, name = found.partition(":")
    if found in _PLAIN_KEYS or (kind == "claim" and _CLAIM.fullmatch(name)):
        return found
    if kind == "header" and _FIELD.fullmatch(name):
        return found.lower()  # names of fields are the same in any case: RFC 9110 section 5.1
    near = "" if colon else suggestion(found, list(_PLAIN_KEYS))
    expected = f"{', '.join(_PLAIN_KEYS)}, claim:NAME or header:NAME"
    raise InvalidError(f"expected {expected}, got {shorten(found)!r}{near}")
