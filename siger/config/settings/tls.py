"""
TLS, towards clients and towards instances.
"""

from __future__ import annotations

from attrs import frozen

from siger.config.settings.addresses import Listen

__all__ = ["CertificateFiles", "TLSSettings", "UpstreamTLSSettings"]


@frozen
class CertificateFiles:
    """
    A certificate, with those of its issuers behind it, and its private key.

    @ivar certificate: the path of the one file; C{key} is that of the other. They may be the same.
    """

    certificate: str
    key: str


@frozen
class TLSSettings:
    """
    Where clients connect over TLS, and how.

    @ivar listen: where to accept connections (key C{port}).
    @ivar certificates: at least one; the first is for whoever asks for a name that none of them has.
    @ivar min_version: C{1.2} or C{1.3}.
    @ivar warnings: what the operator should read about the files.
    """

    listen: Listen = Listen("", 8443)
    certificates: tuple[CertificateFiles, ...] = ()
    min_version: str = "1.2"
    warnings: tuple[str, ...] = ()


@frozen
class UpstreamTLSSettings:
    """
    How instances are connected to over TLS.

    @ivar ca: the path of a file with the authorities that are trusted, or C{""} for those of the system.
    @ivar server_name: the name that certificates must have; C{""} for the address of each instance.
    @ivar verify: whether certificates are verified at all.
    @ivar certificate: the path of the certificate that instances see; C{""} for none. C{key} is that of its key.
    """

    ca: str = ""
    server_name: str = ""
    verify: bool = True
    certificate: str = ""
    key: str = ""
