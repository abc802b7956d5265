"""
C{issuers:}: whose tokens are believed besides the gateway's own.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final
from urllib.parse import urlsplit

from siger.config.addresses import instance_host, is_loopback, split
from siger.config.decode import choice, integer, list_of, text
from siger.config.nodes import Scalar, Sequence, shorten
from siger.config.public_keys import ALGORITHMS, public_key
from siger.config.roles import known_role
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.settings.accounts import IssuerSettings, PublicKey

__all__ = ["OWN_ISSUER", "issuers"]

OWN_ISSUER: Final = "siger-api-gateway"
"""
What the gateway calls itself in its own tokens.
"""

_YEAR = 365 * 86400
_BASE = IssuerSettings(issuer="")

_algorithm = choice(*ALGORITHMS)


def issuers(known: Set[str] | None) -> Decoder[tuple[IssuerSettings, ...]]:
    """
    A decoder of all issuers.

    @param known: the roles that there are; C{None} when that cannot be said.
    """

    def decode(value: Value) -> tuple[IssuerSettings, ...]:
        seen: set[str] = set()

        def one(value: Value) -> IssuerSettings:
            found = _issuer(value, known)
            if found.issuer in seen:
                raise InvalidError(f"the issuer {shorten(found.issuer)!r} is there twice")
            seen.update(filter(None, [found.issuer]))
            return found

        return list_of(one)(value)

    return decode


def _issuer(value: Value, known: Set[str] | None) -> IssuerSettings:
    section = Section(value)
    take = section.take
    found = IssuerSettings(
        issuer=take("issuer", _issuer_name, ""),
        audience=take("audience", _some, _BASE.audience),
        algorithms=take("algorithms", _algorithms, _BASE.algorithms),
        keys=take("keys", _keys, _BASE.keys),
        jwks_url=take("jwks_url", _jwks_url, _BASE.jwks_url),
        token_type=take("token_type", text, _BASE.token_type),
        user_claim=take("user_claim", _some, _BASE.user_claim),
        name_claim=take("name_claim", _some, _BASE.name_claim),
        role_claim=take("role_claim", _some, _BASE.role_claim),
        roles=take("roles", _translation(known), {}),
        default_role=take("default_role", _role_or_none(known), _BASE.default_role),
        max_lifetime=take("max_lifetime", integer(1, _YEAR), _BASE.max_lifetime),
    )
    section.finish()
    section.need("issuer")
    if "keys" not in section and "jwks_url" not in section:
        value.report("needs keys or a jwks_url, or none of its tokens could be verified")
    return found


def _some(value: Value) -> str:
    found = text(value)
    if not found:
        raise InvalidError("expected a text that is not empty")
    return found


def _issuer_name(value: Value) -> str:
    found = _some(value)
    if found == OWN_ISSUER:
        raise InvalidError(f"{OWN_ISSUER} is this gateway itself; keys of its own tokens belong under jwt_keys")
    return found


def _algorithms(value: Value) -> tuple[str, ...]:
    found = list_of(_algorithm)(value)
    if not isinstance(value.node, Sequence) or not value.node.items:
        raise InvalidError("a list of algorithms needs at least one")
    return tuple(dict.fromkeys(found))


def _keys(value: Value) -> tuple[PublicKey, ...]:
    """
    At least one key, no two of one name.
    """
    found = list_of(public_key)(value)
    if not isinstance(value.node, Sequence) or not value.node.items:
        raise InvalidError("a list of keys needs at least one")
    names = [key.kid for key in found]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        value.report(f"there are two keys named {twice!r}" if twice else "there are two keys without a kid")
    return found


def _jwks_url(value: Value) -> str:
    """
    Where keys are fetched from: over TLS, since whoever can change them can be anyone.
    """
    found = text(value)
    try:
        scheme, netloc, _, _, fragment = urlsplit(found)
    except ValueError:
        raise InvalidError("expected a URL such as https://id.example.com/jwks.json") from None
    parts = split(netloc, 443)
    if scheme not in ("http", "https") or parts is None or parts[1] == 0 or fragment or not _is_visible(found):
        raise InvalidError("expected a URL such as https://id.example.com/jwks.json, without a user or a fragment")
    if scheme == "http" and not is_loopback(parts[0]):
        raise InvalidError("keys are fetched over https only, except from this machine itself")
    instance_host(parts[0])
    return found


def _is_visible(url: str) -> bool:
    return url.isascii() and all(character > " " and character not in '\\<>"' for character in url)


def _translation(known: Set[str] | None) -> Decoder[dict[str, str]]:
    """
    From names of roles there to names here.
    """
    here = known_role(known)
    return lambda value: Section(value).each(lambda _, value: here(value))


def _role_or_none(known: Set[str] | None) -> Decoder[str]:
    here = known_role(known)

    def decode(value: Value) -> str:
        node = value.node
        return "" if isinstance(node, Scalar) and node.kind != "null" and not node.text else here(value)

    return decode
