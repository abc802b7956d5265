"""
Roles, and who may call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

from siger.config.decode import choice, list_of, text
from siger.config.nodes import Scalar, Sequence, shorten
from siger.config.section import Decoder, InvalidError, Value, suggestion
from siger.config.settings.admission import Auth
from siger.config.settings.gateway import Settings

__all__ = ["auth", "known_role", "role", "roles_of"]

_ROLE = re.compile(r"[a-z0-9_][a-z0-9_.:-]{0,63}")


def role(value: Value) -> str:
    """
    The name of a role. C{public} is none: it would look like everyone where it stands for a few.
    """
    found = text(value)
    if not _ROLE.fullmatch(found):
        raise InvalidError(f"a role has 1 to 64 characters of a-z, 0-9 and _ . : -, got {shorten(found)!r}")
    if found == "public":
        raise InvalidError("public is no role; for everyone, write auth: public")
    return found


def auth(value: Value) -> Auth:
    """
    C{public}, C{user}, or a list of roles.
    """
    node = value.node
    if isinstance(node, Sequence):
        if not node.items:
            raise InvalidError("a list of roles needs at least one")
        return tuple(dict.fromkeys(list_of(role)(value)))
    if isinstance(node, Scalar) and node.kind in ("text", "quoted") and _ROLE.fullmatch(node.text):
        if node.text in ("public", "user"):
            return "public" if node.text == "public" else "user"
        raise InvalidError(f"expected public, user or a list of roles, got {node.text!r}; did you mean [{node.text}]?")
    return "public" if choice("public", "user")(value) == "public" else "user"


def roles_of(settings: Settings, listed: Iterable[str]) -> frozenset[str]:
    """
    All roles that there are: the two that always exist, those that are listed, and those that something asks for.
    """
    asked = [settings.service_defaults.auth, *(service.auth for service in settings.services.values())]
    asked += [route.auth for route in settings.routes if route.auth is not None]
    return Settings().roles.union(listed, *(roles for roles in asked if isinstance(roles, tuple)))


def known_role(known: Set[str] | None) -> Decoder[str]:
    """
    A role that there is: one that nothing asks for and nobody lists is a slip of the pen.

    @param known: all of them; C{None} when something is wrong where they are named, which has errors of its own.
    """

    def decode(value: Value) -> str:
        found = role(value)
        if known is not None and found not in known:
            near = suggestion(found, sorted(known))
            raise InvalidError(f"there is no role {found!r}; others than user and admin are named under roles{near}")
        return found

    return decode
