"""
C{cors:}, which stands at the top, in services and in routes.
"""

from __future__ import annotations

from typing import Literal

from siger.config.addresses import origin
from siger.config.decode import boolean, integer, list_of, off_or
from siger.config.nodes import Scalar, Sequence
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.settings.admission import Cors
from siger.config.shared import method, token

__all__ = ["cors", "own_cors"]

_OFF: Literal["off"] = "off"
_ANYBODY = '"*" and credentials do not go together: any page could act as its visitor'


def cors(value: Value) -> Cors:
    """
    Which pages of other origins may call.
    """
    section = Section(value)
    take = section.take
    base = Cors()
    found = Cors(
        origins=take("origins", _origins, base.origins),
        methods=take("methods", _methods, base.methods),
        headers=take("headers", _fields, base.headers),
        expose=take("expose", _fields, base.expose),
        credentials=take("credentials", boolean, base.credentials),
        max_age=take("max_age", integer(0, 86400), base.max_age),
    )
    section.finish()
    section.need("origins")
    if found.credentials and "*" in (*found.origins, *found.methods, *found.headers, *found.expose):
        section.at("credentials").report(_ANYBODY)
    return found


own_cors: Decoder[Cors | Literal["off"]] = off_or(cors, _OFF)
"""
What a service or a route says of other origins: its own rules, or C{off}.
"""


def _origins(value: Value) -> tuple[str, ...]:
    """
    Origins, none for nobody; beside the star, others say nothing.
    """
    found = tuple(dict.fromkeys(list_of(origin)(value)))
    return ("*",) if "*" in found else found


def _methods(value: Value) -> tuple[str, ...]:
    found = list_of(_method_or_star)(value)
    if not isinstance(value.node, Sequence) or not value.node.items:
        raise InvalidError("a list of methods needs at least one")
    return tuple(dict.fromkeys(found))


def _method_or_star(value: Value) -> str:
    node = value.node
    return "*" if isinstance(node, Scalar) and node.text == "*" else method(value)


def _fields(value: Value) -> tuple[str, ...]:
    """
    Names of fields, each once whatever its case. The star does not cover C{Authorization}, so others may stand beside
    it.
    """
    found: dict[str, str] = {}
    for name in list_of(token)(value):
        found.setdefault(name.lower(), name)
    return tuple(found.values())
