"""
The settings of a gateway as values: typed, complete, frozen.

Nothing here reads or checks anything. L{siger.config.load} makes these values from a file and the environment, tests
make them by hand, and whoever receives one can rely on every field: what was not written has its default, and what a
service does not say for itself was taken from C{service_defaults}.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network
from math import inf
from pathlib import Path
from typing import Literal

from attrs import evolve, field, frozen

__all__ = [
    "UNHURRIED",
    "Address",
    "Auth",
    "CertificateFiles",
    "ConsulSettings",
    "Cors",
    "HealthCheck",
    "InstanceSettings",
    "IssuerSettings",
    "JobQuotas",
    "JobsSettings",
    "JwtKey",
    "Limits",
    "Listen",
    "NatsSettings",
    "Network",
    "OwnCors",
    "PublicKey",
    "RateLimit",
    "RateLimits",
    "RouteSettings",
    "SeedUser",
    "ServiceSettings",
    "Settings",
    "TLSSettings",
    "Timeouts",
    "UpstreamTLSSettings",
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
class CertificateFiles:
    """
    A certificate, with those of its issuers behind it, and its private key.

    @ivar certificate: the path of the one file; C{key} is that of the other. They may be the same.
    """

    certificate: str
    key: str


@frozen
class TLSSettings:
    """
    Where clients connect over TLS, and how.

    @ivar listen: where to accept connections (key C{port}).
    @ivar certificates: at least one; the first is for whoever asks for a name that none of them has.
    @ivar min_version: C{1.2} or C{1.3}.
    @ivar warnings: what the operator should read about the files.
    """

    listen: Listen = Listen("", 8443)
    certificates: tuple[CertificateFiles, ...] = ()
    min_version: str = "1.2"
    warnings: tuple[str, ...] = ()


@frozen
class UpstreamTLSSettings:
    """
    How instances are connected to over TLS.

    @ivar ca: the path of a file with the authorities that are trusted, or C{""} for those of the system.
    @ivar server_name: the name that certificates must have; C{""} for the address of each instance.
    @ivar verify: whether certificates are verified at all.
    @ivar certificate: the path of the certificate that instances see; C{""} for none. C{key} is that of its key.
    """

    ca: str = ""
    server_name: str = ""
    verify: bool = True
    certificate: str = ""
    key: str = ""


@frozen
class RateLimit:
    """
    A token bucket for each key.

    @ivar requests_per_second: how fast a bucket fills, exactly as it was written.
    @ivar burst: how many tokens it holds.
    @ivar key: what a bucket belongs to; of several, each combination has its own: C{client_ip}, C{user} (the client's
        address where there is none), C{route}, C{service}, C{claim:NAME} or C{header:NAME}, the header in lower case.
    @ivar shadow: count what would be refused, and refuse nothing.
    """

    requests_per_second: Fraction = Fraction(100)
    burst: int = 200
    key: tuple[str, ...] = ("client_ip",)
    shadow: bool = False


RateLimits = tuple[RateLimit, ...]
"""
The limits that hold together: a request has to pass all of them; none of none.
"""


@frozen
class Cors:
    """
    Which pages of other origins may call the gateway from a browser.

    @ivar origins: whole origins as browsers send them, or C{("*",)}.
    @ivar methods: what they may use; C{*} among them stands for all.
    @ivar headers: request fields that pages may set; C{*} among them stands for all but C{Authorization}.
    @ivar expose: response fields that pages may read besides the few that they always may.
    @ivar max_age: seconds for which a browser may remember the answer to a preflight request.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    headers: tuple[str, ...] = (
        *("Accept", "Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"),
        *("Grpc-Timeout", "X-Grpc-Web", "X-User-Agent"),  # what clients of gRPC-Web set
    )
    expose: tuple[str, ...] = (
        *("ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"),
        *("Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"),  # and read, when an answer has no body
    )
    credentials: bool = False
    max_age: int = 600


OwnCors = Cors | Literal["off"] | None
"""
What a service or a route says of other origins: its own rules, none at all, or (C{None}) nothing.
"""


