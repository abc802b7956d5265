"""
Public keys of other issuers, as PEM text.

A key is bound to one algorithm, and has to be of the kind and size which that one needs: a token's own word for its
algorithm never decides what a key is taken for (RFC 8725 section 3.1).
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from siger.config.decode import choice, text, written
from siger.config.section import InvalidError, Section, Value
from siger.config.settings.accounts import PublicKey
from siger.config.signing import key_name

__all__ = ["ALGORITHMS", "public_key"]

_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = (*_RSA, *_CURVES, "EdDSA")
"""
The algorithms whose keys can be published. Those that sign and verify with one secret are not among them, on purpose.
"""

_MIN_RSA_BITS = 2048  # RFC 7518 section 3.3
_MAX_BYTES = 65536

_algorithm = choice(*ALGORITHMS)


def public_key(value: Value) -> PublicKey:
    """
    One key, with the one algorithm that it may be used with.
    """
    section = Section(value)
    take = section.take
    before = len(value.faults)
    kid = take("kid", key_name, "")
    algorithm = take("algorithm", _algorithm, "")
    inline, from_file = take("public_key", _inline, ""), take("file", _from_file, "")
    section.finish()
    section.need("algorithm")
    if ("public_key" in section) == ("file" in section):
        value.report("needs either public_key, as PEM text, or the file that it is in")
    if len(value.faults) == before:
        place = section.at("public_key" if "public_key" in section else "file")
        _report_mismatch(place, algorithm, inline or from_file)
    return PublicKey(kid, algorithm, inline or from_file)


def _report_mismatch(place: Value, algorithm: str, pem: str) -> None:
    try:
        _check(algorithm, pem)
    except InvalidError as error:
        place.report(str(error))


def _inline(value: Value) -> str:
    return written(value, "a public key as PEM text")


def _from_file(value: Value) -> str:
    path = Path(text(value))
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InvalidError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > _MAX_BYTES:
        raise InvalidError(f"is larger than {_MAX_BYTES} bytes")
    return content.decode("ascii", "replace")


def _check(algorithm: str, pem: str) -> None:
    """
    @raise InvalidError: when this is no public key, or not one for this algorithm. The message never shows it.
    """
    if "PRIVATE KEY-----" in pem:
        raise InvalidError("is a private key, which is for its issuer alone; `openssl pkey -pubout` makes it public")
    if "BEGIN CERTIFICATE-----" in pem:
        raise InvalidError("is a certificate; `openssl x509 -pubkey -noout` takes the key out of it")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidError("is not a public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
    wanted = _misfit(algorithm, key)
    if wanted:
        raise InvalidError(f"is not a key for {algorithm}, which needs {wanted}")


def _misfit(algorithm: str, key: object) -> str:
    """
    What the algorithm needs instead of this key; C{""} when it is right.
    """
    if algorithm in _RSA:
        right = isinstance(key, RSAPublicKey) and key.key_size >= _MIN_RSA_BITS
        return "" if right else f"an RSA key of at least {_MIN_RSA_BITS} bits"
    if algorithm == "EdDSA":
        return "" if isinstance(key, Ed25519PublicKey | Ed448PublicKey) else "an Ed25519 or Ed448 key"
    curve = _CURVES[algorithm]
    return "" if isinstance(key, EllipticCurvePublicKey) and key.curve.name == curve else f"a key on the curve {curve}"
