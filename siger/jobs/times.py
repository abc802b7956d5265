"""
Times as jobs carry them: RFC 3339 in UTC to the millisecond, always as long, so that they sort as texts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["canonical", "is_canonical", "timestamp"]

_EXACT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_RFC_3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def timestamp(now: float) -> str:
    """
    A time of the wall clock, in seconds, as text.
    """
    return _written(datetime.fromtimestamp(now, UTC))


def canonical(text: str) -> str:
    """
    Any time of RFC 3339, whatever its offset and precision, in the one form; what is below a millisecond is dropped.

    @raise ValueError: it is none.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError("no time of RFC 3339")
    day, clock, fraction, offset = match.groups()
    offset = "+00:00" if offset in "Zz" else offset
    try:
        return _written(datetime.fromisoformat(f"{day}T{clock}{(fraction or '.0')[:7]:0<7}{offset}").astimezone(UTC))
    except OverflowError as error:
        raise ValueError("a time outside the years that there are") from error


def is_canonical(text: str) -> bool:
    """
    Whether a text is a time in the one form.
    """
    try:
        return _EXACT.fullmatch(text) is not None and canonical(text) == text
    except ValueError:
        return False


def _written(time: datetime) -> str:
    # Not strftime: it leaves out zeros in front of years below 1000.
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
