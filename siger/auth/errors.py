"""
What can go wrong with an account, so that whoever answers a client can tell the cases apart.

What a store says of itself (it is away, somebody else was first) is in L{siger.messaging.errors}.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BadCredentialsError", "BusyError", "FieldError", "FieldErrors", "NameTakenError", "UnknownUserError"]


class FieldError(Exception):
    """
    One field that breaks a rule.

    @ivar field: its name.
    @ivar message: the rule, in words for whoever filled it in. It never repeats the value.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.message = message

    @property
    def pointer(self) -> str:
        """
        Where it is in the body: a JSON pointer as a URI fragment (RFC 6901 section 6), which is what a problem
        document names it by (RFC 9457 section 3).
        """
        return "#/" + self.field.replace("~", "~0").replace("/", "~1")


class FieldErrors(Exception):  # noqa: N818 (there are several)
    """
    All the fields that break a rule, so that they can be put right at once.

    @ivar errors: at least one.
    """

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)


class NameTakenError(Exception):
    """
    Somebody has this name already.
    """


class UnknownUserError(Exception):
    """
    Nobody has this name.
    """


class BadCredentialsError(Exception):
    """
    Not the name and password of anybody who may log in: one class without words, whichever of the two is wrong.
    """


class BusyError(Exception):
    """
    Too many passwords are waiting already.
    """
