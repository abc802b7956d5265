"""
Keys that verify tokens, each bound to the one algorithm it may be used with.

A token's header says which algorithm it was signed with, and whoever forges a token chooses what it says. So an
algorithm is a property of a key here: a token that names another is refused, and a public key can never become the
secret of an HMAC (RFC 8725 sections 3.1 and 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

from attrs import field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError

from siger.auth.compact import CompactToken
from siger.config.public_keys import ALGORITHMS
from siger.config.secret import MIN_BYTES, is_published
from siger.config.settings.accounts import JwtKey, PublicKey
from siger.config.settings.gateway import Settings
from siger.errors import ConfigError

__all__ = ["Key", "KeyRing", "bind_public_key", "load_jwk", "load_public_key"]

SYMMETRIC: Final = "HS256"

#: Names that own keys may have; dots only where they cannot lead anywhere.
_KID: Final = re.compile("[A-Za-z0-9._-]{1,64}")

#: NIST SP 800-131A for the least; verifying with the most takes about as long as signing with the least.
_RSA_BITS: Final = range(2048, 8193)

_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}

_IMPLEMENTED: Final = get_default_algorithms()

AnyPublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey


@frozen
class Key:
    """
    A key, and what it may be used for.

    @ivar kid: its name, or C{""}.
    @ivar algorithm: the one algorithm.
    @ivar thumbprint: the same for the same key, and for no other.
    """

    kid: str
    algorithm: str
    thumbprint: str = field(repr=False)
    _material: Any = field(repr=False, eq=False)
    _implementation: Algorithm = field(repr=False, eq=False)

    def verifies(self, token: CompactToken) -> bool:
        """
        Whether this key signed it, with this key's algorithm.
        """
        return token.algorithm == self.algorithm and self._implementation.verify(
            token.signed, self._material, token.signature
        )


def secret_key(kid: str, secret: str) -> Key:
    """
    A secret that our own tokens are signed with.

    @raise ValueError: when it could be guessed, or is public.
    """
    content = secret.encode("utf-8")
    if len(content) < MIN_BYTES:
        raise ValueError(f"has less than {MIN_BYTES} bytes")
    if is_published(secret):
        raise ValueError("is a published sample")
    implementation = _IMPLEMENTED[SYMMETRIC]
    try:
        material = implementation.prepare_key(content)
    except InvalidKeyError as error:
        raise ValueError(f"is not a secret: {error}") from None
    return Key(kid, SYMMETRIC, sha256(content).hexdigest(), material, implementation)


def bind_public_key(kid: str, algorithm: str, key: object) -> Key:
    """
    A public key, for one algorithm.

    @raise ValueError: when the two do not go together, or the key is too weak.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm} is none of the algorithms {', '.join(ALGORITHMS)}")
    fit = _checked(algorithm, key)
    encoded = fit.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(kid, algorithm, sha256(encoded).hexdigest(), fit, _IMPLEMENTED[algorithm])


def _checked(algorithm: str, key: object) -> AnyPublicKey:
    if isinstance(key, RSAPublicKey) and algorithm[:2] in ("RS", "PS"):
        if key.key_size not in _RSA_BITS:
            raise ValueError(f"an RSA key of {key.key_size} bits; between 2048 and 8192 are accepted")
        return key
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name == _CURVES.get(algorithm):
        return key
    if isinstance(key, Ed25519PublicKey | Ed448PublicKey) and algorithm == "EdDSA":
        return key
    raise ValueError(f"not a public key for {algorithm}")


def load_public_key(setting: PublicKey) -> Key:
    """
    @raise ValueError: when it cannot be read, or does not fit its algorithm.
    """
    try:
        key = load_pem_public_key(setting.pem.encode("utf-8"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"not a public key in PEM: {error}") from None
    return bind_public_key(setting.kid, setting.algorithm, key)


def load_jwk(kid: str, algorithm: str, members: dict[str, Any]) -> Key:
    """
    A public key out of the members of a JSON Web Key (RFC 7517).

    @raise ValueError: when they are no such key, or it does not fit the algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm} is none of the algorithms {', '.join(ALGORITHMS)}")
    try:
        key = _IMPLEMENTED[algorithm].from_jwk(members)
    except (InvalidKeyError, UnsupportedAlgorithm, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"not a key for {algorithm}: {error}") from None
    return bind_public_key(kid, algorithm, key)


class KeyRing:
    """
    The keys of our own tokens: one signs, and all verify, so that a new one can take over without any interruption.

    @ivar signing: the key that signs.
    @ivar signing_secret: its secret.
    """

    def __init__(self, keys: Iterable[JwtKey], secret: str) -> None:
        """
        @param keys: those with names; the first of them signs.
        @param secret: the one without, which signs if there are no others. Tokens that name no key were signed with it;
            C{""}, where others sign: there are none of these.
        @raise ConfigError: when a key should not be used.
        """
        named = tuple(keys)
        self._by_kid: dict[str, Key] = {}
        if secret or not named:
            self._by_kid[""] = self._load("", secret, "jwt_secret")
        for index, key in enumerate(named):
            self._add(key, f"jwt_keys[{index}]")
        first = named[0] if named else JwtKey("", secret)
        self.signing = self._by_kid[first.kid]
        self.signing_secret = first.secret

    @classmethod
    def from_settings(cls, settings: Settings) -> KeyRing:
        """
        The keys that are configured.

        @raise ConfigError: when one should not be used.
        """
        return cls(settings.jwt_keys, settings.jwt_secret)

    def __repr__(self) -> str:
        return f"<KeyRing signs with {self.signing.kid or 'jwt_secret'!r}, verifies with {sorted(self._by_kid)}>"

    def find(self, kid: str | None) -> Key | None:
        """
        The key of this name; the one without a name for C{None}.
        """
        if kid == "":  # a name that no key has
            return None
        return self._by_kid.get(kid or "")

    def _add(self, key: JwtKey, path: str) -> None:
        if _KID.fullmatch(key.kid) is None:
            raise ConfigError("a key's name has 1 to 64 letters, digits, dots, underscores or hyphens", f"{path}.kid")
        if key.kid in self._by_kid:
            raise ConfigError("two keys have this name", f"{path}.kid")
        self._by_kid[key.kid] = self._load(key.kid, key.secret, f"{path}.secret")

    def _load(self, kid: str, secret: str, path: str) -> Key:
        try:
            return secret_key(kid, secret)
        except ValueError as error:
            raise ConfigError(str(error), path) from None
