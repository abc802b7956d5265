"""
A service with everything that an exchange needs, in memory: real balancer, pools and observer, and instances that a
test plays.
"""

from __future__ import annotations

from random import Random
from time import monotonic
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from siger.balancing.algorithms import make_balancer
from siger.balancing.instances import Instance
from siger.balancing.service import Service
from siger.config.settings.services import ServiceSettings
from siger.http.deadlines import INTERVAL, Deadlines
from siger.http.h2.writing import Batch
from siger.http.request import RequestHead
from siger.http.stream import Stream
from siger.observe.access_log import AccessLog
from siger.observe.observer import Observer
from siger.policy.forwarded import Forwarding
from siger.policy.rules import ANYONE, Rules
from siger.proxy.arrival import Arrival, Destination
from siger.proxy.context import ProxyContext
from siger.upstreams import Upstreams
from tests.proxy.instance import FakeInstance, FakeWire

__all__ = ["ID", "Record", "World"]

ID = b"0123456789abcdef"
"""The id of every request."""


class _NoSink:
    """
    Where an access log goes that nobody reads.
    """

    dropped = 0
    failure = ""

    def open(self) -> None:
        """
        Nothing to open.
        """

    def write(self, batch: bytes, lines: int) -> None:
        """
        Nothing to write to.
        """

    def reopen(self) -> None:
        """
        Nothing to open.
        """

    def close(self) -> None:
        """
        Nothing to close.
        """


class Record:
    """
    What was reported of a request.
    """

    def __init__(self, entry: tuple[Any, ...]) -> None:
        self.route = entry[0].template
        self.method, self.path, self.status, self.reason = entry[1:5]
        self.start, self.first_byte, self.now = entry[5:8]
        self.bytes_in, self.bytes_out, self.request_id, self.client = entry[8:12]
        self.service = None if entry[12] is None else entry[12].name
        self.instance, self.attempts, self.user, self.version, self.grpc = entry[13:]


class World:
    """
    One service, C{echo}, with instances C{192.0.2.1}, C{192.0.2.2} and so on.
    """

    def __init__(self, instances: int = 1, forwarding: Forwarding | None = None, **settings: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.instance = FakeInstance(self.reactor)
        self.deadlines = Deadlines(self.reactor)
        self.deadlines.start()
        self._log = AccessLog(_NoSink(), self.reactor)
        self.observer = Observer(self._log)
        make_pool = Upstreams(self.reactor, self.deadlines, Batch()).pool
        self.context = ProxyContext(self.observer, forwarding or Forwarding(), make_pool, deadlines=self.deadlines)
        self.settings = ServiceSettings(name="echo", **settings)
        self.service = self.make_service("echo", self.settings, instances)

    def make_service(self, name: str, settings: ServiceSettings, instances: int) -> Service:
        """
        A service with this many instances.
        """
        service = Service(name, settings, make_balancer("round_robin", Random(1)))
        service.route = self.observer.service(name)
        service.update([Instance(f"192.0.2.{number}", 80) for number in range(1, instances + 1)])
        return service

    def arrival(
        self,
        head: RequestHead,
        stream: Stream,
        settings: ServiceSettings | None = None,
        target: bytes = b"/x",
        age: float = 0.0,
    ) -> Arrival:
        """
        A request for the service, let in by the front door.

        @param settings: how it is to be carried, if not as the service says.
        @param age: for how many seconds it has been here.
        """
        rules = Rules(None, [], [], ANYONE, None)
        stats = self.observer.route("/services/{serviceName}/*")
        arrival = Arrival(head, stream, ID, b"192.0.2.7", monotonic() - age)
        arrival.place = Destination(rules, stats, "echo", self.service, settings or self.settings)
        arrival.target = target
        return arrival

    @property
    def records(self) -> list[Record]:
        """
        What was reported so far.
        """
        return [Record(entry) for entry in self._log.entries]

    @property
    def wires(self) -> list[FakeWire]:
        """
        All connections to instances, in order.
        """
        return self.instance.wires

    @property
    def balance(self) -> tuple[int, int]:
        """
        Requests in flight as the balancer counts them, and as the observer does.
        """
        return self.service.inflight, self.observer.in_flight

    def later(self, seconds: float) -> None:
        """
        Let time pass, and what was closed be gone.
        """
        for _ in range(round(seconds / INTERVAL)):
            self.reactor.advance(INTERVAL)
            self.instance.settle()
