"""
Whose tokens are believed, and the accounts that there are from the start.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

__all__ = ["IssuerSettings", "JwtKey", "PublicKey", "SeedUser"]


@frozen
class JwtKey:
    """
    A secret that the gateway's own tokens are signed with, or were until lately.

    @ivar kid: its name in the header of tokens (RFC 7515 section 4.1.4).
    """

    kid: str
    secret: str = field(repr=False)


@frozen
class PublicKey:
    """
    A public key of an issuer.

    @ivar kid: its name, or C{""} for the key of tokens that name none.
    @ivar algorithm: the one algorithm that it may be used with, as C{RS256}, C{PS256}, C{ES256} or C{EdDSA}.
    @ivar pem: the key.
    """

    kid: str
    algorithm: str
    pem: str


@frozen
class IssuerSettings:
    """
    Somebody else whose tokens are believed.

    @ivar issuer: what C{iss} must be, character by character.
    @ivar audience: what C{aud} must be, or must have among its members.
    @ivar algorithms: the asymmetric algorithms that keys of C{jwks_url} may be used with.
    @ivar keys: its keys, if they are configured.
    @ivar jwks_url: where its keys are published (RFC 7517), or C{""}.
    @ivar token_type: what C{typ} in a token's header must be, or C{""} for C{at+jwt}, C{JWT} or nothing.
    @ivar user_claim: which claim has the user's id.
    @ivar name_claim: which claim has the user's name; where it is missing, the id serves.
    @ivar role_claim: which claim has the role, or a list of roles; dots lead into objects.
    @ivar roles: what its roles are called here, by their names there; empty: as they are, but for C{admin}.
    @ivar default_role: the role of a user without any that is known here, or C{""} to refuse such tokens.
    @ivar max_lifetime: seconds between C{iat} and C{exp} above which a token is refused.
    """

    issuer: str
    audience: str = "siger"
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    keys: tuple[PublicKey, ...] = ()
    jwks_url: str = ""
    token_type: str = ""
    user_claim: str = "sub"
    name_claim: str = "preferred_username"
    role_claim: str = "role"
    roles: Mapping[str, str] = field(factory=dict, hash=False)
    default_role: str = "user"
    max_lifetime: int = 86400


@frozen
class SeedUser:
    """
    An account that is made when it does not exist: for demonstrations on one machine alone.
    """

    username: str
    password: str = field(repr=False)
    role: str = "user"
    id: str = ""
