"""
A gateway as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, field, frozen

from siger.config.settings.accounts import IssuerSettings, JwtKey, SeedUser
from siger.config.settings.addresses import Address, Listen, Network
from siger.config.settings.admission import Cors, RateLimit, RateLimits
from siger.config.settings.consul import ConsulSettings
from siger.config.settings.jobs import JobsSettings
from siger.config.settings.limits import Limits
from siger.config.settings.nats import NatsSettings
from siger.config.settings.routes import RouteSettings
from siger.config.settings.services import ServiceSettings
from siger.config.settings.tls import TLSSettings

__all__ = ["Settings"]


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
