"""
Services: their instances, and how requests to them are carried.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from attrs import field, frozen

from siger.config.settings.addresses import host_and_port
from siger.config.settings.admission import Auth, OwnCors, RateLimits
from siger.config.settings.tls import UpstreamTLSSettings

__all__ = ["UNHURRIED", "HealthCheck", "InstanceSettings", "ServiceSettings", "Timeouts"]

GiB = 1024 * 1024 * 1024


@frozen
class Timeouts:
    """
    How long an instance may take, in seconds.

    @ivar connect: to accept a connection.
    @ivar response: to begin its response, counted from the end of the request.
    @ivar idle: between two pieces of a body, or of a tunnel.
    @ivar deadline: for a whole gRPC call, also one that comes without a deadline of its own; 0 for no limit.
    """

    connect: float = 3.0
    response: float = 60.0
    idle: float = 60.0
    deadline: float = 0.0


UNHURRIED = Timeouts(response=inf, idle=inf)
"""
For what has a deadline of its own, and may take until then.
"""


@frozen
class HealthCheck:
    """
    How a service's instances are asked, again and again, whether they are well (grpc.health.v1).

    @ivar grpc: the full name of the gRPC service to ask about, or C{""} for the server as a whole.
    @ivar interval: seconds from one question to the next.
    @ivar timeout: seconds that an answer may take.
    @ivar rise: good answers in a row after which an instance is well again.
    @ivar fall: bad answers in a row after which it is not.
    """

    grpc: str = ""
    interval: float = 10.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3


@frozen
class InstanceSettings:
    """
    One address of a service, as written under C{services:}.
    """

    address: str
    port: int
    weight: int = 1
    tags: frozenset[str] = frozenset()
    meta: Mapping[str, str] = field(factory=dict, hash=False)

    def __str__(self) -> str:
        return host_and_port(self.address, self.port)


@frozen
class ServiceSettings:
    """
    How requests to one service are carried.

    @ivar name: C{""} for C{service_defaults}.
    @ivar instances: the configured ones; Consul's come on top.
    @ivar balancer: C{round_robin}, C{random}, C{least_connections} or C{p2c}.
    @ivar protocol: C{http1}, C{h2c}, C{h2} (HTTP/2 over TLS) or C{https} (HTTP/1.1 over TLS); in C{service_defaults}
        also C{""}, which says nothing of it.
    @ivar max_connections: to each instance, of HTTP/1.1.
    @ivar max_streams: requests at once on one connection of HTTP/2.
    @ivar h2_connections: to each instance, of HTTP/2.
    @ivar max_waiting: requests that may queue for a connection of one instance.
    @ivar max_body: the largest request body, in bytes.
    @ivar host: the C{Host} an instance sees: C{preserve} (the client's), C{instance} (its address), or this very name.
    @ivar websocket: whether WebSocket upgrades are let through.
    @ivar forward_authorization: whether instances see the client's C{Authorization}; C{None}: where the gateway does
        not ask for a token itself.
    @ivar rate_limit: its own limits, none of them for no limit; C{None}: those of the gateway.
    @ivar cors: its own rules; C{None}: those of the gateway.
    @ivar tls: how they are connected to where C{protocol} is C{h2} or C{https}.
    @ivar health: how its instances are asked whether they are well; C{None}: they are not.
    """

    name: str = ""
    instances: tuple[InstanceSettings, ...] = ()
    balancer: str = "round_robin"
    protocol: str = "http1"
    auth: Auth = "public"
    rate_limit: RateLimits | None = None
    cors: OwnCors = None
    timeouts: Timeouts = Timeouts()
    max_connections: int = 256
    max_streams: int = 100
    h2_connections: int = 4
    max_waiting: int = 1024
    max_body: int = 16 * GiB
    host: str = "preserve"
    websocket: bool = True
    forward_authorization: bool | None = None
    health: HealthCheck | None = None
    tls: UpstreamTLSSettings = UpstreamTLSSettings()