@frozen
class JwtKey:
    """
    A secret that the gateway's own tokens are signed with, or were until lately.

    @ivar kid: its name in the header of tokens (RFC 7515 section 4.1.4).
    """

    kid: str
    secret: str = field(repr=False)


@frozen
class PublicKey:
    """
    A public key of an issuer.

    @ivar kid: its name, or C{""} for the key of tokens that name none.
    @ivar algorithm: the one algorithm that it may be used with, as C{RS256}, C{PS256}, C{ES256} or C{EdDSA}.
    @ivar pem: the key.
    """

    kid: str
    algorithm: str
    pem: str


@frozen
class IssuerSettings:
    """
    Somebody else whose tokens are believed.

    @ivar issuer: what C{iss} must be, character by character.
    @ivar audience: what C{aud} must be, or must have among its members.
    @ivar algorithms: the asymmetric algorithms that keys of C{jwks_url} may be used with.
    @ivar keys: its keys, if they are configured.
    @ivar jwks_url: where its keys are published (RFC 7517), or C{""}.
    @ivar token_type: what C{typ} in a token's header must be, or C{""} for C{at+jwt}, C{JWT} or nothing.
    @ivar user_claim: which claim has the user's id.
    @ivar name_claim: which claim has the user's name; where it is missing, the id serves.
    @ivar role_claim: which claim has the role, or a list of roles; dots lead into objects.
    @ivar roles: what its roles are called here, by their names there; empty: as they are, but for C{admin}.
    @ivar default_role: the role of a user without any that is known here, or C{""} to refuse such tokens.
    @ivar max_lifetime: seconds between C{iat} and C{exp} above which a token is refused.
    """

    issuer: str
    audience: str = "siger"
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    keys: tuple[PublicKey, ...] = ()
    jwks_url: str = ""
    token_type: str = ""
    user_claim: str = "sub"
    name_claim: str = "preferred_username"
    role_claim: str = "role"
    roles: Mapping[str, str] = field(factory=dict, hash=False)
    default_role: str = "user"
    max_lifetime: int = 86400


@frozen
class NatsSettings:
    """
    How the gateway presents itself to NATS, once C{nats_address} says where it is.

    @ivar credentials: the path of a credentials file, or C{""}.
    @ivar replicas: how many servers of a cluster keep each stream.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    credentials: str = ""
    replicas: int = 1


@frozen
class JobQuotas:
    """
    What one user may have at once; 0 for as much as they like.

    @ivar queued: jobs that wait.
    @ivar running: jobs that run.
    @ivar gpus: GPUs that those use.
    @ivar kept: jobs that are known, those included that have ended and are kept for a while.
    """

    queued: int = 1000
    running: int = 0
    gpus: int = 0
    kept: int = 100_000


@frozen
class JobsSettings:
    """
    What jobs there can be, and what becomes of them, where C{nats_address} says that there are any.

    @ivar types: the types of jobs, each one token of a subject.
    @ivar gpu_types: the types of GPUs that a job can ask for, C{any} always among them.
    @ivar max_gpus: how many GPUs a job can ask for.
    @ivar retention_days: how long finished jobs, and the events of all, are kept.
    @ivar lease: seconds of silence after which a worker's job is given to another.
    @ivar grace: seconds that a cancelled job gets to end by itself.
    @ivar lost_after: seconds of silence, with nobody who takes over, after which a job has failed.
    """

    types: tuple[str, ...] = ("ai_training", "data_processing", "inference")
    gpu_types: tuple[str, ...] = ("A100", "H100", "H200", "L4", "any")
    max_gpus: int = 64
    quotas: JobQuotas = JobQuotas()
    retention_days: int = 7
    lease: float = 30.0
    grace: float = 30.0
    lost_after: float = 300.0


@frozen
class SeedUser:
    """
    An account that is made when it does not exist: for demonstrations on one machine alone.
    """

    username: str
    password: str = field(repr=False)
    role: str = "user"
    id: str = ""


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
        return _join(self.address, self.port)


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


@frozen
class RouteSettings:
    """
    One entry of C{routes:}: which requests it takes, and where and how they go.

    Where a field can be C{None}, that means: as the service says.

    @ivar service: the name of the service that gets the requests.
    @ivar host: a host name in lower case, C{*.} and a host name for everything below it, or C{""} for any.
    @ivar path: a prefix that ends at a segment boundary; a segment may be C{{name}}, which matches any one segment;
        C{""} beside C{grpc}.
    @ivar methods: in upper case; empty for any.
    @ivar grpc: the full name of a gRPC service, whose calls it takes, and nothing else; or C{""}.
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
    rate_limit: RateLimits | None = None
    cors: OwnCors = None
    forward_authorization: bool | None = None


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
    @ivar streams: requests at once on one connection of HTTP/2.
    @ivar connections: from all clients.
    @ivar connections_per_client: from one IPv4 address, or one IPv6 network of 64 bits.
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
    streams: int = 100
    connections: int = 10000
    connections_per_client: int = 1000
    local_body: int = MiB


