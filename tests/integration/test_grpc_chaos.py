"""
Calls of all kinds at once, many of which end early in one way or another: nothing of them may be left anywhere.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.grpc_plan import Plan
from tests.integration.grpc_world import Outcome, ask, call_names, connect, eventually, outcome, streamed, world

OK, CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, UNAUTHENTICATED = 0, 1, 4, 5, 16

CLIENTS = 8
CALLS = 60

SERVICES = [
    "/siger.interop.v1.Test",
    "/services/interop/siger.interop.v1.Test",
    "/siger.interop.v1.Narrow",
    "/siger.interop.v1.Silent",
    "/siger.interop.v1.Private",
]


class Client:
    """
    Makes calls of its own kinds, on a connection of its own.

    @ivar codes: how often which status was seen.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._channel = connect(world().gateway.port)
        self.codes: Counter[int] = Counter()
        self.names: list[str] = []
        self.thread = threading.Thread(target=self._go_on, daemon=True)

    def _go_on(self) -> None:
        for _ in range(CALLS):
            self.names.append(next(call_names))
            self.codes[self._call().code] += 1
        self._channel.close()

    def _call(self) -> Outcome:
        """
        Anything: one request or several, small or large, with more or less time, or broken off.
        """
        choose = self._random
        service, metadata = choose.choice(SERVICES), (("x-call", self.names[-1]),)
        sizes = [choose.randrange(200_000) for _ in range(choose.randrange(6))]
        plan = Plan(sizes=sizes, sleep=choose.choice((0, 0, 0.05)), code=choose.choice((0, 0, 0, NOT_FOUND)))
        timeout = choose.choice((0.005, 0.02, 0.1, 0.3))
        kind = choose.randrange(4)
        if kind == 0:
            return ask(self._channel, plan, service=service, timeout=timeout, metadata=metadata)
        if kind == 1:
            return ask(self._channel, bytes(choose.randrange(1 << 20)), "Unary", service, timeout, metadata)
        requests = [plan.encode(choose.randrange(100_000)) for _ in range(5)]
        call = streamed(self._channel, requests, service=service, timeout=timeout, metadata=metadata)
        if kind == 2:
            time.sleep(choose.random() * 0.02)
            call.cancel()
        return outcome(call)


class ChaosTests(SynchronousTestCase):
    """
    All at once.
    """

    def test_nothing_left(self) -> None:
        """
        Each call ends in a way that its client can explain; then nothing is in progress in the gateway or at a server,
        nothing went wrong in either, and calls work as before.
        """
        clients = [Client(seed) for seed in range(CLIENTS)]
        for client in clients:
            client.thread.start()
        for client in clients:
            client.thread.join()
        codes = sum((client.codes for client in clients), Counter())
        self.assertEqual(codes.total(), CLIENTS * CALLS)
        self.assertEqual(set(codes), {OK, CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, UNAUTHENTICATED})
        self.assertTrue(eventually(lambda: not self.in_flight()), self.in_flight())
        made = {name for client in clients for name in client.names}
        self.assertTrue(eventually(lambda: not self.at_servers(made)), self.at_servers(made))
        self.assertNotIn("Traceback", world().gateway.output())
        for service in SERVICES[:3]:
            self.assertEqual([ask(world().channel, b"x", "Unary", service).code for _ in range(4)], [OK] * 4)

    def in_flight(self) -> list[str]:
        """
        The services with requests in progress, as the gateway says.
        """
        figures = world().gateway.get("/metrics").decode()
        return re.findall(r"^siger_service_in_flight_requests\{.*\} [1-9].*$", figures, re.MULTILINE)

    def at_servers(self, names: set[str]) -> list[object]:
        """
        The calls that servers still have.
        """
        calls = [call for server in world().servers for call in server.calls() if not call["ended"]]
        return [call for call in calls if dict(call["metadata"]).get("x-call") in names]
