"""
The grammar of RFC 9110 and RFC 9112 as compiled patterns, and the few conversions that are safe on bytes from a wire.

Every pattern is used with C{fullmatch} or C{search}: C{$} would match before a final LF. Nothing here decodes, strips
without naming what, or folds case outside ASCII.
"""

from __future__ import annotations

import re

__all__ = [
    "LIST_SPLIT",
    "OWS",
    "decimal",
    "is_field_line",
    "is_token",
    "is_value",
    "is_version",
    "list_members",
    "stray_control",
]

OWS = b" \t"
"""Optional whitespace (RFC 9110 section 5.6.3)."""

TCHAR = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
"""What a token is made of (RFC 9110 section 5.6.2), for use inside brackets."""

is_token = re.compile(rb"[" + TCHAR + rb"]+").fullmatch

is_version = re.compile(rb"HTTP/[1-9]\.[0-9]").fullmatch
"""A version that HTTP once had or may have; HTTP/0.9 had none to write."""

is_field_line = re.compile(rb"([" + TCHAR + rb"]+):([\t\x20-\x7e\x80-\xff]*)").fullmatch
"""A field line without its CRLF (RFC 9112 section 5): no space before the colon, no control but HTAB, no fold."""

stray_control = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n)(?=[\x00-\xff])").search
"""A byte that can be in no head: a control, a bare LF, or a CR that something else than LF follows."""

is_value = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
"""What may follow the colon of a field line."""

LIST_SPLIT = re.compile(rb"[ \t]*,[ \t]*").split
"""Splits a list value (RFC 9110 section 5.6.1); members may be empty."""

_DIGITS = re.compile(rb"[0-9]{1,19}").fullmatch


def decimal(text: bytes) -> int:
    """
    The number that C{1*DIGIT} spells; C{int} alone would take signs, spaces, underscores and any length.

    @raise ValueError: it is not 1 to 19 ASCII digits.
    """
    if _DIGITS(text) is None:
        raise ValueError("not a decimal number")
    return int(text)


def list_members(value: bytes) -> list[bytes]:
    """
    The non-empty members of a list value, in lower case.
    """
    return [member for member in LIST_SPLIT(value.strip(OWS).lower()) if member]
