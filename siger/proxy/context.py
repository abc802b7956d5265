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
    from siger.policy.vigil import Vigil, Vigils
    from siger.proxy.arrival import Arrival
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

    def watch(self, arrival: Arrival, end: Callable[[], None]) -> Vigil | None:
        """
        Look after the token of what may outlast it.

        @param end: is called once the token is good no more.
        @return: what L{unwatch} takes; C{None} if there is no token to look after.
        """
        identity = arrival.identity
        if self.vigils is None or identity is None:
            return None
        return self.vigils.begin(identity, arrival.head.fields.owned.get(b"authorization", b""), end)

    def unwatch(self, vigil: Vigil | None) -> None:
        """
        Look after it no more.
        """
        if vigil is not None and self.vigils is not None:
            self.vigils.end(vigil)
