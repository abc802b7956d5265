"""
The settings of a gateway as values: typed, complete, frozen.

Nothing here reads or checks anything. L{siger.config.load} makes these values from a file and the environment, tests
make them by hand, and whoever receives one can rely on every field: what was not written has its default, and what a
service does not say for itself was taken from C{service_defaults}.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from attrs import evolve, field, frozen

__all__ = [
    "Address",
    "Auth",
    "ConsulSettings",
    "Cors",
    "InstanceSettings",
    "Limits",
    "Listen",
    "Network",
    "OwnRateLimit",
    "RateLimit",
    "RouteSettings",
    "ServiceSettings",
    "Settings",
    "Timeouts",
]

Network = IPv4Network | IPv6Network
Auth = Literal["public", "user"] | tuple[str, ...]
"""
Who may use a service or a route: anyone, any user, or the users with one of these roles.
"""

MiB = 1024 * 1024
GiB = 1024 * MiB


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@frozen
class Listen:
    """
    Where the gateway accepts connections.

    @ivar host: an IP address without brackets, a host name, or C{""} for every interface.
    @ivar port: 0-65535; 0 lets the system choose a free one.
    """

    host: str = ""
    port: int = 8080

    def __str__(self) -> str:
        return _join(self.host, self.port)


@frozen
class Address:
    """
    A TCP address to connect to.

    @ivar host: an IP address without brackets, or a host name.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return _join(self.host, self.port)


@frozen
class RateLimit:
    """
    A token bucket for each key.

    @ivar key: what a bucket belongs to: C{client_ip} or C{user}.
    """

    requests_per_second: float = 100.0
    burst: int = 200
    key: str = "client_ip"


OwnRateLimit = RateLimit | Literal["off"] | None
"""
The limit of a service or a route: its own, none at all, or (C{None}) nothing said here.
"""


