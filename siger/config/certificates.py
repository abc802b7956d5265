"""
Certificates and their private keys, as files of PEM.

What is wrong with a pair is said here, before a client could find out: at start it is a mistake in the configuration,
and later, when the files change, the reason why the old pair is kept.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from siger.config.settings.tls import CertificateFiles

__all__ = ["CertificateError", "CertificateFacts", "read_authorities", "read_pair"]

_MAX_BYTES = 1024 * 1024
_MIN_RSA_BITS = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


class CertificateError(Exception):
    """
    A file is not what it must be. The message begins in lower case: it comes after the name of the file.

    @ivar file: C{certificate} or C{key}: which of a pair it is.
    """

    def __init__(self, message: str, file: str = "certificate") -> None:
        super().__init__(message)
        self.file = file


@frozen
class CertificateFacts:
    """
    What a certificate says, as far as it is of interest here.

    @ivar subject: whom it was made out to, or the name of its file where it does not say.
    @ivar names: its subject alternative names in lower case: host names, some with C{*} as their first label, and IP
        addresses.
    @ivar digest: of the contents of both files.
    """

    subject: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    digest: bytes


def read_pair(files: CertificateFiles) -> CertificateFacts:
    """
    Read a certificate and its key.

    @raise CertificateError: when a file cannot be read or is something else, or when the two do not fit.
    """
    chain, key = _read(files.certificate, "certificate"), _read(files.key, "key")
    certificates = _certificates(chain)
    _check_fit(certificates, _public_part(key))
    leaf = certificates[0]
    digest = sha256(sha256(chain).digest() + key).digest()
    subject = leaf.subject.rfc4514_string() or Path(files.certificate).name
    return CertificateFacts(subject, _names(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc, digest)


def read_authorities(path: str) -> None:
    """
    Read the certificates of authorities.

    @raise CertificateError: when there are none.
    """
    _certificates(_read(path, "certificate"))


def _read(path: str, file: str) -> bytes:
    try:
        with Path(path).open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CertificateError(f"cannot be read: {getattr(error, 'strerror', None) or error}", file) from error
    if len(content) > _MAX_BYTES:
        raise CertificateError(f"is larger than {_MAX_BYTES} bytes", file)
    return content


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CertificateError("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from None


def _public_part(pem: bytes) -> bytes:
    """
    The public part of a private key. Messages never show any of it.
    """
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        message = "is encrypted, and nobody is there to enter the passphrase; `openssl pkey` takes that off"
        raise CertificateError(message, "key") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", "key") from None
    public = key.public_key()
    if not _is_accepted(public):
        message = f"is no key that TLS is used with: ECDSA on P-256, 384 or 521, RSA of {_MIN_RSA_BITS} bits, EdDSA"
        raise CertificateError(message, "key")
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_accepted(key: object) -> bool:
    if isinstance(key, RSAPublicKey):
        return key.key_size >= _MIN_RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return key.curve.name in _CURVES
    return isinstance(key, Ed25519PublicKey | Ed448PublicKey)


def _check_fit(certificates: list[x509.Certificate], key: bytes) -> None:
    """
    See that the key is that of the first certificate; the others are those of its issuers.
    """
    fits = [_key_of(certificate) == key for certificate in certificates]
    if any(fits[1:]) and not fits[0]:
        raise CertificateError("must have the certificate that the key is for first, and those of issuers behind it")
    if not fits[0]:
        raise CertificateError("does not belong to the certificate", "key")


def _key_of(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return b""


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except (ValueError, x509.DuplicateExtension):
        raise CertificateError("has extensions that cannot be read") from None
    hosts = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*(host.lower() for host in hosts), *map(str, addresses))
