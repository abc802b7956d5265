"""
A gateway that finds its services in a real Consul, while clients ask all the time.

Instances come and go, change their weights, and Consul itself dies and comes back with nothing in it; whoever asks
must not notice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.integration.consul_agent import ConsulAgent
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import run_in_loop
from tests.integration.raw_client import RawClient
from tests.integration.recording_backend import RecordingBackend
from tests.integration.steady_load import SteadyLoad, named_backend
from tests.integration.wire import Response

CLOCK: Any = reactor
PROMPTLY = 5.0
"""
Seconds within which a change in Consul is to be a change in the gateway, on a busy machine too: it takes hundredths.
"""
SAMPLE = 600
"""How many answers it takes to see the shares."""
TOLERANCE = 0.02
"""How far the share of an instance may be from its weight's: the rotation is exact, a sample begins anywhere."""


class ConsulCase(TestCase):
    """
    A gateway that knows of nothing but Consul.
    """

    timeout = 90

    async def begin(self) -> None:
        """
        Start an agent and a gateway.
        """
        self.agent = ConsulAgent(reactor)
        self.addCleanup(self.agent.stop)
        await self.agent.start()
        config = echo_config(consul_address=self.agent.address)
        del config["services"]
        self.gateway = GatewayProcess(config)
        self.addCleanup(self.gateway.kill)
        await deferToThread(self.gateway.start)
        self.backends: dict[bytes, RecordingBackend] = {}

    def start_load(self) -> SteadyLoad:
        """
        Begin to ask for the service C{web}.
        """
        load = SteadyLoad(self.gateway.port, b"/services/web/").start()
        self.addCleanup(load.stop)
        return load

    def start_backend(self, name: bytes) -> None:
        """
        Start one, for L{register}.
        """
        self.backends[name] = named_backend(name)
        self.addCleanup(lambda: run_in_loop(self.backends[name].stop()))

    async def register(self, name: bytes, weight: int = 1) -> float:
        """
        Register a backend as an instance of C{web}, or change its weight.

        @return: when.
        """
        if name not in self.backends:
            self.start_backend(name)
        definition = {
            "ID": f"web-{name.decode()}",
            "Name": "web",
            "Address": "127.0.0.1",
            "Port": self.backends[name].port,
            "Weights": {"Passing": weight, "Warning": 1},
            "Check": {"TTL": "10m", "Status": "passing"},
        }
        await self.agent.call("PUT", "/v1/agent/service/register", definition)
        return time.monotonic()

    async def deregister(self, name: bytes) -> float:
        """
        Take it out of Consul.

        @return: when.
        """
        await self.agent.call("PUT", f"/v1/agent/service/deregister/web-{name.decode()}")
        return time.monotonic()

    async def until(self, true: Callable[[], bool], seconds: float, what: str) -> float:
        """
        Wait for something.

        @return: when it was so.
        """
        deadline = time.monotonic() + seconds
        while not true():
            self.assertLess(time.monotonic(), deadline, f"not {what} within {seconds} s\n{self.gateway.output()}")
            await self.pause(0.02)
        return time.monotonic()

    async def pause(self, seconds: float) -> None:
        """
        Let time pass.
        """
        await deferLater(CLOCK, seconds)

    async def registration(self) -> dict[str, Any] | None:
        """
        What the agent knows of the gateway.
        """
        services: dict[str, dict[str, Any]] = await self.agent.call("GET", "/v1/agent/services")
        found = [one for one in services.values() if one["Service"] == "api-gateway"]
        self.assertLess(len(found), 2)
        return found[0] if found else None

    async def until_registered(self, seconds: float) -> None:
        """
        Wait until the agent knows the gateway, at the port where it is.
        """
        deadline = time.monotonic() + seconds
        while (found := await self.registration()) is None:
            self.assertLess(time.monotonic(), deadline, self.gateway.output())
            await self.pause(0.05)
        self.assertEqual(found["Port"], self.gateway.port)

    def consul_state(self) -> str:
        """
        What the gateway says about Consul.
        """
        status, body = run_in_loop(_ask(self.gateway.port, b"/health", b"Accept: application/json\r\n"))
        self.assertEqual(status, 200)
        return str(json.loads(body)["checks"]["consul"])


