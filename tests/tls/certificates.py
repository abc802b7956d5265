"""
Certificates for tests, made when they are needed.
"""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from siger.config.settings.tls import CertificateFiles

__all__ = ["Authority", "Issued", "private_pem"]


def private_pem(key: Any, passphrase: bytes = b"") -> bytes:
    """
    A private key in PEM.
    """
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


@frozen
class Issued:
    """
    A certificate and its key, in PEM.
    """

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str = "pair") -> CertificateFiles:
        """
        Write both into a directory, which is made if need be; only the owner may read the key.

        @return: their paths.
        """
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_bytes(self.certificate)
        key.touch(0o600)
        key.write_bytes(self.key)
        return CertificateFiles(str(certificate), str(key))


class Authority:
    """
    Somebody who signs certificates.

    @ivar certificate: its own, in PEM: what trusts those that it signs.
    """

    def __init__(self, name: str = "Test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = self._builder(self._name, self._key.public_key(), -1, 365)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = self._sign(builder)

    def issue(
        self, *names: str, subject: str | None = None, key: Any = None, begins: int = -1, ends: int = 30
    ) -> Issued:
        """
        Make a certificate for host names and IP addresses.

        @param subject: its common name; by default the first of C{names}.
        @param begins: in how many days from now; C{ends} likewise.
        """
        key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
        subject = (names[0] if names else "") if subject is None else subject
        builder = self._builder(_name(subject), key.public_key(), begins, ends)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), not subject)
        return Issued(self._sign(builder), private_pem(key))

    def _builder(self, subject: x509.Name, key: Any, begins: int, ends: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=begins))
            .not_valid_after(now + datetime.timedelta(days=ends))
            .add_extension(identifier, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
