"""
C{tls:} at the top of the file, where clients connect; and C{tls:} of a service, whose instances are connected to.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from siger.config import addresses
from siger.config.certificates import CertificateError, CertificateFacts, read_authorities, read_pair
from siger.config.decode import boolean, choice, list_of, text
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.settings.addresses import Listen
from siger.config.settings.services import ServiceSettings
from siger.config.settings.tls import CertificateFiles, TLSSettings, UpstreamTLSSettings

__all__ = ["OVER_TLS", "tls", "unverified", "upstream_tls"]

OVER_TLS = ("h2", "https")
"""
The protocols of services that are spoken over TLS.
"""

_DEFAULT = TLSSettings()
_VERSIONS = choice("1.2", "1.3")


def tls(plain: Listen) -> Decoder[TLSSettings]:
    """
    Where clients connect over TLS, and the certificates that they see.

    @param plain: where they connect without.
    """

    def decode(value: Value) -> TLSSettings:
        section = Section(value)
        take = section.take
        warnings: list[str] = []
        found = TLSSettings(
            listen=take("port", _other_than(plain), _DEFAULT.listen),
            certificates=_certificates(section, warnings),
            min_version=take("min_version", _VERSIONS, _DEFAULT.min_version),
            warnings=tuple(warnings),
        )
        section.finish()
        return found

    return decode


def _other_than(plain: Listen) -> Decoder[Listen]:
    def decode(value: Value) -> Listen:
        found = addresses.listen(value)
        if found.port and found.port == plain.port and (found.host == plain.host or not (found.host and plain.host)):
            raise InvalidError("is the port for connections without TLS; those with TLS need one of their own")
        return found

    return decode


def _certificates(section: Section, warnings: list[str]) -> tuple[CertificateFiles, ...]:
    """
    The pairs of C{certificates}, or the one that stands in the section itself.
    """
    several = section.take("certificates", list_of(lambda value: _entry(value, warnings)), ())
    single = _pair(section, warnings)
    if "certificates" in section and single is not None:
        section.value.report("certificate and key belong into the list certificates, since there is one")
    elif "certificates" in section:
        if not several and not section.value.faults:
            section.at("certificates").report("a list of certificates needs at least one")
    elif single is None:
        section.value.report("needs a certificate and its key, or a list of certificates")
    return several or tuple(filter(None, [single]))


def _entry(value: Value, warnings: list[str]) -> CertificateFiles:
    section = Section(value)
    found = _pair(section, warnings)
    section.finish()
    section.need("certificate", "key")
    return found or CertificateFiles("", "")


def _pair(section: Section, warnings: list[str]) -> CertificateFiles | None:
    """
    A certificate and its key, if either is there.
    """
    found = CertificateFiles(section.take("certificate", _path, ""), section.take("key", _path, ""))
    if "certificate" not in section and "key" not in section:
        return None
    if found.certificate and found.key:
        facts = _checked(section, found)
        if facts is not None:
            warnings += _dubious(section, found, facts)
    elif "certificate" not in section or "key" not in section:
        section.value.report("certificate and key go together")
    return found


def _checked(section: Section, files: CertificateFiles) -> CertificateFacts | None:
    try:
        return read_pair(files)
    except CertificateError as error:
        section.at(error.file).report(str(error))
        return None


def _dubious(section: Section, files: CertificateFiles, facts: CertificateFacts) -> list[str]:
    """
    What is no mistake, but seldom meant.
    """
    found = []
    now = datetime.now(UTC)
    if Path(files.key).stat().st_mode & stat.S_IROTH:
        found.append(_warning(section.at("key"), "can be read by everybody on this machine"))
    if facts.not_after <= now:
        found.append(_warning(section.at("certificate"), f"expired on {facts.not_after:%Y-%m-%d}"))
    elif facts.not_before > now:
        found.append(_warning(section.at("certificate"), f"is not valid before {facts.not_before:%Y-%m-%d}"))
    return found


def _warning(value: Value, message: str) -> str:
    return f"{value.node.origin}: {value.path}: {message}"


def _path(value: Value) -> str:
    found = text(value)
    if not found:
        raise InvalidError("expected a path, got an empty text")
    return found


def upstream_tls(base: UpstreamTLSSettings) -> Decoder[UpstreamTLSSettings]:
    """
    How instances are connected to over TLS; what is not written is as in C{base}.
    """

    def decode(value: Value) -> UpstreamTLSSettings:
        section = Section(value)
        take = section.take
        own = _pair(section, [])
        found = UpstreamTLSSettings(
            ca=take("ca", _authorities, base.ca),
            server_name=take("server_name", addresses.host, base.server_name),
            verify=take("verify", boolean, base.verify),
            certificate=own.certificate if own is not None else base.certificate,
            key=own.key if own is not None else base.key,
        )
        section.finish()
        return found

    return decode


def _authorities(value: Value) -> str:
    path = _path(value)
    try:
        read_authorities(path)
    except CertificateError as error:
        raise InvalidError(str(error)) from None
    return path


def unverified(services: Iterable[ServiceSettings]) -> tuple[str, ...]:
    """
    What to say of services whose instances could be anybody.
    """
    return tuple(
        f"services.{service.name}.tls.verify: is false, so whoever is reached is taken for an instance"
        for service in services
        if service.protocol in OVER_TLS and not service.tls.verify
    )