class LoadTests(ConsulCase):
    """
    Changes under load.
    """

    async def test_coming_and_going(self) -> None:
        """
        Instances that are registered answer promptly; ones that are taken out promptly get nothing more, and can close
        then; shares follow the weights that Consul has. No request fails.
        """
        await self.begin()
        await self.register(b"a")
        await self.until(lambda: self.gateway.status_of("/services/web/") == 200, PROMPTLY, "known")
        load = self.start_load()

        for name in (b"b", b"c"):
            since = await self.register(name)
            await self.until(lambda: load.heard(name, since), PROMPTLY, f"{name!r} asked")  # noqa: B023

        since = await self.register(b"a", weight=5)
        await self.register(b"b", weight=3)
        await self.assert_shares(load, {b"a": 5 / 9, b"b": 3 / 9, b"c": 1 / 9})

        since = await self.deregister(b"a")
        await self.until(lambda: not self.backends[b"a"].open_connections, PROMPTLY, "drained")
        self.assertLess(load.last_asked(b"a") - since, PROMPTLY)
        run_in_loop(self.backends[b"a"].stop())
        await self.assert_shares(load, {b"b": 3 / 4, b"c": 1 / 4})

        load.stop()
        self.assertEqual(load.failures, [])
        self.assertGreater(len(load.answers), 1000)
        self.assertNotIn("HTTP11ClientFactory", self.gateway.output())

    async def assert_shares(self, load: SteadyLoad, expected: dict[bytes, float]) -> None:
        """
        Promptly, instances are asked as often as this.
        """
        deadline, shares = time.monotonic() + PROMPTLY, await self.shares(load)
        while shares.keys() != expected.keys() or any(
            abs(shares[name] - share) >= TOLERANCE for name, share in expected.items()
        ):
            self.assertLess(time.monotonic(), deadline, f"{shares} is not {expected}")
            shares = await self.shares(load)

    async def shares(self, load: SteadyLoad) -> dict[bytes, float]:
        """
        How often which instance is asked, from now on.
        """
        since, enough = time.monotonic(), len(load.answers) + SAMPLE
        await self.until(lambda: len(load.answers) >= enough, 30, "asked often enough")
        return load.shares(since)

    async def test_consul_dies(self) -> None:
        """
        While Consul is dead, and when it is back with nothing in it, everything that was known is served. The gateway
        registers itself again and learns what is new, and takes itself out when it is stopped.
        """
        await self.begin()
        for name in (b"a", b"b"):
            await self.register(name)
        await self.until_registered(5)
        await self.until(lambda: self.gateway.status_of("/services/web/") == 200, PROMPTLY, "known")
        load = self.start_load()
        self.assertEqual((await self.shares(load)).keys(), {b"a", b"b"})

        await self.agent.kill()
        await self.until(lambda: self.consul_state().startswith("lost"), PROMPTLY, "noticed")
        self.assertEqual((await self.shares(load)).keys(), {b"a", b"b"})
        await self.agent.start()
        await self.until_registered(15)
        await self.until(lambda: self.consul_state() == "connected", 15, "reconnected")
        self.assertEqual((await self.shares(load)).keys(), {b"a", b"b"})

        for name in (b"a", b"b", b"c"):
            since = await self.register(name)
        await self.until(lambda: load.heard(b"c", since), PROMPTLY, "c asked")
        load.stop()
        self.assertEqual(load.failures, [])

        self.gateway.signal()
        self.assertEqual(await deferToThread(self.gateway.wait, 10), 0)
        self.assertIsNone(await self.registration())
        self.assertTrue(await self.agent.call("GET", "/v1/health/service/web?passing"))