@frozen
class Settings:
    """
    Everything that is configured.

    @ivar listen: where to accept connections (key C{port}).
    @ivar http2: whether clients may speak HTTP/2.
    @ivar consul_address: C{None} without Consul.
    @ivar nats_address: C{host:port} (several with commas), C{embedded}, or C{""} for no jobs.
    @ivar log_level: C{debug}, C{info}, C{warn}, C{error} or C{critical}: the names that twisted.logger knows.
    @ivar jwt_secret: C{""} until L{siger.config.secret.kept_secret} has filled it in.
    @ivar jwt_expiration: minutes.
    @ivar access_log: a path, C{-} for standard output, or C{off}.
    @ivar drain_timeout: seconds that running exchanges get at shutdown.
    @ivar rate_limit: the limits that hold where a service or a route has none of its own.
    @ivar cors: the rules that hold where a service or a route has none of its own; C{None} for no other origins.
    @ivar proxy_protocol: the networks whose connections begin with a PROXY protocol header.
    @ivar jwt_keys: the first signs, all of them verify; without any, C{jwt_secret} does both.
    @ivar issuers: whose tokens are believed besides the gateway's own.
    @ivar roles: the roles that there are.
    @ivar registration: who may create accounts: C{open}, C{admin} or C{closed}.
    @ivar tls: C{None} where clients connect without TLS only.
    @ivar warnings: what the operator should read in the log at start.
    """

    listen: Listen = Listen()
    http2: bool = True
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
    rate_limit: RateLimits = (RateLimit(),)
    cors: Cors | None = None
    proxy_protocol: tuple[Network, ...] = ()
    registration: str = "open"
    jwt_keys: tuple[JwtKey, ...] = ()
    issuers: tuple[IssuerSettings, ...] = ()
    roles: frozenset[str] = frozenset(("user", "admin"))
    nats: NatsSettings = NatsSettings()
    jobs: JobsSettings = JobsSettings()
    seed_users: tuple[SeedUser, ...] = ()
    consul: ConsulSettings = ConsulSettings()
    service_defaults: ServiceSettings = ServiceSettings(protocol="")
    services: Mapping[str, ServiceSettings] = field(factory=dict, hash=False)
    routes: tuple[RouteSettings, ...] = ()
    limits: Limits = Limits()
    tls: TLSSettings | None = None
    warnings: tuple[str, ...] = ()

    def service(self, name: str) -> ServiceSettings:
        """
        The settings of a service: its own where C{services:} names it, else the defaults under its name.

        @param name: any service, also one that only Consul knows.
        """
        own = self.services.get(name)
        if own is not None:
            return own
        base = self.service_defaults
        return evolve(base, name=name, protocol=base.protocol or self.usual_protocol(name))

    def usual_protocol(self, name: str) -> str:
        """
        What a service speaks of which nobody says it: C{h2c} where a route for gRPC leads to it, or else C{http1}.
        """
        return "h2c" if any(route.grpc and route.service == name for route in self.routes) else "http1"
