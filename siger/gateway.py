"""
The composition root: which parts a gateway has, the order in which they start, and the order in which they stop.

Starting: what may fail (the port, the access log) comes first, so that a gateway either starts or says why not.
Stopping: readiness goes first, then listening, then idle connections; running exchanges get C{drain_timeout}; then what
they used is closed.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from twisted.application.service import Service as TwistedService
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from siger.accounts import Accounts
from siger.admin.app import AdminApp
from siger.balancing.algorithms import make_balancer
from siger.balancing.service import Service
from siger.config.settings.gateway import Settings
from siger.destinations import Destinations
from siger.discovery.catalogue import Catalogue
from siger.discovery.static import publish_static
from siger.drain import drain
from siger.figures import Figures
from siger.frontdoor import FrontDoor
from siger.health.answering import HealthService
from siger.health.checks import HealthChecks
from siger.health.serving import Serving, is_routed
from siger.http.context import ChannelContext
from siger.http.deadlines import Deadlines
from siger.http.h2.requests import RequestReader
from siger.http.h2.server import ServerContext
from siger.http.h2.writing import Batch
from siger.http.request_parser import RequestParser
from siger.http.server import ServerFactory
from siger.membership import Membership
from siger.observe.access_log import access_log_to
from siger.observe.metrics import Metrics
from siger.observe.observer import Observer
from siger.observe.watchdog import Watchdog
from siger.own import OWN_ROUTES, OwnEndpoints
from siger.policy.forwarded import Forwarding
from siger.policy.rules import RuleBook
from siger.policy.vigil import Vigils
from siger.proxy.context import ProxyContext
from siger.queue import Queue
from siger.routing import RouteTable
from siger.store import Store
from siger.tls.listener import SecureListener
from siger.upstreams import Upstreams
from siger.vitals import Vitals, expose

__all__ = ["Gateway"]

_BACKLOG: Final = 1024
_FIRST_SYNC_SECONDS: Final = 5.0


class Gateway(TwistedService):
    """
    One gateway.

    @ivar settings: what it was configured with.
    @ivar catalogue: the services it knows.
    @ivar front_door: what answers its requests; other programs may mount it with L{siger.proxy.resource.ProxyResource}.
    @ivar vitals: how it is.
    """

    log = Logger(namespace="siger")

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self.settings = settings
        self.vitals = Vitals()
        self._reactor = reactor
        self._port: Any = None
        self._waiting: IDelayedCall | None = None
        self._random = Random()
        self._access_log = access_log_to(settings.access_log, reactor)
        self._observer = Observer(self._access_log)
        self._deadlines = Deadlines(reactor)
        loop = getattr(reactor, "loop", None)
        self._batch = Batch(None if loop is None else loop.call_soon)
        self._upstreams = Upstreams(reactor, self._deadlines, self._batch)
        self._book = RuleBook(settings)
        self._store = Store(reactor, settings)
        self._accounts = Accounts(reactor, settings, self._store)
        self._queue = Queue(reactor, settings, self._store)
        if settings.nats_address:
            self.vitals.watch("nats", self._store.describe)
            self.vitals.watch("jobs", self._queue.describe)
        self.catalogue = Catalogue(self._make_service)
        self._checks = HealthChecks(reactor, self._upstreams.pool, self.catalogue.services, self._random)
        self.catalogue.changed = self._checks.follow
        self.front_door = self._make_front_door()
        self._channels = ChannelContext(self.front_door, settings.limits, self._deadlines)
        self._factory = ServerFactory(self._channels, settings.proxy_protocol, self._make_http2())
        self._secure = self._make_secure_listener()
        self._figures = Figures(self.vitals, self._observer, self.catalogue, self._factory, self._accounts, self._book)
        self._membership = self._make_membership()
        self._watchdog = Watchdog(reactor)
        self._watchdog.show(self._metrics)
        expose(self._metrics, self.catalogue, self._factory, self._access_log, self._book)
        for part in (self._store, self._accounts, self._queue, self._checks):
            part.expose(self._metrics)

    def _make_front_door(self) -> FrontDoor:
        vigils = Vigils(self._deadlines, self._accounts.authenticate)
        forwarding = Forwarding(self.settings.trusted_proxies)
        context = ProxyContext(self._observer, forwarding, self._upstreams.pool, vigils, self._deadlines)
        self._metrics = Metrics(self._observer)
        admin = AdminApp(self.vitals, self._metrics, lambda: self._figures())
        limit = self.settings.limits.local_body
        self._health = self._make_health()
        own = OwnEndpoints(
            self._reactor, self._observer, admin, self._accounts.app, self._queue.app, limit, self._health
        )
        return FrontDoor(
            self.catalogue.services,
            RouteTable(self.settings.routes),
            context,
            Destinations(self._book, self._observer, OWN_ROUTES, self.catalogue.grpc_services),
            own,
            own.template,
            self._accounts.authenticate,
        )

    def _make_health(self) -> HealthService | None:
        routes, catalogue = self.settings.routes, self.catalogue
        if is_routed(routes):
            return None
        serving = Serving(lambda: self.vitals.state, routes, catalogue.services, catalogue.grpc_services)
        return HealthService(self._reactor, self._observer, serving)

    def _make_http2(self) -> ServerContext | None:
        limits = self.settings.limits
        if not self.settings.http2:
            return None
        return ServerContext(RequestReader(RequestParser(limits.header_count)), self._batch, limits)

    def _make_secure_listener(self) -> SecureListener | None:
        settings = self.settings
        if settings.tls is None:
            return None
        secure = SecureListener(settings.tls, settings.http2, self._factory, self._reactor)
        secure.expose(self._metrics)
        self.front_door.is_misdirected = secure.is_misdirected
        return secure

    def _make_membership(self) -> Membership | None:
        if self.settings.consul_address is None:
            return None
        membership = Membership(self._reactor, self.settings, self.catalogue)
        membership.expose(self._metrics)
        self.vitals.watch("consul", membership.describe)
        return membership

    def _make_service(self, name: str) -> Service:
        settings = self.settings.service(name)
        service = Service(name, settings, make_balancer(settings.balancer, self._random))
        service.route = self._observer.service(name)
        return service

    @property
    def address(self) -> Any:
        """
        Where it listens, once it does.
        """
        return self._port.getHost()

    # Starting.

    def privilegedStartService(self) -> None:
        """
        Take the port, and the one for TLS.

        @raise twisted.internet.error.CannotListenError: it is not to be had.
        """
        listen = self.settings.listen
        self._port = self._reactor.listenTCP(listen.port, self._factory, backlog=_BACKLOG, interface=listen.host)
        if self._secure is not None:
            self._secure.listen(_BACKLOG)

    def startService(self) -> None:
        """
        Begin to serve.
        """
        TwistedService.startService(self)
        if self._access_log is not None:
            self._access_log.start()
        for warning in self.settings.warnings:
            self.log.warn("{warning}", warning=warning)
        self._deadlines.start()
        host = self.address
        places = [(self.settings.listen.host, host.port)]
        if self._secure is not None:
            self.log.info("listening on {place} over TLS", place=self._secure.start())
            places.append(self._secure.place)
        self.catalogue.guard.listeners = frozenset(places)
        self._checks.start()
        publish_static(self.settings, self.catalogue)
        self._watchdog.start()
        self._store.start()
        self._accounts.start()
        self._queue.start()
        self.log.info("listening on {host}:{port}", host=host.host, port=host.port)
        self._become_ready()

    def _become_ready(self) -> None:
        # A gateway that has just started waits for Consul and NATS, so that it is sent nothing that it does not know
        # yet, and believes no token that was revoked; but not for long: what is configured can be served without.
        self._waiting = self._reactor.callLater(_FIRST_SYNC_SECONDS, self._ready)
        known = [self._accounts.first_sync(), self._queue.first_sync()]
        if self._membership is not None:
            known.append(self._membership.first_sync)
            self._membership.start(self.address.port)
        gatherResults(known).addCallback(lambda _: self._ready())

    def _ready(self) -> None:
        if self._waiting is not None and self._waiting.active():
            self._waiting.cancel()
        if self.vitals.state == "starting":
            self.vitals.state = "ready"

    def reopen(self) -> None:
        """
        Begin a new access log under the same name.
        """
        if self._access_log is not None:
            self._access_log.reopen()

    # Stopping.

    def stopService(self) -> Deferred[None]:
        """
        Drain.

        @return: fires when everything has ended.
        """
        TwistedService.stopService(self)
        self.vitals.state = "draining"
        seconds = self.settings.drain_timeout
        self.log.info("draining for at most {seconds} seconds", seconds=seconds)
        self._checks.stop()
        if self._waiting is not None and self._waiting.active():
            self._waiting.cancel()
        left = succeed(None) if self._membership is None else self._membership.leave()
        closed = [maybeDeferred(self._port.stopListening)]
        if self._secure is not None:
            closed.append(self._secure.stop())
        if self._health is not None:
            self._health.stop()
        drained = drain(self._reactor, self._channels, seconds)
        self._queue.drain()  # after that: what ends here ends its connection, too
        return gatherResults([left, *closed, drained]).addCallback(lambda _: self._end())

    def _end(self) -> Deferred[None]:
        for service in self.catalogue.services.values():
            for endpoint in service.endpoints:
                if endpoint.pool is not None:
                    endpoint.pool.close()
        self._watchdog.stop()
        self._deadlines.stop()
        if self._access_log is not None:
            self._access_log.stop()
        left = succeed(None) if self._membership is None else self._membership.stop()
        ended = DeferredList([left, self._queue.stop(), self._accounts.stop()], consumeErrors=True)
        # The store goes last: what was begun needs it to end.
        return ended.addCallback(lambda _: self._store.stop()).addCallback(lambda _: self.log.info("stopped"))
