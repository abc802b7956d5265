"""
gRPC services that a real Consul knows: they need no configuration in the gateway at all, and come and go under load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.integration.consul_agent import ConsulAgent
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.grpc_load import CallLoad
from tests.integration.grpc_plan import Plan
from tests.integration.grpc_world import GrpcServer, ask, connect

CLOCK: Any = reactor


class ConsulTests(TestCase):
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
        self.channel = connect(self.gateway.port)
        self.addCleanup(self.channel.close)

    async def start_server(self, name: str) -> GrpcServer:
        """
        Start a server.
        """
        server = GrpcServer(name)
        self.addCleanup(server.kill)
        await deferToThread(server.start)
        return server

    async def register(self, server: GrpcServer, **more: Any) -> None:
        """
        Register a server as an instance of C{trainer}.

        @param more: what its registration has beside the ordinary.
        """
        definition = {
            "ID": f"trainer-{server.name}",
            "Name": "trainer",
            "Address": "127.0.0.1",
            "Port": server.port,
            "Check": {"TTL": "10m", "Status": "passing"},
            **more,
        }
        await self.agent.call("PUT", "/v1/agent/service/register", definition)

    async def deregister(self, server: GrpcServer) -> None:
        """
        Take it out of Consul.
        """
        await self.agent.call("PUT", f"/v1/agent/service/deregister/trainer-{server.name}")

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """
        Wait for something.
        """
        deadline = time.monotonic() + 10
        while not await deferToThread(true):
            self.assertLess(time.monotonic(), deadline, f"not {what}\n{self.gateway.output()}")
            await self.pause(0.02)

    async def pause(self, seconds: float) -> None:
        """
        Let time pass.
        """
        await deferLater(CLOCK, seconds)

    def answered_by(self, service: str) -> str:
        """
        Who answers a call, or C{""}.
        """
        got = ask(self.channel, Plan(sizes=[1]), service=service)
        return str(got.values("x-server")[0]) if got.code == 0 else ""

    async def test_found(self) -> None:
        """
        The registration says all: that it speaks gRPC, by C{protocol} in its meta, by a tag, or by the names of its
        gRPC services, for which no route is needed.
        """
        await self.begin()
        server = await self.start_server("one")
        by_name, by_path = "/siger.interop.v1.Test", "/services/trainer/siger.interop.v1.Test"
        for more, found in (
            ({"Meta": {"protocol": "h2c"}}, [by_path]),
            ({"Tags": ["grpc"]}, [by_path]),
            ({"Meta": {"grpc-services": "siger.interop.v1.Other, siger.interop.v1.Test"}}, [by_path, by_name]),
        ):
            await self.register(server, **more)
            for service in found:
                await self.until(lambda service=service: self.answered_by(service) == "one", f"{more} {service}")
            await self.deregister(server)
            await self.until(lambda: not self.answered_by(by_path), "gone")

    async def test_coming_and_going(self) -> None:
        """
        Instances come and go while clients call all the time, and no call fails: those that are gone finish what they
        have, and get no more.
        """
        await self.begin()
        meta = {"grpc-services": "siger.interop.v1.Test", "protocol": "h2c"}
        servers = [await self.start_server(name) for name in ("one", "two", "three")]
        await self.register(servers[0], Meta=meta)
        await self.until(lambda: self.answered_by("/siger.interop.v1.Test") == "one", "found")
        load = CallLoad(self.gateway.port).start()
        self.addCleanup(load.stop)
        for number in range(3):
            newer, older = servers[(number + 1) % 3], servers[number]
            await self.register(newer, Meta=meta)
            await self.until(lambda newer=newer: load.answered[newer.name] > 20, f"answers from {newer.name}")
            before = load.answered[older.name]
            await self.until(lambda older=older, least=before + 20: load.answered[older.name] > least, "shared")
            await self.deregister(older)
            await self.until(lambda: self.gone("trainer", 1), "one left")
            await deferToThread(older.stop)
            if number == 0:
                await deferToThread(older.start)
        await deferToThread(load.stop)
        self.assertEqual(load.failed, [])

    def gone(self, service: str, left: int) -> bool:
        """
        Whether the gateway knows just so many instances of a service.
        """
        return f'siger_service_instances{{service="{service}"}} {left}.0' in self.gateway.get("/metrics").decode()
