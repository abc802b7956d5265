"""
The keys at the top of the file, and the small sections that belong to the gateway as a whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve

from siger.config import addresses
from siger.config.consul import consul
from siger.config.cors import cors
from siger.config.decode import boolean, choice, integer, list_of, number, off_or, size, text
from siger.config.health import check_protocols
from siger.config.issuers import issuers
from siger.config.jobs import jobs
from siger.config.nats import nats
from siger.config.nodes import Mapping, Scalar
from siger.config.ratelimit import rate_limits
from siger.config.roles import role, roles_of
from siger.config.routes import routes
from siger.config.secret import SAMPLE_UNUSED, SAMPLE_WARNING, is_published
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.seeds import seed_users
from siger.config.services import service_defaults, services
from siger.config.settings.gateway import Settings
from siger.config.settings.limits import Limits
from siger.config.shared import SECONDS
from siger.config.signing import jwt_keys, jwt_secret
from siger.config.tls import tls, unverified

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
    "streams": integer(1, 10_000),
    "connections": _COUNT,
    "connections_per_client": _COUNT,
    "local_body": size(0, 2**30),
}


def gateway(value: Value) -> Settings:
    """
    Everything, from the root of the tree.
    """
    section = Section(value)
    found = _people(section, _sections(section, _scalars(section, Settings())))
    section.finish()
    return evolve(found, warnings=(*_sample_warnings(section, found), *_tls_warnings(found)))


def _scalars(section: Section, base: Settings) -> Settings:
    """
    The keys that have one value.
    """
    take = section.take
    return evolve(
        base,
        listen=take("port", addresses.listen, base.listen),
        http2=take("http2", boolean, base.http2),
        consul_address=take("consul_address", addresses.consul, base.consul_address),
        nats_address=take("nats_address", addresses.nats, base.nats_address),
        log_level=take("log_level", _log_level, base.log_level),
        jwt_secret=take("jwt_secret", jwt_secret, base.jwt_secret),
        jwt_expiration=take("jwt_expiration", integer(1, 525600), base.jwt_expiration),
        data_dir=take("data_dir", lambda value: Path(_some(value)), base.data_dir),
        access_log=take("access_log", off_or(_some, "off"), base.access_log),
        drain_timeout=take("drain_timeout", number(0, 3600), base.drain_timeout),
        workers=take("workers", integer(1, 1024), base.workers),
        registration=take("registration", _REGISTRATION, base.registration),
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
        proxy_protocol=take("proxy_protocol", list_of(addresses.network), base.proxy_protocol),
        rate_limit=take("rate_limit", rate_limits, base.rate_limit),
        cors=take("cors", off_or(cors, None), base.cors),
        consul=take("consul", consul, base.consul),
        nats=take("nats", nats(base.nats_address), base.nats),
        jobs=take("jobs", jobs, base.jobs),
        limits=take("limits", _limits, base.limits),
        tls=take("tls", off_or(tls(base.listen), None), base.tls),
        service_defaults=defaults,
        services=take("services", services(defaults), base.services),
    )
    found = evolve(found, routes=take("routes", routes(_known(section, found), found.service), base.routes))
    return _with_protocols(section, found)


def _with_protocols(section: Section, found: Settings) -> Settings:
    """
    The same, with what each service speaks: where nobody says it, the routes to it tell.
    """
    spoken = {
        name: evolve(service, protocol=service.protocol or found.usual_protocol(name))
        for name, service in found.services.items()
    }
    found = evolve(found, services=spoken)
    if not section.value.faults:
        check_protocols(section, found)
    return found


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


def _people(section: Section, base: Settings) -> Settings:
    """
    The keys that are about who somebody is, once all roles have been named.
    """
    take = section.take
    found = evolve(
        base,
        jwt_keys=take("jwt_keys", jwt_keys, base.jwt_keys),
        roles=roles_of(base, take("roles", list_of(role), ())),
    )
    named_in = ("roles", "service_defaults", "services", "routes")
    wrong = any(fault.path.startswith(named_in) for fault in section.value.faults)
    known = None if wrong else found.roles
    return evolve(
        found,
        issuers=take("issuers", issuers(known), base.issuers),
        seed_users=take("seed_users", seed_users(found, known), base.seed_users),
    )


def _sample_warnings(section: Section, found: Settings) -> tuple[str, ...]:
    """
    What to say of a secret that was published and is left out.
    """
    if found.jwt_secret or "jwt_secret" not in section:
        return ()
    value = section.at("jwt_secret")
    if not isinstance(value.node, Scalar) or not is_published(value.node.verbatim or value.node.text):
        return ()
    message = SAMPLE_UNUSED if found.jwt_keys else SAMPLE_WARNING
    return (f"{value.node.origin}: {value.path}: {message}",)


def _tls_warnings(found: Settings) -> tuple[str, ...]:
    own = () if found.tls is None else found.tls.warnings
    return (*own, *unverified(found.services.values()))


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


def _limits(value: Value) -> Limits:
    section = Section(value)
    base = Limits()
    found = {key: section.take(key, decoder, getattr(base, key)) for key, decoder in _LIMITS.items()}
    section.finish()
    return Limits(**found)
