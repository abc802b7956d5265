"""
What clients send to C{/auth}: small JSON objects of strings.

A body is read by what it is, not by what it is called: C{curl -d} and a browser's C{fetch} call everything a form or
plain text, and nothing is gained by refusing that. What is called something else altogether is not tried. Members that
mean nothing here are refused rather than passed over, so that nobody believes that C{is_admin} had an effect.
"""

from __future__ import annotations

from collections.abc import Sequence

from siger.auth.errors import FieldError, FieldErrors
from siger.http.json_body import JsonError, is_json, read_json

__all__ = ["BodyError", "MediaTypeError", "read_fields"]


class MediaTypeError(Exception):
    """
    The body is said to be something else than JSON.
    """


class BodyError(Exception):
    """
    The body as a whole cannot be used. The message is a sentence for its sender.
    """


def read_fields(
    content_type: bytes | None, content: bytes, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, str]:
    """
    Read an object of strings.

    @param required: the members that have to be there.
    @param optional: those that may be.
    @return: the members that are there.
    @raise MediaTypeError: it is said to be something else.
    @raise BodyError: it is no such object.
    @raise FieldErrors: members are missing, or are no strings.
    """
    if not is_json(content_type):
        raise MediaTypeError()
    try:
        members = read_json(content, max_depth=2)
    except JsonError as error:
        raise BodyError(str(error)) from error
    known = (*required, *optional)
    if not members.keys() <= set(known):
        raise BodyError(f"The body has members other than {', '.join(known)}.")
    errors = [FieldError(name, "is missing") for name in required if name not in members]
    errors += [FieldError(name, "must be a string") for name in known if not isinstance(members.get(name, ""), str)]
    if errors:
        raise FieldErrors(errors)
    return members
