"""
The keys at the top of the file, and the small sections that belong to the gateway as a whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from attrs import evolve

from siger.config import addresses
from siger.config.decode import boolean, choice, integer, list_of, number, off_or, size, text
from siger.config.nodes import Mapping, Sequence
from siger.config.routes import routes
from siger.config.secret import SAMPLE_WARNING, checked_secret, is_published
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.services import service_defaults, services
from siger.config.settings import ConsulSettings, Cors, Limits, Settings
from siger.config.shared import SECONDS, methods, rate_limit, service_name, token

__all__ = ["gateway"]

_LOG_LEVELS = choice("debug", "info", "warn", "warning", "error", "critical")
_REGISTRATION = choice("open", "admin", "closed")
_COUNT = integer(1, 1_000_000_000)
_LIMITS: dict[str, Decoder[Any]] = {
    "request_line": size(256, 2**20),
    "header_bytes": size(1024, 2**20),
    "header_count": integer(8, 1000),
    "header_timeout": SECONDS,
    "keepalive_timeout": SECONDS,
    "max_requests": _COUNT,
    "body_timeout": SECONDS,
    "min_body_rate": integer(0, 1_000_000_000),
    "write_timeout": SECONDS,
    "connections": _COUNT,
    "connections_per_client": _COUNT,
    "local_body": size(0, 2**30),
}


def gateway(value: Value) -> Settings:
    """
    Everything, from the root of the tree.
    """
    section = Section(value)
    found = _sections(section, _scalars(section, Settings()))
    section.finish()
    return found


def _scalars(section: Section, base: Settings) -> Settings:
    """
    The keys that have one value.
    """
    take = section.take
    warnings: list[str] = []
    return evolve(
        base,
        listen=take("port", addresses.listen, base.listen),
        consul_address=take("consul_address", addresses.consul, base.consul_address),
        nats_address=take("nats_address", addresses.nats, base.nats_address),
        log_level=take("log_level", _log_level, base.log_level),
        jwt_secret=take("jwt_secret", lambda value: _secret(value, warnings), base.jwt_secret),
        jwt_expiration=take("jwt_expiration", integer(1, 525600), base.jwt_expiration),
        data_dir=take("data_dir", lambda value: Path(_some(value)), base.data_dir),
        access_log=take("access_log", off_or(_some, "off"), base.access_log),
        drain_timeout=take("drain_timeout", number(0, 3600), base.drain_timeout),
        workers=take("workers", integer(1, 1024), base.workers),
        registration=take("registration", _REGISTRATION, base.registration),
        warnings=tuple(warnings),
    )


def _sections(section: Section, base: Settings) -> Settings:
    """
    The keys that have more below them, in an order in which each finds what it refers to.
    """
    take = section.take
    defaults = take("service_defaults", service_defaults, base.service_defaults)
    found = evolve(
        base,
        trusted_proxies=take("trusted_proxies", list_of(addresses.network), base.trusted_proxies),
        rate_limit=take("rate_limit", off_or(rate_limit, None), base.rate_limit),
        cors=take("cors", off_or(_cors, None), base.cors),
        consul=take("consul", _consul, base.consul),
        limits=take("limits", _limits, base.limits),
        service_defaults=defaults,
        services=take("services", services(defaults), base.services),
    )
    return evolve(found, routes=take("routes", routes(_known(section, found), found.service), base.routes))


def _known(section: Section, found: Settings) -> set[str] | None:
    """
    The services that routes can name; C{None} when there may be others.

    What is wrong with C{consul_address} or C{services} has an error of its own, and none for each route on top.
    """
    wrong = {fault.path for fault in section.value.faults} & {"consul_address", "services"}
    if found.consul_address is not None or wrong:
        return None
    node = section.at("services").node if "services" in section else None
    return set(node.entries) if isinstance(node, Mapping) else set()


def _log_level(value: Value) -> str:
    level = _LOG_LEVELS(value)
    return "warn" if level == "warning" else level


def _some(value: Value) -> str:
    """
    A text that is not empty.
    """
    found = text(value)
    if not found:
        raise InvalidError("expected a path, got an empty text")
    return found


def _secret(value: Value, warnings: list[str]) -> str:
    found = text(value)
    if is_published(found):
        warnings.append(f"{value.node.origin}: {value.path}: {SAMPLE_WARNING}")
        return ""
    return checked_secret(found)


def _limits(value: Value) -> Limits:
    section = Section(value)
    base = Limits()
    found = {key: section.take(key, decoder, getattr(base, key)) for key, decoder in _LIMITS.items()}
    section.finish()
    return Limits(**found)


def _cors(value: Value) -> Cors:
    section = Section(value)
    base = Cors()
    found = Cors(
        origins=section.take("origins", list_of(addresses.origin), base.origins),
        methods=section.take("methods", methods, base.methods),
        headers=section.take("headers", list_of(token), base.headers),
        credentials=section.take("credentials", boolean, base.credentials),
    )
    section.finish()
    section.need("origins")
    if found.credentials and "*" in (*found.origins, *found.headers):
        section.at("credentials").report('"*" and credentials do not go together: any page could act as its visitor')
    return found


def _consul(value: Value) -> ConsulSettings:
    section = Section(value)
    take = section.take
    base = ConsulSettings()
    found = ConsulSettings(
        expose=take("expose", _expose, base.expose),
        token=take("token", _printable, base.token),
        datacenter=take("datacenter", _printable, base.datacenter),
        register=take("register", boolean, base.register),
        stale=take("stale", boolean, base.stale),
        address=take("address", _own_address, base.address),
        tags=take("tags", list_of(text), base.tags),
    )
    section.finish()
    return found


def _expose(value: Value) -> Literal["all", "tagged"] | frozenset[str]:
    if isinstance(value.node, Sequence):
        return frozenset(list_of(lambda item: service_name(text(item)))(value))
    return "all" if choice("all", "tagged")(value) == "all" else "tagged"


def _printable(value: Value) -> str:
    """
    What goes into a header field or a query as it is.
    """
    found = text(value)
    if not found.isascii() or " " in found:
        raise InvalidError("holds a blank, or a character outside ASCII")
    return found


def _own_address(value: Value) -> str:
    return addresses.host(value) if text(value) else ""
