"""
C{health:}, which stands in services and in what they have in common.
"""

from __future__ import annotations

from siger.config.decode import integer, off_or, text
from siger.config.section import Decoder, Section, Value
from siger.config.settings.gateway import Settings
from siger.config.settings.services import HealthCheck
from siger.config.shared import SECONDS, grpc_name

__all__ = ["CHECKED_PROTOCOLS", "check_protocols", "health"]

CHECKED_PROTOCOLS = ("h2c", "h2")
"""What an instance has to speak to be asked: gRPC needs HTTP/2."""

_NEEDS = "asks by gRPC, so it needs protocol h2c or h2"
_TIMES = integer(1, 100)


def _health(value: Value) -> HealthCheck:
    """
    How instances are asked; an answer has to be there before the next question.
    """
    before = len(value.faults)
    section = Section(value)
    take = section.take
    base = HealthCheck()
    found = HealthCheck(
        grpc=take("grpc", _asked, base.grpc),
        interval=take("interval", SECONDS, base.interval),
        timeout=take("timeout", SECONDS, base.timeout),
        rise=take("rise", _TIMES, base.rise),
        fall=take("fall", _TIMES, base.fall),
    )
    section.finish()
    section.need("grpc")
    if found.timeout > found.interval and len(value.faults) == before:
        value.report(f"its timeout, {found.timeout:g}, is longer than its interval, {found.interval:g}")
    return found


health: Decoder[HealthCheck | None] = off_or(_health, None)
"""
How instances are asked whether they are well, or C{off}.
"""


def _asked(value: Value) -> str:
    return grpc_name(value) if text(value) else ""


def check_protocols(section: Section, settings: Settings) -> None:
    """
    Report the services whose instances cannot be asked, since they speak something else.

    @param section: the root of the file.
    @param settings: with what each service speaks.
    """
    defaults = settings.service_defaults
    if defaults.health is not None and defaults.protocol not in CHECKED_PROTOCOLS:
        section.at("service_defaults").report(f"health {_NEEDS}")
    for name, service in settings.services.items():
        if service.health is not None and service.protocol not in CHECKED_PROTOCOLS:
            Section(section.at("services")).at(name).report(f"health {_NEEDS}")
