"""
Asking all instances of all services that are to be asked, for as long as discovery names them.

What is written to the log is what somebody may want to know at night: an instance is well or ill now, or too few of a
service are well, so that requests go to the others too.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from twisted.logger import Logger

from siger.balancing.health import UP
from siger.grpc.health import RESULTS, SERVING, Finding
from siger.health.probe import MakePool, Probe

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from siger.balancing.instances import Endpoint
    from siger.balancing.service import Service
    from siger.observe.metrics import Metrics, Reading

__all__ = ["HealthChecks"]

_log = Logger()


class HealthChecks:
    """
    Those of one gateway.
    """

    def __init__(
        self, clock: IReactorTime, make_pool: MakePool, services: Mapping[bytes, Service], random: Random
    ) -> None:
        """
        @param make_pool: makes the pools for the questions alone.
        @param services: those that there are, by name.
        """
        self._clock = clock
        self._make_pool = make_pool
        self._services = services
        self._random = random
        self._watches: dict[Service, _Watch] = {}
        self._running = False

    def expose(self, metrics: Metrics) -> None:
        """
        Show them among the metrics.
        """
        metrics.counter("siger_health_checks_total", "Questions to instances whether they are well", self._counts)

    def _counts(self) -> Reading:
        return [
            ({"service": watch.service.name, "result": result}, float(count))
            for watch in self._watches.values()
            for result, count in watch.counts.items()
        ]

    def start(self) -> None:
        """
        Begin to ask.
        """
        self._running = True
        for service in list(self._services.values()):
            self.follow(service)

    def stop(self) -> None:
        """
        Ask nobody any more. What is known of them stays as it is.
        """
        self._running = False
        for watch in self._watches.values():
            watch.stop()

    def follow(self, service: Service) -> None:
        """
        Ask those instances that a service has now, new ones at once, and no others. It may be gone as a whole.
        """
        if not self._running or service.check is None:
            return
        watch = self._watches.get(service)
        if watch is None:
            watch = self._watches[service] = _Watch(service, self._clock, self._make_pool, self._random)
        watch.update()
        if self._services.get(service.label) is not service:
            del self._watches[service]


class _Watch:
    """
    One service.

    @ivar counts: how often each result came of a question.
    """

    def __init__(self, service: Service, clock: IReactorTime, make_pool: MakePool, random: Random) -> None:
        self.service = service
        self.counts = dict.fromkeys(RESULTS, 0)
        self._clock = clock
        self._make_pool = make_pool
        self._random = random
        self._probes: dict[Endpoint, Probe] = {}
        self._panicking = False

    def update(self) -> None:
        """
        Ask those that there are now.
        """
        endpoints = self.service.checked
        for endpoint in self._probes.keys() - set(endpoints):
            self._probes.pop(endpoint).stop()
        for endpoint in endpoints:
            if endpoint not in self._probes:
                self._begin(endpoint)
        self._tell_panic()

    def _begin(self, endpoint: Endpoint) -> None:
        service = self.service
        assert service.check is not None
        probe = Probe(self._clock, self._random, self._make_pool, endpoint, service.check, service.settings, self._note)
        self._probes[endpoint] = probe
        probe.start()

    def stop(self) -> None:
        """
        Ask none of them any more.
        """
        for probe in self._probes.values():
            probe.stop()
        self._probes.clear()

    def _note(self, endpoint: Endpoint, finding: Finding) -> None:
        self.counts[finding.result] += 1
        if not self.service.mark(endpoint, finding.result == SERVING):
            return
        instance = endpoint.label.decode("ascii")
        if endpoint.health == UP:
            _log.info("instance {instance} of service {service} is up", instance=instance, service=self.service.name)
        else:
            _log.warn(
                "instance {instance} of service {service} is down: {detail}",
                instance=instance,
                service=self.service.name,
                detail=finding.detail,
            )
        self._tell_panic()

    def _tell_panic(self) -> None:
        panicking = self.service.panicking
        if panicking == self._panicking:
            return
        self._panicking = panicking
        if panicking:
            _log.warn(
                "too few instances of service {service} are up: requests go to those that are down, too",
                service=self.service.name,
            )
        elif self.service.endpoints:
            _log.info(
                "requests for service {service} no longer go to instances that are down", service=self.service.name
            )
