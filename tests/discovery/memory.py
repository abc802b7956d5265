"""
A Consul in memory: a small Klein application which the production client reaches without sockets.

It keeps to what the contract tests see a real agent do: blocking queries on one index for everything, stale reads,
datacenters, tokens, checks. It forgets everything when it restarts, as an agent in development mode does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from klein import Klein
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.web.iweb import IAgent, IRequest
from zope.interface import implementer

from siger.discovery.client import ConsulClient

__all__ = ["MemoryConsul"]

Reply = tuple[int, dict[str, str], bytes]


@implementer(IAgent)
class SwitchedAgent:
    """
    An agent whose connections are refused while the server is down.
    """

    def __init__(self, server: MemoryConsul) -> None:
        self.server = server
        self.inner = RequestTraversalAgent(server.app.resource())

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        """
        Make it, if there is anyone to make it to.
        """
        if self.server.down:
            return fail(ConnectionRefusedError())
        return self.inner.request(method, uri, headers, bodyProducer)


class MemoryConsul:
    """
    The server.

    @ivar requests: the path, arguments and token of every request so far.
    @ivar replies: what to answer instead, by beginning of the path: a status, fields and a body.
    @ivar leader: whether it has one.
    @ivar hanging: the beginning of the paths that get no answer; C{""} for none.
    """

    node_address = "127.0.0.1"
    datacenter = "dc1"
    app = Klein()

    def __init__(self, clock: Clock, token: str = "") -> None:
        self.clock = clock
        self.token = token
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.replies: dict[str, Reply] = {}
        self.leader = True
        self.hanging = ""
        self.down = False
        self.agents: list[SwitchedAgent] = []
        self.blocked: set[IRequest] = set()
        self.forget()

    def forget(self) -> None:
        """
        Begin again with an empty store.
        """
        self.index = 10
        self.generation = 0
        self.definitions: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, str] = {}
        self.waiting: list[Deferred[None]] = []

    # What tests do

    def client(self, **options: Any) -> ConsulClient:
        """
        A new client of it.
        """
        agent = SwitchedAgent(self)
        self.agents.append(agent)
        return ConsulClient(agent, self.clock, "127.0.0.1", 8500, **options)

    def flush(self) -> None:
        """
        Let everything that was written arrive.
        """
        for _ in range(3):
            for agent in self.agents:
                agent.inner.flush()

    def advance(self, seconds: float) -> None:
        """
        Let time pass, and let everything arrive.
        """
        self.clock.advance(seconds)
        self.flush()

    def crash(self) -> None:
        """
        Break every connection and accept none.
        """
        self.down = True
        for request in list(self.blocked):
            request.channel.forceAbortClient()
        self.flush()

    def revive(self) -> None:
        """
        Accept connections again, with nothing in the store.
        """
        self.down = False
        self.forget()

    def restore(self, index: int) -> None:
        """
        Go on with another index, as after a snapshot was restored: every query that waits is answered.
        """
        self.generation += 1
        self.index = index - 1
        self.changed()

    def changed(self) -> None:
        """
        Wake every query that waits for a change.
        """
        self.index += 1
        waiting, self.waiting = self.waiting, []
        for waiter in waiting:
            waiter.callback(None)

    # What clients ask

    @app.route("/v1/catalog/services")
    async def list_services(self, request: IRequest) -> bytes:
        """
        Names and their tags.
        """
        return await self.answer(request, self.names)

    def names(self) -> dict[str, list[str]]:
        """
        Every service and all tags of its instances.
        """
        tags: dict[str, list[str]] = {"consul": []}
        for definition in self.definitions.values():
            tags.setdefault(definition["name"], []).extend(definition.get("tags", []))
        return tags

    @app.route("/v1/health/service/<name>")
    async def list_instances(self, request: IRequest, name: str) -> bytes:
        """
        The instances of a service.
        """
        passing = b"passing" in request.args
        return await self.answer(request, lambda: self.instances(name, passing))

    def instances(self, name: str, passing: bool) -> list[dict[str, Any]]:
        """
        The instances of a service, all or those that pass their checks.
        """
        return [
            {"Node": {"Node": "test", "Address": self.node_address}, "Service": self.entry(key)}
            for key, definition in self.definitions.items()
            if definition["name"] == name and (not passing or self.statuses.get(f"service:{key}", "pass") == "pass")
        ]

    def entry(self, key: str) -> dict[str, Any]:
        """
        An instance as Consul shows it.
        """
        definition = self.definitions[key]
        weights = definition.get("weights") or {}
        return {
            "ID": key,
            "Service": definition["name"],
            "Tags": definition.get("tags", []),
            "Address": definition.get("address", ""),
            "Meta": definition.get("meta"),
            "Port": definition.get("port", 0),
            "Weights": {"Passing": weights.get("passing", 1), "Warning": weights.get("warning", 1)},
            "Kind": definition.get("kind", ""),
        }

    @app.route("/v1/agent/services")
    async def list_own(self, request: IRequest) -> bytes:
        """
        The instance that the filter names.
        """
        wanted = request.args[b"filter"][0].decode().removeprefix('ID == "').removesuffix('"')
        found = {wanted: self.entry(wanted)} if wanted in self.definitions else {}
        return await self.answer(request, lambda: found)

    @app.route("/v1/agent/service/register", methods=["PUT"])
    async def register(self, request: IRequest) -> bytes:
        """
        Add an instance, or replace it.
        """
        definition = {name.lower(): value for name, value in json.loads(request.content.read()).items()}

        def act() -> None:
            key = definition.get("id") or definition["name"]
            self.definitions[key] = definition
            for check in definition.get("checks", [])[:1]:
                self.statuses[f"service:{key}"] = "pass" if check.get("status") == "passing" else "fail"
            self.changed()

        return await self.act(request, act)

    @app.route("/v1/agent/service/deregister/<key>", methods=["PUT"])
    async def deregister(self, request: IRequest, key: str) -> bytes:
        """
        Take an instance out.
        """

        def act() -> None:
            self.definitions.pop(key, None)
            self.statuses.pop(f"service:{key}", None)
            self.changed()

        return await self.act(request, act)

    @app.route("/v1/agent/check/<status>/<key>", methods=["PUT"])
    async def check(self, request: IRequest, status: str, key: str) -> bytes:
        """
        Change what a check says.
        """

        def act() -> None:
            self.statuses[key] = status
            self.changed()

        return await self.act(request, act)

    @app.route("/", branch=True)
    async def anything_else(self, request: IRequest) -> bytes:
        """
        There is nothing else, but for L{replies}.
        """
        refused = self.refuse(request)
        if refused is None:
            request.setResponseCode(404)
        return whole(request, refused or b"")

    # How they are answered

    async def act(self, request: IRequest, act: Callable[[], None]) -> bytes:
        """
        Do it, unless the request is refused.
        """
        refused = self.refuse(request)
        await self.hang(request)
        if refused is None:
            act()
        return whole(request, refused or b"")

    async def answer(self, request: IRequest, compute: Callable[[], Any]) -> bytes:
        """
        The answer, when it is due.
        """
        refused = self.refuse(request)
        if refused is not None:
            return whole(request, refused)
        self.blocked.add(request)
        request.notifyFinish().addBoth(lambda _: self.blocked.discard(request))
        await self.hang(request)
        await self.due(int(argument(request, "index") or 0), float((argument(request, "wait") or "300s")[:-1]))
        request.setHeader(b"X-Consul-Index", b"%d" % self.index)
        request.setHeader(b"X-Consul-Knownleader", b"true" if self.leader else b"false")
        return whole(request, json.dumps(compute()).encode())

    async def hang(self, request: IRequest) -> None:
        """
        Wait for ever, where it should.
        """
        if self.hanging and request.path.decode().startswith(self.hanging):
            await Deferred()

    async def due(self, index: int, wait: float) -> None:
        """
        Wait for a later index than this, or for so long.
        """
        until, generation = self.clock.seconds() + wait, self.generation
        while index and self.index <= index and self.clock.seconds() < until and generation == self.generation:
            waiter: Deferred[None] = Deferred()
            self.waiting.append(waiter)
            timer = self.clock.callLater(wait, lambda waiter=waiter: waiter.called or waiter.callback(None))
            await waiter
            if timer.active():
                timer.cancel()
            self.waiting = [one for one in self.waiting if not one.called]

    def refuse(self, request: IRequest) -> bytes | None:
        """
        The body of a refusal, or C{None}.
        """
        token = (request.getHeader(b"X-Consul-Token") or b"").decode()
        path = request.path.decode()
        self.requests.append((path, {key.decode(): values[0].decode() for key, values in request.args.items()}, token))
        for beginning, (status, fields, body) in self.replies.items():
            if path.startswith(beginning):
                for name, value in fields.items():
                    request.setHeader(name.encode(), value.encode())
                request.setResponseCode(status)
                return body
        if token != self.token:
            request.setResponseCode(403)
            return b"Permission denied"
        if (argument(request, "dc") or self.datacenter) != self.datacenter:
            request.setResponseCode(500)
            return b"No path to datacenter"
        return None


def whole(request: IRequest, body: bytes) -> bytes:
    """
    A body, with its length in the head.
    """
    request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


def argument(request: IRequest, name: str) -> str | None:
    """
    The first value of an argument.
    """
    values = request.args.get(name.encode())
    return values[0].decode() if values else None
