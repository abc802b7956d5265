"""
gRPC services that instances announce: each names its own in its meta C{grpc-services}, and needs no route then.

Whoever can write to a registry can announce any name, so what is announced only gets what nothing else is there for,
and it is bounded: names are full names of gRPC services, and so many for each service of the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from siger.balancing.instances import Instance
from siger.balancing.protocols import GRPC_SERVICES
from siger.config.shared import GRPC_NAME

__all__ = ["MOST", "Announced", "Faults", "announced", "owners"]

Faults = set[tuple[str, str]]
"""
Subjects and reasons: what is ignored, and why.
"""

Announced = Mapping[str, tuple[str, ...]]
"""
The gRPC services that each service has, by its name.
"""

MOST: Final = 64
_LONGEST: Final = 255


def announced(service: str, instances: Iterable[Instance], faults: Faults) -> tuple[str, ...]:
    """
    The gRPC services that any of these instances has, in alphabetical order.

    @param service: whose instances they are.
    @param faults: gets what is ignored.
    """
    words = {word.strip() for one in instances for word in one.meta.get(GRPC_SERVICES, "").split(",")} - {""}
    wrong = {word for word in words if len(word) > _LONGEST or not GRPC_NAME.fullmatch(word)}
    for word in wrong:
        faults.add((_subject(word, service), "that is no full name such as package.v1.Service"))
    names = sorted(words - wrong)
    for word in names[MOST:]:
        faults.add((_subject(word, service), f"no service has more than {MOST}"))
    return tuple(names[:MOST])


def owners(said: Sequence[Announced], faults: Faults) -> dict[str, str]:
    """
    Which service gets the calls of each gRPC service: of several that announce it, the first by name.

    @param said: what each source says.
    @param faults: gets the announcements that come to nothing.
    """
    found: dict[str, str] = {}
    for service in sorted({service for one in said for service in one}):
        for name in sorted({name for one in said for name in one.get(service, ())}):
            owner = found.setdefault(name, service)
            if owner != service:
                faults.add((_subject(name, service), f"service {owner!r} has it already"))
    return found


def _subject(name: str, service: str) -> str:
    return f"gRPC service {name[:80]!r} of service {service!r}"