class NameTests(ConsulCase):
    """
    Names that clients make up.
    """

    async def test_unknown_names(self) -> None:
        """
        Nobody's names are answered with 404, and 20,000 of them leave no series and no memory behind: less than a
        hundred bytes each, which is what the allocator's pools may come and go by, at least now and then.
        """
        await self.begin()
        random = Random(20)
        await deferToThread(run_in_loop, _ask_for_nobody(self.gateway.port, 5_000, random))
        self.gateway.get("/health")  # Consul's check asks for it too, at some time; like this it has its series already
        self.series()
        series, grown = self.series(), [await self.growth(random)]
        while grown[-1] >= 2_000_000 and len(grown) < 3:
            grown.append(await self.growth(random))
        self.assertEqual(self.series(), series)
        self.assertLess(grown[-1], 2_000_000, grown)

    async def growth(self, random: Random) -> int:
        """
        Ask by 20,000 names.

        @return: by how many bytes the gateway has grown.
        """
        resident = self.gateway.rss()
        statuses = await deferToThread(run_in_loop, _ask_for_nobody(self.gateway.port, 20_000, random))
        self.assertEqual(statuses, {404: 20_000})
        return self.gateway.rss() - resident

    def series(self) -> set[str]:
        """
        The metrics' names and labels.
        """
        lines = self.gateway.get("/metrics").decode().splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    async def test_nobody_there(self) -> None:
        """
        A service that has no healthy instance is known and not there: 503, and try again.
        """
        await self.begin()
        await self.register(b"a")
        await self.until(lambda: self.gateway.status_of("/services/web/") == 200, PROMPTLY, "known")
        await self.agent.call("PUT", "/v1/agent/check/fail/service:web-a")
        await self.until(lambda: self.gateway.status_of("/services/web/") == 503, PROMPTLY, "unavailable")
        response = run_in_loop(_response(self.gateway.port, b"/services/web/"))
        self.assertEqual(response.status, 503)
        self.assertTrue((response.value(b"retry-after") or b"").isdigit(), response)
        self.assertEqual(json.loads(bytes(response.body))["reason"], "no_instance")
        await self.agent.call("PUT", "/v1/agent/check/pass/service:web-a")
        await self.until(lambda: self.gateway.status_of("/services/web/") == 200, PROMPTLY, "back")
        await self.deregister(b"a")
        await self.until(lambda: self.gateway.status_of("/services/web/") == 404, PROMPTLY, "unknown")


async def _response(port: int, path: bytes, lines: bytes = b"") -> Response:
    client = await RawClient.connect(port)
    try:
        await client.send(b"GET %b HTTP/1.1\r\nHost: gw.test\r\n%b\r\n" % (path, lines))
        assert await client.finals(1, 5), bytes(client.raw)
        return client.reader.finals[0]
    finally:
        await client.close()


async def _ask(port: int, path: bytes, lines: bytes = b"") -> tuple[int, bytes]:
    response = await _response(port, path, lines)
    return response.status, bytes(response.body)


async def _ask_for_nobody(port: int, count: int, random: Random) -> dict[int, int]:
    """
    Ask for so many services that do not exist, a hundred a connection.

    @return: how often each status was answered.
    """
    statuses: dict[int, int] = {}
    for _ in range(count // 100):
        client = await RawClient.connect(port)
        names = [random.randbytes(random.randint(1, 31)).hex().encode() for _ in range(100)]
        requests = [b"GET /services/x%b/y HTTP/1.1\r\nHost: gw.test\r\n\r\n" % name for name in names]
        await client.send(b"".join(requests))
        await client.finals(100, 10)
        for response in client.reader.finals:
            statuses[response.status] = statuses.get(response.status, 0) + response.complete
        await client.close()
        await asyncio.sleep(0)
    return statuses
