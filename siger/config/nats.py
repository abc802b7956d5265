"""
C{nats:}.
"""

from __future__ import annotations

from siger.config.decode import integer, printable, text
from siger.config.section import Decoder, Section, Value
from siger.config.settings.nats import NatsSettings

__all__ = ["nats"]


def nats(address: str) -> Decoder[NatsSettings]:
    """
    A decoder of how the gateway presents itself to NATS. It can do so in one way only, or nobody could say which one
    counts.

    @param address: what C{nats_address} says.
    """

    def decode(value: Value) -> NatsSettings:
        found = _nats(value)
        if address == "embedded":
            _check_embedded(value, found)
        return found

    return decode


def _nats(value: Value) -> NatsSettings:
    section = Section(value)
    take = section.take
    base = NatsSettings()
    found = NatsSettings(
        user=take("user", printable, base.user),
        password=take("password", text, base.password),
        token=take("token", printable, base.token),
        credentials=take("credentials", text, base.credentials),
        replicas=take("replicas", integer(1, 5), base.replicas),  # JetStream keeps five copies at most
    )
    section.finish()
    _check(section, found)
    return found


def _check_embedded(value: Value, found: NatsSettings) -> None:
    """
    The embedded server has its own way of knowing the gateway, and nobody to share the work with.
    """
    if found.user or found.token or found.credentials:
        value.report("user, token and credentials are for other servers than the embedded one, which knows the gateway")
    if found.replicas > 1:
        value.report("replicas: the embedded server is one, and keeps one copy")


def _check(section: Section, found: NatsSettings) -> None:
    if any(fault.path.startswith(section.value.path + ".") for fault in section.value.faults):
        return
    if bool(found.user) != bool(found.password):
        section.value.report("user and password go together")
    ways = [name for name in ("user", "token", "credentials") if getattr(found, name)]
    if len(ways) > 1:
        section.value.report(f"{' and '.join(ways)} are different ways to say who the gateway is; one is enough")
