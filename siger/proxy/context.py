"""
What all exchanges of a gateway share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import ServiceSettings
    from siger.http.deadlines import Deadlines
    from siger.observe.observer import Observer
    from siger.policy.forwarded import Forwarding
    from siger.policy.vigil import Vigils
    from siger.proxy.multiplexed_pool import MultiplexedPool
    from siger.proxy.pool import Pool

__all__ = ["ProxyContext"]


class ProxyContext:
    """
    One gateway's: who hears of its exchanges, what instances are told of clients, and whence connections come.
    """

    __slots__ = ("deadlines", "forwarding", "make_pool", "observer", "vigils")

    def __init__(
        self,
        observer: Observer,
        forwarding: Forwarding,
        make_pool: Callable[[Endpoint, ServiceSettings], Pool | MultiplexedPool],
        vigils: Vigils | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        """
        @param vigils: look after tunnels whose tokens may end before them.
        @param deadlines: end gRPC calls whose time is over; C{None} leaves that to the two ends.
        """
        self.deadlines = deadlines
        self.vigils = vigils
        self.observer = observer
        self.forwarding = forwarding
        self.make_pool = make_pool
