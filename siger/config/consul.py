"""
C{consul:}.
"""

from __future__ import annotations

from typing import Literal

from siger.config import addresses
from siger.config.decode import boolean, choice, list_of, printable, text
from siger.config.nodes import Sequence
from siger.config.section import Section, Value
from siger.config.settings.consul import ConsulSettings
from siger.config.shared import service_name

__all__ = ["consul"]


def consul(value: Value) -> ConsulSettings:
    """
    How Consul is used.
    """
    section = Section(value)
    take = section.take
    base = ConsulSettings()
    found = ConsulSettings(
        expose=take("expose", _expose, base.expose),
        token=take("token", printable, base.token),
        datacenter=take("datacenter", printable, base.datacenter),
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


def _own_address(value: Value) -> str:
    return addresses.host(value) if text(value) else ""
