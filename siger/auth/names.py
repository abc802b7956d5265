"""
What a user may be called: one form of each name, so that nobody can look like somebody else.

Letters that only look different (full width, capitals, ligatures) come to the same name by NFKC and case folding; what
is left must be plain ASCII, so no letter of another script, no zero-width character and no combining mark gets through.
The result is the key of the record too: dots stand single and inside, as tokens of a NATS subject need them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from siger.auth.errors import FieldError

__all__ = ["canonical", "fold"]

_SHORTEST: Final = 3
_LONGEST: Final = 64
_CHARACTERS: Final = re.compile(r"[a-z0-9._-]*")


def canonical(name: str) -> str:
    """
    The one form of a name.

    @raise FieldError: when nobody can be called that.
    """
    # Neither NFKC nor case folding makes ASCII of fewer characters than it was given, and a long text is not worth
    # the work.
    folded = unicodedata.normalize("NFKC", name).casefold() if len(name) <= _LONGEST else name
    if not _SHORTEST <= len(folded) <= _LONGEST:
        raise FieldError("username", f"must have {_SHORTEST} to {_LONGEST} characters")
    if not _CHARACTERS.fullmatch(folded):
        raise FieldError("username", "may have letters a to z, digits, '.', '_' and '-' only")
    if folded[0] == "." or folded[-1] == "." or ".." in folded:
        raise FieldError("username", "must not begin or end with a dot, nor have two in a row")
    return folded


def fold(name: str) -> str:
    """
    The one form of a name, or C{""} when nobody can be called that: for whoever looks up what somebody typed.
    """
    try:
        return canonical(name)
    except FieldError:
        return ""