@frozen
class Cors:
    """
    Which pages of other origins may call the gateway from a browser.

    @ivar origins: whole origins as browsers send them, or C{("*",)}.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    headers: tuple[str, ...] = ("Accept", "Authorization", "Content-Type", "X-Request-ID")
    credentials: bool = False


@frozen
class ConsulSettings:
    """
    How the gateway uses Consul, once C{consul_address} says where it is.

    @ivar expose: which services clients may reach: C{all}, C{tagged}, or just these names.
    @ivar datacenter: C{""} for the agent's own.
    @ivar register: whether the gateway registers itself.
    @ivar stale: whether any Consul server may answer, not only the leader.
    @ivar address: the host that the gateway registers as its own; C{""} lets it find out.
    @ivar tags: what it registers with.
    """

    expose: Literal["all", "tagged"] | frozenset[str] = "all"
    token: str = field(default="", repr=False)
    datacenter: str = ""
    register: bool = True
    stale: bool = True
    address: str = ""
    tags: tuple[str, ...] = ()


@frozen
class Timeouts:
    """
    How long an instance may take, in seconds.

    @ivar connect: to accept a connection.
    @ivar response: to begin its response, counted from the end of the request.
    @ivar idle: between two pieces of a body, or of a tunnel.
    """

    connect: float = 3.0
    response: float = 60.0
    idle: float = 60.0


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
        return _join(self.address, self.port)


@frozen
class ServiceSettings:
    """
    How requests to one service are carried.

    @ivar name: C{""} for C{service_defaults}.
    @ivar instances: the configured ones; Consul's come on top.
    @ivar balancer: C{round_robin}, C{random}, C{least_connections} or C{p2c}.
    @ivar protocol: C{http1}, C{h2c}, C{h2} or C{https}.
    @ivar max_connections: to each instance.
    @ivar max_waiting: requests that may queue for a connection of one instance.
    @ivar max_body: the largest request body, in bytes.
    @ivar host: the C{Host} an instance sees: C{preserve} (the client's), C{instance} (its address), or this very name.
    @ivar websocket: whether WebSocket upgrades are let through.
    @ivar forward_authorization: whether instances see the client's C{Authorization}.
    """

    name: str = ""
    instances: tuple[InstanceSettings, ...] = ()
    balancer: str = "round_robin"
    protocol: str = "http1"
    auth: Auth = "public"
    rate_limit: OwnRateLimit = None
    timeouts: Timeouts = Timeouts()
    max_connections: int = 256
    max_waiting: int = 1024
    max_body: int = 16 * GiB
    host: str = "preserve"
    websocket: bool = True
    forward_authorization: bool = True


@frozen
class RouteSettings:
    """
    One entry of C{routes:}: which requests it takes, and where and how they go.

    Where a field can be C{None}, that means: as the service says.

    @ivar service: the name of the service that gets the requests.
    @ivar host: a host name in lower case, C{*.} and a host name for everything below it, or C{""} for any.
    @ivar path: a prefix that ends at a segment boundary; a segment may be C{{name}}, which matches any one segment.
    @ivar methods: in upper case; empty for any.
    @ivar grpc: the full name of a gRPC service, or C{""}.
    @ivar strip: a leading part of C{path} that is taken off before the request is sent on.
    @ivar rewrite: what is put in place of C{strip}, or of the whole C{path} when there is no C{strip}; C{""} for
        nothing.
    @ivar timeouts: complete: what the route does not say was taken from its service.
    @ivar encoded_slashes: C{reject} or C{keep} C{%2F} in the path.
    """

    service: str
    host: str = ""
    path: str = "/"
    methods: tuple[str, ...] = ()
    grpc: str = ""
    strip: str = ""
    rewrite: str = ""
    auth: Auth | None = None
    timeouts: Timeouts | None = None
    max_body: int | None = None
    encoded_slashes: str = "reject"
    rate_limit: OwnRateLimit = None


@frozen
class Limits:
    """
    What clients may cost: everything is bounded, in bytes, counts and seconds.

    @ivar request_line: the longest request line.
    @ivar header_bytes: all header lines of a request together; those of a response too.
    @ivar header_count: how many of them.
    @ivar header_timeout: for the whole head, from its first byte.
    @ivar keepalive_timeout: for an idle connection between requests.
    @ivar max_requests: on one connection.
    @ivar body_timeout: between two pieces of a request body.
    @ivar min_body_rate: bytes a second that a request body must average after a few seconds of grace; 0 for none.
    @ivar write_timeout: for a client that takes none of its response.
    @ivar connections: from all clients.
    @ivar connections_per_client: from one address.
    @ivar local_body: the largest request body that the gateway's own endpoints take.
    """

    request_line: int = 16384
    header_bytes: int = 65536
    header_count: int = 100
    header_timeout: float = 10.0
    keepalive_timeout: float = 75.0
    max_requests: int = 10000
    body_timeout: float = 60.0
    min_body_rate: int = 500
    write_timeout: float = 60.0
    connections: int = 10000
    connections_per_client: int = 1000
    local_body: int = MiB


@frozen
class Settings:
    """
    Everything that is configured.

    @ivar listen: where to accept connections (key C{port}).
    @ivar consul_address: C{None} without Consul.
    @ivar nats_address: C{host:port} (several with commas), C{embedded}, or C{""} for no jobs.
    @ivar log_level: C{debug}, C{info}, C{warn}, C{error} or C{critical}: the names that twisted.logger knows.
    @ivar jwt_secret: C{""} until L{siger.config.secret.kept_secret} has filled it in.
    @ivar jwt_expiration: minutes.
    @ivar access_log: a path, C{-} for standard output, or C{off}.
    @ivar drain_timeout: seconds that running exchanges get at shutdown.
    @ivar rate_limit: the limit of every client, or C{None}.
    @ivar warnings: what the operator should read in the log at start.
    """

    listen: Listen = Listen()
    consul_address: Address | None = None
    nats_address: str = ""
    log_level: str = "info"
    jwt_secret: str = field(default="", repr=False)
    jwt_expiration: int = 60
    data_dir: Path = Path("data")
    access_log: str = "data/access.log"
    drain_timeout: float = 30.0
    workers: int = 1
    trusted_proxies: tuple[Network, ...] = ()
    rate_limit: RateLimit | None = None
    cors: Cors | None = None
    registration: str = "open"
    consul: ConsulSettings = ConsulSettings()
    service_defaults: ServiceSettings = ServiceSettings()
    services: Mapping[str, ServiceSettings] = field(factory=dict, hash=False)
    routes: tuple[RouteSettings, ...] = ()
    limits: Limits = Limits()
    warnings: tuple[str, ...] = ()

    def service(self, name: str) -> ServiceSettings:
        """
        The settings of a service: its own where C{services:} names it, else the defaults under its name.

        @param name: any service, also one that only Consul knows.
        """
        own = self.services.get(name)
        return evolve(self.service_defaults, name=name) if own is None else own
