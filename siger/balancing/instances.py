"""
An instance is a frozen fact from discovery; an endpoint is what this gateway knows of it while it exists.

Updates replace instances and keep endpoints: what was learnt about an address (open requests, its connection pool)
stays as long as discovery goes on naming that address.
"""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen

from siger.balancing.health import UP, Health

__all__ = ["Endpoint", "Instance"]


@frozen
class Instance:
    """
    One address at which a service can be reached.

    @ivar address: an IP literal or a host name.
    @ivar port: 1-65535.
    @ivar weight: relative share of new requests; 0 takes no new ones.
    @ivar tags: as registered.
    @ivar meta: as registered; opaque to balancing.
    """

    address: str
    port: int
    weight: int = 1
    id: str = ""
    tags: frozenset[str] = frozenset()
    meta: dict[str, str] = field(factory=dict, hash=False)


class Closeable(Protocol):
    """
    What an endpoint owns and must give up when discovery no longer names it.
    """

    def close(self) -> None: ...


class Endpoint:
    """
    The gateway's own state about one instance.

    @ivar inflight: exchanges that were handed to it and have not ended.
    @ivar pool: its connection pool, made by the proxy on first use.
    @ivar label: C{b"address:port"}, for logs.
    @ivar protocol: what it speaks: C{http1}, C{h2c}, C{h2} or C{https}. It never changes: an instance that begins to
        speak something else gets a new endpoint.
    @ivar condition: what is known of its health.
    """

    __slots__ = ("condition", "inflight", "instance", "label", "pool", "protocol", "removed")

    def __init__(self, instance: Instance, protocol: str = "http1", health: str = UP) -> None:
        """
        @param health: as it begins: L{siger.balancing.health.WARMING} for one that is going to be asked.
        """
        self.instance = instance
        self.protocol = protocol
        self.condition = Health(health)
        self.inflight = 0
        self.pool: Closeable | None = None
        self.removed = False
        host = f"[{instance.address}]" if ":" in instance.address else instance.address
        self.label = f"{host}:{instance.port}".encode("ascii", "backslashreplace")

    @property
    def weight(self) -> int:
        """
        The weight that discovery gave last.
        """
        return self.instance.weight

    @property
    def health(self) -> str:
        """
        Its health in a word: C{up}, C{down} or C{warming}.
        """
        return self.condition.word

    def __repr__(self) -> str:
        state = "removed" if self.removed else f"weight {self.weight}" if self.health == UP else self.health
        return f"<Endpoint {self.label.decode()} [{state}, {self.inflight} in flight]>"
