"""
The composition root: which parts a gateway has, the order in which they start, and the order in which they stop.

Starting: what may fail (the access log, the listening socket) comes first, so that a gateway either starts or says why
not. Stopping: readiness goes first, then listening, then idle connections; running exchanges get C{drain_timeout}.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import monotonic
from typing import Any, Final

from twisted.application.service import Service as TwistedService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from siger.balancing.algorithms import make_balancer
from siger.balancing.instances import Endpoint
from siger.balancing.service import Service
from siger.config.settings import ServiceSettings, Settings
from siger.discovery.catalogue import Catalogue
from siger.discovery.static import publish_static
from siger.frontdoor import FrontDoor
from siger.http.channel import ChannelContext
from siger.http.deadlines import Deadlines
from siger.http.request import RequestHead
from siger.http.response import ResponseParser
from siger.http.server import ServerFactory
from siger.http.stream import Stream
from siger.observe.access_log import access_log_to
from siger.observe.observer import Observer
from siger.policy.forwarded import Forwarding
from siger.proxy.exchange import ProxyContext
from siger.proxy.pool import Pool
from siger.routing import RouteTable

__all__ = ["Gateway"]

_DRAIN_TICK: Final = 0.05
_IDLE_GRACE: Final = 1.0


class Gateway(TwistedService):
    """
    One gateway.

    @ivar settings: what it was configured with.
    """

    log = Logger(namespace="siger")

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self.settings = settings
        self._reactor = reactor
        self._state = "starting"
        self._port: Any = None
        self.access_log = access_log_to(settings.access_log, reactor)
        self.observer = Observer(self.access_log)
        self.deadlines = Deadlines(reactor)
        self._response_parser = ResponseParser()
        self._random = Random()
        self.catalogue = Catalogue(self._make_service)
        forwarding = Forwarding(settings.trusted_proxies)
        context = ProxyContext(self.observer, forwarding, self._make_pool)
        self.front_door = FrontDoor(self.catalogue.services, RouteTable(settings.routes), context, self._local)
        self._channels = ChannelContext(self.front_door, settings.limits, self.deadlines)
        self._factory = ServerFactory(self._channels)

    def _local(self, head: RequestHead, stream: Stream, request_id: bytes, client: bytes) -> None:
        # Until the Klein application is mounted here, liveness is all that the gateway can say about itself.
        known = head.path in (b"/readyz", b"/health")
        status, phrase = (200, b"OK") if known else (404, b"Not Found")
        stream.send_response(status, phrase, b"Content-Type: text/plain\r\n", None, phrase, True)

    def _make_service(self, name: str) -> Service:
        settings = self.settings.service(name)
        service = Service(name, settings, make_balancer(settings.balancer, self._random))
        service.route = self.observer.service(name)
        return service

    def _make_pool(self, endpoint: Endpoint, settings: ServiceSettings) -> Pool:
        return Pool(self._reactor, endpoint, settings, self.deadlines, self._response_parser)

    @property
    def address(self) -> Any:
        """
        Where it listens, once it does.
        """
        return self._port.getHost()

    # Starting.

    def privilegedStartService(self) -> None:
        """
        Take the port.

        @raise twisted.internet.error.CannotListenError: it is not to be had.
        """
        listen = self.settings.listen
        self._port = self._reactor.listenTCP(listen.port, self._factory, backlog=1024, interface=listen.host)

    def startService(self) -> None:
        """
        Begin to serve.
        """
        TwistedService.startService(self)
        if self.access_log is not None:
            self.access_log.start()
        self.deadlines.start()
        publish_static(self.settings, self.catalogue)
        for warning in self.settings.warnings:
            self.log.warn("{warning}", warning=warning)
        self._state = "ready"
        self.log.info("listening on {address}", address=self.address)

    # Stopping.

    def stopService(self) -> Deferred[None]:
        """
        Drain.

        @return: fires when everything has ended.
        """
        TwistedService.stopService(self)
        self._state = "draining"
        self._channels.draining = True
        self.log.info("draining for at most {seconds} seconds", seconds=self.settings.drain_timeout)
        stopped = maybeDeferred(self._port.stopListening)
        return gatherResults([stopped, self._drained()]).addCallback(lambda _: self._end())

    def _drained(self) -> Deferred[Any]:
        begun = monotonic()
        call = LoopingCall(lambda: self._drain_step(monotonic() - begun, call.stop))
        call.clock = self._reactor
        return call.start(_DRAIN_TICK)

    def _drain_step(self, elapsed: float, done: Callable[[], None]) -> None:
        # Idle connections get a moment in which a request that is on its way is still answered, with
        # "Connection: close"; after that they close.
        for channel in list(self._channels.channels):
            channel.drain(elapsed >= _IDLE_GRACE)
        if elapsed >= self.settings.drain_timeout:
            for channel in list(self._channels.channels):
                channel.transport.abortConnection()
            done()
        elif not self._channels.channels:
            done()

    def _end(self) -> None:
        for service in self.catalogue.services.values():
            for endpoint in service.endpoints:
                if endpoint.pool is not None:
                    endpoint.pool.close()
        self.deadlines.stop()
        if self.access_log is not None:
            self.access_log.stop()
        self.log.info("stopped")
