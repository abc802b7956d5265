"""
The certificates that clients see, and which of them a client sees.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from ssl import (
    OP_NO_COMPRESSION,
    OP_NO_RENEGOTIATION,
    PROTOCOL_TLS_SERVER,
    SSLContext,
    SSLError,
    SSLObject,
    SSLSocket,
    TLSVersion,
)

from attrs import field, frozen

from siger.config.certificates import CertificateError, CertificateFacts, read_pair
from siger.config.settings.tls import CertificateFiles, TLSSettings

__all__ = ["CIPHERS", "VERSIONS", "Certificate", "CertificateStore", "Fingerprint", "fingerprint", "host_of"]

VERSIONS = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""
For TLS 1.2: those that HTTP/2 does not forbid (RFC 9113 section 9.2.2). All that TLS 1.3 has are good.
"""

Fingerprint = tuple[tuple[int, ...], ...]
"""
What tells that files have changed.
"""


def fingerprint(files: CertificateFiles) -> Fingerprint:
    """
    Look at files, through whatever links lead to them.
    """
    return tuple(map(_stat, (files.certificate, files.key)))


def _stat(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class CertificateContext(SSLContext):
    """
    What connections are made with.

    @ivar certificate: what they show.
    """

    certificate: Certificate


@frozen(eq=False)
class Certificate:
    """
    One that is in use.

    @ivar seen: of the files, before they were read.
    """

    files: CertificateFiles
    facts: CertificateFacts
    seen: Fingerprint
    context: CertificateContext = field(repr=False)

    def covers(self, host: str) -> bool:
        """
        Whether it was made out to this host, in lower case. A wildcard stands for one label (RFC 6125 section 6.4.3).
        """
        _, dot, parent = host.partition(".")
        return host in self.facts.names or bool(dot and f"*.{parent}" in self.facts.names)


class CertificateStore:
    """
    All of them.

    @ivar certificates: in the order of the configuration; the first is for names that nobody has.
    """

    def __init__(self, settings: TLSSettings, protocols: Sequence[str]) -> None:
        """
        @param protocols: what to agree on by ALPN, the best first.
        @raise CertificateError: when one of them cannot be used.
        """
        self._version = VERSIONS[settings.min_version]
        self._protocols = list(protocols)
        self.certificates: tuple[Certificate, ...] = ()
        self._by_name: dict[str, Certificate] = {}
        self._use([self.load(files) for files in settings.certificates])

    def _use(self, certificates: Sequence[Certificate]) -> None:
        by_name: dict[str, Certificate] = {}
        for certificate in certificates:
            for name in certificate.facts.names:
                by_name.setdefault(name, certificate)
        self.certificates, self._by_name = tuple(certificates), by_name

    def load(self, files: CertificateFiles) -> Certificate:
        """
        Read a certificate and its key.

        @raise CertificateError: why they cannot be used.
        """
        seen = fingerprint(files)
        facts = read_pair(files)
        context = CertificateContext(PROTOCOL_TLS_SERVER)
        context.minimum_version = self._version
        context.options |= OP_NO_RENEGOTIATION | OP_NO_COMPRESSION
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(self._protocols)
        try:
            # An empty passphrase, lest somebody be asked for one.
            context.load_cert_chain(files.certificate, files.key, "")
        except (SSLError, OSError) as error:
            raise CertificateError(f"cannot be used: {error}") from error
        context.sni_callback = self._choose
        context.certificate = Certificate(files, facts, seen, context)
        return context.certificate

    def replace(self, old: Certificate, new: Certificate) -> None:
        """
        Use C{new} for connections that begin from now on.
        """
        self._use([new if certificate is old else certificate for certificate in self.certificates])

    # Choosing.

    @property
    def context(self) -> CertificateContext:
        """
        What to begin handshakes with; the name that the client asks for may lead to another.
        """
        return self.certificates[0].context

    def _choose(self, connection: SSLSocket | SSLObject, name: str | None, context: SSLContext) -> None:
        if name:
            connection.context = self.find(name.encode("ascii", "replace")).context

    def find(self, server_name: bytes) -> Certificate:
        """
        The certificate for a host: by its exact name, else by a wildcard, else the first.
        """
        return self.covering(server_name.decode("latin-1").lower().removesuffix(".")) or self.certificates[0]

    def covering(self, host: str) -> Certificate | None:
        """
        The certificate that was made out to a host, in lower case.
        """
        return self._by_name.get(host) or self._by_name.get(f"*.{host.partition('.')[2]}")

    def is_misdirected(self, certificate: Certificate, authority: bytes) -> bool:
        """
        Whether a request for this host and port belongs on a connection that shows another certificate (RFC 9110
        section 15.5.20).

        @param certificate: that of the connection on which it came.
        """
        host = host_of(authority)
        return not certificate.covers(host) and self.covering(host) is not None

    @property
    def labels(self) -> dict[str, Certificate]:
        """
        Names for all of them, no two the same: subjects, or else paths.
        """
        found: dict[str, Certificate] = {}
        for certificate in self.certificates:
            subject = certificate.facts.subject
            found[certificate.files.certificate if subject in found else subject] = certificate
        return found


def host_of(authority: bytes) -> str:
    """
    A host as certificates name it, out of a checked authority (RFC 9110 section 7.2).
    """
    text = authority.decode("latin-1").lower()
    host = text[1 : text.index("]")] if text.startswith("[") else text.partition(":")[0]
    return host.removesuffix(".")
