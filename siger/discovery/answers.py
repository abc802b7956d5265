"""
What Consul's answers mean: pure functions from JSON values to ours.

They raise L{ConsulException} for anything that a Consul in good health would not say, so that it is handled as the
error it is, and not as the absence of services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consul.exceptions import ConsulException

from siger.balancing.instances import Instance
from siger.discovery.catalogue import NEVER

if TYPE_CHECKING:
    from siger.config.settings.consul import ConsulSettings

__all__ = ["EXPOSE_TAG", "exposed_names", "passing_instances"]

#: What a service carries to be reachable under C{expose: tagged}.
EXPOSE_TAG = "siger.expose"


def exposed_names(data: Any, settings: ConsulSettings) -> frozenset[str]:
    """
    The services to expose, of the answer of C{/v1/catalog/services}: a map from names to tags.
    """
    if not isinstance(data, dict):
        raise ConsulException("the list of services is no JSON object")
    if settings.expose == "all":
        names = frozenset(data)
    elif settings.expose == "tagged":
        names = frozenset(name for name, tags in data.items() if EXPOSE_TAG in (tags or ()))
    else:
        names = settings.expose & data.keys()
    return names - NEVER


def passing_instances(data: Any) -> tuple[Instance, ...]:
    """
    The instances of a service, of the answer of C{/v1/health/service/NAME?passing}.

    Sidecars and gateways of Consul's own mesh are left out: they take mesh traffic, not requests.
    """
    if not isinstance(data, list):
        raise ConsulException("the instances of a service are no JSON array")
    try:
        return tuple(_instance(entry) for entry in data if not entry["Service"].get("Kind"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConsulException(f"an instance of a service is incomplete: {error!r}") from error


def _instance(entry: dict[str, Any]) -> Instance:
    service = entry["Service"]
    return Instance(
        address=service.get("Address") or entry["Node"]["Address"],
        port=int(service["Port"]),
        weight=max(0, int((service.get("Weights") or {}).get("Passing", 1))),
        id=service.get("ID") or "",
        tags=frozenset(service.get("Tags") or ()),
        meta={key: str(value) for key, value in (service.get("Meta") or {}).items()},
    )
