"""
The services that configuration names, for the catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siger.balancing.instances import Instance

if TYPE_CHECKING:
    from siger.config.settings.gateway import Settings
    from siger.config.settings.services import InstanceSettings
    from siger.discovery.catalogue import Catalogue

__all__ = ["SOURCE", "publish_static"]

#: The name of this source in the catalogue.
SOURCE = "static"


def publish_static(settings: Settings, catalogue: Catalogue) -> None:
    """
    Publish every configured service, also those without instances: another source may know some.
    """
    catalogue.publish(
        SOURCE,
        {name: [_instance(one) for one in service.instances] for name, service in settings.services.items()},
    )


def _instance(configured: InstanceSettings) -> Instance:
    return Instance(
        address=configured.address,
        port=configured.port,
        weight=configured.weight,
        tags=configured.tags,
        meta=dict(configured.meta),
    )
