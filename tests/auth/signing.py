"""
Keys to sign with, and tokens that say whatever a test wants.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

__all__ = [
    "NOW",
    "SECRET",
    "compact",
    "jwk",
    "own_claims",
    "pem",
    "private_key",
    "segment",
    "sign",
]

NOW = 1_790_000_000
"""
What the clock says in tests.
"""

SECRET = "a secret that only these tests know of"

_CURVES: dict[str, Any] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


@cache
def private_key(algorithm: str, name: str = "", bits: int = 2048) -> Any:
    """
    A private key for an algorithm; the same for the same arguments, as making one takes a while.
    """
    if algorithm[:2] in ("RS", "PS"):
        return rsa.generate_private_key(65537, bits)
    if algorithm == "EdDSA":
        return ed448.Ed448PrivateKey.generate() if name == "448" else ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(_CURVES[algorithm]())


def pem(key: Any) -> str:
    """
    The public half of a private key.
    """
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode("ascii")


def jwk(algorithm: str, key: Any, **members: Any) -> dict[str, Any]:
    """
    The public half of a private key, as issuers publish it.
    """
    made: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    made.pop("key_ops", None)
    return {**made, "alg": algorithm, "use": "sig", **members}


def segment(content: bytes | Mapping[str, Any]) -> bytes:
    """
    One part of a token: these very bytes, or these members.
    """
    if not isinstance(content, bytes):
        content = json.dumps(content).encode("utf-8")
    return urlsafe_b64encode(content).rstrip(b"=")


def compact(header: bytes | Mapping[str, Any], claims: bytes | Mapping[str, Any], signature: bytes = b"x") -> bytes:
    """
    A token that nobody signed.
    """
    return b".".join((segment(header), segment(claims), segment(signature)))


def sign(
    algorithm: str,
    key: Any,
    claims: bytes | Mapping[str, Any],
    header: Mapping[str, Any] | None = None,
) -> bytes:
    """
    A token, signed with an algorithm whatever its header says.

    @param key: a private key, or a secret as bytes.
    @param header: members besides C{alg} and C{typ}, or instead of them; C{None} as a value leaves one out.
    """
    members = {"alg": algorithm, "typ": "at+jwt", **(header or {})}
    signed = segment({name: value for name, value in members.items() if value is not None}) + b"." + segment(claims)
    implementation = get_default_algorithms()[algorithm]
    return signed + b"." + segment(implementation.sign(signed, key))


def own_claims(**changes: Any) -> dict[str, Any]:
    """
    What one of our own tokens claims, with changes; C{None} leaves a claim out.
    """
    claims: dict[str, Any] = {
        "user_id": "1",
        "username": "alice",
        "role": "user",
        "sub": "1",
        "iss": "siger-api-gateway",
        "aud": "siger",
        "iat": NOW - 10,
        "exp": NOW + 600,
        "jti": "token-1",
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}
