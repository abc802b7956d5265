"""
Calls are balanced one by one, however few connections clients have: the very thing that a balancer of connections
cannot do for gRPC.
"""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.grpc_load import CallLoad
from tests.integration.grpc_plan import Plan
from tests.integration.grpc_world import GrpcServer, ask, call_names, connect, eventually, outcome, streamed, world
from tests.integration.test_grpc_calls import Requests


class BalancingTests(SynchronousTestCase):
    """
    One connection, two servers.
    """

    def setUp(self) -> None:
        self.world = world()
        self.channel = connect(self.world.gateway.port)
        self.addCleanup(self.channel.close)

    def test_each_call(self) -> None:
        """
        Calls of one connection take turns among the servers.
        """
        answered = Counter(ask(self.channel, Plan(sizes=[3])).values("x-server")[0] for _ in range(20))
        self.assertEqual(answered, {"first": 10, "second": 10})

    def test_streams(self) -> None:
        """
        So do streams that last: each stays with its server, next to others of the same connection with another.
        """
        names = [next(call_names) for _ in range(6)]
        many = [Requests() for _ in names]
        calls = [
            streamed(self.channel, requests, metadata=(("x-call", name),))
            for requests, name in zip(many, names, strict=True)
        ]
        for requests, call in zip(many, calls, strict=True):
            requests.send(Plan(sizes=[10]).encode())
            self.assertEqual(len(next(call)), 10)
        for requests, call in zip(many, calls, strict=True):
            requests.send(Plan(sizes=[20]).encode())
            requests.end()
            self.assertEqual(len(next(call)), 20)
        ends = [outcome(call) for call in calls]
        self.assertEqual([got.code for got in ends], [0] * 6)
        self.assertEqual(Counter(got.values("x-server")[0] for got in ends), {"first": 3, "second": 3})
        for name in names:
            self.assertEqual(len(self.world.seen(name)["received"]), 2)

    def test_few_connections(self) -> None:
        """
        Many clients share the gateway's connections to the servers: it needs no more than a few for all of them.
        """
        before = self.world.gateway.open_sockets()
        channels = [connect(self.world.gateway.port) for _ in range(10)]
        for channel in channels:
            self.addCleanup(channel.close)
        for _ in range(3):
            calls = [
                channel.unary_unary("/siger.interop.v1.Test/Unary").future(b"x", timeout=20) for channel in channels
            ]
            self.assertEqual([call.result() for call in calls], [b"x"] * 10)
        self.assertLessEqual(self.world.gateway.open_sockets() - before, 10 + 2 * 4)


class AgeTests(SynchronousTestCase):
    """
    A server that ends each of its connections after a while, as many are told to, so that clients spread anew.
    """

    def test_no_call_lost(self) -> None:
        """
        Calls go on over new connections, and none fails or comes twice.
        """
        aging = GrpcServer("aging", world().mortal, age=100).start()
        self.addCleanup(aging.kill)
        load = CallLoad(world().gateway.port, service="/siger.interop.v1.Mortal").start()
        self.addCleanup(load.stop)
        self.assertTrue(eventually(lambda: load.answered.total() > 500))
        load.stop()
        self.assertEqual(load.failed, [])
        seen = aging.calls()
        self.assertEqual(Counter(dict(call["metadata"])["x-call"] for call in seen), dict.fromkeys(load.names, 1))
        self.assertGreater(len({call["peer"] for call in seen}), 3)
