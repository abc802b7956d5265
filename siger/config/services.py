"""
C{services:} and C{service_defaults:}.
"""

from __future__ import annotations

from collections.abc import Mapping as Settled

from attrs import evolve

from siger.config.addresses import host_name, instance_host, split
from siger.config.cors import own_cors
from siger.config.decode import boolean, choice, integer, list_of, size, text, written
from siger.config.health import health
from siger.config.nodes import Mapping, shorten
from siger.config.ratelimit import rate_limits
from siger.config.roles import auth
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.settings.gateway import Settings
from siger.config.settings.services import InstanceSettings, ServiceSettings
from siger.config.shared import service_name, timeouts
from siger.config.tls import OVER_TLS, upstream_tls

__all__ = ["MAX_BODY", "service_defaults", "services"]

MAX_BODY = size(0, 2**50)

_BALANCERS = choice("round_robin", "random", "least_connections", "p2c")
_PROTOCOLS = choice("http1", "h2c", "h2", "https")
_PORT = integer(1, 65535)
_WEIGHT = integer(0, 65535)  # as in Consul


def service_defaults(value: Value) -> ServiceSettings:
    """
    What a service gets unless it says otherwise.
    """
    section = Section(value)
    found = _common(section, Settings().service_defaults)
    section.finish()
    return found


def services(defaults: ServiceSettings) -> Decoder[Settled[str, ServiceSettings]]:
    """
    Settings of services, by name.
    """

    def decode(value: Value) -> dict[str, ServiceSettings]:
        return Section(value).each(lambda name, value: _service(name, value, defaults))

    return decode


def _service(name: str, value: Value, defaults: ServiceSettings) -> ServiceSettings:
    base = evolve(defaults, name=service_name(name))
    section = Section(value)
    instances = section.take("instances", _instances, ())
    found = evolve(_common(section, base), instances=instances)
    section.finish()
    if "tls" in section and found.protocol not in OVER_TLS:
        section.at("tls").report("is for services whose protocol is h2 or https, which this one does not say")
    return found


def _common(section: Section, base: ServiceSettings) -> ServiceSettings:
    """
    What a service and the defaults have in common.
    """
    take = section.take
    return evolve(
        base,
        balancer=take("balancer", _BALANCERS, base.balancer),
        protocol=take("protocol", _PROTOCOLS, base.protocol),
        auth=take("auth", auth, base.auth),
        rate_limit=take("rate_limit", rate_limits, base.rate_limit),
        cors=take("cors", own_cors, base.cors),
        timeouts=take("timeouts", timeouts(base.timeouts), base.timeouts),
        max_connections=take("max_connections", integer(1, 65535), base.max_connections),
        max_streams=take("max_streams", integer(1, 1_000_000), base.max_streams),
        h2_connections=take("h2_connections", integer(1, 64), base.h2_connections),
        max_waiting=take("max_waiting", integer(0, 1_000_000), base.max_waiting),
        max_body=take("max_body", MAX_BODY, base.max_body),
        host=take("host", _host_policy, base.host),
        websocket=take("websocket", boolean, base.websocket),
        forward_authorization=take("forward_authorization", boolean, base.forward_authorization),
        health=take("health", health, base.health),
        tls=take("tls", upstream_tls(base.tls), base.tls),
    )


def _host_policy(value: Value) -> str:
    found = text(value)
    if found not in ("preserve", "instance") and not host_name(found) and split(found) is None:
        raise InvalidError(f"expected preserve, instance, or the host to send, got {shorten(found)!r}")
    return found


def _instances(value: Value) -> tuple[InstanceSettings, ...]:
    found = list_of(_instance)(value)
    seen: set[str] = set()
    for instance in found:
        if str(instance) in seen:
            value.report(f"{instance} is there twice; give it a weight instead")
        seen.add(str(instance))
    return found


def _instance(value: Value) -> InstanceSettings:
    if isinstance(value.node, Mapping):
        return _detailed(Section(value))
    characters = written(value, "host:port or a mapping with address and port")
    parts = split(characters)
    if parts is None or parts[1] == 0:
        raise InvalidError(f"expected host:port or [IPv6]:port, got {shorten(characters)!r}")
    return InstanceSettings(instance_host(parts[0]), parts[1])


def _detailed(section: Section) -> InstanceSettings:
    take = section.take
    weight = take("weight", _WEIGHT, 1)
    tags = take("tags", list_of(text), ())
    meta = take("meta", _meta, {})
    port = take("port", _PORT, 0)
    host = take("address", lambda value: instance_host(text(value)), "")
    section.finish()
    section.need("address", "port")
    return InstanceSettings(host, port, weight, frozenset(tags), meta)


def _meta(value: Value) -> dict[str, str]:
    return Section(value).each(lambda _, value: text(value))
