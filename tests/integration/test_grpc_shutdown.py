"""
A gateway that stops lets the calls that it has come to their ends, and sends clients away so that they lose none.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess
from tests.integration.grpc_load import CallLoad
from tests.integration.grpc_plan import SERVICE, Plan
from tests.integration.grpc_world import (
    GrpcServer,
    Outcome,
    call_names,
    config,
    connect,
    eventually,
    outcome,
    streamed,
    world,
)
from tests.integration.test_grpc_calls import Requests

OK, UNAVAILABLE = 0, 14


class ShutdownCase(SynchronousTestCase):
    """
    A gateway of the test's own, before the servers that all share.
    """

    def start(self, port: int = 0, **overrides: Any) -> GatewayProcess:
        """
        Start one.
        """
        servers = world().servers
        settings = {**config([server.port for server in servers], world().silent.port, world().mortal), **overrides}
        gateway = GatewayProcess(settings, port=port)
        self.addCleanup(gateway.kill)
        return gateway.start()

    def connect(self, gateway: GatewayProcess) -> Any:
        """
        A connection to it.
        """
        channel = connect(gateway.port)
        self.addCleanup(channel.close)
        return channel

    def serving(self, name: str) -> GrpcServer:
        """
        The server that has the call of a name.
        """
        return next(server for server in world().servers if server.calls(name))


class DrainTests(ShutdownCase):
    """
    SIGTERM while calls are in progress.
    """

    def test_running(self) -> None:
        """
        Row G13: streams that run are finished, in both directions; then the gateway exits 0. Nobody new is let in.
        """
        gateway = self.start()
        channel = self.connect(gateway)
        name, requests = next(call_names), Requests()
        down = channel.unary_stream(f"/{SERVICE}/ServerStream")(
            Plan(sizes=(10, 70_000, 10), gated=True).encode(), timeout=20, metadata=(("x-call", name),)
        )
        talk = streamed(channel, requests)
        requests.send(Plan(sizes=[5]).encode())
        told, said = [next(down)], [next(talk)]
        gateway.signal()
        self.assertTrue(eventually(lambda: self.refuses(gateway)))
        for size in (6, 70_000):
            requests.send(Plan(sizes=[size]).encode(70_000))
            said.append(next(talk))
            self.serving(name).let_go(name)
        requests.end()
        ends: list[Outcome] = [outcome(down, told), outcome(talk, said)]
        self.assertEqual([(got.code, len(got.messages)) for got in ends], [(OK, 3), (OK, 3)])
        self.assertEqual(gateway.wait(), 0)

    def refuses(self, gateway: GatewayProcess) -> bool:
        """
        Whether nobody can connect any more.
        """
        try:
            return gateway.status_of("/readyz") == 0
        except OSError:
            return True

    def test_timeout(self) -> None:
        """
        What does not end in time is broken off, for the client as something that it may try elsewhere; the server
        knows, and the gateway exits 0.
        """
        gateway = self.start(drain_timeout=1)
        channel = self.connect(gateway)
        name = next(call_names)
        call = channel.unary_stream(f"/{SERVICE}/ServerStream")(
            Plan(sizes=(10, 10), gated=True).encode(), timeout=20, metadata=(("x-call", name),)
        )
        told = [next(call)]
        began = time.monotonic()
        gateway.signal()
        got = outcome(call, told)
        self.assertEqual((got.code, len(got.messages)), (UNAVAILABLE, 1))
        self.assertEqual(gateway.wait(10), 0)
        self.assertLess(time.monotonic() - began, 10)
        self.assertTrue(eventually(lambda: world().seen(name)["ended"] == "cancelled"))

    def test_idle(self) -> None:
        """
        A connection without calls does not hold up the end.
        """
        gateway = self.start(drain_timeout=30)
        channel = self.connect(gateway)
        self.assertEqual(channel.unary_unary(f"/{SERVICE}/Unary")(b"x", timeout=20), b"x")
        began = time.monotonic()
        gateway.signal()
        self.assertEqual(gateway.wait(20), 0)
        self.assertLess(time.monotonic() - began, 10)


class RestartTests(ShutdownCase):
    """
    Stop and start under load.
    """

    def test_restart(self) -> None:
        """
        Row G13: while clients call all the time, the gateway is stopped and started twice. No call is lost, and none
        reaches a server twice.
        """
        port = free_port()
        gateway = self.start(port)
        load = CallLoad(port, wait_for_ready=True).start()
        self.addCleanup(load.stop)
        for _ in range(2):
            time.sleep(0.5)
            gateway.signal()
            self.assertEqual(gateway.wait(), 0)
            gateway = self.start(port)
        self.assertTrue(eventually(lambda: load.answered.total() > 300))
        load.stop()
        self.assertEqual(load.failed, [])
        made = set(load.names)
        arrived = Counter(
            value
            for server in world().servers
            for call in server.calls()
            for key, value in call["metadata"]
            if key == "x-call" and value in made
        )
        self.assertEqual(arrived, dict.fromkeys(load.names, 1))
